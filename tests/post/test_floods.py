"""A member that floods: memory and disk stay bounded, and others are served meanwhile.

Spec: spec/threat-model.md; spec/delivery.md, 5.
"""

from __future__ import annotations

import gc
import tracemalloc
from dataclasses import replace
from pathlib import Path
from typing import Final

import pytest
import sqlalchemy as sa
import trio
from trio.testing import MockClock

from node.audit.log import LeafRef, read_evidence
from node.vault import schema
from node.vault.states import DeliveryState
from protocol.codec import decode, encode
from protocol.envelope import decode_envelope, open_envelope, seal_envelope
from protocol.evidence import box_evidence
from protocol.frames import encode_frame
from protocol.ids import LetterId, MailboxId
from protocol.labels import Label
from protocol.letter import LetterClass
from protocol.merkle import leaf_hash, root_of
from protocol.messages import HashesGet, MailboxResult, Offer, RangeGet, Result, Wanted, hashes_pieces, range_pieces
from protocol.payload import CHUNK_BYTES, TAG_BYTES, Descriptor
from protocol.slip import SignedSlip, SlipRecipient
from tests.post.harness import Federation, Institution, MemoryNetwork, settled
from tests.post.liar import Liar, delivered_meanwhile, liar_at, rows, seal, true_slip, with_a_third

MIB: Final = 1024 * 1024
_WINDOW: Final = 64


def folder_bytes(institution: Institution) -> int:
    return sum(path.stat().st_size for path in institution.path.rglob("*") if path.is_file())


async def another(federation: Federation, evil: Institution) -> Liar:
    """One more link of the same member."""
    network = MemoryNetwork(federation.hub, evil.node.keyring.chain.certificates()[0])
    network.pin([certificate for certificate in federation.hub.networks if certificate != network.certificate])
    liar = Liar(evil, await network.dial("a:1"))
    await liar.greet()
    return liar


def crowded(evil: Institution, a: Institution, count: int) -> bytes:
    """An envelope whose slip names so many mailboxes, which no constructor of ours makes."""
    slip, descriptor, _ = true_slip(a, evil)
    fields = decode(SignedSlip.sign(slip, evil.node.keyring.identity).slip_bytes, max_bytes=65536)
    assert isinstance(fields, dict)
    fields["rcp"] = [{"mb": place.to_bytes(16, "big"), "wrap": slip.recipients[0].wrap} for place in range(count)]
    data = encode(fields)
    raw = encode([data, evil.node.keyring.identity.sign(Label.SLIP, data)])
    return seal_envelope(
        SignedSlip(slip, data, b"", raw), seal_key=a.node.keyring.chain.current.seal_keys[0], descriptor=descriptor
    )


async def test_huge_envelopes_that_nobody_sealed(autojump_clock: MockClock, tmp_path: Path) -> None:
    """600 envelopes of 56 KiB, 64 of them unanswered at any time: 33 MiB offered, next to nothing kept."""
    async with with_a_third(tmp_path) as (_, a, b, liar):
        huge = bytearray(crowded(liar.member, a, 40))
        await settled()
        disk_before = folder_bytes(a)
        gc.collect()
        tracemalloc.start()
        try:
            before = tracemalloc.get_traced_memory()[0]
            for place in range(600):
                huge[-8:] = place.to_bytes(8, "big")  # its box does not open
                await liar.stream.send_all(liar.link.request(Offer(LetterClass.NORMAL, bytes(huge)))[1])
                if place % _WINDOW == _WINDOW - 1:
                    for _ in range(_WINDOW):
                        await liar.replied("bad_box")
            await delivered_meanwhile(a, b)
            gc.collect()
            kept, peak = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()
        assert peak - before < 24 * MIB
        assert kept - before < 4 * MIB
        assert folder_bytes(a) - disk_before < MIB
        assert rows(a, schema.letters) == 2  # the two of `delivered_meanwhile`: one sent, one received


async def test_tiny_envelopes_beyond_the_window_end_the_link(autojump_clock: MockClock, tmp_path: Path) -> None:
    async with with_a_third(tmp_path) as (_, a, b, liar):
        slip, descriptor, _ = true_slip(a, liar.member)
        envelope = seal(slip, descriptor, a, liar.member.node.keyring.identity)
        body = Offer(LetterClass.NORMAL, envelope).encode()
        flood = b"".join(encode_frame(Offer.TYPE, 2 * stream + 1, body) for stream in range(1000))
        await liar.stream.send_all(flood)
        assert await liar.end() == "overload"
        await settled()
        await delivered_meanwhile(a, b)


@pytest.mark.parametrize("recipients", [41, 48])
async def test_slip_with_more_recipients_than_allowed(
    autojump_clock: MockClock, tmp_path: Path, recipients: int
) -> None:
    async with liar_at(tmp_path) as (_, a, liar, _slip, _descriptor, ciphertext):
        await liar.greet()
        answer = await liar.offer(crowded(liar.member, a, recipients), ciphertext)
        assert answer.code == "malformed"
        assert rows(a, schema.letters) == 0


async def test_slip_to_mailboxes_that_do_not_exist_costs_evidence_and_no_more(
    autojump_clock: MockClock, tmp_path: Path
) -> None:
    """Refusals of a mailbox are on record, with the sender's signature: the flood itself is evidence against it."""
    async with liar_at(tmp_path) as (_, a, liar, slip, descriptor, ciphertext):
        await liar.greet()
        disk_before = folder_bytes(a)
        wrap = slip.recipients[0].wrap
        for round_number in range(5):
            nobody = tuple(SlipRecipient(MailboxId(bytes([round_number, place] * 8)), wrap) for place in range(40))
            false = replace(slip, letter_id=LetterId(bytes([round_number] * 16)), recipients=nobody)
            answer = await liar.offer(seal(false, descriptor, a, liar.member.node.keyring.identity), ciphertext)
            assert {item.code for item in answer.results} == {"unknown_mailbox"}
        assert rows(a, schema.payloads) == 0
        assert folder_bytes(a) - disk_before < 4 * MIB


class Endless:
    """A payload of 64 MiB of which the liar serves as much as it likes: every chunk of it verifies."""

    def __init__(self, number: int) -> None:
        self.chunk = number.to_bytes(4, "big") * (CHUNK_BYTES // 4) + bytes(TAG_BYTES)
        count = 64 * MIB // CHUNK_BYTES
        self.hashes = [leaf_hash(self.chunk)] * count
        self.descriptor = Descriptor(bytes(32), count * CHUNK_BYTES, root_of(self.hashes))

    async def offer(self, liar: Liar, a: Institution, number: int) -> None:
        """Offer a true letter with this payload."""
        slip, _, _ = true_slip(a, liar.member)
        slip = replace(slip, letter_id=LetterId(number.to_bytes(16, "big")), payload_id=self.descriptor.payload_id)
        envelope = seal(slip, self.descriptor, a, liar.member.node.keyring.identity)
        assert isinstance(await liar.ask(Offer(LetterClass.NORMAL, envelope)), Wanted)


async def test_payloads_begun_and_never_ended(autojump_clock: MockClock, tmp_path: Path) -> None:
    """Each of 24 links brings 2 MiB of another payload and breaks off: 8 MiB of it all stay, and a day later none."""
    async with with_a_third(tmp_path) as (federation, a, b, liar):
        evil, limit = liar.member, 72 * MIB
        await a.stop()
        limits = a.node.settings.limits.model_copy(update={"peer_unfinished_bytes": limit})
        a.node.settings = a.node.settings.model_copy(update={"limits": limits})
        await a.start()
        disk_before = folder_bytes(a)
        for number in range(24):
            liar = await another(federation, evil)
            endless = Endless(number)
            await endless.offer(liar, a, number)
            await liar.answer(await liar.asked(HashesGet), *hashes_pieces(b"".join(endless.hashes)))
            request = await liar.asked(RangeGet)
            assert isinstance(request.message, RangeGet)
            await liar.answer(request, *range_pieces(endless.chunk * request.message.count, last=True))
            await trio.sleep(1)
            await trio.aclose_forcefully(liar.stream)
            await trio.sleep(1)
        # A payload of 64 MiB under way leaves 8 MiB for what was broken off: four of them; and the last one itself.
        kept = folder_bytes(a) - disk_before
        assert 2 * MIB <= kept <= 13 * MIB
        await delivered_meanwhile(a, b)
        await trio.sleep(2 * 86_400)
        assert folder_bytes(a) - disk_before < 2 * MIB
        assert await a.node.database.read(a.node.payloads.left_by, evil.node.node_id) == []


async def test_payload_of_which_nothing_comes_gives_up_its_place(autojump_clock: MockClock, tmp_path: Path) -> None:
    """Asked for, and never served while the link is kept alive: after ten minutes without a byte it is given up."""
    async with with_a_third(tmp_path) as (_, a, b, liar):
        await Endless(1).offer(liar, a, 1)
        await liar.asked(HashesGet)
        await liar.stay(seconds=720)
        await delivered_meanwhile(a, b)
        assert rows(a, schema.payloads) == 2  # of `delivered_meanwhile`


def claimed(b: Institution, envelope: bytes, with_evidence: bool) -> Result:
    """B's word that it deposited this envelope, with its true evidence of an earlier one, boxed as it should be."""
    opened = decode_envelope(envelope)
    slip = open_envelope(opened, b.node.keyring.seal_secrets()).slip
    evidence = b""
    if with_evidence:
        with b.node.database.engines.reader.connect() as connection:
            row = connection.execute(sa.select(schema.seen_deliveries)).one()
            ref = LeafRef(row.epoch, row.position)
            earlier = read_evidence(connection, b.node.keys, ref)
            assert earlier is not None
            evidence = box_evidence(earlier, reply_key=slip.reply_key, envelope_id=opened.envelope_id)
    claim = MailboxResult(mailbox=b.people["bruno"].id, status="deposited", evidence=evidence)
    return Result(opened.envelope_id, (claim,))


async def test_acknowledgement_for_what_it_did_not_take(autojump_clock: MockClock, tmp_path: Path) -> None:
    """A destination says "deposited" with the evidence of another letter, or with none: the sender believes neither."""
    async with Federation.pair(tmp_path) as (federation, a, b):
        first = await a.send("anna", "bruno@b.example")
        await settled()
        await b.stop()
        waiting = await a.send("anna", "bruno@b.example")
        network = MemoryNetwork(federation.hub, b.node.keyring.chain.certificates()[0])
        network.pin([a.node.keyring.chain.certificates()[0]])
        for with_evidence in (False, True):
            liar = Liar(b, await network.dial("a:1"))
            await liar.greet()
            offer = await liar.asked(Offer)
            assert isinstance(offer.message, Offer)
            await liar.answer(offer, claimed(b, offer.message.envelope, with_evidence))
            await settled()
            assert await a.states("anna", waiting) == [DeliveryState.WAITING]
            await trio.aclose_forcefully(liar.stream)
        await b.start()
        await trio.sleep(2 * 3600)
        for letter in (first, waiting):
            assert await a.states("anna", letter) == [DeliveryState.DEPOSITED]


async def test_refusals_of_one_sender_are_on_record_within_bounds(
    autojump_clock: MockClock, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Each refusal is a leaf, for ever. Beyond so many they are put off, and what can be deposited still is."""
    monkeypatch.setattr("node.post.intake._REFUSALS_AT_ONCE", 60)
    async with with_a_third(tmp_path) as (federation, a, b, liar):
        slip, descriptor, ciphertext = true_slip(a, liar.member)
        anna, wrap = slip.recipients[0], slip.recipients[0].wrap

        async def results(number: int, count: int, *also: SlipRecipient) -> set[tuple[str, str]]:
            nobody = tuple(SlipRecipient(MailboxId(bytes([number, place] * 8)), wrap) for place in range(count))
            false = replace(slip, letter_id=LetterId(bytes([number] * 16)), recipients=(*also, *nobody))
            answer = await liar.offer(seal(false, descriptor, a, liar.member.node.keyring.identity), ciphertext)
            return {(item.status, item.code) for item in answer.results}

        assert await results(1, 40) == {("refused", "unknown_mailbox")}
        leaves = rows(a, schema.log_leaves)
        assert await results(2, 30) == {("deferred", "busy")}
        assert rows(a, schema.log_leaves) == leaves
        # slip.letter_id names the key of anna's wrap: her letter arrives, the others wait.
        assert await results(3, 30, anna) == {("deposited", ""), ("deferred", "busy")}
        assert await results(4, 20) == {("refused", "unknown_mailbox")}
        await trio.sleep(600)
        liar = await another(federation, liar.member)
        assert await results(2, 30) == {("refused", "unknown_mailbox")}
        await delivered_meanwhile(a, b)
