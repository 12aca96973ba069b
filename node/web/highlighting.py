"""Showing which words of a text were searched for. Everything else of the text is escaped."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Final

from markupsafe import Markup, escape

from directory_sync.words import fold

__all__ = ["Highlighter"]

_WORD: Final = re.compile(r"[^\W_]+")


class Highlighter:
    """Marks words that are, or begin with, one of the folded `words`."""

    def __init__(self, words: Sequence[str]) -> None:
        self._words = tuple(words)

    def __call__(self, text: str) -> Markup:
        """The text as markup."""
        if not self._words:
            return escape(text)
        parts: list[Markup] = []
        end = 0
        for found in _WORD.finditer(text):
            if fold(found[0]).startswith(self._words):
                parts += [escape(text[end : found.start()]), Markup("<mark>{}</mark>").format(found[0])]
                end = found.end()
        return Markup("").join([*parts, escape(text[end:])])
