"""Directory entries: what an institution publishes about itself and its mailboxes. Spec: spec/directory.md, 2 to 4.

An entry is a strict msgpack map that travels beside its feed leaf and is committed to by it. Fields that this
version does not know are kept, so that a federation of mixed versions agrees on the bytes.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Final, Self, TypeVar

from protocol.codec import FieldReader, Value, check_text, decode_map, encode
from protocol.crypto import SealKey, VerifyKey
from protocol.errors import LocalProtocolError, Reason, RemoteProtocolError
from protocol.ids import MailboxId
from protocol.labels import Label

__all__ = [
    "LETTER_CLASSES",
    "MAX_ADDRESS_BYTES",
    "MAX_DOMAIN_BYTES",
    "MAX_ENTRY_BYTES",
    "Accepts",
    "EntryStatus",
    "FormerKey",
    "Identifier",
    "InstitutionEntry",
    "MailboxEntry",
    "MailboxKind",
    "succession_message",
]

# 1.5 kB with its seal key; the rest is room for former keys, identifiers and fields of later versions.
MAX_ENTRY_BYTES: Final = 8 * 1024
# The limits of mail (RFC 5321, 4.5.3.1; RFC 1035, 2.3.4), so that an address fits wherever mail addresses do.
MAX_ADDRESS_BYTES: Final = 254
MAX_DOMAIN_BYTES: Final = 253
LETTER_CLASSES: Final = ("urgent", "normal", "bulk")

T = TypeVar("T")

_LINE_BYTES: Final = 200
_MAX_LETTER_BYTES: Final = 2**53
_LABEL: Final = r"[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?"
_DOMAIN: Final = re.compile(rf"{_LABEL}(?:\.{_LABEL})+")
_LOCAL: Final = re.compile(r"[a-z0-9_+-]+(?:\.[a-z0-9_+-]+)*")
_ENDPOINT: Final = re.compile(r"(?:[a-z0-9.-]{1,253}|\[[0-9a-f:.]{2,45}\]):([1-9][0-9]{0,4})")
_TOKEN: Final = re.compile(r"[a-z0-9]+(?:-[a-z0-9]+)*")
_LANGUAGE: Final = re.compile(r"[a-z]{2,3}(?:-[A-Za-z0-9]{2,8})*")
_MEDIA_TYPE: Final = re.compile(r"[a-z0-9!#$&^_.+-]+/(?:[a-z0-9!#$&^_.+-]+|\*)")
# Control characters break lines and terminals; the bidirectional and invisible ones make one name look like another.
# A fixed list, not the Unicode tables of the day: every implementation must judge a published entry alike.
_FORBIDDEN: Final = re.compile("[\u0000-\u001f\u007f-\u009f\u200b-\u200f\u2028-\u202e\u2060-\u2069\ufeff]")


class MailboxKind(StrEnum):
    """Who stands behind a mailbox."""

    PERSON = "person"
    SERVICE = "service"
    """Shared by a ward or a secretariat."""
    APPLICATION = "application"
    """A record system that collects and files by itself."""
    PRACTICE = "practice"


class EntryStatus(StrEnum):
    """Whether letters are taken."""

    OPEN = "open"
    CLOSED = "closed"


def _malformed(detail: str) -> RemoteProtocolError:
    return RemoteProtocolError(Reason.MALFORMED, detail)


def _check_line(value: Value, name: str, high: int = _LINE_BYTES) -> str:
    text = check_text(value, name, 1, high)
    if _FORBIDDEN.search(text):
        raise _malformed(f"{name} holds a control or an invisible character")
    return text


def _check_pattern(value: Value, name: str, pattern: re.Pattern[str], high: int) -> str:
    text = check_text(value, name, 1, high)
    if not pattern.fullmatch(text):
        raise _malformed(f"{name} is not of its form")
    return text


def _check_domain(value: Value, name: str) -> str:
    return _check_pattern(value, name, _DOMAIN, MAX_DOMAIN_BYTES)


def _check_address(value: Value, name: str) -> str:
    text = check_text(value, name, 3, MAX_ADDRESS_BYTES)
    local, _, domain = text.rpartition("@")
    if len(local) > 64 or not _LOCAL.fullmatch(local) or not _DOMAIN.fullmatch(domain):
        raise _malformed(f"{name} is no lower-case local@domain")
    return text


def _check_endpoint(value: Value, name: str) -> str:
    text = check_text(value, name, 3, 300)
    found = _ENDPOINT.fullmatch(text)
    if found is None or int(found[1]) > 65_535:
        raise _malformed(f"{name} is no host:port")
    return text


def _optional_line(fields: FieldReader, name: str) -> str:
    """Absent means empty, and empty is written by absence only: one entry, one encoding."""
    return _check_line(fields.text(name, high=_LINE_BYTES), name) if name in fields else ""


def _optional_items(
    fields: FieldReader, name: str, high: int, check: Callable[[Value, str], T], *, low: int = 0
) -> tuple[T, ...]:
    """A list without duplicates; absent means empty, as above."""
    if low == 0 and name not in fields:
        return ()
    items = tuple(check(item, name) for item in fields.items(name, low=1, high=high))
    if len(set(items)) != len(items):
        raise _malformed(f"{name} names one thing twice")
    return items


def _without_empty(fields: dict[str, Value]) -> dict[str, Value]:
    return {name: value for name, value in fields.items() if value is not None and value not in ("", [])}


def _checked(entry: InstitutionEntry | MailboxEntry, fields: dict[str, Value]) -> bytes:
    """The encoding, which must decode to the same entry: a mistake of ours stops here, not at every follower."""
    raw = encode({**entry.extra, **fields})
    try:
        same = type(entry).decode(raw) == entry
    except RemoteProtocolError as error:
        raise LocalProtocolError(f"not a valid entry: {error.detail or error.reason}") from error
    if not same:
        raise LocalProtocolError("an extra field has the name of a known one")
    return raw


@dataclass(frozen=True, slots=True, kw_only=True)
class InstitutionEntry:
    """What an institution says of itself. Source: spec/directory.md, 3.

    names: 1 to 8, the usual one first. kind: a word such as hospital, clinic, laboratory, pharmacy, practice.
    domains: 1 to 16, the part after @ of its mailboxes. endpoints: up to 8 of host:port; none if it only dials out.
    statement: number of the newest statement at the time of writing. extra: fields of later versions, kept.
    """

    names: tuple[str, ...]
    kind: str
    domains: tuple[str, ...]
    statement: int
    endpoints: tuple[str, ...] = ()
    region: str = ""
    town: str = ""
    status: EntryStatus = EntryStatus.OPEN
    extra: dict[str, Value] = field(default_factory=dict)

    def encode(self) -> bytes:
        """The bytes to publish. LocalProtocolError if they would not decode to this entry."""
        fields: dict[str, Value] = {
            "v": 1,
            "names": list(self.names),
            "kind": self.kind,
            "domains": list(self.domains),
            "at": list(self.endpoints),
            "ks": self.statement,
            "region": self.region,
            "town": self.town,
            "status": self.status.value,
        }
        return _checked(self, _without_empty(fields))

    @classmethod
    def decode(cls, raw: bytes) -> Self:
        """Read an entry from outside.

        RemoteProtocolError: too_large, too_deep, malformed, not_canonical, unknown_version.
        """
        fields = decode_map(raw, max_bytes=MAX_ENTRY_BYTES)
        fields.version()
        return cls(
            names=_optional_items(fields, "names", 8, _check_line, low=1),
            kind=_check_pattern(fields.text("kind", high=32), "kind", _TOKEN, 32),
            domains=_optional_items(fields, "domains", 16, _check_domain, low=1),
            endpoints=_optional_items(fields, "at", 8, _check_endpoint),
            statement=fields.integer("ks", high=2**32 - 1),
            region=_optional_line(fields, "region"),
            town=_optional_line(fields, "town"),
            status=EntryStatus(fields.choice("status", list(EntryStatus))),
            extra=fields.rest(),
        )


@dataclass(frozen=True, slots=True)
class Identifier:
    """A person's or unit's number in some register. system: its URI or name; value: as the register writes it."""

    system: str
    value: str


@dataclass(frozen=True, slots=True)
class Accepts:
    """What a mailbox takes. max_bytes: of a whole letter; classes: of LETTER_CLASSES; types: media types (all)."""

    max_bytes: int
    classes: tuple[str, ...] = LETTER_CLASSES
    types: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class FormerKey:
    """A signing key that was valid from from_ms (included) to until_ms (excluded); listed for 60 days after its end."""

    key: VerifyKey
    from_ms: int
    until_ms: int


def succession_message(mailbox: MailboxId, signing_key: VerifyKey, seal_key: SealKey) -> bytes:
    """What an old signing key signs, labelled "succession", to vouch for the keys that replace it."""
    return mailbox + signing_key + seal_key


@dataclass(frozen=True, slots=True, kw_only=True)
class MailboxEntry:
    """What is published of a mailbox. Source: spec/directory.md, 4.

    mailbox: also the subject of its leaf. address: local@domain, lower case. name: as shown to senders. unit: ward or
    department. identifiers, former_keys: up to 16 and 8. purpose: when to write here, in a line. succession: the last
    former key's signature over succession_message; without it, former keys need reset_at_ms, the time at which the
    institution replaced the keys by itself. moved_to: address to write to instead, of a closed mailbox only.
    listed: False asks that the mailbox not be found by search. extra: fields of later versions, kept.
    """

    mailbox: MailboxId
    kind: MailboxKind
    address: str
    name: str
    signing_key: VerifyKey
    seal_key: SealKey
    accepts: Accepts
    profession: str = ""
    specialty: str = ""
    unit: str = ""
    town: str = ""
    purpose: str = ""
    languages: tuple[str, ...] = ()
    identifiers: tuple[Identifier, ...] = ()
    former_keys: tuple[FormerKey, ...] = ()
    succession: bytes | None = None
    reset_at_ms: int | None = None
    status: EntryStatus = EntryStatus.OPEN
    moved_to: str | None = None
    listed: bool = True
    extra: dict[str, Value] = field(default_factory=dict)

    @property
    def domain(self) -> str:
        """The part of the address after @; only a domain of the institution makes the address usable."""
        return self.address.rpartition("@")[2]

    def signing_keys_at(self, time_ms: int) -> tuple[VerifyKey, ...]:
        """The keys that may have signed a letter of this time: the current one and the former ones valid then."""
        former = (item.key for item in self.former_keys if item.from_ms <= time_ms < item.until_ms)
        return (self.signing_key, *former)

    def keys_follow_from(self, previous: MailboxEntry) -> bool:
        """Whether the keys are those of the previous version, or vouched for by its signing key (else: a reset)."""
        if (self.signing_key, self.seal_key) == (previous.signing_key, previous.seal_key):
            return True
        return self.succession is not None and self.former_keys[-1].key == previous.signing_key

    def encode(self) -> bytes:
        """The bytes to publish. LocalProtocolError if they would not decode to this entry."""
        former = [{"key": bytes(old.key), "from": old.from_ms, "until": old.until_ms} for old in self.former_keys]
        accepts = {
            "max": self.accepts.max_bytes,
            "classes": list(self.accepts.classes),
            "types": list(self.accepts.types),
        }
        fields: dict[str, Value] = {
            "v": 1,
            "mb": bytes(self.mailbox),
            "kind": self.kind.value,
            "address": self.address,
            "name": self.name,
            "profession": self.profession,
            "specialty": self.specialty,
            "unit": self.unit,
            "town": self.town,
            "purpose": self.purpose,
            "languages": list(self.languages),
            "ids": [[item.system, item.value] for item in self.identifiers],
            "accepts": _without_empty(accepts),
            "sign": bytes(self.signing_key),
            "seal": bytes(self.seal_key),
            "former": former,
            "succession": self.succession,
            "reset": self.reset_at_ms,
            "status": self.status.value,
            "moved": self.moved_to,
            "listed": self.listed,
        }
        return _checked(self, _without_empty(fields))

    @classmethod
    def decode(cls, raw: bytes) -> Self:
        """Read an entry from outside.

        RemoteProtocolError: too_large, too_deep, malformed, not_canonical, unknown_version, bad_key, bad_signature.
        """
        fields = decode_map(raw, max_bytes=MAX_ENTRY_BYTES)
        fields.version()
        entry = cls(
            mailbox=MailboxId(fields.fixed("mb", MailboxId.LENGTH)),
            kind=MailboxKind(fields.choice("kind", list(MailboxKind))),
            address=_check_address(fields.text("address", high=MAX_ADDRESS_BYTES), "address"),
            name=_check_line(fields.text("name", high=_LINE_BYTES), "name"),
            profession=_optional_line(fields, "profession"),
            specialty=_optional_line(fields, "specialty"),
            unit=_optional_line(fields, "unit"),
            town=_optional_line(fields, "town"),
            purpose=_optional_line(fields, "purpose"),
            languages=_optional_items(fields, "languages", 16, _read_language),
            identifiers=_optional_items(fields, "ids", 16, _read_identifier),
            accepts=_read_accepts(fields.map("accepts")),
            signing_key=VerifyKey.checked(fields.fixed("sign", VerifyKey.LENGTH)),
            seal_key=SealKey.checked(fields.fixed("seal", SealKey.LENGTH)),
            former_keys=_optional_items(fields, "former", 8, _read_former),
            succession=fields.fixed("succession", 64) if "succession" in fields else None,
            reset_at_ms=fields.integer("reset") if "reset" in fields else None,
            status=EntryStatus(fields.choice("status", list(EntryStatus))),
            moved_to=_read_moved(fields),
            listed=fields.boolean("listed"),
            extra=fields.rest(),
        )
        _check_keys(entry)
        if entry.moved_to is not None and entry.status is not EntryStatus.CLOSED:
            raise _malformed("an open mailbox has not moved")
        return entry


def _check_keys(entry: MailboxEntry) -> None:
    """Former keys are explained, by a succession or by a reset, and a succession holds."""
    keys = [item.key for item in entry.former_keys]
    if entry.signing_key in keys or len(set(keys)) != len(keys):
        raise _malformed("one signing key twice")
    if entry.succession is not None:
        if not keys:
            raise _malformed("a succession without the former key")
        message = succession_message(entry.mailbox, entry.signing_key, entry.seal_key)
        keys[-1].verify(Label.SUCCESSION, message, entry.succession)
    elif keys and entry.reset_at_ms is None:
        raise _malformed("former keys with neither succession nor reset")


def _read_moved(fields: FieldReader) -> str | None:
    return _check_address(fields.text("moved", high=MAX_ADDRESS_BYTES), "moved") if "moved" in fields else None


def _read_language(value: Value, name: str) -> str:
    return _check_pattern(value, name, _LANGUAGE, 35)


def _read_identifier(value: Value, name: str) -> Identifier:
    if not isinstance(value, list) or len(value) != 2:
        raise _malformed(f"{name} is no list of [system, value]")
    return Identifier(_check_line(value[0], name), _check_line(value[1], name))


def _read_accepts(fields: FieldReader) -> Accepts:
    accepts = Accepts(
        max_bytes=fields.integer("max", low=1, high=_MAX_LETTER_BYTES),
        classes=_optional_items(fields, "classes", len(LETTER_CLASSES), _read_class, low=1),
        types=_optional_items(fields, "types", 64, _read_media_type),
    )
    fields.done()
    return accepts


def _read_class(value: Value, name: str) -> str:
    if value not in LETTER_CLASSES:
        raise _malformed(f"{name} holds an unknown class")
    return str(value)


def _read_media_type(value: Value, name: str) -> str:
    return _check_pattern(value, name, _MEDIA_TYPE, 100)


def _read_former(value: Value, name: str) -> FormerKey:
    fields = FieldReader(value)
    former = FormerKey(
        VerifyKey.checked(fields.fixed("key", VerifyKey.LENGTH)), fields.integer("from"), fields.integer("until")
    )
    fields.done()
    if former.until_ms <= former.from_ms:
        raise _malformed(f"{name} holds a key that was never valid")
    return former
