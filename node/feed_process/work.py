"""The process that works on what others published, until its input ends: no key is in it, no database, nobody's letter.

Messages are msgpack with their length before them, in both directions. A question is [name, arguments…]; the answer
[True, result], or [False, reason, detail] where bytes break the rules. Spec: spec/decisions/0007-feeds-process.md.
"""

from __future__ import annotations

import gc
import resource
import sys
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import IO, Any, Final

import msgpack

from node.vault.mailbox_facts import MailboxFacts
from node.vault.search.lists import ListMaker
from protocol.entry import MailboxEntry
from protocol.errors import RemoteProtocolError
from protocol.feed import check_operation, decode_operation

__all__ = ["LENGTH_BYTES", "main", "prepare"]

LENGTH_BYTES: Final = 4
# Some 40 MB are the interpreter and its libraries, lists of 20,000 documents another 100: beyond this something is
# wrong, and this process ends rather than the node.
_MOST_MEMORY_BYTES: Final = 1024 * 1024 * 1024


def _facts(raw: bytes) -> tuple[Any, ...] | None:
    """What is kept of the mailbox that an operation publishes; None where it publishes none."""
    checked = check_operation(decode_operation(raw)).checked
    if not isinstance(checked, MailboxEntry):
        return None
    facts = MailboxFacts.of(checked)
    return facts.address, facts.sign_mark, facts.seal_mark, facts.shown


def _check(operations: Sequence[bytes]) -> list[Any]:
    try:
        return [True, [_facts(raw) for raw in operations]]
    except RemoteProtocolError as error:
        return [False, error.reason.value, error.detail]


class _Lists:
    """Posting lists in the making: in pieces, so that checks need not wait for all of them."""

    def __init__(self) -> None:
        self._maker = ListMaker()

    def begin(self) -> list[Any]:
        self._maker = ListMaker()
        return [True]

    def add(self, documents: Sequence[Any]) -> list[Any]:
        self._maker.add(documents)
        return [True]

    def end(self, groups: Sequence[Any]) -> list[Any]:
        made = self._maker.finish(groups)
        self._maker = ListMaker()
        return [True, [(*key, bits) for key, bits in made.items()]]


def main(questions: IO[bytes], answers: IO[bytes]) -> None:
    """Answer questions in turn until there are no more."""
    lists = _Lists()
    work: dict[str, Callable[..., list[Any]]] = {
        "check": _check,
        "lists_begin": lists.begin,
        "lists_add": lists.add,
        "lists_end": lists.end,
    }
    while len(head := questions.read(LENGTH_BYTES)) == LENGTH_BYTES:
        size = int.from_bytes(head, "big")
        data = questions.read(size)
        if len(data) < size:
            return
        name, *arguments = msgpack.unpackb(data)
        answer = msgpack.packb(work[name](*arguments))
        answers.write(len(answer).to_bytes(LENGTH_BYTES, "big") + answer)
        answers.flush()


def prepare() -> None:
    """Limits of this process, and its interpreter for the work."""
    # Nothing here refers to itself; looking for what does took a seventh of the time.
    gc.set_threshold(50_000, 20, 20)
    for limit, most in ((resource.RLIMIT_CORE, 0), (resource.RLIMIT_AS, _MOST_MEMORY_BYTES)):
        # A service may not set any, where its own are set from outside (packaging/systemd).
        with suppress(OSError, ValueError):
            resource.setrlimit(limit, (most, most))


if __name__ == "__main__":
    prepare()
    main(sys.stdin.buffer, sys.stdout.buffer)
