"""A backup with one byte changed, cut off, moved or added is refused. Spec: spec/backup.md, 2."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest
import trio
import trio.testing
from hypothesis import given
from hypothesis import strategies as st

from node.backup.reading import check_backup
from node.backup.records import ArchivedFile, Begin, End, PayloadData, Record, decode_record, encode_record
from node.errors import BackupError
from protocol.backup import (
    COMMITMENT_BYTES,
    PREFIX_BYTES,
    SEALED_CHUNK_BYTES,
    BackupHeader,
    BackupOpener,
    BackupSealer,
    decode_header,
    header_length,
)
from protocol.crypto import Secret
from protocol.errors import LocalProtocolError, Reason, RemoteProtocolError
from protocol.ids import NodeId
from tests.backup.copies import write_backup
from tests.post.harness import Federation, settled

KEY = Secret(bytes(range(32)))
HEADER = BackupHeader(node=NodeId(bytes(32)), made_at_ms=1, keyring=b"sealed", salt=bytes(32))
BEGIN = Begin(node=HEADER.node, made_at_ms=1, revision="0001", institution="Essai", epoch=1, size=0)
END = End(rows=0, payloads=0, gone=0)


@dataclass(frozen=True, slots=True)
class Sample:
    """A small real backup, and where its chunks begin."""

    folder: Path
    data: bytes
    key: Secret
    chunks_at: int

    def check(self, data: bytes) -> None:
        """Check it as a file."""
        path = self.folder / "changed.backup"
        path.write_bytes(data)
        check_backup(path, lambda _header: self.key)

    def refuses(self, data: bytes) -> None:
        """Both refuse it: nothing but BackupError, in one line."""
        with pytest.raises(BackupError) as refused:
            self.check(data)
        assert "\n" not in refused.value.message


@pytest.fixture(scope="module")
def sample(tmp_path_factory: pytest.TempPathFactory) -> Sample:
    """A backup of three chunks."""
    folder = tmp_path_factory.mktemp("sample")
    document = folder / "document.bin"
    document.write_bytes(bytes(500_000))

    async def make() -> Secret:
        async with Federation.opened(folder) as federation:
            a = await federation.make("a")
            await a.add("anna")
            await a.start()
            await a.send("anna", "anna@a.example", files=[document])
            await settled()
            write_backup(a, folder / "a.backup")
            return a.node.keyring.data_key

    key = trio.run(make, clock=trio.testing.MockClock(autojump_threshold=0))
    data = (folder / "a.backup").read_bytes()
    at = PREFIX_BYTES + header_length(data[:PREFIX_BYTES]) + COMMITMENT_BYTES
    made = Sample(folder, data, key, at)
    made.check(data)
    assert len(data) - at > 2 * SEALED_CHUNK_BYTES
    return made


@given(data=st.data())
def test_changed_byte(sample: Sample, data: st.DataObject) -> None:
    # As many in the header as in all the rest: there each byte is of another sort.
    where = st.one_of(st.integers(0, sample.chunks_at - 1), st.integers(sample.chunks_at, len(sample.data) - 1))
    at, change = data.draw(where), data.draw(st.integers(1, 255))
    changed = bytearray(sample.data)
    changed[at] ^= change
    sample.refuses(bytes(changed))


@given(data=st.data())
def test_cut_off(sample: Sample, data: st.DataObject) -> None:
    boundary = sample.chunks_at + SEALED_CHUNK_BYTES * data.draw(st.integers(0, 2))
    length = data.draw(st.one_of(st.integers(0, len(sample.data) - 1), st.just(boundary)))
    sample.refuses(sample.data[:length])


@given(added=st.binary(min_size=1, max_size=100))
def test_continued(sample: Sample, added: bytes) -> None:
    sample.refuses(sample.data + added)


def test_chunks_moved_left_out_and_doubled(sample: Sample) -> None:
    at, step = sample.chunks_at, SEALED_CHUNK_BYTES
    start, chunks = sample.data[:at], [sample.data[i : i + step] for i in range(at, len(sample.data), step)]
    first, second, *rest = chunks
    for order in ([second, first, *rest], [second, *rest], [first, first, second, *rest], [*rest, first, second]):
        sample.refuses(start + b"".join(order))


def test_another_key_does_not_open(sample: Sample) -> None:
    with pytest.raises(BackupError, match="damaged or no backup"):
        check_backup(sample.folder / "a.backup", lambda _header: KEY)


@pytest.mark.parametrize("missing", ["absent.backup", "."], ids=["absent", "a folder"])
def test_no_file(sample: Sample, missing: str) -> None:
    with pytest.raises(BackupError):
        check_backup(sample.folder / missing, lambda _header: KEY)


def sealed(folder: Path, *bodies: bytes) -> Path:
    """A file with a right seal over these contents."""
    sealer = BackupSealer(KEY, HEADER)
    path = folder / "made.backup"
    path.write_bytes(sealer.start + b"".join(sealer.update(b"".join(bodies))) + sealer.finish())
    return path


def records(*items: Record) -> bytes:
    return b"".join(encode_record(item) for item in items)


@pytest.mark.parametrize(
    "content",
    [
        pytest.param(b"", id="nothing"),
        pytest.param(records(BEGIN), id="no end"),
        pytest.param(records(END), id="no begin"),
        pytest.param(records(BEGIN, BEGIN, END), id="begun twice"),
        pytest.param(records(BEGIN, END, END), id="ended twice"),
        pytest.param(records(BEGIN, End(rows=1, payloads=0, gone=0)), id="another count"),
        pytest.param(records(BEGIN, PayloadData(b"x"), END), id="chunk of no payload"),
        pytest.param(records(BEGIN, END)[:-1], id="record cut short"),
        pytest.param(records(BEGIN, END) + b"\xff\xff\xff\xff", id="record too long"),
        pytest.param(records(BEGIN) + b"\0\0\0\1\x01" + records(END), id="no record"),
        pytest.param(records(BEGIN) + b"\0\0\0\4\x92\xa1x\x80" + records(END), id="unknown word"),
    ],
)
def test_content_that_is_no_backup(tmp_path: Path, content: bytes) -> None:
    with pytest.raises(BackupError):
        check_backup(sealed(tmp_path, content), lambda _header: KEY)
    assert check_backup(sealed(tmp_path, records(BEGIN, END)), lambda _header: KEY).institution == "Essai"


@pytest.mark.parametrize("record", [BEGIN, END, ArchivedFile("head", b"x"), PayloadData(b"y")], ids=repr)
def test_record_comes_back_as_it_was(record: Record) -> None:
    assert decode_record(encode_record(record)[4:]) == record


@pytest.mark.parametrize(
    ("read", "reason"),
    [
        pytest.param(lambda: header_length(b"coffre backup 2\n\0\0\0\0"), Reason.MALFORMED, id="another version"),
        pytest.param(lambda: header_length(b"coffre backup 1\n\xff\0\0\0"), Reason.TOO_LARGE, id="too large"),
        pytest.param(lambda: decode_header(b"\x80"), Reason.MALFORMED, id="empty header"),
        pytest.param(lambda: BackupOpener(KEY, HEADER, bytes(32)), Reason.BAD_COMMITMENT, id="commitment"),
    ],
)
def test_start_of_a_file(read: Callable[[], object], reason: Reason) -> None:
    with pytest.raises(RemoteProtocolError) as refused:
        read()
    assert refused.value.reason is reason


def test_header_of_the_wrong_size_is_not_written() -> None:
    with pytest.raises(LocalProtocolError):
        BackupHeader(node=HEADER.node, made_at_ms=1, keyring=b"x", salt=b"short").encode()
