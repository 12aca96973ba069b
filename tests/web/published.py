"""A node with a grown log, and a client of its web server."""

from __future__ import annotations

import ssl
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

import httpx2
import trio

from node.app import Node
from node.opening import open_node
from node.running import run_node
from node.setup import init_node, prepare
from node.vault.database import Transaction
from node.web.site import build_site
from node.world import World
from protocol.details import Details
from protocol.logleaf import EventKind
from tests.prepared import copied

__all__ = ["client_of", "grow", "made_node", "running_node"]


async def made_node(
    folder: Path,
    *,
    database: str = "",
    settings: str = "",
    institution: str = "Hôpital fictif",
    domain: str = "hopital.example",
    listen: str = "",
) -> Path:
    """A new node's folder, with these lines in its section [web]. listen: for other nodes; empty = it only dials."""
    database = database if database.startswith("postgresql") else ""

    async def make(path: Path) -> None:
        new = prepare(
            path=path, institution=institution, domain=domain, listen=listen, database=database, world=World()
        )
        await init_node(new, World())

    if database:
        await make(folder)
    else:
        await copied(folder, ("web", institution, domain, listen), make)
    file = folder / "coffre.toml"
    text = file.read_text()
    before, _, rest = text.partition("[web]\n")
    after = rest.partition("[discovery]\n")[2]
    file.write_text(f"{before}[web]\n{settings}[discovery]\n{after}")
    return folder


async def grow(node: Node, count: int) -> None:
    """Append so many leaves, in transactions of their own every hundred."""

    def append(tx: Transaction, items: Sequence[int]) -> Sequence[None]:
        for _ in items:
            tx.log.append(EventKind.STARTED, Details(node=node.node_id))
        return [None] * len(items)

    for start in range(0, count, 100):
        await node.database.write_many(append, range(min(100, count - start)))


def client_of(node: Node) -> httpx2.AsyncClient:
    """A client that speaks to the node's site without a socket."""
    return httpx2.AsyncClient(transport=httpx2.ASGITransport(app=build_site(node)), base_url="https://node.example")


@asynccontextmanager
async def running_node(folder: Path, *, listen: str | None = "") -> AsyncIterator[tuple[Node, httpx2.AsyncClient]]:
    """The node, running, and a client over real TLS that trusts its certificate alone. listen: None = as it is set."""
    async with open_node(folder) as node, trio.open_nursery() as nursery:
        stop = trio.Event()

        async def run(*, task_status: trio.TaskStatus[object]) -> None:
            await run_node(node, stop=stop, listen=listen, task_status=task_status)

        await nursery.start(run)
        context = ssl.create_default_context(cafile=folder / "web" / "certificate.pem")
        async with httpx2.AsyncClient(verify=context, base_url=f"https://{node.web_listening_on}") as client:
            yield node, client
            stop.set()
