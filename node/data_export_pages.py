"""The pages of an export for people: an index, a letter as text, and what lies where. French first, then English."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from html import escape
from typing import Any, Final

from protocol.letter import Letter

__all__ = ["LetterLine", "index_page", "letter_text", "readme"]

_FOLDERS: Final = {"inbox": "reçu / received", "sent": "envoyé / sent"}


@dataclass(frozen=True, slots=True, kw_only=True)
class LetterLine:
    """One letter of an export. letter: None where its content could not be read, and `problem` says why."""

    id: str
    folder: str
    state: str
    arrived_at_ms: int
    deleted_at_ms: int
    letter: Letter | None
    files: tuple[str, ...]
    place: str
    problem: str

    def fields(self) -> dict[str, Any]:
        """For programs."""
        letter = self.letter
        about: dict[str, Any] = {}
        if letter is not None:
            about = {
                "letter": letter.letter_id.text,
                "from": letter.sender.address,
                "to": [item.address for item in letter.to],
                "cc": [item.address for item in letter.cc],
                "subject": letter.subject,
                "text": letter.text,
                "class": letter.letter_class.value,
                "time_ms": letter.time_ms,
                "attachments": [
                    {"name": item.name, "type": item.media_type, "size": item.size, "sha256": item.sha256.hex()}
                    for item in letter.attachments
                ],
            }
        return {
            "id": self.id,
            "folder": self.folder,
            "state": self.state,
            "arrived_at_ms": self.arrived_at_ms,
            "deleted_at_ms": self.deleted_at_ms,
            "place": self.place,
            "files": list(self.files),
            "problem": self.problem,
            **about,
        }


def _moment(time_ms: int) -> str:
    return datetime.fromtimestamp(time_ms / 1000, UTC).strftime("%Y-%m-%d %H:%M UTC")


def letter_text(letter: Letter) -> str:
    """A letter as plain text."""
    head = [
        f"De / From: {letter.sender.address}",
        f"À / To: {', '.join(item.address for item in letter.to)}",
        *([f"Cc: {', '.join(item.address for item in letter.cc)}"] if letter.cc else []),
        f"Date: {_moment(letter.time_ms)}",
        f"Objet / Subject: {letter.subject}",
    ]
    return "\n".join([*head, "", letter.text, ""])


def _row(line: LetterLine) -> str:
    letter = line.letter
    who = "" if letter is None else letter.sender.address
    to = "" if letter is None else ", ".join(item.address for item in (*letter.to, *letter.cc))
    subject = f"({line.problem})" if letter is None else letter.subject
    name = "letter.json" if letter is None else "letter.txt"
    files = " ".join(f'<a href="{escape(_href(path))}">{escape(path.rpartition("/")[2])}</a>' for path in line.files)
    cells = (_moment(line.arrived_at_ms), _FOLDERS[line.folder], who, to)
    shown = "".join(f"<td>{escape(cell)}</td>" for cell in cells)
    return (
        f'<tr>{shown}<td><a href="{escape(f"{line.place}/{name}")}">{escape(subject) or "&mdash;"}</a></td>'
        f"<td>{files}</td></tr>"
    )


def _href(path: str) -> str:
    from urllib.parse import quote

    return quote(path)


def index_page(institution: str, address: str, made_at_ms: int, lines: Sequence[LetterLine], events: int) -> str:
    """The index, without scripts and without anything from elsewhere."""
    columns = ("Date", "", "De / From", "À / To", "Objet / Subject", "Pièces jointes / Attachments")
    head = "".join(f"<th>{escape(column)}</th>" for column in columns)
    rows = "\n".join(_row(line) for line in lines)
    return f"""<!doctype html>
<html lang="fr">
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'unsafe-inline'">
<title>{escape(address)}</title>
<style>
body {{ font: 1rem/1.4 sans-serif; margin: 2rem; max-width: 75rem; }}
table {{ border-collapse: collapse; width: 100%; }}
th, td {{ text-align: left; vertical-align: top; padding: .3rem .6rem; border-bottom: 1px solid #bbb; }}
</style>
<h1>{escape(address)}</h1>
<p>{escape(institution)}, {_moment(made_at_ms)}.
{len(lines)} courriers, {events} événements du journal (log.json).
<span lang="en">{len(lines)} letters, {events} events of the log (log.json).</span></p>
<table>
<thead><tr>{head}</tr></thead>
<tbody>
{rows}
</tbody>
</table>
</html>
"""


def readme(institution: str, address: str) -> str:
    """What lies where."""
    return f"""{address}
{institution}

FRANÇAIS
Ce dossier contient ce que la messagerie Coffre de {institution} détient sur cette boîte aux lettres.
  index.html        la liste des courriers ; à ouvrir dans un navigateur
  letters/          un dossier par courrier : letter.txt (le texte), attachments/ (les pièces jointes),
                    letter.json (tout cela pour un programme), evidence.txt (les preuves signées)
  entry.json        ce que l'annuaire publie de cette boîte
  log.json          les événements du journal qui la nomment, chacun avec ce qui le prouve
  index.json        la liste pour un programme
Une preuve se vérifie sur toute machine : coffre evidence verify letters/.../evidence.txt
Un courrier effacé n'y est plus, et le journal n'en dit que le fait.

ENGLISH
This folder holds what the Coffre node of {institution} has about this mailbox.
  index.html        the list of letters; open it in a browser
  letters/          a folder for each letter: letter.txt (its text), attachments/, letter.json (all of it for
                    programs), evidence.txt (the signed evidence)
  entry.json        what the directory publishes of this mailbox
  log.json          the events of the log that name it, each with what proves it
  index.json        the list for programs
Evidence is checked on any machine: coffre evidence verify letters/.../evidence.txt
A letter that was erased is not here any more, and the log says no more than that it was.
"""
