"""What a node opens to an auditor, over whole nodes and on both stores; AuditEvents as FHIR's own models read them."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest
import trio
from fhir.resources.R4B.auditevent import AuditEvent
from fhir.resources.R4B.bundle import Bundle

from node.audit.export_log import LogExporter
from node.audit.fhir import audit_event, bundle_of, events_of
from node.audit.log import LeafRef
from node.auditor.places import AuditFolder
from node.auditor.verifying import Audit, verify_folder
from node.errors import NotFoundError
from node.opening import open_node
from node.vault import schema
from node.vault.database import Transaction
from node.vault.states import DeliveryState
from protocol.details import REQUIRED_FIELDS, Details
from protocol.disclosure import Scope
from protocol.disclosure_report import OpenedEvent, verify_disclosure
from protocol.ids import EnvelopeId, LeafTag, LetterId, MailboxId, NodeId, PayloadId, SlipId, StaffId
from protocol.logleaf import EventKind, LogLeaf
from tests.auditor.scene import fetch
from tests.post.harness import Federation, Institution, settled
from tests.web.published import grow, made_node

FAR_MS = 2**53 - 1


async def audited(place: Path, institutions: list[Institution], *files: Path) -> Audit:
    """Export each node's log, copy and verify all."""
    for item in institutions:
        node = item.node
        export = place / f"export-{node.settings.domain}"
        await node.database.read(
            lambda connection, node=node, export=export: LogExporter(
                connection, node.keyring.chain, export, with_entries=True
            ).run()
        )
        await trio.to_thread.run_sync(fetch, place / "auditor", export)
    return verify_folder(AuditFolder(place / "auditor"), now_ms=FAR_MS, files=files)


def said_at(audit: Audit, institution: Institution) -> list[EventKind]:
    return [item.kind for item in audit.said if item.node == institution.node.node_id]


async def test_both_sides_of_a_real_letter_are_disclosed_and_agree(
    autojump_clock: trio.testing.MockClock, tmp_path: Path
) -> None:
    async with Federation.pair(tmp_path / "nodes") as (_, a, b):
        letter = await a.send("anna", "bruno@b.example")
        await a.send("anna", "bruno@b.example")
        await settled()
        await b.read("bruno", letter)
        await settled()
        assert await a.states("anna", letter) == [DeliveryState.OPENED]
        files = []
        for item in (a, b):
            discloser = item.node.discloser()
            scope = Scope(letter=await discloser.letter_id(letter.letter_id.text))
            made = await discloser.disclose(scope, to="ab" * 16)
            assert verify_disclosure(made.disclosure).ok
            files.append(tmp_path / f"{item.node.settings.domain}.txt")
            files[-1].write_bytes(made.data)
        assert await a.node.discloser().letter_id(letter.row.hex()) == letter.letter_id
        audit = await audited(tmp_path, [a, b], *files)
        assert (audit.findings, audit.status) == ([], 0)
        assert said_at(audit, a) == [EventKind.EPOCH_OPENED, EventKind.SUBMITTED]
        assert said_at(audit, b) == [EventKind.EPOCH_OPENED, EventKind.DEPOSITED, EventKind.OPENED]
        assert {item.code: item.values for item in audit.checked} == {"links": {"count": 1}}
        # Both disclosures are on record themselves.
        assert all(item.statistics.kinds[EventKind.DISCLOSED] == 1 for item in audit.institutions)


async def test_a_mailbox_and_a_period(autojump_clock: trio.testing.MockClock, tmp_path: Path) -> None:
    async with Federation.pair(tmp_path / "nodes") as (_, a, b):
        await b.add("berthe")
        await settled()
        for name in ("bruno", "berthe"):
            await a.send("anna", f"{name}@b.example")
        await settled()
        discloser = b.node.discloser()
        bruno = (await b.node.mailboxes.find("bruno@b.example")).id
        made = await discloser.disclose(Scope(mailbox=bruno, from_ms=0, until_ms=FAR_MS))
        named = [item.leaf[1:3] for item in made.disclosure.events]
        assert named.count(EventKind.DEPOSITED.to_bytes(2, "big")) == 1
        everything = await discloser.disclose(Scope(from_ms=0, until_ms=FAR_MS))
        kinds = [LogLeaf.decode(item.leaf).kind for item in everything.disclosure.events]
        assert kinds.count(EventKind.DEPOSITED) == 2
        assert kinds[-1] is EventKind.DISCLOSED
        files = [tmp_path / "mailbox.txt", tmp_path / "period.txt"]
        for path, item in zip(files, (made, everything), strict=True):
            path.write_bytes(item.data)
        audit = await audited(tmp_path, [b], *files)
        assert (audit.findings, audit.status) == ([], 0)
        with pytest.raises(NotFoundError):
            await discloser.disclose(Scope(letter=LetterId(bytes(16))))


async def test_on_both_stores_what_was_opened_is_on_record(tmp_path: Path, database_url: str) -> None:
    folder = await made_node(tmp_path / "node", database=database_url)
    async with open_node(folder) as node:
        await grow(node, 300)
        made = await node.discloser().disclose(Scope(from_ms=0, until_ms=FAR_MS))
        assert len(made.disclosure.events) == 301
        report = verify_disclosure(made.disclosure)
        assert (report.ok, report.record_index) == (True, 301)
        events = await node.discloser().exported_events(0, FAR_MS)
        assert [item.leaf.kind for item in events[-1:]] == [EventKind.DISCLOSED]
        again = await node.discloser().exported_events(0, FAR_MS)
        assert [item.leaf.kind for item in again[-2:]] == [EventKind.DISCLOSED, EventKind.EVENTS_EXPORTED]
        code = again[-1].details.code
        assert code == f"302 {events[0].leaf.time_ms}-{events[-1].leaf.time_ms}"


async def test_what_was_erased_is_named_and_not_missing(tmp_path: Path, database_url: str) -> None:
    folder = await made_node(tmp_path / "node", database=database_url)
    opened = next(event for event in every_kind() if event.leaf.kind is EventKind.DEPOSITED)

    async with open_node(folder) as node:
        details = replace(opened.details, node=node.node_id)
        tag = LeafTag(b"\x09" * 16)

        def append(tx: Transaction, kinds: Sequence[EventKind]) -> Sequence[LeafRef]:
            return [tx.log.append(kind, replace(details, code="mailbox_full"), tag=tag) for kind in kinds]

        refs = [await node.database.write(append, kind) for kind in (EventKind.DEPOSITED, EventKind.REFUSED)]

        def erase(tx: Transaction, positions: Sequence[int]) -> Sequence[None]:
            table = schema.log_leaves
            tx.connection.execute(table.update().where(table.c.position.in_(positions)).values(sealed=None))
            return [None] * len(positions)

        await node.database.write(erase, refs[1].position)
        assert details.letter is not None
        made = await node.discloser().disclose(Scope(letter=details.letter))
        places = [(item.epoch, item.index) for item in made.disclosure.events]
        assert places == [(1, 0), (1, refs[0].position)]
        assert made.disclosure.erased == ((1, refs[1].position),)
        assert verify_disclosure(made.disclosure).ok


# -- FHIR


def every_kind() -> list[OpenedEvent]:
    """An event of each kind with the fields that it needs."""
    node = NodeId(bytes(32))
    given = {
        "peer": NodeId(b"\1" * 32),
        "envelope": EnvelopeId(b"\2" * 32),
        "slip": SlipId(b"\3" * 32),
        "letter": LetterId(b"\4" * 16),
        "payload": PayloadId(b"\5" * 32),
        "mailbox": MailboxId(b"\6" * 16),
        "actor": MailboxId(b"\7" * 16),
        "code": "a code",
        "role": "deputy",
        "digest": bytes(32),
        "signature": bytes(64),
        "staff": StaffId(b"\x08" * 16),
    }
    events = []
    for index, kind in enumerate(EventKind):
        details = Details(node=node, **{name: given[name] for name in REQUIRED_FIELDS[kind]})  # type: ignore[arg-type]
        leaf = LogLeaf(kind=kind, time_ms=1_790_000_000_123, tag=LeafTag(bytes(16)), commitment=bytes(32))
        events.append(OpenedEvent(node, 2**31 - 1, index, leaf, details))
    return events


def test_every_kind_is_an_audit_event_to_others() -> None:
    for event in every_kind():
        made = audit_event(event)
        read = AuditEvent.model_validate(made)
        assert json.loads(read.model_dump_json(exclude_none=True))["subtype"][0]["code"] == event.leaf.kind.word
        assert made["recorded"] == "2026-09-21T14:13:20.123Z"
        assert made["action"] in "CRUDE"
        assert sum(agent["requestor"] for agent in made["agent"]) == 1
    bundle = bundle_of(events_of(every_kind() * 2))
    assert len(Bundle.model_validate(bundle).entry or []) == len(EventKind)


@pytest.mark.parametrize(
    ("kind", "code", "action", "outcome"),
    [
        (EventKind.SUBMITTED, "110106", "C", "0"),
        (EventKind.DEPOSITED, "110107", "C", "0"),
        (EventKind.REFUSED, "110107", "E", "4"),
        (EventKind.OPENED, "110112", "R", "0"),
        (EventKind.LOGIN_FAILED, "110114", "E", "4"),
        (EventKind.MAILBOX_CLOSED, "110136", "D", "0"),
        (EventKind.MEMBER_ADDED, "110136", "C", "0"),
        (EventKind.FORK_SEEN, "110113", "E", "8"),
        (EventKind.STARTED, "110100", "E", "0"),
    ],
)
def test_what_a_kind_becomes(kind: EventKind, code: str, action: str, outcome: str) -> None:
    made = audit_event(next(event for event in every_kind() if event.leaf.kind is kind))
    assert (made["type"]["code"], made["action"], made["outcome"]) == (code, action, outcome)


def test_who_opened_and_what(tmp_path: Path) -> None:
    made = audit_event(next(event for event in every_kind() if event.leaf.kind is EventKind.OPENED))
    systems = {item["what"]["identifier"]["system"] for item in made["entity"]}
    assert systems == {f"urn:coffre:{name}" for name in ("letter", "envelope", "payload", "mailbox", "node", "leaf")}
    assert made["agent"][0]["who"]["identifier"]["system"] == "urn:coffre:mailbox"
    assert made["agent"][0]["role"][0]["coding"][0]["code"] == "deputy"
