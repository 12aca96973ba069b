"""Fetching: only what is new, nothing unchecked, on from where it was cut, and no server can make it endless."""

from __future__ import annotations

from pathlib import Path

import httpx2
import pytest
import trio
import trio.testing

from node.auditor import sources
from node.auditor.fetching import fetch_log
from node.auditor.places import AuditFolder
from node.auditor.sources import FolderSource, HttpsSource, Origin, SourceError, read_origin
from node.errors import ConfigError, LimitError
from node.world import World
from protocol.checkpoint import Checkpoint, log_origin
from protocol.statement import node_digits
from spec.vectors.sample_node import bytes_of
from tests.auditor.scene import NOW_MS, codes, fetch, fetched_copy, grave, made_log, verify
from tests.web.published import grow, made_node, running_node

WEB = 'listen = "127.0.0.1:0"\n'


def test_what_is_new_costs_its_own_bytes(tmp_path: Path) -> None:
    log = made_log(count=20_000)
    fetched_copy(tmp_path / "auditor", log, tmp_path / "export")
    nothing = fetch(tmp_path / "auditor", tmp_path / "export")
    assert (nothing.leaves, nothing.bytes < 8_000) == (0, True)
    log.grow(300)
    log.export(tmp_path / "export")
    new = fetch(tmp_path / "auditor", tmp_path / "export")
    assert new.leaves == 300
    # Leaf and hash of each, the partial tiles anew, statements and head.
    assert new.bytes - nothing.bytes < 300 * 93 + 256 * 93 + 2 * 256 * 32


def test_partial_tiles_that_grew_are_not_kept(tmp_path: Path) -> None:
    log = made_log(count=10)
    copy = fetched_copy(tmp_path / "auditor", log, tmp_path / "export")
    for count in (1, 300, 7):
        log.grow(count)
        log.export(tmp_path / "export")
        fetch(tmp_path / "auditor", tmp_path / "export")
    place = copy.log / "1" / "tile"
    names = {str(item.relative_to(place)) for item in place.rglob("*") if item.is_file()}
    assert {name for name in names if ".p/" in name} == {"0/001.p/63", "1/000.p/1", "entries/001.p/63"}
    assert verify(tmp_path / "auditor").status == 0


class Cut(Exception):
    pass


@pytest.mark.parametrize("after", [1, 3, 4, 5, 7, 9, 11, 12])
def test_a_fetch_that_was_killed_goes_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, after: int) -> None:
    log = made_log(count=300)
    fetched_copy(tmp_path / "auditor", log, tmp_path / "export")
    log.grow(1000)
    log.export(tmp_path / "export")
    left = [after]
    read = FolderSource.get

    async def dies(self: FolderSource, path: str, max_bytes: int) -> bytes | None:
        left[0] -= 1
        if left[0] < 0:
            raise Cut
        return await read(self, path, max_bytes)

    with monkeypatch.context() as patch:
        patch.setattr(FolderSource, "get", dies)
        with pytest.raises(BaseException) as raised:  # noqa: PT011 (a group of them, or one)
            fetch(tmp_path / "auditor", tmp_path / "export")
        assert raised.group_contains(Cut) if isinstance(raised.value, BaseExceptionGroup) else raised.type is Cut
    assert "fork" not in codes(verify(tmp_path / "auditor").findings)
    assert verify(tmp_path / "auditor").status in (0, 3)
    assert grave(fetch(tmp_path / "auditor", tmp_path / "export").findings) == []
    assert verify(tmp_path / "auditor").status == 0


def test_a_log_that_claims_more_than_asked_for_is_refused_before_its_tiles(tmp_path: Path) -> None:
    log = made_log(count=40)
    log.export(tmp_path / "export")
    assert codes(fetch(tmp_path / "auditor", tmp_path / "export", max_leaves=40).findings) == ["too_many"]
    huge = log.sign(Checkpoint(log_origin(log.node.node_id, 1), 2**53 - 1, bytes_of("root")))
    (tmp_path / "export/log/1/checkpoint").write_bytes(huge)
    fetched = fetch(tmp_path / "auditor", tmp_path / "export")
    assert codes(fetched.findings) == ["too_many"]
    assert fetched.bytes < 10_000


def test_a_head_without_tiles_and_tiles_of_another_tree_are_not_taken_in(tmp_path: Path) -> None:
    log = made_log(count=700)
    export = log.export(tmp_path / "export")
    tile = export / "log/1/tile/0/001"
    kept = tile.read_bytes()
    for data, code in ((None, "missing_tile"), (kept[:-1], "tile_length"), (kept[32:] + kept[:32], "bad_tile")):
        tile.unlink() if data is None else tile.write_bytes(data)
        folder = tmp_path / code
        assert grave(fetch(folder, export).findings) == [code]
        copy = AuditFolder(folder).copy_of(log.node.node_id)
        assert not copy.checkpoint(1).exists()
        assert not (copy.log / "1/tile/0/001").exists()
        # The head that was signed is kept all the same: the institution cannot unsay it.
        assert copy.largest_head(1) == 701


def test_a_longer_file_than_it_can_be_is_not_read(tmp_path: Path) -> None:
    export = made_log(count=10).export(tmp_path / "export")
    (export / "log/epochs").write_bytes(b"1 11\n" * 20_000)
    assert codes(fetch(tmp_path / "auditor", export).findings) == ["too_slow"]


async def test_a_server_that_drips_or_never_ends_is_left(autojump_clock: trio.testing.MockClock) -> None:
    async def answer(request: httpx2.Request) -> httpx2.Response:
        return httpx2.Response(200, stream=Endless(60 if request.url.path.endswith("slow") else 0))

    async with httpx2.AsyncClient(transport=httpx2.MockTransport(answer)) as client:
        source = HttpsSource(client, "https://node.example")
        with pytest.raises(LimitError, match="more than the 8192 bytes"):
            await source.get("1/tile/0/000", 8192)
        started = trio.current_time()
        with pytest.raises(LimitError, match="took more than 60 s"):
            await source.get("slow", 8192)
        assert trio.current_time() - started == pytest.approx(60)


class Endless(httpx2.AsyncByteStream):
    """A body without an end."""

    def __init__(self, pause_s: float) -> None:
        self._pause_s = pause_s

    async def __aiter__(self):  # type: ignore[no-untyped-def]
        while True:
            await trio.sleep(self._pause_s / 7)
            yield b"x"


# -- over HTTPS, from a real node


async def test_from_a_node_over_https(tmp_path: Path) -> None:
    folder = await made_node(tmp_path / "node", settings=WEB)
    desk = AuditFolder(tmp_path / "auditor")
    async with running_node(folder) as (node, _):
        admission = await node.admit_auditor("Cabinet d'audit fictif", days=30)
        raw = admission.encode().replace(b"https://127.0.0.1:0", f"https://{node.web_listening_on}".encode())
        (tmp_path / "admission.json").write_bytes(raw)
        origin = read_origin(tmp_path / "admission.json", [])
        assert origin.name == "Hôpital fictif"
        assert origin.bearer not in repr(origin)
        await grow(node, 600)
        first = await fetch_log(desk, origin, now_ms=World().now_ms())
        assert (first.findings, first.leaves > 600) == ([], True)
        assert desk.copy_of(node.node_id).source_file.stat().st_mode & 0o777 == 0o600
        await grow(node, 5)
        again = await fetch_log(desk, origin, now_ms=World().now_ms())
        assert (again.findings, again.leaves) == ([], 5)
        await node.auditors.remove(admission.auditor.auditor_id)
        await grow(node, 5)
        refused = await fetch_log(desk, origin, now_ms=World().now_ms())
        assert codes(refused.findings) == ["leaves_unread"]
    unreachable = await fetch_log(desk, origin, now_ms=World().now_ms())
    assert codes(unreachable.findings) == ["unreachable"]


async def test_another_certificate_than_the_admission_names_is_refused(tmp_path: Path) -> None:
    folder = await made_node(tmp_path / "node", settings=WEB)
    async with running_node(folder) as (node, _):
        raw = (await node.admit_auditor("Inspection fictive", days=1)).encode()
        raw = raw.replace(b"https://127.0.0.1:0", f"https://{node.web_listening_on}".encode())
        origin = Origin.decode(raw)
        other = Origin.decode(raw.replace(origin.certificate_sha256.encode(), b"00" * 32))
        with pytest.raises(SourceError, match="another certificate"):
            async with sources.opened_source(other):
                pass
        unpinned = Origin.decode(raw.replace(origin.certificate_sha256.encode(), b""))
        async with sources.opened_source(unpinned) as source:
            with pytest.raises(SourceError, match="CERTIFICATE_VERIFY_FAILED"):
                await source.get("epochs", 1000)


# -- what an auditor may be given


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[]",
        "{}",
        '{"admission": 2}',
        '{"admission": 1, "url": "http://a.example"}',
        '{"source": 1, "path": 5}',
        "\x00",
    ],
)
def test_no_admission(tmp_path: Path, text: str) -> None:
    (tmp_path / "file").write_text(text)
    with pytest.raises(ConfigError, match="file: "):
        read_origin(tmp_path / "file", [])


def test_an_exported_folder_is_pinned_by_its_digits(tmp_path: Path) -> None:
    log, other = made_log(count=3), made_log("fictive-clinic")
    export = log.export(tmp_path / "export")
    assert not read_origin(export, []).is_confirmed
    assert read_origin(export, [node_digits(log.node.node_id)]).is_confirmed
    assert read_origin(export, [log.node.node_id.text]).is_confirmed
    with pytest.raises(ConfigError, match="not of one named"):
        read_origin(export, [node_digits(other.node.node_id)])
    fetched_copy(tmp_path / "auditor", log, export)
    # The folder now holds another node's log: what was pinned counts.
    other.export(export)
    origin = Origin.decode(AuditFolder(tmp_path / "auditor").copies()[0].source_file.read_bytes())

    async def again() -> list[str]:
        return codes((await fetch_log(AuditFolder(tmp_path / "auditor"), origin, now_ms=NOW_MS)).findings)

    assert trio.run(again) == ["bad_statements"]
