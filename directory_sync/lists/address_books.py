"""Mailboxes for classic address books: vCard 4.0 (RFC 6350) and LDIF (RFC 2849, inetOrgPerson).

Spec: spec/directory.md, 11.6.

Written here: spec/decisions/0005-lists.md says why. Tests read them with parsers of others.
"""

from __future__ import annotations

import base64
import re
from typing import Final

from protocol.entry import InstitutionEntry, MailboxEntry, MailboxKind

__all__ = ["LDIF_HEAD", "ldif_record", "vcard"]

LDIF_HEAD: Final = "version: 1\n"
_NOTE: Final = "Coffre address: letters to it go through Coffre, not by e-mail"
_FOLD_BYTES: Final = 75
_VCARD_KINDS: Final = {MailboxKind.PERSON: "individual", MailboxKind.APPLICATION: "application"}


def _fold(line: str, end: str, first: int = _FOLD_BYTES) -> str:
    """Lines of at most 75 bytes, those after the first with a space before them; no character is cut apart."""
    raw, pieces, room = line.encode(), [], first
    while len(raw) > room:
        cut = room
        while raw[cut] & 0xC0 == 0x80:
            cut -= 1
        pieces.append(raw[:cut])
        raw, room = raw[cut:], first - 1
    return (end + " ").join(piece.decode() for piece in (*pieces, raw)) + end


# -- vCard


def _escaped(text: str) -> str:
    """RFC 6350, 3.4; semicolons too, which part the components of some properties."""
    return re.sub(r"([\\,;])", r"\\\1", text).replace("\n", "\\n")


def vcard(entry: MailboxEntry, institution: InstitutionEntry) -> str:
    """One card."""
    uid = entry.mailbox.hex()
    uuid = f"{uid[:8]}-{uid[8:12]}-{uid[12:16]}-{uid[16:20]}-{uid[20:]}"
    units = [institution.names[0], *([entry.unit] if entry.unit else [])]
    lines = [
        "BEGIN:VCARD",
        "VERSION:4.0",
        f"UID:urn:uuid:{uuid}",
        f"KIND:{_VCARD_KINDS.get(entry.kind, 'org')}",
        f"FN:{_escaped(entry.name)}",
        f"EMAIL;TYPE=work:{entry.address}",
        f"ORG:{';'.join(map(_escaped, units))}",
    ]
    if entry.profession:
        lines.append(f"TITLE:{_escaped(entry.profession)}")
    if entry.specialty:
        lines.append(f"ROLE:{_escaped(entry.specialty)}")
    town = entry.town or institution.town
    if town:
        lines.append(f"ADR;TYPE=work:;;;{_escaped(town)};{_escaped(institution.region)};;")
    lines += [f"LANG;PREF={number}:{language}" for number, language in enumerate(entry.languages, 1)]
    lines += [f"X-COFFRE-ID:{_escaped(item.system)};{_escaped(item.value)}" for item in entry.identifiers]
    lines.append(f"NOTE:{_escaped('. '.join(filter(None, (entry.purpose, _NOTE))))}")
    lines.append("END:VCARD")
    return "".join(_fold(line, "\r\n") for line in lines)


# -- LDIF

# RFC 2849: SAFE-STRING; besides, no space at the end (note 8).
_SAFE: Final = re.compile(r"(?![ :<])[\x01-\x09\x0b\x0c\x0e-\x7f]*(?<! )")
# RFC 4514, 2.4.
_DN_SPECIAL: Final = re.compile(r'([\\"+,;<>=])')


def _attribute(name: str, value: str) -> str:
    if _SAFE.fullmatch(value):
        return _fold(f"{name}: {value}", "\n")
    return _fold(f"{name}:: {base64.b64encode(value.encode()).decode()}", "\n")


def _dn_value(text: str) -> str:
    escaped = _DN_SPECIAL.sub(r"\\\1", text)
    if escaped[:1] in (" ", "#"):
        escaped = "\\" + escaped
    return escaped[:-1] + "\\ " if escaped.endswith(" ") and not escaped.endswith("\\ ") else escaped


def ldif_record(entry: MailboxEntry, institution: InstitutionEntry) -> str:
    """One record, with the empty line that ends it."""
    house = institution.names[0]
    attributes = [
        ("dn", f"mail={_dn_value(entry.address)},o={_dn_value(house)}"),
        *(("objectClass", name) for name in ("top", "person", "organizationalPerson", "inetOrgPerson")),
        ("cn", entry.name),
        # inetOrgPerson must have one; registers write family names last.
        ("sn", entry.name.split()[-1] if entry.name.split() else entry.name),
        ("mail", entry.address),
        ("o", house),
        ("ou", entry.unit),
        ("title", entry.profession),
        ("businessCategory", entry.specialty),
        ("l", entry.town or institution.town),
        ("employeeType", entry.kind.value),
        ("preferredLanguage", entry.languages[0] if entry.languages else ""),
        *(("employeeNumber", item.value) for item in entry.identifiers[:1]),
        ("description", ". ".join(filter(None, (entry.purpose, _NOTE)))),
    ]
    return "".join(_attribute(name, value) for name, value in attributes if value) + "\n"
