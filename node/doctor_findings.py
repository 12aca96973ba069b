"""What `coffre doctor` finds: codes that stay, how grave each is, and what it says. Spec: spec/operation.md, 8."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from typing import Final

from node.operation.alarm_texts import alarm_title
from node.operation.findings import AlarmCode
from node.reports.rendering import N_, Language, language_of

__all__ = ["FAILED", "FINDINGS", "NAMES", "Check", "Level", "Said"]


class Level(StrEnum):
    """good; warning: it works, but somebody should look; wrong."""

    GOOD = "good"
    WARNING = "warning"
    WRONG = "wrong"


NAMES: Final = {
    "clock": N_("Clock"),
    "disk": N_("Disk"),
    "port": N_("Port"),
    "keys": N_("The node's keys"),
    "database": N_("Database"),
    "log": N_("The node's log"),
    "letters": N_("Letters in mailboxes"),
    "witnesses": N_("Cosignatures"),
    "payloads": N_("Documents in files"),
    "peers": N_("Institutions accepted"),
    "look-alikes": N_("What looks alike"),
    "outbox": N_("Letters that leave"),
    "backup": N_("Backup"),
    "alarms": N_("Operator's alarms"),
    "timestamps": N_("Timestamps"),
}
_DISK: Final = N_("{percent} % used; bulk letters wait from {bulk} %, all from {all} %")
_GOOD, _WARNING, _WRONG = Level.GOOD, Level.WARNING, Level.WRONG
FAILED: Final = "check_failed"
"""The code of a check that ended with an error."""
FINDINGS: Final[dict[str, tuple[Level, str]]] = {
    "clock_right": (_GOOD, N_("in step with the log")),
    "clock_behind": (_WRONG, N_("{seconds} s behind the last log entry: set the clock")),
    "disk_free": (_GOOD, _DISK),
    "disk_filling": (_WARNING, _DISK),
    "disk_full": (_WRONG, _DISK),
    "port_none": (_GOOD, N_("dials out only")),
    "port_serving": (_GOOD, N_("the node runs, on {listen}")),
    "port_free": (_GOOD, N_("{listen} is free; the node does not run")),
    "port_taken": (_WRONG, N_("{listen} cannot be had: {reason}")),
    "keys_valid": (_GOOD, N_("the node's keys are valid for {days} days; the node renews them by itself")),
    "keys_valid_by_hand": (_GOOD, N_("the node's keys are valid for {days} days; [keys] renew is off")),
    "keys_ending": (_WARNING, N_("the node's keys end in {days} days, within {within}: coffre keys renew")),
    "keys_ended": (_WRONG, N_("the node's keys have ended: nobody takes letters from it (coffre keys renew)")),
    "keys_lost": (
        _WRONG,
        N_("the keys were renewed after the backup was made, and are lost: coffre keys recover"),
    ),
    "database_sound": (_GOOD, N_("{kind}: ok")),
    "database_damaged": (_WRONG, N_("{kind}: damaged ({reason})")),
    "log_sound": (_GOOD, N_("{count} entries under verified heads")),
    "log_head_wrong": (_WRONG, N_("the head of epoch {epoch} is not that of its tree")),
    "log_entries_missing": (_WRONG, N_("epoch {epoch} has {count} of {size} entries")),
    "log_entry_changed": (
        _WRONG,
        N_("entry {position} of epoch {epoch} is not the one that was signed: restore a backup"),
    ),
    "log_began_anew": (
        _WARNING,
        N_("began anew {days} days ago: its end was lost, as when an older copy of the database was put back"),
    ),
    "letters_there": (_GOOD, N_("{count} letters, each in its place")),
    "letters_misplaced": (_WRONG, N_("letter {letter} does not open where it lies: restore a backup")),
    "letters_missing": (
        _WRONG,
        N_("{missing} letters that were deposited are gone, and nothing on record says why: restore a backup"),
    ),
    "cosignatures_unwanted": (_GOOD, N_("no cosignatures wanted, or no peer to give one")),
    "cosignatures_held": (_GOOD, N_("{held} of {wanted} cosignatures wanted")),
    "cosignatures_fewer": (_WARNING, N_("{held} of {wanted} cosignatures wanted")),
    "cosignatures_overdue": (
        _WRONG,
        N_(
            "{own} events of the own log and {peers} pieces of others' evidence lack cosignatures for 7 days"
            " (coffre log head)"
        ),
    ),
    "payloads_there": (_GOOD, N_("{count} in files, all there")),
    "payloads_missing": (_WRONG, N_("{lost} of {count} files are missing: restore a backup")),
    "peers_reached": (_GOOD, N_("{count} accepted")),
    "peers_unreached": (_WARNING, N_("{count} accepted; not reached: {names}")),
    "peers_forked": (_WRONG, N_("two histories shown by {names} (coffre directory alarms)")),
    "peers_keys_forked": (
        _WRONG,
        N_("two successors of one key stated by {names}: new trust waits for a recovery"),
    ),
    "lookalikes_none": (_GOOD, N_("no shared key, no domain like another")),
    "lookalikes_domains": (_WARNING, "{found}"),
    "lookalikes_keys": (_WRONG, "{found}"),
    "outbox_waiting": (_GOOD, N_("{waiting} wait")),
    "outbox_set_aside": (_WARNING, N_("{waiting} wait, {aside} set aside (coffre outbox)")),
    "backup_fresh": (_GOOD, N_("the last one is {days} days old")),
    "backup_old": (_WARNING, N_("the last one is {days} days old")),
    "backup_not_yet": (_GOOD, N_("none was made yet (coffre backup)")),
    "backup_missing": (_WARNING, N_("none was made yet (coffre backup)")),
    "alarms_none": (_GOOD, N_("no alarm")),
    "alarms_none_untold": (_GOOD, N_("no alarm; nobody is told: [operation.alarms] email or webhook")),
    "alarms_raised": (_WARNING, "{alarms}"),
    "alarms_raised_untold": (_WARNING, N_("{alarms}; nobody is told: [operation.alarms] email or webhook")),
    "timestamps_fresh": (_GOOD, N_("the last timestamp is {hours} h old")),
    "timestamps_late": (_WARNING, N_("the last timestamp is {hours} h old: does the authority answer?")),
    "timestamps_none": (_WARNING, N_("no head of the log is stamped yet (coffre log timestamp)")),
    FAILED: (_WRONG, "{reason}"),
}


@dataclass(frozen=True, slots=True)
class Said:
    """Sentences in a finding: a text, and what stands in its place holders, each."""

    parts: tuple[tuple[str, dict[str, object]], ...]

    def words(self, language: Language) -> str:
        """All of them, in this language."""
        return "; ".join(language.text(text, **values) for text, values in self.parts)


@dataclass(frozen=True, slots=True, kw_only=True)
class Check:
    """One finding. name: of what was looked at, as in NAMES. code: one of FINDINGS. values: for its text's places."""

    name: str
    code: str
    values: dict[str, object] = field(default_factory=dict)

    @property
    def level(self) -> Level:
        """How grave it is."""
        return FINDINGS[self.code][0]

    @property
    def ok(self) -> bool:
        """Whether nothing is wrong; it may be a warning."""
        return self.level is not Level.WRONG

    @property
    def warning(self) -> bool:
        """Whether it works, but somebody should look."""
        return self.level is Level.WARNING

    @property
    def message(self) -> str:
        """One English line; of alarms their codes."""
        return self._words(language_of("en"), self.values)

    def words(self, language: Language) -> str:
        """The same for people, in their language; of alarms their titles. An error's reason stays as it is."""
        alarms = self.values.get("alarms")
        if not isinstance(alarms, str):
            return self._words(language, self.values)
        titles = ", ".join(alarm_title(AlarmCode(code), language.code) for code in alarms.split(", "))
        return self._words(language, self.values | {"alarms": titles})

    def _words(self, language: Language, values: dict[str, object]) -> str:
        told = {name: value.words(language) if isinstance(value, Said) else value for name, value in values.items()}
        return language.text(FINDINGS[self.code][1], **told)
