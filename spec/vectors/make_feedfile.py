"""Writes feedfile.json and cosignature.json: a maintainer's feed as it travels by hand, and the date of its head."""

from __future__ import annotations

from typing import Any

from protocol.checkpoint import Checkpoint, feed_origin, log_origin, sign_checkpoint
from protocol.codec import Value, encode
from protocol.cosignature import cosign, witness_name
from protocol.crypto import SigningSecret
from protocol.entry import MAINTAINER_SUBJECT, MaintainerEntry, standing_subject
from protocol.feed import FeedState, Operation, OperationKind, make_operation
from protocol.ids import NodeId
from spec.vectors.common import case, write
from spec.vectors.make_standing import MAINTAINER, NODE, REVOCATION, STRANGER
from spec.vectors.sample_node import FROM_MS, bytes_of, signing_secret_of

__all__ = ["cosignature_cases", "feed_file_cases"]

SPEC = "directory.md, 7"
LOG, WITNESS = signing_secret_of("maintainer/log"), signing_secret_of("maintainer/witness")
ENTRY = MaintainerEntry(names=("Région fictive",), region="Fictivie", contact="+00 000 000").encode()
TIME_S = FROM_MS // 1000 + 86_400


def _operations() -> list[Operation]:
    return [
        make_operation(OperationKind.MAINTAINER, MAINTAINER_SUBJECT, 1, ENTRY, bytes_of("one")),
        make_operation(OperationKind.STANDING, standing_subject(NODE.node_id), 1, REVOCATION, bytes_of("two")),
    ]


def _head(operations: list[Operation], *, secret: SigningSecret = LOG, origin: str = "") -> bytes:
    state = FeedState()
    state.apply(operations, max_entries=10, max_bytes=10**6)
    origin = origin or feed_origin(MAINTAINER.node_id, 1)
    return sign_checkpoint(Checkpoint(origin, state.size, state.tree.root()), secret)


def _dated(head: bytes, *, node: NodeId = MAINTAINER.node_id, secret: SigningSecret = WITNESS) -> bytes:
    return cosign(head, name=witness_name(node), secret=secret, time_s=TIME_S)


def _file(**changes: Value) -> bytes:
    operations = _operations()
    fields: dict[str, Value] = {
        "v": 1,
        "chain": list[Value](MAINTAINER.raw_list()),
        "ops": [item.encode() for item in operations],
        "head": _dated(_head(operations)),
    }
    return encode({name: value for name, value in {**fields, **changes}.items() if value is not None})


def feed_file_cases() -> list[dict[str, Any]]:
    """A feed file as its bytes."""
    operations = _operations()

    def made(name: str, comment: str, raw: bytes, expect: str = "ok", **out: Any) -> dict[str, Any]:
        return case(name, SPEC, comment, {"file": raw}, expect, **out)

    good = _file()
    first_only = _head(operations[:1])
    altered = operations[1].encode()
    altered = altered[:-1] + bytes([altered[-1] ^ 1])
    return [
        made("good", "the maintainer, and a revocation", good, node=bytes(MAINTAINER.node_id), size=2),
        made("undated", "without a cosignature", _file(head=_head(operations)), node=bytes(MAINTAINER.node_id), size=2),
        made("empty", "nothing", b"", "malformed"),
        made("version_2", "another version", _file(v=2), "unknown_version"),
        made("unknown_field", "a field of a later version", _file(later=1), "malformed"),
        made("no_chain", "without statements", _file(chain=[]), "malformed"),
        made("shorter", "one operation less than the head says", _file(ops=[operations[0].encode()]), "mismatch"),
        made("other_head", "the head of fewer operations", _file(head=first_only), "mismatch"),
        made("altered", "one bit of an entry", _file(ops=[operations[0].encode(), altered]), "bad_commitment"),
        made(
            "other_operations",
            "as many operations, other ones",
            _file(ops=[item.encode() for item in [operations[1], operations[0]]]),
            "bad_proof",
        ),
        made(
            "other_key", "a head that a stranger signed", _file(head=_head(operations, secret=WITNESS)), "unknown_key"
        ),
        made(
            "of_another",
            "the head of another's feed",
            _file(head=_head(operations, origin=feed_origin(STRANGER.node_id, 1))),
            "mismatch",
        ),
        made(
            "log_head",
            "the head of a log",
            _file(head=_head(operations, origin=log_origin(MAINTAINER.node_id, 1))),
            "mismatch",
        ),
        made("cut", "without its last byte", good[:-1], "malformed"),
    ]


def cosignature_cases() -> list[dict[str, Any]]:
    """A head with the witness's line."""
    head = _head(_operations())
    dated = _dated(head)
    name = witness_name(MAINTAINER.node_id)

    def made(case_name: str, comment: str, note: bytes, expect: str = "ok", **out: Any) -> dict[str, Any]:
        given = {"note": note.decode("utf-8", "replace"), "name": name, "key": bytes(WITNESS.verify_key)}
        return case(case_name, "evidence.md, 3", comment, given, expect, **out)

    other_text = dated.replace(b"\n2\n", b"\n3\n", 1)
    last = dated.rstrip(b"\n").rsplit(b" ", 1)[1]
    forged = bytes([last[10] + 1 if last[10] != ord("z") else ord("a")])
    return [
        made("good", "one line", dated, time=TIME_S),
        made(
            "renewed",
            "the later of two dates stands",
            cosign(dated, name=name, secret=WITNESS, time_s=TIME_S + 60),
            time=TIME_S + 60,
        ),
        made("none", "the log's signature alone", head, "unknown_key"),
        made("other_name", "under another's name", _dated(head, node=STRANGER.node_id), "unknown_key"),
        made("other_key", "by another key", _dated(head, secret=LOG), "unknown_key"),
        made("other_head", "the line of another size", other_text, "bad_signature"),
        made(
            "other_time",
            "one character of the time",
            dated.replace(last, last[:10] + forged + last[11:]),
            "bad_signature",
        ),
        made("no_note", "no note at all", b"coffre\n", "malformed"),
    ]


if __name__ == "__main__":
    write("feedfile", SPEC, feed_file_cases())
    write("cosignature", "evidence.md, 3", cosignature_cases())
