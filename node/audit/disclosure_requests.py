"""What auditors of the staff ask to be shown, and what administrators decide. Spec: spec/desks.md, 3."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Any, Final

import sqlalchemy as sa

from node.audit.disclosing import letter_tags
from node.errors import ConfigError, LimitError, NotFoundError, StateError
from node.vault import schema
from node.vault.acting import who_acts
from node.vault.database import Database, Transaction
from node.vault.reading import prefix_range
from node.vault.sealing import RowKeys, new_row_id
from protocol.codec import Value, check_binary
from protocol.details import Details
from protocol.disclosure import Scope, parse_scope
from protocol.ids import LeafTag, StaffId
from protocol.logleaf import EventKind

__all__ = ["DEFAULT_DAYS", "MAX_GRANT_DAYS", "DisclosureRequests", "Grant", "Request", "RequestState"]

DEFAULT_DAYS: Final = 30
MAX_GRANT_DAYS: Final = 396
_MAX_REASON_BYTES: Final = 1000
_MAX_WAITING: Final = 20
_MAX_TAGS: Final = 1000
_DAY_MS: Final = 86_400_000
_TABLE: Final = schema.disclosure_requests


class RequestState(StrEnum):
    """How far a request is."""

    ASKED = "asked"
    GRANTED = "granted"
    DENIED = "denied"


@dataclass(frozen=True, slots=True)
class Grant:
    """What may be shown: a scope; of a letter, by its leaves' tags too, since not each of them names it."""

    scope: Scope
    tags: frozenset[LeafTag]

    def may_cover(self, time_ms: int, tag: LeafTag) -> bool:
        """Whether a leaf can be in it, before its details are looked at."""
        if self.scope.letter is not None:
            return tag in self.tags
        return self.scope.from_ms <= time_ms < self.scope.until_ms

    def covers(self, time_ms: int, tag: LeafTag, said: Details) -> bool:
        """Whether a leaf is in it."""
        if not self.may_cover(time_ms, tag):
            return False
        return self.scope.mailbox is None or self.scope.mailbox in (said.mailbox, said.actor)


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """One request. by: who decided, None for the operator at the terminal. until_ms: end of a grant."""

    id: bytes
    account: StaffId
    asked_at_ms: int
    decided_at_ms: int
    until_ms: int
    scope: Scope
    reason: str
    state: RequestState
    by: StaffId | None
    answer: str
    tags: frozenset[LeafTag]

    def is_in_force(self, now_ms: int) -> bool:
        """Whether what was asked for may be shown now."""
        return self.state is RequestState.GRANTED and now_ms < self.until_ms

    @property
    def grant(self) -> Grant:
        """What may be shown while it is in force."""
        return Grant(self.scope, self.tags)

    @property
    def digest(self) -> bytes:
        """What the log commits to."""
        return hashlib.sha256(f"{self.scope.text}\n{self.reason}".encode()).digest()


@dataclass(frozen=True, slots=True)
class _Decision:
    id: bytes
    state: RequestState
    days: int
    answer: str
    by: StaffId | None
    tags: frozenset[LeafTag] = frozenset()


class DisclosureRequests:
    """Asks, decides, lists; each step is on record."""

    def __init__(self, database: Database, keys: RowKeys) -> None:
        self._database = database
        self._keys = keys

    # -- reading

    async def all(self) -> list[Request]:
        """Every request: those that wait first, then newest first."""
        query = sa.select(_TABLE)
        found = await self._database.read(self._load, query)
        return sorted(found, key=lambda item: (item.state is not RequestState.ASKED, -item.asked_at_ms))

    async def of_account(self, account: StaffId) -> list[Request]:
        """One auditor's requests, newest first."""
        query = sa.select(_TABLE).where(_TABLE.c.account == self._blinded(account))
        return await self._database.read(self._load, query.order_by(_TABLE.c.asked_at_ms.desc()))

    async def in_force(self, account: StaffId) -> list[Grant]:
        """What may be shown to an auditor now."""
        now_ms = self._database.world.now_ms()
        return [item.grant for item in await self.of_account(account) if item.is_in_force(now_ms)]

    async def find(self, text: str) -> Request:
        """A request by the beginning of its id. NotFoundError if not exactly one."""
        query = sa.select(_TABLE).where(*prefix_range(_TABLE.c.id, text))
        found = await self._database.read(self._load, query.limit(2))
        if len(found) != 1:
            raise NotFoundError(f"no single request has the id {text}", hint="see: coffre audit requests")
        return found[0]

    def _load(self, connection: sa.Connection, query: sa.Select[Any]) -> list[Request]:
        return [self._open(row) for row in connection.execute(query)]

    def _blinded(self, account: StaffId) -> bytes:
        return self._keys.blind("staff", account)

    def _open(self, row: Any) -> Request:
        fields = self._keys.open_map("disclosure_requests", row.id, "sealed", row.sealed)
        return Request(
            id=row.id,
            account=StaffId(fields.fixed("account", StaffId.LENGTH)),
            asked_at_ms=row.asked_at_ms,
            decided_at_ms=row.decided_at_ms,
            until_ms=row.until_ms,
            scope=parse_scope(fields.text("scope", high=200)),
            reason=fields.text("reason", high=_MAX_REASON_BYTES),
            state=RequestState(fields.choice("state", list(RequestState))),
            by=StaffId(fields.fixed("by", StaffId.LENGTH)) if "by" in fields else None,
            answer=fields.text("answer", high=_MAX_REASON_BYTES) if "answer" in fields else "",
            tags=frozenset(
                LeafTag(check_binary(item, "tag", LeafTag.LENGTH, LeafTag.LENGTH))
                for item in (fields.items("tags", high=_MAX_TAGS) if "tags" in fields else ())
            ),
        )

    def _sealed(self, item: Request) -> bytes:
        fields: dict[str, Value] = {
            "account": bytes(item.account),
            "scope": item.scope.text,
            "reason": item.reason,
            "state": item.state.value,
            "by": None if item.by is None else bytes(item.by),
            "answer": item.answer or None,
            "tags": [bytes(tag) for tag in sorted(item.tags)] or None,
        }
        return self._keys.seal_map("disclosure_requests", item.id, "sealed", fields)

    # -- asking

    async def ask(self, account: StaffId, scope: Scope, reason: str) -> Request:
        """An auditor asks. ConfigError without a reason; LimitError while too many wait."""
        reason = _checked(reason, "say why", low=1)
        now_ms = self._database.world.now_ms()
        item = Request(
            id=new_row_id(now_ms, self._database.world.random_bytes),
            account=account,
            asked_at_ms=now_ms,
            decided_at_ms=0,
            until_ms=0,
            scope=scope,
            reason=reason,
            state=RequestState.ASKED,
            by=None,
            answer="",
            tags=frozenset(),
        )
        await self._database.write(self._ask, item)
        return item

    def _ask(self, tx: Transaction, items: Sequence[Request]) -> Sequence[Exception | None]:
        results: list[Exception | None] = []
        for item in items:
            account = self._blinded(item.account)
            count = sa.select(sa.func.count()).where(_TABLE.c.account == account, _TABLE.c.decided_at_ms == 0)
            if tx.connection.execute(count).scalar_one() >= _MAX_WAITING:
                results.append(LimitError(f"{_MAX_WAITING} requests wait already", hint="wait until they are decided"))
                continue
            tx.connection.execute(
                _TABLE.insert().values(
                    id=item.id,
                    account=account,
                    asked_at_ms=item.asked_at_ms,
                    decided_at_ms=0,
                    until_ms=0,
                    sealed=self._sealed(item),
                )
            )
            self._log(tx, EventKind.DISCLOSURE_ASKED, item, item.account)
            results.append(None)
        return results

    # -- deciding

    async def grant(self, request: bytes, *, days: int, answer: str = "") -> None:
        """Allow it for so many days. NotFoundError; StateError if it was decided, or is the own request."""
        if not 1 <= days <= MAX_GRANT_DAYS:
            raise ConfigError(f"a grant lasts 1 to {MAX_GRANT_DAYS} days", hint="grant again when it ends")
        answer = _checked(answer, "the answer")
        letter = (await self.find(request.hex())).scope.letter
        tags: frozenset[LeafTag] = frozenset()
        if letter is not None:
            found = await self._database.read(letter_tags, self._keys, letter)
            tags = frozenset(map(LeafTag, found))
        decision = _Decision(request, RequestState.GRANTED, days, answer, who_acts(), tags)
        await self._database.write(self._decide, decision)

    async def deny(self, request: bytes, *, answer: str = "") -> None:
        """Refuse it. NotFoundError, StateError as `grant`."""
        answer = _checked(answer, "the answer")
        await self._database.write(self._decide, _Decision(request, RequestState.DENIED, 0, answer, who_acts()))

    def _decide(self, tx: Transaction, items: Sequence[_Decision]) -> Sequence[Exception | None]:
        results: list[Exception | None] = []
        for item in items:
            try:
                self._decide_one(tx, item)
            except (NotFoundError, StateError) as error:
                results.append(error)
            else:
                results.append(None)
        return results

    def _decide_one(self, tx: Transaction, item: _Decision) -> None:
        query = sa.select(_TABLE).where(_TABLE.c.id == item.id).with_for_update()
        row = tx.connection.execute(query).one_or_none()
        if row is None:
            raise NotFoundError("there is no such request", hint="see: coffre audit requests")
        known = self._open(row)
        if known.state is not RequestState.ASKED:
            raise StateError(f"the request was decided before: {known.state.value}")
        if item.by == known.account:
            raise StateError("nobody decides on their own request", hint="another administrator does")
        until_ms = tx.now_ms + item.days * _DAY_MS if item.days else 0
        decided = replace(
            known,
            decided_at_ms=tx.now_ms,
            until_ms=until_ms,
            state=item.state,
            by=item.by,
            answer=item.answer,
            tags=item.tags,
        )
        values = {"decided_at_ms": tx.now_ms, "until_ms": until_ms, "sealed": self._sealed(decided)}
        tx.connection.execute(_TABLE.update().where(_TABLE.c.id == item.id).values(**values))
        kind = EventKind.DISCLOSURE_GRANTED if item.days else EventKind.DISCLOSURE_DENIED
        self._log(tx, kind, decided, None)

    def _log(self, tx: Transaction, kind: EventKind, item: Request, staff: StaffId | None) -> None:
        details = Details(node=self._keys.node_id, staff=staff, code=item.id.hex(), digest=item.digest)
        tx.log.append(kind, details)


def _checked(text: str, what: str, *, low: int = 0) -> str:
    text = text.replace("\r\n", "\n").strip()
    if not low <= len(text.encode()) <= _MAX_REASON_BYTES:
        raise ConfigError(f"{what}, in at most {_MAX_REASON_BYTES} bytes")
    return text
