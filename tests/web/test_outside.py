"""Letters to outside on the pages: who sees what, and what strangers get. Spec: spec/pickup.md."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx2
import pytest
import trio

from node.app import Node
from node.opening import open_node
from node.outside.answers import Answer
from node.outside.rows import MAX_ANSWERS
from node.running import run_node
from node.vault.access import OpenMailbox
from node.vault.states import LetterFolder
from node.web.site import build_site
from node.web.throttle import Throttle
from protocol.crypto import Secret
from protocol.pickup import grouped, link_text
from tests.outside.writing import PERSON, SUBJECT, TEXT, offer, writing_node
from tests.web.people import form_token, log_in, people
from tests.web.published import client_of as french_client_of

EVIL = "<script>alert(1)</script>'\"{{7*7}}"


def client_of(node: Node) -> httpx2.AsyncClient:
    client = french_client_of(node)
    client.headers["Accept-Language"] = "en"
    return client


@dataclass
class Scene:
    node: Node
    client: httpx2.AsyncClient
    sender: OpenMailbox
    folder: Path


@asynccontextmanager
async def scene(folder: Path, **settings: Any) -> AsyncIterator[Scene]:
    await writing_node(folder, **settings)
    async with open_node(folder) as node, client_of(node) as client:
        (sender,) = await people(node, "fictive")
        yield Scene(node, client, sender, folder)


async def enter(client: httpx2.AsyncClient, key: Secret | str, code: Secret | str, **headers: str) -> httpx2.Response:
    """Open the page as a person does, with the whole link pasted."""
    page = await client.get("/pickup")
    link = key if isinstance(key, str) else f"https://node.example/pickup#{link_text(key)}"
    typed = code if isinstance(code, str) else grouped(code).lower().replace("-", " ")
    form = {"csrf": form_token(page.text), "link": link, "code": typed}
    return await client.post("/pickup", data=form, headers=headers)


async def new_form(client: httpx2.AsyncClient, sender: OpenMailbox) -> tuple[str, dict[str, str]]:
    path = f"/box/{sender.id.hex()}/outside/new"
    page = await client.get(path)
    once = re.search(r'name="once" value="([0-9a-f]{32})"', page.text)
    assert once is not None
    form = {
        "csrf": form_token(page.text),
        "once": once[1],
        "to": PERSON,
        "subject": SUBJECT,
        "text": TEXT,
        "language": "fr",
        "days": "7",
        "openings": "2",
        "number": "",
    }
    return path, form


FILES = [("documents", ("note.txt", b"une note", "text/html"))]


async def test_from_the_form_to_the_answer(tmp_path: Path) -> None:
    async with scene(tmp_path / "node") as at:
        await log_in(at.client, "fictive")
        path, form = await new_form(at.client, at.sender)
        shown = await at.client.post(path, data=form, files=FILES)
        assert shown.status_code == 200
        code = re.search(r'<p class="big-code"><span>([0-9A-Z-]{9})</span>', shown.text)
        assert code is not None
        # The same form once more: no second letter, no second code.
        again = await at.client.post(path, data=form, files=FILES)
        assert again.status_code == 422
        assert "big-code" not in again.text
        listed = await at.client.get(f"/box/{at.sender.id.hex()}/outside")
        assert listed.text.count(PERSON) == 1
        assert code[1] not in listed.text
        [alert] = await at.node.database.read(at.node.alerts.due, at.node.world.now_ms(), 10)
        assert alert.pickup is not None
        async with client_of(at.node) as outsider:
            opened = await enter(outsider, alert.pickup.link.reveal().decode(), code[1])
            assert (opened.status_code, opened.headers["location"]) == (303, "/pickup/letter")
            letter = await outsider.get("/pickup/letter")
            assert letter.status_code == 200
            assert SUBJECT in letter.text
            assert letter.headers["cache-control"] == "no-store"
            document = await outsider.get("/pickup/letter/file/0")
            assert (document.content, document.headers["content-type"]) == (b"une note", "application/octet-stream")
            assert (await outsider.get("/pickup/letter/view/0")).status_code == 404  # a text is no image
            assert (await outsider.get("/pickup/letter/file/1")).status_code == 404
            answered = await outsider.post(
                "/pickup/answer",
                data={"csrf": form_token(letter.text), "text": EVIL},
                files=[("documents", ("../../photo.png", b"\x89PNG\r\n\x1a\n", "text/html"))],
            )
            assert answered.headers["location"] == "/pickup/letter?answer=sent"
            closed = await outsider.post("/pickup/close", data={"csrf": form_token(letter.text)})
            assert closed.status_code == 200
            assert (await outsider.get("/pickup/letter")).status_code == 403
        row = (await at.node.outside.list(at.sender))[0].letter.hex()
        followed = await at.client.get(f"/box/{at.sender.id.hex()}/outside/{row}")
        for words in ("Opened with link and code", "Document 1 was downloaded", "1 / 2", "0 / 5"):
            assert words in followed.text


async def test_an_answer_arrives_under_a_band_and_nothing_in_it_runs(tmp_path: Path) -> None:
    folder = await writing_node(tmp_path / "node", web="")
    async with open_node(folder) as node, trio.open_nursery() as nursery:
        stop = trio.Event()
        await nursery.start(lambda task_status: run_node(node, stop=stop, listen="", task_status=task_status))
        (sender,) = await people(node, "fictive")
        node.web_listening_on = "node.example"
        draft, _ = await offer_letter(node, sender)
        await node.answers.deposit(Answer(address=PERSON, language="fr", text=EVIL), draft)
        with trio.fail_after(60):
            while not (found := await node.reading.page(sender, LetterFolder.INBOX)):
                await trio.sleep(0.02)
        letter = found[0].letter
        assert letter is not None
        assert letter.subject == f"Re: {SUBJECT}"
        assert letter.thread == draft.thread
        assert letter.text.startswith("De l'extérieur, non vérifié\u00a0: écrit sur la page du courrier à " + PERSON)
        async with client_of(node) as client:
            await log_in(client, "fictive")
            page = await client.get(f"/box/{sender.id.hex()}/letter/{found[0].stored.row.hex()}")
            assert "From outside, not verified" in page.text
            assert "<script>alert" not in page.text
            assert "{{7*7}}" in page.text
        # Nobody keeps a second copy, and nobody writes back to that mailbox.
        answering = await node.answers.ensure()
        assert await node.reading.page(answering, LetterFolder.SENT) == []
        stop.set()


async def offer_letter(node: Node, sender: OpenMailbox) -> tuple[Any, Any]:
    offered, key = await offer(node, sender)
    assert offered.code is not None
    token = await node.pickups.open(key, offered.code)
    assert token is not None
    session = await node.pickups.find(token)
    assert session is not None
    return (await node.pickups.letter(session)).content.signed.letter, session


async def test_one_answer_for_every_reason(tmp_path: Path) -> None:
    async with scene(tmp_path / "node") as at:
        offered, key = await offer(at.node, at.sender)
        other, other_key = await offer(at.node, at.sender)
        assert offered.code is not None
        assert other.code is not None
        await at.node.outside.revoke(at.sender, other.row)
        pages = set()
        for given, code in (
            ("a" * 32, offered.code),
            (key, Secret(b"22222222")),
            (other_key, other.code),
            (key, other.code),
        ):
            answer = await enter(at.client, given, code)
            assert answer.status_code == 403
            assert "set-cookie" not in answer.headers
            pages.add(re.sub(r'value="[^"]*"', "", answer.text))
        assert len(pages) == 1
        # A slip of the finger costs nothing, for any link.
        for code_text in ("", "2222", "0OIL0OIL", "x" * 99, "é" * 8):
            assert (await enter(at.client, key, code_text)).status_code == 422
        for link in ("", "a" * 31, "a" * 33, "1" * 32, "https://node.example/pickup#", "é" * 32):
            assert (await enter(at.client, link, offered.code)).status_code == 422
        found = {pickup.letter: pickup.attempts for pickup in await at.node.outside.list(at.sender)}
        assert found == {offered.row: 2, other.row: 0}


async def test_the_page_by_itself_opens_nothing_whatever_follows_links(tmp_path: Path) -> None:
    async with scene(tmp_path / "node") as at:
        _, key = await offer(at.node, at.sender)
        for path in ("/pickup", f"/pickup?link={link_text(key)}", f"/pickup/{link_text(key)}", "/pickup/letter"):
            answer = await at.client.get(path)
            assert SUBJECT not in answer.text
            assert link_text(key) not in answer.text
        for method, path in (("PUT", "/pickup"), ("GET", "/pickup/answer"), ("GET", "/pickup/close")):
            assert (await at.client.request(method, path)).status_code == 405
        assert (await at.client.post("/pickup/answer", data={"text": "x"})).status_code == 403
        [pickup] = await at.node.outside.list(at.sender)
        assert (pickup.attempts, pickup.opened_at_ms) == (0, 0)


async def test_forms_from_elsewhere_are_refused(tmp_path: Path) -> None:
    async with scene(tmp_path / "node") as at:
        offered, key = await offer(at.node, at.sender)
        assert offered.code is not None
        for headers in ({"Origin": "https://ailleurs.example"}, {"Sec-Fetch-Site": "cross-site"}):
            assert (await enter(at.client, key, offered.code, **headers)).status_code == 403
        wrong = {"csrf": "x" * 43, "link": link_text(key), "code": grouped(offered.code)}
        assert (await at.client.post("/pickup", data=wrong)).status_code == 403
        [pickup] = await at.node.outside.list(at.sender)
        assert (pickup.attempts, pickup.openings_left) == (0, 3)
        assert (await enter(at.client, key, offered.code)).status_code == 303
        letter = await at.client.get("/pickup/letter")
        good = {"csrf": form_token(letter.text), "text": "Merci"}
        part = [("documents", ("", b"", "application/octet-stream"))]
        for data, headers in (
            ({**good, "csrf": "x" * 43}, {}),
            (good, {"Origin": "https://ailleurs.example"}),
            (good, {"Sec-Fetch-Site": "same-site"}),
        ):
            answer = await at.client.post("/pickup/answer", data=data, files=part, headers=headers)
            assert answer.status_code == 403
        # A log-in is no page of a letter, nor the other way round.
        assert (await at.client.get(f"/box/{at.sender.id.hex()}/inbox")).status_code == 303
        async with client_of(at.node) as inside:
            await log_in(inside, "fictive")
            assert (await inside.get("/pickup/letter")).status_code == 403
            path, form = await new_form(inside, at.sender)
            assert (await inside.post(path, data={**form, "csrf": "x" * 43}, files=FILES)).status_code == 403
            assert (
                await inside.post(path, data=form, files=FILES, headers={"Origin": "https://ailleurs.example"})
            ).status_code == 403
        assert len(await at.node.outside.list(at.sender)) == 1


async def test_answers_are_limited_in_size_kind_and_number(tmp_path: Path) -> None:
    async with scene(tmp_path / "node") as at:
        offered, key = await offer(at.node, at.sender)
        assert offered.code is not None
        await enter(at.client, key, offered.code)
        csrf = form_token((await at.client.get("/pickup/letter")).text)

        async def answer(text: str, files: list[Any]) -> int:
            # One body of bytes: what the server does not read to its end must not hang in the client.
            made = httpx2.Request("POST", "https://x", data={"csrf": csrf, "text": text}, files=files)
            headers = {"Content-Type": made.headers["content-type"]}
            return (await at.client.post("/pickup/answer", content=made.read(), headers=headers)).status_code

        async def unread(files: list[Any]) -> int:
            """The same where the server stops reading: the client's transport would complain of the rest."""
            made = httpx2.Request("POST", "https://x", data={"csrf": csrf, "text": "x"}, files=files)
            pieces = [made.read()[start : start + 65536] for start in range(0, len(made.read()), 65536)]
            sent: list[Any] = []
            cookies = "; ".join(f"{name}={value}" for name, value in at.client.cookies.items())

            async def receive() -> dict[str, Any]:
                return {"type": "http.request", "body": pieces.pop(0), "more_body": bool(pieces)}

            async def send(message: Any) -> None:
                sent.append(message)

            scope = {
                "type": "http",
                "method": "POST",
                "path": "/pickup/answer",
                "query_string": b"",
                "headers": [
                    (b"host", b"node.example"),
                    (b"cookie", cookies.encode()),
                    (b"content-type", made.headers["content-type"].encode()),
                ],
            }
            await build_site(at.node)(scope, receive, send)
            status: int = sent[0]["status"]
            return status

        part = [("documents", ("", b"", "application/octet-stream"))]
        assert await answer("   ", part) == 422
        assert await answer("x" * 70_000, part) == 413
        assert await unread([("documents", (f"{n}.txt", b"x", "text/plain")) for n in range(11)]) == 413
        assert await answer("x", [("documents", ("long.bin", bytes(10 * 1024 * 1024 + 1), "x/y"))]) == 413
        assert await unread([("documents", ("long.bin", bytes(12 * 1024 * 1024), "x/y"))]) == 413
        assert await answer("x", [("documents", ("bad\u202egpj.exe", b"x", "x/y"))]) == 413
        broken = await at.client.post(
            "/pickup/answer", content=b"--x\r\nnothing", headers={"Content-Type": "multipart/form-data; boundary=x"}
        )
        assert broken.status_code in (403, 413)
        [pickup] = await at.node.outside.list(at.sender)
        assert pickup.answers_left == MAX_ANSWERS
        for _ in range(MAX_ANSWERS):
            assert await answer("Merci", part) == 303
        assert await answer("Merci", part) == 413
        page = await at.client.get("/pickup/letter")
        assert "/pickup/answer" not in page.text


async def test_nobody_follows_or_revokes_what_another_wrote(tmp_path: Path) -> None:
    async with scene(tmp_path / "node") as at:
        (other,) = await people(at.node, "exemple")
        offered, _ = await offer(at.node, at.sender)
        await log_in(at.client, "exemple")
        mine = f"/box/{other.id.hex()}/outside"
        csrf = form_token((await at.client.get(f"{mine}/new")).text)
        for path in (f"{mine}/{offered.row.hex()}", f"{mine}/{'0' * 32}", f"{mine}/{offered.row.hex()[:10]}"):
            assert (await at.client.get(path)).status_code == 404
            assert (await at.client.post(f"{path}/revoke", data={"csrf": csrf})).status_code == 404
        theirs = f"/box/{at.sender.id.hex()}/outside"
        assert (await at.client.get(theirs)).status_code in (404, 409)
        assert (await at.client.post(f"{theirs}/{offered.row.hex()}/revoke", data={"csrf": csrf})).status_code != 303
        [pickup] = await at.node.outside.list(at.sender)
        assert pickup.state.word == "open"


async def test_what_a_sender_typed_comes_back_harmless(tmp_path: Path) -> None:
    async with scene(tmp_path / "node") as at:
        await log_in(at.client, "fictive")
        path, form = await new_form(at.client, at.sender)
        bad = {**form, "to": EVIL, "subject": EVIL, "text": EVIL, "days": EVIL, "number": EVIL}
        answer = await at.client.post(path, data=bad, files=FILES)
        assert answer.status_code == 422
        assert "<script>alert" not in answer.text
        good = await at.client.post(path, data={**form, "subject": EVIL, "text": EVIL}, files=FILES)
        assert good.status_code == 200
        row = (await at.node.outside.list(at.sender))[0].letter.hex()
        page = await at.client.get(f"/box/{at.sender.id.hex()}/outside/{row}")
        assert "<script>alert" not in page.text
        assert "&lt;script&gt;" in page.text
        revoked = await at.client.post(
            f"/box/{at.sender.id.hex()}/outside/{row}/revoke", data={"csrf": form_token(page.text)}
        )
        assert revoked.status_code == 303
        assert "revoked" in (await at.client.get(f"/box/{at.sender.id.hex()}/outside")).text


async def test_tries_from_one_address_are_slowed_down(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("node.outside.opening.code_key", lambda code, salt: Secret(bytes(32)))
    async with scene(tmp_path / "node") as at:
        statuses = [(await enter(at.client, "a" * 32, "22222222")).status_code for _ in range(11)]
        assert statuses == [403] * 10 + [429]


def test_the_throttle_forgets_in_time_and_counts_networks() -> None:
    now = [0.0]
    throttle = Throttle(lambda: now[0])
    for number in range(10):
        assert throttle.wait_s(f"2001:db8::{number:x}") == 0
        throttle.failed(f"2001:db8::{number:x}")
    assert throttle.wait_s("2001:db8::ffff") == 6
    assert throttle.wait_s("2001:db8:0:1::1") == 0
    now[0] += 6
    assert throttle.wait_s("2001:db8::ffff") == 0
    throttle.failed("2001:db8::1")
    throttle.succeeded("2001:db8::1")
    assert throttle.wait_s("2001:db8::1") == 0
    for number in range(5000):
        throttle.failed(f"198.51.{number // 250}.{number % 250}")
    assert throttle.wait_s("2001:db8::1") == 0
