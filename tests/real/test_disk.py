"""A full disk, a database that somebody else holds, a crowd of strangers: nothing is lost, and mail goes on."""

from __future__ import annotations

import json
import os
import sqlite3
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import trio

from tests.cli.coffre_cli import Node, Secrets, eventually, introduce, make_node, one_line

TO = "dr.exemple@lilas.example"


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A disk of 40 MB of its own. Needs root on Linux."""
    if sys.platform != "linux" or os.geteuid() != 0:
        pytest.skip("a small disk is mounted as root on Linux only")
    place = tmp_path / "disk"
    place.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=40m", "tmpfs", place], check=False, capture_output=True
    )
    if mounted.returncode:
        pytest.skip(f"no small disk can be mounted here: {mounted.stderr.decode().strip()}")
    yield place
    subprocess.run(["umount", "-l", place], check=True)


def _pair(here: Path, there: Path, secrets: Secrets, *, sender_listens: bool = True) -> tuple[Node, Node]:
    """One dials, the other listens. Start the listening one first: who finds nobody tries again after 15 seconds."""
    sender = make_node(
        here, secrets, institution="Hôpital des Tilleuls", domain="tilleuls.example", listens=sender_listens
    )
    recipient = make_node(
        there, secrets, institution="Cabinet des Lilas", domain="lilas.example", listens=not sender_listens
    )
    sender.add_mailbox("dr.fictive")
    recipient.add_mailbox("dr.exemple")
    introduce(sender, recipient)
    return sender, recipient


def _first_letter(sender: Node) -> None:
    eventually(lambda: sender.try_send("dr.fictive", TO, "Premier courrier"), lambda done: done.status == 0)


def _fill(place: Path) -> Path:
    """Take all that is left of a disk, to the last byte."""
    filler = place / "filler"
    with filler.open("wb", buffering=0) as stream:
        for size in (1 << 20, 4096, 1):
            try:
                while True:
                    stream.write(bytes(size))
            except OSError:
                continue
    return filler


def test_recipient_with_a_full_disk_takes_the_letter_once_there_is_room(tmp_path: Path, small_disk: Path) -> None:
    secrets = Secrets.write(tmp_path)
    sender, recipient = _pair(tmp_path / "sender", small_disk / "recipient", secrets)
    attachment = tmp_path / "image.dcm"
    attachment.write_bytes(os.urandom(3_000_000))
    with sender.running():
        with recipient.running():
            _first_letter(sender)
            filler = _fill(small_disk)
            rows = [
                sender.send("dr.fictive", TO, "Disque plein"),
                sender.send("dr.fictive", TO, "Disque plein, image", "--attach", attachment),
            ]
            eventually(lambda: sender.json("outbox"), lambda items: len(items) >= 2)
            filler.unlink()
        # A start, so that nobody waits for the next attempt: minutes are right for a disk, not for a test.
        with recipient.running():
            sender.json("outbox", "retry")
            for row in rows:
                sender.wait_for_state("dr.fictive", row, "deposited")
            subjects = [letter["subject"] for letter in recipient.inbox("dr.exemple")]
            assert sorted(subjects) == ["Disque plein", "Disque plein, image", "Premier courrier"]


def test_sender_with_a_full_disk_refuses_in_one_line_and_keeps_nothing(tmp_path: Path, small_disk: Path) -> None:
    secrets = Secrets.write(tmp_path)
    sender, recipient = _pair(small_disk / "sender", tmp_path / "recipient", secrets)
    attachment = tmp_path / "image.dcm"
    attachment.write_bytes(os.urandom(3_000_000))
    with sender.running(), recipient.running():
        _first_letter(sender)
        filler = _fill(small_disk)
        for options in ((), ("--attach", attachment)):
            refused = sender.try_send("dr.fictive", TO, "Refusée", *options)
            assert json.loads(one_line(refused))["error"] in ("store", "limit")
        filler.unlink()
        row = sender.send("dr.fictive", TO, "De nouveau")
        sender.wait_for_state("dr.fictive", row, "deposited")
        assert [letter["subject"] for letter in recipient.inbox("dr.exemple")] == ["De nouveau", "Premier courrier"]


def test_database_that_finds_no_room_to_be_opened_says_so(tmp_path: Path, small_disk: Path) -> None:
    secrets = Secrets.write(tmp_path)
    node = make_node(small_disk / "node", secrets, institution="Cabinet", domain="lilas.example", listens=False)
    filler = _fill(small_disk)
    assert "make room" in node.refused("outbox")
    filler.unlink()
    assert node.json("outbox") == []


@contextmanager
def _read_only(folder: Path) -> Iterator[None]:
    """What is opened in the folder from now on cannot be written. Needs root on Linux."""
    if sys.platform != "linux" or os.geteuid() != 0:
        pytest.skip("a folder is made read-only as root on Linux only")
    mounted = subprocess.run(["mount", "--bind", folder, folder], check=False, capture_output=True)
    if mounted.returncode:
        pytest.skip(f"nothing can be mounted here: {mounted.stderr.decode().strip()}")
    try:
        subprocess.run(["mount", "-o", "remount,ro,bind", folder], check=True)
        yield
    finally:
        subprocess.run(["umount", "-l", folder], check=True)


def test_read_only_folder_is_said_in_one_line_and_mail_goes_on_once_it_can_be_written(tmp_path: Path) -> None:
    secrets = Secrets.write(tmp_path)
    sender, recipient = _pair(tmp_path / "sender", tmp_path / "recipient", secrets)
    attachment = tmp_path / "image.dcm"
    attachment.write_bytes(os.urandom(3_000_000))
    with sender.running(), recipient.running():
        _first_letter(sender)
        with _read_only(recipient.folder):
            row = sender.send("dr.fictive", TO, "Une image", "--attach", attachment)
            eventually(lambda: sender.json("outbox"), lambda items: len(items) > 0)
            refused = recipient.try_send("dr.exemple", "dr.fictive@tilleuls.example", "Refusée")
            assert json.loads(one_line(refused))["error"] == "store"
        sender.json("outbox", "retry")
        sender.wait_for_state("dr.fictive", row, "deposited")


def test_database_that_another_program_holds(tmp_path: Path) -> None:
    secrets = Secrets.write(tmp_path)
    sender, recipient = _pair(tmp_path / "sender", tmp_path / "recipient", secrets)
    with sender.running(), recipient.running():
        _first_letter(sender)
        held, release = threading.Event(), threading.Event()

        def hold() -> None:
            connection = sqlite3.connect(recipient.folder / "vault.db", isolation_level=None)
            connection.execute("BEGIN IMMEDIATE")
            held.set()
            release.wait()
            connection.execute("ROLLBACK")
            connection.close()

        holder = threading.Thread(target=hold)
        holder.start()
        assert held.wait(60)
        row = sender.send("dr.fictive", TO, "Base occupée")
        # The first letter may be there too: nobody waited for it.
        eventually(lambda: sender.json("outbox"), lambda items: len(items) > 0)
        release.set()
        holder.join()
        sender.wait_for_state("dr.fictive", row, "deposited")


def test_strangers_that_say_nothing_keep_nobody_out(tmp_path: Path) -> None:
    secrets = Secrets.write(tmp_path)
    sender, recipient = _pair(tmp_path / "sender", tmp_path / "recipient", secrets, sender_listens=False)
    with recipient.running() as started:
        host, _, port = started["listening"].rpartition(":")

        async def crowd() -> None:
            streams = [await trio.open_tcp_stream(host, int(port)) for _ in range(300)]
            with sender.running():
                await trio.to_thread.run_sync(_first_letter, sender)
                row = await trio.to_thread.run_sync(sender.send, "dr.fictive", TO, "Malgré la foule")
                await trio.to_thread.run_sync(sender.wait_for_state, "dr.fictive", row, "deposited")
            for stream in streams:
                await trio.aclose_forcefully(stream)

        trio.run(crowd)
