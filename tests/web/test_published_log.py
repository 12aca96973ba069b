"""The published log: everybody checks heads and tiles, an admitted auditor reads the leaves, nobody else does."""

from __future__ import annotations

import base64
import json
from pathlib import Path
from typing import Any

import httpx2
import pytest
import sqlalchemy as sa
import trio
import trio.testing
from starlette.requests import Request
from starlette.responses import PlainTextResponse
from tlog_scales.backend import LocalBackend
from tlog_scales.reader import TilesReader
from tlog_scales.signing import Vkey

from node.app import Node
from node.audit.daily_heads import DailyHeads, day_number
from node.audit.export_log import LogExport, LogExporter
from node.errors import ConfigError, NotFoundError, StateError
from node.opening import open_node
from node.web.guard import Guard
from node.world import World
from protocol.checkpoint import peek_checkpoint
from protocol.invite import decode_invite
from protocol.merkle import leaf_hash, root_of
from protocol.note import verifier_key
from protocol.pq_line import pq_signed_at_s
from protocol.statement import StatementChain
from protocol.tile_paths import TilePath, tile_path
from tests.web.published import client_of, grow, made_node, running_node

LEAVES = 600
WEB = 'listen = "127.0.0.1:0"\n'


def bearer(admission: bytes) -> dict[str, str]:
    fields = json.loads(admission)
    return {"Authorization": f"Bearer {fields['auditor']}.{fields['token']}"}


async def admit(node: Node, folder: Path) -> bytes:
    if not (folder / "web" / "certificate.pem").exists():
        raise AssertionError("the server was never started")
    return (await node.admit_auditor("Cabinet d'audit fictif", days=30)).encode()


async def download(client: httpx2.AsyncClient, into: Path, headers: dict[str, str]) -> int:
    """Fetch the newest epoch as any tlog-tiles reader does; returns its size."""
    epoch, size = (await client.get("/log/epochs")).raise_for_status().text.split()[-2:]
    prefix = f"/log/{epoch}/"
    wanted = ["checkpoint"]
    for level in range(3):
        count = int(size) >> 8 * level
        for number in range(-(-count // 256)):
            path = TilePath(level, number, min(256, count - number * 256))
            wanted.append(f"tile/{path.text}")
            if level == 0:
                wanted.append(f"tile/{TilePath(None, number, path.width).text}")
    for name in wanted:
        answer = (await client.get(prefix + name, headers=headers)).raise_for_status()
        file = into / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(answer.content)
    return int(size)


def scales(folder: Path, node: Node) -> TilesReader:
    """tlog-scales on a tree of tiles, its head verified."""
    reader = TilesReader(LocalBackend(folder))
    checkpoint = reader.get_checkpoint()
    checkpoint.verify(Vkey.from_string(verifier_key(checkpoint.origin, node.keyring.log.verify_key)))
    reader.set_size(checkpoint.size)
    assert reader.calculate_root_hash() == checkpoint.root_hash
    return reader


async def test_a_reader_that_is_not_ours_verifies_the_whole_tree_over_https(tmp_path: Path) -> None:
    folder = await made_node(tmp_path / "node", settings=WEB)
    async with running_node(folder) as (node, client):
        await grow(node, LEAVES)
        headers = bearer(await admit(node, folder))
        size = await download(client, tmp_path / "copy", headers)
        assert size > LEAVES
        reader = scales(tmp_path / "copy", node)
        for index in (0, 255, 256, size - 1):
            reader.get_inclusion_proof(index, size).check(
                leaf_hash(reader.get_entry(index)), reader.get_checkpoint().root_hash
            )
        assert root_of([leaf_hash(reader.get_entry(index)) for index in range(size)]) == (
            reader.get_checkpoint().root_hash
        )
        lines = (await client.get("/log/statements")).text.split()
        chain = StatementChain.from_raw_list([base64.b64decode(line) for line in lines])
        assert chain == node.keyring.chain


async def test_on_both_stores_tiles_and_leaves_are_those_of_the_log(tmp_path: Path, database_url: str) -> None:
    folder = await made_node(tmp_path / "node", database=database_url, settings=WEB)
    async with open_node(folder) as node:
        await grow(node, LEAVES)
        exported = await export(node, tmp_path / "copy", with_entries=True)
        scales(tmp_path / "copy" / "log" / "1", node)
        assert exported.leaves == LEAVES + 1


async def test_what_everybody_may_read_and_what_not(tmp_path: Path) -> None:
    folder = await made_node(tmp_path / "node", settings=WEB)
    async with running_node(folder) as (node, client):
        await grow(node, 300)
        headers = bearer(await admit(node, folder))
        full = await client.get("/log/1/tile/0/000")
        assert (full.status_code, len(full.content)) == (200, 256 * 32)
        assert "immutable" in full.headers["cache-control"]
        part = await client.get("/log/1/tile/0/001.p/7")
        assert (part.status_code, len(part.content)) == (200, 7 * 32)
        assert part.headers["cache-control"] == "no-store"
        for wrong in ({}, {"Authorization": "Bearer x"}, {"Authorization": headers["Authorization"][:-2] + "AA"}):
            refused = await client.get("/log/1/tile/entries/000", headers=wrong)
            assert refused.status_code == 401
        leaves = await client.get("/log/1/tile/entries/000", headers=headers)
        assert (leaves.status_code, len(leaves.content)) == (200, 256 * 61)
        assert leaves.headers["cache-control"].startswith("private")
        for answer in (full, part, leaves):
            assert answer.headers["content-security-policy"].startswith("default-src 'none'")
            assert answer.headers["x-content-type-options"] == "nosniff"
            assert "server" not in answer.headers


@pytest.mark.parametrize(
    "path",
    [
        "0/0",
        "0/0000",
        "0/x000/000",
        "0/999",
        "0/000.p/0",
        "0/000.p/256",
        "0/000.p/007",
        "0/001.p/255",
        "7/000",
        "00/000",
        "-1/000",
        "entry/000",
        "0/000/",
        "0/000.p/",
        "../../coffre.toml",
        "0/%2e%2e/%2e%2e/keyring",
        "0/٠٠٠",
    ],
)
async def test_no_other_spelling_is_answered(tmp_path: Path, path: str) -> None:
    folder = await made_node(tmp_path / "node", settings=WEB)
    async with open_node(folder) as node, client_of(node) as client:
        await grow(node, 300)
        assert (await client.get(f"/log/1/tile/{path}")).status_code == 404


@pytest.mark.parametrize("epoch", ["0", "2", "99999999999999999999999"])
async def test_no_other_epoch_is_answered(tmp_path: Path, epoch: str) -> None:
    folder = await made_node(tmp_path / "node", settings=WEB)
    async with open_node(folder) as node, client_of(node) as client:
        assert (await client.get(f"/log/{epoch}/checkpoint")).status_code == 404
        assert (await client.get(f"/log/{epoch}/tile/0/000.p/1")).status_code == 404


def test_tile_paths_are_those_of_tlog_tiles() -> None:
    assert TilePath(2, 1_234_067, 256).text == "2/x001/x234/067"
    assert TilePath(None, 5, 13).text == "entries/005.p/13"
    for text in ("0/000", "2/x001/x234/067", "entries/005.p/13", "6/x001/000.p/255"):
        path = tile_path(text)
        assert path is not None
        assert path.text == text


async def test_an_admission_ends_by_time_and_by_hand(tmp_path: Path) -> None:
    folder = await made_node(tmp_path / "node", settings=WEB)
    async with running_node(folder):
        pass  # makes the certificate
    now_ms = [World().now_ms()]
    async with open_node(folder, world=World(now_ms=lambda: now_ms[0])) as node, client_of(node) as client:
        first, second = [await node.admit_auditor(name, days=2) for name in ("Premier", "Second")]

        async def status(admission: Any) -> int:
            return (await client.get("/log/1/tile/entries/000.p/1", headers=bearer(admission.encode()))).status_code

        assert [await status(first), await status(second)] == [200, 200]
        await node.auditors.remove(first.auditor.auditor_id)
        assert [await status(first), await status(second)] == [401, 200]
        now_ms[0] += 2 * 86_400_000
        assert await status(second) == 401
        assert [item.name for item in await node.database.read(node.auditors.list)] == ["Second"]
        with pytest.raises(NotFoundError):
            await node.auditors.remove(first.auditor.auditor_id)
        with pytest.raises(ConfigError):
            await node.admit_auditor("deux\nlignes", days=2)
        with pytest.raises(ConfigError):
            await node.admit_auditor("Pour toujours", days=4000)


async def test_a_token_is_not_in_the_vault_and_an_admission_names_the_node(tmp_path: Path) -> None:
    folder = await made_node(tmp_path / "node", settings=WEB)
    async with running_node(folder) as (node, _):
        admission = await node.admit_auditor("Inspection fictive", days=1)
        fields = json.loads(admission.encode())
        assert decode_invite(fields["invitation"]).chain.node_id == node.node_id
        assert fields["token"] not in repr(admission)
        stored = (folder / "vault.db").read_bytes() + (folder / "vault.db-wal").read_bytes()
        assert admission.token not in stored
        assert b"Inspection fictive" not in stored


async def test_a_log_can_be_for_auditors_alone(tmp_path: Path) -> None:
    folder = await made_node(tmp_path / "node", settings=WEB + "publish_log = false\n")
    async with running_node(folder) as (node, client):
        headers = bearer(await admit(node, folder))
        for path in ("/log/epochs", "/log/statements", "/log/1/checkpoint", "/log/1/tile/0/000.p/1"):
            assert (await client.get(path)).status_code == 401
            assert (await client.get(path, headers=headers)).status_code == 200


async def export(node: Node, folder: Path, *, with_entries: bool = False) -> LogExport:
    return await node.database.read(
        lambda connection: LogExporter(connection, node.keyring.chain, folder, with_entries=with_entries).run()
    )


async def test_an_export_goes_on_where_the_last_one_ended(tmp_path: Path) -> None:
    folder, place = await made_node(tmp_path / "node", settings=WEB), tmp_path / "public"
    async with open_node(folder) as node:
        await grow(node, 700)
        first = await export(node, place)
        assert not (place / "log/1/tile/entries").exists()
        assert (await export(node, place)).files == 0
        await grow(node, 10)
        again = await export(node, place)
        # A partial tile of each of two levels at most, head and sizes.
        assert 0 < again.files <= 4 < first.files
        scales(place / "log" / "1", node)


async def test_an_export_is_not_written_over_another_history(tmp_path: Path) -> None:
    place = tmp_path / "public"
    one = await made_node(tmp_path / "one", settings=WEB)
    async with open_node(one) as node:
        await grow(node, 40)
        await export(node, place)
        kept = (place / "log/1/checkpoint").read_bytes()
        # A head of this very log, of more than there is: what an older copy of the node would meet.
        await grow(node, 1)
        later = await export(node, tmp_path / "later")
        assert later.leaves == 42
    (place / "log/1/checkpoint").write_bytes(kept.replace(b"\n41\n", b"\n40\n"))
    async with open_node(one) as node:
        with pytest.raises(StateError):
            await export(node, place)
    other = await made_node(tmp_path / "other", settings=WEB)
    async with open_node(other) as node:
        await grow(node, 60)
        with pytest.raises(StateError):
            await export(node, tmp_path / "later")


async def answered(app: Any, *pieces: bytes, pause_s: float = 0) -> tuple[int, bytes]:
    """Status and body of the answer to a POST whose body comes in pieces, with pauses before all but the first."""
    waiting, sent = list(pieces), []

    async def receive() -> dict[str, Any]:
        if len(waiting) < len(pieces):
            await trio.sleep(pause_s)
        return {"type": "http.request", "body": waiting.pop(0), "more_body": bool(waiting)}

    async def send(message: Any) -> None:
        sent.append(message)

    await Guard(app)({"type": "http", "method": "POST", "path": "/", "headers": []}, receive, send)
    return sent[0]["status"], b"".join(message.get("body", b"") for message in sent[1:])


async def echo_length(scope: Any, receive: Any, send: Any) -> None:
    body = await Request(scope, receive).body()
    await PlainTextResponse(str(len(body)))(scope, receive, send)


async def test_what_is_too_long_or_too_slow_is_refused(autojump_clock: trio.testing.MockClock) -> None:
    assert await answered(echo_length, b"x" * 65536) == (200, b"65536")
    assert (await answered(echo_length, b"x" * 65536, b"x"))[0] == 413
    assert await answered(echo_length, b"x", b"y", pause_s=29) == (200, b"2")
    assert (await answered(echo_length, b"x", b"y", pause_s=31))[0] == 408


async def test_an_error_tells_nothing_of_itself() -> None:
    async def fails(scope: Any, receive: Any, send: Any) -> None:
        raise RuntimeError("le nom d'un patient")

    assert await answered(fails, b"") == (500, b"internal error\n")


async def test_the_node_stops_though_clients_stay(tmp_path: Path) -> None:
    folder = await made_node(tmp_path / "node", settings=WEB)
    with trio.fail_after(30):
        async with running_node(folder) as (node, client):
            await client.get("/log/epochs")  # a connection that is kept
            host, port = node.web_listening_on.rsplit(":", 1)
            silent = await trio.open_tcp_stream(host, int(port))
            await silent.send_all(b"\x16\x03\x01")  # a handshake that does not go on
        await silent.aclose()


async def test_daily_and_cosigned_heads_are_published(tmp_path: Path) -> None:
    folder = await made_node(tmp_path / "node")
    tomorrow = World(now_ms=lambda: World().now_ms() + 86_400_000)
    async with open_node(folder, world=tomorrow) as node, client_of(node) as client:
        assert (await client.get("/log/1/daily/days")).text == ""
        assert (await client.get("/log/1/cosigned")).status_code == 404
        daily = DailyHeads(node.own_keys.post_quantum, node.cosigned)
        assert await node.database.write(daily.make, None)
        listed = (await client.get("/log/1/daily/days")).text
        day, size = listed.split()
        assert day_number(day) == tomorrow.now_ms() // 86_400_000 - 1
        head = await client.get(f"/log/1/daily/{day}")
        assert peek_checkpoint(head.content).size == int(size)
        assert pq_signed_at_s(head.content, node.keyring.chain.pq_keys())
        for path in ("1970-01-01", day.replace("-", ""), "days/", "2027-02-30"):
            assert (await client.get(f"/log/1/daily/{path}")).status_code in (404, 307)
        assert (await client.get("/log/7/daily/days")).text == ""
        assert (await client.get(f"/log/{2**40}/cosigned")).status_code == 404

        def export(connection: sa.Connection) -> LogExport:
            return LogExporter(connection, node.keyring.chain, tmp_path / "public", with_entries=False).run()

        await node.database.read(export)
        assert (tmp_path / "public/log/1/daily" / day).read_bytes() == head.content
        assert (tmp_path / "public/log/1/daily/days").read_text() == listed
        assert (await node.database.read(export)).files == 0
