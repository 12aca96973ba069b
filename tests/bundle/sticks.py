"""Nodes that never had a network, and files that are carried between them."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import trio

from node.bundle.report import ReadReport
from node.bundle.writing import BundleSummary
from node.exchange import bundle_reader, bundle_writer
from tests.post.harness import Federation, Institution

__all__ = ["Stick", "apart"]


class Stick:
    """A folder; every bundle gets a name of its own."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        folder.mkdir(exist_ok=True)
        self.summary: BundleSummary
        self._count = 0

    async def write(self, writer: Institution, *to: Institution, max_bytes: int = 0) -> Path:
        """What waits at one for others."""
        self._count += 1
        path = self._folder / f"{self._count:02}-{writer.name}.tar"
        peers = [await writer.node.database.read(writer.node.peers.find, f"{item.name}.example") for item in to]
        self.summary = await bundle_writer(writer.node).write(path, peers, max_bytes=max_bytes)
        return path

    @staticmethod
    async def read(reader: Institution, path: Path) -> ReadReport:
        """Take a bundle in."""
        return await bundle_reader(reader.node).read(path)

    async def carry(self, writer: Institution, reader: Institution, *, max_bytes: int = 0) -> ReadReport:
        """Write at one, read at the other. Some time passes on the way."""
        path = await self.write(writer, reader, max_bytes=max_bytes)
        await trio.sleep(3600)
        return await self.read(reader, path)


@asynccontextmanager
async def apart(
    folder: Path, *, database: str = "", directories: bool = True
) -> AsyncIterator[tuple[Institution, Institution, Stick]]:
    """`anna` at a and `bruno` at b, who accepted each other's invitations; neither node runs.

    database: of b. directories: whether each has the other's directory, by a bundle each way.
    """
    async with Federation.opened(folder) as made:
        a, b = await made.make("a"), await made.make("b", database=database)
        await a.add("anna")
        await b.add("bruno")
        await made.acquaint()
        stick = Stick(folder / "stick")
        if directories:
            for writer, reader in ((b, a), (a, b)):
                report = await stick.carry(writer, reader)
                assert report.complete
                assert not report.problems
        yield a, b, stick
