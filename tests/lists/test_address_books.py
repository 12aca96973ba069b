"""vCard and LDIF, read with parsers of others. Spec: spec/directory.md, 11.6."""

from __future__ import annotations

import io
import uuid
from dataclasses import replace

import ldif
import vobject
from hypothesis import given
from hypothesis import strategies as st

from directory_sync.lists.address_books import LDIF_HEAD, ldif_record, vcard
from protocol.entry import Identifier, InstitutionEntry, MailboxEntry
from tests.lists.entries import BLANK, entries, lines

HOUSE = InstitutionEntry(names=("Clinique du Pont",), kind="hospital", domains=("clinic.example",), statement=0)


def house(name: str, town: str) -> InstitutionEntry:
    return replace(HOUSE, names=(name,), town=town)


@given(st.lists(entries(), min_size=1, max_size=3), lines(1), lines())
def test_cards_are_read_by_others(published: list[MailboxEntry], name: str, town: str) -> None:
    text = "".join(vcard(item, house(name, town)) for item in published)
    assert all(len(line.encode()) <= 75 for line in text.split("\r\n"))
    cards = list(vobject.readComponents(text))
    assert len(cards) == len(published)
    for card, entry in zip(cards, published, strict=True):
        assert card.version.value == "4.0"
        assert card.fn.value == entry.name
        assert card.email.value == entry.address
        assert card.org.value == [name, *([entry.unit] if entry.unit else [])]
        assert "by e-mail" in card.note.value
        assert [line.value for line in card.contents.get("title", [])] == [entry.profession] * bool(entry.profession)
        assert [line.value for line in card.contents.get("role", [])] == [entry.specialty] * bool(entry.specialty)
        wanted = entry.town or town
        assert [line.value.city for line in card.contents.get("adr", [])] == [wanted] * bool(wanted)
        assert len(card.contents.get("x-coffre-id", [])) == len(entry.identifiers)


@given(st.lists(entries(), min_size=1, max_size=3), lines(1))
def test_records_are_read_by_others(published: list[MailboxEntry], name: str) -> None:
    text = LDIF_HEAD + "".join(ldif_record(item, house(name, "")) for item in published)
    assert text.isascii()
    records = list(ldif.LDIFParser(io.BytesIO(text.encode()), strict=False).parse())
    assert len(records) == len(published)
    for (_, record), entry in zip(records, published, strict=True):
        assert record["cn"] == [entry.name]
        assert record["mail"] == [entry.address]
        assert record["o"] == [name]
        assert record.get("ou", [""]) == [entry.unit]
        assert record.get("title", [""]) == [entry.profession]
        assert record.get("l", [""]) == [entry.town]
        assert record["objectClass"][-1] == "inetOrgPerson"
        assert record["sn"][0]


def test_a_card_letter_by_letter() -> None:
    entry = replace(
        BLANK,
        name="Dr Aline Fictive, PhD",
        profession="Médecin",
        unit="Pavillon 3; étage 2",
        town="Saint-Rémy",
        languages=("fr", "nl"),
        identifiers=(Identifier("urn:example:rpps", "10001"),),
        purpose="Rendez-vous",
    )
    assert vcard(entry, HOUSE).split("\r\n") == [
        "BEGIN:VCARD",
        "VERSION:4.0",
        f"UID:urn:uuid:{uuid.UUID(bytes=bytes(entry.mailbox))}",
        "KIND:individual",
        "FN:Dr Aline Fictive\\, PhD",
        f"EMAIL;TYPE=work:{entry.address}",
        "ORG:Clinique du Pont;Pavillon 3\\; étage 2",
        "TITLE:Médecin",
        "ADR;TYPE=work:;;;Saint-Rémy;;;",
        "LANG;PREF=1:fr",
        "LANG;PREF=2:nl",
        "X-COFFRE-ID:urn:example:rpps;10001",
        "NOTE:Rendez-vous. Coffre address: letters to it go through Coffre\\, not by ",
        " e-mail",
        "END:VCARD",
        "",
    ]


def test_a_record_letter_by_letter() -> None:
    entry = replace(BLANK, name="Dr Aline Fictive", town=" au bord")
    told = ldif_record(entry, replace(HOUSE, names=("Pont, Rive + Cie",))).split("\n")
    assert told[0] == f"dn: mail={entry.address},o=Pont\\, Rive \\+ Cie"
    # A space at the beginning makes it base64.
    assert "l:: IGF1IGJvcmQ=" in told
    assert "sn: Fictive" in told
    assert told[-2:] == ["", ""]
