"""What operator's alarms say, in French and English. Nothing of people. Spec: spec/operation.md, 4."""

from __future__ import annotations

from typing import Final

from node.operation.findings import AlarmCode, Finding

__all__ = ["WHAT_WORDS", "alarm_text", "alarm_title"]

WHAT_WORDS: Final = {
    "raised": ("ALERTE", "ALARM"),
    "reminder": ("RAPPEL", "REMINDER"),
    "cleared": ("FIN", "CLEARED"),
    "test": ("ESSAI", "TEST"),
}
_TITLES: Final = {
    AlarmCode.LETTERS_STUCK: ("Courriers bloqués", "Letters are stuck"),
    AlarmCode.KEYS_EXPIRING: ("Les clés du nœud arrivent à expiration", "The node's keys are coming to their end"),
    AlarmCode.CERTIFICATE_EXPIRING: (
        "Le certificat des pages arrive à expiration",
        "The certificate of the pages is coming to its end",
    ),
    AlarmCode.ENDORSEMENT_EXPIRING: (
        "L'agrément de l'établissement arrive à expiration",
        "The institution's endorsement is coming to its end",
    ),
    AlarmCode.FAILED_LOG_INS: ("Nombreuses connexions refusées", "Many failed log-ins"),
    AlarmCode.DISK: ("Le disque se remplit", "The disk is filling up"),
    AlarmCode.CLOCK: ("L'horloge n'est pas à l'heure", "The clock is wrong"),
    AlarmCode.BACKUP_OLD: ("La dernière sauvegarde est trop ancienne", "The last backup is too old"),
    AlarmCode.FORK_SEEN: ("Deux historiques contradictoires", "Two histories were shown"),
    AlarmCode.PEER_UNREACHABLE: ("Établissement injoignable", "An institution cannot be reached"),
    AlarmCode.COSIGNATURES_MISSING: ("Des cosignatures manquent", "Cosignatures are missing"),
    AlarmCode.ALERTS_STUCK: ("Les avis ne partent plus", "Alerts do not leave"),
}
_DETAILS: Final = {
    AlarmCode.LETTERS_STUCK: (
        "{waiting} en attente, le plus ancien depuis {hours} h ; {aside} mis de côté (coffre outbox)",
        "{waiting} wait, the oldest for {hours} h; {aside} set aside (coffre outbox)",
    ),
    AlarmCode.KEYS_EXPIRING: ("{ends} (coffre keys renew)", "{ends} (coffre keys renew)"),
    AlarmCode.CERTIFICATE_EXPIRING: ("{ends} ([web] certificate_file)", "{ends} ([web] certificate_file)"),
    AlarmCode.ENDORSEMENT_EXPIRING: (
        "{ends} : prévenez le mainteneur de l'annuaire",
        "{ends}: tell the directory's maintainer",
    ),
    AlarmCode.FAILED_LOG_INS: ("{count} en une heure", "{count} within an hour"),
    AlarmCode.DISK: ("occupé à {percent} %", "{percent} % used"),
    AlarmCode.CLOCK: ("écart de {seconds} s", "off by {seconds} s"),
    AlarmCode.BACKUP_OLD: ("{days} jours (coffre backup)", "{days} days (coffre backup)"),
    AlarmCode.FORK_SEEN: (
        "{name} (coffre directory alarms, coffre peers)",
        "{name} (coffre directory alarms, coffre peers)",
    ),
    AlarmCode.PEER_UNREACHABLE: (
        "{name}, depuis plus de {hours} h (coffre peers)",
        "{name}, for more than {hours} h (coffre peers)",
    ),
    AlarmCode.COSIGNATURES_MISSING: (
        "depuis 7 jours : {own} événements du journal, {peers} preuves reçues (coffre log head)",
        "for 7 days: {own} events of the log, {peers} pieces of others' evidence (coffre log head)",
    ),
    AlarmCode.ALERTS_STUCK: (
        "{name} : {waiting} en attente, depuis {hours} h",
        "{name}: {waiting} wait, for {hours} h",
    ),
}


def alarm_title(code: AlarmCode, language: str) -> str:
    """What it is about, without figures. language: fr or en."""
    return _TITLES[code][_index(language)]


def alarm_text(finding: Finding, language: str) -> str:
    """Title and figures, one line."""
    index = _index(language)
    ends = _ends(finding.figures.get("days", 0))[index]
    detail = _DETAILS[finding.code][index].format(name=finding.name, ends=ends, **finding.figures)
    return f"{_TITLES[finding.code][index]}{' : ' if index == 0 else ': '}{detail}"


def _ends(days: int) -> tuple[str, str]:
    if days < 0:
        return "c'est fini", "it is over"
    if days == 0:
        return "dans moins d'un jour", "in less than a day"
    return f"dans {days} jour{'s' * (days > 1)}", f"in {days} day{'s' * (days > 1)}"


def _index(language: str) -> int:
    return 0 if language == "fr" else 1
