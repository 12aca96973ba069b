"""What a node holds about one mailbox, in a folder that people and programs can read. Spec: spec/retention.md, 8."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import sqlalchemy as sa

from node.audit.log import LeafRef, read_evidence
from node.data_export_pages import LetterLine, index_page, letter_text, readme
from node.errors import CoffreError, ConfigError, NotFoundError, StateError
from node.vault import schema
from node.vault.access import OpenMailbox
from node.vault.database import Transaction
from node.vault.evidence_export import export_evidence
from node.vault.reading import LetterSummary
from node.vault.states import LetterFolder, LetterState
from protocol.details import Details, decode_details, encode_details
from protocol.errors import RemoteProtocolError
from protocol.evidence_file import write_evidence_file
from protocol.logleaf import EventKind, LogLeaf

if TYPE_CHECKING:
    from node.app import Node

__all__ = ["Exported", "export_mailbox"]

_PAGE: Final = 200


@dataclass(frozen=True, slots=True)
class Exported:
    """What was written. problems: letters whose content could not be read, by id."""

    letters: int
    events: int
    problems: tuple[str, ...]


async def export_mailbox(
    node: Node, opened: OpenMailbox, folder: Path, *, by_recovery: bool, progress: Callable[[int], None]
) -> Exported:
    """Write a mailbox's letters, their evidence, its entry and the log's events about it. On record first.

    With the owner's password each unread letter counts as opened. by_recovery: opened by the institution's key; the
    letters stay unread, and the log says that it was that key. ConfigError for a folder that is not empty.
    progress: called with the letters done.
    """
    blocking = node.world.run_blocking
    await blocking(_make_folder, folder)
    summaries = await _all_letters(node, opened)
    role = "recovery" if by_recovery else opened.role.value
    details = Details(node=node.node_id, mailbox=opened.id, role=role, code=f"{len(summaries)} letters")

    def record(tx: Transaction, items: Sequence[Details]) -> Sequence[None]:
        for item in items:
            tx.log.append(EventKind.DATA_EXPORTED, item)
        return [None] * len(items)

    await node.database.write(record, details)
    lines: list[LetterLine] = []
    for number, summary in enumerate(summaries, 1):
        lines.append(await _write_letter(node, opened, summary, folder, number, by_recovery=by_recovery))
        progress(number)
    events = await node.database.read(_events, node, opened)
    entry = await node.database.read(node.directory.own_mailbox, opened.id)
    made_at_ms = node.world.now_ms()

    def finish() -> None:
        _write_json(folder / "log.json", events)
        raw = b"" if entry is None else entry.encode()
        _write_json(
            folder / "entry.json",
            {
                "mailbox": opened.id.text,
                "address": opened.address,
                "kind": "" if entry is None else entry.kind.value,
                "name": "" if entry is None else entry.name,
                "profession": "" if entry is None else entry.profession,
                "specialty": "" if entry is None else entry.specialty,
                "unit": "" if entry is None else entry.unit,
                "town": "" if entry is None else entry.town,
                "status": "" if entry is None else entry.status.value,
                "published": base64.b64encode(raw).decode(),
            },
        )
        _write_json(
            folder / "index.json",
            {
                "institution": node.settings.institution,
                "node": node.node_id.text,
                "mailbox": opened.id.text,
                "address": opened.address,
                "made_at_ms": made_at_ms,
                "letters": [line.fields() for line in lines],
                "events": len(events),
            },
        )
        page = index_page(node.settings.institution, opened.address, made_at_ms, lines, len(events))
        (folder / "index.html").write_text(page, "utf-8")
        (folder / "README.txt").write_text(readme(node.settings.institution, opened.address), "utf-8")

    await blocking(finish)
    return Exported(len(lines), len(events), tuple(line.id for line in lines if line.problem))


def _make_folder(folder: Path) -> None:
    try:
        if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
            raise ConfigError(f"{folder} exists and is not empty", hint="name a new folder")
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise ConfigError(f"{folder} cannot be made: {error.strerror}") from error


async def _all_letters(node: Node, opened: OpenMailbox) -> list[LetterSummary]:
    """Received and sent, deleted ones included, oldest first."""
    found: list[LetterSummary] = []
    for folder in LetterFolder:
        for deleted in (False, True):
            before: bytes | None = None
            while page := await node.reading.page(opened, folder, before=before, limit=_PAGE, deleted=deleted):
                found += page
                before = min(summary.stored.row for summary in page)
    return sorted({summary.stored.row: summary for summary in found}.values(), key=lambda item: item.stored.row)


async def _write_letter(
    node: Node, opened: OpenMailbox, summary: LetterSummary, folder: Path, number: int, *, by_recovery: bool
) -> LetterLine:
    stored, blocking = summary.stored, node.world.run_blocking
    place = folder / "letters" / f"{number:05}-{stored.row.hex()}"
    await blocking(lambda: place.mkdir(mode=0o700, parents=True))
    problem, letter, files = summary.problem, None, list[str]()
    try:
        if stored.state is LetterState.WITHDRAWN:
            raise StateError("withdrawn")
        read = node.reading.export if by_recovery else node.reading.open
        handed_out = await read(opened, stored)
        letter, problem = handed_out.letter, ""
        target = place / "attachments"
        if letter.attachments:
            await blocking(lambda: target.mkdir(mode=0o700))
        for index in range(len(letter.attachments)):
            path = await blocking(handed_out.content.save_attachment, index, target, lambda _done: None)
            files.append(str(path.relative_to(folder)))
    except RemoteProtocolError as error:
        problem = error.reason.value
    except CoffreError as error:
        problem = error.message
    line = LetterLine(
        id=stored.row.hex(),
        folder=stored.folder.name.lower(),
        state=stored.state.name.lower(),
        arrived_at_ms=stored.arrived_at_ms,
        deleted_at_ms=stored.trashed_at_ms,
        letter=letter,
        files=tuple(files),
        place=str(place.relative_to(folder)),
        problem=problem,
    )
    try:
        made = await export_evidence(node.database, node.keys, node.directory, node.outbox, stored.row.hex())
        await blocking((place / "evidence.txt").write_bytes, write_evidence_file(made))
    except NotFoundError:
        pass  # a tombstone of what never came has none

    def write() -> None:
        _write_json(place / "letter.json", line.fields())
        if letter is not None:
            (place / "letter.txt").write_text(letter_text(letter), "utf-8")

    await blocking(write)
    return line


def _events(connection: sa.Connection, node: Node, opened: OpenMailbox) -> list[dict[str, Any]]:
    """What the log says of this mailbox, or of its owner acting for another: each with what proves it."""
    table = schema.log_leaves
    found: list[dict[str, Any]] = []
    places = connection.execute(
        sa.select(table.c.epoch, table.c.position)
        .where(table.c.sealed.is_not(None))
        .order_by(table.c.epoch, table.c.position)
    ).all()
    for epoch, position in places:
        evidence = read_evidence(connection, node.keys, LeafRef(epoch, position))
        if evidence is None:
            continue
        details = decode_details(evidence.details)
        if opened.id not in (details.mailbox, details.actor):
            continue
        leaf = LogLeaf.decode(evidence.leaf)
        found.append(
            {
                "event": leaf.kind.word,
                "time": datetime.fromtimestamp(leaf.time_ms / 1000, UTC).isoformat(),
                "code": details.code or "",
                "role": details.role or "",
                "letter": "" if details.letter is None else details.letter.text,
                "leaf": base64.b64encode(evidence.leaf).decode(),
                "opening": base64.b64encode(evidence.opening).decode(),
                "details": base64.b64encode(encode_details(details)).decode(),
                "proof": evidence.proof.encode().decode(),
            }
        )
    return found


def _write_json(path: Path, value: Any) -> None:
    path.write_text(json.dumps(value, ensure_ascii=False, indent=2) + "\n", "utf-8")
