"""A node that may write outside: pages, an SMTP server that keeps what it gets, people."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from email import message_from_bytes, policy
from email.message import EmailMessage
from pathlib import Path
from typing import Any

import trio
from aiosmtpd.controller import Controller

from node.app import Node
from node.outside.offering import Offer, Offered
from node.post.compose import AttachmentSource, Draft
from node.vault.access import OpenMailbox
from protocol.crypto import Secret
from protocol.pickup import parse_link
from tests.ports import free_port
from tests.web.published import made_node

__all__ = ["PERSON", "SUBJECT", "TEXT", "Mailbag", "link_of", "mails", "offer", "smtp_server", "writing_node"]

PERSON = "mme.exemple@courriel.example"
SUBJECT = "Compte rendu fictif de consultation"
TEXT = "Madame, voici le compte rendu. Dr Fictive"
_HOUR_MS = 3_600_000
_LINK = re.compile(r"https://\S+/pickup#[a-z2-7]{32}")


@dataclass
class Mailbag:
    """What an SMTP server took."""

    raw: list[bytes] = field(default_factory=list)
    refuse: str = ""

    async def handle_RCPT(self, _server: Any, _session: Any, envelope: Any, address: str, _options: Any) -> str:
        if self.refuse:
            return self.refuse
        envelope.rcpt_tos.append(address)
        return "250 ok"

    async def handle_DATA(self, _server: Any, _session: Any, envelope: Any) -> str:
        self.raw.append(envelope.content)
        return "250 ok"


@contextmanager
def smtp_server() -> Iterator[tuple[Mailbag, int]]:
    """A server on this machine, and its port."""
    bag = Mailbag()
    port = free_port()
    controller = Controller(bag, hostname="127.0.0.1", port=port)
    controller.start()
    try:
        yield bag, port
    finally:
        controller.stop()


async def writing_node(
    folder: Path,
    *,
    smtp_port: int = 25,
    database: str = "",
    web: str = 'listen = "127.0.0.1:0"\n',
    alerts: str = "",
    **institution: str,
) -> Path:
    """A new node's folder whose settings allow letters to outside."""
    await made_node(folder, database=database, settings=web, **institution)
    file = folder / "coffre.toml"
    text = file.read_text().partition("[alerts]\n")[0]
    file.write_text(
        f"{text}[alerts]\n{alerts}"
        f'[alerts.smtp]\nhost = "127.0.0.1"\nport = {smtp_port}\nsecurity = "none"\nsender = "coffre@hopital.example"\n'
    )
    return folder


def mails(bag: Mailbag) -> list[EmailMessage]:
    """What was sent, read as mail."""
    found = []
    for raw in bag.raw:
        mail = message_from_bytes(raw, policy=policy.default)
        assert isinstance(mail, EmailMessage)
        found.append(mail)
    return found


async def link_of(bag: Mailbag, count: int = 1) -> str:
    """The link in the last of so many mails, once it is there."""
    with trio.fail_after(30):
        while len(bag.raw) < count:
            await trio.sleep(0.02)
    found = _LINK.search(mails(bag)[count - 1].get_content())
    assert found is not None
    return found[0]


async def offer(
    node: Node, sender: OpenMailbox, *, to: str = PERSON, files: Sequence[tuple[Path, str]] = (), **options: Any
) -> tuple[Offered, Secret]:
    """Offer a letter; what was offered, and the link's key as it waits in the queue."""
    attachments = tuple(
        AttachmentSource(name=path.name, media_type=kind, size=path.stat().st_size, path=path) for path, kind in files
    )
    draft = Draft(sender=sender, to=(to,), subject=SUBJECT, text=TEXT, attachments=attachments)
    offered = await node.outside.offer(Offer(draft=draft, **options))
    # A node that runs may have tried the alert already; it is due again within the hour.
    due = await node.database.read(node.alerts.due, node.world.now_ms() + _HOUR_MS, 50)
    key = parse_link(next(item.pickup.link.reveal().decode() for item in reversed(due) if item.pickup is not None))
    assert key is not None
    return offered, key
