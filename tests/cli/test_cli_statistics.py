"""`statistics`: counted, hidden, exported."""

from __future__ import annotations

from pathlib import Path

from tests.cli.conftest import Neighbours


def test_statistics_of_a_first_letter(neighbours: Neighbours, tmp_path: Path) -> None:
    hospital = neighbours.hospital
    shown = hospital.json("statistics", "show")
    month = shown["months"][-1]
    # One letter, or a few that other tests sent: too few to be told.
    letters = shown["totals"]["letters"]["months"][-1]
    assert letters is None or letters >= 5
    assert "(hidden: 1 to 4)" in hospital.say("statistics", "show", "--from", month)

    regional = hospital.json("statistics", "region")
    assert regional["known_institutions"] >= 2
    assert "none published" in hospital.say("statistics", "region")
    assert "publishes no totals" in hospital.refused("statistics", "publish", "2026-01")
    assert "no month" in hospital.refused("statistics", "show", "--from", "January")
    assert "is before" in hospital.refused("statistics", "show", "--from", "2026-05", "--to", "2026-04")
    assert "nothing was counted" in hospital.say("statistics", "show", "--from", "2020-01", "--to", "2020-02")

    folder = tmp_path / "figures"
    written = hospital.json("statistics", "export", str(folder), "--as", "csv,svg,png", "--language", "fr")
    assert {path.name for path in folder.iterdir()} == set(written["files"])
    assert (folder / "own-written.png").read_bytes().startswith(b"\x89PNG")
    assert "Courriers écrits ici" in (folder / "own-written.svg").read_text("utf-8")
    assert "not empty" in hospital.refused("statistics", "export", str(folder))
    assert "no files of the kind" in hospital.refused("statistics", "export", str(tmp_path / "x"), "--as", "gif")
