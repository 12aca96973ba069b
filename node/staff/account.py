"""What a staff account is: a name and roles. It opens no mailbox. Spec: spec/staff.md, 2."""

from __future__ import annotations

import unicodedata
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from node.errors import ConfigError
from protocol.ids import StaffId

__all__ = ["MAX_NAME_BYTES", "StaffAccount", "StaffRole", "StaffSeat", "staff_name"]

MAX_NAME_BYTES: Final = 100


class StaffRole(StrEnum):
    """What an account may do; one may have several."""

    ADMINISTRATOR = "administrator"
    MAINTAINER = "maintainer"
    AUDITOR = "auditor"


@dataclass(frozen=True, slots=True)
class StaffSeat:
    """Whose session it is. What the account may do is read anew for each request."""

    id: StaffId
    login_name: str


@dataclass(frozen=True, slots=True, kw_only=True)
class StaffAccount:
    """One account as lists show it. has_first_password: it was handed out, and is to be replaced at the log-in."""

    id: StaffId
    name: str
    roles: frozenset[StaffRole]
    created_at_ms: int
    has_first_password: bool
    failed_logins: int
    locked_until_ms: int

    @property
    def seat(self) -> StaffSeat:
        """For its sessions."""
        return StaffSeat(self.id, self.name)


def staff_name(text: str) -> str:
    """A name as it is kept: NFC, lower case, no spaces at its ends. ConfigError for what is none."""
    name = unicodedata.normalize("NFC", text).strip().lower()
    if not name or not name.isprintable() or "@" in name or len(name.encode()) > MAX_NAME_BYTES:
        raise ConfigError(
            "a staff account's name is one line without @, of at most 100 bytes", hint="for example: camille.roche"
        )
    return name
