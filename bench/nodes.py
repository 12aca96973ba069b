"""Two nodes to measure: the sender's in this process, the recipient's in one of its own, TLS on loopback."""

from __future__ import annotations

import subprocess
import sys
import tempfile
from collections.abc import AsyncIterator, Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass
from functools import partial
from multiprocessing import get_context
from pathlib import Path
from typing import Final, TypeVar

import sqlalchemy as sa
import trio

from bench.postgresql import PostgreSql
from node.app import Node
from node.errors import RecipientError
from node.opening import open_node
from node.running import run_node
from node.setup import NewNode, init_node, prepare
from node.vault import schema
from node.vault.access import OpenMailbox
from node.vault.states import OutboxState
from protocol.crypto import Secret
from protocol.invite import decode_invite

__all__ = [
    "PASSWORD",
    "TwoNodes",
    "accept",
    "add_mailbox",
    "children_memory_mb",
    "forget_peak_memory",
    "in_fresh_process",
    "make_node",
    "memory_mb",
    "running_process",
    "serving",
    "two_nodes",
    "wait_directory",
    "wait_ended",
]

PASSWORD: Final = Secret(b"bench password")


async def _free_port() -> int:
    listeners = await trio.open_tcp_listeners(0, host="127.0.0.1")
    port: int = listeners[0].socket.getsockname()[1]
    for listener in listeners:
        await listener.aclose()
    return port


async def make_node(folder: Path, name: str, server: PostgreSql | None = None) -> NewNode:
    """A new node that listens on a free port of loopback, on SQLite or on a database of this server."""
    port = await _free_port()
    new = prepare(
        path=folder / name,
        institution=name,
        domain=f"{name}.example",
        listen=f"127.0.0.1:{port}",
        database="" if server is None else server.new_database(name),
    )
    await init_node(new)
    return new


async def add_mailbox(node: Node, address: str) -> None:
    """A mailbox without a practical limit."""
    new = node.mailboxes.prepare(address=address, name=address, quota_bytes=2**40)
    await node.mailboxes.create(new, PASSWORD)


async def accept(node: Node, other: Node) -> None:
    """Accept another node's invitation."""
    await node.database.write(node.peers.accept, decode_invite(other.invitation()))


@dataclass(frozen=True, slots=True)
class TwoNodes:
    """A running sender here, its open mailbox; the process of the recipient's node, and the recipient's address."""

    sender: Node
    mailbox: OpenMailbox
    recipient_process: subprocess.Popen[bytes]
    address: str


@asynccontextmanager
async def two_nodes(server: PostgreSql | None = None) -> AsyncIterator[TwoNodes]:
    """Two institutions that know each other, linked."""
    with tempfile.TemporaryDirectory(prefix="coffre-bench-") as place:
        folder = Path(place)
        here, there = [await make_node(folder, name, server) for name in ("here", "there")]
        async with open_node(here.path) as sender:
            async with open_node(there.path) as recipient:
                await add_mailbox(sender, "a@here.example")
                await add_mailbox(recipient, "b@there.example")
                await accept(sender, recipient)
                await accept(recipient, sender)
            with running_process(there.path) as process:
                async with serving(sender):
                    await wait_directory(sender, "b@there.example")
                    mailbox = await sender.mailboxes.open("a@here.example", PASSWORD)
                    yield TwoNodes(sender, mailbox, process, "b@there.example")


@asynccontextmanager
async def serving(node: Node) -> AsyncIterator[None]:
    """The node running in this process for as long as the block lasts."""
    async with trio.open_nursery() as nursery:
        stop = trio.Event()
        await nursery.start(partial(run_node, node, stop=stop))
        yield
        stop.set()


@contextmanager
def running_process(folder: Path) -> Iterator[subprocess.Popen[bytes]]:
    """`coffre run` in a process of its own, serving; ended by SIGTERM."""
    command = [sys.executable, "-m", "node.cli.main", "-C", str(folder), "run", "--json"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as process:
        try:
            assert process.stdout is not None
            if not process.stdout.readline():
                raise RuntimeError("coffre run ended before it served")
            yield process
        finally:
            process.terminate()


def memory_mb(pid: int, field: str) -> float:
    """Megabytes of a process: VmRSS now, VmHWM at most so far (Linux)."""
    for line in Path(f"/proc/{pid}/status").read_text(encoding="ascii").splitlines():
        name, _, value = line.partition(":")
        if name == field:
            return int(value.split()[0]) / 1024
    raise RuntimeError(f"no {field} of process {pid}")


def children_memory_mb(pid: int) -> float:
    """VmHWM of the processes that this one started and that live, added up (Linux)."""
    total = 0.0
    for stat in Path("/proc").glob("[0-9]*/stat"):
        with suppress(OSError, RuntimeError):  # it ended meanwhile
            if int(stat.read_text(encoding="ascii", errors="replace").rpartition(")")[2].split()[1]) == pid:
                total += memory_mb(int(stat.parent.name), "VmHWM")
    return total


def forget_peak_memory(pid: int) -> None:
    """Begin VmHWM anew: opening a keyring takes 64 MiB for Argon2id, which is not what is to be measured (Linux)."""
    Path(f"/proc/{pid}/clear_refs").write_text("5", encoding="ascii")


T = TypeVar("T")


def in_fresh_process(function: Callable[..., T], *arguments: object) -> T:
    """Call a function of a module in a new process: its memory is not that of the benchmarks before it."""
    with ProcessPoolExecutor(max_workers=1, mp_context=get_context("spawn")) as pool:
        return pool.submit(function, *arguments).result()


async def wait_directory(node: Node, address: str) -> None:
    """Wait until the node knows this mailbox."""
    with trio.fail_after(30):
        while True:
            try:
                await node.database.read(node.directory.find, address)
            except RecipientError:
                await trio.sleep(0.05)
            else:
                return


async def wait_ended(node: Node, *, look_every_s: float = 0.02, within_s: float = 300) -> None:
    """Wait until the evidence of everything sent is here and verified."""
    table = schema.outbox
    query = sa.select(table.c.id).where(table.c.state != OutboxState.ENDED).limit(1)

    def waits(connection: sa.Connection) -> bool:
        return connection.execute(query).one_or_none() is not None

    with trio.fail_after(within_s):
        while await node.database.read(waits):
            await trio.sleep(look_every_s)
