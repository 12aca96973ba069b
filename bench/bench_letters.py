"""Letters between two nodes: the sender in this process, the recipient's node in one of its own, TLS on loopback.

Sealed, signed, logged, durable on both sides, evidence verified and stored by the sender: the whole way.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Final

import sqlalchemy as sa
import trio

from bench.registry import benchmark
from node.app import Node, open_node
from node.errors import RecipientError
from node.post.compose import AttachmentSource, Draft
from node.setup import NewNode, init_node, prepare
from node.vault import schema, ways
from node.vault.mailboxes import OpenMailbox
from node.vault.states import OutboxState
from protocol.crypto import Secret
from protocol.entry import Accepts, MailboxEntry, MailboxKind
from protocol.ids import MailboxId
from protocol.invite import decode_invite

PASSWORD: Final = Secret(b"bench password")
_WRITERS: Final = 64


async def _free_port() -> int:
    listeners = await trio.open_tcp_listeners(0, host="127.0.0.1")
    port: int = listeners[0].socket.getsockname()[1]
    for listener in listeners:
        await listener.aclose()
    return port


async def _make(folder: Path, name: str) -> NewNode:
    port = await _free_port()
    new = prepare(
        path=folder / name,
        institution=name,
        domain=f"{name}.example",
        listen=f"127.0.0.1:{port}",
        endpoints=(),
        kind="hospital",
        town="",
        database="",
        passphrase=None,
        passphrase_file=None,
        recovery_folder=None,
    )
    await init_node(new)
    return new


async def _add_mailbox(node: Node, address: str) -> None:
    secrets = ways.make_secrets(node.world.random_bytes)
    profile = MailboxEntry(
        mailbox=MailboxId(node.world.random_bytes(MailboxId.LENGTH)),
        kind=MailboxKind.PERSON,
        address=address,
        name=address,
        signing_key=secrets.sign.verify_key,
        seal_key=secrets.read.seal_key,
        accepts=Accepts(2 * 1024**3),
    )
    await node.mailboxes.create(profile, secrets, PASSWORD, quota_bytes=2**40)


async def _accept(node: Node, other: Node) -> None:
    await node.database.write(node.peers.accept, decode_invite(other.invitation()))


@asynccontextmanager
async def two_nodes() -> AsyncIterator[tuple[Node, OpenMailbox, str]]:
    """A running sender here, a running recipient's node beside, and the recipient's address, linked."""
    with tempfile.TemporaryDirectory(prefix="coffre-bench-") as place:
        folder = Path(place)
        here, there = await _make(folder, "here"), await _make(folder, "there")
        async with open_node(here.path) as sender:
            async with open_node(there.path) as recipient:
                await _add_mailbox(sender, "a@here.example")
                await _add_mailbox(recipient, "b@there.example")
                await _accept(sender, recipient)
                await _accept(recipient, sender)
            command = [sys.executable, "-m", "node.cli.main", "-C", str(there.path), "run", "--json"]
            with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as process:
                assert process.stdout is not None
                process.stdout.readline()
                try:
                    async with trio.open_nursery() as nursery:
                        stop = trio.Event()
                        await nursery.start(partial(sender.run, stop=stop))
                        await _wait_directory(sender, "b@there.example")
                        yield sender, await sender.mailboxes.open("a@here.example", PASSWORD), "b@there.example"
                        stop.set()
                finally:
                    process.terminate()


async def _wait_directory(node: Node, address: str) -> None:
    with trio.fail_after(30):
        while True:
            try:
                await node.database.read(node.directory.find, address)
            except RecipientError:
                await trio.sleep(0.05)
            else:
                return


async def _wait_ended(node: Node) -> None:
    def left(connection: sa.Connection) -> int:
        table = schema.outbox
        query = sa.select(sa.func.count()).select_from(table).where(table.c.state != OutboxState.ENDED)
        return int(connection.execute(query).scalar_one())

    with trio.fail_after(300):
        while await node.database.read(left):
            await trio.sleep(0.02)


async def _letters_per_s(count: int, text: str, attachment: Path | None) -> float:
    async with two_nodes() as (node, mailbox, address):
        attachments: tuple[AttachmentSource, ...] = ()
        if attachment is not None:
            size = attachment.stat().st_size
            attachments = (
                AttachmentSource(name="document.xml", media_type="application/xml", size=size, path=attachment),
            )
        draft = Draft(sender=mailbox, to=(address,), subject="Bench", text=text, attachments=attachments)
        await node.submitter.submit(draft)
        await _wait_ended(node)
        numbers = iter(range(count))

        async def writer() -> None:
            for _ in numbers:
                await node.submitter.submit(draft)

        begin = time.perf_counter()
        async with trio.open_nursery() as nursery:
            for _ in range(_WRITERS):
                nursery.start_soon(writer)
        await _wait_ended(node)
        return count / (time.perf_counter() - begin)


@benchmark("letters_4k_per_s", "letters/s")
def letters_4k() -> float:
    """Letters of 4 KiB from submission to verified evidence, two nodes on this machine."""
    return trio.run(_letters_per_s, 1500, "x" * 4000, None)


@benchmark("letters_138k_per_s", "letters/s")
def letters_138k() -> float:
    """Letters with a 138 kB document, two nodes on this machine."""
    with tempfile.NamedTemporaryFile(suffix=".xml") as stream:
        stream.write(b"<x>" * 46_000)
        stream.flush()
        return trio.run(_letters_per_s, 400, "Voir document.", Path(stream.name))
