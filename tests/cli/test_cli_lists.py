"""`mailbox import` and `directory export` from the command line."""

from __future__ import annotations

import csv
import json
import stat
from pathlib import Path

import pytest

from tests.cli.coffre_cli import Node
from tests.cli.conftest import Neighbours

LIST = """Mél;Prénom;Nom;RPPS;Métier
dr.modele@pont.example;Jean;Modèle;10001;Médecin
;Aline;Fictive;10002;Infirmière
"""
MAP = (
    *("--map", "address=Mél", "--map", "given=Prénom", "--map", "family=Nom"),
    *("--map", "profession=Métier", "--map", "id:urn:example:rpps=RPPS"),
)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "list.csv"
    path.write_text(LIST, encoding="utf-8")
    return path


def test_dry_run_shows_and_changes_nothing(lone: Node, file: Path) -> None:
    before = lone.json("mailbox", "list")
    said = lone.say("mailbox", "import", file, *MAP, "--dry-run").splitlines()
    assert said == [
        "changed  dr.modele@pont.example: name 'dr.modele' → 'Jean Modèle'; profession '' → 'Médecin'; "
        "identifiers '' → 'urn:example:rpps 10001'",
        "new      aline.fictive@pont.example: Aline Fictive, Infirmière",
        "would be: 1 new, 1 changed, 0 unchanged, 0 to close",
    ]
    assert lone.json("mailbox", "list") == before
    planned = lone.json("mailbox", "import", file, *MAP, "--dry-run")
    assert planned["planned"] == {"new": 1, "changed": 1, "unchanged": 0, "bad": 0, "closed": 0, "missing": 0}
    assert planned["done"] is None
    assert planned["changed"][0]["fields"]["profession"] == ["", "Médecin"]
    assert planned["new"][0]["fields"]["name"] == "Aline Fictive"


def test_import_hand_out_undo(lone: Node, file: Path, tmp_path: Path) -> None:
    words, before = tmp_path / "passwords.csv", tmp_path / "before.csv"
    assert "new mailboxes need first passwords" in one_line_after_lines(lone, "mailbox", "import", file, *MAP)
    assert [item["address"] for item in lone.json("mailbox", "list")] == ["dr.modele@pont.example"]
    done = lone.run("mailbox", "import", file, *MAP, "--passwords", words, "--before", before)
    assert (done.status, done.stderr) == (0, "")
    assert done.stdout.splitlines()[-1] == "done: 1 made, 1 changed, 0 closed"
    # The passwords are in their file and nowhere else.
    assert stat.S_IMODE(words.stat().st_mode) == 0o600
    (made,) = list(csv.reader(words.read_text("utf-8").splitlines()))[1:]
    assert made[:2] == ["aline.fictive@pont.example", "Aline Fictive"]
    assert made[2] not in done.stdout

    first = tmp_path / "first"
    first.write_text(made[2] + "\n")
    refused = lone.refused("inbox", "aline.fictive", "--password-file", first)
    assert "first password" in refused
    assert "coffre mailbox password aline.fictive@pont.example" in refused
    new = ("--new-password-file", lone.secrets.password)
    lone.json("mailbox", "password", "aline.fictive", "--password-file", first, *new)
    assert lone.inbox("aline.fictive") == []

    again = lone.json("mailbox", "import", file, *MAP)
    assert (again["planned"]["unchanged"], again["done"]) == (2, None)

    # Back: the mailboxes as they were; the one that was made is closed.
    assert "--yes" in one_line_after_lines(lone, "mailbox", "import", before, "--close-missing")
    back = lone.json("mailbox", "import", before, "--close-missing", "--yes")
    assert back["done"] == {"new": 0, "changed": 1, "closed": 1}
    assert back["closed"] == ["aline.fictive@pont.example"]
    assert lone.json("directory", "search", "modele")["matches"][0]["name"] == "dr.modele"


def one_line_after_lines(node: Node, *arguments: str | Path) -> str:
    """The one line on standard error of a command that first said what it would do."""
    done = node.run(*arguments)
    assert done.status == 1
    assert done.stdout
    assert len(done.stderr.splitlines()) == 1
    return done.stderr


def test_bad_rows_are_told_and_nothing_is_closed(lone: Node, tmp_path: Path) -> None:
    path = tmp_path / "list.csv"
    path.write_text("address,name\nx@lilas.example,X\ny@pont.example\n", encoding="utf-8")
    done = lone.run("mailbox", "import", path, "--close-missing", "--yes")
    assert done.status == 1
    assert done.stdout.splitlines()[:2] == [
        "bad      line 2: x@lilas.example is not of this institution's domain, pont.example",
        "bad      line 3: 1 cells under 2 columns; the file may be cut here",
    ]
    assert "2 rows were left out" in done.stderr
    assert "nothing is closed" in done.stderr
    told = lone.run("mailbox", "import", path, "--json")
    assert told.status == 1
    assert [item["where"] for item in json.loads(told.stdout)["bad"]] == ["line 2", "line 3"]
    assert json.loads(told.stderr)["error"] == "state"
    assert [item["status"] for item in lone.json("mailbox", "list")] == ["open"]


def test_column_map_from_a_file(lone: Node, file: Path, tmp_path: Path) -> None:
    table = tmp_path / "columns.toml"
    table.write_text(
        '[columns]\naddress = "Mél"\nname = ["Prénom", "Nom"]\n[identifiers]\n"urn:example:rpps" = "RPPS"\n'
        '[values.profession]\n"Médecin" = "Doctor"\n',
        encoding="utf-8",
    )
    options = ("--map", table, "--map", "profession=Métier", "--dry-run")
    (changed,) = lone.json("mailbox", "import", file, *options)["changed"]
    assert changed["fields"]["profession"] == ["", "Doctor"]
    assert changed["fields"]["name"] == ["dr.modele", "Jean Modèle"]


@pytest.mark.parametrize(
    ("options", "word"),
    [
        pytest.param(("missing.csv",), "is no file", id="no file"),
        pytest.param(("list.csv", "--format", "xls"), "one of csv, rass, fhir", id="format"),
        pytest.param(("list.csv", "--encoding", "ebcdic"), "one of utf-8", id="encoding"),
        pytest.param(("list.csv", "--encoding", ""), "one of utf-8", id="no encoding"),
        pytest.param(("list.csv", "--delimiter", ";;"), "one character", id="delimiter"),
        pytest.param(("list.csv", "--map", "nom=Nom"), "no field 'nom'", id="field"),
        pytest.param(("list.csv", "--map", "missing.toml"), "cannot be read", id="no map"),
        pytest.param(("list.csv", "--map", "list.csv"), "is no TOML", id="no toml"),
        pytest.param(("list.csv", "--address-form", "x"), "makes no addresses", id="form"),
        pytest.param(("list.csv",), "no column is known", id="columns"),
        pytest.param(("list.csv", "--format", "fhir"), "no whole JSON", id="no json"),
        pytest.param(("list.csv", "--format", "rass"), "--structure", id="structure"),
    ],
)
def test_refusals(lone_original: Node, file: Path, options: tuple[str, ...], word: str) -> None:
    placed = [str(file.parent / item) if item.endswith((".csv", ".toml")) else item for item in options]
    assert word in lone_original.refused("mailbox", "import", *placed)


def test_export(lone_original: Node, tmp_path: Path) -> None:
    node = lone_original
    for form, beginning in (("csv", "address,"), ("fhir", '{"res'), ("vcard", "BEGIN:VCARD"), ("ldif", "version: 1")):
        out = tmp_path / form
        assert node.say("directory", "export", "--format", form, "-o", out) == f"1 mailboxes written to {out}\n"
        assert out.read_text("utf-8").startswith(beginning)
        assert "dr.modele@pont.example" in out.read_text("utf-8")
    assert "is there already" in node.refused("directory", "export", "-o", tmp_path / "csv")
    assert "one of csv, fhir" in node.refused("directory", "export", "-o", tmp_path / "x", "--format", "xls")
    assert "one of csv, fhir" in node.refused("directory", "export", "-o", tmp_path / "x", "--format", "")
    assert "--own goes with --kind" in node.refused("directory", "export", "x", "--own", "-o", tmp_path / "x")
    told = node.json("directory", "export", "xylophone", "-o", tmp_path / "none.csv")
    assert told == {"mailboxes": 0, "file": str(tmp_path / "none.csv"), "format": "csv"}
    assert node.json("directory", "export", "--kind", "person", "-o", tmp_path / "p.csv")["mailboxes"] == 1


def test_export_has_the_mailboxes_of_accepted_institutions(neighbours: Neighbours, tmp_path: Path) -> None:
    hospital = neighbours.hospital
    assert hospital.json("directory", "export", "-o", tmp_path / "all.csv")["mailboxes"] >= 2
    rows = list(csv.DictReader((tmp_path / "all.csv").read_text("utf-8").splitlines()))
    assert {"dr.fictive@tilleuls.example", "dr.exemple@lilas.example"} <= {row["address"] for row in rows}
    assert {row["institution"] for row in rows} == {"Hôpital des Tilleuls", "Cabinet des Lilas"}
    hospital.json("directory", "export", "--institution", "lilas", "--format", "fhir", "-o", tmp_path / "lilas.json")
    assert b"dr.exemple@lilas.example" in (tmp_path / "lilas.json").read_bytes()
    # Others' mailboxes are not this node's to import.
    told = hospital.run("mailbox", "import", tmp_path / "lilas.json", "--json")
    assert (told.status, len(json.loads(told.stdout)["bad"])) == (1, 1)
