"""What can go wrong in a node, each with one line for people and a code for machines."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from directory_sync.lookalikes import Caution

__all__ = [
    "BackupError",
    "BundleError",
    "CautionError",
    "CoffreError",
    "ConfigError",
    "DraftFileGoneError",
    "FolderError",
    "LimitError",
    "LockedError",
    "MovedError",
    "NotFoundError",
    "RecipientError",
    "StateError",
    "StoreError",
    "TimestampError",
    "WrongSecretError",
]


class CoffreError(Exception):
    """A problem to tell a person: what happened, to which id, and what to do next.

    code: stable word for `--json` output. message: one line. hint: what to do next, one line, may be empty.
    """

    code = "error"

    def __init__(self, message: str, *, hint: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint


class BackupError(CoffreError):
    """A backup cannot be written, is no backup, is damaged, or cannot be restored here."""

    code = "backup"


class BundleError(CoffreError):
    """A bundle cannot be written, is none, is damaged, or is not for this node."""

    code = "bundle"


class ConfigError(CoffreError):
    """coffre.toml, an option or an argument is not usable."""

    code = "config"


class FolderError(CoffreError):
    """The node's folder: missing, of a newer version, damaged, or already in use by a running node."""

    code = "folder"


class StoreError(CoffreError):
    """The database or the payload store failed."""

    code = "store"


class TimestampError(CoffreError):
    """A timestamping authority that is down, refused, or answered something else than was asked."""

    code = "timestamp"


class WrongSecretError(CoffreError):
    """A password, passphrase or recovery key that does not open what it should."""

    code = "wrong_secret"


class LockedError(CoffreError):
    """A mailbox is locked after repeated failures."""

    code = "locked"


class NotFoundError(CoffreError):
    """No such mailbox, letter, peer or outbox row."""

    code = "not_found"


class RecipientError(CoffreError):
    """A recipient's address is unknown, closed, or accepts no such letter. `nearest`: known addresses alike."""

    code = "recipient"

    def __init__(self, message: str, *, hint: str = "", nearest: tuple[str, ...] = ()) -> None:
        super().__init__(message, hint=hint)
        self.nearest = nearest


class CautionError(CoffreError):
    """A recipient is like another one, or shares a key with one, and nobody said to send all the same.

    cautions: what there is to know (directory_sync/lookalikes.py), those that ask and those that only tell.
    """

    code = "caution"

    def __init__(self, message: str, *, hint: str, cautions: tuple[Caution, ...]) -> None:
        super().__init__(message, hint=hint)
        self.cautions = cautions


class MovedError(RecipientError):
    """A recipient's mailbox was closed, and its institution says where to write instead. address: the old one."""

    code = "moved"

    def __init__(self, address: str, moved_to: str) -> None:
        super().__init__(
            f"{address} is closed; it moved to {moved_to}", hint=f"write to {moved_to}", nearest=(moved_to,)
        )
        self.address = address
        self.moved_to = moved_to


class DraftFileGoneError(CoffreError):
    """A file of a draft is no longer there: a backup was restored, or the letter that it stood in was erased."""

    code = "draft_file_gone"


class LimitError(CoffreError):
    """A size, quota or disk limit; told before anything is read or stored."""

    code = "limit"


class StateError(CoffreError):
    """What was asked does not fit the present state (withdrawing an opened letter, closing twice)."""

    code = "state"
