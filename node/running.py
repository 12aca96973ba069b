"""The running node: its post office, its duties, its pages, until it is told to stop."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import TYPE_CHECKING, Final

import sqlalchemy as sa
import structlog
import trio

from node.alerts.sender import AlertSender
from node.audit.completion import Completion
from node.audit.cosign_duty import CosignDuty
from node.audit.daily_heads import DailyHeads
from node.discovery.lan import LanAnnouncer
from node.errors import ConfigError
from node.exchange import post_parts
from node.operation.running import Operation
from node.post.deadlines import Deadlines
from node.post.inflight import InFlight
from node.post.network import Network, TlsNetwork
from node.post.office import PostOffice
from node.settings_record import SettingsRecord
from node.supervision import keep_running
from node.vault import schema
from node.vault.database import Transaction
from node.vault.draft_files import DraftFileRows
from node.vault.signals import LOG
from protocol.details import Details
from protocol.logleaf import EventKind

if TYPE_CHECKING:
    from node.app import Node

__all__ = ["run_node"]

_HEAD_FILE_EVERY_S: Final = 1
_STALE_FILE_MS: Final = 24 * 3_600_000
_DRAIN_S: Final = 10
MAX_PROCESSES: Final = 8
"""That may run one node together, on one PostgreSQL."""

_logger = structlog.get_logger(__name__)


async def run_node(
    node: Node,
    *,
    stop: trio.Event,
    listen: str | None = None,
    web_listen: str | None = None,
    network: Network | None = None,
    task_status: trio.TaskStatus[PostOffice] = trio.TASK_STATUS_IGNORED,
) -> None:
    """Be the running node until `stop` is set, then drain: finish what is being committed, say goodbye.

    listen, web_listen: HOST:PORT instead of the settings' (a second process of this node needs its own), empty for
    none.
    """
    with node.folder.running(places=1 if node.database.engines.is_sqlite else MAX_PROCESSES) as place:
        in_flight = InFlight(node.folder.path / (f"inflight.{place}" if place else "inflight"))
        parts = post_parts(node, network or TlsNetwork(node.keyring.link), in_flight)
        office = PostOffice(parts)
        deadlines = Deadlines(
            database=node.database,
            keys=node.keys,
            outbox=node.outbox,
            payloads=node.payloads,
            returns=node.returns,
            dedup=node.dedup,
            alerts=node.alerts,
            sharing=node.sharing_rows,
            custody=node.custody,
            sessions=node.session_rows,
            login_tries=node.login_tries,
            session_idle_ms=node.settings.web.idle_minutes * 60_000,
            correspondents=node.correspondents,
            drafts=node.draft_rows,
            outside=node.outside,
            ladder=node.ladder,
            absences=node.absences,
            sweep=partial(_sweep_payloads, node),
        )
        sender = AlertSender(
            node.database,
            node.alerts,
            node.settings.alerts,
            node.settings.institution,
            node.settings.web.url,
            node.wordings,
        )
        operation = node.operation = Operation(node, office, parts.sender, sender)
        await operation.remove_old_copies()
        await office.ask_peers()
        await node.database.write(partial(_log_event, node), EventKind.STARTED)
        await SettingsRecord(node.database, node.keys, node.state).note(node.settings)
        async with trio.open_nursery() as nursery:
            await nursery.start(office.run, node.settings.link.listen if listen is None else listen)
            duties = (
                (deadlines.run, "deadlines"),
                (sender.run, "alerts"),
                (node.trust.run, "trust"),
                (node.key_keeper.run, "keys"),
                (node.retention.run, "retention"),
                (node.statistics.run, "statistics"),
                (_cosign_duty(node).run, "cosigning"),
                (operation.watch.run, "alarms"),
                (node.log_checks.run, "log checks"),
            )
            if node.world.has_other_cores:
                nursery.start_soon(keep_running, parts.feed_process.run)
            for work, duty in duties:
                nursery.start_soon(node.claims.hold, partial(keep_running, work), duty)
            nursery.start_soon(keep_running, partial(_keep_head_file, node))
            nursery.start_soon(keep_running, partial(node.key_keeper.watch, office.present))
            if node.settings.evidence.timestamp_url:
                nursery.start_soon(node.claims.hold, partial(keep_running, node.timestamper().run), "timestamps")
            if node.settings.discovery.announce and office.listening_on:
                nursery.start_soon(_announce, node, office.listening_on)
            if node.world.shares_database:
                nursery.start_soon(node.database.signals.watch_other_processes)
            if node.settings.operation.listen:
                await nursery.start(operation.serve, stop)
            if web_listen or (web_listen is None and node.settings.web.listen):
                node.web_listening_on = await nursery.start(_serve_web, node, web_listen, stop)
            task_status.started(office)
            await stop.wait()
            with trio.move_on_after(_DRAIN_S):
                await office.stop()
            nursery.cancel_scope.cancel()
        await node.database.write(partial(_log_event, node), EventKind.STOPPED)
        await node.database.drain()
        await node.history.write_head_file()
        in_flight.close()
        node.operation = None


def _cosign_duty(node: Node) -> CosignDuty:
    completion = Completion(keys=node.keys, heads=node.cosigned, dedup=node.dedup, returns=node.returns)
    daily = DailyHeads(node.own_keys.post_quantum, node.cosigned)
    return CosignDuty(node.database, node.cosigned, daily, completion)


async def _serve_web(node: Node, listen: str | None, stop: trio.Event, *, task_status: trio.TaskStatus[str]) -> None:
    # Only here: a node without pages does not pay for the web server's memory.
    from node.web.server import WebServer
    from node.web.site import build_site

    settings = node.settings.web
    server = WebServer(build_site(node, stop), node.folder, settings, now_ms=node.world.now_ms())
    if node.operation is not None:
        node.operation.add_server(server)
    await server.run(listen or settings.listen, stop, task_status=task_status)


async def _announce(node: Node, listening_on: str) -> None:
    """A network that cannot be announced on is no reason not to run."""
    try:
        await LanAnnouncer(node.node_id, node.settings.discovery, node.world).run(listening_on)
    except* ConfigError as group:
        _logger.warning("not announced on the local network", reason=str(group.exceptions[0]))


def _log_event(node: Node, tx: Transaction, items: Sequence[EventKind]) -> Sequence[None]:
    for kind in items:
        tx.log.append(kind, Details(node=node.node_id))
    return [None] * len(items)


async def _keep_head_file(node: Node) -> None:
    while True:
        ticket = node.database.signals.ticket(LOG)
        # A command beside the node may have renewed the keys, and signed the head that lies there.
        await node.key_keeper.take_up()
        await node.history.write_head_file()
        await trio.sleep(_HEAD_FILE_EVERY_S)
        await ticket.wait()


def _sweep_payloads(node: Node) -> None:
    """Remove files that nothing refers to: a process died after it sealed a letter, or before it deleted one."""
    known = node.database.read_now(
        lambda connection: (
            set(connection.execute(sa.select(schema.payloads.c.id)).scalars()) | DraftFileRows.names(connection)
        )
    )
    node.store.sweep(known, node.world.now_ms() - _STALE_FILE_MS)
