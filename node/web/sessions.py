"""Who is logged in: the cookie, its session, and the token that forms carry. Spec: spec/web.md, 2."""

from __future__ import annotations

import base64
import binascii
import hmac
from dataclasses import dataclass
from typing import Final, Literal

from starlette.requests import HTTPConnection
from starlette.responses import Response

from node.errors import CoffreError, ConfigError, LockedError, NotFoundError, StateError, WrongSecretError
from node.vault.access import OpenMailbox
from node.vault.charters import Charters
from node.vault.database import Database
from node.vault.factor_rows import FactorKind
from node.vault.login_tries import LoginTries
from node.vault.mailboxes import Mailboxes
from node.vault.second_factors import SecondFactors
from node.vault.session_rows import (
    TOKEN_BYTES,
    NewSession,
    Pending,
    SessionKeys,
    SessionLine,
    SessionRows,
    Stage,
    StoredSession,
)
from protocol.crypto import Secret, constant_time_equal
from protocol.ids import NodeId
from protocol.letter import normalise_address

__all__ = [
    "FORM_COOKIE",
    "SESSION_COOKIE",
    "FormToken",
    "LogInParts",
    "LoginRefusedError",
    "Session",
    "Sessions",
    "cookie_text",
    "cookie_token",
    "session_cookie",
]

SESSION_COOKIE: Final = "__Host-coffre"
FORM_COOKIE: Final = "__Host-coffre-form"
_LASTS_MS: Final = 12 * 3_600_000
"""A working day; who works longer logs in once more."""
_FACTOR_LASTS_MS: Final = 5 * 60_000
_HALF_OPEN_LASTS_MS: Final = 30 * 60_000
"""To read a charter, or to set up an authenticator."""
_HALF_OPEN: Final = frozenset(Stage) - {Stage.OPEN}


class LoginRefusedError(CoffreError):
    """Wrong name or password, or locked: one answer for all, so that it tells nobody which mailboxes there are."""

    code = "login_refused"


class FormToken:
    """What a request that changes something must carry, made from a secret that another site cannot read."""

    __slots__ = ("_key",)

    def __init__(self, key: Secret) -> None:
        self._key = key

    @property
    def text(self) -> str:
        """For a form's hidden field."""
        return cookie_text(hmac.digest(self._key.reveal(), b"form", "sha256"))

    def matches(self, given: str) -> bool:
        """Whether a request carries it."""
        return constant_time_equal(self.text.encode(), given.encode())


@dataclass(frozen=True, slots=True)
class Session:
    """A session of this request."""

    stored: StoredSession
    form: FormToken

    @property
    def opened(self) -> OpenMailbox:
        """The mailbox that logged in."""
        return self.stored.opened

    @property
    def stage(self) -> Stage:
        """What the log-in still lacks."""
        return self.stored.stage


@dataclass(frozen=True, slots=True, kw_only=True)
class LogInParts:
    """What a log-in is checked with. policy: whether a second factor is asked for."""

    mailboxes: Mailboxes
    tries: LoginTries
    factors: SecondFactors
    charters: Charters
    policy: Literal["off", "optional", "required"]


class Sessions:
    """Begins, finds and ends sessions. idle_ms: so long one lives without a request.

    A log-in goes through stages: second factor, own password, charter of use, setting up a second factor. Until all
    that is due is done the session is half-open, and `find` finds none. Each step makes a new session and cookie.
    """

    def __init__(
        self, *, node: NodeId, database: Database, rows: SessionRows, parts: LogInParts, domain: str, idle_ms: int
    ) -> None:
        self._node = node
        self._database = database
        self._rows = rows
        self._parts = parts
        self._mailboxes = parts.mailboxes
        self._domain = domain
        self.idle_ms = idle_ms

    async def begin(self, typed: str, password: Secret, *, client: str, following: str) -> str:
        """Take a name and a password, and return the new cookie's value. LoginRefusedError.

        typed: an address, or the part of it before @. client: whose tries are counted, beside the mailbox's. following:
        the page that the log-in leads to.
        """
        refused = LoginRefusedError("wrong name or password, or too many tries", hint="try again, or ask your office")
        if not await self._database.write(self._parts.tries.take, client):
            raise refused
        try:
            address = normalise_address(typed if "@" in typed else f"{typed}@{self._domain}")
        except ValueError:
            address = ""
        try:
            opened = await self._mailboxes.open(address, password, to_set_another=True, halfway=True)
        except NotFoundError:
            await self._mailboxes.spend_a_check(password)
            raise refused from None
        except (LockedError, StateError):
            await self._mailboxes.spend_a_check(password)
            raise refused from None
        except (WrongSecretError, ConfigError):
            raise refused from None
        await self._database.write(self._parts.tries.give_back, client)
        if self._parts.policy != "off" and await self._parts.factors.enrolled(opened.id):
            return await self._write(opened, Stage.FACTOR, following)
        await self._mailboxes.complete(opened)
        return await self._write(opened, await self._due(opened), following)

    async def advance(self, session: Session) -> str:
        """Go on from a step that is done to the next that is due, and return the new cookie's value."""
        stored = session.stored
        if stored.stage is Stage.FACTOR:
            await self._mailboxes.complete(stored.opened)
        stage = await self._due(stored.opened)
        return await self._write(stored.opened, stage, stored.following, replaces=stored.row)

    async def restart(self, opened: OpenMailbox, session: Session) -> str:
        """A session for a browser whose log-in ended with its old password, at the step that is due."""
        return await self._write(opened, await self._due(opened), session.stored.following)

    async def _due(self, opened: OpenMailbox) -> Stage:
        """What is still to be done, who asks being known."""
        parts = self._parts
        if await self._mailboxes.has_first_password(opened.id):
            return Stage.PASSWORD
        if parts.charters.exists and await parts.charters.accepted_at_ms(opened.id) is None:
            return Stage.CHARTER
        if parts.policy == "required" and not await parts.factors.enrolled(opened.id):
            return Stage.ENROL
        return Stage.OPEN

    async def _write(self, opened: OpenMailbox, stage: Stage, following: str, *, replaces: bytes | None = None) -> str:
        token = self._database.world.random_bytes(TOKEN_BYTES)
        lasts_ms = {Stage.OPEN: _LASTS_MS, Stage.FACTOR: _FACTOR_LASTS_MS}.get(stage, _HALF_OPEN_LASTS_MS)
        new = NewSession(
            keys=SessionKeys.of(token, self._node),
            opened=opened,
            lasts_ms=lasts_ms,
            stage=stage,
            following=following,
            replaces=replaces,
        )
        await self._database.write(self._rows.begin, new)
        return cookie_text(token)

    # -- the second factor

    async def check_code(self, session: Session, code: str, *, client: str) -> FactorKind | None:
        """What a code is worth for a half-open session; None: wrong, locked, or too many tries from this client."""
        if not await self._database.write(self._parts.tries.take, client):
            return None
        kind = await self._parts.factors.check_code(session.opened, code)
        if kind is not None:
            await self._database.write(self._parts.tries.give_back, client)
        return kind

    async def ask(self, session: Session, purpose: str, value: bytes) -> None:
        """Note what a session is asked: it alone can answer, once."""
        await self._database.write(self._rows.ask, Pending(row=session.stored.row, purpose=purpose, value=value))

    async def asked(self, session: Session, purpose: str) -> bytes | None:
        """What the session was asked for this purpose and has not answered."""
        now_ms = self._database.world.now_ms()
        return await self._database.read(self._rows.asked, session.stored.row, purpose, now_ms)

    async def take_answer(self, session: Session, purpose: str) -> bytes | None:
        """As `asked`; it is not asked any more."""
        return await self._database.write(self._rows.take_answer, Pending(row=session.stored.row, purpose=purpose))

    # -- finding and ending

    async def of_mailbox(self, opened: OpenMailbox) -> list[SessionLine]:
        """The open sessions of a mailbox, the newest first."""
        now_ms = self._database.world.now_ms()
        return await self._database.read(self._rows.of_mailbox, opened.id, now_ms, self.idle_ms)

    async def end_one(self, opened: OpenMailbox, row: bytes) -> bool:
        """End one of a mailbox's sessions; whether there was one."""
        return await self._database.write(self._rows.end_one, (opened.id, row))

    async def find(self, request: HTTPConnection, *, is_use: bool = True) -> Session | None:
        """The open session of a request; None if it has none that lives, or one that is half-open.

        is_use: False for what a page asks by itself: it must not keep an idle session alive.
        """
        return await self._find(request, frozenset({Stage.OPEN}), is_use=is_use)

    async def find_half_open(self, request: HTTPConnection) -> Session | None:
        """The half-open session of a request."""
        return await self._find(request, _HALF_OPEN)

    async def _find(self, request: HTTPConnection, stages: frozenset[Stage], *, is_use: bool = True) -> Session | None:
        token = cookie_token(request.cookies.get(SESSION_COOKIE, ""))
        if token is None:
            return None
        keys = SessionKeys.of(token, self._node)
        now_ms = self._database.world.now_ms()
        stored = await self._database.read(self._rows.find, keys, now_ms, self.idle_ms, stages)
        if stored is None:
            return None
        if is_use and self._rows.wants_touch(stored, now_ms):
            await self._database.write(self._rows.touch, stored.row)
        return Session(stored, FormToken(keys.form_key))

    async def end(self, session: Session) -> None:
        """Log out."""
        await self._database.write(self._rows.end, session.stored.row)

    def visitor_form(self, request: HTTPConnection, cookie: str = FORM_COOKIE) -> tuple[FormToken, str | None]:
        """The form token of a request without a session, and the value to set for that cookie if it has none yet."""
        secret = cookie_token(request.cookies.get(cookie, ""))
        if secret is not None:
            return FormToken(Secret(secret)), None
        secret = self._database.world.random_bytes(TOKEN_BYTES)
        return FormToken(Secret(secret)), cookie_text(secret)


def session_cookie(response: Response, name: str, value: str) -> None:
    """Set a cookie for this site alone, unread by scripts, until the browser ends; an empty value takes it back."""
    response.set_cookie(
        name, value, max_age=None if value else 0, path="/", secure=True, httponly=True, samesite="strict"
    )


def cookie_text(data: bytes) -> str:
    """A token as a cookie's value."""
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def cookie_token(text: str) -> bytes | None:
    """The token of a cookie's value; None for what is none."""
    if len(text) != 43 or not text.isascii():
        return None
    try:
        raw = base64.b64decode(text + "=", altchars=b"-_", validate=True)
    except (ValueError, binascii.Error):
        return None
    return raw if len(raw) == TOKEN_BYTES else None
