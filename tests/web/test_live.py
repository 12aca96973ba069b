"""Live pages: what a stream says, to whom, and what ends it. Spec: spec/alerts.md, 5."""

from __future__ import annotations

import math
import ssl
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import httpx2
import pytest
import sqlalchemy as sa
import trio

from node.opening import open_node
from node.running import run_node
from node.vault import schema
from node.vault.alert_preferences import AlertPreferences
from node.vault.states import LetterFolder
from node.web.pages import live
from node.web.streams import MAX_OF_SESSION
from protocol.crypto import Secret
from protocol.delegation import Right
from tests.web.people import form_token, log_in, people, send
from tests.web.published import client_of, made_node, running_node

WEB = 'listen = "127.0.0.1:0"\n'
LIVE = {"X-Coffre-Live": "1"}
TABLE = schema.web_sessions
WITHIN_S = 60
"""Longer than anything takes here, on a busy machine too."""


@pytest.fixture(autouse=True)
def looks_by_itself(monkeypatch: pytest.MonkeyPatch) -> Callable[[float], None]:
    """How often a stream looks where nothing is said to have changed: within no test, or as often as it asks for."""

    def every(seconds: float) -> None:
        monkeypatch.setattr(live, "_LOOK_EVERY_S", seconds)

    every(3600)
    return every


class Stream:
    """The events of an open stream, as a browser sees them."""

    def __init__(self, lines: trio.MemoryReceiveChannel[str]) -> None:
        self._lines = lines

    async def event(self) -> int:
        """The id of the next event."""
        fields: dict[str, str] = {}
        with trio.fail_after(WITHIN_S):
            async for line in self._lines:
                name, _, value = line.partition(": ")
                fields[name] = value
                if not line and "event" in fields:
                    assert (fields["event"], fields["data"]) == ("changed", "changed")
                    return int(fields["id"])
        raise EOFError

    async def beats(self) -> None:
        """Wait for a comment, which is what is sent where nothing changed."""
        with trio.fail_after(WITHIN_S):
            async for line in self._lines:
                assert not line.startswith("event")
                if line == ":":
                    return

    async def ended(self) -> None:
        """Wait for the end."""
        with trio.fail_after(WITHIN_S):
            async for line in self._lines:
                assert not line.startswith("event")


@asynccontextmanager
async def listening(client: httpx2.AsyncClient, box: str, last: bytes = b"") -> AsyncIterator[Stream]:
    headers = {b"Last-Event-ID": last} if last else {}
    put, take = trio.open_memory_channel[str](math.inf)

    async def read(answer: httpx2.Response) -> None:
        # Its own task, which waits for bytes and for nothing else: cancelled, the client's generators are all closed.
        # A server that stops may cut the end of an answer.
        with put, suppress(httpx2.RemoteProtocolError):
            async for line in answer.aiter_lines():
                put.send_nowait(line)

    async with (
        client.stream("GET", f"/box/{box}/events", headers=headers, timeout=30) as answer,
        trio.open_nursery() as nursery,
    ):
        assert answer.status_code == 200
        assert answer.headers["content-type"].startswith("text/event-stream")
        nursery.start_soon(read, answer)
        yield Stream(take)
        nursery.cancel_scope.cancel()


async def test_a_stream_says_that_something_changed_and_nothing_else(tmp_path: Path) -> None:
    folder = await made_node(tmp_path / "node", settings=WEB)
    async with running_node(folder) as (node, client):
        fictive, exemple, other = await people(node, "fictive", "exemple", "autre")
        await log_in(client, "fictive")
        box = fictive.id.hex()
        async with listening(client, box) as stream:
            first = await stream.event()
            await send(node, exemple, "autre@hopital.example", "Pas pour vous")
            await send(node, exemple, "fictive@hopital.example", "SUJET-SECRET")
            second = await stream.event()
            assert second > first
            news = (await client.get(f"/box/{box}/news", headers=LIVE)).json()
            assert (news["unread"], news["notify"]) == ("1", False)
            (letter,) = await node.reading.page(fictive, LetterFolder.INBOX)
            assert news["newest"] == letter.stored.row.hex()
            await node.reading.open(fictive, letter.stored)
            third = await stream.event()
            assert third > second
        # What was missed is told once, what was not is not told again.
        async with listening(client, box, b"%d" % third) as stream:
            await stream.beats()
            await send(node, fictive, "autre@hopital.example", "De moi")
            await stream.event()
        async with listening(client, box, b"%d" % third) as stream:
            assert await stream.event() > third
        assert (await client.get(f"/box/{box}/news", headers=LIVE)).json()["unread"] == ""
        assert other.id != fictive.id


async def test_the_sender_sees_that_a_letter_was_opened(tmp_path: Path) -> None:
    folder = await made_node(tmp_path / "node", settings=WEB)
    async with running_node(folder) as (node, client):
        fictive, exemple = await people(node, "fictive", "exemple")
        await log_in(client, "exemple")
        async with listening(client, exemple.id.hex()) as stream:
            await stream.event()
            await send(node, exemple, "fictive@hopital.example", "Compte rendu")
            states: set[str] = set()
            while "opened" not in states:
                await stream.event()
                page = (await client.get(f"/box/{exemple.id.hex()}/sent", headers=LIVE)).text
                states |= {word for word in ("waiting", "deposited", "opened") if f'class="state {word}"' in page}
                if "deposited" in states:
                    for summary in await node.reading.page(fictive, LetterFolder.INBOX):
                        await node.reading.open(fictive, summary.stored)
            assert "deposited" in states


async def test_who_is_not_logged_in_or_has_no_business_there_gets_no_stream(tmp_path: Path) -> None:
    folder = await made_node(tmp_path / "node", settings=WEB)
    async with running_node(folder) as (node, client):
        fictive, exemple = await people(node, "fictive", "exemple")
        for path in ("events", "news"):
            assert (await client.get(f"/box/{fictive.id.hex()}/{path}", headers=LIVE)).status_code == 401
        await log_in(client, "fictive")
        assert (await client.get(f"/box/{exemple.id.hex()}/events")).status_code == 403
        for bad in ("00" * 16, "zz", "%2e%2e"):
            assert (await client.get(f"/box/{bad}/events")).status_code in (403, 404)
        assert (await client.post(f"/box/{fictive.id.hex()}/events")).status_code == 405
        for last in (b"-1", b"x" * 100, b"9" * 30, "٣".encode()):
            async with listening(client, fictive.id.hex(), last) as stream:
                await stream.event()


async def test_log_out_password_and_revocation_end_streams_at_once(
    tmp_path: Path, looks_by_itself: Callable[[float], None]
) -> None:
    folder = await made_node(tmp_path / "node", settings=WEB)
    async with running_node(folder) as (node, client):
        fictive, exemple = await people(node, "fictive", "exemple")
        now_ms = node.world.now_ms()
        await node.sharing.delegate(
            exemple, "fictive@hopital.example", rights=(Right.READ,), from_ms=now_ms, until_ms=now_ms + 10**8
        )
        await log_in(client, "fictive")
        looks_by_itself(0.2)
        async with listening(client, exemple.id.hex()) as stream:
            await stream.event()
            await node.sharing.revoke("exemple@hopital.example", "fictive@hopital.example")
            # Nothing else happens there: the next look ends it.
            await stream.ended()
        looks_by_itself(3600)
        async with listening(client, fictive.id.hex()) as stream:
            await stream.event()
            page = await client.get(f"/box/{fictive.id.hex()}/inbox")
            await client.post("/logout", data={"csrf": form_token(page.text)})
            await stream.ended()
        await log_in(client, "fictive")
        async with listening(client, fictive.id.hex()) as stream:
            await stream.event()
            await node.mailboxes.change_password(fictive, Secret(b"un autre tilleul"))
            await stream.ended()


async def test_a_page_that_looks_by_itself_keeps_no_session_alive(tmp_path: Path) -> None:
    folder = await made_node(tmp_path / "node")
    async with open_node(folder) as node, client_of(node) as client:
        (fictive,) = await people(node, "fictive")
        await log_in(client, "fictive")
        box = f"/box/{fictive.id.hex()}"
        with node.database.engines.writer.begin() as connection:
            connection.execute(TABLE.update().values(seen_at_ms=TABLE.c.seen_at_ms - 600_000))
            before = connection.scalar(sa.select(TABLE.c.seen_at_ms))

        def seen() -> int:
            with node.database.engines.reader.connect() as connection:
                found: int = connection.execute(sa.select(TABLE.c.seen_at_ms)).scalar_one()
                return found

        for path in ("news", "inbox"):
            assert (await client.get(f"{box}/{path}", headers=LIVE)).status_code == 200
        assert seen() == before
        await client.get(f"{box}/inbox")
        assert seen() > (before or 0)


async def test_a_session_has_so_many_streams_and_the_stop_ends_all(tmp_path: Path) -> None:
    folder = await made_node(tmp_path / "node", settings=WEB)
    ended = []
    async with trio.open_nursery() as nursery, open_node(folder) as node:
        stop, stopped = trio.Event(), trio.Event()

        async def run(*, task_status: trio.TaskStatus[object]) -> None:
            await run_node(node, stop=stop, listen="", task_status=task_status)
            stopped.set()

        await nursery.start(run)
        context = ssl.create_default_context(cafile=folder / "web" / "certificate.pem")
        async with httpx2.AsyncClient(verify=context, base_url=f"https://{node.web_listening_on}") as client:
            (fictive,) = await people(node, "fictive")
            await log_in(client, "fictive")

            async def hold(*, task_status: trio.TaskStatus[None]) -> None:
                async with listening(client, fictive.id.hex()) as stream:
                    await stream.event()
                    task_status.started()
                    await stream.ended()
                    ended.append(stream)

            async with trio.open_nursery() as tabs:
                for _ in range(MAX_OF_SESSION):
                    await tabs.start(hold)
                assert (await client.get(f"/box/{fictive.id.hex()}/events")).status_code == 429
                stop.set()
                with trio.fail_after(WITHIN_S):
                    await stopped.wait()
    assert len(ended) == MAX_OF_SESSION


async def test_another_process_s_commit_wakes_the_stream(tmp_path: Path, postgres_url: str) -> None:
    folder = await made_node(tmp_path / "node", database=postgres_url, settings=WEB)
    async with running_node(folder) as (node, client), open_node(folder) as other:
        (fictive,) = await people(node, "fictive")
        await log_in(client, "fictive")
        async with listening(client, fictive.id.hex()) as stream:
            first = await stream.event()
            await send(other, fictive, "fictive@hopital.example", "À moi-même")
            assert await stream.event() > first


@pytest.mark.parametrize(("quiet", "expected"), [(None, True), ((0, 1439), False)])
async def test_the_browser_is_told_of_letters_but_not_in_quiet_hours(
    tmp_path: Path, quiet: tuple[int, int] | None, expected: bool
) -> None:
    folder = await made_node(tmp_path / "node", settings=WEB)
    async with running_node(folder) as (node, client):
        fictive, exemple = await people(node, "fictive", "exemple")
        wanted = AlertPreferences(browser=True, quiet=quiet)
        await node.database.write(node.alerts.set_preferences, (fictive.id, wanted))
        await log_in(client, "fictive")
        async with listening(client, fictive.id.hex()) as stream:
            await stream.event()
            await send(node, exemple, "fictive@hopital.example", "Bonjour")
            await stream.event()
            news = (await client.get(f"/box/{fictive.id.hex()}/news", headers=LIVE)).json()
            assert news["notify"] is expected
