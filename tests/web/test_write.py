"""Writing in the browser: saved, sealed, sent once; what stands in the way is told before."""

from __future__ import annotations

import sqlite3
from datetime import UTC, datetime
from pathlib import Path

import pytest
import trio

from node.app import Node
from node.opening import open_node
from node.vault.draft_rows import DraftSentError
from node.vault.states import LetterFolder
from tests.web.people import arrived, form_token, log_in, people, send
from tests.web.published import client_of, made_node, running_node
from tests.web.writing import Writer, send_whole, start_writing


async def _sent(node: Node, mailbox: object) -> int:
    return len(await node.reading.page(mailbox, LetterFolder.SENT))  # type: ignore[arg-type]


async def test_a_letter_with_a_file_is_written_read_and_its_opening_shown(tmp_path: Path) -> None:
    folder = await made_node(tmp_path / "node", settings='listen = "127.0.0.1:0"\n')
    data = bytes(range(256)) * 3000
    async with running_node(folder) as (node, client):
        sender, recipient = await people(node, "fictive", "exemple")
        await log_in(client, "fictive")
        writer = await start_writing(client, sender)
        assert (await writer.attach("Compte rendu é.pdf", data)).status_code == 200
        answer = await writer.send(
            to="Exemple <exemple@hopital.example>, ", subject="Bilan", text="Bonjour.\r\nMerci.", answer="1"
        )
        assert answer.status_code == 303, answer.text
        await arrived(node, recipient, 1)
        (summary,) = await node.reading.page(recipient, LetterFolder.INBOX)
        opened = await node.reading.open(recipient, summary.stored)
        assert opened.letter.subject == "Bilan"
        assert opened.letter.text == "[An answer is wanted.]\n\nBonjour.\nMerci."
        (file,) = opened.letter.attachments
        assert (file.name, file.media_type, file.size) == ("Compte rendu é.pdf", "application/pdf", len(data))
        assert b"".join(opened.content.attachment_pieces(0)) == data
        with trio.fail_after(60):
            while 'class="state opened">opened<' not in (page := (await client.get(answer.headers["location"])).text):
                await trio.lowlevel.checkpoint()
        assert "opened the letter." in page
        assert "put the letter, whole, into the mailbox" in page
        # Whoever writes there again sees that somebody reads there, by the month.
        again = await start_writing(client, sender)
        saved = await again.save(to="exemple@hopital.example", subject="Encore", text="")
        assert f"Last opened a letter from here: {datetime.now(UTC):%B %Y}" in saved.text
        await again.post("discard")
        # Nothing is left of the draft but the mark that it was sent.
        assert await node.drafts.all(sender) == []
        assert await node.database.read(lambda connection: node.drafts._files.names(connection)) == set()


async def test_a_draft_is_saved_listed_discarded_and_taken_back(tmp_path: Path, database_url: str) -> None:
    folder = await made_node(tmp_path / "node", database=database_url)
    async with open_node(folder) as node, client_of(node) as client:
        (mailbox,) = await people(node, "fictive")
        await log_in(client, "fictive")
        writer = await start_writing(client, mailbox)
        assert "No drafts." in (await client.get(f"/box/{mailbox.id.hex()}/drafts")).text
        saved = await writer.save(to="personne@ailleurs.example", subject="Un sujet", text="Un début")
        assert "Saved" in saved.text
        assert "Nobody in the directory has this address" in saved.text
        page = await writer.page()
        assert 'value="Un sujet"' in page
        assert "Un début" in page
        assert "Un sujet" in (await client.get(f"/box/{mailbox.id.hex()}/drafts")).text
        gone = await writer.post("discard")
        listed = (await client.get(gone.headers["location"])).text
        assert "Un sujet" not in listed
        assert "Undo" in listed
        await writer.post("restore")
        assert "Un sujet" in (await client.get(f"/box/{mailbox.id.hex()}/drafts")).text


async def test_the_last_writer_wins_and_the_other_tab_is_told(tmp_path: Path) -> None:
    folder = await made_node(tmp_path / "node")
    async with open_node(folder) as node, client_of(node) as client:
        (mailbox,) = await people(node, "fictive")
        await log_in(client, "fictive")
        writer = await start_writing(client, mailbox)
        first = await writer.save(text="un", version="0", writer="aaaa")
        again = await writer.save(text="deux", version="0", writer="aaaa")
        assert "another tab" not in first.text + again.text
        other = await writer.save(text="trois", version=await writer.version(), writer="bbbb")
        assert "another tab" not in other.text
        back = await writer.save(text="quatre", version="2", writer="aaaa")
        assert "another tab" in back.text
        assert "quatre" in await writer.page()


async def test_a_draft_is_sent_once_however_often_the_button_is_pressed(tmp_path: Path, database_url: str) -> None:
    folder = await made_node(tmp_path / "node", database=database_url)
    async with open_node(folder) as node, client_of(node) as client:
        sender, _ = await people(node, "fictive", "exemple")
        await log_in(client, "fictive")
        writer = await start_writing(client, sender)
        await writer.attach("grand.bin", bytes(700_000))
        fields = {"to": "exemple@hopital.example", "subject": "Une fois"}
        answers = []

        async def press() -> None:
            answers.append(await writer.send(**fields))

        async with trio.open_nursery() as nursery:
            for _ in range(4):
                nursery.start_soon(press)
        answers.append(await writer.send(**fields))
        assert {answer.status_code for answer in answers} == {303}
        assert len({answer.headers["location"] for answer in answers}) == 1
        assert await _sent(node, sender) == 1
        # A page left open saves into nothing, and says where the letter is.
        assert "was sent meanwhile" in (await writer.save(text="trop tard")).text
        assert (await client.get(writer.path)).headers["location"] == answers[0].headers["location"]
        assert (await writer.attach("tard.bin", b"x")).status_code == 409
        with pytest.raises(DraftSentError):
            await node.drafts.send(sender, bytes.fromhex(writer.path[-32:]))


async def test_nothing_of_a_draft_lies_in_clear(tmp_path: Path) -> None:
    folder = await made_node(tmp_path / "node")
    marks = [b"PHRASE-SECRETE-DU-TEXTE", b"OBJET-SECRET", b"CONTENU-SECRET-DU-FICHIER", b"nom-secret"]
    async with open_node(folder) as node, client_of(node) as client:
        (mailbox,) = await people(node, "fictive")
        await log_in(client, "fictive")
        writer = await start_writing(client, mailbox)
        await writer.save(subject=marks[1].decode(), text=marks[0].decode(), to="a-qui@secret.example")
        await writer.attach("nom-secret.txt", marks[2] * 40_000)
        form = {"signature": marks[0].decode(), "name": "Un", "body": marks[1].decode(), "csrf": writer.csrf}
        assert (await client.post(f"/box/{mailbox.id.hex()}/writing", data=form)).status_code == 303
        # Even with the node's data key: the boxes inside are the mailbox's.
        with sqlite3.connect(folder / "vault.db") as connection:
            ((row, sealed),) = connection.execute("SELECT id, sealed FROM drafts").fetchall()
        outer = node.keys.open("drafts", row, "sealed", sealed)
        assert not any(mark in outer for mark in marks)
    found = [path for path in folder.rglob("*") if path.is_file()]
    assert len(found) > 5
    for path in found:
        data = path.read_bytes()
        assert not any(mark in data for mark in [*marks, b"a-qui@secret"]), path


async def test_others_reach_no_draft(tmp_path: Path) -> None:
    folder = await made_node(tmp_path / "node")
    async with open_node(folder) as node, client_of(node) as mine, client_of(node) as theirs:
        owner, other = await people(node, "fictive", "exemple")
        await log_in(mine, "fictive")
        await log_in(theirs, "exemple")
        writer = await start_writing(mine, owner)
        await writer.save(subject="Pour moi seul")
        await writer.attach("a.txt", b"abc")
        (file,) = await writer.files()
        stranger = await start_writing(theirs, other)
        # In the own mailbox the same name is another, empty draft.
        same = Writer(theirs, f"/box/{other.id.hex()}/write/{writer.path[-32:]}", stranger.csrf)
        assert "Pour moi seul" not in await same.page()
        assert (await same.post(f"file/{file}/remove")).status_code == 404
        assert len(await writer.files()) == 1
        for path in (writer.path, f"/box/{owner.id.hex()}/drafts", f"/box/{owner.id.hex()}/writing"):
            assert (await theirs.get(path)).status_code == 409
        assert (await theirs.put(f"{writer.path}/file?name=x", content=b"x")).status_code == 403
        for bad in ("0" * 31, "Z" * 32, "A" * 32):
            assert (await mine.get(f"/box/{owner.id.hex()}/write/{bad}")).status_code == 404


async def test_a_request_from_elsewhere_changes_nothing(tmp_path: Path) -> None:
    folder = await made_node(tmp_path / "node")
    async with open_node(folder) as node, client_of(node) as client:
        (mailbox,) = await people(node, "fictive")
        await log_in(client, "fictive")
        writer = await start_writing(client, mailbox)
        await writer.save(subject="Gardé")
        elsewhere = {"Origin": "https://ailleurs.example"}
        urls = [f"{writer.path}{deed}" for deed in ("", "/send", "/discard", "/restore", "/template")]
        ours, file = {"csrf": writer.csrf, "subject": "x"}, {"file": ("a.txt", b"abc")}
        build = client.build_request
        requests = [build("POST", url, data={"subject": "x"}) for url in urls]
        requests += [build("POST", url, data=ours, headers=elsewhere) for url in urls]
        requests += [
            build("POST", f"{writer.path}/files", files=file),
            build("POST", f"{writer.path}/files", data={"csrf": "x" * 43}, files=file),
            build("POST", f"{writer.path}/files", data={"csrf": writer.csrf}, files=file, headers=elsewhere),
            build("PUT", f"{writer.path}/file?name=x", content=b"x"),
        ]
        for request in requests:
            assert (await send_whole(client, request)).status_code == 403, request.url
        assert "Gardé" in await writer.page()
        assert await writer.files() == []


async def test_markup_stays_text_in_every_field(tmp_path: Path) -> None:
    folder = await made_node(tmp_path / "node")
    evil = "<img src=x onerror=alert(1)>\"'"
    async with open_node(folder) as node, client_of(node) as client:
        (mailbox,) = await people(node, "fictive")
        await log_in(client, "fictive")
        writer = await start_writing(client, mailbox)
        await writer.attach(f"a/{evil}.txt", b"x")
        form = {"csrf": writer.csrf, "signature": evil, "name": evil, "body": evil}
        await client.post(f"/box/{mailbox.id.hex()}/writing", data=form)
        saved = await writer.save(to=f"{evil}@x", cc=evil, subject=evil, text=f"</textarea>{evil}")
        search = await client.get(f"/box/{mailbox.id.hex()}/recipients", params={"to": evil})
        refused = await writer.send(to=f"{evil}@x", subject=evil, text=evil)
        pages = [saved.text, search.text, refused.text, await writer.page()]
        pages += [(await client.get(f"/box/{mailbox.id.hex()}/{name}")).text for name in ("drafts", "writing")]
        for page in pages:
            assert "<img src=x" not in page
            assert "</textarea><img" not in page


async def test_what_stands_in_the_way_is_told_in_words(tmp_path: Path) -> None:
    folder = await made_node(tmp_path / "node")
    async with open_node(folder) as node, client_of(node) as client:
        sender, _ = await people(node, "fictive", "ferme")
        await node.mailboxes.close("ferme@hopital.example")
        await log_in(client, "fictive")
        client.headers["accept-language"] = "fr"
        writer = await start_writing(client, sender)
        nobody = await writer.send(subject="x")
        assert nobody.status_code == 422
        assert "Dites à qui le courrier est destiné" in nobody.text
        closed = await writer.send(to="ferme@hopital.example")
        assert "Cette boîte est fermée" in closed.text
        unknown = await writer.send(to="fictiv@hopital.example")
        assert "fictive@hopital.example" in unknown.text
        assert await _sent(node, sender) == 0


async def test_the_directory_completes_what_is_typed(tmp_path: Path) -> None:
    folder = await made_node(tmp_path / "node")
    async with open_node(folder) as node, client_of(node) as client:
        sender, _ = await people(node, "fictive", "exemple")
        await log_in(client, "fictive")
        found = await client.get(f"/box/{sender.id.hex()}/recipients", params={"to": "autre@ailleurs.example, exem"})
        assert 'data-address="exemple@hopital.example"' in found.text
        assert 'id="to-choice-0"' in found.text
        for odd in ("", "e", "x " * 40, "\0\0", "é" * 3000):
            assert (await client.get(f"/box/{sender.id.hex()}/recipients", params={"cc": odd})).status_code == 200


async def test_a_look_alike_is_asked_about_before_a_letter_goes(tmp_path: Path) -> None:
    folder = await made_node(tmp_path / "node")
    async with open_node(folder) as node, client_of(node) as client:
        sender, _, _ = await people(node, "fictive", "cardio1", "cardiol")
        await log_in(client, "fictive")
        writer = await start_writing(client, sender)
        asked = await writer.send(to="cardio1@hopital.example", subject="x")
        assert asked.status_code == 422, asked.headers
        assert "Send all the same" in asked.text
        assert await _sent(node, sender) == 0
        digest = asked.text.split('name="confirmed" value="')[1][:32]
        wrong = await writer.send(to="cardio1@hopital.example", subject="x", confirmed="0" * 32)
        assert wrong.status_code == 422
        right = await writer.send(to="cardio1@hopital.example", subject="x", confirmed=digest)
        assert right.status_code == 303
        assert await _sent(node, sender) == 1


async def test_signature_and_templates_are_put_in(tmp_path: Path, database_url: str) -> None:
    folder = await made_node(tmp_path / "node", database=database_url)
    async with open_node(folder) as node, client_of(node) as client:
        (mailbox,) = await people(node, "fictive")
        await log_in(client, "fictive")
        writer = await start_writing(client, mailbox)
        url = f"/box/{mailbox.id.hex()}/writing"
        form = {"csrf": writer.csrf, "signature": "Dr Fictive\r\nService fictif"}
        await client.post(url, data={**form, "name": ["Convocation", ""], "body": ["Vous êtes attendu.", ""]})
        page = await writer.page()
        assert "Dr Fictive\nService fictif</textarea>" in page
        assert "Convocation" in page
        await writer.post("template", text="Suite", template="0")
        assert "Vous êtes attendu.\nSuite" in await writer.page()
        await writer.post("template", text="Suite", template="99")
        await client.post(url, data={**form, "name": "", "body": ""})
        assert "Convocation" not in await writer.page()
        long = await client.post(url, data={**form, "signature": "x" * 5000})
        assert long.status_code == 409


async def test_answers_and_forwards_begin_as_people_expect(tmp_path: Path) -> None:
    folder = await made_node(tmp_path / "node", settings='listen = "127.0.0.1:0"\n')
    document = tmp_path / "Résultat.pdf"
    document.write_bytes(b"%PDF-1.7 " + bytes(600_000))
    async with running_node(folder) as (node, client):
        sender, reader, _ = await people(node, "fictive", "exemple", "tiers")
        await send(
            node,
            sender,
            "exemple@hopital.example",
            "Bilan",
            text="Ligne 1\nLigne 2",
            files=[(document, "application/pdf")],
        )
        await arrived(node, reader, 1)
        client.headers["accept-language"] = "en"
        await log_in(client, "exemple")
        base = f"/box/{reader.id.hex()}"
        (summary,) = await node.reading.page(reader, LetterFolder.INBOX)
        letter = f"{base}/letter/{summary.stored.row.hex()}"
        token = form_token((await client.get(letter)).text)
        answered = await client.post(f"{letter}/reply", data={"csrf": token})
        page = (await client.get(answered.headers["location"])).text
        assert "fictive@hopital.example, " in page
        assert 'value="Re: Bilan"' in page
        assert "wrote:\n&gt; Ligne 1\n&gt; Ligne 2" in page
        writer = Writer(client, answered.headers["location"], token)
        await writer.send(to="fictive@hopital.example", subject="Re: Bilan", text="Merci")
        await arrived(node, sender, 1)
        (reply,) = await node.reading.page(sender, LetterFolder.INBOX)
        assert reply.letter is not None
        assert summary.letter is not None
        assert reply.letter.thread == summary.letter.thread

        handed = await client.post(f"{letter}/forward", data={"csrf": token})
        writer = Writer(client, handed.headers["location"], token)
        page = await writer.page()
        assert 'value="Fwd: Bilan"' in page
        assert "Résultat.pdf" in page
        await writer.send(to="tiers@hopital.example", subject="Fwd: Bilan", text="Pour vous")
        newest = (await node.reading.page(reader, LetterFolder.SENT))[0]
        opened = await node.reading.open(reader, newest.stored)
        assert b"".join(opened.content.attachment_pieces(0)) == document.read_bytes()
        assert (await client.post(f"{base}/other/{'0' * 32}/reply", data={"csrf": token})).status_code == 404
        assert (await client.get(f"{letter}/reply")).status_code in (404, 405)
