"""An invitation: what a node tells another by mail or paper so that they can meet. Spec: spec/identity.md, 6.

It is public and signed; what makes it trustworthy is the 30 digits that two administrators compare by voice.
"""

from __future__ import annotations

import base64
import binascii
from dataclasses import dataclass
from typing import Final

from protocol.codec import check_binary, check_text, decode, decode_map, encode
from protocol.crypto import SigningSecret, sha256
from protocol.errors import Reason, RemoteProtocolError
from protocol.labels import Label
from protocol.statement import MAX_CHAIN, MAX_STATEMENT_BYTES, StatementChain

__all__ = ["Invite", "decode_invite", "encode_invite"]

_PREFIX: Final = "coffre-invite-1."
_MAX_BYTES: Final = 512 * 1024
_CHECK_BYTES: Final = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class Invite:
    """institution: its name (at most 200 bytes). domain: of its addresses. endpoints: host:port, none if it only dials out."""

    chain: StatementChain
    institution: str
    domain: str
    endpoints: tuple[str, ...]
    made_at_ms: int


def encode_invite(invite: Invite, identity: SigningSecret) -> str:
    """One line of text: prefix, base64url of the signed invitation, and a check against mistakes in copying."""
    body = encode(
        {
            "v": 1,
            "chain": invite.chain.raw_list(),
            "name": invite.institution,
            "domain": invite.domain,
            "at": list(invite.endpoints),
            "time": invite.made_at_ms,
        }
    )
    raw = encode([body, identity.sign(Label.INVITE, body)])
    return _PREFIX + base64.urlsafe_b64encode(raw + sha256(raw)[:_CHECK_BYTES]).decode().rstrip("=")


def decode_invite(text: str) -> Invite:
    """Read an invitation: copy check, chain, signature. RemoteProtocolError: malformed, too_large, bad_signature, …"""
    compact = "".join(text.split())
    if not compact.startswith(_PREFIX):
        raise RemoteProtocolError(Reason.MALFORMED, f"an invitation begins with {_PREFIX}")
    encoded = compact.removeprefix(_PREFIX)
    if len(encoded) > _MAX_BYTES * 4 // 3:
        raise RemoteProtocolError(Reason.TOO_LARGE, "longer than any invitation")
    try:
        data = base64.b64decode(encoded + "=" * (-len(encoded) % 4), altchars=b"-_", validate=True)
    except (binascii.Error, ValueError) as error:
        raise RemoteProtocolError(Reason.MALFORMED, "not the characters of an invitation") from error
    raw, check = data[:-_CHECK_BYTES], data[-_CHECK_BYTES:]
    if sha256(raw)[:_CHECK_BYTES] != check:
        raise RemoteProtocolError(Reason.MALFORMED, "the invitation was cut or mistyped")
    outer = decode(raw, max_bytes=_MAX_BYTES)
    if not isinstance(outer, list) or len(outer) != 2:
        raise RemoteProtocolError(Reason.MALFORMED, "expected [invitation, signature]")
    body = check_binary(outer[0], "invitation", 1, _MAX_BYTES)
    signature = check_binary(outer[1], "signature", 64, 64)
    fields = decode_map(body, max_bytes=_MAX_BYTES)
    fields.version()
    chain = StatementChain.from_raw_list(
        [check_binary(item, "statement", 1, MAX_STATEMENT_BYTES + 1024)
         for item in fields.items("chain", low=1, high=MAX_CHAIN)]
    )
    invite = Invite(
        chain=chain,
        institution=fields.text("name", low=1, high=200),
        domain=fields.text("domain", low=3, high=253),
        endpoints=tuple(check_text(item, "endpoint", 3, 300) for item in fields.items("at", high=8)),
        made_at_ms=fields.integer("time"),
    )
    fields.done()
    chain.current.identity_key.verify(Label.INVITE, body, signature)
    return invite
