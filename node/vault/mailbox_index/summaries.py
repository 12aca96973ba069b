"""What a list shows of a letter, as one box. Spec: spec/mailbox-index.md, 4."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from protocol.codec import FieldReader, Value, check_text, decode_map, encode
from protocol.ids import ThreadId
from protocol.letter import Letter, LetterClass

__all__ = ["SHOWN", "Person", "Summary"]

SHOWN: Final = 20
"""So many recipients and documents are named; of more, their number."""
_MAX_BYTES: Final = 64 * 1024
_MAX_TEXT: Final = 4096


@dataclass(frozen=True, slots=True)
class Person:
    """One side of a letter. name: as the directory had it when the letter was indexed; empty if it was not there."""

    address: str
    name: str = ""

    @property
    def shown(self) -> str:
        """The name, or the address."""
        return self.name or self.address


@dataclass(frozen=True, slots=True, kw_only=True)
class Summary:
    """One line of a list. to: the first SHOWN of `to_count` recipients (to and cc); files: likewise of `file_count`."""

    sender: Person
    deputy: str
    to: tuple[Person, ...]
    to_count: int
    subject: str
    letter_class: LetterClass
    thread: ThreadId
    time_ms: int
    files: tuple[str, ...]
    file_count: int

    @classmethod
    def of(cls, letter: Letter, names: dict[str, str], deputy: str = "") -> Summary:
        """Taken from a checked letter. names: of addresses, where they are known."""

        def person(address: str) -> Person:
            return Person(address, names.get(address, ""))

        recipients = (*letter.to, *letter.cc)
        return cls(
            sender=person(letter.sender.address),
            deputy=deputy,
            to=tuple(person(item.address) for item in recipients[:SHOWN]),
            to_count=len(recipients),
            subject=letter.subject,
            letter_class=letter.letter_class,
            thread=letter.thread,
            time_ms=letter.time_ms,
            files=tuple(item.name for item in letter.attachments[:SHOWN]),
            file_count=len(letter.attachments),
        )

    def encode(self) -> bytes:
        """As the plaintext of a box."""
        fields: dict[str, Value] = {
            "from": [self.sender.address, self.sender.name, self.deputy],
            "to": [[item.address, item.name] for item in self.to],
            "tos": self.to_count,
            "subject": self.subject,
            "class": self.letter_class.value,
            "thread": bytes(self.thread),
            "time": self.time_ms,
            "files": list(self.files),
            "fs": self.file_count,
        }
        return encode(fields)

    @classmethod
    def decode(cls, data: bytes) -> Summary:
        """From a box. RemoteProtocolError if it is none."""
        fields: FieldReader = decode_map(data, max_bytes=_MAX_BYTES)
        address, name, deputy = (check_text(item, "from", 0, _MAX_TEXT) for item in fields.items("from", high=3))
        pairs = [item if isinstance(item, list) else [] for item in fields.items("to", high=SHOWN)]
        return cls(
            sender=Person(address, name),
            deputy=deputy,
            to=tuple(Person(*(check_text(part, "to", 0, _MAX_TEXT) for part in pair[:2])) for pair in pairs),
            to_count=fields.integer("tos"),
            subject=fields.text("subject", high=_MAX_TEXT),
            letter_class=LetterClass(fields.choice("class", tuple(LetterClass))),
            thread=ThreadId(fields.fixed("thread", ThreadId.LENGTH)),
            time_ms=fields.integer("time"),
            files=tuple(check_text(item, "files", 0, _MAX_TEXT) for item in fields.items("files", high=SHOWN)),
            file_count=fields.integer("fs"),
        )
