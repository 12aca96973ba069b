"""Asks a process to check operations of feeds and to make lists of them, while there are many; else it is done here.

Spec: spec/directory.md, 8; why: spec/decisions/0007-feeds-process.md.
"""

from __future__ import annotations

import subprocess
import sys
from collections import deque
from collections.abc import Mapping, Sequence
from typing import Any, Final

import msgpack
import structlog
import trio

from directory_sync.follow import check_here
from node.feed_process.work import LENGTH_BYTES
from node.vault.mailbox_facts import MailboxFacts
from node.vault.search.listing import Waiting
from node.vault.search.lists import Key, in_pieces
from node.world import BlockingRunner
from protocol.errors import Reason, RemoteProtocolError
from protocol.feed import Operation, stored_operation

__all__ = ["FeedProcess"]

# Fewer are checked in less time than it takes to ask.
_MANY: Final = 16
# Questions of so many are what a process is started for: the changes of a day are not.
_WORTH_A_START: Final = 2_000
_WITHIN_S: Final = 10
_IDLE_S: Final = 30
# The longest question takes a second; a process that says nothing for so long hangs, and feeds wait for it.
_SILENT_S: Final = 30
_MAX_ANSWER_BYTES: Final = 64 * 1024 * 1024
# -P: what lies in the folder that the node was started in is none of its modules.
_COMMAND: Final = (sys.executable, "-P", "-m", "node.feed_process.work")

_logger = structlog.get_logger(__name__)


class _Asked:
    """A question under way. answer: None if the process was lost before it answered."""

    def __init__(self) -> None:
        self.answer: list[Any] | None = None
        self.is_over = trio.Event()


class FeedProcess:
    """One for a node. A process is used only while `run` runs. Its loss costs a line in the log and the work, here."""

    def __init__(
        self,
        run_blocking: BlockingRunner,
        command: Sequence[str] = _COMMAND,
        idle_s: float = _IDLE_S,
        silent_s: float = _SILENT_S,
    ) -> None:
        """run_blocking: for lists that are made here. command: starts the process. idle_s: it ends when nothing was
        asked for so long. silent_s: it is lost when it answers nothing for so long.
        """
        self._run_blocking = run_blocking
        self._command = command
        self._idle_s = idle_s
        self._silent_s = silent_s
        self.ended = trio.Event()
        """When the process that there is, or the next one, has ended."""
        self._wanted = trio.Event()
        self._process: trio.Process | None = None
        self._sending = trio.Lock()
        self._listing = trio.Lock()
        self._asked: deque[_Asked] = deque()
        self._used_at = 0.0
        self._counted, self._counted_since = 0, 0.0

    @property
    def pid(self) -> int | None:
        """Of the process, while there is one."""
        return None if self._process is None else self._process.pid

    async def run(self) -> None:
        """Let there be a process while feeds of thousands of operations come in, until cancelled."""
        while True:
            await self._wanted.wait()
            await self._serve()
            self._wanted = trio.Event()

    async def check(self, operations: Sequence[bytes]) -> Sequence[Operation]:
        """See directory_sync.follow.Check."""
        self._count(len(operations))
        answer = await self._answer("check", operations) if len(operations) >= _MANY else None
        if answer is None:
            await trio.lowlevel.checkpoint()
            return await check_here(operations)
        is_good, *said = answer
        if not is_good:
            raise RemoteProtocolError(Reason(said[0]), said[1])
        return [_with_facts(raw, facts) for raw, facts in zip(operations, said[0], strict=True)]

    async def lists(self, waiting: Waiting) -> Mapping[Key, bytes]:
        """The lists that these documents stand in. What is made here takes a thread."""
        async with self._listing:
            answer = await self._lists(waiting)
        if answer is None:
            return await self._run_blocking(waiting.lists)
        return {(token, field, chunk): bits for token, field, chunk, bits in answer[1]}

    async def _lists(self, waiting: Waiting) -> list[Any] | None:
        """In pieces, all by one process; None if it is lost before the end."""
        process = self._process
        answer = await self._answer("lists_begin")
        for some in in_pieces(waiting.documents):
            if answer is None or self._process is not process:
                return None
            answer = await self._answer("lists_add", some)
        if answer is None or self._process is not process:
            return None
        return await self._answer("lists_end", waiting.groups)

    def _count(self, operations: int) -> None:
        """A process is wanted for thousands within seconds; the changes of a day are checked here."""
        now = trio.current_time()
        if now - self._counted_since > _WITHIN_S:
            self._counted, self._counted_since = 0, now
        self._counted += operations
        if self._counted >= _WORTH_A_START:
            self._wanted.set()

    async def _answer(self, *question: object) -> list[Any] | None:
        """What the process answers; None where there is none, or it is lost before."""
        process = self._process
        if process is None:
            return None
        assert process.stdin is not None
        asked, data = _Asked(), msgpack.packb(question)
        async with self._sending:
            if process is not self._process:
                return None
            if not self._asked:
                self._used_at = trio.current_time()
            self._asked.append(asked)
            try:
                await process.stdin.send_all(len(data).to_bytes(LENGTH_BYTES, "big") + data)
            except (trio.BrokenResourceError, trio.ClosedResourceError):
                pass  # whoever reads its answers finds that it is lost
            except trio.Cancelled:
                process.kill()  # it has half of a question
                raise
        await asked.is_over.wait()
        return asked.answer

    async def _serve(self) -> None:
        """One process, from its start until nothing was asked of it for a while."""
        try:
            process = await trio.lowlevel.open_process(
                self._command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, env={}, start_new_session=True
            )
        except OSError as error:
            _logger.warning("no process for feeds", reason=str(error))
            await trio.sleep(_IDLE_S)
            return
        self._process, self._used_at, self.ended = process, trio.current_time(), trio.Event()
        try:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(self._read_answers, process)
                while self._asked or trio.current_time() < self._used_at + self._idle_s:
                    await trio.sleep(min(self._idle_s, self._silent_s))
                    if self._asked and trio.current_time() >= self._used_at + self._silent_s:
                        raise _LostError("it answers nothing")
                nursery.cancel_scope.cancel()
        except* (_LostError, trio.BrokenResourceError) as group:
            _logger.warning("the process for feeds is lost", reason=str(group.exceptions[0]))
        finally:
            self._process = None
            while self._asked:
                self._asked.popleft().is_over.set()
            with trio.CancelScope(shield=True):
                await _end(process)
            self.ended.set()

    async def _read_answers(self, process: trio.Process) -> None:
        assert process.stdout is not None
        while True:
            size = int.from_bytes(await _receive(process.stdout, LENGTH_BYTES), "big")
            if size > _MAX_ANSWER_BYTES or not self._asked:
                raise _LostError(f"an answer of {size} bytes to {len(self._asked)} questions")
            data = await _receive(process.stdout, size)
            try:
                answer = msgpack.unpackb(data)
            except ValueError as error:
                raise _LostError("an answer that is no msgpack") from error
            asked = self._asked.popleft()
            asked.answer = answer
            asked.is_over.set()
            self._used_at = trio.current_time()


class _LostError(Exception):
    """The process ended, or said what it never says."""


async def _end(process: trio.Process) -> None:
    process.kill()
    for stream in (process.stdin, process.stdout):
        assert stream is not None
        await stream.aclose()
    await process.wait()


async def _receive(stream: trio.abc.ReceiveStream, size: int) -> bytes:
    data = bytearray()
    while len(data) < size:
        some = await stream.receive_some(size - len(data))
        if not some:
            raise _LostError("it ended")
        data += some
    return bytes(data)


def _with_facts(raw: bytes, facts: Sequence[Any] | None) -> Operation:
    operation = stored_operation(raw)
    checked = True if facts is None else MailboxFacts(*facts)
    return Operation(operation.leaf, operation.opening, operation.entry, checked)
