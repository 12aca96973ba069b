"""Whom to invite, as a table for telephone and mail merge. Spec: spec/desks.md, 8."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from directory_sync.lists.institutions import ListedInstitution
from directory_sync.lists.tables import table_line

__all__ = ["invite_table"]

_HEADER: Final = ("name", "other", "kind", "region", "town", "telephone", "domain", "numbers", "revoked")


def invite_table(entries: Iterable[ListedInstitution], revoked: frozenset[str]) -> str:
    """CSV with a header. revoked: keys of entries whose endorsement was revoked."""
    rows = (
        (
            entry.names[0],
            "; ".join(entry.names[1:]),
            entry.kind,
            entry.region,
            entry.town,
            entry.telephone,
            entry.domain,
            "; ".join(f"{item.system}|{item.value}" for item in entry.identifiers),
            "yes" if entry.key in revoked else "",
        )
        for entry in entries
    )
    return "".join(table_line(row) for row in (_HEADER, *rows))
