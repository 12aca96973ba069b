"""Addresses made of names, where a list has none. Spec: spec/directory.md, 11.2."""

from __future__ import annotations

import re
from collections.abc import Iterator
from itertools import count
from typing import Final

from directory_sync.lists.listed import Listed, ListError
from directory_sync.words import words

__all__ = ["DEFAULT_FORM", "AddressForm"]

DEFAULT_FORM: Final = "{given}.{family}"
_PLACE: Final = re.compile(r"\{(given|family|initial)\}")
_LEFT: Final = re.compile(r"[a-z0-9._+-]*")
# An address has at most 64 characters before @; room for a number behind.
_MAX_LOCAL: Final = 60


class AddressForm:
    """How the part before @ is made: text with {given}, {family}, {initial}. ListError for another form."""

    def __init__(self, form: str = DEFAULT_FORM) -> None:
        if not _PLACE.search(form) or not _LEFT.fullmatch(_PLACE.sub("", form)):
            raise ListError(f"{form!r} makes no addresses", hint="like {given}.{family} or {initial}{family}")
        self._form = form

    def local(self, row: Listed) -> str:
        """The part before @; "" if the row has no name of letters that an address can have."""
        given, family = _ascii(row.given), _ascii(row.family)
        if not given or not family:
            # A list with whole names only: its words in their order.
            return _tidy(".".join(_ascii(row.name or "").split("-")))
        parts = {"given": given, "family": family, "initial": "".join(word[0] for word in given.split("-"))}
        return _tidy(_PLACE.sub(lambda found: parts[found[1]], self._form))

    def addresses(self, row: Listed, domain: str) -> Iterator[str]:
        """Addresses to try in this order: as the form says, then with 2, 3, … behind. Nothing without a name."""
        local = self.local(row)
        if local:
            yield f"{local}@{domain}"
            yield from (f"{local}{number}@{domain}" for number in count(2))


def _ascii(text: str) -> str:
    return "-".join(word for word in words(text) if word.isascii())


def _tidy(local: str) -> str:
    return re.sub(r"\.{2,}", ".", local)[:_MAX_LOCAL].strip(".")
