"""One node assembled: folder, keyring, database, and the parts over them. The only place where they are wired.

`open_node` serves a command (send, inbox, …); `Node.run` is the running node.
"""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Final
from zoneinfo import ZoneInfo

import sqlalchemy as sa
import structlog
import trio

from node.alerts.browser import BrowserAlerts
from node.alerts.ladder import Ladder
from node.alerts.sender import AlertSender
from node.audit.auditors import Admission, Auditors
from node.audit.completion import Completion
from node.audit.cosign_duty import CosignDuty
from node.audit.cosigned_heads import CosignedHeads
from node.audit.daily_heads import DailyHeads
from node.audit.disclosing import Discloser
from node.audit.epochs import LogHistory
from node.audit.log import LeafRef, Log, read_evidence
from node.audit.timestamp_rows import TimestampRows
from node.audit.witness import WitnessRows
from node.backup.reading import BackupSummary
from node.backup.writing import BackupSource
from node.bundle.gathering import Gatherer
from node.bundle.reading import BundleReader
from node.bundle.rows import BundleRows
from node.bundle.taking import TakingParts
from node.bundle.writing import BundleWriter
from node.config import Settings, load_settings
from node.discovery.lan import LanAnnouncer
from node.errors import ConfigError
from node.folder import Folder
from node.identity.keeper import KeyKeeper
from node.identity.own_keys import OwnKeys, file_mark
from node.outside.answers import AnswerBox
from node.outside.offering import Outside
from node.outside.opening import Pickups
from node.outside.rows import PickupRows
from node.post.compose import Composer
from node.post.cosigning import CosigningParts
from node.post.deadlines import Deadlines
from node.post.deposit import Checker, Depositor
from node.post.drafting import Drafts
from node.post.forward import SenderSide
from node.post.inflight import InFlight
from node.post.intake import Intake
from node.post.network import Network, TlsNetwork
from node.post.office import PostOffice, PostParts
from node.post.pull import PayloadPuller
from node.post.results import ResultWriter, Verifiers
from node.post.serve import Server
from node.post.submit import Submitter
from node.post.withdraw import Withdrawals
from node.relay.book import RelayBook
from node.relay.clients import RelayClients
from node.relay.custody import Custody
from node.reports.rendering import LANGUAGES
from node.retention.erasing import Eraser
from node.retention.holds import HoldRows
from node.retention.keeper import Retention
from node.retention.policy import Policies
from node.retention.replaying import ErasureKeeper
from node.retention.warning import Warner
from node.settings_record import SettingsRecord
from node.staff.service import Staff
from node.supervision import keep_running
from node.trust.alarm_rows import AlarmRows
from node.trust.followed import Following
from node.trust.keeper import TrustKeeper
from node.trust.maintainer_rows import MaintainerRows
from node.vault import schema
from node.vault.absences import Absences
from node.vault.access import Access
from node.vault.alert_queue import AlertQueue
from node.vault.changes import Changes
from node.vault.charters import Charters
from node.vault.claims import Claims
from node.vault.content_files import ContentFiles
from node.vault.correspondents import Correspondents
from node.vault.database import Database, Transaction
from node.vault.dedup import Dedup
from node.vault.directory import Directory
from node.vault.disk import DiskWatch
from node.vault.draft_files import DraftFileRows
from node.vault.draft_rows import DraftRows
from node.vault.engine import open_engines, sqlite_url
from node.vault.filing import Filing
from node.vault.keyring import Keyring, load_keyring
from node.vault.login_tries import LoginTries
from node.vault.lookalike_book import Cautions
from node.vault.mail_folders import MailFolders
from node.vault.mailbox_index.index import MailboxIndex
from node.vault.mailbox_index.keys import IndexKeyRows
from node.vault.mailbox_index.lists import Lists
from node.vault.mailbox_texts import MailboxTexts
from node.vault.mailboxes import Mailboxes
from node.vault.migrate import migrate
from node.vault.node_state import NodeState
from node.vault.outbox_rows import OutboxRows
from node.vault.payload_rows import PayloadRows
from node.vault.payloads import FilePayloadStore
from node.vault.peers import PeerRows
from node.vault.reading import Reading
from node.vault.returns import ReturnRows
from node.vault.sealing import RowKeys
from node.vault.second_factors import SecondFactors
from node.vault.session_rows import MailboxSort, SessionRows
from node.vault.sharing import Sharing
from node.vault.sharing_rows import SharingRows
from node.vault.signals import LOG
from node.vault.timeline import Timelines
from node.vault.trash import Trash
from node.vault.way_rows import WayRows
from node.world import World
from protocol.crypto import Secret
from protocol.details import Details
from protocol.evidence import Evidence
from protocol.invite import Invite, encode_invite
from protocol.logleaf import EventKind

if TYPE_CHECKING:
    from node.audit.timestamping import Timestamper

__all__ = ["Node", "database_url", "has_passphrase_source", "open_node"]

_HEAD_FILE_EVERY_S: Final = 1
_STALE_FILE_MS: Final = 24 * 3_600_000
_DRAIN_S: Final = 10
MAX_PROCESSES: Final = 8
"""That may run one node together, on one PostgreSQL."""

_logger = structlog.get_logger(__name__)


def database_url(folder: Folder, settings: Settings) -> sa.URL | str:
    """Where the vault's database is."""
    return settings.storage.database or sqlite_url(folder.database_file)


class Node:
    """One institution's node. Make it with `open_node`."""

    def __init__(self, folder: Folder, settings: Settings, own_keys: OwnKeys, world: World) -> None:
        keyring = own_keys.keyring
        self.folder = folder
        self.settings = settings
        self.own_keys = own_keys
        self.world = world
        self.node_id = keyring.chain.node_id
        limits = settings.limits
        self.keys = RowKeys(self.node_id, keyring.data_key, keyring.index_key, world.random_bytes)
        engines = open_engines(database_url(folder, settings))
        migrate(engines)
        self.log = Log(node_id=self.node_id, log_secret=own_keys.log, keys=self.keys, world=world)
        self.database = Database(engines, world, self.log.open)
        self.claims = Claims(engines, world)
        self.auditors = Auditors(self.database, self.keys)
        self.timestamps = TimestampRows(self.node_id)
        self.web_listening_on = ""
        self.history = LogHistory(folder=folder, database=self.database, log=self.log, chain=own_keys.chain)
        self.directory = Directory(
            node_id=self.node_id,
            log_secret=own_keys.log,
            chain=own_keys.chain,
            world=world,
            is_unheard=folder.unheard_file.exists,
        )
        self.cosigned = CosignedHeads(self.directory, settings.evidence)
        self.witness = WitnessRows(self.node_id, own_keys.witness, own_keys.chain)
        self.store = FilePayloadStore(folder.payloads_folder)
        self.payloads = PayloadRows(self.keys, self.store)
        self.outbox = OutboxRows(self.keys)
        self.dedup = Dedup(self.keys)
        self.returns = ReturnRows(self.keys)
        self.peers = PeerRows(self.keys)
        self.alerts = AlertQueue(self.keys, ZoneInfo(settings.web.timezone))
        self.browser_alerts = BrowserAlerts(self.keys, self.alerts, world)
        self.disk = DiskWatch(folder.path, limits)
        access = Access(self.directory)
        self.changes = Changes(self.keys, access)
        self.sharing_rows = SharingRows(self.node_id, self.directory, access, WayRows(self.keys, world.random_bytes))
        self.mailboxes = Mailboxes(
            self.database, self.keys, self.directory, self.sharing_rows, keyring.recovery_seal_key, world
        )
        self.absences = Absences(self.database, self.directory, self.mailboxes)
        self.ladder = Ladder(
            database=self.database,
            keys=self.keys,
            alerts=self.alerts,
            returns=self.returns,
            directory=self.directory,
            settings=settings.ladder,
        )
        self.session_rows = SessionRows(self.keys, MailboxSort(self.keys))
        self.login_tries = LoginTries(self.keys)
        self._assemble_log_ins()
        self.sharing = Sharing(
            database=self.database,
            keys=self.keys,
            directory=self.directory,
            mailboxes=self.mailboxes,
            rows=self.sharing_rows,
            world=world,
        )
        self.reading = Reading(
            database=self.database,
            keys=self.keys,
            directory=self.directory,
            payloads=self.payloads,
            returns=self.returns,
            access=access,
        )
        self.trash = Trash(database=self.database, keys=self.keys, access=access)
        self._assemble_lists(access)
        self._assemble_retention()
        self.content_files = ContentFiles(
            database=self.database,
            keys=self.keys,
            directory=self.directory,
            payloads=self.payloads,
            reading=self.reading,
        )
        self.timelines = Timelines(database=self.database, keys=self.keys, directory=self.directory, outbox=self.outbox)
        self.alarm_rows = AlarmRows(own_keys.chain)
        self.trust = TrustKeeper(
            database=self.database,
            directory=self.directory,
            peers=self.peers,
            maintainers=MaintainerRows(self.node_id),
            alarms=self.alarm_rows,
            threshold=settings.trust.threshold,
        )
        self.relay_clients = RelayClients(self.keys, self.directory, self.payloads)
        self.custody = Custody(
            keys=self.keys,
            clients=self.relay_clients,
            payloads=self.payloads,
            disk=self.disk,
            old_evidence=self._old_evidence,
        )
        composer = Composer(
            node_id=self.node_id,
            signer=own_keys.signer,
            store=self.store,
            payload_name=lambda payload_id: self.keys.blind("payload", payload_id),
            world=world,
        )
        correspondents = self.correspondents = Correspondents(self.keys)
        self.draft_rows = DraftRows(self.keys)
        self.submitter = Submitter(
            database=self.database,
            keys=self.keys,
            directory=self.directory,
            composer=composer,
            payloads=self.payloads,
            outbox=self.outbox,
            disk=self.disk,
            limits=limits,
            access=access,
            correspondents=correspondents,
            drafts=self.draft_rows,
        )
        self.drafts = Drafts(
            database=self.database,
            rows=self.draft_rows,
            files=DraftFileRows(self.keys, self.store),
            reading=self.reading,
            submitter=self.submitter,
            access=access,
            disk=self.disk,
            limits=limits,
        )
        self.mailbox_texts = MailboxTexts(self.database, self.keys, access)
        self._assemble_outside(access)
        self.cautions = Cautions(self.database, self.directory, correspondents)
        self.withdrawals = Withdrawals(
            database=self.database,
            keys=self.keys,
            directory=self.directory,
            dedup=self.dedup,
            outbox=self.outbox,
            payloads=self.payloads,
            seal_secrets=own_keys.seal_secrets,
            old_evidence=self._old_evidence,
            access=access,
        )

        self.key_keeper = KeyKeeper(
            folder=folder,
            own=own_keys,
            database=self.database,
            directory=self.directory,
            log=self.log,
            renews_itself=settings.keys.renew,
        )

    @property
    def keyring(self) -> Keyring:
        """The node's secrets as they are now."""
        return self.own_keys.keyring

    def _assemble_lists(self, access: Access) -> None:
        self.index = MailboxIndex(
            database=self.database,
            rows=IndexKeyRows(self.keys),
            reading=self.reading,
            directory=self.directory,
            access=access,
        )
        self.lists = Lists(database=self.database, index=self.index, reading=self.reading, access=access)
        self.mail_folders = MailFolders(database=self.database, keys=self.keys, index=self.index, access=access)
        self.filing = Filing(database=self.database, keys=self.keys, access=access)

    def _assemble_log_ins(self) -> None:
        web = self.settings.web
        self.second_factors = SecondFactors(
            self.database, self.keys, self.mailboxes.rows, institution=self.settings.institution, url=web.url
        )
        self.staff = Staff(self.database, self.keys, institution=self.settings.institution, url=web.url)
        charter = self.folder.path / web.charter_file if web.charter_file else None
        self.charters = Charters(self.database, self.keys, charter, LANGUAGES)

    def _assemble_retention(self) -> None:
        warn_days = self.settings.retention.warn_days
        self.state = NodeState(self.keys)
        self.policies = Policies(self.keys, self.settings.retention)
        self.holds = HoldRows(self.keys)
        eraser = Eraser(keys=self.keys, payloads=self.payloads, returns=self.returns, warn_days=warn_days)
        self.erasures = ErasureKeeper(
            folder=self.folder,
            database=self.database,
            node_id=self.node_id,
            data_key=self.keyring.data_key,
            eraser=eraser,
            state=self.state,
        )
        self.retention = Retention(
            database=self.database,
            policies=self.policies,
            eraser=eraser,
            warner=Warner(keys=self.keys, alerts=self.alerts, returns=self.returns, warn_days=warn_days),
            erasures=self.erasures,
        )

    def _assemble_outside(self, access: Access) -> None:
        settings = self.settings
        rows = PickupRows(self.keys)
        self.answers = AnswerBox(
            database=self.database,
            state=self.state,
            mailboxes=self.mailboxes,
            submitter=self.submitter,
            domain=settings.domain,
            quota_bytes=settings.limits.mailbox_quota_bytes,
        )
        self.outside = Outside(
            settings=settings,
            database=self.database,
            keys=self.keys,
            rows=rows,
            submitter=self.submitter,
            access=access,
            alerts=self.alerts,
            answers=self.answers,
            web_address=self.web_address,
        )
        self.pickups = Pickups(
            database=self.database,
            keys=self.keys,
            rows=rows,
            outside=self.outside,
            payloads=self.payloads,
            alerts=self.alerts,
            answers=self.answers,
        )

    def web_address(self) -> str:
        """Where the pages are, for people; empty if they are not served."""
        web, listening = self.settings.web, self.web_listening_on or self.settings.web.listen
        return web.address(listening) if web.url or listening else ""

    def _old_evidence(self, ref: LeafRef) -> Evidence | None:
        return self.database.read_now(read_evidence, self.keys, ref)

    def own_log_head(self, connection: sa.Connection) -> bytes:
        """The newest committed head of the own log."""
        table = schema.log_epochs
        note: bytes = connection.execute(sa.select(table.c.note).order_by(table.c.epoch.desc()).limit(1)).scalar_one()
        return note

    def invitation(self) -> str:
        """This node's invitation as text, for an administrator to send."""
        invite = Invite(
            chain=self.keyring.chain,
            institution=self.settings.institution,
            domain=self.settings.domain,
            endpoints=self.settings.link.advertised,
            made_at_ms=self.world.now_ms(),
        )
        return encode_invite(invite, self.keyring.identity)

    def timestamper(self) -> Timestamper:
        """What has heads of the log stamped."""
        # Only here: a node that asks no authority does not pay for the client.
        from node.audit.timestamping import Timestamper

        return Timestamper(self.database, self.timestamps, self.settings.evidence, self.folder.path)

    async def admit_auditor(self, name: str, *, days: int) -> Admission:
        """Admit an auditor, and make what they are given. ConfigError if this node serves no HTTPS."""
        from node.web.certificate import certificate_fingerprint
        from node.web.server import web_files

        web = self.settings.web
        if not web.listen and not web.url:
            raise ConfigError("this node serves no HTTPS", hint="set [web] listen in coffre.toml")
        files = web_files(self.folder, web)
        fingerprint = certificate_fingerprint(files.certificate) if files.own and not web.behind_proxy else ""
        auditor, token = await self.auditors.admit(name, days=days)
        return Admission(
            auditor=auditor,
            institution=self.settings.institution,
            url=web.address(web.listen),
            invitation=self.invitation(),
            certificate_sha256=fingerprint,
            token=token,
        )

    def discloser(self) -> Discloser:
        """What opens events of the log to auditors."""
        return Discloser(database=self.database, keys=self.keys, chain=self.keyring.chain)

    def backup_source(self) -> BackupSource:
        """What `coffre backup` writes."""
        return BackupSource(
            node_id=self.node_id,
            institution=self.settings.institution,
            folder=self.folder,
            engines=self.database.engines,
            store=self.store,
            data_key=self.keyring.data_key,
            world=self.world,
        )

    async def record_backup(self, summary: BackupSummary) -> None:
        """Put on record that a backup was made."""

        def write(tx: Transaction, items: Sequence[BackupSummary]) -> Sequence[None]:
            for item in items:
                code = f"{item.epoch}/{item.log_size}"
                tx.log.append(EventKind.BACKUP_MADE, Details(node=self.node_id, code=code))
            return [None] * len(items)

        await self.database.write(write, summary)

    # -- taking in and sending out, over links and by bundles

    def _following(self) -> Following:
        return Following(self.peers, self.trust.maintainers, self.alarm_rows, self.settings.directory.regions)

    def _checker(self) -> Checker:
        return Checker(
            node_id=self.node_id,
            seal_secrets=self.own_keys.seal_secrets,
            directory=self.directory,
            dedup=self.dedup,
            payloads=self.payloads,
            limits=self.settings.limits,
            disk=self.disk,
        )

    def _depositor(self) -> Depositor:
        return Depositor(
            keys=self.keys,
            dedup=self.dedup,
            payloads=self.payloads,
            alerts=self.alerts,
            old_evidence=self._old_evidence,
        )

    def _sender_side(self, verifiers: Verifiers) -> SenderSide:
        return SenderSide(
            database=self.database,
            directory=self.directory,
            outbox=self.outbox,
            writer=ResultWriter(keys=self.keys, outbox=self.outbox, alerts=self.alerts, witnesses=self.cosigned.keys),
            verifiers=verifiers,
        )

    def bundle_writer(self) -> BundleWriter:
        """Writes one bundle."""
        rows = BundleRows(self.keys)
        return BundleWriter(
            database=self.database,
            gatherer=Gatherer(
                directory=self.directory,
                outbox=self.outbox,
                payloads=self.payloads,
                returns=self.returns,
                rows=rows,
                following=self._following(),
                identity=self.keyring.identity,
                own_log_head=self.own_log_head,
            ),
            rows=rows,
            own_chain=lambda: self.keyring.chain,
            identity=self.keyring.identity,
            spool_folder=self.folder.path,
        )

    def bundle_reader(self) -> BundleReader:
        """Reads bundles, beside a running node or without one."""
        verifiers = Verifiers()
        return BundleReader(
            parts=TakingParts(
                node_id=self.node_id,
                database=self.database,
                directory=self.directory,
                peers=self.peers,
                outbox=self.outbox,
                dedup=self.dedup,
                rows=BundleRows(self.keys),
                sender=self._sender_side(verifiers),
                withdrawals=self.withdrawals,
                following=self._following(),
                history=self.history,
                verifiers=verifiers,
            ),
            checker=self._checker(),
            depositor=self._depositor(),
            payloads=self.payloads,
            seal_secrets=self.own_keys.seal_secrets,
        )

    # -- running

    def _post_parts(self, network: Network, in_flight: InFlight) -> PostParts:
        limits = self.settings.limits
        following, verifiers = self._following(), Verifiers()
        book = RelayBook(self.database, self.peers, self.node_id)
        return PostParts(
            node_id=self.node_id,
            own_keys=self.own_keys,
            adopt_statements=self.key_keeper.adopt,
            are_keys_lost=self.key_keeper.are_lost,
            database=self.database,
            directory=self.directory,
            peers=self.peers,
            outbox=self.outbox,
            payloads=self.payloads,
            returns=self.returns,
            dedup=self.dedup,
            verifiers=verifiers,
            intake=Intake(
                database=self.database,
                checker=self._checker(),
                depositor=self._depositor(),
                puller=PayloadPuller(self.database, self.payloads, self.claims),
                custody=self.custody,
                peer_unfinished_bytes=limits.peer_unfinished_bytes,
            ),
            sender=self._sender_side(verifiers),
            server=Server(
                database=self.database,
                directory=self.directory,
                following=following,
                outbox=self.outbox,
                payloads=self.payloads,
                custody=self.custody,
                book=book,
                refresh_own_keys=self.key_keeper.take_up,
            ),
            withdrawals=self.withdrawals,
            network=network,
            in_flight=in_flight,
            own_log_head=self.own_log_head,
            history=self.history,
            claims=self.claims,
            following=following,
            book=book,
            custody=self.custody,
            cosigning=CosigningParts(
                node_id=self.node_id,
                database=self.database,
                directory=self.directory,
                peers=self.peers,
                heads=self.cosigned,
                witness=self.witness,
                verifiers=verifiers,
            ),
        )

    def _cosign_duty(self) -> CosignDuty:
        completion = Completion(keys=self.keys, heads=self.cosigned, dedup=self.dedup, returns=self.returns)
        daily = DailyHeads(self.own_keys.post_quantum, self.cosigned)
        return CosignDuty(self.database, self.cosigned, daily, completion)

    async def run(
        self,
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
        with self.folder.running(places=1 if self.database.engines.is_sqlite else MAX_PROCESSES) as place:
            in_flight = InFlight(self.folder.path / (f"inflight.{place}" if place else "inflight"))
            office = PostOffice(self._post_parts(network or TlsNetwork(self.keyring.link), in_flight))
            deadlines = Deadlines(
                database=self.database,
                keys=self.keys,
                outbox=self.outbox,
                payloads=self.payloads,
                returns=self.returns,
                dedup=self.dedup,
                alerts=self.alerts,
                sharing=self.sharing_rows,
                custody=self.custody,
                sessions=self.session_rows,
                login_tries=self.login_tries,
                session_idle_ms=self.settings.web.idle_minutes * 60_000,
                correspondents=self.correspondents,
                drafts=self.draft_rows,
                outside=self.outside,
                ladder=self.ladder,
                absences=self.absences,
                sweep=self._sweep_payloads,
            )
            sender = AlertSender(
                self.database, self.alerts, self.settings.alerts, self.settings.institution, self.settings.web.url
            )
            await office.ask_peers()
            await self.database.write(self._log_event, EventKind.STARTED)
            await SettingsRecord(self.database, self.keys, self.state).note(self.settings)
            async with trio.open_nursery() as nursery:
                await nursery.start(office.run, self.settings.link.listen if listen is None else listen)
                duties = (
                    (deadlines.run, "deadlines"),
                    (sender.run, "alerts"),
                    (self.trust.run, "trust"),
                    (self.key_keeper.run, "keys"),
                    (self.retention.run, "retention"),
                    (self._cosign_duty().run, "cosigning"),
                )
                for work, duty in duties:
                    nursery.start_soon(self.claims.hold, partial(keep_running, work), duty)
                nursery.start_soon(keep_running, self._keep_head_file)
                nursery.start_soon(keep_running, partial(self.key_keeper.watch, office.present))
                if self.settings.evidence.timestamp_url:
                    nursery.start_soon(self.claims.hold, partial(keep_running, self.timestamper().run), "timestamps")
                if self.settings.discovery.announce and office.listening_on:
                    nursery.start_soon(self._announce, office.listening_on)
                if self.world.shares_database:
                    nursery.start_soon(self.database.signals.watch_other_processes)
                if web_listen or (web_listen is None and self.settings.web.listen):
                    self.web_listening_on = await nursery.start(self._serve_web, web_listen, stop)
                task_status.started(office)
                await stop.wait()
                with trio.move_on_after(_DRAIN_S):
                    await office.stop()
                nursery.cancel_scope.cancel()
            await self.database.write(self._log_event, EventKind.STOPPED)
            await self.database.drain()
            await self.history.write_head_file()
            in_flight.close()

    async def _serve_web(self, listen: str | None, stop: trio.Event, *, task_status: trio.TaskStatus[str]) -> None:
        # Only here: a node without pages does not pay for the web server's memory.
        from node.web.server import WebServer
        from node.web.site import build_site

        settings = self.settings.web
        server = WebServer(build_site(self, stop), self.folder, settings, now_ms=self.world.now_ms())
        await server.run(listen or settings.listen, stop, task_status=task_status)

    async def _announce(self, listening_on: str) -> None:
        """A network that cannot be announced on is no reason not to run."""
        try:
            await LanAnnouncer(self.node_id, self.settings.discovery, self.world).run(listening_on)
        except* ConfigError as group:
            _logger.warning("not announced on the local network", reason=str(group.exceptions[0]))

    def _log_event(self, tx: Transaction, items: Sequence[EventKind]) -> Sequence[None]:
        for kind in items:
            tx.log.append(kind, Details(node=self.node_id))
        return [None] * len(items)

    async def _keep_head_file(self) -> None:
        while True:
            ticket = self.database.signals.ticket(LOG)
            # A command beside the node may have renewed the keys, and signed the head that lies there.
            await self.key_keeper.take_up()
            await self.history.write_head_file()
            await trio.sleep(_HEAD_FILE_EVERY_S)
            await ticket.wait()

    def _sweep_payloads(self) -> None:
        """Remove files that nothing refers to: a process died after it sealed a letter, or before it deleted one."""
        known = self.database.read_now(
            lambda connection: (
                set(connection.execute(sa.select(schema.payloads.c.id)).scalars()) | DraftFileRows.names(connection)
            )
        )
        self.store.sweep(known, self.world.now_ms() - _STALE_FILE_MS)


def _passphrase_paths(folder: Folder, settings: Settings) -> list[Path]:
    """The file named in the settings (relative to the folder), and a systemd credential."""
    paths = [folder.path / settings.passphrase_file] if settings.passphrase_file else []
    credentials = os.environ.get("CREDENTIALS_DIRECTORY")
    if credentials:
        paths.append(Path(credentials) / "coffre-passphrase")
    return paths


def has_passphrase_source(folder: Folder) -> bool:
    """Whether the keyring can be opened without asking anybody."""
    return any(path.is_file() for path in _passphrase_paths(folder, load_settings(folder.settings_file)))


def read_passphrase(folder: Folder, settings: Settings) -> Secret | None:
    """The keyring's passphrase (first line of the file), None if there is no file with it."""
    for path in _passphrase_paths(folder, settings):
        try:
            return Secret(path.read_bytes().split(b"\n", 1)[0].rstrip(b"\r"))
        except FileNotFoundError:
            continue
        except OSError as error:
            raise ConfigError(f"the passphrase file {path} cannot be read: {error.strerror}") from error
    return None


@asynccontextmanager
async def open_node(path: Path, passphrase: Secret | None = None, *, world: World | None = None) -> AsyncIterator[Node]:
    """Open a node's folder for as long as the block lasts, with its writer running.

    passphrase: None to take it from the settings' file. Errors are CoffreError, one line each.
    """
    world = world or World()
    folder = Folder.open(path)
    settings = load_settings(folder.settings_file)
    passphrase = passphrase or read_passphrase(folder, settings)
    if passphrase is None:
        raise ConfigError(
            "no passphrase for the keyring",
            hint="give --keyring-passphrase-file, or set passphrase_file in coffre.toml",
        )
    mark = file_mark(folder.keyring_file)
    keyring = await world.run_blocking(load_keyring, folder.keyring_file, passphrase)
    own_keys = OwnKeys(folder, keyring, passphrase, world, mark=mark)
    node = await world.run_blocking(Node, folder, settings, own_keys, world)
    try:
        async with trio.open_nursery() as nursery:
            await nursery.start(node.database.run)
            await node.history.settle()
            await node.key_keeper.settle()
            await node.erasures.settle()
            yield node
            await node.history.write_head_file()
            nursery.cancel_scope.cancel()
    finally:
        node.claims.close()
        node.database.engines.close()
