"""An auditor at the command line: admitted by a running node, in a folder of their own."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from spec.vectors.sample_log import SampleLog
from spec.vectors.sample_node import SampleNode
from tests.cli.coffre_cli import Finished, Secrets, make_node, one_line, run_coffre
from tests.ports import free_port


def audit(command: str, *arguments: str | Path) -> Finished:
    return run_coffre("audit", command, *arguments)


@pytest.fixture(scope="module")
def export(tmp_path_factory: pytest.TempPathFactory) -> Path:
    log = SampleLog(SampleNode("fictive-hospital"))
    log.grow(300)
    return log.export(tmp_path_factory.mktemp("exported") / "hospital")


def test_from_admission_to_report(tmp_path: Path) -> None:
    secrets = Secrets.write(tmp_path)
    node = make_node(tmp_path / "node", secrets, institution="Hôpital fictif", domain="hopital.example", listens=False)
    settings, port = node.folder / "coffre.toml", free_port()
    settings.write_text(settings.read_text().replace("[web]\n# Where", f'[web]\nlisten = "127.0.0.1:{port}"\n# Where'))
    settings.write_text(settings.read_text().replace('listen = ""\n# What others', "# What others"))
    node.json("web", "cert", "--name", "127.0.0.1")
    node.add_mailbox("dr.fictive")
    admitted = node.json("audit", "admit", "Inspection", tmp_path / "admission.json")
    folder = tmp_path / "auditor"
    with node.running():
        sent = node.send("dr.fictive", "dr.fictive@hopital.example", "Essai")
        node.wait_for_state("dr.fictive", sent, "deposited")
        fetched = audit("fetch", folder, tmp_path / "admission.json")
        assert (fetched.status, "new leaves" in fetched.stdout) == (0, True), fetched
        made = node.json("audit", "disclose", "--letter", sent, "--to", admitted["id"], "--out", tmp_path / "d.txt")
        assert made["events"] >= 2
        assert "exists already" in node.refused("audit", "disclose", "--letter", sent, "--out", tmp_path / "d.txt")
        later = audit("verify", folder, tmp_path / "d.txt", "--json")
        assert {item["code"] for item in json.loads(later.stdout)["institutions"][0]["findings"]} <= {"evidence_later"}
        again = json.loads(audit("fetch", folder, "--json").stdout)
        assert again[0]["leaves"] > 0
        watched = audit("watch", folder, "--once", "--json")
        assert watched.status == 0, watched
        assert node.json("log", "fhir", tmp_path / "own.ndjson")["events"] > made["events"]
    verified = audit("verify", folder, tmp_path / "d.txt")
    assert verified.status == 0, verified
    assert "everything checked holds" in verified.stdout
    assert "disclosed events open their leaves" in verified.stdout
    report = audit("report", folder, tmp_path / "rapport.html", tmp_path / "d.txt", "--lang", "fr", "--json")
    assert json.loads(report.stdout)["status"] == report.status == 0
    assert "Rapport d’audit" in (tmp_path / "rapport.html").read_text("utf-8")
    written = audit("fhir", tmp_path / "events.json", tmp_path / "d.txt", "--bundle", "--json")
    bundle = json.loads((tmp_path / "events.json").read_text("utf-8"))
    assert (bundle["type"], len(bundle["entry"])) == ("collection", json.loads(written.stdout)["events"])


def test_defects_end_with_status_1_and_what_is_open_with_3(tmp_path: Path, export: Path) -> None:
    folder = tmp_path / "auditor"
    assert audit("fetch", folder, export).status == 0
    assert audit("verify", folder).status == 0
    tile = next(folder.rglob("tile/0/000"))
    data = tile.read_bytes()
    tile.write_bytes(data[:-1])
    broken = audit("verify", folder, "--json")
    assert broken.status == 1
    (finding,) = json.loads(broken.stdout)["institutions"][0]["findings"]
    assert (finding["code"], finding["place"], finding["severity"]) == ("tile_length", "epoch 1, tile 0/000", "defect")
    assert audit("fetch", folder, "--repair").status == 0
    assert audit("verify", folder).status == 0
    for bundle in folder.rglob("tile/entries/*"):
        if bundle.is_file():
            bundle.unlink()
    assert audit("verify", folder).status == 1
    assert audit("heads", folder, tmp_path / "heads.txt").status == 0
    compared = audit("compare", folder, tmp_path / "heads.txt")
    assert (compared.status, compared.stdout) == (0, "1 heads agree\n")


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("fetch", "{folder}"), "holds no institution yet"),
        (("fetch", "{folder}", "{folder}/none"), "cannot be read"),
        (("fetch", "{folder}", "{export}/log"), "is no exported log"),
        (("fetch", "{folder}", "{export}", "--node", "00000 " * 6), "not of one named with --node"),
        (("verify", "{folder}"), "holds no institution yet"),
        (("report", "{folder}", "{folder}/r.html", "--lang", "de"), "no texts in the language"),
        (("watch", "{folder}", "--once"), "holds no institution yet"),
        (("compare", "{folder}", "{export}/log/epochs"), "no file of heads"),
        (("fhir", "{folder}/out", "{export}/log/epochs"), "no valid disclosure"),
    ],
    ids=["nothing", "no_file", "no_export", "another_node", "verify", "language", "watch", "no_heads", "no_disclosure"],
)
def test_a_mistake_is_one_line(tmp_path: Path, export: Path, arguments: tuple[str, ...], words: str) -> None:
    filled = [item.format(folder=tmp_path / "auditor", export=export) for item in arguments]
    assert words in one_line(run_coffre("audit", *filled))
