"""Whether the settings changed since the last start: which keys, on record, and never what they say.

Spec: spec/evidence.md, 5.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

import sqlalchemy as sa
from pydantic import BaseModel

from node.config.settings import Settings
from node.vault.database import Database, Transaction
from node.vault.log_codes import joined
from node.vault.node_state import NodeState
from node.vault.sealing import RowKeys
from protocol.codec import Value, encode
from protocol.crypto import hash_labelled
from protocol.details import Details
from protocol.labels import Label
from protocol.logleaf import EventKind

__all__ = ["SettingsRecord", "flat_settings"]

_NAME: Final = "settings"


def flat_settings(settings: Settings) -> dict[str, str]:
    """Every setting in force, by its dotted key, as text; of the database's address without the password."""
    flat: dict[str, str] = {}

    def walk(model: BaseModel, prefix: str) -> None:
        for name in type(model).model_fields:
            value: Any = getattr(model, name)
            if isinstance(value, BaseModel):
                walk(value, f"{prefix}{name}.")
            else:
                flat[prefix + name] = " ".join(map(str, value)) if isinstance(value, tuple) else str(value)

    walk(settings, "")
    if address := flat["storage.database"]:
        flat["storage.database"] = sa.make_url(address).render_as_string(hide_password=True)
    return flat


class SettingsRecord:
    """Compares settings with those of the last start. Of each a blinded value is kept, not the value."""

    def __init__(self, database: Database, keys: RowKeys, state: NodeState) -> None:
        self._database = database
        self._keys = keys
        self._state = state

    def _blinded(self, flat: Mapping[str, str]) -> dict[str, bytes]:
        return {name: self._keys.blind("setting", name.encode(), b"\0", flat[name].encode()) for name in flat}

    async def note(self, settings: Settings) -> None:
        """At a start, or when they are taken up: on record if they are others than before, or if it is the first."""
        await self._database.write(self._note, flat_settings(settings))

    def _note(self, tx: Transaction, items: Sequence[Mapping[str, str]]) -> Sequence[None]:
        for flat in items:
            blinded = self._blinded(flat)
            known = self._state.find(tx.connection, _NAME)
            before = {} if known is None else known.rest()
            changed = sorted(name for name in before.keys() | blinded.keys() if before.get(name) != blinded.get(name))
            if not changed:
                continue
            fields: dict[str, Value] = dict(blinded)
            self._state.set(tx, _NAME, fields)
            text: dict[str, Value] = dict(flat)
            details = Details(
                node=self._keys.node_id,
                code="first" if known is None else joined(changed),
                digest=hash_labelled(Label.SETTINGS, encode(text)),
            )
            tx.log.append(EventKind.SETTINGS_CHANGED, details)
        return [None] * len(items)
