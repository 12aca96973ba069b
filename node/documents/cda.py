"""HL7 CDA R2, read: header and narrative. Spec: spec/web.md, 10.

Nothing of a document passes as it is: elements are taken apart and written anew from a short list, every text escaped.
No DTD, no entity, no style sheet, no address is followed. What is not on the list loses its tags and keeps its text.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, Final

from lxml import etree
from markupsafe import Markup, escape

__all__ = ["MAX_BYTES", "CdaDocument", "CdaError", "Enclosed", "Person", "Section", "is_cda", "read_cda"]

MAX_BYTES: Final = 32 * 1024 * 1024
"""The largest of the national samples has 3 MB, most of it a PDF within."""
_V3: Final = "{urn:hl7-org:v3}"
_DOCUMENT: Final = f"{_V3}ClinicalDocument"
_MAX_DEPTH: Final = 60
_MAX_SECTIONS: Final = 500
_HEAD_BYTES: Final = 64 * 1024
_PROLOG_PIECE: Final = 1024
_TEXT_TYPES: Final = ("text/xml", "application/xml", "application/hl7-cda+xml", "application/hl7-sda+xml")
_BLOCKS: Final = {
    "paragraph": "p",
    "item": "li",
    "table": "table",
    "caption": "caption",
    "thead": "thead",
    "tbody": "tbody",
    "tfoot": "tfoot",
    "tr": "tr",
    "th": "th",
    "td": "td",
    "sub": "sub",
    "sup": "sup",
}
_SPANS: Final = ("colspan", "rowspan")
_MAX_SPAN: Final = 100
_IMAGES: Final = {"image/png": b"\x89PNG\r\n\x1a\n", "image/jpeg": b"\xff\xd8\xff", "image/gif": b"GIF8"}


class CdaError(Exception):
    """Not a CDA document, or one that is not shown: too large, too deep, with a DTD."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Person:
    """Somebody whom the header names. role: specialty or function, may be empty."""

    name: str
    role: str = ""
    organization: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Enclosed:
    """A file within the document."""

    id: str
    media_type: str
    data: bytes = field(repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Section:
    """A section: its title, its narrative as safe HTML, the sections within."""

    title: str
    html: Markup
    sections: tuple[Section, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class CdaDocument:
    """What is shown. Dates as the document writes them, made readable: 2024-01-06 11:36."""

    title: str
    patient: str
    born: str
    sex: str
    identifiers: tuple[str, ...]
    made: str
    authors: tuple[Person, ...]
    custodian: str
    sections: tuple[Section, ...]
    enclosed: dict[str, Enclosed] = field(repr=False)


def is_cda(media_type: str, name: str, beginning: bytes) -> bool:
    """Whether a document says that it is one. beginning: its first bytes, 64 KiB are enough for any header seen."""
    if media_type not in _TEXT_TYPES and not name.lower().endswith(".xml"):
        return False
    return b"ClinicalDocument" in beginning[:_HEAD_BYTES].replace(b"\0", b"")  # UTF-16, too


def read_cda(data: bytes) -> CdaDocument:
    """Read a document. CdaError, one line, for what is none or is not shown."""
    if len(data) > MAX_BYTES:
        raise CdaError(f"larger than {MAX_BYTES} bytes")
    _refuse_doctype(data)
    # huge_tree: a PDF within is one text of some megabytes. What it guards against besides needs a DTD.
    parser = etree.XMLParser(
        resolve_entities=False, no_network=True, load_dtd=False, huge_tree=True, remove_comments=True, remove_pis=True
    )
    try:
        root = etree.fromstring(data, parser)
    except (etree.XMLSyntaxError, ValueError) as error:
        raise CdaError("not well-formed XML") from error
    document = root if root.tag == _DOCUMENT else next(root.iter(_DOCUMENT), None)
    if document is None:
        raise CdaError("no clinical document")
    return _Reader(document).read()


class _Prolog:
    """Notes what comes before the first element."""

    def __init__(self) -> None:
        self.has_doctype = self.has_begun = False

    def doctype(self, _name: str | None, _public: str | None, _system: str | None) -> None:
        self.has_doctype = True

    def start(self, _tag: str, _attributes: object) -> None:
        self.has_begun = True

    def end(self, _tag: str) -> None:
        pass

    def data(self, _text: str) -> None:
        pass

    def close(self) -> None:
        pass


def _refuse_doctype(data: bytes) -> None:
    """CdaError for a DTD, before what it declares is used by a parser without its guards."""
    prolog = _Prolog()
    target: Any = prolog
    parser = etree.XMLParser(target=target, resolve_entities=False, no_network=True, load_dtd=False)
    try:
        for start in range(0, len(data), _PROLOG_PIECE):
            parser.feed(data[start : start + _PROLOG_PIECE])
            if prolog.has_doctype:
                raise CdaError("it has a document type declaration")
            if prolog.has_begun:
                return
    except (etree.XMLSyntaxError, ValueError, LookupError) as error:
        raise CdaError("not well-formed XML") from error
    raise CdaError("not well-formed XML")


class _Reader:
    def __init__(self, document: etree._Element) -> None:
        self._document = document
        self._enclosed: dict[str, Enclosed] = {}
        self._left = _MAX_SECTIONS

    def read(self) -> CdaDocument:
        find = self._document.find
        self._read_enclosed()
        patient = find(f"{_V3}recordTarget/{_V3}patientRole")
        person = None if patient is None else patient.find(f"{_V3}patient")
        body = find(f"{_V3}component/{_V3}structuredBody")
        sections = () if body is None else tuple(self._sections(body, 0))
        return CdaDocument(
            title=_text(find(f"{_V3}title")),
            patient=_name(person),
            born=_date(_attribute(person, "birthTime", "value")),
            sex=_attribute(person, "administrativeGenderCode", "displayName"),
            identifiers=()
            if patient is None
            else tuple(
                item.get("extension", "")[:100] for item in patient.findall(f"{_V3}id") if item.get("extension")
            ),
            made=_date(_attribute(self._document, "effectiveTime", "value")),
            authors=tuple(self._people("author", "assignedAuthor")),
            custodian=_text(
                find(f"{_V3}custodian/{_V3}assignedCustodian/{_V3}representedCustodianOrganization/{_V3}name")
            ),
            sections=sections,
            enclosed=self._enclosed,
        )

    def _people(self, kind: str, role: str) -> Iterator[Person]:
        for item in self._document.findall(f"{_V3}{kind}/{_V3}{role}")[:20]:
            yield Person(
                name=_name(item.find(f"{_V3}assignedPerson")),
                role=_attribute(item, "code", "displayName"),
                organization=_text(item.find(f"{_V3}representedOrganization/{_V3}name")),
            )

    def _read_enclosed(self) -> None:
        for item in self._document.iter(f"{_V3}observationMedia"):
            self._take(item.get("ID", ""), item.find(f"{_V3}value"))
        self._take("body", self._document.find(f"{_V3}component/{_V3}nonXMLBody/{_V3}text"))

    def _take(self, name: str, value: etree._Element | None) -> None:
        if value is None or value.get("representation") != "B64" or not value.text:
            return
        try:
            data = base64.b64decode("".join(value.text.split()), validate=True)
        except (ValueError, binascii.Error):
            return
        self._enclosed[name] = Enclosed(id=name, media_type=value.get("mediaType", "")[:100], data=data)

    def _sections(self, parent: etree._Element, depth: int) -> Iterator[Section]:
        for item in parent.findall(f"{_V3}component/{_V3}section"):
            self._left -= 1
            if self._left < 0 or depth > _MAX_DEPTH:
                raise CdaError("too many sections")
            text = item.find(f"{_V3}text")
            yield Section(
                title=_text(item.find(f"{_V3}title")),
                html=Markup("") if text is None else self._inside(text, 0),
                sections=tuple(self._sections(item, depth + 1)),
            )

    def _inside(self, element: etree._Element, depth: int) -> Markup:
        if depth > _MAX_DEPTH:
            raise CdaError("nested too deeply")
        parts = [escape(element.text or "")]
        for child in element:
            if isinstance(child.tag, str):
                parts.append(self._one(child, depth + 1))
            parts.append(escape(child.tail or ""))
        return Markup("").join(parts)

    def _one(self, element: etree._Element, depth: int) -> Markup:
        kind = etree.QName(element).localname
        if kind == "br":
            return Markup("<br>")
        if kind == "renderMultiMedia":
            return self._media(element.get("referencedObject", "")) + self._inside(element, depth)
        inside = self._inside(element, depth)
        if kind == "list":
            tag = "ol" if element.get("listType") == "ordered" else "ul"
            return Markup("<{0}>{1}</{0}>").format(Markup(tag), inside)
        if kind == "content":
            style = element.get("styleCode", "")
            tag = "strong" if "Bold" in style else "em" if "Italics" in style else "span"
            return Markup("<{0}>{1}</{0}>").format(Markup(tag), inside)
        known = _BLOCKS.get(kind)
        if known is None:
            return inside
        spans = Markup("")
        for name in _SPANS:
            value = element.get(name, "")
            if value.isascii() and value.isdigit() and 1 < int(value[:4]) <= _MAX_SPAN:
                spans += Markup(' {}="{}"').format(name, int(value[:4]))
        return Markup("<{0}{1}>{2}</{0}>").format(Markup(known), spans, inside)

    def _media(self, name: str) -> Markup:
        found = self._enclosed.get(name)
        if found is None:
            return Markup("")
        begin = _IMAGES.get(found.media_type)
        if begin is not None and found.data.startswith(begin):
            source = f"data:{found.media_type};base64,{base64.b64encode(found.data).decode()}"
            return Markup('<img alt="{}" src="{}">').format(name, source)
        return Markup("<em>[{}, {} kB]</em>").format(found.media_type, len(found.data) // 1024)


def _text(element: etree._Element | None) -> str:
    return "" if element is None else " ".join("".join(element.itertext()).split())[:500]


def _attribute(parent: etree._Element | None, child: str, name: str) -> str:
    element = None if parent is None else parent.find(f"{_V3}{child}")
    return "" if element is None else element.get(name, "")[:200]


def _name(person: etree._Element | None) -> str:
    """The name in use, else the first of each sort: prefix, given, family."""
    name = None if person is None else person.find(f"{_V3}name")
    if name is None:
        return ""
    parts = []
    for kind in ("prefix", "given", "family"):
        found = name.findall(f"{_V3}{kind}")
        used = [item for item in found if item.get("qualifier") == "CL"] or found
        parts += [_text(item) for item in used[:1]]
    return " ".join(part for part in parts if part) or _text(name)


def _date(value: str) -> str:
    digits = value[:14]
    if not (digits.isascii() and digits[:8].isdigit() and len(digits) >= 8):
        return value[:8] if value[:4].isdigit() else ""
    day = f"{digits[:4]}-{digits[4:6]}-{digits[6:8]}"
    return f"{day} {digits[8:10]}:{digits[10:12]}" if digits[8:12].isdigit() and len(digits) >= 12 else day
