"""`evidence`: exported here, verified anywhere."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from protocol.entry import MailboxEntry
from protocol.evidence_file import EvidenceFile, parse_evidence_file, write_evidence_file
from spec.vectors.sample_letter import SampleLetter
from tests.cli.coffre_cli import Node, one_line, run_coffre
from tests.cli.conftest import Neighbours
from tests.evidence.tsa import Answer, Authority, serving


@pytest.fixture(scope="module")
def evidence(neighbours: Neighbours, tmp_path_factory: pytest.TempPathFactory) -> Path:
    hospital = neighbours.hospital
    row = neighbours.first_letter
    hospital.wait_for_state("dr.fictive", row, "deposited")
    file = tmp_path_factory.mktemp("evidence") / "evidence.txt"
    exported = hospital.json("evidence", "export", row[:16], file)
    assert exported["items"] == 2
    assert exported["bytes"] == file.stat().st_size
    return file


def test_evidence_verifies_where_there_is_nothing_else(evidence: Path, tmp_path: Path) -> None:
    copy = tmp_path / "copy.txt"
    copy.write_bytes(evidence.read_bytes())
    done = run_coffre("evidence", "verify", "copy.txt", "--json", cwd=tmp_path, env={"HOME": str(tmp_path)})
    assert (done.status, done.stderr) == (0, "")
    report = json.loads(done.stdout)
    assert report["ok"] is True
    assert [event["kind"] for event in report["events"]] == ["submitted", "deposited"]
    assert {node["institution"] for node in report["nodes"]} == {"Hôpital des Tilleuls", "Cabinet des Lilas"}
    assert all(node["doubts"] == ["node_unconfirmed"] for node in report["nodes"])
    assert [path.name for path in tmp_path.iterdir()] == ["copy.txt"]


def test_doubts_go_with_the_fingerprints(evidence: Path, neighbours: Neighbours) -> None:
    report = json.loads(run_coffre("evidence", "verify", evidence, "--json").stdout)
    digits = {node["institution"]: node["fingerprint"] for node in report["nodes"]}
    assert digits["Cabinet des Lilas"] == neighbours.hospital.json("peers")[0]["fingerprint"]
    options = [option for text in digits.values() for option in ("--node", text)]
    done = run_coffre("evidence", "verify", evidence, *options)
    assert done.status == 0
    assert "everything in this file verifies" in done.stdout
    assert "unconfirmed" not in done.stdout
    other = f"{digits['Cabinet des Lilas'][:-5]}00000"
    assert other in one_line(run_coffre("evidence", "verify", evidence, "--node", other))


@pytest.mark.parametrize("position", [0, -100])
def test_altered_evidence_does_not_verify(evidence: Path, tmp_path: Path, position: int) -> None:
    data = bytearray(evidence.read_bytes())
    data[position] ^= 1
    altered = tmp_path / "altered.txt"
    altered.write_bytes(data)
    assert "not a valid evidence file" in one_line(run_coffre("evidence", "verify", altered))


def test_evidence_that_is_not_there(neighbours: Neighbours, tmp_path: Path) -> None:
    assert "missing" in one_line(run_coffre("evidence", "verify", tmp_path / "missing"))
    hospital = neighbours.hospital
    assert "no letter of this node has the id ffff" in hospital.refused("evidence", "export", "ffff", tmp_path / "x")
    # Ids begin with the time.
    again = hospital.send("dr.fictive", "dr.exemple@lilas.example", "Encore un")
    assert "several letters have ids" in hospital.refused("evidence", "export", again[:2], tmp_path / "x")
    assert not (tmp_path / "x").exists()


# -- told, printed


def test_evidence_is_told_in_plain_words(evidence: Path) -> None:
    done = run_coffre("evidence", "show", evidence, "--lang", "fr")
    assert (done.status, done.stderr) == (0, "")
    assert "Hôpital des Tilleuls a accepté le courrier, à envoyer à Cabinet des Lilas." in done.stdout
    assert "Dr Clara Exemple <dr.exemple@lilas.example>: remis, aucune ouverture attestée" in done.stdout
    shown = json.loads(run_coffre("evidence", "show", evidence, "--json").stdout)
    assert shown["status"] == "open"
    assert shown["sentences"][0]["sentence"].startswith("Hôpital des Tilleuls accepted the letter")
    assert [event["etsi"] for event in shown["events"]] == ["SubmissionAcceptance", "ContentConsignment"]


@pytest.mark.parametrize("language", ["en", "fr"])
def test_a_report_is_written_and_holds_the_file(evidence: Path, tmp_path: Path, language: str) -> None:
    page = tmp_path / "letter.html"
    done = run_coffre("evidence", "report", evidence, "--lang", language, "--out", page, "--json")
    assert (done.status, done.stderr) == (0, "")
    assert json.loads(done.stdout)["ok"] is True
    text = page.read_text("utf-8")
    assert f'<html lang="{language}">' in text
    assert "Cabinet des Lilas" in text
    assert evidence.read_text("utf-8").splitlines()[-1] in text


def test_what_a_report_cannot_be_made_of(evidence: Path, tmp_path: Path) -> None:
    options = ("--out", tmp_path / "page.html")
    assert "'de'" in one_line(run_coffre("evidence", "report", evidence, *options, "--lang", "de"))
    assert "not a valid evidence file" in one_line(run_coffre("evidence", "report", __file__, *options))
    assert "cannot be written" in one_line(run_coffre("evidence", "report", evidence, "--out", tmp_path))
    assert not (tmp_path / "page.html").exists()


def _hostile_file() -> EvidenceFile:
    letter = SampleLetter()
    entry = MailboxEntry.decode(letter.file().entries[1].entry)
    index = letter.recipient.publish(replace(entry, name="[red]Dr[/red] [link=x]Fictive"), version=2)
    return replace(letter.file(), entries=(letter.recipient.entry_evidence(index),))


def test_names_do_not_become_markup_on_a_terminal(tmp_path: Path) -> None:
    file = tmp_path / "hostile.txt"
    file.write_bytes(write_evidence_file(_hostile_file()))
    for command in ("show", "verify"):
        done = run_coffre("evidence", command, file)
        assert "[red]Dr[/red] [link=x]Fictive" in done.stdout
        assert "\x1b" not in done.stdout


def test_what_does_not_hold_ends_with_status_1_and_is_told(tmp_path: Path) -> None:
    letter = SampleLetter()
    events = (replace(letter.file().events[0], opening=bytes(32)), *letter.file().events[1:])
    file = tmp_path / "false.txt"
    file.write_bytes(write_evidence_file(replace(letter.file(), events=events)))
    done = run_coffre("evidence", "show", file)
    assert done.status == 1
    assert "Something in this file must not be believed" in done.stdout
    done = run_coffre("evidence", "report", file, "--out", tmp_path / "false.html")
    assert done.status == 1
    assert "The event was altered" in (tmp_path / "false.html").read_text("utf-8")


# -- merged, disclosed, stamped


def test_both_sides_are_merged_and_the_content_disclosed(neighbours: Neighbours, tmp_path: Path) -> None:
    hospital, practice = neighbours.hospital, neighbours.practice
    row = hospital.send("dr.fictive", "dr.exemple@lilas.example", "Compte rendu révélé")
    hospital.wait_for_state("dr.fictive", row, "deposited")
    received = practice.received("dr.exemple", "Compte rendu révélé")["id"]
    practice.open("dr.exemple", received)
    ours, theirs, merged = (tmp_path / name for name in ("ours.txt", "theirs.txt", "merged.txt"))
    hospital.wait_for_state("dr.fictive", row, "opened")
    hospital.json("evidence", "export", row, ours)
    practice.json("evidence", "export", received, theirs)
    done = run_coffre("evidence", "merge", ours, theirs, merged, "--json")
    assert (done.status, json.loads(done.stdout)["conflicts"]) == (0, [])
    again = tmp_path / "again.txt"
    run_coffre("evidence", "merge", theirs, merged, again)
    assert again.read_bytes() == merged.read_bytes()

    password = ("--password-file", hospital.secrets.password)
    for node, mailbox, letter in ((hospital, "dr.fictive", row), (practice, "dr.exemple", received)):
        disclosed = tmp_path / f"{mailbox}.txt"
        node.json("evidence", "disclose", mailbox, letter, disclosed, *password)
        assert disclosed.stat().st_mode & 0o077 == 0
        shown = json.loads(run_coffre("evidence", "verify", merged, "--disclosed", disclosed, "--json").stdout)
        assert shown["content"]["subject"] == "Compte rendu révélé"
        assert (shown["content"]["name"], shown["content"]["doubts"]) == ("Dr Aline Fictive", [])
        assert "Compte rendu révélé" in run_coffre("evidence", "verify", merged, "--disclosed", disclosed).stdout
        assert "exists already" in node.refused("evidence", "disclose", mailbox, letter, disclosed, *password)
    page = tmp_path / "page.html"
    opener = ("--disclosed", tmp_path / "dr.exemple.txt")
    assert run_coffre("evidence", "report", merged, *opener, "--lang", "fr", "--out", page).status == 0
    assert "Compte rendu révélé" in page.read_text("utf-8")


def test_other_content_is_refused(evidence: Path, neighbours: Neighbours, tmp_path: Path) -> None:
    hospital = neighbours.hospital
    row = hospital.send("dr.fictive", "dr.exemple@lilas.example", "Un autre courrier")
    other, password = tmp_path / "other.txt", ("--password-file", hospital.secrets.password)
    hospital.json("evidence", "disclose", "dr.fictive", row, other, *password)
    refused = one_line(run_coffre("evidence", "verify", evidence, "--disclosed", other))
    assert "is not the content that" in refused
    assert "discloses nothing" in one_line(run_coffre("evidence", "verify", evidence, "--disclosed", evidence))
    wrong = ("--password-file", hospital.secrets.wrong_password)
    assert "password" in hospital.refused("evidence", "disclose", "dr.fictive", row, tmp_path / "x", *wrong)
    assert not (tmp_path / "x").exists()


def test_files_of_two_letters_are_not_merged(evidence: Path, tmp_path: Path) -> None:
    other = tmp_path / "other.txt"
    other.write_bytes(write_evidence_file(SampleLetter().file()))
    refused = one_line(run_coffre("evidence", "merge", evidence, other, tmp_path / "out.txt"))
    assert "cannot be merged: two letters" in refused
    assert not (tmp_path / "out.txt").exists()


def test_files_that_contradict_each_other_are_named(tmp_path: Path) -> None:
    file = SampleLetter().file()
    one, other = tmp_path / "one.txt", tmp_path / "other.txt"
    one.write_bytes(write_evidence_file(file))
    other.write_bytes(write_evidence_file(replace(file, events=(replace(file.events[1], opening=bytes(32)),))))
    done = run_coffre("evidence", "merge", one, other, tmp_path / "out.txt")
    assert done.status == 1
    assert "CONFLICT: one leaf with two contents: coffre/" in done.stdout
    assert len(parse_evidence_file((tmp_path / "out.txt").read_bytes()).events) == 4


@pytest.fixture
def stamping(lone: Node, tmp_path: Path) -> Node:
    """A node of its own, with a letter from its mailbox to itself."""
    lone.send("dr.modele", "dr.modele@pont.example", "À moi-même")
    return lone


def test_a_head_is_stamped_on_demand_and_checked_with_the_authority_s_certificate(
    stamping: Node, tmp_path: Path
) -> None:
    assert "no timestamping authority" in stamping.refused("log", "timestamp")
    authority = Authority.make(tmp_path / "tsa")
    shutil.copy(authority.ca_file, stamping.folder / "tsa.pem")
    answer = Answer(authority.answer)
    with serving(answer) as url:
        settings = stamping.folder / "coffre.toml"
        section = f'[evidence]\ntimestamp_url = "{url}"\ntimestamp_ca_file = "tsa.pem"\n'
        settings.write_text(settings.read_text("utf-8").replace("[evidence]\n", section), encoding="utf-8")
        (before,) = (check for check in stamping.json("doctor") if check["id"] == "timestamps")
        assert (before["ok"], before["warning"]) == (True, True)
        made = stamping.json("log", "timestamp")
        (after,) = (check for check in stamping.json("doctor") if check["id"] == "timestamps")
        assert (after["message"], after["warning"]) == ("the last timestamp is 0 h old", False)
        assert (made["policy"], answer.asked) == ("1.2.3.4.1", 1)
        answer.status = 503
        assert "answered 503" in stamping.refused("log", "timestamp")
    assert [item["size"] for item in stamping.json("log", "timestamps")] == [made["size"]]
    file = tmp_path / "evidence.txt"
    password = ("--password-file", stamping.secrets.password)
    (sent,) = stamping.json("sent", "dr.modele", *password)
    stamping.json("evidence", "export", sent["id"], file)
    shown = json.loads(run_coffre("evidence", "verify", file, "--tsa-ca", authority.ca_file, "--json").stdout)
    assert {event["existed_at_ms"] for event in shown["events"]} == {made["time_ms"]}
    assert shown["timestamps"][0]["authority"] == "CN=Horodatage,O=Autorité Fictive"
    unknown = json.loads(run_coffre("evidence", "verify", file, "--json").stdout)
    assert unknown["timestamps"][0]["doubts"] == ["timestamp_unconfirmed"]
    other = Authority.make(tmp_path / "other").ca_file
    assert run_coffre("evidence", "verify", file, "--tsa-ca", other).status == 1
    assert "no PEM" in one_line(run_coffre("evidence", "verify", file, "--tsa-ca", file))
