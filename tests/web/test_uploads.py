"""Files of letters that are being written: large, cut off, slow, too much, without scripts."""

from __future__ import annotations

import itertools
import resource
from collections.abc import AsyncIterator
from functools import partial
from pathlib import Path

import pytest
import trio
from starlette.types import Message

from node.app import Node
from node.opening import open_node
from node.vault.states import LetterFolder
from node.web.guard import BodyRule, Guard
from tests.web.people import log_in, people
from tests.web.published import client_of, made_node, running_node
from tests.web.writing import send_whole, start_writing

MIB = 1024 * 1024


def _stored(node: Node) -> list[Path]:
    return [path for path in node.folder.payloads_folder.rglob("*") if path.is_file()]


@pytest.mark.parametrize("size", [0, 1, 256 * 1024 - 1, 256 * 1024, 256 * 1024 + 1, 3 * 256 * 1024])
async def test_a_file_of_any_size_comes_back_as_it_went(tmp_path: Path, size: int) -> None:
    folder = await made_node(tmp_path / "node")
    async with open_node(folder) as node, client_of(node) as client:
        sender, _ = await people(node, "fictive", "exemple")
        await log_in(client, "fictive")
        writer = await start_writing(client, sender)
        data = bytes(index % 251 for index in range(size))
        await writer.attach("a.bin", data)
        await writer.attach("b.bin", b"deuxieme")
        answer = await writer.send(to="exemple@hopital.example")
        assert answer.status_code == 303, answer.text
        (summary,) = await node.reading.page(sender, LetterFolder.SENT)
        opened = await node.reading.open(sender, summary.stored)
        assert b"".join(opened.content.attachment_pieces(0)) == data
        assert b"".join(opened.content.attachment_pieces(1)) == b"deuxieme"


async def test_two_hundred_megabytes_go_up_and_out_in_little_memory(tmp_path: Path) -> None:
    folder = await made_node(tmp_path / "node", settings='listen = "127.0.0.1:0"\n')
    piece, count = bytes(range(256)) * 256, 3200  # 200 MiB

    async with running_node(folder) as (node, client):
        sender, _ = await people(node, "fictive", "exemple")
        await log_in(client, "fictive")
        writer = await start_writing(client, sender)
        await writer.attach("petit.bin", b"x")
        before_kib = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        answer = await writer.attach("grand.bin", itertools.repeat(piece, count))
        assert answer.status_code == 200, answer.text
        assert "200 MB" in answer.text
        sent = await client.post(
            f"{writer.path}/send", data={"csrf": writer.csrf, "to": "exemple@hopital.example"}, timeout=600
        )
        assert sent.status_code == 303, sent.text
        grown_kib = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before_kib
        assert grown_kib < 60 * 1024
        (summary,) = await node.reading.page(sender, LetterFolder.SENT)
        assert summary.letter is not None
        assert [item.size for item in summary.letter.attachments] == [1, len(piece) * count]


async def test_a_form_without_scripts_attaches_files(tmp_path: Path) -> None:
    folder = await made_node(tmp_path / "node")
    async with open_node(folder) as node, client_of(node) as client:
        (mailbox,) = await people(node, "fictive")
        await log_in(client, "fictive")
        writer = await start_writing(client, mailbox)
        files = [("file", ("un.txt", b"un")), ("file", ("deux.bin", bytes(300_000))), ("file", ("", b""))]
        answer = await client.post(f"{writer.path}/files", data={"csrf": writer.csrf}, files=files)
        assert (answer.status_code, answer.headers["location"]) == (303, writer.path)
        page = await writer.page()
        assert "un.txt" in page
        assert "deux.bin" in page
        first, _ = await writer.files()
        assert (await writer.post(f"file/{first}/remove")).status_code == 303
        assert len(await writer.files()) == 1
        # What was taken off leaves the disk by the list of erased files.
        assert len(_stored(node)) == 2
        for bad in (b"", b"--x\r\n", b"--x\r\nA" * 20, b"--x\r\nContent-Disposition: form-data; name=csrf\r\n\r\nab"):
            headers = {"content-type": "multipart/form-data; boundary=x"}
            request = client.build_request("POST", f"{writer.path}/files", content=bad, headers=headers)
            cut = await send_whole(client, request)
            assert cut.status_code in (403, 409), bad
        headers = {"content-type": "multipart/form-data"}
        request = client.build_request("POST", f"{writer.path}/files", content=b"x", headers=headers)
        assert (await send_whole(client, request)).status_code == 409


async def test_what_does_not_fit_is_refused_and_leaves_nothing(tmp_path: Path) -> None:
    folder = await made_node(tmp_path / "node")
    settings = folder / "coffre.toml"
    settings.write_text(settings.read_text().replace("letter_bytes = 2147483648", "letter_bytes = 1048576"))

    async with open_node(folder) as node, client_of(node) as client:
        (mailbox,) = await people(node, "fictive")
        await log_in(client, "fictive")
        writer = await start_writing(client, mailbox)
        # Told by its length, before a byte is read.
        told = await writer.attach("a.bin", bytes(1048577))
        assert told.status_code == 413
        assert "does not fit" in told.text
        assert (await writer.attach("b.bin", itertools.repeat(bytes(65536)))).status_code == 413
        assert _stored(node) == []
        assert (await writer.attach("c.bin", bytes(1048000))).status_code == 200
        assert (await writer.attach("d.bin", bytes(1000))).status_code == 413
        assert len(await writer.files()) == 1
        form = {"csrf": writer.csrf, "text": "x" * 5_000_000}
        long = await send_whole(client, client.build_request("POST", writer.path, data=form))
        assert long.status_code == 413
        assert "Not saved" in (await writer.save(text="x" * 1_100_000)).text


async def test_an_upload_that_breaks_off_leaves_nothing(tmp_path: Path) -> None:
    folder = await made_node(tmp_path / "node", settings='listen = "127.0.0.1:0"\n')
    begun = trio.Event()

    async def body() -> AsyncIterator[bytes]:
        for _ in range(20):
            yield bytes(65536)
        begun.set()
        await trio.sleep_forever()

    async with running_node(folder) as (node, client):
        (mailbox,) = await people(node, "fictive")
        await log_in(client, "fictive")
        writer = await start_writing(client, mailbox)
        async with trio.open_nursery() as nursery:
            url, headers = f"{writer.path}/file?name=a.bin", {"X-Coffre-Form": writer.csrf}
            nursery.start_soon(partial(client.put, url, content=body(), headers=headers))
            await begun.wait()
            with trio.fail_after(60):
                while not _stored(node):
                    await trio.lowlevel.checkpoint()
            nursery.cancel_scope.cancel()
        with trio.fail_after(60):
            while _stored(node):
                await trio.lowlevel.checkpoint()
        assert await writer.files() == []


async def test_a_file_that_a_backup_lacks_is_said_before_anything_is_sent(tmp_path: Path) -> None:
    folder = await made_node(tmp_path / "node")
    async with open_node(folder) as node, client_of(node) as client:
        sender, _ = await people(node, "fictive", "exemple")
        await log_in(client, "fictive")
        writer = await start_writing(client, sender)
        await writer.attach("a.bin", bytes(300_000))
        (path,) = _stored(node)
        path.unlink()
        answer = await writer.send(to="exemple@hopital.example")
        assert answer.status_code == 422
        assert "no longer whole" in answer.text
        assert await node.reading.page(sender, LetterFolder.SENT) == []


async def test_uploads_outlive_the_sweep_and_old_ones_of_nobody_do_not(tmp_path: Path) -> None:
    folder = await made_node(tmp_path / "node")
    async with open_node(folder) as node, client_of(node) as client:
        (mailbox,) = await people(node, "fictive")
        await log_in(client, "fictive")
        writer = await start_writing(client, mailbox)
        await writer.attach("a.bin", b"abc")
        node.store.begin(bytes(16)).finish(bytes(16))
        known = await node.database.read(node.drafts._files.names)
        node.store.sweep(known, node.world.now_ms() + 10**9)
        assert [path.parent.name + path.name for path in _stored(node)] == [name.hex() for name in known]


async def test_discarded_drafts_are_forgotten_after_a_day_with_their_files(tmp_path: Path, database_url: str) -> None:
    folder = await made_node(tmp_path / "node", database=database_url)
    async with open_node(folder) as node, client_of(node) as client:
        (mailbox,) = await people(node, "fictive")
        await log_in(client, "fictive")
        writer = await start_writing(client, mailbox)
        await writer.attach("a.bin", b"abc")
        await writer.post("discard")
        hour_ms = 3_600_000
        assert await node.database.write(node.draft_rows.prune, node.world.now_ms() + 23 * hour_ms) == 0
        assert await node.database.write(node.draft_rows.prune, node.world.now_ms() + 25 * hour_ms) == 1
        assert await node.database.read(node.drafts._files.names) == set()
        assert (await writer.post("restore")).status_code == 404


async def test_a_slow_form_ends_and_a_slow_upload_may_take_its_time(autojump_clock: trio.testing.MockClock) -> None:
    import re

    async def app(scope: object, receive: object, send: object) -> None:
        got = 0
        while True:
            message = await receive()  # type: ignore[operator]
            got += len(message["body"])
            if not message["more_body"]:
                break
        await send({"type": "http.response.start", "status": 200, "headers": []})  # type: ignore[operator]
        await send({"type": "http.response.body", "body": str(got).encode()})  # type: ignore[operator]

    guard = Guard(app, [BodyRule(re.compile("/up"), 1000, 30)])

    async def status(path: str, pauses: list[float], size: int = 1) -> int:
        left, sent = list(pauses), list[Message]()

        async def receive() -> Message:
            await trio.sleep(left.pop(0))
            return {"type": "http.request", "body": bytes(size), "more_body": bool(left)}

        async def send(message: Message) -> None:
            sent.append(message)

        await guard({"type": "http", "path": path, "headers": [], "method": "PUT"}, receive, send)
        return int(sent[0]["status"])

    assert await status("/up", [29] * 100) == 200
    assert await status("/up", [1, 31]) == 408
    assert await status("/form", [20, 20]) == 408
    assert await status("/form", [1, 1]) == 200
    assert await status("/up", [0] * 11, size=100) == 413
    assert await status("/upper", [20, 20]) == 408
