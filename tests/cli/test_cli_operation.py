"""A running node as its operator sees it: health, figures, alarms, new settings. Spec: spec/operation.md."""

from __future__ import annotations

import json
import shutil
import socket
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory

import httpx2
import pytest
from prometheus_client.parser import text_string_to_metric_families

from tests.cli.coffre_cli import Node, eventually
from tests.ports import free_port

TOKEN = "a token of more than sixteen"


def test_health_of_a_node_that_does_not_run_or_shows_none(lone: Node) -> None:
    assert "shows no health" in lone.refused("health")
    assert "no node runs" in lone.refused("reload")
    settings = lone.folder / "coffre.toml"
    settings.write_text(settings.read_text("utf-8").replace("[operation]\n", "[operation]\nlisten_ = 1\n"))
    assert "did you mean operation.listen?" in lone.refused("reload")


@pytest.fixture
def on_disk(lone_original: Node) -> Iterator[Node]:
    """The same as lone, on a disk that holds something: temporary folders may lie in memory that holds nothing."""
    with TemporaryDirectory(prefix="coffre-", dir="/var/tmp") as folder:
        copied = shutil.copytree(lone_original.folder, Path(folder) / "lone")
        yield replace(lone_original, folder=copied)


def test_a_service_from_its_start_to_its_end(on_disk: Node, tmp_path: Path) -> None:
    lone = on_disk
    settings = lone.folder / "coffre.toml"
    port = free_port()

    def change(*pairs: tuple[str, str]) -> None:
        text = settings.read_text("utf-8")
        for old, new in pairs:
            assert old in text
            text = text.replace(old, new)
        settings.write_text(text)

    (lone.folder / "token").write_text(TOKEN)
    before, _, rest = settings.read_text("utf-8").partition("[operation]\n")
    rest = rest.replace('listen = ""', f'listen = "127.0.0.1:{port}"').replace(
        'token_file = ""', 'token_file = "token"'
    )
    settings.write_text(f"{before}[operation]\n{rest}")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as systemd:
        systemd.bind(str(tmp_path / "notify"))
        systemd.settimeout(45)
        lone.env["NOTIFY_SOCKET"] = str(tmp_path / "notify")
        with lone.running() as started:
            assert systemd.recv(100) == b"READY=1"
            assert started["operation"] == f"127.0.0.1:{port}"
            found = lone.json("health")
            assert found == {
                "ready": True,
                "checks": {"database": "ok", "disk": "ok", "clock": "ok", "keyring": "ok"},
            }
            url = f"http://127.0.0.1:{port}/metrics"
            assert httpx2.get(url).status_code == 401
            answer = httpx2.get(url, headers={"Authorization": f"Bearer {TOKEN}"})
            assert {"coffre_links", "coffre_events"} <= {
                item.name for item in text_string_to_metric_families(answer.text)
            }

            # The disk is too full from 1 % on: taken up at once, and told of at the next look.
            change(
                ("disk_bulk_percent = 85", "disk_bulk_percent = 1"),
                ("letter_bytes = 2147483648", "letter_bytes = 9999"),
            )
            told = lone.json("reload")
            assert (told["taken"], told["waiting"]) == (["limits.disk_bulk_percent"], ["limits.letter_bytes"])
            assert systemd.recv(100).startswith(b"RELOADING=1\nMONOTONIC_USEC=")
            assert systemd.recv(100) == b"READY=1"
            change(("disk_all_percent = 95", "disk_all_percent = 101"))
            assert "disk_all_percent" in lone.refused("reload")
            change(("disk_all_percent = 101", "disk_all_percent = 95"))
        assert systemd.recv(100) == b"STOPPING=1"
        del lone.env["NOTIFY_SOCKET"]
        # A look comes with each start.
        with lone.running():
            (alarm,) = eventually(lambda: lone.json("alarms"), lambda found: bool(found))
            assert (alarm["code"], alarm["level"], alarm["open"]) == ("disk", 1, True)
            assert alarm["text"].startswith("The disk is filling up: ")
            refused = lone.refused("alarms", "acknowledge", "disk", "--reason", "x" * 60)
            assert "one line of 1 to 42 bytes" in refused
            lone.say("alarms", "acknowledge", alarm["id"][:8], "--reason", "disk ordered")
            (shown,) = lone.json("alarms", "list")
            assert (shown["acknowledged"], shown["reason"]) == (True, "disk ordered")
            assert "disk ordered" in lone.say("alarms")
            assert "nobody is told" in lone.refused("alarms", "test")
            doctor = {check["id"]: check for check in json.loads(lone.run("doctor", "--json").stdout)}
            assert doctor["alarms"]["message"].startswith("disk")


def test_upgrade_has_nothing_to_do_on_a_new_folder(lone: Node) -> None:
    assert "nothing to do" in lone.say("upgrade")
    assert "no copy" in lone.refused("upgrade", "--undo", "--yes")
    assert "--yes" in lone.refused("upgrade", "--undo")
