"""Auditors, the published log and the web certificate from the command line."""

from __future__ import annotations

import json
import ssl
import stat
from pathlib import Path

import httpx2

from tests.cli.coffre_cli import Secrets, make_node


def test_admitting_an_auditor_and_publishing(tmp_path: Path) -> None:
    secrets = Secrets.write(tmp_path)
    node = make_node(tmp_path / "node", secrets, institution="Hôpital fictif", domain="hopital.example", listens=False)
    admission = tmp_path / "admission.json"
    assert "set [web] listen" in node.refused("audit", "admit", "Inspection", admission)
    settings = node.folder / "coffre.toml"
    settings.write_text(settings.read_text().replace("[web]\n# Where", '[web]\nlisten = "127.0.0.1:0"\n# Where'))
    settings.write_text(settings.read_text().replace('listen = ""\n# What others', "# What others"))
    assert "coffre web cert" in node.refused("audit", "admit", "Inspection", admission)

    made = node.json("web", "cert", "--name", "localhost", "--name", "127.0.0.1")
    assert made["names"] == ["localhost", "127.0.0.1"]
    assert stat.S_IMODE((node.folder / "web/key.pem").stat().st_mode) == 0o600
    admitted = node.json("audit", "admit", "Inspection", admission, "--days", "7")
    assert stat.S_IMODE(admission.stat().st_mode) == 0o600
    assert "exists already" in node.refused("audit", "admit", "Inspection", admission)
    fields = json.loads(admission.read_text())
    assert fields["certificate_sha256"] == made["sha256"]
    headers = {"Authorization": f"Bearer {fields['auditor']}.{fields['token']}"}

    with node.running() as said:
        context = ssl.create_default_context(cafile=node.folder / "web/certificate.pem")
        with httpx2.Client(verify=context, base_url=f"https://{said['web']}") as client:
            leaves = "/log/1/tile/entries/000.p/1"
            assert client.get(leaves).status_code == 401
            assert client.get(leaves, headers=headers).status_code == 200
            (shown,) = node.json("audit", "list")
            assert (shown["id"], shown["name"], shown["ended"]) == (admitted["id"], "Inspection", False)
            assert "--yes" in node.refused("audit", "remove", admitted["id"])
            node.json("audit", "remove", admitted["id"], "--yes")
            assert client.get(leaves, headers=headers).status_code == 401
    assert node.json("audit", "list") == []
    assert "no auditor" in node.refused("audit", "remove", admitted["id"], "--yes")
    assert "no auditor's id" in node.refused("audit", "remove", "zz", "--yes")


def test_exporting_the_log(tmp_path: Path) -> None:
    secrets = Secrets.write(tmp_path)
    node = make_node(tmp_path / "node", secrets, institution="Hôpital fictif", domain="hopital.example", listens=False)
    first = node.json("log", "export", tmp_path / "public", "--entries")
    assert first["leaves"] >= 1
    assert (tmp_path / "public/log/1/checkpoint").read_bytes().startswith(b"coffre/")
    assert node.json("log", "export", tmp_path / "public", "--entries")["files"] == 0
    node.add_mailbox("dr.fictive")
    again = node.json("log", "export", tmp_path / "public")
    assert again["leaves"] > first["leaves"]
    assert again["files"] > 0


def test_settings_of_the_web_server_are_checked(tmp_path: Path) -> None:
    secrets = Secrets.write(tmp_path)
    node = make_node(tmp_path / "node", secrets, institution="Hôpital fictif", domain="hopital.example", listens=False)
    for name, value, said in (
        ("COFFRE_WEB__LISTEN", "nowhere", "HOST:PORT"),
        ("COFFRE_WEB__URL", "http://hopital.example", "https://"),
        ("COFFRE_WEB__KEY_FILE", "key.pem", "go together"),
    ):
        node.env[name] = value
        assert said in node.refused("audit", "list")
        del node.env[name]
