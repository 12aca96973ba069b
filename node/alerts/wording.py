"""How an institution words the mails that go out: its own subject and text for each language, with placeholders.

Spec: spec/alerts.md, 6. There is no placeholder for anything of a letter.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from string import Formatter
from typing import Final

import sqlalchemy as sa

from node.errors import ConfigError
from node.vault.database import Transaction
from node.vault.node_state import NodeState
from protocol.codec import Value
from protocol.details import Details
from protocol.ids import NodeId
from protocol.logleaf import EventKind

__all__ = [
    "DEFAULT_ALERT",
    "DEFAULT_PICKUP",
    "DEFAULT_WORDINGS",
    "LANGUAGES",
    "PLACEHOLDERS",
    "REQUIRED",
    "MailSort",
    "NewWording",
    "Wording",
    "WordingRows",
    "Wordings",
    "check_wording",
    "defaults",
    "filled",
]

LANGUAGES: Final = ("fr", "en")
MAX_SUBJECT_CHARACTERS: Final = 150
MAX_BODY_CHARACTERS: Final = 4000
_STATE: Final = "mail_wordings"


class MailSort(StrEnum):
    """Mails that an institution may word itself."""

    ALERT = "alert"
    PICKUP = "pickup"


PLACEHOLDERS: Final = {
    MailSort.ALERT: frozenset({"institution", "mailbox", "event", "link"}),
    MailSort.PICKUP: frozenset({"institution", "link", "until"}),
}
REQUIRED: Final = {
    MailSort.ALERT: frozenset({"mailbox", "event"}),
    MailSort.PICKUP: frozenset({"link", "until"}),
}
"""What the text must have; a subject needs none, and may have `institution` and, of an alert, `event`."""
_IN_SUBJECT: Final = frozenset({"institution", "event"})


@dataclass(frozen=True, slots=True)
class Wording:
    """Subject and text in one language."""

    subject: str
    body: str


DEFAULT_PICKUP: Final = {
    "fr": Wording(
        "Un courrier sécurisé vous attend ({institution})",
        (
            "Bonjour,\n\n{institution} vous a écrit un courrier sécurisé. Pour le lire, ouvrez ce lien :\n\n{link}\n\n"
            "La page vous demandera un code, que l'expéditeur vous donne par un autre moyen (téléphone ou SMS). Sans "
            "ce code, le lien n'ouvre rien. Si la page ne reprend pas le lien d'elle-même, copiez-le en entier dans "
            "son premier champ.\n\nDisponible jusqu'au {until}. Si vous n'attendez rien de cet établissement, ne tenez "
            "pas compte de ce message. Vous pouvez répondre sur la page, pas à ce message.\n"
        ),
    ),
    "en": Wording(
        "A secure letter is waiting for you ({institution})",
        (
            "Hello,\n\n{institution} has written you a secure letter. To read it, open this link:\n\n{link}\n\n"
            "The page asks for a code, which the sender gives you by another way (telephone or text message). Without "
            "the code the link opens nothing. If the page does not fill the link in by itself, copy all of it into the "
            "first field.\n\nAvailable until {until}. If you expect nothing from this institution, ignore this "
            "message. You can answer on the page, not to this message.\n"
        ),
    ),
}


DEFAULT_ALERT: Final = {
    "fr": Wording("{event}", "{institution} (Coffre)\n\n{event} : {mailbox}\nConnectez-vous pour le lire.\n\n{link}\n"),
    "en": Wording("{event}", "{institution} (Coffre)\n\n{event}: {mailbox}\nLog in to read it.\n\n{link}\n"),
}
"""What the alert says where nobody worded it, as a beginning to word it from."""


def defaults(sort: MailSort) -> Mapping[str, Wording]:
    """The program's own words, by language."""
    return DEFAULT_ALERT if sort is MailSort.ALERT else DEFAULT_PICKUP


@dataclass(frozen=True, slots=True)
class Wordings:
    """The institution's own wordings; what is not there is the program's."""

    own: Mapping[tuple[MailSort, str], Wording] = field(default_factory=dict)

    def of(self, sort: MailSort) -> Mapping[str, Wording] | None:
        """By language, those that nobody worded as the program's; None where nobody worded any."""
        if not any((sort, code) in self.own for code in LANGUAGES):
            return None
        return {code: self.own.get((sort, code), defaults(sort)[code]) for code in LANGUAGES}


DEFAULT_WORDINGS: Final = Wordings()


@dataclass(frozen=True, slots=True, kw_only=True)
class NewWording:
    """A wording to be kept. wording: None to go back to the program's."""

    sort: MailSort
    language: str
    wording: Wording | None


def filled(wording: Wording, values: Mapping[str, str]) -> tuple[str, str]:
    """Subject and text with their placeholders filled in; lines of a subject become one."""
    subject = wording.subject.format_map(values)
    return " ".join(subject.split()), wording.body.format_map(values)


def check_wording(sort: MailSort, wording: Wording) -> Wording:
    """The same, checked, so that it can be filled in later whatever the mail. ConfigError."""
    subject, body = wording.subject.strip(), wording.body.replace("\r\n", "\n").strip() + "\n"
    if not subject or len(subject) > MAX_SUBJECT_CHARACTERS or not subject.isprintable():
        raise ConfigError(f"a subject is one line of 1 to {MAX_SUBJECT_CHARACTERS} characters")
    if len(body) > MAX_BODY_CHARACTERS or not body.replace("\n", "").isprintable():
        raise ConfigError(f"a text has at most {MAX_BODY_CHARACTERS} characters, and no others than printable ones")
    _check_names(subject, PLACEHOLDERS[sort] & _IN_SUBJECT, "the subject")
    used = _check_names(body, PLACEHOLDERS[sort], "the text")
    missing = sorted(REQUIRED[sort] - used)
    if missing:
        raise ConfigError(f"the text lacks {', '.join('{' + name + '}' for name in missing)}")
    return Wording(subject, body)


def _check_names(text: str, allowed: frozenset[str], what: str) -> set[str]:
    try:
        parts = list(Formatter().parse(text))
    except ValueError as error:
        raise ConfigError(f"{what} has a brace without its other half", hint="{{ stands for a brace") from error
    used = set()
    for _, name, spec, conversion in parts:
        if name is None:
            continue
        # Nothing but the bare name: "{link.x}" or "{link!r:>99}" would reach into what is filled in.
        if name not in allowed or spec or conversion:
            known = ", ".join("{" + item + "}" for item in sorted(allowed))
            raise ConfigError(f"{what} has {{{name}}}, which stands for nothing there", hint=f"there are: {known}")
        used.add(name)
    return used


class WordingRows:
    """The institution's own wordings, in the node's state."""

    def __init__(self, state: NodeState, node_id: NodeId) -> None:
        self._state = state
        self._node = node_id

    def all(self, connection: sa.Connection) -> Wordings:
        """Those that there are."""
        fields = self._state.find(connection, _STATE)
        if fields is None:
            return DEFAULT_WORDINGS
        own = {}
        for sort in MailSort:
            for code in LANGUAGES:
                if f"{sort.value}.{code}.body" in fields:
                    subject = fields.text(f"{sort.value}.{code}.subject", high=4 * MAX_SUBJECT_CHARACTERS)
                    body = fields.text(f"{sort.value}.{code}.body", high=4 * MAX_BODY_CHARACTERS)
                    own[sort, code] = Wording(subject, body)
        return Wordings(own)

    def set(self, tx: Transaction, items: Sequence[NewWording]) -> Sequence[None]:
        """Keep wordings, on record. They were checked (`check_wording`)."""
        own = dict(self.all(tx.connection).own)
        for item in items:
            place = (item.sort, item.language)
            if item.wording is None:
                own.pop(place, None)
            else:
                own[place] = item.wording
            code = f"{item.sort.value}, {item.language}" + (", default" if item.wording is None else "")
            tx.log.append(EventKind.ALERT_TEXT_CHANGED, Details(node=self._node, code=code))
        fields: dict[str, Value] = {}
        for (sort, language), wording in own.items():
            fields[f"{sort.value}.{language}.subject"] = wording.subject
            fields[f"{sort.value}.{language}.body"] = wording.body
        self._state.set(tx, _STATE, fields)
        return [None] * len(items)
