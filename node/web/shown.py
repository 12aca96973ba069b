"""Which documents of letters are shown in place. Spec: spec/web.md, 6 and 10."""

from __future__ import annotations

from typing import Final

from node.documents.cda import is_cda
from protocol.letter import Attachment

__all__ = ["IMAGES", "shown_in_place"]

IMAGES: Final = {
    "image/png": b"\x89PNG\r\n\x1a\n",
    "image/jpeg": b"\xff\xd8\xff",
    "image/gif": b"GIF8",
    "image/webp": b"RIFF",
}
"""Media types, and how their files begin."""
_PDF: Final = "application/pdf"


def shown_in_place(attachment: Attachment) -> str:
    """How a document may be shown on a page: `image`, `pdf`, `clinical`, or empty where it is downloaded only."""
    if attachment.media_type in IMAGES:
        return "image"
    if attachment.media_type == _PDF:
        return "pdf"
    # Whether it is one is seen when it is opened.
    return "clinical" if is_cda(attachment.media_type, attachment.name, b"ClinicalDocument") else ""
