"""A process that checks feeds and makes their lists: the same answers as here, and none lost when it is."""

from __future__ import annotations

import gc
import os
import resource
import signal
import sys
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from typing import Any, Final

import pytest
import trio
from hypothesis import given
from hypothesis import strategies as st

from directory_sync.follow import check_here
from node.feed_process.asking import FeedProcess
from node.feed_process.work import main, prepare
from node.vault.mailbox_facts import MailboxFacts
from node.vault.search.listing import Waiting
from node.vault.search.shown import ShownInstitution, ShownMailbox
from node.world import run_in_thread
from protocol.entry import MailboxEntry
from protocol.errors import RemoteProtocolError
from protocol.feed import Operation, OperationKind, make_operation
from protocol.ids import MailboxId
from spec.vectors.make_feed import INSTITUTION, OPENING, SUBJECTS, mailbox

COUNT: Final = 40


def published(entry: MailboxEntry, subject: MailboxId | None = None) -> bytes:
    return make_operation(OperationKind.MAILBOX, subject or entry.mailbox, 1, entry.encode(), OPENING).encode()


def subject(number: int) -> MailboxId:
    return MailboxId(number.to_bytes(15, "big") + b"\x01")


GOOD: Final = [
    make_operation(OperationKind.INSTITUTION, SUBJECTS[0], 1, INSTITUTION.encode(), OPENING).encode(),
    published(mailbox(subject(900), listed=False)),
    make_operation(OperationKind.ERASE, SUBJECTS[1], 2, b"", OPENING).encode(),
    *[published(mailbox(subject(number), name=f"Dr Étoile {number}")) for number in range(COUNT - 3)],
]
BAD: Final = {
    "another mailbox": published(mailbox(subject(1)), subject(2)),
    "another entry": GOOD[-1][:-1] + bytes([GOOD[-1][-1] ^ 1]),
    "cut off": GOOD[-1][:-1],
    "nothing": b"",
    "no entry": make_operation(OperationKind.MAILBOX, subject(7), 1, b"\x80", OPENING).encode(),
}


def with_facts(operations: Sequence[Operation]) -> list[tuple[Operation, object]]:
    """With what is kept beside an entry, wherever it was read."""
    found: list[tuple[Operation, object]] = []
    for item in operations:
        facts = MailboxFacts.of(item.checked) if isinstance(item.checked, MailboxEntry) else item.checked
        found.append((item, facts))
    return found


async def until_started(process: FeedProcess) -> None:
    while process.pid is None:
        await process.check(GOOD)


def run(body: Callable[[FeedProcess], Awaitable[None]], **options: Any) -> None:
    async def all_of_it() -> None:
        process = FeedProcess(run_in_thread, **options)
        with trio.fail_after(60):
            async with trio.open_nursery() as nursery:
                nursery.start_soon(process.run)
                await body(process)
                nursery.cancel_scope.cancel()
        assert process.pid is None

    trio.run(all_of_it)


def test_it_says_what_is_said_here() -> None:
    async def body(process: FeedProcess) -> None:
        await until_started(process)
        there = await process.check(GOOD)
        assert isinstance(there[-1].checked, MailboxFacts)
        assert with_facts(there) == with_facts(await check_here(GOOD))

    run(body)


@pytest.mark.parametrize("name", BAD)
def test_it_refuses_what_is_refused_here(name: str) -> None:
    async def body(process: FeedProcess) -> None:
        await until_started(process)
        operations = [*GOOD, BAD[name]]
        with pytest.raises(RemoteProtocolError) as here:
            await check_here(operations)
        with pytest.raises(RemoteProtocolError) as there:
            await process.check(operations)
        assert (there.value.reason, there.value.detail) == (here.value.reason, here.value.detail)
        assert process.pid is not None  # what is refused ends nothing

    run(body)


@given(st.integers(0, COUNT - 1), st.data())
def test_any_byte_changed_is_refused_alike(at: int, data: st.DataObject) -> None:
    raw = bytearray(GOOD[at])
    raw[data.draw(st.integers(0, len(raw) - 1))] ^= data.draw(st.integers(1, 255))
    said = answers(["check", [bytes(raw)]])[0]

    refused: list[object] = [True]

    async def here() -> None:
        try:
            await check_here([bytes(raw)])
        except RemoteProtocolError as error:
            refused[:] = [False, error.reason.value, error.detail]

    trio.run(here)
    assert said[: len(refused)] == refused


def answers(*questions: object) -> list[Any]:
    """What the process's main loop answers, in this one."""
    import io

    import msgpack

    requests, replies = io.BytesIO(), io.BytesIO()
    for question in questions:
        data = msgpack.packb(question)
        requests.write(len(data).to_bytes(4, "big") + data)
    requests.seek(0)
    main(requests, replies)
    replies.seek(0)
    found = []
    while head := replies.read(4):
        found.append(msgpack.unpackb(replies.read(int.from_bytes(head, "big"))))
    return found


def test_limits_that_may_not_be_set_are_left(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[int] = []

    def forbidden(limit: int, _most: tuple[int, int]) -> None:
        asked.append(limit)
        raise ValueError("not allowed to raise maximum limit")

    monkeypatch.setattr(resource, "setrlimit", forbidden)
    monkeypatch.setattr(gc, "set_threshold", lambda *_: None)
    prepare()
    assert asked == [resource.RLIMIT_CORE, resource.RLIMIT_AS]


def test_what_lies_in_the_folder_is_not_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "node").mkdir()
    (tmp_path / "node" / "__init__.py").write_text("raise SystemExit('not of the program')\n")
    monkeypatch.chdir(tmp_path)

    async def body(process: FeedProcess) -> None:
        await until_started(process)
        assert isinstance((await process.check(GOOD))[-1].checked, MailboxFacts)

    run(body)


def test_input_that_ends_halfway_is_an_end() -> None:
    import io

    replies = io.BytesIO()
    main(io.BytesIO(b"\x00\x00"), replies)
    main(io.BytesIO(b"\x00\x00\x00\x09abc"), replies)
    assert replies.getvalue() == b""


def waiting() -> Waiting:
    shown = [
        ShownMailbox.of(mailbox(subject(number), name=f"Dr Étoile {number}", address=f"e{number}@clinic.example"))
        for number in range(70_000, 74_500)
    ]
    group = ShownInstitution.of(INSTITUTION, "clinic.example").encode()
    documents = [(65_520 + at, 3, item.encode()) for at, item in enumerate(shown)]
    return Waiting(65_520, 70_020, documents, [(3, group)])


def test_it_makes_the_lists_that_are_made_here() -> None:
    async def body(process: FeedProcess) -> None:
        assert process.pid is None
        here = waiting().lists()
        assert await process.lists(waiting()) == here
        await until_started(process)
        assert await process.lists(waiting()) == here
        assert process.pid is not None

    run(body)


def test_killed_between_pieces_the_lists_are_made_here() -> None:
    async def body(process: FeedProcess) -> None:
        here = waiting().lists()
        for turns in (1, 3, 9, 27):
            await until_started(process)
            made: list[object] = []

            async def lists(made: list[object] = made) -> None:
                made.append(await process.lists(waiting()))

            async with trio.open_nursery() as nursery:
                nursery.start_soon(lists)
                for _ in range(turns):
                    await process.check(GOOD)
                if process.pid is not None:
                    os.kill(process.pid, signal.SIGKILL)
            assert made == [here]

    run(body)


def test_lists_given_up_leave_nothing_to_the_next() -> None:
    async def body(process: FeedProcess) -> None:
        await until_started(process)
        with trio.move_on_after(0):
            await process.lists(waiting())
        for _ in range(3):
            async with trio.open_nursery() as nursery:
                nursery.start_soon(process.lists, waiting())
                await process.check(GOOD)
                nursery.cancel_scope.cancel()
        assert await process.lists(waiting()) == waiting().lists()

    run(body)


def test_killed_at_any_time_no_answer_is_lost_and_it_comes_again() -> None:
    async def body(process: FeedProcess) -> None:
        done: list[Sequence[Operation]] = []

        async def ask() -> None:
            for _ in range(20):
                done.append(await process.check(GOOD))

        for _ in range(3):
            await until_started(process)
            async with trio.open_nursery() as nursery:
                for _ in range(4):
                    nursery.start_soon(ask)
                await trio.lowlevel.checkpoint()
                assert process.pid is not None
                os.kill(process.pid, signal.SIGKILL)
        expected = with_facts(await check_here(GOOD))
        assert len(done) == 3 * 4 * 20
        assert all(with_facts(item) == expected for item in done)

    run(body)


def test_who_gives_up_leaves_the_others_their_answers() -> None:
    async def body(process: FeedProcess) -> None:
        await until_started(process)
        expected = with_facts(await check_here(GOOD[:20]))
        for turns in range(30):
            async with trio.open_nursery() as nursery:
                scope = trio.CancelScope()

                async def gives_up(scope: trio.CancelScope = scope) -> None:
                    with scope:
                        await process.check(GOOD * 50)

                nursery.start_soon(gives_up)
                for _ in range(turns):
                    await trio.lowlevel.checkpoint()
                scope.cancel()
                assert with_facts(await process.check(GOOD[:20])) == expected

    run(body)


LIES: Final = {
    "says nothing and ends": "pass",
    "says what nobody asked": "import sys; sys.stdout.buffer.write(bytes(8)); sys.stdout.flush();"
    " sys.stdin.buffer.read()",
    "says too much": "import sys; sys.stdin.buffer.read(1); sys.stdout.buffer.write(b'\\xff' * 8); sys.stdout.flush()",
    "says no msgpack": "import sys; sys.stdin.buffer.read(1);"
    " sys.stdout.buffer.write(bytes([0, 0, 0, 1, 0xC1])); sys.stdout.flush(); sys.stdin.buffer.read()",
}


@pytest.mark.parametrize("lie", LIES)
def test_one_that_lies_is_lost_and_the_work_is_done(lie: str) -> None:
    async def body(process: FeedProcess) -> None:
        expected = with_facts(await check_here(GOOD))
        for _ in range(200):
            assert with_facts(await process.check(GOOD)) == expected

    run(body, command=[sys.executable, "-c", LIES[lie]])


def test_one_that_hangs_is_lost_and_the_work_is_done() -> None:
    async def body(process: FeedProcess) -> None:
        await until_started(process)
        assert process.pid is not None
        os.kill(process.pid, signal.SIGSTOP)
        expected = with_facts(await check_here(GOOD))
        found: list[object] = []

        async def ask() -> None:
            found.append(with_facts(await process.check(GOOD)))

        async with trio.open_nursery() as nursery:
            for _ in range(200):  # more than a pipe holds
                nursery.start_soon(ask)
        assert found == [expected] * 200

    run(body, silent_s=0.2)


def test_one_that_cannot_be_started_is_done_without(tmp_path: Path) -> None:
    async def body(process: FeedProcess) -> None:
        for _ in range(100):
            assert len(await process.check(GOOD)) == COUNT

    run(body, command=[str(tmp_path / "nothing")])


def test_few_operations_start_none_and_an_idle_one_ends() -> None:
    async def body(process: FeedProcess) -> None:
        await process.check(GOOD)
        assert process.pid is None
        await until_started(process)
        ended = process.ended
        await ended.wait()
        assert process.pid is None
        await until_started(process)

    run(body, idle_s=0.01)
