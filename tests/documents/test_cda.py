"""Clinical documents are read for what they say, and nothing of them runs."""

from __future__ import annotations

import base64
from html.parser import HTMLParser

import pytest
from hypothesis import given
from hypothesis import strategies as st

from node.documents.cda import CdaDocument, CdaError, is_cda, read_cda

PNG = b"\x89PNG\r\n\x1a\n" + bytes(20)
HEAD = """
  <title>Compte rendu fictif</title><effectiveTime value="20260314093000+0100"/>
  <recordTarget><patientRole><id root="1.2.3" extension="000000000000001"/><patient>
    <name><family qualifier="BR">AUTRE</family><family qualifier="CL">EXEMPLE</family><given>Camille</given></name>
    <administrativeGenderCode code="F" displayName="Féminin"/><birthTime value="19790328"/></patient></patientRole>
  </recordTarget>
  <author><assignedAuthor><code displayName="Médecin fictif"/><assignedPerson><name><prefix>Dr</prefix>
    <given>Aline</given><family>FICTIVE</family></name></assignedPerson>
    <representedOrganization><name>Clinique fictive</name></representedOrganization></assignedAuthor></author>
  <custodian><assignedCustodian><representedCustodianOrganization><name>Hôpital fictif</name>
    </representedCustodianOrganization></assignedCustodian></custodian>
"""


def document(text: str = "", *, title: str = "Conclusion", inner: str = "") -> bytes:
    body = f"<component><section><title>{title}</title><text>{text}</text>{inner}</section></component>"
    return (
        f'<?xml version="1.0"?><?xml-stylesheet href="https://ailleurs.example/x.xsl"?>'
        f'<ClinicalDocument xmlns="urn:hl7-org:v3">{HEAD}<component><structuredBody>{body}</structuredBody></component>'
        f"</ClinicalDocument>"
    ).encode()


def narrative(text: str, inner: str = "") -> str:
    return str(read_cda(document(text, inner=inner)).sections[0].html)


class Elements(HTMLParser):
    def __init__(self, text: str) -> None:
        super().__init__()
        self.seen: list[tuple[str, list[tuple[str, str | None]]]] = []
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.seen.append((tag, attrs))


def test_the_header_is_told() -> None:
    read = read_cda(document("Rien."))
    assert (read.title, read.patient, read.born, read.sex) == (
        "Compte rendu fictif",
        "Camille EXEMPLE",
        "1979-03-28",
        "Féminin",
    )
    assert (read.identifiers, read.made, read.custodian) == (
        ("000000000000001",),
        "2026-03-14 09:30",
        "Hôpital fictif",
    )
    (author,) = read.authors
    assert (author.name, author.role, author.organization) == (
        "Dr Aline FICTIVE",
        "Médecin fictif",
        "Clinique fictive",
    )


def test_the_narrative_keeps_its_shape() -> None:
    shown = narrative(
        '<paragraph>Un <content styleCode="Bold">mot</content><br/>deux</paragraph>'
        '<list listType="ordered"><item>a</item></list>'
        '<table border="1"><thead><tr><th colspan="2">x</th></tr></thead><tbody><tr><td>1</td></tr></tbody></table>'
    )
    assert shown == (
        "<p>Un <strong>mot</strong><br>deux</p><ol><li>a</li></ol>"
        '<table><thead><tr><th colspan="2">x</th></tr></thead><tbody><tr><td>1</td></tr></tbody></table>'
    )


def test_sections_lie_within_sections() -> None:
    inner = "<component><section><title>Dedans</title><text>Oui.</text></section></component>"
    (outer,) = read_cda(document("Non.", inner=inner)).sections
    assert [(item.title, str(item.html)) for item in outer.sections] == [("Dedans", "Oui.")]


@pytest.mark.parametrize(
    "text",
    [
        "<script>alert(1)</script>",
        '<paragraph onclick="alert(1)" style="x">a</paragraph>',
        '<linkHtml href="javascript:alert(1)">ici</linkHtml>',
        '<table background="https://ici.example/x.png"><tr><td colspan="9&quot; onload=&quot;x">a</td></tr></table>',
        '<x:img xmlns:x="http://www.w3.org/1999/xhtml" src="x" onerror="alert(1)"/>',
        "&lt;img src=x onerror=alert(1)&gt;",
        '<renderMultiMedia referencedObject="&quot;&gt;&lt;script&gt;"/>',
    ],
)
def test_nothing_that_runs_or_fetches_comes_through(text: str) -> None:
    for tag, attributes in Elements(narrative(text)).seen:
        assert tag in {"p", "table", "tr", "td", "tbody"}
        assert all(name == "colspan" for name, _ in attributes)


def test_images_within_are_shown_if_they_are_images() -> None:
    def media(kind: str, data: bytes) -> str:
        value = base64.b64encode(data).decode()
        inner = (
            f'<entry><observationMedia ID="M1"><value mediaType="{kind}" representation="B64">{value}</value>'
            "</observationMedia></entry>"
        )
        return narrative('<renderMultiMedia referencedObject="M1"/>', inner)

    assert media("image/png", PNG).startswith('<img alt="M1" src="data:image/png;base64,')
    assert "<img" not in media("image/png", b"<svg onload='alert(1)'/>")
    assert "<img" not in media("image/svg+xml", b"<svg/>")
    assert media("application/pdf", b"%PDF-" + bytes(4096)) == "<em>[application/pdf, 4 kB]</em>"


def test_a_document_wrapped_in_its_style_sheet_is_found() -> None:
    inside = document("Oui.").partition(b"?><ClinicalDocument")[2]
    wrapped = b'<s xmlns="http://www.w3.org/1999/XSL/Transform"><ClinicalDocument' + inside + b"</s>"
    assert str(read_cda(wrapped).sections[0].html) == "Oui."


ENTITIES = '<!DOCTYPE x [<!ENTITY a "aaaaaaaaaa"><!ENTITY b "&a;&a;&a;&a;&a;&a;&a;&a;&a;&a;">]>'


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"pas du XML",
        b"<a/>",
        b'<?xml version="1.0" encoding="nowhere"?><a/>',
        f'{ENTITIES}<ClinicalDocument xmlns="urn:hl7-org:v3" id="&b;">&b;</ClinicalDocument>'.encode(),
        f'{ENTITIES}<ClinicalDocument xmlns="urn:hl7-org:v3">&b;</ClinicalDocument>'.encode("utf-16"),
        b'<!DOCTYPE ClinicalDocument SYSTEM "file:///etc/passwd"><ClinicalDocument xmlns="urn:hl7-org:v3"/>',
        b" " * 5000 + b'<!DOCTYPE x><ClinicalDocument xmlns="urn:hl7-org:v3"/>',
        document("<list><item>" * 200 + "</item></list>" * 200),
        document(inner="<component><section>" * 200 + "</section></component>" * 200),
        document(inner="<component><section/></component>" * 1000),
    ],
)
def test_what_is_not_shown_is_refused_in_one_line(data: bytes) -> None:
    with pytest.raises(CdaError) as refused:
        read_cda(data)
    assert "\n" not in str(refused.value)


@given(st.binary(max_size=300))
def test_any_bytes_are_a_document_or_an_error(data: bytes) -> None:
    base = document("<paragraph>Un texte.</paragraph>")
    for raw in (data, base[:400] + data + base[400 + len(data) :]):
        try:
            assert isinstance(read_cda(raw), CdaDocument)
        except CdaError:
            continue


@pytest.mark.parametrize(
    ("media_type", "name", "beginning", "expected"),
    [
        ("text/xml", "x", b"<ClinicalDocument", True),
        ("application/octet-stream", "CR.XML", "<ClinicalDocument".encode("utf-16"), True),
        ("text/xml", "x.xml", b"<note/>", False),
        ("text/html", "x.html", b"<ClinicalDocument", False),
    ],
)
def test_which_files_are_clinical_documents(media_type: str, name: str, beginning: bytes, expected: bool) -> None:
    assert is_cda(media_type, name, beginning) is expected
