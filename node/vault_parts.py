"""What a node keeps, and who may read it: keys, database, log, directory, mailboxes and their letters."""

from __future__ import annotations

from zoneinfo import ZoneInfo

from node.alerts.browser import BrowserAlerts
from node.alerts.ladder import Ladder
from node.audit.auditors import Auditors
from node.audit.cosigned_heads import CosignedHeads
from node.audit.epochs import LogHistory
from node.audit.log import Log
from node.audit.timestamp_rows import TimestampRows
from node.audit.witness import WitnessRows
from node.config.settings import Settings
from node.folder import Folder
from node.identity.own_keys import OwnKeys
from node.operation.alarm_rows import OperatorAlarms
from node.operation.upgrading import open_schema
from node.reports.rendering import LANGUAGES
from node.retention.erasing import Eraser
from node.retention.holds import HoldRows
from node.retention.keeper import Retention
from node.retention.policy import Policies
from node.retention.replaying import ErasureKeeper
from node.retention.warning import Warner
from node.staff.service import Staff
from node.vault.absences import Absences
from node.vault.access import Access
from node.vault.alert_queue import AlertQueue
from node.vault.changes import Changes
from node.vault.charters import Charters
from node.vault.claims import Claims
from node.vault.content_files import ContentFiles
from node.vault.database import Database
from node.vault.dedup import Dedup
from node.vault.directory import Directory
from node.vault.disk import DiskWatch
from node.vault.engine import Engines
from node.vault.filing import Filing
from node.vault.keyring import Keyring
from node.vault.login_tries import LoginTries
from node.vault.mail_folders import MailFolders
from node.vault.mailbox_index.index import MailboxIndex
from node.vault.mailbox_index.keys import IndexKeyRows
from node.vault.mailbox_index.lists import Lists
from node.vault.mailbox_recovery import MailboxRecovery
from node.vault.mailboxes import Mailboxes
from node.vault.new_keys import NewKeys
from node.vault.node_state import NodeState
from node.vault.outbox_rows import OutboxRows
from node.vault.password_ways import PasswordWays
from node.vault.payload_rows import PayloadRows
from node.vault.payloads import FilePayloadStore
from node.vault.peers import PeerRows
from node.vault.reading import Reading
from node.vault.renewal import KeyRenewal
from node.vault.returns import ReturnRows
from node.vault.sealing import RowKeys
from node.vault.second_factors import SecondFactors
from node.vault.session_rows import MailboxSort, SessionRows
from node.vault.sharing import Sharing
from node.vault.sharing_rows import SharingRows
from node.vault.timeline import Timelines
from node.vault.trash import Trash
from node.vault.way_rows import WayRows
from node.world import World

__all__ = ["VaultParts"]


class VaultParts:
    """The vault of one institution and everything that reads and writes it. A node (node/app.py) is made on it.

    engines: of its database; whoever opened them closes them, also where this fails.
    """

    def __init__(self, folder: Folder, settings: Settings, own_keys: OwnKeys, world: World, engines: Engines) -> None:
        keyring = own_keys.keyring
        self.folder = folder
        self.settings = settings
        self.own_keys = own_keys
        self.world = world
        self.node_id = keyring.chain.node_id
        self.keys = RowKeys(self.node_id, keyring.data_key, keyring.index_key, world.random_bytes)
        open_schema(folder, engines)
        self.log = Log(node_id=self.node_id, log_secret=own_keys.log, keys=self.keys, world=world)
        self.database = Database(engines, world, self.log.open)
        self.claims = Claims(engines, world)
        self.auditors = Auditors(self.database, self.keys)
        self.timestamps = TimestampRows(self.node_id)
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
        self.operator_alarms = OperatorAlarms(self.keys, self.alerts)
        self.browser_alerts = BrowserAlerts(self.keys, self.alerts, world)
        self.disk = DiskWatch(folder.path, settings.limits)
        access = self.access = Access(self.directory)
        self.changes = Changes(self.keys, access)
        self._assemble_mailboxes(access)
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
            new_keys=self.new_keys,
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

    @property
    def keyring(self) -> Keyring:
        """The node's secrets as they are now."""
        return self.own_keys.keyring

    def _assemble_mailboxes(self, access: Access) -> None:
        way_rows = WayRows(self.keys, self.world.random_bytes)
        passwords = PasswordWays(self.node_id, self.world)
        recovery_key = self.keyring.recovery_seal_key
        self.sharing_rows = SharingRows(self.node_id, self.directory, access, way_rows)
        renewal = KeyRenewal(self.node_id, self.directory, way_rows, self.sharing_rows, recovery_key)
        self.new_keys = NewKeys(self.database, way_rows, passwords, renewal, self.world)
        self.mailboxes = Mailboxes(
            database=self.database,
            keys=self.keys,
            directory=self.directory,
            sharing=self.sharing_rows,
            way_rows=way_rows,
            passwords=passwords,
            new_keys=self.new_keys,
            recovery_key=recovery_key,
            world=self.world,
        )
        self.mailbox_recovery = MailboxRecovery(
            database=self.database,
            node=self.node_id,
            mailboxes=self.mailboxes,
            way_rows=way_rows,
            passwords=passwords,
            new_keys=self.new_keys,
        )

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
