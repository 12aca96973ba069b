"""Kinds of institutions as people call them. Entries and endorsements carry a plain word (spec/directory.md, 3 and 7);
one that is not known here is shown as it stands.
"""

from __future__ import annotations

from typing import Final

from node.reports.rendering import N_, Language

__all__ = ["INSTITUTION_KINDS", "institution_kind_words"]

INSTITUTION_KINDS: Final = {
    "hospital": N_("hospital"),
    "clinic": N_("clinic"),
    "practice": N_("practice"),
    "laboratory": N_("laboratory"),
    "pharmacy": N_("pharmacy"),
    "nursing-home": N_("nursing home"),
    "imaging-centre": N_("imaging centre"),
    "home-care": N_("home care"),
    "authority": N_("authority"),
}
"""The usual ones, in the order in which forms offer them."""


def institution_kind_words(kind: str, language: Language) -> str:
    """A kind in this language; several may stand together, with commas between."""
    return ", ".join(
        language.text(INSTITUTION_KINDS[word]) if word in INSTITUTION_KINDS else word for word in kind.split(", ")
    )
