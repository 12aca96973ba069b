"""The pages of a mailbox with 50,000 letters: lists, search, first page, and the memory of an idle web server.

The letters are copies of some hundreds of different ones under row ids of their own, each sealed for its own row and
indexed for itself, as its mailbox would find it after years.
"""

from __future__ import annotations

import gzip
import random
import re
import statistics
import tempfile
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from functools import lru_cache
from pathlib import Path
from typing import Final

import httpx2
import sqlalchemy as sa
import trio

from bench.nodes import PASSWORD, add_mailbox, make_node, memory_mb, running_process, serving
from bench.registry import benchmark
from node.app import Node
from node.opening import open_node
from node.post.compose import Draft
from node.vault import schema
from node.vault.access import OpenMailbox
from node.vault.database import Transaction
from node.vault.mailbox_index.terms import Query
from node.vault.sealing import new_row_id
from node.vault.states import LetterFolder, LetterState
from node.web.site import build_site

_LETTERS: Final = 50_000
_DIFFERENT: Final = 300
_AT_ONCE: Final = 2500
_PIECE: Final = 2000
_ROUNDS: Final = 200
_FIXED_SEED: Final = 6
_VOCABULARY: Final = 8_000
_SYLLABLES: Final = (
    "ra",
    "di",
    "o",
    "gra",
    "phie",
    "car",
    "né",
    "phro",
    "lo",
    "gie",
    "con",
    "sul",
    "ta",
    "tion",
    "é",
    "cho",
)
_LINKED: Final = re.compile(r'(?:href|src)="(/static/[^"]+\.(?:css|js|svg))"')


class _Language:
    """Words that are used as people use words: the second half as often as the first, and so on (Zipf)."""

    def __init__(self) -> None:
        self.chance = random.Random(_FIXED_SEED)  # noqa: S311
        words: dict[str, None] = {}
        while len(words) < _VOCABULARY:
            words.setdefault("".join(self.chance.choices(_SYLLABLES, k=self.chance.randint(1, 5))))
        self._words = list(words)
        self._weights = [1 / rank for rank in range(1, _VOCABULARY + 1)]

    def say(self, count: int) -> str:
        """Some words."""
        return " ".join(self.chance.choices(self._words, self._weights, k=count))


def _draft(mailbox: OpenMailbox, language: _Language, number: int) -> Draft:
    text = f"{language.say(250)} référence{number}"
    return Draft(sender=mailbox, to=(mailbox.address,), subject=f"{language.say(5)} {number}", text=text)


async def _multiply(node: Node, count: int) -> None:
    """Copies of the received letters, in turns, with their slips sealed for rows of their own."""
    table = schema.letters
    received = sa.select(table).where(table.c.folder == LetterFolder.INBOX).order_by(table.c.id)
    rows = await node.database.read(lambda connection: connection.execute(received).all())
    fields = [node.keys.open_map("letters", row.id, "sealed", row.sealed).rest() for row in rows]

    def copies(tx: Transaction, items: Sequence[range]) -> Sequence[None]:
        for numbers in items:
            new = []
            for number in numbers:
                at = number % len(rows)
                row = new_row_id(tx.now_ms - 1000 * number, tx.world.random_bytes)
                new.append(
                    {
                        **rows[at]._mapping,
                        "id": row,
                        "letter": tx.world.random_bytes(16),
                        "arrived_at_ms": tx.now_ms - 1000 * number,
                        # As in a mailbox that is used: one in fifty was not opened.
                        "state": int(LetterState.UNREAD if number % 50 == 0 else LetterState.OPENED),
                        "sealed": node.keys.seal_map("letters", row, "sealed", fields[at]),
                    }
                )
            tx.connection.execute(table.insert(), new)
        return [None] * len(items)

    for start in range(1, count, _AT_ONCE):
        await node.database.write(copies, range(start, min(start + _AT_ONCE, count)))


@asynccontextmanager
async def _mailbox() -> AsyncIterator[tuple[Node, OpenMailbox, float]]:
    """A node whose one mailbox holds 50,000 letters, indexed; seconds that indexing took."""
    with tempfile.TemporaryDirectory(prefix="coffre-bench-") as place:
        new = await make_node(Path(place), "here")
        async with open_node(new.path) as node:
            await add_mailbox(node, "a@here.example")
            mailbox = await node.mailboxes.open("a@here.example", PASSWORD)
            language = _Language()
            async with serving(node):
                for number in range(_DIFFERENT):
                    await node.submitter.submit(_draft(mailbox, language, number))
                with trio.fail_after(120):
                    while len(await node.reading.page(mailbox, LetterFolder.INBOX, limit=_DIFFERENT)) < _DIFFERENT:
                        await trio.sleep(0.05)
                await _multiply(node, _LETTERS - _DIFFERENT)
                begin = time.perf_counter()
                while await node.index.update(mailbox, limit=_PIECE):
                    pass
                yield node, mailbox, time.perf_counter() - begin


def _client(node: Node) -> httpx2.AsyncClient:
    transport = httpx2.ASGITransport(app=build_site(node))
    return httpx2.AsyncClient(transport=transport, base_url="https://node.example")


async def _log_in(client: httpx2.AsyncClient) -> None:
    page = await client.get("/login")
    token = re.search(r'name="csrf" value="([^"]+)"', page.text)
    assert token is not None
    data = {"csrf": token[1], "name": "a", "password": PASSWORD.reveal().decode(), "next": "/"}
    answer = await client.post("/login", data=data)
    if answer.status_code != 303:
        raise RuntimeError("the log-in failed")


async def _first_page_bytes(client: httpx2.AsyncClient, page: httpx2.Response) -> int:
    """The page as it is sent, and all that it links to, compressed."""
    total = len(page.content)
    for address in set(_LINKED.findall(page.text)):
        file = await client.get(address, headers={"Accept-Encoding": "identity"})
        total += len(gzip.compress(file.content, 9))
    return total


@lru_cache(maxsize=1)
def _measured() -> dict[str, float]:
    async def run() -> dict[str, float]:
        async with _mailbox() as (node, mailbox, seconds):
            async with _client(node) as client:
                await _log_in(client)
                box = f"/box/{mailbox.id.hex()}"
                inbox = await client.get(f"{box}/inbox")
                if inbox.text.count('name="row"') != 50:
                    raise RuntimeError("the page is not what it must be")
                first = await _first_page_bytes(client, inbox)
                addresses = [f"{box}/inbox", f"{box}/inbox?unread=1", f"{box}/sent", f"{box}/archive"]
                address = f"{box}/inbox"
                for _ in range(20):  # deep into the list, page after page
                    older = re.search(r'rel="next" href="([^"]+)"', (await client.get(address)).text)
                    assert older is not None
                    address = f"{box}/inbox{older[1].replace('&amp;', '&')}"
                    addresses.append(address)
                pages, searches = [], []
                for number in range(_ROUNDS):
                    begin = time.perf_counter()
                    answer = await client.get(addresses[number % len(addresses)])
                    pages.append((time.perf_counter() - begin) * 1000)
                    if answer.status_code != 200:
                        raise RuntimeError("a page failed")
                language = _Language()
                for number in range(_ROUNDS):
                    # As people type: a word and the beginning of another, or a reference.
                    words = language.say(2)[: language.chance.randint(4, 20)]
                    typed = words if number % 3 else f"reference{number}"
                    begin = time.perf_counter()
                    answer = await client.get(f"{box}/search", params={"q": typed})
                    searches.append((time.perf_counter() - begin) * 1000)
                    if answer.status_code != 200:
                        raise RuntimeError("a search failed")
                found = await node.lists.search(mailbox, Query.parse("reference7"))
                if not found.letters:
                    raise RuntimeError("a search found nothing")
            pages.sort()
            return {
                "p50": statistics.median(pages),
                "p99": pages[len(pages) * 99 // 100],
                "search": statistics.median(searches),
                "first": first / 1000,
                "index": seconds,
            }

    return trio.run(run)


@benchmark("page_ms_p50_50k", "ms")
def page_median() -> float:
    """A page of a list, session and all, over ASGI, with 50,000 letters in the mailbox: median."""
    return _measured()["p50"]


@benchmark("page_ms_p99_50k", "ms")
def page_slow() -> float:
    """The same, the slowest of a hundred."""
    return _measured()["p99"]


@benchmark("search_own_50k_ms", "ms")
def search() -> float:
    """A search in one's own 50,000 letters, its page included: median."""
    return _measured()["search"]


@benchmark("first_page_kb", "kB")
def first_page() -> float:
    """An inbox of 50 letters as it is sent, with its style and scripts, compressed."""
    return _measured()["first"]


@benchmark("index_50k_s", "s")
def index() -> float:
    """Indexing 50,000 letters of some 250 words, in one go."""
    return _measured()["index"]


@benchmark("web_idle_rss_mb", "MB")
def idle_memory() -> float:
    """Memory of a running node that serves pages, and has nothing to do, two seconds after it began."""

    async def run() -> float:
        with tempfile.TemporaryDirectory(prefix="coffre-bench-") as place:
            new = await make_node(Path(place), "here")
            settings = new.path / "coffre.toml"
            text = settings.read_text(encoding="utf-8")
            before, _, after = text.partition("[web]\n")
            settings.write_text(f'{before}[web]\nlisten = "127.0.0.1:0"\n{_without_listen(after)}', encoding="utf-8")
            with running_process(new.path) as process:
                await trio.sleep(2)
                return memory_mb(process.pid, "VmRSS")

    return trio.run(run)


def _without_listen(section: str) -> str:
    """The rest of [web] and of the file, without a second `listen` in [web]."""
    own, separator, rest = section.partition("\n[")
    return "\n".join(line for line in own.split("\n") if not line.startswith("listen")) + separator + rest
