"""The file of a bundle: written beside its name, synced, read back, then named. Spec: spec/bundle.md, 1 and 2."""

from __future__ import annotations

import errno
import glob
import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import BinaryIO

from node.errors import BundleError
from node.folder import sync_folder
from protocol.bundle import Member
from protocol.bundle_archive import ArchiveReader, padding_after, tar_header
from protocol.errors import RemoteProtocolError

__all__ = ["framed", "framed_whole", "give_name", "refuse_to_overwrite", "told", "write_beside"]

Progress = Callable[[int], None]


def framed_whole(name: str, content: bytes) -> Iterator[bytes]:
    """A member of the archive."""
    return framed(name, len(content), [content])


def framed(name: str, size: int, content: Iterable[bytes]) -> Iterator[bytes]:
    """The same in pieces. size: of all of them."""
    yield tar_header(name, size)
    yield from content
    yield bytes(padding_after(size))


def write_beside(
    path: Path, pieces: Iterable[bytes], expected: Sequence[tuple[Member, ...]], *, total: int, progress: Progress
) -> Path:
    """Write beside the name, sync, read back. Returns the temporary file; after an error there is none.

    expected: the members of each section. total: at most so many bytes. progress: called with those written, and read.
    """
    _remove_leftovers(path)
    _check_room(path.parent, total)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.new")
    try:
        descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "wb") as stream:
            done = 0
            for piece in pieces:
                stream.write(piece)
                done += len(piece)
                progress(done)
            stream.flush()
            os.fsync(stream.fileno())
            # So that reading back reads the stick, not what the kernel remembers of it.
            os.posix_fadvise(stream.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
        with temporary.open("rb") as stream:
            _read_back(stream, expected, lambda position: progress(done + position))
    except BaseException:
        with suppress(OSError):
            temporary.unlink(missing_ok=True)
        raise
    return temporary


def _read_back(stream: BinaryIO, expected: Sequence[tuple[Member, ...]], progress: Progress) -> None:
    archive = ArchiveReader(stream.read)
    found = []
    try:
        while (section := archive.next_section()) is not None:
            found.append(section.manifest.members)
            while (member := section.next_member()) is not None:
                section.take(*member)
                progress(archive.position)
    except RemoteProtocolError as error:
        raise BundleError(f"what was written does not read back ({error})", hint="try another stick") from error
    if found != list(expected):
        raise BundleError("what was written does not read back whole", hint="try another stick")


def _check_room(folder: Path, total: int) -> None:
    free = os.statvfs(folder)
    free_bytes = free.f_bavail * free.f_frsize
    if total > free_bytes:
        raise BundleError(
            f"{total} bytes do not fit: {folder} has {free_bytes} free", hint=f"give --max-bytes {free_bytes * 9 // 10}"
        )


def refuse_to_overwrite(path: Path) -> None:
    """BundleError if anything has this name."""
    if os.path.lexists(path):
        raise BundleError(f"{path} exists; a bundle is never overwritten", hint="name a new file")


def give_name(temporary: Path, path: Path) -> int:
    """Rename; the size. The name is taken first: sticks have no hard links, and a rename would replace."""
    size = temporary.stat().st_size
    try:
        os.close(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600))
    except FileExistsError:
        refuse_to_overwrite(path)
        raise
    try:
        temporary.replace(path)
    except OSError:
        path.unlink(missing_ok=True)
        raise
    sync_folder(path.parent)
    return size


def _remove_leftovers(path: Path) -> None:
    """What processes that were killed while writing left under this name; those that live are spared."""
    for found in path.parent.glob(f".{glob.escape(path.name)}.*.new"):
        number = found.name.removesuffix(".new").rpartition(".")[2]
        if number.isdigit() and not Path(f"/proc/{number}").exists():
            found.unlink(missing_ok=True)


def told(path: Path, error: OSError) -> BundleError:
    """What the system refused, for a person."""
    hint = "give --max-bytes" if error.errno in (errno.ENOSPC, errno.EFBIG) else ""
    return BundleError(f"the bundle cannot be written to {path}: {error.strerror}", hint=hint)
