"""Writes timestamp.json: tokens over heads, with the authorities' certificates that the reader trusts."""

from __future__ import annotations

from typing import Any

from protocol.timestamp import head_imprint, read_timestamp
from spec.vectors.common import case, write
from spec.vectors.sample_letter import SampleLetter
from spec.vectors.sample_timestamps import (
    CA,
    EXPIRED_CA,
    EXPIRED_TOKEN,
    FOREIGN_TOKEN,
    OTHER_CA,
    OTHER_TOKEN,
    SHA512_TOKEN,
    TOKEN,
)

SPEC = "evidence.md, 14"
HEAD = SampleLetter().recipient.log_head()


def _case(
    name: str,
    comment: str,
    token: bytes,
    roots: tuple[bytes, ...],
    expect: str = "ok",
    *,
    head: bytes = HEAD,
    **out: Any,
) -> dict[str, Any]:
    given = {"token": token, "roots": [item.decode() for item in roots], "head": head.decode()}
    return case(name, SPEC, comment, given, expect, **out)


def cases() -> list[dict[str, Any]]:
    """All cases of this topic."""
    stamp = read_timestamp(TOKEN)
    said: dict[str, Any] = {
        "imprint": head_imprint(HEAD),
        "time_ms": stamp.time_ms,
        "policy": stamp.policy,
        "authority": stamp.authority,
    }
    cosigned = HEAD + "\u2014 witness.example AAAAAHNpZ25hdHVyZQ==\n".encode()
    at = TOKEN.index(bytes(stamp.imprint))
    altered = TOKEN[:at] + bytes([TOKEN[at] ^ 1]) + TOKEN[at + 1 :]
    return [
        _case("good", "an authority whose certificate is given", TOKEN, (CA,), **said),
        _case("no_roots", "read, and not verified", TOKEN, (), **said),
        _case("two_roots", "authorities of one name: one of them will do", TOKEN, (OTHER_CA, CA), **said),
        _case("cosigned_head", "other signature lines are not stamped", TOKEN, (CA,), head=cosigned, **said),
        _case("empty", "no bytes", b"", (), "too_large"),
        _case("too_large", "more than any token has", TOKEN + bytes(32 * 1024), (), "too_large"),
        _case("cut", "the last byte is missing", TOKEN[:-1], (), "malformed"),
        _case("longer", "a byte after the end", TOKEN + b"\0", (), "malformed"),
        _case("sha512", "over another hash", SHA512_TOKEN, (CA,), "malformed"),
        _case("altered", "the imprint is another", altered, (CA,), "bad_signature"),
        _case("other_authority", "signed by one that is not trusted", FOREIGN_TOKEN, (CA,), "bad_signature"),
        _case("expired", "the signer's certificate had ended", EXPIRED_TOKEN, (EXPIRED_CA,), "bad_signature"),
        _case("other_head", "a good token over something else", OTHER_TOKEN, (CA,), "mismatch"),
    ]


if __name__ == "__main__":
    write("timestamp", SPEC, cases())
