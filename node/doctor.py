"""`coffre doctor`: is everything as it must be? Each check is one line. Spec: spec/operation.md, 8."""

from __future__ import annotations

import socket
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Final

import sqlalchemy as sa

from directory_sync.spellings import alike_domains
from node.config.values import split_endpoint
from node.doctor_findings import FAILED, Check, Said
from node.doctor_rows import check_letters, check_log
from node.errors import CoffreError
from node.expiry import DAY_MS, days_left, warned_within
from node.operation.facts import read_cosignatures, read_log, read_outbox
from node.operation.findings import CLOCK_BEHIND_MS
from node.operation.last_backup import last_backup_ms
from node.operation.readiness import clock_behind_ms
from node.operation.watch import look_at
from node.reports.rendering import N_
from node.vault import schema
from node.vault.lookalike_book import shared_keys
from node.vault.rival_rows import are_keys_forked
from node.vault.states import OutboxState, PayloadState
from protocol.errors import RemoteProtocolError

if TYPE_CHECKING:
    from node.app import Node

__all__ = ["examine"]

_HOUR_MS: Final = 3_600_000
_NAMED: Final = 5


async def examine(node: Node) -> list[Check]:
    """Run all checks; one that fails by an error is a finding, not the end."""
    checks: list[tuple[str, Callable[[Node], Awaitable[Check]]]] = [
        ("clock", _clock),
        ("disk", _disk),
        ("port", _port),
        ("keys", _keys),
        ("database", _database),
        ("log", check_log),
        ("letters", check_letters),
        ("witnesses", _witnesses),
        ("payloads", _payloads),
        ("peers", _peers),
        ("look-alikes", _lookalikes),
        ("outbox", _outbox),
        ("backup", _backup),
        ("alarms", _alarms),
    ]
    if node.settings.evidence.timestamp_url:
        checks.append(("timestamps", _timestamps))
    findings = []
    for name, check in checks:
        try:
            findings.append(await check(node))
        except (CoffreError, RemoteProtocolError, OSError) as error:
            findings.append(Check(name=name, code=FAILED, values={"reason": str(error)}))
    return findings


async def _clock(node: Node) -> Check:
    behind_ms = await node.database.read(clock_behind_ms, node.world.now_ms())
    if behind_ms < CLOCK_BEHIND_MS:
        return Check(name="clock", code="clock_right")
    return Check(name="clock", code="clock_behind", values={"seconds": behind_ms // 1000})


async def _disk(node: Node) -> Check:
    percent, limits = node.disk.percent_used(), node.settings.limits
    code = "disk_free"
    if percent >= limits.disk_bulk_percent:
        code = "disk_filling" if percent < limits.disk_all_percent else "disk_full"
    values = {"percent": f"{percent:.0f}", "bulk": limits.disk_bulk_percent, "all": limits.disk_all_percent}
    return Check(name="disk", code=code, values={**values})


async def _port(node: Node) -> Check:
    listen = node.settings.link.listen
    if not listen:
        return Check(name="port", code="port_none")
    if node.folder.is_running():
        return Check(name="port", code="port_serving", values={"listen": listen})
    host, port = split_endpoint(listen)
    with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError as error:
            return Check(name="port", code="port_taken", values={"listen": listen, "reason": error.strerror})
    return Check(name="port", code="port_free", values={"listen": listen})


async def _keys(node: Node) -> Check:
    until_ms, now_ms = node.keyring.chain.current.valid_until_ms, node.world.now_ms()
    days, within = days_left(until_ms, now_ms), warned_within(until_ms, now_ms)
    if node.key_keeper.are_lost():
        return Check(name="keys", code="keys_lost")
    if days < 0:
        return Check(name="keys", code="keys_ended")
    if within is not None:
        return Check(name="keys", code="keys_ending", values={"days": days, "within": within})
    code = "keys_valid" if node.settings.keys.renew else "keys_valid_by_hand"
    return Check(name="keys", code=code, values={"days": days})


async def _database(node: Node) -> Check:
    def integrity(connection: sa.Connection) -> str:
        if node.database.engines.is_sqlite:
            return str(connection.exec_driver_sql("PRAGMA integrity_check").scalar_one())
        connection.execute(sa.select(sa.func.count()).select_from(schema.letters))
        return "ok"

    result = await node.database.read(integrity)
    kind = "SQLite" if node.database.engines.is_sqlite else "PostgreSQL"
    if result == "ok":
        return Check(name="database", code="database_sound", values={"kind": kind})
    return Check(name="database", code="database_damaged", values={"kind": kind, "reason": result})


async def _timestamps(node: Node) -> Check:
    newest = await node.database.read(node.timestamps.newest)
    if newest is None:
        return Check(name="timestamps", code="timestamps_none")
    hours = (node.world.now_ms() - newest.kept_at_ms) // _HOUR_MS
    late = hours > 3 * node.settings.evidence.timestamp_every_hours
    return Check(name="timestamps", code="timestamps_late" if late else "timestamps_fresh", values={"hours": hours})


async def _witnesses(node: Node) -> Check:
    found = await node.database.read(read_cosignatures, node)
    if found.overdue_peers or found.overdue_own:
        values: dict[str, object] = {"own": found.overdue_own, "peers": found.overdue_peers}
        return Check(name="witnesses", code="cosignatures_overdue", values=values)
    if not found.wanted:
        return Check(name="witnesses", code="cosignatures_unwanted")
    code = "cosignatures_fewer" if found.held < found.wanted else "cosignatures_held"
    return Check(name="witnesses", code=code, values={"held": found.held, "wanted": found.wanted})


async def _payloads(node: Node) -> Check:
    def missing(connection: sa.Connection) -> tuple[int, int]:
        table = schema.payloads
        on_disk = set(node.store.names())
        rows = connection.execute(
            sa.select(table.c.id).where(table.c.state == PayloadState.COMPLETE, table.c.data.is_(None))
        )
        names = list(rows.scalars())
        return len(names), sum(name not in on_disk for name in names)

    count, lost = await node.database.read(missing)
    if lost:
        return Check(name="payloads", code="payloads_missing", values={"lost": lost, "count": count})
    return Check(name="payloads", code="payloads_there", values={"count": count})


async def _peers(node: Node) -> Check:
    peers = await node.database.read(node.peers.accepted)

    def keys_forked(connection: sa.Connection) -> list[str]:
        return [peer.institution for peer in peers if are_keys_forked(connection, peer.node_id)]

    if alarms := [peer.institution for peer in peers if peer.alarm is not None]:
        return Check(name="peers", code="peers_forked", values={"names": ", ".join(alarms)})
    if forked := await node.database.read(keys_forked):
        return Check(name="peers", code="peers_keys_forked", values={"names": ", ".join(forked)})
    if failing := [peer.institution for peer in peers if peer.failures]:
        return Check(name="peers", code="peers_unreached", values={"count": len(peers), "names": ", ".join(failing)})
    return Check(name="peers", code="peers_reached", values={"count": len(peers)})


async def _lookalikes(node: Node) -> Check:
    def look(connection: sa.Connection) -> tuple[list[str], list[tuple[str, str]]]:
        table = schema.peers
        domains = connection.scalars(sa.select(table.c.domain).where(table.c.status == "accepted")).all()
        own = node.directory.institution(connection, node.node_id).domains
        shared = [", ".join(item.address or item.name for item in some) for some in shared_keys(connection)]
        return shared, alike_domains([*domains, *own])

    shared, pairs = await node.database.read(look)
    if not shared and not pairs:
        return Check(name="look-alikes", code="lookalikes_none")
    found: list[tuple[str, dict[str, object]]] = [(N_("one key: {names}"), {"names": names}) for names in shared]
    found += [(N_("{one} looks like {other}"), {"one": one, "other": other}) for one, other in pairs]
    more: list[tuple[str, dict[str, object]]] = [(N_("and {count} more"), {"count": len(found) - _NAMED})]
    told = Said((*found[:_NAMED], *(more if len(found) > _NAMED else ())))
    code = "lookalikes_keys" if shared else "lookalikes_domains"
    return Check(name="look-alikes", code=code, values={"found": told})


async def _outbox(node: Node) -> Check:
    found = await node.database.read(read_outbox)
    waiting, aside = found.of_state(OutboxState.WAITING), found.of_state(OutboxState.SET_ASIDE)
    if aside:
        return Check(name="outbox", code="outbox_set_aside", values={"waiting": waiting, "aside": aside})
    return Check(name="outbox", code="outbox_waiting", values={"waiting": waiting})


async def _backup(node: Node) -> Check:
    def look(connection: sa.Connection) -> tuple[int | None, int]:
        return last_backup_ms(connection, node.state), read_log(connection).begun_at_ms

    made_ms, begun_ms = await node.database.read(look)
    limit = node.settings.operation.alarms.backup_days
    days = (node.world.now_ms() - (begun_ms if made_ms is None else made_ms)) // DAY_MS
    late = bool(limit) and days >= limit
    if made_ms is None:
        return Check(name="backup", code="backup_missing" if late else "backup_not_yet")
    return Check(name="backup", code="backup_old" if late else "backup_fresh", values={"days": days})


async def _alarms(node: Node) -> Check:
    """What a look finds now, whether or not a running node has told of it; and whether anybody is told."""
    found = (await node.database.read(look_at, node)).findings
    settings = node.settings.operation.alarms
    untold = "" if settings.email or settings.webhook else "_untold"
    codes = ", ".join(dict.fromkeys(finding.code.value for finding in found if not finding.patience_ms))
    if not codes:
        return Check(name="alarms", code=f"alarms_none{untold}")
    return Check(name="alarms", code=f"alarms_raised{untold}", values={"alarms": codes})
