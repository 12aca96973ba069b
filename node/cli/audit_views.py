"""What audits found, for people and for programs; and running one with a progress bar."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any, Final

from node.cli.common import fail, moment, progress_bar, say
from node.errors import CoffreError, ConfigError

__all__ = ["run_audit", "say_audit", "say_findings", "shown_audit", "shown_findings", "status_of"]

_LANGUAGE: Final = "en"
_LEAF_BYTES: Final = 61


def shown_findings(findings: Iterable[Any]) -> list[dict[str, Any]]:
    """Findings for programs."""
    from node.reports.rendering import language_of

    return [item.to_json(language_of(_LANGUAGE)) for item in findings]


def say_findings(findings: Iterable[Any], indent: str = "") -> None:
    """Findings for people, a line each."""
    from node.reports.rendering import language_of

    for item in findings:
        place = f"{item.place}: " if item.place else ""
        say(f"{indent}{item.severity.value.upper():6} {place}{item.words(language_of(_LANGUAGE))} [{item.code}]")


def status_of(findings: Iterable[Any]) -> int:
    """1 with a defect, else 3 if something is open, else 0."""
    from node.auditor.findings import gravest

    found = gravest(findings)
    return 0 if found is None else {"defect": 1, "open": 3}[found.value]


def run_audit(folder: Path, files: list[Path], *, as_json: bool) -> Any:
    """Verify everything, with a progress bar; a person's mistake ends in one line."""
    from node.auditor.places import AuditFolder
    from node.auditor.verifying import verify_folder
    from node.world import World

    for path in files:
        if not path.is_file():
            fail(ConfigError(f"{path} is no file", hint="evidence files, disclosures, files of heads"), as_json=as_json)
    try:
        place = AuditFolder(folder)
        total = sum(_leaves_of(copy) for copy in place.copies())
        with progress_bar(total * _LEAF_BYTES, "verify", hidden=as_json) as advance:
            counted: dict[tuple[str, int], int] = {}

            def progress(name: str, done: int, size: int) -> None:
                counted[name, size] = done
                advance(sum(counted.values()) * _LEAF_BYTES)

            return verify_folder(place, now_ms=World().now_ms(), files=files, progress=progress)
    except CoffreError as error:
        fail(error, as_json=as_json)


def _leaves_of(copy: Any) -> int:
    from protocol.checkpoint import peek_checkpoint
    from protocol.errors import RemoteProtocolError

    total = 0
    for epoch in copy.epochs():
        try:
            total += peek_checkpoint(copy.read(copy.checkpoint(epoch)) or b"").size
        except RemoteProtocolError:
            continue
    return total


def shown_audit(audit: Any) -> dict[str, Any]:
    """An audit for programs."""
    from node.auditor.statistics import kind_name
    from node.reports.rendering import language_of

    language = language_of(_LANGUAGE)
    institutions = []
    for item in audit.institutions:
        kinds = {kind_name(kind): number for kind, number in item.statistics.kinds.items()}
        institutions.append(
            {
                "institution": item.name,
                "node": item.node.text,
                "fingerprint": item.digits,
                "confirmed": item.is_confirmed,
                "fetched_at_ms": item.fetched_at_ms,
                "epochs": [{"epoch": epoch, "size": size} for epoch, size in item.sizes.items()],
                "cosigners": item.cosigners,
                "kinds": kinds,
                "checked": [done.words(language) for done in item.checked],
                "findings": shown_findings(item.findings),
            }
        )
    return {
        "status": audit.status,
        "made_at_ms": audit.made_at_ms,
        "institutions": institutions,
        "checked": [done.words(language) for done in audit.checked],
        "findings": shown_findings(audit.general),
    }


def say_audit(audit: Any) -> None:
    """An audit for people."""
    from node.reports.rendering import language_of

    language = language_of(_LANGUAGE)
    for item in audit.institutions:
        confirmed = "" if item.is_confirmed else "  (nobody confirmed it: compare it with the institution's)"
        say(f"{item.name}")
        say(f"  fingerprint {item.digits}{confirmed}")
        say(f"  copied {moment(item.fetched_at_ms)}")
        for done in item.checked:
            say(f"  ok     {done.words(language)}")
        say_findings(item.findings, indent="  ")
    if audit.checked or audit.general:
        say("between them, and files")
        for done in audit.checked:
            say(f"  ok     {done.words(language)}")
        say_findings(audit.general, indent="  ")
    say(
        {0: "everything checked holds", 1: "DEFECTS WERE FOUND", 3: "no defect; not everything could be checked"}[
            audit.status
        ]
    )
