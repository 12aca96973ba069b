"""Writes checkpoint.json: signed tree heads of logs and feeds."""

from __future__ import annotations

import base64
from typing import Any

from protocol.checkpoint import Checkpoint, feed_origin, log_origin, sign_checkpoint
from protocol.crypto import SigningSecret
from protocol.ids import NodeId
from protocol.note import sign_note
from spec.vectors.common import write
from spec.vectors.sample_node import bytes_of, signing_secret_of

SPEC = "evidence.md, 3"
NODE = NodeId(bytes_of("node"))
OLD, NEW = signing_secret_of("old log key"), signing_secret_of("log key")
ROOT = bytes_of("root")
LOG = log_origin(NODE, 1)


def _case(name: str, comment: str, head: bytes, expect: str, **out: Any) -> dict[str, Any]:
    keys = [NEW.verify_key.hex(), OLD.verify_key.hex()]
    given = {"head": head.hex(), "node": NODE.hex(), "keys": keys}
    return {"name": name, "spec": SPEC, "comment": comment, "input": given, "expect": expect, **out}


def _good(name: str, comment: str, head: Checkpoint, secret: SigningSecret = NEW, more: bytes = b"") -> dict[str, Any]:
    out = {"origin": head.origin, "size": head.size, "root": head.root.hex()}
    return _case(name, comment, sign_checkpoint(head, secret) + more, "ok", **out)


def _bad(name: str, comment: str, text: str, expect: str, key_name: str | None = None) -> dict[str, Any]:
    return _case(name, comment, sign_note(text, name=key_name or text.split("\n")[0], secret=NEW), expect)


def _text(origin: str = LOG, size: str = "7", root: bytes = ROOT) -> str:
    return f"{origin}\n{size}\n{base64.b64encode(root).decode()}\n"


def cases() -> list[dict[str, Any]]:
    """All cases of this topic."""
    good = sign_checkpoint(Checkpoint(LOG, 7, ROOT), NEW)
    witness = b"\xe2\x80\x94 witness.example " + base64.b64encode(bytes_of("cosignature", 76)) + b"\n"
    return [
        _good("log", "head of a log", Checkpoint(LOG, 7, ROOT)),
        _good("feed", "head of a feed", Checkpoint(feed_origin(NODE, 1), 7, ROOT)),
        _good("later_epoch", "another epoch is another log", Checkpoint(log_origin(NODE, 12), 7, ROOT)),
        _good("empty", "size 0", Checkpoint(LOG, 0, ROOT)),
        _good("former_key", "a key that the node stated before", Checkpoint(LOG, 7, ROOT), OLD),
        _good("cosigned", "the line of a witness that is not known here", Checkpoint(LOG, 7, ROOT), NEW, witness),
        _case("changed_size", "one digit of the size is another", good.replace(b"\n7\n", b"\n8\n"), "bad_signature"),
        _case(
            "other_key",
            "a key that the node never stated",
            sign_checkpoint(Checkpoint(LOG, 7, ROOT), signing_secret_of("x")),
            "unknown_key",
        ),
        _bad("other_key_name", "the key's name is not the origin", _text(), "unknown_key", LOG + "0"),
        _bad("other_node", "the origin of another node", _text(log_origin(NodeId(bytes_of("x")), 1)), "mismatch"),
        _bad(
            "extension_line",
            "a fourth line, which the ML-DSA signature of daily heads would not cover",
            _text() + "more\n",
            "malformed",
        ),
        _bad("two_lines", "no root", f"{LOG}\n7\n", "malformed"),
        _bad("leading_zero", "the size has a leading zero", _text(size="07"), "malformed"),
        _bad("negative_size", "the size has a sign", _text(size="-7"), "malformed"),
        _bad("other_digits", "digits of another script", _text(size="\u0667"), "malformed"),
        _bad("huge_size", "2^53", _text(size=str(2**53)), "too_large"),
        _bad("short_root", "31 bytes", _text(root=ROOT[:31]), "malformed"),
        _bad("foreign_origin", "a log of another federation", _text("log.example/one"), "malformed"),
        _bad("unknown_kind", "neither log nor feed", _text(LOG.replace("/log/", "/tree/")), "malformed"),
        _bad("epoch_zero", "epochs begin with 1", _text(log_origin(NODE, 0)), "malformed"),
        _bad(
            "epoch_leading_zero",
            "two spellings would hide two histories",
            _text(f"coffre/{NODE.text}/log/01"),
            "malformed",
        ),
        _bad("upper_case_node", "likewise", _text(f"coffre/{NODE.text.upper()}/log/1"), "malformed"),
        _bad("more_after_epoch", "a fifth part", _text(LOG + "/1"), "malformed"),
    ]


if __name__ == "__main__":
    write("checkpoint", SPEC, cases())
