"""One node: its vault (node/vault_parts.py) and the parts that write, deliver and trust. Here they are wired.

node/opening.py opens one; node/running.py is the running node; node/exchange.py wires what takes in and sends out.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING
from zoneinfo import ZoneInfo

import sqlalchemy as sa

from node.alerts.wording import WordingRows
from node.audit.auditors import Admission
from node.audit.disclosing import Discloser
from node.audit.disclosure_requests import DisclosureRequests
from node.audit.log import LeafRef, read_evidence
from node.auditor.log_checks import LogChecks
from node.backup.reading import BackupSummary
from node.backup.writing import BackupSource
from node.config.settings import Settings
from node.errors import ConfigError
from node.folder import Folder
from node.identity.keeper import KeyKeeper
from node.identity.own_keys import OwnKeys
from node.operation.last_backup import note_backup
from node.outside.answers import AnswerBox
from node.outside.offering import Outside
from node.outside.opening import Pickups
from node.outside.rows import PickupRows
from node.post.compose import Composer
from node.post.drafting import Drafts
from node.post.resealing import Resealer
from node.post.resolve import Resolver
from node.post.results import ResultWriter
from node.post.submit import Submitter
from node.post.withdraw import Withdrawals
from node.relay.clients import RelayClients
from node.relay.custody import Custody
from node.statistics.desk import Statistics
from node.trust.alarm_rows import AlarmRows
from node.trust.keeper import TrustKeeper
from node.trust.maintainer_rows import MaintainerRows
from node.vault import schema
from node.vault.access import Access
from node.vault.correspondents import Correspondents
from node.vault.database import Transaction
from node.vault.draft_files import DraftFileRows
from node.vault.draft_rows import DraftRows
from node.vault.lookalike_book import Cautions
from node.vault.mailbox_texts import MailboxTexts
from node.vault.recipient_groups import RecipientGroups
from node.vault_parts import VaultParts
from node.world import World
from protocol.details import Details
from protocol.evidence import Evidence
from protocol.invite import Invite, encode_invite
from protocol.logleaf import EventKind

if TYPE_CHECKING:
    from node.audit.timestamping import Timestamper
    from node.operation.running import Operation
    from node.vault.engine import Engines

__all__ = ["Node"]


class Node(VaultParts):
    """One institution's node. Make it with `open_node` (node/opening.py)."""

    def __init__(self, folder: Folder, settings: Settings, own_keys: OwnKeys, world: World, engines: Engines) -> None:
        super().__init__(folder, settings, own_keys, world, engines)
        access, limits = self.access, settings.limits
        self.web_listening_on = ""
        self.operation: Operation | None = None
        """While the node runs (node/running.py)."""
        self.alarm_rows = AlarmRows(own_keys.chain)
        self.trust = TrustKeeper(
            database=self.database,
            directory=self.directory,
            peers=self.peers,
            maintainers=MaintainerRows(self.node_id),
            alarms=self.alarm_rows,
            threshold=settings.trust.threshold,
        )
        self.statistics = Statistics(
            database=self.database,
            keys=self.keys,
            state=self.state,
            directory=self.directory,
            zone=ZoneInfo(settings.web.timezone),
            threshold=settings.statistics.hide_below,
            publishes=settings.statistics.publish,
        )
        self.relay_clients = RelayClients(self.keys, self.directory, self.payloads)
        self.custody = Custody(
            keys=self.keys,
            clients=self.relay_clients,
            payloads=self.payloads,
            disk=self.disk,
            old_evidence=self.old_evidence,
        )
        composer = Composer(
            node_id=self.node_id,
            signer=own_keys.signer,
            store=self.store,
            payload_name=lambda payload_id: self.keys.blind("payload", payload_id),
            world=world,
        )
        self.resealer = Resealer(
            database=self.database,
            directory=self.directory,
            outbox=self.outbox,
            own_chain=own_keys.chain,
            signer=own_keys.signer,
        )
        correspondents = self.correspondents = Correspondents(self.keys)
        self.draft_rows = DraftRows(self.keys)
        resolver = Resolver(
            node_id=self.node_id,
            directory=self.directory,
            access=access,
            disk=self.disk,
            limits=limits,
            world=world,
        )
        self.submitter = Submitter(
            database=self.database,
            keys=self.keys,
            resolver=resolver,
            composer=composer,
            payloads=self.payloads,
            outbox=self.outbox,
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
        self.wordings = WordingRows(self.state, self.node_id)
        self.mailbox_texts = MailboxTexts(self.database, self.keys, access)
        self.recipient_groups = RecipientGroups(self.database, self.keys, access)
        self._assemble_outside(access)
        self.disclosure_requests = DisclosureRequests(self.database, self.keys)
        self.log_checks = LogChecks(
            database=self.database,
            folder=folder.path / "audit",
            chain=lambda: self.keyring.chain,
            institution=settings.institution,
            node_id=self.node_id,
        )
        self.cautions = Cautions(self.database, self.directory, correspondents)
        self.withdrawals = Withdrawals(
            database=self.database,
            keys=self.keys,
            directory=self.directory,
            dedup=self.dedup,
            outbox=self.outbox,
            payloads=self.payloads,
            seal_secrets=own_keys.seal_secrets,
            old_evidence=self.old_evidence,
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

    def result_writer(self) -> ResultWriter:
        """What brings deliveries and the outbox up to date."""
        return ResultWriter(keys=self.keys, outbox=self.outbox, alerts=self.alerts, witnesses=self.cosigned.keys)

    def old_evidence(self, ref: LeafRef) -> Evidence | None:
        """Evidence that the own log has at this leaf."""
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
                note_backup(tx, self.state)
            return [None] * len(items)

        await self.database.write(write, summary)
