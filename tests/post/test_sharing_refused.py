"""Who may not share or act, and what a closed mailbox ends. Spec: spec/identity.md, 8."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest
import trio
import trio.testing

from node.errors import ConfigError, NotFoundError, StateError
from protocol.crypto import Secret
from protocol.logleaf import EventKind
from tests.post.harness import Institution
from tests.post.sharing_scene import BRUNO, CARL, DAY_MS, DORA, READ, WARD, WRITE, delegate, entry_of, events, hospital


async def test_nobody_goes_on_from_a_mailbox_that_is_not_the_own(
    autojump_clock: trio.testing.MockClock, tmp_path: Path
) -> None:
    async with hospital(tmp_path) as (_, _a, b):
        sharing = b.node.sharing
        await sharing.add_member(b.people["ward"], BRUNO)
        await delegate(b, "bruno", "dora", rights=WRITE)
        deputy = await b.log_in("dora", "bruno", keep_as="dora as bruno")
        with pytest.raises(StateError, match="cannot go on from there"):
            await sharing.act_as(deputy, WARD)
        with pytest.raises(StateError, match=r"only bruno@b.example itself names a deputy"):
            await delegate(b, "dora as bruno", "carl")
        with pytest.raises(StateError, match="a deputy adds no members"):
            await sharing.add_member(deputy, CARL)
        with pytest.raises(StateError, match=r"only bruno@b.example itself changes its password"):
            await b.node.mailboxes.change_password(deputy, Secret(b"another password"))
        # bruno gets new keys; the membership goes with them, and what dora saw of the old ones opens nothing.
        await sharing.revoke(BRUNO, DORA)
        await b.log_in("bruno")
        await b.log_in("bruno", "ward")


async def _foreign(b: Institution) -> None:
    await delegate_to(b, "anna@a.example")


async def _foreign_member(b: Institution) -> None:
    await b.node.sharing.add_member(b.people["ward"], "anna@a.example")


async def delegate_to(b: Institution, address: str, *, owner: str = "bruno", days: float = 1, start: float = 0) -> None:
    now_ms = b.world.now_ms()
    from_ms, until_ms = now_ms + int(start * DAY_MS), now_ms + int(days * DAY_MS)
    await b.node.sharing.delegate(b.people[owner], address, rights=READ, from_ms=from_ms, until_ms=until_ms)


@pytest.mark.parametrize(
    ("attempt", "error", "reason"),
    [
        pytest.param(_foreign, ConfigError, "another institution", id="foreign deputy"),
        pytest.param(_foreign_member, ConfigError, "another institution", id="foreign member"),
        pytest.param(lambda b: delegate_to(b, "nobody@b.example"), NotFoundError, "no mailbox", id="unknown"),
        pytest.param(lambda b: delegate_to(b, BRUNO), ConfigError, "own deputy", id="own deputy"),
        pytest.param(lambda b: delegate_to(b, WARD), StateError, "no person's mailbox", id="service as deputy"),
        pytest.param(lambda b: delegate_to(b, DORA, owner="ward"), StateError, "no deputies", id="deputy of service"),
        pytest.param(lambda b: delegate_to(b, DORA, days=-1, start=-2), ConfigError, "in the past", id="past"),
        pytest.param(lambda b: delegate_to(b, DORA, days=1, start=2), ConfigError, "after it begins", id="backwards"),
        pytest.param(lambda b: delegate_to(b, DORA, days=401), ConfigError, "400 days", id="too long"),
        pytest.param(
            lambda b: b.node.sharing.add_member(b.people["bruno"], DORA),
            StateError,
            "no members",
            id="member of person",
        ),
        pytest.param(lambda b: b.node.sharing.remove_member(WARD, DORA), NotFoundError, "no such role", id="no member"),
        pytest.param(lambda b: b.node.sharing.revoke(BRUNO, DORA), NotFoundError, "no such role", id="no deputy"),
    ],
)
async def test_who_may_not_act_is_refused_with_the_reason(
    autojump_clock: trio.testing.MockClock,
    tmp_path: Path,
    attempt: Callable[[Institution], Awaitable[None]],
    error: type[Exception],
    reason: str,
) -> None:
    async with hospital(tmp_path) as (_, _a, b):
        with pytest.raises(error, match=reason):
            await attempt(b)
        assert events(b, EventKind.MEMBER_ADDED, EventKind.DELEGATION_ADDED) == []


async def test_naming_somebody_twice_and_a_closed_mailbox_are_refused(
    autojump_clock: trio.testing.MockClock, tmp_path: Path
) -> None:
    async with hospital(tmp_path) as (_, _a, b):
        await b.node.sharing.add_member(b.people["ward"], DORA)
        with pytest.raises(StateError, match=r"is a member of ward@b.example already"):
            await b.node.sharing.add_member(b.people["ward"], DORA)
        await b.node.mailboxes.close(CARL)
        with pytest.raises(StateError, match=r"carl@b.example is closed"):
            await b.node.sharing.add_member(b.people["ward"], CARL)


async def test_closing_a_mailbox_ends_what_it_gave_and_what_it_held(
    autojump_clock: trio.testing.MockClock, tmp_path: Path
) -> None:
    async with hospital(tmp_path) as (_, _a, b):
        sharing = b.node.sharing
        await sharing.add_member(b.people["ward"], DORA)
        await delegate(b, "bruno", "dora")
        await delegate(b, "dora", "carl")
        await b.node.mailboxes.close(DORA)
        assert await sharing.held_by(DORA) == await sharing.held_by(CARL) == []
        before = entry_of(b, WARD)
        await b.log_in("ward")
        assert entry_of(b, WARD).keys_follow_from(before)
        assert entry_of(b, WARD) != before
