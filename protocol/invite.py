"""An invitation: what a node tells another by mail or paper so that they can meet. Spec: spec/identity.md, 6.

It is public and signed; what makes it trustworthy is the 30 digits that two administrators compare by voice.
"""

from __future__ import annotations

import base64
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from protocol.codec import check_binary, check_text, decode, decode_map, encode
from protocol.crypto import SigningSecret, sha256
from protocol.errors import LocalProtocolError, Reason, RemoteProtocolError
from protocol.labels import Label
from protocol.statement import MAX_CHAIN, MAX_STATEMENT_BYTES, StatementChain
from protocol.texts import MAX_DOMAIN_BYTES, is_domain, is_endpoint, is_line

__all__ = ["MAX_NAME_BYTES", "Invite", "decode_invite", "encode_invite"]

_PREFIX: Final = "coffre-invite-1."
# Room for more than a hundred statements, one a year; a few kB in the first years.
_MAX_BYTES: Final = 512 * 1024
_CHECK_BYTES: Final = 3
MAX_NAME_BYTES: Final = 200
_MAX_ENDPOINTS: Final = 8
_MAX_ENDPOINT_BYTES: Final = 300
_MAX_TIME_MS: Final = 2**62


@dataclass(frozen=True, slots=True, kw_only=True)
class Invite:
    """What an invitation says.

    chain: the node's statements. institution: its name, a line of 1 to 200 bytes. domain: the part of its addresses
    after @. endpoints: up to 8 of host:port, none if it only dials out. made_at_ms: milliseconds UTC.
    """

    chain: StatementChain
    institution: str
    domain: str
    endpoints: tuple[str, ...]
    made_at_ms: int


def encode_invite(invite: Invite, identity: SigningSecret) -> str:
    """One line of text: prefix, base64url of the signed invitation, and a check against mistakes in copying.

    identity: the secret of the chain's newest identity key. LocalProtocolError for what nobody could read.
    """
    well_formed = _is_well_formed(invite.institution, invite.domain, invite.endpoints)
    if not well_formed or identity.verify_key != invite.chain.current.identity_key:
        raise LocalProtocolError("name, domain, endpoints or key are not those of an invitation")
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
    if len(raw) > _MAX_BYTES:
        raise LocalProtocolError(f"an invitation of {len(raw)} bytes, limit {_MAX_BYTES}")
    return _armour(raw + sha256(raw)[:_CHECK_BYTES])


def decode_invite(text: str) -> Invite:
    """Read an invitation: copy check, chain, signature by the chain's newest identity key.

    text: as pasted; white space anywhere in it is passed over. RemoteProtocolError: malformed, too_large,
    not_canonical, too_deep, unknown_version, what StatementChain raises, bad_signature.
    """
    raw = _unwrap(text)
    outer = decode(raw, max_bytes=_MAX_BYTES)
    if not isinstance(outer, list) or len(outer) != 2:
        raise RemoteProtocolError(Reason.MALFORMED, "expected [invitation, signature]")
    body = check_binary(outer[0], "invitation", 1, _MAX_BYTES)
    signature = check_binary(outer[1], "signature", 64, 64)
    fields = decode_map(body, max_bytes=_MAX_BYTES)
    fields.version()
    statements = [
        check_binary(item, "statement", 1, MAX_STATEMENT_BYTES + 1024)
        for item in fields.items("chain", low=1, high=MAX_CHAIN)
    ]
    name = fields.text("name", low=1, high=MAX_NAME_BYTES)
    domain = fields.text("domain", low=1, high=MAX_DOMAIN_BYTES)
    endpoints = [
        check_text(item, "endpoint", 1, _MAX_ENDPOINT_BYTES) for item in fields.items("at", high=_MAX_ENDPOINTS)
    ]
    made_at_ms = fields.integer("time", high=_MAX_TIME_MS)
    fields.done()
    if not _is_well_formed(name, domain, endpoints):
        raise RemoteProtocolError(Reason.MALFORMED, "name, domain or endpoints are not of their form")
    chain = StatementChain.from_raw_list(statements)
    chain.current.identity_key.verify(Label.INVITE, body, signature)
    return Invite(chain=chain, institution=name, domain=domain, endpoints=tuple(endpoints), made_at_ms=made_at_ms)


def _is_well_formed(name: str, domain: str, endpoints: Sequence[str]) -> bool:
    """Shown to an administrator who decides on them: nothing that could move the cursor or hide a letter."""
    fits = 0 < len(name.encode()) <= MAX_NAME_BYTES and len(endpoints) <= _MAX_ENDPOINTS
    return fits and is_line(name) and is_domain(domain) and all(is_endpoint(item) for item in endpoints)


def _unwrap(text: str) -> bytes:
    """The signed invitation in a pasted text, its copy check passed."""
    compact = "".join(text.split())
    if not compact.startswith(_PREFIX):
        raise RemoteProtocolError(Reason.MALFORMED, f"an invitation begins with {_PREFIX}")
    encoded = compact.removeprefix(_PREFIX)
    if len(encoded) > (_MAX_BYTES + _CHECK_BYTES) * 4 // 3:
        raise RemoteProtocolError(Reason.TOO_LARGE, "longer than any invitation")
    try:
        data = base64.b64decode(encoded + "=" * (-len(encoded) % 4), altchars=b"-_", validate=True)
    except ValueError as error:
        raise RemoteProtocolError(Reason.MALFORMED, "the invitation was cut or mistyped") from error
    raw, check = data[:-_CHECK_BYTES], data[-_CHECK_BYTES:]
    if sha256(raw)[:_CHECK_BYTES] != check:
        raise RemoteProtocolError(Reason.MALFORMED, "the invitation was cut or mistyped")
    if _armour(data) != compact:
        raise RemoteProtocolError(Reason.NOT_CANONICAL, "another spelling of base64url")
    return raw


def _armour(data: bytes) -> str:
    return _PREFIX + base64.urlsafe_b64encode(data).decode().rstrip("=")
