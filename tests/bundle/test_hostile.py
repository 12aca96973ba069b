"""Files that somebody made or damaged on purpose: nothing altered is ever acted upon."""

from __future__ import annotations

import gzip
import io
import tarfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Literal

import pytest

from node.bundle.rows import BundleRows, ShownState
from node.bundle.verifying import verify_bundle
from node.errors import BundleError
from node.exchange import bundle_reader, bundle_writer
from node.vault.states import DeliveryState
from protocol.bundle import BundleId, Manifest, Member, decode_manifest, sign_manifest
from protocol.bundle_archive import (
    ARCHIVE_END,
    ArchiveReader,
    encode_statements,
    manifest_name,
    padding_after,
    tar_header,
)
from protocol.bundle_items import BundleState
from protocol.crypto import sha256
from protocol.errors import RemoteProtocolError
from tests.bundle.sticks import apart
from tests.post.harness import Institution

Members = list[tuple[str, bytes]]


def _members(data: bytes) -> Members:
    """By a tar reader that is not ours."""
    found: Members = []
    with tarfile.open(fileobj=io.BytesIO(data)) as archive:
        for info in archive:
            content = archive.extractfile(info)
            assert content is not None
            found.append((info.name, content.read()))
    return found


def _archive(members: Members) -> bytes:
    parts = [tar_header(name, len(data)) + data + bytes(padding_after(len(data))) for name, data in members]
    return b"".join(parts) + ARCHIVE_END


def _with(info: tarfile.TarInfo, *, form: Literal[0, 1, 2] = tarfile.USTAR_FORMAT) -> Callable[[Members], bytes]:
    """A member of another sort in the place of the first envelope."""

    def make(members: Members) -> bytes:
        at = next(at for at, (name, _) in enumerate(members) if name.endswith(".envelope"))
        name, data = members[at]
        info.name = info.name or name
        info.size = len(data) if info.isreg() else 0
        block = info.tobuf(form) + (data + bytes(padding_after(len(data))) if info.isreg() else b"")
        return _archive(members[:at])[: -len(ARCHIVE_END)] + block + _archive(members[at + 1 :])

    return make


def _info(name: str = "", **values: object) -> tarfile.TarInfo:
    info = tarfile.TarInfo(name)
    info.mode = 0o600
    for key, value in values.items():
        setattr(info, key, value)
    return info


def _resized(members: Members) -> bytes:
    """A header that says more than there is."""
    data = _archive(members)
    name, content = members[-1]
    at = data.index(tar_header(name, len(content)))
    return data[:at] + tar_header(name, 2**32) + data[at + 512 :]


def _swapped(members: Members) -> bytes:
    """Two envelopes change places, each with its payload."""
    at = [at for at, (name, _) in enumerate(members) if name.endswith(".envelope")]
    contents = [data for _, data in members]
    one, two = at[:2]
    contents[one : one + 2], contents[two : two + 2] = contents[two : two + 2], contents[one : one + 2]
    return _archive([(name, data) for (name, _), data in zip(members, contents, strict=True)])


HOSTILE: dict[str, Callable[[Members], bytes]] = {
    "empty": lambda _members: b"",
    "zeros": lambda _members: bytes(1024),
    "text": lambda _members: b"not a bundle\n" * 100,
    "gzip": lambda members: gzip.compress(_archive(members)),
    "member_missing": lambda members: _archive(members[:-2] + members[-1:]),
    "member_twice": lambda members: _archive([*members, members[-1]]),
    "manifest_twice": lambda members: _archive([members[0], *members]),
    "swapped": _swapped,
    "no_end": lambda members: _archive(members)[: -len(ARCHIVE_END)],
    "half_an_end": lambda members: _archive(members)[:-512],
    "after_the_end": lambda members: _archive(members) + b"\0",
    "path_up": _with(_info("../../etc/passwd")),
    "absolute": _with(_info("/etc/passwd")),
    "symlink": _with(_info(type=tarfile.SYMTYPE, linkname="/etc/passwd")),
    "hard_link": _with(_info(type=tarfile.LNKTYPE, linkname="01/manifest")),
    "device": _with(_info(type=tarfile.CHRTYPE)),
    "folder": _with(_info(type=tarfile.DIRTYPE)),
    "sparse": _with(_info(type=tarfile.GNUTYPE_SPARSE)),
    "long_name": _with(_info("a" * 300), form=tarfile.GNU_FORMAT),
    "pax": _with(_info(pax_headers={"size": "99999999999"}), form=tarfile.PAX_FORMAT),
    "executable": _with(_info(mode=0o755)),
    "owner": _with(_info(uname="root")),
    "time": _with(_info(mtime=1)),
    "resized": _resized,
}


def _snapshot(institution: Institution) -> bytes:
    """The own log's head: nothing that counts happens without a leaf."""
    return institution.node.database.read_now(institution.node.own_log_head)


async def _try(reader: Institution, path: Path) -> str:
    """Read; why it was not read to its end."""
    try:
        return (await bundle_reader(reader.node).read(path)).broken
    except BundleError as error:
        return error.message


async def test_hostile_archives(tmp_path: Path, autojump_clock: object) -> None:
    async with apart(tmp_path) as (a, b, stick):
        for at in range(3):
            await a.send("anna", "bruno@b.example", subject=f"{at}")
        good = (await stick.write(a, b)).read_bytes()
        members = _members(good)
        assert _archive(members) == good
        path = tmp_path / "hostile.tar"
        for name, make in HOSTILE.items():
            path.write_bytes(make(members))
            assert await _try(b, path), name
            assert verify_bundle(path).broken, name
        # At most the whole letters before the damage are there, and the bundle does not count as read.
        assert len(await b.inbox("bruno")) <= 3
        path.write_bytes(good)
        report = await bundle_reader(b.node).read(path)
        assert (report.complete, report.read_before) == (True, False)
        assert len(await b.inbox("bruno")) == 3


async def test_every_byte_of_a_small_bundle(tmp_path: Path, autojump_clock: object) -> None:
    async with apart(tmp_path) as (a, b, stick):
        await a.send("anna", "bruno@b.example")
        good = (await stick.write(a, b)).read_bytes()

    def is_read(data: bytes) -> bool:
        archive = ArchiveReader(io.BytesIO(data).read)
        try:
            while archive.next_section() is not None:
                pass
        except RemoteProtocolError:
            return False
        return True

    assert is_read(good)
    for at in range(len(good)):
        changed = bytearray(good)
        changed[at] ^= 1 << at % 8
        assert not is_read(bytes(changed)), at
    for length in range(0, len(good), 97):
        assert not is_read(good[:length]), length


class _Cut(Exception):
    """The process died here."""


@pytest.mark.parametrize("step", range(0, 12, 2))
async def test_reader_dies_and_reads_again(tmp_path: Path, autojump_clock: object, step: int) -> None:
    document = tmp_path / "scan.bin"
    document.write_bytes(bytes(range(251)) * 3000)
    async with apart(tmp_path) as (a, b, stick):
        letters = [
            await a.send("anna", "bruno@b.example", subject=f"{at}", files=[document] if at % 2 else [])
            for at in range(4)
        ]
        path = await stick.write(a, b)
        good = path.read_bytes()
        # The stick goes after some part of the file; and the reader is killed in the middle of a step.
        cut = tmp_path / "cut.tar"
        cut.write_bytes(good[: len(good) * step // 12])
        assert await _try(b, cut)
        writes = 0
        database = b.node.database
        write_many = database.write_many

        async def dies(handler: object, items: object) -> object:
            nonlocal writes
            writes += 1
            if writes > step:
                raise _Cut
            return await write_many(handler, items)  # type: ignore[arg-type]

        database.write_many = dies  # type: ignore[method-assign, assignment]
        try:
            await bundle_reader(b.node).read(path)
        except* _Cut:
            pass
        database.write_many = write_many  # type: ignore[method-assign]
        await b.close()
        await b.open()
        await b.log_in("bruno")
        report = await stick.read(b, path)
        assert report.complete
        assert report.deposited + report.known == 4
        assert not report.problems
        for at, letter in enumerate(letters):
            opened = await b.read("bruno", letter)
            assert len(opened.letter.attachments) == at % 2
        await stick.carry(b, a)
        for letter in letters:
            assert await a.states("anna", letter) == [DeliveryState.OPENED]


async def test_for_another_node_or_from_a_stranger(tmp_path: Path, autojump_clock: object) -> None:
    async with apart(tmp_path) as (a, b, stick):
        federation = a._federation
        c = await federation.make("c")
        await c.accept(a)
        await a.send("anna", "bruno@b.example")
        path = await stick.write(a, b)
        before = _snapshot(c)
        assert "for another node" in await _try(c, path)
        assert _snapshot(c) == before
        # c knows a and b, b does not know c.
        await c.accept(b)
        path = await stick.write(c, b)
        before = _snapshot(b)
        assert "not accepted" in await _try(b, path)
        assert _snapshot(b) == before
        await b.accept(c)
        assert (await stick.read(b, path)).complete


def _signed_by(raw: bytes, other: Institution, change: Callable[[Manifest], Manifest]) -> bytes:
    return sign_manifest(change(decode_manifest(raw).manifest), other.node.keyring.identity)


def _same(manifest: Manifest) -> Manifest:
    return manifest


async def test_manifest_of_somebody_else(tmp_path: Path, autojump_clock: object) -> None:
    """A member node signs what another one wrote, or says that it is another one."""
    async with apart(tmp_path) as (a, b, stick):
        await a.send("anna", "bruno@b.example")
        members = _members((await stick.write(a, b)).read_bytes())
        path = tmp_path / "forged.tar"

        def forge(change: Callable[[Manifest], Manifest], statements: bytes | None = None) -> None:
            rest = members[1:]
            if statements is not None:
                rest = [(rest[0][0], statements), *rest[1:]]
            forged = _signed_by(members[0][1], b, change)
            path.write_bytes(_archive([(manifest_name(1), forged), *rest]))

        own = encode_statements(b.node.keyring.chain)
        row = Member(decode_manifest(members[0][1]).manifest.members[0].kind, len(own), sha256(own))

        def with_own(manifest: Manifest) -> Manifest:
            return replace(manifest, members=(row, *manifest.members[1:]))

        before = _snapshot(b)
        for change, statements in (
            (_same, None),
            (with_own, own),
            (lambda manifest: replace(with_own(manifest), sender=b.node.node_id), own),
            (lambda manifest: replace(manifest, statement_number=1), None),
            (lambda manifest: replace(manifest, made_at_ms=1), None),
        ):
            forge(change, statements)
            assert await _try(b, path)
        assert _snapshot(b) == before


async def test_envelopes_of_another_writer_in_ones_own_bundle(tmp_path: Path, autojump_clock: object) -> None:
    """A thief of a stick puts its letters into a bundle of its own: they are refused, and stay with their sender."""
    async with apart(tmp_path) as (a, b, stick):
        federation = a._federation
        c = await federation.make("c")
        for one, other in ((c, b), (b, c)):
            await one.accept(other)
        letter = await a.send("anna", "bruno@b.example")
        stolen = _members((await stick.write(a, b)).read_bytes())
        envelope, payload = (data for name, data in stolen if name.endswith((".envelope", ".payload")))
        own = _members((await stick.write(c, b)).read_bytes())
        rows = [
            row for row in decode_manifest(stolen[0][1]).manifest.members if row.kind.word in ("envelope", "payload")
        ]

        def added(manifest: Manifest) -> Manifest:
            return replace(manifest, members=(*manifest.members, *rows))

        count = len(own)
        names = (f"01/{count:05}.envelope", f"01/{count + 1:05}.payload")
        manifest = _signed_by(own[0][1], c, added)
        path = tmp_path / "stolen.tar"
        path.write_bytes(_archive([(manifest_name(1), manifest), *own[1:], (names[0], envelope), (names[1], payload)]))
        report = await stick.read(b, path)
        assert dict(report.refused) == {"not_for_us": 1}
        assert not await b.inbox("bruno")
        assert (await stick.carry(a, b)).deposited == 1
        await stick.carry(b, a)
        assert await a.states("anna", letter) == [DeliveryState.DEPOSITED]


async def test_never_overwrites_and_leaves_nothing(tmp_path: Path, autojump_clock: object) -> None:
    async with apart(tmp_path) as (a, b, stick):
        path = await stick.write(a, b)
        before = path.read_bytes()
        peer = await a.node.database.read(a.node.peers.find, "b.example")
        with pytest.raises(BundleError, match="never overwritten"):
            await bundle_writer(a.node).write(path, [peer])
        assert path.read_bytes() == before
        with pytest.raises(BundleError, match="more are needed"):
            await bundle_writer(a.node).write(path.with_name("small.tar"), [peer], max_bytes=5000)
        with pytest.raises(BundleError, match="cannot be written"):
            await bundle_writer(a.node).write(tmp_path / "missing" / "x.tar", [peer])
        assert [item.suffix for item in path.parent.iterdir()] == [".tar"] * len(list(path.parent.iterdir()))
        assert not (path.parent / "small.tar").exists()


async def test_state_of_nonsense_keeps_no_letter_back(tmp_path: Path, autojump_clock: object) -> None:
    """A member node may write what it likes into its own state."""
    async with apart(tmp_path) as (a, b, stick):
        await a.send("anna", "bruno@b.example")
        now_ms = a.node.world.now_ms()
        holds = {a.node.node_id: 2**53, b.node.node_id: 2**53}
        state = BundleState(heads=(), seen=(b"junk", b"more junk"), read=(BundleId(bytes(16)),), holds=holds)
        shown = ShownState(node=b.node.node_id, made_at_ms=now_ms + 10**12, state=state)
        assert await a.node.database.write(BundleRows(a.node.keys).show, shown) == 0
        assert (await stick.carry(a, b)).deposited == 1
        # Its clock is taken for ours at most: what it says later counts.
        assert (await stick.carry(b, a)).results == 1
        known = await a.node.database.read(BundleRows(a.node.keys).peer, b.node.node_id)
        assert known.state is not None
        assert known.state.seen != state.seen
