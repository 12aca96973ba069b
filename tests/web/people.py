"""A node with people, and a browser without a window that logs in as one of them."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

import httpx2
import trio

from node.app import Node
from node.post.compose import AttachmentSource, Draft
from node.vault.access import OpenMailbox
from node.vault.states import LetterFolder
from protocol.crypto import Secret
from protocol.letter import LetterClass

__all__ = ["PASSWORD", "arrived", "form_token", "log_in", "people", "send"]

PASSWORD = "tilleul en fleur"
_TOKEN = re.compile(r'name="csrf" value="([A-Za-z0-9_-]{43})"')


async def people(node: Node, *names: str) -> list[OpenMailbox]:
    """Mailboxes of these names, opened."""
    made = []
    for name in names:
        new = node.mailboxes.prepare(
            address=f"{name}@{node.settings.domain}", name=f"Dr {name.title()}", quota_bytes=10**10
        )
        made.append(await node.mailboxes.create(new, Secret(PASSWORD.encode())))
    return made


async def send(
    node: Node,
    sender: OpenMailbox,
    to: str,
    subject: str,
    *,
    text: str = "Bonjour.",
    files: Sequence[tuple[Path, str]] = (),
    letter_class: LetterClass = LetterClass.NORMAL,
) -> None:
    """Submit a letter with documents (path and media type)."""
    attachments = tuple(
        AttachmentSource(name=path.name, media_type=kind, size=path.stat().st_size, path=path) for path, kind in files
    )
    await node.submitter.submit(
        Draft(
            sender=sender,
            to=(to,),
            subject=subject,
            text=text,
            attachments=attachments,
            letter_class=letter_class,
        )
    )


async def arrived(node: Node, mailbox: OpenMailbox, count: int) -> None:
    """Wait until a mailbox holds so many letters."""
    with trio.fail_after(60):
        while len(await node.reading.page(mailbox, LetterFolder.INBOX, limit=count)) < count:
            await trio.lowlevel.checkpoint()


def form_token(page: str) -> str:
    """The token in a page's form."""
    found = _TOKEN.search(page)
    assert found is not None, page
    return found[1]


async def log_in(client: httpx2.AsyncClient, name: str, password: str = PASSWORD) -> httpx2.Response:
    """Log in as a browser does; the answer to the form."""
    page = await client.get("/login")
    form = {"csrf": form_token(page.text), "name": name, "password": password, "next": "/"}
    return await client.post(
        "/login", data=form, headers={"Origin": str(client.base_url), "Sec-Fetch-Site": "same-origin"}
    )
