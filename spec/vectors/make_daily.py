"""Writes daily.json: heads of a day, with their ML-DSA-44 lines.

Signing draws randomness: the signatures in the file stay as they are while they verify.
"""

from __future__ import annotations

import base64
import json
from pathlib import Path
from typing import Any

from protocol.checkpoint import Checkpoint, log_origin, sign_checkpoint
from protocol.mldsa import PqSecret
from protocol.note import parse_note
from protocol.pq_line import add_pq_line, pq_signed_at_s, pq_verifier_key
from spec.vectors.common import case, write
from spec.vectors.sample_node import SampleNode, bytes_of

__all__ = ["cases"]

SPEC = "evidence.md, 3"
NODE = SampleNode("fictive-clinic")
SECRET, OTHER = PqSecret(bytes_of("daily")), PqSecret(bytes_of("another daily key"))
TIME_S = 1_790_035_200
HEAD = sign_checkpoint(Checkpoint(log_origin(NODE.node_id, 1), 4711, bytes_of("root of a day")), NODE.log_secret)


def _signed() -> bytes:
    """The head with its line: the one in the file, if there is one that holds."""
    path = Path(__file__).with_name("daily.json")
    if path.exists():
        note = bytes.fromhex(json.loads(path.read_text("utf-8"))["cases"][0]["input"]["head"])
        if note.startswith(HEAD) and pq_signed_at_s(note, [SECRET.verify_key]) == TIME_S:
            return note
    return add_pq_line(HEAD, SECRET, time_s=TIME_S)


def _with_blob(blob: bytes, *, name: str = "") -> bytes:
    return HEAD + f"\u2014 {name or log_origin(NODE.node_id, 1)} {base64.b64encode(blob).decode()}\n".encode()


def cases() -> list[dict[str, Any]]:
    """All cases of this topic."""
    good = _signed()
    line = parse_note(good).signatures[1]
    blob = line.key_id + line.signature
    later = blob[:11] + bytes([blob[11] ^ 1]) + blob[12:]

    def made(name: str, comment: str, note: bytes, expect: str = "ok", **out: Any) -> dict[str, Any]:
        given = {"head": note, "keys": [bytes(SECRET.verify_key)]}
        return case(name, SPEC, comment, given, expect, **out)

    vkey = pq_verifier_key(log_origin(NODE.node_id, 1), SECRET.verify_key)
    return [
        made("good", "the log's line, and the day's", good, time=TIME_S, vkey=vkey),
        made("none", "the log's line alone", HEAD, "unknown_key"),
        made("other_name", "under the name of the witness key", _with_blob(blob, name="coffre/x/wit"), "unknown_key"),
        made("other_key", "a key id of another key", _with_blob(bytes(4) + blob[4:]), "unknown_key"),
        made("other_head", "the line of another size", good.replace(b"\n4711\n", b"\n4712\n", 1), "bad_signature"),
        made("other_time", "another time than was signed", _with_blob(later), "bad_signature"),
        made("flipped", "a bit of the signature", _with_blob(blob[:-1] + bytes([blob[-1] ^ 1])), "bad_signature"),
        made("short", "a byte less", _with_blob(blob[:-1]), "malformed"),
        made("ed25519_length", "64 bytes under the key's id", _with_blob(blob[:76]), "malformed"),
    ]


if __name__ == "__main__":
    write("daily", SPEC, cases())
