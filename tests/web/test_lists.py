"""The mailbox as people use it: lists, folders, marks, trash with undo, search, threads."""

from __future__ import annotations

import re
from pathlib import Path

import httpx2
import pytest
import trio

from node.app import Node
from node.opening import open_node
from node.running import run_node
from node.vault.access import OpenMailbox
from node.vault.states import Place
from protocol.crypto import Secret
from tests.web.people import PASSWORD, arrived, form_token, log_in, people, send
from tests.web.published import client_of, made_node

_ROW = re.compile(r'name="row" value="([0-9a-f]{32})"')


def rows(page: str) -> list[str]:
    """The letters of a list."""
    return _ROW.findall(page)


async def posted(client: httpx2.AsyncClient, page: httpx2.Response, path: str, **fields: object) -> httpx2.Response:
    """Send a form of a page, and the page that it leads to."""
    data = {"csrf": form_token(page.text), **fields}
    return await client.post(path, data=data, follow_redirects=True)


async def with_letters(node: Node, client: httpx2.AsyncClient, *subjects: str) -> str:
    """Log in as somebody who has these letters; the beginning of the mailbox's pages."""
    fictive, exemple = await people(node, "fictive", "exemple")
    for subject in subjects:
        await send(node, exemple, fictive.address, subject)
    async with trio.open_nursery() as nursery:
        stop = trio.Event()

        async def run(*, task_status: trio.TaskStatus[object]) -> None:
            await run_node(node, stop=stop, listen="", task_status=task_status)

        await nursery.start(run)
        await arrived(node, fictive, len(subjects))
        stop.set()
    await log_in(client, "fictive")
    return f"/box/{fictive.id.hex()}"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "node"


async def test_letters_are_chosen_moved_and_taken_back(folder: Path, database_url: str) -> None:
    await made_node(folder, database=database_url)
    async with open_node(folder) as node, client_of(node) as client:
        box = await with_letters(node, client, "Premier", "Deuxième", "Troisième")
        inbox = await client.get(f"{box}/inbox")
        chosen = rows(inbox.text)
        assert len(chosen) == 3
        assert "<span data-unread-number>3<" in inbox.text
        act = f"{box}/act"
        page = await posted(client, inbox, act, row=chosen[:2], action="archive", back=f"{box}/inbox")
        assert rows(page.text) == chosen[2:]
        assert "2 letters archived" in page.text or "2 courriers archivés" in page.text
        undo = re.search(r'name="undo" value="([^"]+)"', page.text)
        assert undo is not None
        page = await posted(client, page, f"{box}/undo", what="archived", undo=undo[1], back=f"{box}/inbox")
        assert rows(page.text) == chosen
        page = await posted(client, page, act, row=chosen[0], action="delete", back=f"{box}/inbox")
        assert rows(page.text) == chosen[1:]
        undo = re.search(r'name="undo" value="([^"]+)"', page.text)
        assert undo is not None
        assert rows((await client.get(f"{box}/trash")).text) == chosen[:1]
        page = await posted(client, page, f"{box}/undo", what="deleted", undo=undo[1], back=f"{box}/inbox")
        assert rows(page.text) == chosen
        page = await posted(client, page, act, row=chosen[0], action="delete", back=f"{box}/inbox")
        page = await posted(client, await client.get(f"{box}/trash"), act, row=chosen[0], action="restore", back=box)
        assert rows(page.text) == chosen, "what does not lead to a list leads to the inbox"
        page = await posted(client, page, act, star=f"flag.{chosen[1]}", back=f"{box}/inbox")
        assert page.text.count('aria-pressed="true"') == 1
        assert rows((await client.get(f"{box}/flagged")).text) == [chosen[1]]
        page = await posted(client, page, act, star=f"unflag.{chosen[1]}", back=f"{box}/flagged")
        assert rows(page.text) == []
        assert 'name="row"' not in (await client.get(f"{box}/sent")).text


async def test_opening_reads_and_marks_do_not_undo_it(folder: Path) -> None:
    await made_node(folder)
    async with open_node(folder) as node, client_of(node) as client:
        box = await with_letters(node, client, "Premier", "Deuxième")
        inbox = await client.get(f"{box}/inbox")
        one, two = rows(inbox.text)
        letter = await client.get(f"{box}/letter/{one}")
        assert letter.status_code == 200
        assert rows((await client.get(f"{box}/inbox?unread=1")).text) == [two]
        page = await posted(client, letter, f"{box}/act", row=one, action="unread", back=f"{box}/inbox")
        assert rows((await client.get(f"{box}/inbox?unread=1")).text) == [one, two]
        assert "on record" in page.text or "consigné" in page.text
        await client.get(f"{box}/letter/{one}")
        assert rows((await client.get(f"{box}/inbox?unread=1")).text) == [two]
        page = await posted(client, letter, f"{box}/act", row=two, action="read", back=f"{box}/inbox?unread=1")
        assert rows(page.text) == [two], "a letter is read by opening it"


async def test_own_folders(folder: Path, database_url: str) -> None:
    await made_node(folder, database=database_url)
    async with open_node(folder) as node, client_of(node) as client:
        box = await with_letters(node, client, "Premier")
        (row,) = rows((await client.get(f"{box}/inbox")).text)
        page = await client.get(f"{box}/folders")
        page = await posted(client, page, f"{box}/folders", name="<b>Cardio</b>")
        assert "<b>Cardio" not in page.text
        assert "&lt;b&gt;Cardio" in page.text
        again = await posted(client, page, f"{box}/folders", name="<B>CARDIO</B>")
        assert again.status_code == 409
        assert "aria-invalid" in again.text
        assert (await posted(client, page, f"{box}/folders", name=" ")).status_code == 409
        moved = await posted(client, page, f"{box}/act", row=row, action="move", to="16", back=f"{box}/inbox")
        assert rows(moved.text) == []
        assert rows((await client.get(f"{box}/folder/16")).text) == [row]
        page = await posted(client, page, f"{box}/folder/16/rename", name="Néphrologie")
        assert "Néphrologie" in page.text
        assert (await posted(client, page, f"{box}/act", row=row, action="move", to="99", back="x")).status_code == 404
        page = await posted(client, page, f"{box}/folder/16/delete")
        assert "Néphrologie" not in page.text
        assert rows((await client.get(f"{box}/inbox")).text) == [row]
        assert (await client.get(f"{box}/folder/16")).status_code == 404
        assert (await posted(client, page, f"{box}/folder/16/delete")).status_code == 404


async def test_search_marks_words_and_nothing_else(folder: Path) -> None:
    await made_node(folder)
    evil = 'Échographie <script>alert(1)</script> & "suite"'
    async with open_node(folder) as node, client_of(node) as client:
        box = await with_letters(node, client, evil, "Rien à voir")
        found = await client.get(f"{box}/search", params={"q": "echo"})
        assert len(rows(found.text)) == 1
        assert "<mark>Échographie</mark> &lt;" in found.text
        assert "<script>alert" not in found.text
        for query in ("script", "from:exemple suite", 'x" autofocus onfocus="alert(1)', "%00", "a" * 5000):
            page = await client.get(f"{box}/search", params={"q": query})
            assert page.status_code == 200
            assert "<script>alert" not in page.text
            assert 'onfocus="alert' not in page.text
        assert len(rows((await client.get(f"{box}/search", params={"q": "from:exemple"})).text)) == 2
        assert rows((await client.get(f"{box}/search", params={"q": "from:exemple", "files": "1"})).text) == []
        assert (await client.get(f"{box}/search?q=x&before=1e9")).status_code == 404
        assert (await client.get(f"{box}/inbox?before=nonsense")).status_code == 404


async def test_a_page_of_fifty_and_older_ones(folder: Path) -> None:
    await made_node(folder)
    async with open_node(folder) as node, client_of(node) as client:
        box = await with_letters(node, client, *(f"Lettre {number}" for number in range(57)))
        first = await client.get(f"{box}/inbox")
        assert len(rows(first.text)) == 50
        # Forty were indexed; the rest was opened as it was shown, and is indexed while the page is looked at.
        assert 'hx-post="' in first.text
        done = await client.post(f"{box}/index", data={"csrf": form_token(first.text)}, headers={"HX-Request": "true"})
        assert "<progress" not in done.text
        older = re.search(r'rel="next" href="([^"]+)"', first.text)
        assert older is not None
        second = await client.get(f"{box}/inbox{older[1].replace('&amp;', '&')}")
        assert len(rows(second.text)) == 7
        assert not set(rows(first.text)) & set(rows(second.text))
        found = await client.get(f"{box}/search", params={"q": "lettre"})
        older = re.search(r'rel="next" href="([^"]+)"', found.text)
        assert older is not None
        assert len(rows((await client.get(f"{box}/search{older[1].replace('&amp;', '&')}")).text)) == 7


async def test_the_conversation_is_shown_with_a_letter(folder: Path) -> None:
    await made_node(folder)
    async with open_node(folder) as node, client_of(node) as client:
        box = await with_letters(node, client, "Premier")
        (row,) = rows((await client.get(f"{box}/inbox")).text)
        assert 'class="thread"' not in (await client.get(f"{box}/letter/{row}")).text


async def test_forms_from_elsewhere_and_others_letters(folder: Path) -> None:
    await made_node(folder)
    async with open_node(folder) as node, client_of(node) as client, client_of(node) as stranger:
        box = await with_letters(node, client, "Premier")
        inbox = await client.get(f"{box}/inbox")
        (row,) = rows(inbox.text)
        for path in ("act", "undo", "folders", "folder/16/rename", "folder/16/delete", "index"):
            assert (await client.post(f"{box}/{path}", data={"row": row, "action": "delete"})).status_code == 403
            assert (await stranger.post(f"{box}/{path}", data={"row": row})).status_code == 303
        assert (await client.get(f"{box}/act")).status_code == 405
        await log_in(stranger, "exemple")
        own = await stranger.get("/", follow_redirects=True)
        mine = str(own.url.path).rpartition("/")[0]
        token = form_token(own.text)
        for action in ("delete", "archive", "flag", "read", "unread"):
            answer = await stranger.post(f"{mine}/act", data={"csrf": token, "row": row, "action": action})
            assert "n=0" in answer.headers["location"]
        answer = await stranger.post(f"{box}/act", data={"csrf": token, "row": row, "action": "delete"})
        assert answer.status_code == 409
        bad = ("zz", "00" * 16, "", "../../x", "0" * 33)
        answer = await client.post(
            f"{box}/act", data={"csrf": form_token(inbox.text), "row": list(bad), "action": "delete"}
        )
        assert answer.headers["location"] == f"{box}/inbox?done=deleted&n=0"
        for back in ("https://ailleurs.example", "//ailleurs.example", f"{box}/../x", f"{box}/letter/{row}", "x"):
            answer = await client.post(
                f"{box}/act", data={"csrf": form_token(inbox.text), "row": row, "action": "flag", "back": back}
            )
            assert answer.headers["location"].startswith(f"{box}/inbox?done=")
        for undo in ("x", f"{row}.x", f"{row}.999999", "," * 20):
            answer = await client.post(f"{box}/undo", data={"csrf": form_token(inbox.text), "undo": undo})
            assert answer.status_code == 404
        forged = await client.get(f"{box}/inbox?done=deleted&n=<script>&undo=%22%3E%3Cscript%3E")
        assert "<script>" not in forged.text.replace('<script type="module"', "").replace("<script defer", "")
        assert await node.lists.unread(await _opened(node)) == {Place.INBOX: 1}


async def _opened(node: Node) -> OpenMailbox:
    return await node.mailboxes.open("fictive@hopital.example", Secret(PASSWORD.encode()))
