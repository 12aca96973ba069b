"""Opening a letter with link and code, and what may be done on its page. Spec: spec/pickup.md, 4 and 6."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final

import sqlalchemy as sa
import trio

from node.errors import LimitError, StateError
from node.outside.answers import Answer, AnswerBox, AnswerFile
from node.outside.offering import Outside, occasion
from node.outside.rows import MAX_ATTEMPTS, TOKEN_BYTES, PickupKeys, PickupRows, PickupSession, StoredPickup
from node.vault import schema
from node.vault.alert_queue import AlertQueue
from node.vault.content import LetterContent, open_content_by_key
from node.vault.database import Database, Transaction
from node.vault.payload_rows import PayloadRows
from node.vault.sealing import RowKeys
from node.vault.states import PickupState
from protocol.crypto import Secret
from protocol.details import Details
from protocol.errors import RemoteProtocolError
from protocol.ids import NodeId
from protocol.logleaf import EventKind
from protocol.pickup import CODE_SALT_BYTES, PickupLink, code_key, open_pickup

__all__ = ["OUTSIDER", "OpenedPickup", "Pickups"]

OUTSIDER: Final = "outsider"
# Two Argon2id at a time: each takes 64 MiB and a core, and strangers ask for them.
_ARGON_AT_ONCE: Final = 2
_GONE: Final = "the letter is not open any more"


@dataclass(frozen=True, slots=True, kw_only=True)
class OpenedPickup:
    """A letter on an opened page."""

    session: PickupSession
    content: LetterContent


@dataclass(frozen=True, slots=True, kw_only=True)
class _Attempt:
    link: PickupLink
    code: Secret
    keys: PickupKeys


@dataclass(frozen=True, slots=True)
class _Download:
    session: PickupSession
    code: str


class Pickups:
    """What people outside may do."""

    def __init__(
        self,
        *,
        database: Database,
        keys: RowKeys,
        rows: PickupRows,
        outside: Outside,
        payloads: PayloadRows,
        alerts: AlertQueue,
        answers: AnswerBox,
    ) -> None:
        self._database = database
        self._keys = keys
        self._rows = rows
        self._outside = outside
        self._payloads = payloads
        self._alerts = alerts
        self._answers = answers
        self._argon = trio.CapacityLimiter(_ARGON_AT_ONCE)

    @property
    def node_id(self) -> NodeId:
        """Whose pick-ups."""
        return self._keys.node_id

    async def open(self, key: Secret, code: Secret) -> bytes | None:
        """Try a link key and a code; the token of the opened page, None if they open nothing.

        For every reason the same work is done: whoever asks learns nothing else from the time that it takes.
        """
        world = self._database.world
        link = PickupLink.of(key, self._keys.node_id)
        found = await self._database.read(self._rows.find, self._rows.id_of(link.name))
        salt = None if found is None else found.salt
        token = world.random_bytes(TOKEN_BYTES)
        async with self._argon:
            derived = await world.run_blocking(code_key, code, salt or world.random_bytes(CODE_SALT_BYTES))
        attempt = _Attempt(link=link, code=derived, keys=PickupKeys.of(token, self._keys.node_id))
        return token if await self._database.write(self._try, attempt) else None

    def _try(self, tx: Transaction, items: Sequence[_Attempt]) -> Sequence[bool]:
        """Batch handler, each under its row's lock: nothing is decided by what was read before."""
        return [self._try_one(tx, item) for item in items]

    def _try_one(self, tx: Transaction, item: _Attempt) -> bool:
        pickup = self._rows.locked(tx.connection, self._rows.id_of(item.link.name))
        if pickup is None or pickup.box is None or not pickup.is_open(tx.now_ms):
            return False
        try:
            payload_key = open_pickup(
                pickup.box, link=item.link, code=item.code, node=self._keys.node_id, letter=pickup.letter_id
            )
        except RemoteProtocolError:
            self._wrong(tx, pickup)
            return False
        left = pickup.openings_left - 1
        opened = replace(pickup, openings_left=left, opened_at_ms=pickup.opened_at_ms or tx.now_ms)
        if left == 0:
            opened = replace(opened, state=PickupState.USED, ended_at_ms=tx.now_ms, box=None, salt=None)
        self._rows.update(tx, opened)
        self._rows.begin_session(tx, item.keys, pickup.row, payload_key)
        details = replace(self._details(pickup), role=OUTSIDER, digest=pickup.digest)
        tx.log.append(EventKind.PICKED_UP, details, tag=pickup.tag)
        return True

    def _wrong(self, tx: Transaction, pickup: StoredPickup) -> None:
        attempts = pickup.attempts + 1
        failed = replace(pickup, attempts=attempts)
        self._rows.update(tx, failed)
        details = replace(self._details(pickup), code=f"{attempts} of {MAX_ATTEMPTS}")
        tx.log.append(EventKind.PICKUP_FAILED, details, tag=pickup.tag)
        if attempts >= MAX_ATTEMPTS:
            self._outside.end(tx, failed, PickupState.LOCKED, "attempts")
            self._alerts.queue(tx, [occasion(pickup, self._keys.node_id, "pickup_locked")])

    def _details(self, pickup: StoredPickup) -> Details:
        return Details(
            node=self._keys.node_id,
            peer=self._keys.node_id,
            letter=pickup.letter_id,
            payload=pickup.payload_id,
            mailbox=pickup.outside,
        )

    # -- on the page

    async def find(self, token: bytes) -> PickupSession | None:
        """The opened page of a token; None if it is over, or was closed by the sender."""
        keys, now_ms = PickupKeys.of(token, self._keys.node_id), self._database.world.now_ms()
        return await self._database.read(self._rows.session, keys, now_ms)

    async def close(self, session: PickupSession) -> None:
        """Close the page at the reader's wish."""
        await self._database.write(self._rows.end_session, session.row)

    async def letter(self, session: PickupSession) -> OpenedPickup:
        """The letter. StateError if it was erased meanwhile; RemoteProtocolError if it is damaged."""

        def read(connection: sa.Connection) -> LetterContent:
            table, pickup = schema.letters, session.pickup
            name = connection.execute(
                sa.select(table.c.payload).where(table.c.id == pickup.letter)
            ).scalar_one_or_none()
            payload = None if name is None else self._payloads.find(connection, name)
            if payload is None:
                raise StateError(_GONE)
            reader = self._payloads.chunk_reader(payload)
            return open_content_by_key(session.payload_key, pickup.letter_id, payload.descriptor, reader)

        return OpenedPickup(session=session, content=await self._database.read(read))

    async def downloaded(self, session: PickupSession, number: int) -> None:
        """Put on record that document `number` (from 1) is handed out. StateError if the page was closed."""
        await self._database.write(self._download, _Download(session, str(number)))

    def _download(self, tx: Transaction, items: Sequence[_Download]) -> Sequence[Exception | None]:
        results: list[Exception | None] = []
        for item in items:
            pickup = self._rows.locked(tx.connection, item.session.pickup.row)
            if pickup is None or not self._rows.has_session(tx.connection, item.session.row, tx.now_ms):
                results.append(StateError(_GONE))
                continue
            details = replace(self._details(pickup), role=OUTSIDER, code=item.code)
            tx.log.append(EventKind.DOWNLOADED, details, tag=pickup.tag)
            results.append(None)
        return results

    async def answer(self, opened: OpenedPickup, *, text: str, files: Sequence[AnswerFile] = ()) -> None:
        """Deposit an answer to the letter's sender. LimitError, StateError, and errors of sending."""
        session = opened.session
        answer = Answer(
            address=session.pickup.address,
            language=session.pickup.language,
            text=text,
            files=tuple(files),
        )
        answer.check()
        await self._database.write(self._count_answer, session)
        await self._answers.deposit(answer, opened.content.signed.letter)

    def _count_answer(self, tx: Transaction, items: Sequence[PickupSession]) -> Sequence[Exception | None]:
        results: list[Exception | None] = []
        for session in items:
            pickup = self._rows.locked(tx.connection, session.pickup.row)
            if pickup is None or not self._rows.has_session(tx.connection, session.row, tx.now_ms):
                results.append(StateError(_GONE))
            elif pickup.answers_left == 0:
                results.append(LimitError("no more answers can be sent on this page"))
            else:
                self._rows.update(tx, replace(pickup, answers_left=pickup.answers_left - 1))
                results.append(None)
        return results
