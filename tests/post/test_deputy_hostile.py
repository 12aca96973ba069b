"""A member node that lets somebody write as a deputy who is none. Spec: spec/identity.md, 8.3 and 8.5."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import pytest
import trio
import trio.testing

from node.vault.access import Access, Actor, OpenMailbox, Role
from node.vault.database import Transaction
from node.vault.states import DeliveryState
from node.vault.ways import MailboxSecrets
from protocol.codec import encode
from protocol.crypto import SealSecret, SigningSecret
from protocol.delegation import Delegation, Right, sign_delegation
from protocol.entry import MailboxEntry
from protocol.errors import RemoteProtocolError
from protocol.labels import Label
from protocol.logleaf import EventKind
from tests.post.harness import Institution, settled
from tests.post.sharing_scene import DAY_MS, READ, WRITE, entry_of, events, hospital

BRUNO = "bruno@b.example"
Forge = Callable[[Institution, Delegation], bytes]


def mandate(b: Institution) -> Delegation:
    """What bruno might have signed for dora."""
    now_ms = b.world.now_ms()
    return Delegation(
        node=b.node.node_id,
        mailbox=b.people["bruno"].id,
        delegate=b.people["dora"].id,
        rights=WRITE,
        from_ms=now_ms,
        until_ms=now_ms + DAY_MS,
    )


def signed_by(who: str) -> Forge:
    return lambda b, delegation: sign_delegation(delegation, b.people[who].secrets.sign)


def changed(**fields: object) -> Forge:
    """Truly signed by bruno, for something else."""
    return lambda b, delegation: sign_delegation(
        replace(delegation, **fields),  # type: ignore[arg-type]
        b.people["bruno"].secrets.sign,
    )


def of_another_mailbox(b: Institution, delegation: Delegation) -> bytes:
    """Carl's true word, shown for bruno's mailbox."""
    other = replace(delegation, mailbox=b.people["carl"].id)
    return sign_delegation(other, b.people["carl"].secrets.sign)


def over(b: Institution, delegation: Delegation) -> bytes:
    early = replace(delegation, from_ms=delegation.from_ms - 2 * DAY_MS, until_ms=delegation.from_ms)
    return sign_delegation(early, b.people["bruno"].secrets.sign)


def to_come(b: Institution, delegation: Delegation) -> bytes:
    late = replace(delegation, from_ms=delegation.from_ms + DAY_MS, until_ms=delegation.until_ms + DAY_MS)
    return sign_delegation(late, b.people["bruno"].secrets.sign)


def as_a_letter(b: Institution, delegation: Delegation) -> bytes:
    data = sign_delegation(delegation, b.people["bruno"].secrets.sign)
    # The map lies between the outer list's first three bytes and the signature's two and 64.
    inner = data[3:-66]
    return encode([inner, b.people["bruno"].secrets.sign.sign(Label.LETTER, inner)])


def by_the_node(b: Institution, delegation: Delegation) -> bytes:
    return sign_delegation(delegation, SigningSecret(bytes(range(32))))


def pretend(b: Institution, writer: str, by: bytes) -> OpenMailbox:
    """A session in bruno's name that the honest program would never give out."""
    person = b.people[writer]
    actor = Actor(
        id=person.id,
        address=person.address,
        sign=person.secrets.sign,
        role=Role.DEPUTY,
        way=bytes(16),
        rights=(Right.READ, Right.WRITE),
        delegation=by,
    )
    secrets = MailboxSecrets(SealSecret(bytes(range(96))), person.secrets.sign)
    return OpenMailbox(b.people["bruno"].id, BRUNO, secrets, actor)


def trust_everybody(patch: pytest.MonkeyPatch) -> None:
    """The node is the attacker's: it asks nobody who acts whether that still holds."""
    for question in ("check", "check_actor"):
        patch.setattr(Access, question, lambda *_: None)


@pytest.mark.parametrize(
    ("forge", "writer", "code"),
    [
        pytest.param(by_the_node, "dora", "bad_signature", id="signed by the node"),
        pytest.param(signed_by("dora"), "dora", "bad_signature", id="signed by the deputy"),
        pytest.param(as_a_letter, "dora", "bad_signature", id="signed under another label"),
        pytest.param(of_another_mailbox, "dora", "mismatch", id="replayed for another mailbox"),
        pytest.param(changed(rights=READ), "dora", "mismatch", id="may only read"),
        pytest.param(over, "dora", "expired", id="beyond its time"),
        pytest.param(to_come, "dora", "not_yet_valid", id="before its time"),
        pytest.param(signed_by("bruno"), "carl", "unknown_key", id="used by a third"),
        pytest.param(lambda _b, _delegation: b"by the deputy", "dora", "malformed", id="no delegation"),
    ],
)
async def test_forged_mandate_is_unreadable_and_the_sender_is_told(
    autojump_clock: trio.testing.MockClock,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    forge: Forge,
    writer: str,
    code: str,
) -> None:
    async with hospital(tmp_path) as (_, a, b):
        b.people["forged"] = pretend(b, writer, forge(b, mandate(b)))
        with monkeypatch.context() as patch:
            trust_everybody(patch)
            letter = await b.send("forged", "anna@a.example", subject="De la part de Bruno")
        await settled()
        [summary] = await a.inbox("anna")
        assert (summary.letter, summary.problem) == (None, code)
        with pytest.raises(RemoteProtocolError, match=code):
            await a.node.reading.open(a.people["anna"], summary.stored)
        [(_, details)] = events(a, EventKind.UNREADABLE)
        assert details.code == code
        await settled()
        assert await b.states("bruno", letter) == [DeliveryState.UNREADABLE]


async def test_true_mandate_of_such_a_session_is_taken(
    autojump_clock: trio.testing.MockClock, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The counterpart: what fails above fails for its one defect."""
    async with hospital(tmp_path) as (_, a, b):
        b.people["true"] = pretend(b, "dora", signed_by("bruno")(b, mandate(b)))
        with monkeypatch.context() as patch:
            trust_everybody(patch)
            letter = await b.send("true", "anna@a.example")
        await settled()
        assert (await a.read("anna", letter)).deputy == "dora@b.example"


async def test_a_member_node_cannot_name_a_deputy_of_its_own(
    autojump_clock: trio.testing.MockClock, tmp_path: Path
) -> None:
    """Without the owner it can publish other keys, and everybody sees that these do not follow from the former."""
    async with hospital(tmp_path) as (_, a, b):
        before = entry_of(a, BRUNO)
        thief = SigningSecret(bytes(range(32)))
        forged = replace(before, signing_key=thief.verify_key, reset_at_ms=b.world.now_ms())

        def publish(tx: Transaction, items: Sequence[MailboxEntry]) -> list[None]:
            b.node.directory.publish_mailboxes(tx, items)
            return [None] * len(items)

        await b.node.database.write(publish, forged)
        await settled()
        after = entry_of(a, BRUNO)
        assert not after.keys_follow_from(before)
        assert after.reset_at_ms == forged.reset_at_ms
