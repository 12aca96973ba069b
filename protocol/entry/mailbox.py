"""The entry of a mailbox: who reads it, what it takes, its keys and those it had. Spec: spec/directory.md, 4."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Final, Self

from protocol.codec import FieldReader, Value, decode_map
from protocol.crypto import SealKey, VerifyKey
from protocol.entry.absence import Absence
from protocol.entry.fields import (
    MAX_ENTRY_BYTES,
    STATUSES,
    EntryStatus,
    check_address,
    check_line,
    check_pattern,
    encode_entry,
    malformed,
    optional_items,
    optional_line,
    required,
    without_empty,
)
from protocol.ids import MailboxId
from protocol.labels import Label

__all__ = [
    "LETTER_CLASSES",
    "Accepts",
    "FormerKey",
    "Identifier",
    "MailboxEntry",
    "MailboxKind",
    "succession_message",
]

LETTER_CLASSES: Final = ("urgent", "normal", "bulk")
_MAX_LETTER_BYTES: Final = 2**53
_LANGUAGE_BYTES: Final = 35
_LANGUAGE: Final = re.compile(r"[a-z]{2,3}(?:-[A-Za-z0-9]{2,8})*")
_MEDIA_TYPE_BYTES: Final = 100
_MEDIA_TYPE: Final = re.compile(r"[a-z0-9!#$&^_.+-]+/(?:[a-z0-9!#$&^_.+-]+|\*)")


class MailboxKind(StrEnum):
    """Who stands behind a mailbox."""

    PERSON = "person"
    SERVICE = "service"
    """Shared by a ward or a secretariat."""
    APPLICATION = "application"
    """A record system that collects and files by itself."""
    PRACTICE = "practice"


# Looked up a million times: an enum's own look-up takes several times as long.
_KINDS: Final = {kind.value: kind for kind in MailboxKind}


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
    absence: when its person is away; may be to come, or over.
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
    absence: Absence | None = None
    listed: bool = True
    extra: dict[str, Value] = field(default_factory=dict)

    @property
    def domain(self) -> str:
        """The part of the address after @; only a domain of the institution makes the address usable."""
        return self.address.rpartition("@")[2]

    def absence_at(self, time_ms: int) -> Absence | None:
        """The absence, if it is in force at this time."""
        absence = self.absence
        return absence if absence is not None and absence.from_ms <= time_ms < absence.until_ms else None

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
            "accepts": without_empty(accepts),
            "sign": bytes(self.signing_key),
            "seal": bytes(self.seal_key),
            "former": former,
            "succession": self.succession,
            "reset": self.reset_at_ms,
            "status": self.status.value,
            "moved": self.moved_to,
            "absent": None if self.absence is None else self.absence.fields(),
            "listed": self.listed,
        }
        return encode_entry(self, fields)

    @classmethod
    def decode(cls, raw: bytes) -> Self:
        """Read an entry from outside.

        RemoteProtocolError: too_large, too_deep, malformed, not_canonical, unknown_version, bad_key, bad_signature.
        """
        fields = decode_map(raw, max_bytes=MAX_ENTRY_BYTES)
        fields.version()
        entry = cls(
            mailbox=MailboxId(fields.fixed("mb", MailboxId.LENGTH)),
            kind=_KINDS[fields.choice("kind", _KINDS)],
            address=required(fields, "address", check_address),
            name=required(fields, "name", check_line),
            profession=optional_line(fields, "profession"),
            specialty=optional_line(fields, "specialty"),
            unit=optional_line(fields, "unit"),
            town=optional_line(fields, "town"),
            purpose=optional_line(fields, "purpose"),
            languages=optional_items(fields, "languages", 16, _read_language),
            identifiers=optional_items(fields, "ids", 16, _read_identifier),
            accepts=_read_accepts(fields.map("accepts")),
            signing_key=VerifyKey.checked(fields.fixed("sign", VerifyKey.LENGTH)),
            seal_key=SealKey.checked(fields.fixed("seal", SealKey.LENGTH)),
            former_keys=optional_items(fields, "former", 8, _read_former),
            succession=fields.fixed("succession", 64) if "succession" in fields else None,
            reset_at_ms=fields.integer("reset") if "reset" in fields else None,
            status=STATUSES[fields.choice("status", STATUSES)],
            moved_to=required(fields, "moved", check_address) if "moved" in fields else None,
            absence=Absence.read(fields.map("absent")) if "absent" in fields else None,
            listed=fields.boolean("listed"),
            extra=fields.rest(),
        )
        _check_keys(entry)
        if entry.moved_to is not None and entry.status is not EntryStatus.CLOSED:
            raise malformed("an open mailbox has not moved")
        return entry


def _check_keys(entry: MailboxEntry) -> None:
    """Former keys are explained, by a succession or by a reset, and a succession holds."""
    keys = [item.key for item in entry.former_keys]
    if entry.signing_key in keys or len(set(keys)) != len(keys):
        raise malformed("one signing key twice")
    if entry.succession is not None:
        if not keys:
            raise malformed("a succession without the former key")
        message = succession_message(entry.mailbox, entry.signing_key, entry.seal_key)
        keys[-1].verify(Label.SUCCESSION, message, entry.succession)
    elif keys and entry.reset_at_ms is None:
        raise malformed("former keys with neither succession nor reset")


def _read_language(value: Value, name: str) -> str:
    return check_pattern(value, name, _LANGUAGE, _LANGUAGE_BYTES)


def _read_identifier(value: Value, name: str) -> Identifier:
    if not isinstance(value, list) or len(value) != 2:
        raise malformed(f"{name} is no list of [system, value]")
    return Identifier(check_line(value[0], name), check_line(value[1], name))


def _read_accepts(fields: FieldReader) -> Accepts:
    accepts = Accepts(
        max_bytes=fields.integer("max", low=1, high=_MAX_LETTER_BYTES),
        classes=optional_items(fields, "classes", len(LETTER_CLASSES), _read_class, low=1),
        types=optional_items(fields, "types", 64, _read_media_type),
    )
    fields.done()
    return accepts


def _read_class(value: Value, name: str) -> str:
    if value not in LETTER_CLASSES:
        raise malformed(f"{name} holds an unknown class")
    return str(value)


def _read_media_type(value: Value, name: str) -> str:
    return check_pattern(value, name, _MEDIA_TYPE, _MEDIA_TYPE_BYTES)


def _read_former(value: Value, name: str) -> FormerKey:
    fields = FieldReader(value)
    former = FormerKey(
        VerifyKey.checked(fields.fixed("key", VerifyKey.LENGTH)), fields.integer("from"), fields.integer("until")
    )
    fields.done()
    if former.until_ms <= former.from_ms:
        raise malformed(f"{name} holds a key that was never valid")
    return former
