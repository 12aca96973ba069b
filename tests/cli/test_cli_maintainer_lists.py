"""`coffre maintainer import`, `difference`, `match`: a national list, from the command line."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

import pytest

from tests.cli.coffre_cli import one_line, run_coffre
from tests.maintainer.desks import DeskAtWork

MAPS = ("--map", "name=Nom", "--map", "town=Ville", "--map", "region=Région", "--map", "id:urn:no=No")
LIST = (
    "No;Nom;Ville;Région\n1;CLINIQUE DU PONT;Albi;Bretagne\n2;Polyclinique du Cormier;Foix;\nshort\n"
    "3;Le Gué;Vannes;Bretagne\n"
)


@pytest.fixture
def work(tmp_path: Path) -> DeskAtWork:
    made = DeskAtWork(tmp_path / "region")
    made.endorse("Clinique du Pont", "pont.example")
    made.endorse("Clinique du Cormier", "cormier.example")
    made.ask("Le Gué", "gue.example")
    return made


def done(*arguments: str | Path) -> Any:
    answer = run_coffre("maintainer", *arguments, "--json")
    assert (answer.status, answer.stderr) == (0, ""), answer
    return json.loads(answer.stdout)


def test_a_national_list_from_the_command_line(tmp_path: Path, work: DeskAtWork) -> None:
    folder, file, table = work.desk.path, tmp_path / "list.csv", tmp_path / "to-invite.csv"
    file.write_text(LIST, "utf-8")
    assert "maintainer import" in one_line(run_coffre("maintainer", "difference", folder))
    looked = done("import", folder, file, *MAPS, "--dry-run")
    assert looked["dry_run"]
    assert sorted(path.name for path in folder.glob("national*")) == []
    kept = done("import", folder, file, *MAPS)
    assert {**looked, "list": 0, "dry_run": 0} == {**kept, "list": 0, "dry_run": 0}
    assert (kept["list"]["institutions"], kept["list"]["bad_rows"][0]["where"]) == (3, "line 4")
    (request,), (missing,), (differing,) = kept["requests"], kept["missing"], kept["differing"]
    assert (request["found"], request["entries"][0]["key"]) == ("listed", "urn:no|3")
    assert (missing["institution"], missing["near"][0]["key"]) == ("Clinique du Cormier", "urn:no|2")
    assert differing["differs"] == {"region": ["Occitanie", "Bretagne"]}
    assert [entry["key"] for entry in kept["to_invite"]] == ["urn:no|2"]
    told = run_coffre("maintainer", "import", folder, file, *MAPS, "--to-invite", table).stdout
    for words in ("bad        line 4", "missing    Clinique du Cormier", "region 'Occitanie', in the list 'Bretagne'"):
        assert words in told
    (row,) = csv.DictReader(table.read_text("utf-8").splitlines())
    assert (row["name"], row["town"]) == ("Polyclinique du Cormier", "Foix")
    assert done("match", folder, "cormier.example", "2")["key"] == "urn:no|2"
    after = done("difference", folder)
    assert (after["missing"], after["to_invite"]) == ([], [])
    assert done("match", folder, "Clinique du Cormier", "--undo")["key"] is None
    assert len(done("difference", folder)["missing"]) == 1


@pytest.mark.parametrize(
    ("command", "words"),
    [
        (("import", "FILE", "--format", "xml"), "no format"),
        (("import", "FILE", "--encoding", "ebcdic"), "no encoding"),
        (("import", "FILE", "--map", "address=Nom"), "no field"),
        (("import", "FILE"), "the institution's name"),
        (("import", "nowhere"), "is no file"),
        (("match", "cormier.example"), "--undo"),
        (("match", "nobody", "1"), "nothing was said of"),
        (("match", "cormier.example", "1"), "maintainer import"),
    ],
)
def test_what_cannot_be_done_is_said_in_a_line(
    tmp_path: Path, work: DeskAtWork, command: tuple[str, ...], words: str
) -> None:
    file = tmp_path / "list.csv"
    file.write_text(LIST, "utf-8")
    verb, *rest = (str(file) if part == "FILE" else part for part in command)
    assert words in one_line(run_coffre("maintainer", verb, work.desk.path, *rest))
