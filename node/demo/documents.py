"""Small documents for the demo, generated: a CDA-like XML and a PDF. All people in them are fictional."""

from __future__ import annotations

from pathlib import Path
from xml.sax.saxutils import escape

__all__ = ["write_cda", "write_pdf"]

_CDA = """<?xml version="1.0" encoding="UTF-8"?>
<ClinicalDocument xmlns="urn:hl7-org:v3">
  <typeId root="2.16.840.1.113883.1.3" extension="POCD_HD000040"/>
  <id root="2.25.{number}"/>
  <code code="11490-0" codeSystem="2.16.840.1.113883.6.1" displayName="Discharge letter"/>
  <title>{title}</title>
  <effectiveTime value="20260102030405+0000"/>
  <languageCode code="fr-FR"/>
  <recordTarget><patientRole><id nullFlavor="NI"/>
    <patient><name><given>Camille</given><family>EXEMPLE</family></name></patient>
  </patientRole></recordTarget>
  <author><time value="20260102"/><assignedAuthor><id nullFlavor="NI"/>
    <assignedPerson><name>{author}</name></assignedPerson>
  </assignedAuthor></author>
  <component><structuredBody>{sections}
  </structuredBody></component>
</ClinicalDocument>
"""
_SECTION = """
    <component><section><title>{title}</title><text>{text}</text></section></component>"""


def write_cda(path: Path, *, title: str, author: str, number: int, paragraphs: int) -> Path:
    """Write a CDA-like document of about `paragraphs` × 100 bytes."""
    sections = "".join(
        _SECTION.format(
            title=f"Section {at + 1}", text=escape(f"Observation fictive n° {at + 1} de la patiente exemple.")
        )
        for at in range(paragraphs)
    )
    text = _CDA.format(number=number, title=escape(title), author=escape(author), sections=sections)
    path.write_text(text, encoding="utf-8")
    return path


def write_pdf(path: Path, *, title: str) -> Path:
    """Write a one-page PDF with a line of text (PDF 1.4, built by hand: five objects and a cross-reference table)."""
    line = title.encode("latin-1", "replace").replace(b"\\", b"").replace(b"(", b"").replace(b")", b"")
    stream = b"BT /F1 18 Tf 72 760 Td (" + line + b") Tj ET"
    objects = [
        b"<< /Type /Catalog /Pages 2 0 R >>",
        b"<< /Type /Pages /Kids [3 0 R] /Count 1 >>",
        b"<< /Type /Page /Parent 2 0 R /MediaBox [0 0 595 842] /Contents 4 0 R "
        b"/Resources << /Font << /F1 5 0 R >> >> >>",
        b"<< /Length " + str(len(stream)).encode() + b" >>\nstream\n" + stream + b"\nendstream",
        b"<< /Type /Font /Subtype /Type1 /BaseFont /Helvetica /Encoding /WinAnsiEncoding >>",
    ]
    out, offsets = bytearray(b"%PDF-1.4\n"), []
    for number, body in enumerate(objects, start=1):
        offsets.append(len(out))
        out += f"{number} 0 obj\n".encode() + body + b"\nendobj\n"
    start = len(out)
    out += f"xref\n0 {len(objects) + 1}\n0000000000 65535 f \n".encode()
    for offset in offsets:
        out += f"{offset:010d} 00000 n \n".encode()
    out += f"trailer\n<< /Size {len(objects) + 1} /Root 1 0 R >>\nstartxref\n{start}\n%%EOF\n".encode()
    path.write_bytes(out)
    return path
