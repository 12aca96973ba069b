"""A peer with a valid membership that lies: each lie is answered by its code. Spec: spec/delivery.md, 4."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import trio

from node.post.network import LinkError
from node.vault import schema
from node.vault.states import DeliveryState
from protocol.checkpoint import Checkpoint, log_origin, sign_checkpoint
from protocol.crypto import SealSecret, SigningSecret
from protocol.envelope import seal_envelope
from protocol.frames import encode_frame
from protocol.ids import MailboxId, NodeId
from protocol.letter import LetterClass
from protocol.messages import Event, Offer, RangeGet, Result, Wanted, range_pieces
from protocol.slip import SlipRecipient, decode_signed_slip, sign_slip
from tests.post.harness import EPOCH_MS, Federation, MemoryNetwork, settled
from tests.post.liar import Liar, liar_at, rows, seal


async def test_a_true_offer_is_deposited_and_a_replay_changes_nothing(
    autojump_clock: trio.testing.MockClock, tmp_path: Path
) -> None:
    async with liar_at(tmp_path) as (_, a, liar, slip, descriptor, ciphertext):
        await liar.greet()
        envelope = seal(slip, descriptor, a, liar.member.node.keyring.identity)
        first = await liar.ask(Offer(LetterClass.NORMAL, envelope, ciphertext))
        assert isinstance(first, Result)
        assert [item.status for item in first.results] == ["deposited"]
        for again in (envelope, seal(slip, descriptor, a, liar.member.node.keyring.identity)):
            repeated = await liar.ask(Offer(LetterClass.NORMAL, again, ciphertext))
            assert isinstance(repeated, Result)
            assert [item.status for item in repeated.results] == ["deposited"]
        assert rows(a, schema.letters) == 1
        # What was deposited holds no letter: shown as a problem, never as content.
        [summary] = await a.inbox("anna")
        assert summary.letter is None
        assert summary.problem == "malformed"


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"sender_node": NodeId(bytes(32))}, "not_for_us"),
        ({"expires_at_ms": EPOCH_MS}, "expired"),
        ({"sent_at_ms": EPOCH_MS + 3_000_000, "expires_at_ms": EPOCH_MS + 4_000_000}, "not_yet_valid"),
        ({"expires_at_ms": EPOCH_MS + 40 * 86_400_000}, "malformed"),
        ({"statement_number": 3}, "unknown_key"),
    ],
    ids=["another_sender", "expired", "from_the_future", "deadline_too_far", "unknown_statement"],
)
async def test_false_slips_are_refused_as_a_whole(
    autojump_clock: trio.testing.MockClock, tmp_path: Path, change: dict[str, object], code: str
) -> None:
    async with liar_at(tmp_path) as (_, a, liar, slip, descriptor, ciphertext):
        await liar.greet()
        false = replace(slip, **change)  # type: ignore[arg-type]
        envelope = seal(false, descriptor, a, liar.member.node.keyring.identity)
        answer = await liar.ask(Offer(LetterClass.NORMAL, envelope, ciphertext))
        assert isinstance(answer, Result)
        assert answer.code == code
        assert rows(a, schema.letters) == 0


async def test_a_slip_signed_by_another_key_is_refused(autojump_clock: trio.testing.MockClock, tmp_path: Path) -> None:
    async with liar_at(tmp_path) as (_, a, liar, slip, descriptor, ciphertext):
        await liar.greet()
        answer = await liar.ask(
            Offer(LetterClass.NORMAL, seal(slip, descriptor, a, SigningSecret(bytes(32))), ciphertext)
        )
        assert isinstance(answer, Result)
        assert answer.code == "bad_signature"


async def test_an_envelope_for_another_node_is_refused(autojump_clock: trio.testing.MockClock, tmp_path: Path) -> None:
    async with liar_at(tmp_path) as (_, a, liar, slip, descriptor, ciphertext):
        await liar.greet()
        elsewhere = replace(slip, destination=NodeId(bytes(32)))
        envelope = seal(elsewhere, descriptor, a, liar.member.node.keyring.identity)
        answer = await liar.ask(Offer(LetterClass.NORMAL, envelope, ciphertext))
        assert isinstance(answer, Result)
        assert answer.code == "not_for_us"


async def test_an_envelope_sealed_to_an_unknown_key_is_refused(
    autojump_clock: trio.testing.MockClock, tmp_path: Path
) -> None:
    async with liar_at(tmp_path) as (_, _a, liar, slip, descriptor, ciphertext):
        await liar.greet()
        signed = decode_signed_slip(sign_slip(slip, liar.member.node.keyring.identity))
        envelope = seal_envelope(signed, seal_key=SealSecret(bytes(96)).seal_key, descriptor=descriptor)
        answer = await liar.ask(Offer(LetterClass.NORMAL, envelope, ciphertext))
        assert isinstance(answer, Result)
        assert answer.code == "unknown_key"


async def test_unknown_mailbox_is_refused_with_evidence(autojump_clock: trio.testing.MockClock, tmp_path: Path) -> None:
    async with liar_at(tmp_path) as (_, a, liar, slip, descriptor, ciphertext):
        await liar.greet()
        nobody = SlipRecipient(MailboxId(bytes(16)), slip.recipients[0].wrap)
        envelope = seal(replace(slip, recipients=(nobody,)), descriptor, a, liar.member.node.keyring.identity)
        answer = await liar.ask(Offer(LetterClass.NORMAL, envelope, ciphertext))
        assert isinstance(answer, Result)
        [result] = answer.results
        assert (result.status, result.code) == ("refused", "unknown_mailbox")
        assert result.evidence


async def test_inline_payload_that_does_not_match_is_refused(
    autojump_clock: trio.testing.MockClock, tmp_path: Path
) -> None:
    async with liar_at(tmp_path) as (_, a, liar, slip, descriptor, ciphertext):
        await liar.greet()
        envelope = seal(slip, descriptor, a, liar.member.node.keyring.identity)
        altered = bytes([ciphertext[0] ^ 1]) + ciphertext[1:]
        answer = await liar.ask(Offer(LetterClass.NORMAL, envelope, altered))
        assert isinstance(answer, Result)
        assert answer.code == "mismatch"


async def test_pulled_payload_that_does_not_match_ends_the_link(
    autojump_clock: trio.testing.MockClock, tmp_path: Path
) -> None:
    async with liar_at(tmp_path) as (_, a, liar, slip, descriptor, ciphertext):
        await liar.greet()
        envelope = seal(slip, descriptor, a, liar.member.node.keyring.identity)
        assert isinstance(await liar.ask(Offer(LetterClass.NORMAL, envelope)), Wanted)
        request = await liar.asked(RangeGet)
        await liar.answer(request, *range_pieces(bytes(len(ciphertext)), last=True))
        assert await liar.end() == "mismatch"
        assert rows(a, schema.letters) == 0


@pytest.mark.parametrize(
    ("junk", "code"),
    [
        (encode_frame(16, 1, b"junk"), "malformed"),
        (encode_frame(99, 1, b""), "malformed"),
        ((0x7FFFFFFF).to_bytes(4, "big"), "too_large"),
        (encode_frame(17, 1, b"\x80"), "wrong_state"),
    ],
    ids=["no_offer", "unknown_type", "huge_frame", "answer_to_nothing"],
)
async def test_junk_ends_the_link_with_its_reason(
    autojump_clock: trio.testing.MockClock, tmp_path: Path, junk: bytes, code: str
) -> None:
    async with liar_at(tmp_path) as (_, _a, liar, _slip, _descriptor, _ciphertext):
        await liar.greet()
        await liar.stream.send_all(junk)
        assert await liar.end() == code


async def test_hello_of_another_node_ends_the_link(autojump_clock: trio.testing.MockClock, tmp_path: Path) -> None:
    async with liar_at(tmp_path) as (_, _a, liar, _slip, _descriptor, _ciphertext):
        await liar.greet(node=NodeId(bytes(32)))
        assert await liar.end() == "mismatch"


async def test_a_head_that_does_not_extend_the_last_one_raises_the_alarm(
    autojump_clock: trio.testing.MockClock, tmp_path: Path
) -> None:
    async with liar_at(tmp_path) as (federation, a, liar, _slip, _descriptor, _ciphertext):
        keyring = liar.member.node.keyring
        origin = log_origin(liar.member.node.node_id, 1)

        async def shown(size: int, root: bytes) -> bytes | None:
            network = federation.hub.networks[keyring.chain.certificates()[0]]
            other = Liar(liar.member, await network.dial("a:1"))
            await other.greet(heads=(sign_checkpoint(Checkpoint(origin, size, root), keyring.log),))
            # A peer that shows an older head is given a minute to move on.
            await trio.sleep(75)
            await trio.aclose_forcefully(other.stream)
            peers = await a.node.database.read(a.node.peers.all)
            return next(peer.alarm for peer in peers if peer.node_id == liar.member.node.node_id)

        assert await shown(7, bytes(32)) is None
        assert await shown(5, bytes(32)) is not None
        # Mail goes on all the same.
        peers = await a.node.database.read(a.node.peers.accepted)
        assert len(peers) == 1


async def test_false_evidence_is_not_believed(autojump_clock: trio.testing.MockClock, tmp_path: Path) -> None:
    async with Federation.pair(tmp_path) as (federation, a, b):
        letter = await a.send("anna", "bruno@b.example")
        await settled()
        await b.stop()
        network = federation.hub.networks[b.node.keyring.chain.certificates()[0]]
        liar = Liar(b, await network.dial("a:1"))
        await liar.greet()
        await liar.stream.send_all(liar.link.request(Event(b"\x81\xa1a\x01"))[1])
        assert await liar.end() in ("malformed", "mismatch")
        assert await a.states("anna", letter) == [DeliveryState.DEPOSITED]


async def test_a_stranger_does_not_get_past_the_handshake(
    autojump_clock: trio.testing.MockClock, tmp_path: Path
) -> None:
    async with Federation.pair(tmp_path) as (federation, _a, _b):
        stranger = MemoryNetwork(federation.hub, b"a stranger's certificate")
        stranger.pin(list(federation.hub.networks))
        with pytest.raises(LinkError, match="handshake"):
            await stranger.dial("a:1")
