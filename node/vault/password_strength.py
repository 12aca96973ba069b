"""Whether somebody would guess a password: zxcvbn's estimate, offline. Spec: spec/web.md, 9."""

from __future__ import annotations

from collections.abc import Sequence
from enum import StrEnum
from typing import Final

from node.vault.ways import MIN_PASSWORD_CHARACTERS
from protocol.crypto import Secret

__all__ = ["PasswordFault", "password_fault"]

MAX_PASSWORD_BYTES: Final = 1024
# What it costs to look at grows with the length; from here on more letters change nothing.
_LOOKED_AT: Final = 72
_GOOD_SCORE: Final = 3
"""zxcvbn's "safely unguessable": 10^8 guesses and more, each of which costs an attacker Argon2id."""


class PasswordFault(StrEnum):
    """Why a password is not taken."""

    TOO_SHORT = "short"
    TOO_LONG = "long"
    GUESSED = "guessed"


def password_fault(password: Secret, about: Sequence[str]) -> PasswordFault | None:
    """What is wrong with a new password; None if nothing is. Takes milliseconds: call it in a thread.

    about: words that a guesser tries first: address, names, the institution.
    """
    # Only here: its lists take some megabytes, and a node without pages does not pay for them.
    from zxcvbn import zxcvbn

    text = password.reveal().decode("utf-8", "replace")
    if len(text) < MIN_PASSWORD_CHARACTERS:
        return PasswordFault.TOO_SHORT
    if len(password.reveal()) > MAX_PASSWORD_BYTES:
        return PasswordFault.TOO_LONG
    words = [word for item in about for word in (item, *item.replace("@", " ").replace(".", " ").split()) if word]
    return None if zxcvbn(text[:_LOOKED_AT], user_inputs=words)["score"] >= _GOOD_SCORE else PasswordFault.GUESSED
