"""What people change of their own account, of a mailbox or of the staff: confirmed with the password, refused in words.

Spec: spec/web.md, 9; spec/staff.md, 3.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import Final

from starlette.datastructures import FormData
from starlette.requests import Request

from node.errors import LimitError, LockedError, StateError, WrongSecretError
from node.vault.factor_rows import Factor, FactorKind
from node.vault.password_strength import password_fault
from node.web.pages.log_in import MAX_PASSWORD_BYTES
from node.world import World
from protocol.crypto import Secret

__all__ = ["RefusedFormError", "add_factor", "apart", "new_password", "present_password", "row_in"]

_ROW_HEX: Final = 32


class RefusedFormError(Exception):
    """A form was filled in wrongly. what: which text the page shows."""

    def __init__(self, what: str) -> None:
        super().__init__(what)
        self.what = what


async def present_password(form: FormData, check: Callable[[Secret], Awaitable[object]]) -> Secret:
    """The present password, typed again. check: WrongSecretError, LockedError; a wrong one counts as at the log-in."""
    present = Secret(str(form.get("password", "")).encode()[:MAX_PASSWORD_BYTES])
    try:
        await check(present)
    except (WrongSecretError, LockedError):
        raise RefusedFormError("wrong") from None
    return present


async def new_password(world: World, form: FormData, present: Secret, about: Sequence[str]) -> Secret:
    """The new one, typed twice. about: words that it must not be made of."""
    new = Secret(str(form.get("new_password", "")).encode())
    if form.get("new_password") != form.get("again"):
        raise RefusedFormError("differ")
    if new.reveal() == present.reveal():
        raise RefusedFormError("same")
    fault = await world.run_blocking(password_fault, new, about)
    if fault is not None:
        raise RefusedFormError(fault.value)
    return new


async def add_factor(form: FormData, fault: str, add: Callable[[FormData], Awaitable[list[str]]]) -> list[str]:
    """Add a second factor; recovery codes to be shown, if there were none. fault: what a wrong answer is called."""
    try:
        return await add(form)
    except LimitError:
        raise RefusedFormError("many") from None
    except (WrongSecretError, StateError):
        raise RefusedFormError(fault) from None


def apart(present: Sequence[Factor]) -> tuple[list[Factor], int | None]:
    """An account's factors, and how many recovery codes are left beside them; None where there are none."""
    codes = [factor for factor in present if factor.kind is FactorKind.CODES]
    return [factor for factor in present if factor.kind is not FactorKind.CODES], codes[0].codes_left if codes else None


def row_in(request: Request) -> bytes:
    """The row that a path names; empty for what is none."""
    text = request.path_params["row"]
    try:
        return bytes.fromhex(text) if len(text) == _ROW_HEX else b""
    except ValueError:
        return b""
