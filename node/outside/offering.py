"""Offering a letter to somebody outside, seeing what became of it, taking it back. Spec: spec/pickup.md, 4."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, Final

import sqlalchemy as sa

from node.errors import ConfigError, LimitError, NotFoundError, StateError
from node.outside.answers import AnswerBox
from node.outside.rows import MAX_ANSWERS, PickupRows, StoredPickup
from node.outside.sms import SmsGateway, parse_number
from node.post.compose import Draft
from node.post.sent_rows import Submission
from node.post.submit import Submitter
from node.vault.access import Access, OpenMailbox
from node.vault.alert import Occasion, PickupMail
from node.vault.alert_queue import AlertQueue
from node.vault.database import Database, Transaction
from node.vault.sealing import RowKeys
from node.vault.states import PickupState
from protocol.box import SALT_BYTES
from protocol.crypto import Secret
from protocol.delegation import Right
from protocol.details import Details
from protocol.ids import LetterId, MailboxId, NodeId
from protocol.logleaf import EventKind
from protocol.pickup import (
    CODE_SALT_BYTES,
    LINK_BYTES,
    SHOWN_CODE_CHARACTERS,
    SMS_CODE_CHARACTERS,
    PickupLink,
    code_key,
    draw_code,
    link_text,
    seal_pickup,
)

if TYPE_CHECKING:
    from node.config.settings import Settings

__all__ = ["DEFAULT_DAYS", "DEFAULT_OPENINGS", "MAX_DAYS", "MAX_OPENINGS", "Offer", "Offered", "Outside"]

_DAY_MS: Final = 86_400_000
DEFAULT_DAYS: Final = 7
MAX_DAYS: Final = 30
DEFAULT_OPENINGS: Final = 3
"""A telephone, then the screen at home, then once more to answer."""
MAX_OPENINGS: Final = 20
_AT_ONCE: Final = 50
_SENT_BEFORE: Final = "this letter was offered already: its form was sent twice"


@dataclass(frozen=True, slots=True, kw_only=True)
class Offer:
    """A letter to offer. draft: with one address in `to`. number: a telephone for the code by SMS, empty to be shown
    it. language: of the e-mail and the SMS, `fr` or `en`. once: 16 bytes, the same if a form is sent again; empty: new.
    """

    draft: Draft
    language: str = "fr"
    days: int = DEFAULT_DAYS
    openings: int = DEFAULT_OPENINGS
    number: str = ""
    once: bytes = b""


@dataclass(frozen=True, slots=True, kw_only=True)
class Offered:
    """A letter that is offered. code: to be told to the person by the sender; None if the SMS gateway took it.

    sms_failed: it was to go by SMS, and the gateway did not take it.
    """

    row: bytes
    address: str
    expires_at_ms: int
    openings: int
    code: Secret | None
    sms_failed: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class _New:
    submission: Submission
    offer: Offer
    link: PickupLink
    url: Secret
    salt: bytes
    box: bytes
    outside: MailboxId
    language: str
    way: str
    once: bytes


class Outside:
    """Offers, lists and revokes. web_address: what links begin with; asked for at each offer."""

    def __init__(
        self,
        *,
        settings: Settings,
        database: Database,
        keys: RowKeys,
        rows: PickupRows,
        submitter: Submitter,
        access: Access,
        alerts: AlertQueue,
        answers: AnswerBox,
        web_address: Callable[[], str],
    ) -> None:
        self._settings = settings
        self._database = database
        self._keys = keys
        self.rows = rows
        self._submitter = submitter
        self._access = access
        self._alerts = alerts
        self._answers = answers
        self._web_address = web_address
        self.sms = SmsGateway(settings.alerts, settings.institution)

    # -- offering

    async def offer(self, offer: Offer, progress: Callable[[int], None] = lambda _done: None) -> Offered:
        """Seal the letter, write it with its e-mail, and give out the code: by SMS, or to the sender.

        RecipientError, LimitError, ConfigError, StateError; nothing is kept then.
        """
        number, address = self._check(offer)
        world = self._database.world
        once = offer.once or world.random_bytes(16)
        if await self._database.read(self.rows.is_known, once):
            raise StateError(_SENT_BEFORE)
        outside = MailboxId(world.random_bytes(MailboxId.LENGTH))
        submission = await self._submitter.seal_outside(offer.draft, outside, offer.days * _DAY_MS, progress)
        await self._answers.ensure()
        code = draw_code(world.random_bytes, SMS_CODE_CHARACTERS if number else SHOWN_CODE_CHARACTERS)
        key = Secret(world.random_bytes(LINK_BYTES))
        link = PickupLink.of(key, self._keys.node_id)
        salt = world.random_bytes(CODE_SALT_BYTES)
        derived = await world.run_blocking(code_key, code, salt)
        new = _New(
            submission=submission,
            offer=offer,
            link=link,
            url=Secret(f"{address}/pickup#{link_text(key)}".encode()),
            salt=salt,
            box=seal_pickup(
                submission.sealed.payload_key,
                link=link,
                code=derived,
                node=self._keys.node_id,
                letter=submission.sealed.letter_id,
                salt=world.random_bytes(SALT_BYTES),
            ),
            outside=outside,
            language=offer.language,
            way="sms" if number else "shown",
            once=once,
        )
        offered = await self._database.write(self._write, new)
        if not number:
            return replace(offered, code=code)
        reference = self._keys.blind("pickup-sms", offered.row)
        send = partial(self.sms.send, number, code, language=offer.language, reference=reference, now_ms=world.now_ms())
        if await world.run_blocking(send):
            return offered
        return replace(offered, code=code, sms_failed=True)

    def _check(self, offer: Offer) -> tuple[str, str]:
        """The telephone number and the address of the pages, before anything is sealed."""
        if not self._settings.alerts.smtp.host:
            raise ConfigError(
                "this node sends no e-mail, so nobody outside gets a link", hint="see [alerts.smtp] in coffre.toml"
            )
        address = self._web_address()
        if not address:
            raise ConfigError("this node serves no pages", hint="set [web] listen and url in coffre.toml")
        if len(offer.draft.to) != 1 or offer.draft.cc:
            raise ConfigError("a letter to outside goes to one person", hint="write one for each")
        if not 1 <= offer.days <= MAX_DAYS:
            raise LimitError(f"a letter to outside is offered for 1 to {MAX_DAYS} days")
        if not 1 <= offer.openings <= MAX_OPENINGS:
            raise LimitError(f"a letter to outside can be opened 1 to {MAX_OPENINGS} times")
        if offer.language not in ("fr", "en"):
            raise ConfigError(f"no language {offer.language!r}", hint="fr or en")
        number = ""
        if offer.number:
            self.sms.check()
            number = parse_number(offer.number)
        return number, address

    def _write(self, tx: Transaction, items: Sequence[_New]) -> Sequence[Offered | Exception]:
        results: list[Offered | Exception] = []
        for item in items:
            try:
                results.append(self._write_one(tx, item))
            except StateError as refused:
                results.append(refused)
        return results

    def _write_one(self, tx: Transaction, item: _New) -> Offered:
        if self.rows.is_known(tx.connection, item.once):
            raise StateError(_SENT_BEFORE)
        letter, tag = self._submitter.write_outside(tx, item.submission)
        sealed, resolved = item.submission.sealed, item.submission.resolved
        sender, [person] = resolved.draft.sender, resolved.to
        pickup = StoredPickup(
            row=self.rows.id_of(item.link.name),
            letter=letter,
            mailbox=sender.id,
            outside=item.outside,
            address=person.address,
            language=item.language,
            code_way=item.way,
            letter_id=sealed.letter_id,
            payload_id=sealed.payload.descriptor.payload_id,
            letter_class=resolved.draft.letter_class,
            digest=sealed.payload.digest,
            tag=tag,
            state=PickupState.OPEN,
            attempts=0,
            openings=item.offer.openings,
            openings_left=item.offer.openings,
            answers_left=MAX_ANSWERS,
            created_at_ms=tx.now_ms,
            expires_at_ms=tx.now_ms + item.offer.days * _DAY_MS,
            ended_at_ms=0,
            opened_at_ms=0,
            mailed_at_ms=0,
            salt=item.salt,
            box=item.box,
        )
        self.rows.insert(tx, pickup, item.once)
        details = Details(
            node=self._keys.node_id,
            peer=self._keys.node_id,
            letter=pickup.letter_id,
            payload=pickup.payload_id,
            mailbox=pickup.outside,
            code=f"email, {item.way}",
            role=None if sender.actor is None else sender.role.value,
            actor=None if sender.actor is None else sender.actor.id,
        )
        tx.log.append(EventKind.PICKUP_OFFERED, details, tag=tag)
        mail = PickupMail(link=item.url, language=item.language, until_ms=pickup.expires_at_ms)
        self._alerts.queue_pickup(
            tx,
            pickup.row,
            target=pickup.address,
            mail=mail,
            outside=pickup.outside,
            occasion=occasion(pickup, self._keys.node_id, "pickup_unsent"),
        )
        return Offered(
            row=letter,
            address=pickup.address,
            expires_at_ms=pickup.expires_at_ms,
            openings=pickup.openings,
            code=None,
        )

    # -- what became of them

    async def list(self, opened: OpenMailbox, *, limit: int = 50, before_ms: int | None = None) -> list[StoredPickup]:
        """The newest letters of a mailbox to people outside. StateError for who may not read it."""

        def read(connection: sa.Connection) -> list[StoredPickup]:
            self._access.check(connection, opened, Right.READ, self._database.world.now_ms())
            return self.rows.of_mailbox(connection, opened.id, limit, before_ms)

        return await self._database.read(read)

    async def of_letter(self, letter: bytes) -> StoredPickup | None:
        """Where a sent letter stands outside; None if it went to no one there."""
        return await self._database.read(self.rows.of_letter, letter)

    async def revoke(self, opened: OpenMailbox, letter: bytes) -> None:
        """From now on link and code open nothing, and pages that are open show nothing more.

        letter: the row of the sent copy. StateError if it ended before; NotFoundError.
        """
        await self._database.write(self._revoke, (opened, letter))

    def _revoke(self, tx: Transaction, items: Sequence[tuple[OpenMailbox, bytes]]) -> Sequence[Exception | None]:
        results: list[Exception | None] = []
        for opened, letter in items:
            try:
                self._revoke_one(tx, opened, letter)
            except (StateError, NotFoundError) as refused:
                results.append(refused)
            else:
                results.append(None)
        return results

    def _revoke_one(self, tx: Transaction, opened: OpenMailbox, letter: bytes) -> None:
        self._access.check(tx.connection, opened, Right.WRITE, tx.now_ms)
        found = self.rows.of_letter(tx.connection, letter)
        if found is None or found.mailbox != opened.id:
            raise NotFoundError("that letter went to nobody outside", hint="see: coffre outside list")
        pickup = self.rows.locked(tx.connection, found.row)
        assert pickup is not None
        closed = self.rows.end_sessions(tx, pickup.row)
        if pickup.state is not PickupState.OPEN and not closed:
            raise StateError(f"link and code open nothing any more ({pickup.state.word})")
        self.end(tx, pickup, PickupState.REVOKED, "sender", opened)
        self._alerts.withdraw_pickup(tx, pickup.row)

    def end(
        self, tx: Transaction, pickup: StoredPickup, state: PickupState, code: str, opened: OpenMailbox | None = None
    ) -> None:
        """End a pick-up whose row is locked, on record: its box is destroyed."""
        self.rows.update(tx, replace(pickup, state=state, ended_at_ms=tx.now_ms, box=None, salt=None))
        actor = None if opened is None else opened.actor
        details = Details(
            node=self._keys.node_id,
            peer=self._keys.node_id,
            letter=pickup.letter_id,
            mailbox=pickup.outside,
            code=code,
            role=None if actor is None or opened is None else opened.role.value,
            actor=None if actor is None else actor.id,
        )
        tx.log.append(EventKind.PICKUP_REVOKED, details, tag=pickup.tag)

    # -- what time brings

    async def look(self, now_ms: int) -> None:
        """End what is over."""
        due, past = await self._database.read(self.rows.over, now_ms, _AT_ONCE)
        if due:
            await self._database.write_many(self._expire, due)  # more than that: half a minute later
        if past:
            await self._database.write(self.rows.end_past, now_ms)

    def _expire(self, tx: Transaction, items: Sequence[bytes]) -> Sequence[None]:
        for row in items:
            pickup = self.rows.locked(tx.connection, row)
            if pickup is None or pickup.state is not PickupState.OPEN or pickup.expires_at_ms > tx.now_ms:
                continue
            self.rows.end_sessions(tx, row)
            self.end(tx, pickup, PickupState.EXPIRED, "expired")
            self._alerts.withdraw_pickup(tx, row)
            if not pickup.opened_at_ms:
                self._alerts.queue(tx, [occasion(pickup, self._keys.node_id, "pickup_expired")])
        return [None] * len(items)


def occasion(pickup: StoredPickup, node: NodeId, name: str) -> Occasion:
    """Why the sender of such a letter is alerted."""
    return Occasion(
        pickup.mailbox,
        name,
        pickup.row,
        pickup.letter_class,
        letter=LetterId(pickup.letter_id),
        peer=node,
        tag=pickup.tag,
    )
