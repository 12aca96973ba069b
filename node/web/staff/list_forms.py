"""A list's file as forms of pages give it: its format, its encoding, its columns. Spec: spec/staff.md, 6.3.

The list is read from memory: nothing of it ever lies on the node's disk, whenever the node stops.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any, Final

from starlette.datastructures import FormData

from directory_sync.lists.columns import Fields
from node.errors import ConfigError
from node.lists.source import ENCODINGS, read_column_map
from node.reports.rendering import N_
from node.web.staff.forms import line, text

__all__ = ["MAX_MAP", "source_options"]

MAX_MAP: Final = 8 * 1024
"""Characters of a map of columns."""
_SAY_WHICH: Final = N_("say below which column it is, as in name=Nom")


def source_options(form: FormData, data: bytes, name: str, fields: Fields, formats: tuple[str, ...]) -> dict[str, Any]:
    """What a SourceFile is made with. name: the file's, as errors name it. ConfigError for a map that is none."""
    chosen, encoding, delimiter = line(form, "format"), line(form, "encoding"), line(form, "delimiter")
    maps = [item.strip() for item in text(form, "map", MAX_MAP).split("\n") if item.strip()]
    for item in maps:
        # Without it the item would name a file with a map.
        if "=" not in item:
            raise ConfigError(f"{item!r} maps nothing", hint="one field=Column on each line")
    return {
        "path": Path(name or "list"),
        "content": data,
        "format": chosen if chosen in formats else "",
        "encoding": encoding if encoding in ENCODINGS else "utf-8",
        "delimiter": {"tab": "\t"}.get(delimiter, delimiter[:1]),
        "columns": read_column_map(maps, replace(fields, hint=_SAY_WHICH)),
    }
