"""Who is logged in: the cookie, its session, and the token that forms carry. Spec: spec/web.md, 2.

One implementation for mailboxes and for the staff; what differs is behind `Door` (node/web/doors.py).
"""

from __future__ import annotations

import base64
import binascii
import hmac
from dataclasses import dataclass
from typing import Final, Generic, Protocol, TypeVar

from starlette.requests import HTTPConnection
from starlette.responses import Response

from node.errors import CoffreError
from node.vault.access import OpenMailbox
from node.vault.accounts import Account
from node.vault.database import Database
from node.vault.factor_rows import FactorKind
from node.vault.login_tries import LoginTries
from node.vault.second_factors import SecondFactors
from node.vault.session_rows import (
    TOKEN_BYTES,
    NewSession,
    Pending,
    SessionLine,
    SessionRows,
    Stage,
    StoredSession,
)
from protocol.crypto import Secret, constant_time_equal

__all__ = [
    "FORM_COOKIE",
    "MAILBOX_COOKIES",
    "SESSION_COOKIE",
    "Cookies",
    "Door",
    "FormToken",
    "LoginRefusedError",
    "Session",
    "SessionOf",
    "Sessions",
    "SessionsOf",
    "cookie_text",
    "cookie_token",
    "session_cookie",
]

A = TypeVar("A", bound=Account)
SESSION_COOKIE: Final = "__Host-coffre"
FORM_COOKIE: Final = "__Host-coffre-form"
_LASTS_MS: Final = 12 * 3_600_000
"""A working day; who works longer logs in once more."""
_FACTOR_LASTS_MS: Final = 5 * 60_000
_HALF_OPEN_LASTS_MS: Final = 30 * 60_000
"""To read a charter, or to set up an authenticator."""
_HALF_OPEN: Final = frozenset(Stage) - {Stage.OPEN}


@dataclass(frozen=True, slots=True)
class Cookies:
    """What the cookies of one sort of accounts are called, and for which pages browsers send them."""

    session: str
    form: str
    path: str

    def set_session(self, response: Response, value: str) -> None:
        """Hand the session's cookie over; an empty value takes it back."""
        session_cookie(response, self.session, value, path=self.path)

    def set_form(self, response: Response, value: str) -> None:
        """The same for the cookie of who is not logged in."""
        session_cookie(response, self.form, value, path=self.path)


MAILBOX_COOKIES: Final = Cookies(SESSION_COOKIE, FORM_COOKIE, "/")


class LoginRefusedError(CoffreError):
    """Wrong name or password, or locked: one answer for all, so that it tells nobody which mailboxes there are."""

    code = "login_refused"

    @classmethod
    def for_any_reason(cls) -> LoginRefusedError:
        """The one text there is."""
        return cls("wrong name or password, or too many tries", hint="try again, or ask your office")


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
class SessionOf(Generic[A]):
    """A session of this request."""

    stored: StoredSession[A]
    form: FormToken

    @property
    def opened(self) -> A:
        """The account that logged in: a mailbox is opened by it."""
        return self.stored.opened

    @property
    def stage(self) -> Stage:
        """What the log-in still lacks."""
        return self.stored.stage


class Door(Protocol[A]):
    """How one sort of accounts logs in: what is checked, and what is still due once it was right."""

    async def enter(self, typed: str, password: Secret) -> A:
        """The account that this name and password open, which is not on record yet. LoginRefusedError for any reason
        why they do not, after the same work.
        """
        ...

    async def asks_factor(self, account: A) -> bool:
        """Whether a second factor is asked for that the account has."""
        ...

    async def complete(self, account: A) -> None:
        """All that proves who asks was right: on record, and earlier failures are forgotten."""
        ...

    async def due(self, account: A) -> Stage:
        """What is still to be done, who asks being known."""
        ...

    async def is_password(self, account: A, password: Secret) -> bool:
        """Whether this is its present password: no try, so nothing is counted."""
        ...

    async def change_password(self, account: A, password: Secret) -> None:
        """Another password; all sessions end."""
        ...


class SessionsOf(Generic[A]):
    """Begins, finds and ends sessions of one sort of accounts. idle_ms: so long one lives without a request.

    A log-in goes through stages: second factor, own password, charter of use, setting up a second factor. Until all
    that is due is done the session is half-open, and `find` finds none. Each step makes a new session and cookie.
    """

    def __init__(
        self,
        *,
        database: Database,
        rows: SessionRows[A],
        door: Door[A],
        tries: LoginTries,
        factors: SecondFactors,
        cookies: Cookies,
        idle_ms: int,
    ) -> None:
        self._database = database
        self._rows = rows
        self._tries = tries
        self.door = door
        self.factors = factors
        self.cookies = cookies
        self.idle_ms = idle_ms

    async def begin(self, typed: str, password: Secret, *, client: str, following: str) -> str:
        """Take a name and a password, and return the new cookie's value. LoginRefusedError.

        client: whose tries are counted, beside the account's. following: the page that the log-in leads to.
        """
        if not await self._database.write(self._tries.take, client):
            raise LoginRefusedError.for_any_reason()
        opened = await self.door.enter(typed, password)
        await self._database.write(self._tries.give_back, client)
        if await self.door.asks_factor(opened):
            return await self._write(opened, Stage.FACTOR, following)
        await self.door.complete(opened)
        return await self._write(opened, await self.door.due(opened), following)

    async def advance(self, session: SessionOf[A]) -> str:
        """Go on from a step that is done to the next that is due, and return the new cookie's value."""
        stored = session.stored
        if stored.stage is Stage.FACTOR:
            await self.door.complete(stored.opened)
        stage = await self.door.due(stored.opened)
        return await self._write(stored.opened, stage, stored.following, replaces=stored.row)

    async def restart(self, opened: A, session: SessionOf[A]) -> str:
        """A session for a browser whose log-in ended with its old password, at the step that is due."""
        return await self._write(opened, await self.door.due(opened), session.stored.following)

    async def _write(self, opened: A, stage: Stage, following: str, *, replaces: bytes | None = None) -> str:
        token = self._database.world.random_bytes(TOKEN_BYTES)
        lasts_ms = {Stage.OPEN: _LASTS_MS, Stage.FACTOR: _FACTOR_LASTS_MS}.get(stage, _HALF_OPEN_LASTS_MS)
        new = NewSession(
            keys=self._rows.keys_of(token),
            opened=opened,
            lasts_ms=lasts_ms,
            stage=stage,
            following=following,
            replaces=replaces,
        )
        await self._database.write(self._rows.begin, new)
        return cookie_text(token)

    # -- the second factor

    async def check_code(self, session: SessionOf[A], code: str, *, client: str) -> FactorKind | None:
        """What a code is worth for a half-open session; None: wrong, locked, or too many tries from this client."""
        if not await self._database.write(self._tries.take, client):
            return None
        kind = await self.factors.check_code(session.opened, code)
        if kind is not None:
            await self._database.write(self._tries.give_back, client)
        return kind

    async def ask(self, session: SessionOf[A], purpose: str, value: bytes) -> None:
        """Note what a session is asked: it alone can answer, once."""
        await self._database.write(self._rows.ask, Pending(row=session.stored.row, purpose=purpose, value=value))

    async def asked(self, session: SessionOf[A], purpose: str) -> bytes | None:
        """What the session was asked for this purpose and has not answered."""
        now_ms = self._database.world.now_ms()
        return await self._database.read(self._rows.asked, session.stored.row, purpose, now_ms)

    async def take_answer(self, session: SessionOf[A], purpose: str) -> bytes | None:
        """As `asked`; it is not asked any more."""
        return await self._database.write(self._rows.take_answer, Pending(row=session.stored.row, purpose=purpose))

    # -- finding and ending

    async def of_account(self, opened: A) -> list[SessionLine]:
        """The open sessions of an account, the newest first."""
        now_ms = self._database.world.now_ms()
        return await self._database.read(self._rows.of_account, opened.id, now_ms, self.idle_ms)

    async def end_one(self, opened: A, row: bytes) -> bool:
        """End one of an account's sessions; whether there was one."""
        return await self._database.write(self._rows.end_one, (opened.id, row))

    async def find(self, request: HTTPConnection, *, is_use: bool = True) -> SessionOf[A] | None:
        """The open session of a request; None if it has none that lives, or one that is half-open.

        is_use: False for what a page asks by itself: it must not keep an idle session alive.
        """
        return await self._find(request, frozenset({Stage.OPEN}), is_use=is_use)

    async def find_half_open(self, request: HTTPConnection) -> SessionOf[A] | None:
        """The half-open session of a request."""
        return await self._find(request, _HALF_OPEN)

    async def _find(
        self, request: HTTPConnection, stages: frozenset[Stage], *, is_use: bool = True
    ) -> SessionOf[A] | None:
        token = cookie_token(request.cookies.get(self.cookies.session, ""))
        if token is None:
            return None
        keys = self._rows.keys_of(token)
        now_ms = self._database.world.now_ms()
        stored = await self._database.read(self._rows.find, keys, now_ms, self.idle_ms, stages)
        if stored is None:
            return None
        if is_use and self._rows.wants_touch(stored, now_ms):
            await self._database.write(self._rows.touch, stored.row)
        return SessionOf(stored, FormToken(keys.form_key))

    async def end(self, session: SessionOf[A]) -> None:
        """Log out."""
        await self._database.write(self._rows.end, session.stored.row)

    def visitor_form(self, request: HTTPConnection, cookie: str = "") -> tuple[FormToken, str | None]:
        """The form token of a request without a session, and the value to set for that cookie if it has none yet.

        cookie: its name; empty for the log-in's.
        """
        secret = cookie_token(request.cookies.get(cookie or self.cookies.form, ""))
        if secret is not None:
            return FormToken(Secret(secret)), None
        secret = self._database.world.random_bytes(TOKEN_BYTES)
        return FormToken(Secret(secret)), cookie_text(secret)


Session = SessionOf[OpenMailbox]
Sessions = SessionsOf[OpenMailbox]


def session_cookie(response: Response, name: str, value: str, *, path: str = "/") -> None:
    """Set a cookie for this site alone, unread by scripts, until the browser ends; an empty value takes it back."""
    response.set_cookie(
        name, value, max_age=None if value else 0, path=path, secure=True, httponly=True, samesite="strict"
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
