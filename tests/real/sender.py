"""A sending node under load, to be killed: `python -m tests.real.sender FOLDER PASSWORD_FILE TO PREFIX COUNT`.

Runs the node, submits COUNT letters and prints `accepted SUBJECT` for each one once it is; then waits until evidence of
everything ever sent is here, prints `drained` and stops in good order. The node's own log lines come between.
"""

from __future__ import annotations

import sys
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Final

import sqlalchemy as sa
import trio

from node.app import Node
from node.errors import RecipientError, StoreError
from node.opening import open_node
from node.post.compose import Draft
from node.running import run_node
from node.vault import schema
from node.vault.access import OpenMailbox
from node.vault.states import OutboxState
from protocol.crypto import Secret

__all__ = ["main"]

_WRITERS: Final = 8
_DRAIN_S: Final = 120


async def _submit(node: Node, mailbox: OpenMailbox, to: str, subject: str) -> None:
    draft = Draft(sender=mailbox, to=(to,), subject=subject, text="Bonjour. " * 200)
    with trio.fail_after(60):
        while True:
            try:
                await node.submitter.submit(draft)
            except RecipientError:  # the recipient's directory is on its way
                await trio.sleep(0.1)
            except StoreError:  # refused, so nothing of it is kept: a person sends it again
                await trio.sleep(0.2)
            else:
                break
    print(f"accepted {subject}", flush=True)


async def _drained(node: Node) -> None:
    query = sa.select(schema.outbox.c.id).where(schema.outbox.c.state != OutboxState.ENDED).limit(1)
    with trio.fail_after(_DRAIN_S):
        while True:
            with suppress(StoreError):
                if await node.database.read(lambda connection: connection.execute(query).one_or_none()) is None:
                    return
            await trio.sleep(0.05)


async def main(folder: Path, password: Secret, to: str, prefix: str, count: int) -> None:
    """See above."""
    async with open_node(folder) as node, trio.open_nursery() as nursery:
        stop = trio.Event()
        await nursery.start(partial(run_node, node, stop=stop))
        (own,) = await node.mailboxes.all()
        mailbox = await node.mailboxes.open(own.address, password)
        subjects = iter([f"{prefix}-{number}" for number in range(count)])

        async def write() -> None:
            for subject in subjects:
                await _submit(node, mailbox, to, subject)

        async with trio.open_nursery() as writers:
            for _ in range(_WRITERS):
                writers.start_soon(write)
        await _drained(node)
        print("drained", flush=True)
        stop.set()


if __name__ == "__main__":
    place, password_file, address, beginning, letters = sys.argv[1:]
    trio.run(main, Path(place), Secret(Path(password_file).read_bytes().strip()), address, beginning, int(letters))
