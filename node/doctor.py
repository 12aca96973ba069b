"""`coffre doctor`: is everything as it must be? Each check is one line. Spec: spec/delivery.md, 8."""

from __future__ import annotations

import socket
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import sqlalchemy as sa

from directory_sync.spellings import alike_domains
from node.config import split_endpoint
from node.errors import CoffreError
from node.expiry import DAY_MS, days_left, warned_within
from node.operation.facts import read_cosignatures, read_log, read_outbox
from node.operation.findings import CLOCK_BEHIND_MS
from node.operation.last_backup import last_backup_ms
from node.operation.readiness import clock_behind_ms
from node.operation.watch import look_at
from node.vault import schema
from node.vault.lookalike_book import shared_keys
from node.vault.rival_rows import are_keys_forked
from node.vault.states import OutboxState, PayloadState
from protocol.checkpoint import CheckpointVerifier
from protocol.errors import RemoteProtocolError
from protocol.merkle import CompactRange

if TYPE_CHECKING:
    from node.app import Node

__all__ = ["Check", "examine"]

_HOUR_MS: Final = 3_600_000
_NAMED: Final = 5


@dataclass(frozen=True, slots=True, kw_only=True)
class Check:
    """One finding. warning: it works, but somebody should look."""

    name: str
    ok: bool
    message: str
    warning: bool = False


async def examine(node: Node) -> list[Check]:
    """Run all checks; one that fails by an error is a finding, not the end."""
    checks: list[tuple[str, Callable[[Node], Awaitable[Check]]]] = [
        ("clock", _clock),
        ("disk", _disk),
        ("port", _port),
        ("keys", _keys),
        ("database", _database),
        ("log", _log),
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
            findings.append(Check(name=name, ok=False, message=str(error)))
    return findings


async def _clock(node: Node) -> Check:
    behind_ms = await node.database.read(clock_behind_ms, node.world.now_ms())
    ok = behind_ms < CLOCK_BEHIND_MS
    message = "in step with the log" if ok else f"{behind_ms // 1000} s behind the last log entry: set the clock"
    return Check(name="clock", ok=ok, message=message)


async def _disk(node: Node) -> Check:
    percent = node.disk.percent_used()
    limits = node.settings.limits
    warning = percent >= limits.disk_bulk_percent
    return Check(
        name="disk",
        ok=percent < limits.disk_all_percent,
        warning=warning and percent < limits.disk_all_percent,
        message=(
            f"{percent:.0f} % used; bulk letters wait from {limits.disk_bulk_percent} %,"
            f" all from {limits.disk_all_percent} %"
        ),
    )


async def _port(node: Node) -> Check:
    listen = node.settings.link.listen
    if not listen:
        return Check(name="port", ok=True, message="dials out only")
    if node.folder.is_running():
        return Check(name="port", ok=True, message=f"the node runs, on {listen}")
    host, port = split_endpoint(listen)
    with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError as error:
            return Check(name="port", ok=False, message=f"{listen} cannot be had: {error.strerror}")
    return Check(name="port", ok=True, message=f"{listen} is free; the node does not run")


async def _keys(node: Node) -> Check:
    until_ms, now_ms = node.keyring.chain.current.valid_until_ms, node.world.now_ms()
    days, within = days_left(until_ms, now_ms), warned_within(until_ms, now_ms)
    if node.key_keeper.are_lost():
        message = "the keys were renewed after the backup was made, and are lost: coffre keys recover"
        return Check(name="keys", ok=False, message=message)
    if days < 0:
        message = "the node's keys have ended: nobody takes letters from it (coffre keys renew)"
    elif within is not None:
        message = f"the node's keys end in {days} days, within {within}: coffre keys renew"
    else:
        how = "the node renews them by itself" if node.settings.keys.renew else "[keys] renew is off"
        message = f"the node's keys are valid for {days} days; {how}"
    return Check(name="keys", ok=days >= 0, warning=days >= 0 and within is not None, message=message)


async def _database(node: Node) -> Check:
    def integrity(connection: sa.Connection) -> str:
        if node.database.engines.is_sqlite:
            return str(connection.exec_driver_sql("PRAGMA integrity_check").scalar_one())
        connection.execute(sa.select(sa.func.count()).select_from(schema.letters))
        return "ok"

    result = await node.database.read(integrity)
    kind = "SQLite" if node.database.engines.is_sqlite else "PostgreSQL"
    return Check(name="database", ok=result == "ok", message=f"{kind}: {result}")


async def _log(node: Node) -> Check:
    def recompute(connection: sa.Connection) -> str:
        table = schema.log_epochs
        verifier = CheckpointVerifier(node.node_id, node.keyring.chain.log_keys())
        total = 0
        for row in connection.execute(sa.select(table)):
            head = verifier.open(row.note)
            if (row.size, CompactRange.from_bytes(row.size, row.frontier).root()) != (head.size, head.root):
                return f"the head of epoch {row.epoch} is not that of its tree"
            leaves = schema.log_leaves
            count = connection.execute(
                sa.select(sa.func.count()).select_from(leaves).where(leaves.c.epoch == row.epoch)
            ).scalar_one()
            if count != row.size:
                return f"epoch {row.epoch} has {count} of {row.size} entries"
            total += row.size
        return f"ok {total}"

    result = await node.database.read(recompute)
    ok = result.startswith("ok ")
    return Check(name="log", ok=ok, message=f"{result[3:]} entries under verified heads" if ok else result)


async def _timestamps(node: Node) -> Check:
    newest = await node.database.read(node.timestamps.newest)
    if newest is None:
        message = "no head of the log is stamped yet (coffre log timestamp)"
        return Check(name="timestamps", ok=True, warning=True, message=message)
    hours = (node.world.now_ms() - newest.kept_at_ms) // _HOUR_MS
    late = hours > 3 * node.settings.evidence.timestamp_every_hours
    message = f"the last timestamp is {hours} h old" + (": does the authority answer?" if late else "")
    return Check(name="timestamps", ok=True, warning=late, message=message)


async def _witnesses(node: Node) -> Check:
    found = await node.database.read(read_cosignatures, node)
    if found.overdue_peers or found.overdue_own:
        lacking = f"{found.overdue_own} events of the own log and {found.overdue_peers} pieces of others' evidence"
        return Check(name="witnesses", ok=False, message=f"{lacking} lack cosignatures for 7 days (coffre log head)")
    if not found.wanted:
        return Check(name="witnesses", ok=True, message="no cosignatures wanted, or no peer to give one")
    message = f"{found.held} of {found.wanted} cosignatures wanted"
    return Check(name="witnesses", ok=True, warning=found.held < found.wanted, message=message)


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
    message = f"{count} in files, all there" if not lost else f"{lost} of {count} files are missing: restore a backup"
    return Check(name="payloads", ok=not lost, message=message)


async def _peers(node: Node) -> Check:
    peers = await node.database.read(node.peers.accepted)
    alarms = [peer.institution for peer in peers if peer.alarm is not None]
    if alarms:
        return Check(
            name="peers", ok=False, message=f"two histories shown by {', '.join(alarms)} (coffre directory alarms)"
        )
    forked = await node.database.read(
        lambda connection: [peer.institution for peer in peers if are_keys_forked(connection, peer.node_id)]
    )
    if forked:
        message = f"two successors of one key stated by {', '.join(forked)}: new trust waits for a recovery"
        return Check(name="peers", ok=False, message=message)
    failing = [peer.institution for peer in peers if peer.failures]
    message = f"{len(peers)} accepted" + (f"; not reached: {', '.join(failing)}" if failing else "")
    return Check(name="peers", ok=True, warning=bool(failing), message=message)


async def _lookalikes(node: Node) -> Check:
    def look(connection: sa.Connection) -> tuple[list[str], list[tuple[str, str]]]:
        table = schema.peers
        domains = connection.scalars(sa.select(table.c.domain).where(table.c.status == "accepted")).all()
        own = node.directory.institution(connection, node.node_id).domains
        shared = [", ".join(item.address or item.name for item in some) for some in shared_keys(connection)]
        return shared, alike_domains([*domains, *own])

    shared, pairs = await node.database.read(look)
    found = [f"one key: {who}" for who in shared] + [f"{one} looks like {other}" for one, other in pairs]
    more = f"; and {len(found) - _NAMED} more" if len(found) > _NAMED else ""
    message = "; ".join(found[:_NAMED]) + more if found else "no shared key, no domain like another"
    return Check(name="look-alikes", ok=not shared, warning=bool(pairs) and not shared, message=message)


async def _outbox(node: Node) -> Check:
    found = await node.database.read(read_outbox)
    waiting, aside = found.of_state(OutboxState.WAITING), found.of_state(OutboxState.SET_ASIDE)
    message = f"{waiting} wait" + (f", {aside} set aside (coffre outbox)" if aside else "")
    return Check(name="outbox", ok=True, warning=bool(aside), message=message)


async def _backup(node: Node) -> Check:
    def look(connection: sa.Connection) -> tuple[int | None, int]:
        return last_backup_ms(connection, node.state), read_log(connection).begun_at_ms

    made_ms, begun_ms = await node.database.read(look)
    limit = node.settings.operation.alarms.backup_days
    days = (node.world.now_ms() - (begun_ms if made_ms is None else made_ms)) // DAY_MS
    message = "none was made yet (coffre backup)" if made_ms is None else f"the last one is {days} days old"
    return Check(name="backup", ok=True, warning=bool(limit) and days >= limit, message=message)


async def _alarms(node: Node) -> Check:
    """What a look finds now, whether or not a running node has told of it; and whether anybody is told."""
    found = (await node.database.read(look_at, node)).findings
    settings = node.settings.operation.alarms
    told = bool(settings.email or settings.webhook)
    who = "" if told else "; nobody is told: [operation.alarms] email or webhook"
    codes = ", ".join(dict.fromkeys(finding.code.value for finding in found if not finding.patience_ms))
    return Check(name="alarms", ok=True, warning=bool(codes), message=f"{codes or 'none'}{who}")
