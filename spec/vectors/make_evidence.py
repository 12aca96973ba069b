"""Writes evidence.json: evidence boxed for the way back, opened and verified."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from protocol.checkpoint import feed_origin
from protocol.codec import decode, encode
from protocol.crypto import ZERO_NONCE, Secret, aead_seal, hkdf_expand
from protocol.details import Details
from protocol.evidence import Evidence, box_evidence
from protocol.ids import LeafTag, MailboxId
from protocol.labels import Label
from protocol.logleaf import EventKind
from protocol.merkle import leaf_hash
from spec.vectors.common import write
from spec.vectors.sample_letter import SampleLetter
from spec.vectors.sample_node import FROM_MS, bytes_of

SPEC = "evidence.md, 7"


def cases() -> list[dict[str, Any]]:
    """All cases of this topic."""
    letter = SampleLetter()
    node, reply_key, envelope = letter.recipient, letter.reply_key, letter.envelope
    stray = node.log(
        EventKind.DEPOSITED,
        replace(letter.at_recipient(), node=letter.sender.node_id),
        time_ms=FROM_MS,
        tag=LeafTag(bytes_of("tag", 16)),
    )
    deposited, opened, stray_evidence = (node.evidence(at) for at in (letter.deposited, letter.opening, stray))
    feed_head = node.log_head(feed_origin(node.node_id, 1))
    foreign = letter.sender.evidence(letter.submitted)
    good = box_evidence(deposited, reply_key=reply_key, envelope_id=envelope)
    outer = decode(good, max_bytes=len(good))

    def case(name: str, comment: str, boxed: bytes, expect: str, **out: Any) -> dict[str, Any]:
        given = {
            "boxed": boxed.hex(),
            "reply_key": reply_key.reveal().hex(),
            "node": node.node_id.hex(),
            "keys": [key.hex() for key in node.chain.log_keys()],
            "mailbox": letter.mailbox.hex(),
            "mailbox_key": letter.mailbox_secret.verify_key.hex(),
        }
        return {"name": name, "spec": SPEC, "comment": comment, "input": given, "expect": expect, **out}

    def boxed(evidence: Evidence, key: Secret = reply_key) -> bytes:
        return box_evidence(evidence, reply_key=key, envelope_id=envelope)

    def good_case(name: str, comment: str, evidence: Evidence, kind: EventKind) -> dict[str, Any]:
        out = {
            "leaf": evidence.leaf.hex(),
            "opening": evidence.opening.hex(),
            "details": evidence.details.hex(),
            "kind": kind.word,
            "envelope": envelope.hex(),
        }
        return case(name, comment, boxed(evidence), "ok", **out)

    def changed(name: str, comment: str, expect: str, **fields: Any) -> dict[str, Any]:
        return case(name, comment, encode({**outer, **fields}), expect)

    other_proof = opened.proof.encode()
    head = deposited.proof.checkpoint
    cut = replace(deposited.proof, hashes=deposited.proof.hashes[:-1])
    elsewhere = Details(node=node.node_id, mailbox=MailboxId(bytes(16)))
    other_mailbox = node.log(EventKind.LOGIN_FAILED, elsewhere, time_ms=FROM_MS, tag=LeafTag(bytes(16)))
    forged = replace(letter.opened(), signature=bytes(64))
    unsigned = node.log(EventKind.OPENED, forged, time_ms=letter.opened_at_ms, tag=LeafTag(bytes(16)))
    return [
        good_case("deposited", "what ends the sender's row", deposited, EventKind.DEPOSITED),
        good_case("opened", "with the signature of the mailbox's key", opened, EventKind.OPENED),
        case("other_reply_key", "made under another slip's key", boxed(deposited, Secret(bytes(32))), "bad_box"),
        changed("changed_box", "one bit of the box", "bad_box", box=bytes([outer["box"][0] ^ 1]) + outer["box"][1:]),
        changed("other_leaf_hash", "the key comes from the leaf's hash", "bad_box", leaf=bytes(32)),
        changed("short_box", "shorter than a tag", "malformed", box=bytes(15)),
        changed("unknown_field", "refused in what is signed or sealed", "malformed", more=1),
        changed("other_proof", "the proof of another leaf of the log", "bad_proof", proof=other_proof),
        changed("no_proof", "an empty proof", "malformed", proof=b""),
        changed("foreign_proof", "a proof from another node's log", "mismatch", proof=foreign.proof.encode()),
        case("short_proof", "one hash fewer", boxed(replace(deposited, proof=cut)), "bad_proof"),
        case(
            "changed_head",
            "the head's size is another",
            boxed(_headed(deposited, head.replace(b"\n6\n", b"\n7\n"))),
            "bad_signature",
        ),
        case(
            "head_of_feed",
            "the same tree under the origin of the feed",
            boxed(_headed(deposited, feed_head)),
            "mismatch",
        ),
        case("stray_details", "details that name another node's log", boxed(stray_evidence), "mismatch"),
        case(
            "other_details",
            "details of another event",
            boxed(replace(deposited, details=opened.details)),
            "bad_commitment",
        ),
        case(
            "other_opening",
            "the opening of another event",
            boxed(replace(deposited, opening=opened.opening)),
            "bad_commitment",
        ),
        case(
            "other_mailbox",
            "about another mailbox than the one expected",
            boxed(node.evidence(other_mailbox)),
            "mismatch",
        ),
        case(
            "opened_unsigned",
            "an opening that the mailbox's key did not sign",
            boxed(node.evidence(unsigned)),
            "bad_signature",
        ),
        case(
            "swapped_leaf",
            "the box holds another leaf than its hash says",
            _box_of(letter, deposited, [opened.leaf, opened.opening, opened.details]),
            "mismatch",
        ),
        case(
            "two_parts_in_the_box",
            "the details are missing",
            _box_of(letter, deposited, [deposited.leaf, deposited.opening]),
            "malformed",
        ),
        case("truncated", "last byte missing", good[:-1], "malformed"),
        case("empty", "no bytes", b"", "malformed"),
    ]


def _headed(evidence: Evidence, head: bytes) -> Evidence:
    return replace(evidence, proof=replace(evidence.proof, checkpoint=head))


def _box_of(letter: SampleLetter, first: Evidence, plaintext: list[bytes]) -> bytes:
    """A box under the first leaf's hash that holds something else, as only a cheating node could make it."""
    hashed = leaf_hash(first.leaf)
    key = hkdf_expand(letter.reply_key.reveal(), info=Label.EVIDENCE.value + hashed, length=32)
    box = aead_seal(key, ZERO_NONCE, encode(plaintext))
    return encode({"env": bytes(letter.envelope), "leaf": hashed, "box": box, "proof": first.proof.encode()})


if __name__ == "__main__":
    write("evidence", SPEC, cases())
