"""An administrator's work on mailboxes, over the pages: what it does, what it asks first, what is on record."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import pytest

from node.errors import NotFoundError, StateError, WrongSecretError
from node.opening import open_node
from node.recovery_files import halves_of
from node.staff.account import StaffRole
from node.vault.mailbox_rows import EntryUpdate
from node.world import World
from protocol.crypto import Secret
from protocol.entry import MailboxEntry, MailboxKind
from protocol.logleaf import EventKind
from tests.staff.colleagues import ORIGIN, confirm, done_by, logged_in, press, send_file
from tests.web.people import PASSWORD, form_token, people
from tests.web.published import made_node

ADMINISTRATOR = StaffRole.ADMINISTRATOR
MAILBOXES = "/staff/admin/mailboxes"
NEW = {"address": "Ada.Fictive", "name": "Dr Ada Fictive", "kind": "person", "quota": "1,5 Go", "email": ""}
FIELDS = {"profession": "médecin", "specialty": "cardiologie", "unit": "B2", "town": "Lyon"}
_WORD = re.compile(r'<code class="words">([^<]+)</code>')


def first_password(page: str) -> str:
    """The one that a page shows."""
    found = _WORD.search(page)
    assert found is not None, page
    return found[1]


async def test_a_mailbox_is_made_once_its_password_was_shown(tmp_path: Path, database_url: str) -> None:
    async with (
        open_node(await made_node(tmp_path / "node", database=database_url)) as node,
        logged_in(node, ADMINISTRATOR) as client,
    ):
        asked = await press(client, f"{MAILBOXES}/new", f"{MAILBOXES}/new", **NEW, **FIELDS)
        word = first_password(asked.text)
        assert await node.mailboxes.all() == []  # nothing before it is confirmed
        answer = await confirm(client, asked)
        page = await client.get(answer.headers["location"])
        assert "ada.fictive@hopital.example" in page.text
        assert "cardiologie" in page.text
        (mailbox,) = await node.mailboxes.all()
        assert mailbox.quota_bytes == 3 << 29
        # A first password opens it to set another one, and for nothing else.
        await node.mailboxes.open(mailbox.address, Secret(word.encode()), to_set_another=True)
        with pytest.raises(StateError, match="first password"):
            await node.mailboxes.open(mailbox.address, Secret(word.encode()))
        # The same address again, another domain, a kind that is none: told on the form, which keeps what was typed.
        for wrong in ({"address": "ada.fictive"}, {"address": "x@other.example"}, {"kind": "robot"}, {"quota": "20"}):
            again = await press(client, f"{MAILBOXES}/new", f"{MAILBOXES}/new", **(NEW | FIELDS | wrong))
            assert again.status_code == 422
            assert "cardiologie" in again.text
        assert await done_by(node, "administrator") == [(EventKind.MAILBOX_CREATED, None)]


async def test_a_mailbox_is_changed_closed_and_forwarded(tmp_path: Path) -> None:
    async with (
        open_node(await made_node(tmp_path / "node")) as node,
        logged_in(node, ADMINISTRATOR) as client,
    ):
        durand, _ = await people(node, "durand", "martin")
        one = f"{MAILBOXES}/{durand.id.hex()}"
        await press(client, one, f"{one}/edit", name="Dr Durand", **FIELDS, listed="yes")
        await press(client, one, f"{one}/quota", quota="5 GB")
        page = await client.get(one)
        assert "cardiologie" in page.text
        assert (await node.mailboxes.find(durand.address)).quota_bytes == 5 << 30
        asked = await press(client, one, f"{one}/days", received="365", sent="", trash="7")
        assert (await node.database.read(node.policies.of, durand.id)).own.received is None
        await confirm(client, asked)
        assert (await node.database.read(node.policies.of, durand.id)).own.received == 365
        asked = await press(client, one, f"{one}/close", moved_to="")
        assert (await node.mailboxes.find(durand.address)).status == "open"
        await confirm(client, asked)
        assert (await node.mailboxes.find(durand.address)).status == "closed"
        answer = await press(client, one, f"{one}/close", moved_to="martin@hopital.example")
        assert answer.headers["location"].endswith("done=moved")
        assert "martin@hopital.example" in (await client.get(one)).text
        answer = await press(client, one, f"{one}/close", moved_to="nobody@hopital.example")
        assert answer.status_code == 409
        record = await done_by(node, "administrator")
    assert [kind for kind, _ in record] == [
        EventKind.MAILBOX_CHANGED,
        EventKind.MAILBOX_CHANGED,
        EventKind.RETENTION_CHANGED,
        EventKind.MAILBOX_CLOSED,
        EventKind.MAILBOX_CLOSED,
    ]


@pytest.mark.parametrize("what", ["recover", "reset"])
async def test_a_mailbox_is_reset_with_the_key_from_the_safe(tmp_path: Path, what: str) -> None:
    folder = await made_node(tmp_path / "node")
    (key_file,) = (tmp_path / "node.recovery").glob("*mailbox*")
    async with open_node(folder) as node, logged_in(node, ADMINISTRATOR) as client:
        (durand,) = await people(node, "durand")
        before = await node.database.read(node.directory.own_mailbox, durand.id)
        page = f"{MAILBOXES}/{durand.id.hex()}/recover"
        shown = await client.get(page)
        form = {"first_password": first_password(shown.text), "what": what}
        # Without the box that it was checked, with another file, and with the password that a page before showed.
        assert (await send_file(client, page, page, key_file.read_bytes(), **form)).status_code == 422
        wrong = await send_file(client, page, page, b"COFFRE-MAILBOX-RECOVERY-1:aaaa", **form, sure="yes")
        assert wrong.status_code == 422
        assert key_file.read_text().split("\n")[-2] not in wrong.text
        await node.mailboxes.open(durand.address, Secret(PASSWORD.encode()))
        answer = await send_file(client, page, page, key_file.read_bytes(), **form, sure="yes")
        assert answer.status_code == 303, answer.text
        with pytest.raises(WrongSecretError):
            await node.mailboxes.open(durand.address, Secret(PASSWORD.encode()))
        await node.mailboxes.open(durand.address, Secret(form["first_password"].encode()), to_set_another=True)
        assert await node.mailboxes.has_first_password(durand.id)
        after = await node.database.read(node.directory.own_mailbox, durand.id)
        assert before is not None
        assert after is not None
        assert (before.seal_key == after.seal_key) is (what == "recover")
        kinds = [kind for kind, _ in await done_by(node, "administrator")]
    assert (EventKind.MAILBOX_RECOVERED if what == "recover" else EventKind.KEYS_RENEWED) in kinds
    # The key was in this one request: no file of the node has it.
    code = key_file.read_text().split("\n")[-2].encode()
    assert all(code not in file.read_bytes() for file in folder.rglob("*") if file.is_file())


async def test_the_key_may_be_pasted(tmp_path: Path) -> None:
    folder = await made_node(tmp_path / "node")
    (key_file,) = (tmp_path / "node.recovery").glob("*mailbox*")
    async with open_node(folder) as node, logged_in(node, ADMINISTRATOR) as client:
        (durand,) = await people(node, "durand")
        page = f"{MAILBOXES}/{durand.id.hex()}/recover"
        shown = await client.get(page)
        form = {
            "csrf": form_token(shown.text),
            "first_password": first_password(shown.text),
            "what": "recover",
            "sure": "yes",
            "pasted": key_file.read_text().replace("\n", "\r\n"),
        }
        answer = await client.post(page, data=form, files={"file": ("", b"")}, headers=ORIGIN)
        assert answer.status_code == 303, answer.text


async def test_halves_of_the_key_open_it_together_and_not_alone(tmp_path: Path) -> None:
    folder = await made_node(tmp_path / "node")
    (key_file,) = (tmp_path / "node.recovery").glob("*mailbox*")
    one, two = halves_of(key_file.read_text(), World())
    async with open_node(folder) as node, logged_in(node, ADMINISTRATOR) as client:
        (durand,) = await people(node, "durand")
        page = f"{MAILBOXES}/{durand.id.hex()}/recover"
        code = two.split()[-1]
        for files, pasted, status in (
            ([one], b"", 422),
            ([one], code[:-20] + (b"b" if code[-20:-19] == b"a" else b"a") + code[-19:], 422),
            ([one], code[:-8], 422),
            ([one, one], b"", 422),
            ([one], two, 303),
            ([two, one], b"", 303),
        ):
            shown = await client.get(page)
            form = {
                "csrf": form_token(shown.text),
                "first_password": first_password(shown.text),
                "what": "recover",
                "sure": "yes",
                "pasted": pasted.decode(),
            }
            given = [("file", (f"{at}.key", data)) for at, data in enumerate(files)]
            answer = await client.post(page, data=form, files=given, headers=ORIGIN)
            assert answer.status_code == status, answer.text
            assert one.decode().split("\n")[-2] not in answer.text
            assert ("le code est abîmé" in answer.text) is (code[:20] in pasted and status == 422)


async def test_who_acts_for_a_mailbox_is_shown_and_ended(tmp_path: Path) -> None:
    async with (
        open_node(await made_node(tmp_path / "node")) as node,
        logged_in(node, ADMINISTRATOR) as client,
    ):
        service, durand = await people(node, "cardiologie", "durand")

        def as_service(entry: MailboxEntry) -> MailboxEntry:
            return replace(entry, kind=MailboxKind.SERVICE)

        await node.mailboxes.update([EntryUpdate(service.id, as_service)])
        await node.sharing.add_member(service, durand.address)
        one = f"{MAILBOXES}/{service.id.hex()}"
        assert durand.address in (await client.get(one)).text
        assert service.address in (await client.get(f"{MAILBOXES}/{durand.id.hex()}")).text
        asked = await press(client, one, f"{one}/share/member", holder=durand.address)
        assert await node.sharing.members(service.address) != []
        await confirm(client, asked)
        assert await node.sharing.members(service.address) == []
        answer = await press(client, one, f"{one}/share/deputy", holder=durand.address, confirmed="yes")
        assert answer.status_code == 404
        assert (await press(client, one, f"{one}/share/owner", holder=durand.address)).status_code == 404
        assert (EventKind.MEMBER_REMOVED, None) in await done_by(node, "administrator")


LIST = """address,name,kind,specialty
ada@hopital.example,Dr Ada Fictive,person,cardiologie
durand@hopital.example,Dr Durand,person,<script>alert(1)</script>
,,,
"""


async def test_a_list_is_looked_at_then_done(tmp_path: Path, database_url: str) -> None:
    folder = await made_node(tmp_path / "node", database=database_url)
    async with open_node(folder) as node, logged_in(node, ADMINISTRATOR) as client:
        await people(node, "durand")
        page = "/staff/admin/import"
        options = {"format": "", "encoding": "utf-8", "delimiter": "", "address_form": "", "structures": ""}
        plan = await send_file(client, page, page, LIST.encode(), **options)
        assert plan.status_code == 200
        assert "&lt;script&gt;" in plan.text
        assert "<script>alert" not in plan.text
        with pytest.raises(NotFoundError):
            await node.mailboxes.find("ada@hopital.example")
        found = re.search(r"ada@hopital\.example.*?<code>([^<]+)</code>", plan.text, re.S)
        assert found is not None
        form = dict(re.findall(r'<input type="hidden" name="(\w+)" value="([^"]*)">', plan.text))
        form["content"] = LIST
        words = await client.post(f"{page}/passwords", data=form, headers=ORIGIN)
        assert words.headers["content-disposition"].startswith("attachment")
        assert found[1] in words.text
        assert (await client.post(f"{page}/do", data=form, headers=ORIGIN)).status_code == 409
        done = await client.post(f"{page}/do", data={**form, "confirmed": "yes"}, headers=ORIGIN)
        assert done.status_code == 200, done.text
        await node.mailboxes.open("ada@hopital.example", Secret(found[1].encode()), to_set_another=True)
        assert await node.mailboxes.has_first_password((await node.mailboxes.find("ada@hopital.example")).id)
        kinds = [kind for kind, _ in await done_by(node, "administrator")]
        assert kinds == [EventKind.MAILBOX_CREATED, EventKind.MAILBOX_CHANGED]
        # What is no list is told.
        for data, text in ((b"", "aucune liste"), (b"\xff\xfe", "un autre encodage"), (b"{", "JSON")):
            answer = await send_file(client, page, page, data, **options)
            assert answer.status_code == 422
            assert text in answer.text
        assert (await send_file(client, page, page, b"a" * (2 * 1024 * 1024 + 1), **options)).status_code == 409
        # Columns of other names are told on the page, in its words, and what was typed stays.
        foreign = "Nom;Prénom\nNEUF;Léa\n".encode()
        answer = await send_file(client, page, page, foreign, **options, map="family=Name")
        assert answer.status_code == 422
        assert "family=Name</textarea>" in answer.text
        answer = await send_file(client, page, page, foreign, **options)
        assert "aucune colonne connue pour le nom ou l’adresse\u202f; il y a\u00a0: Nom, Prénom" in answer.text
        assert "--map" not in answer.text
        extract = b"name,address\n"
        answer = await send_file(client, page, page, extract, **{**options, "format": "rass"})
        assert "le numéro FINESS ou SIRET" in answer.text
        plan = await send_file(client, page, page, foreign, **options, map="family=Nom\ngiven=Prénom")
        assert "lea.neuf@hopital.example" in plan.text
        form = dict(re.findall(r'<input type="hidden" name="(\w+)" value="([^"]*)">', plan.text))
        form |= {"content": foreign.decode(), "map": "family=Nom\r\ngiven=Prénom", "confirmed": "yes"}
        assert (await client.post(f"{page}/do", data=form, headers=ORIGIN)).status_code == 200
        await node.mailboxes.find("lea.neuf@hopital.example")


async def test_the_list_of_mailboxes_is_searched_and_paged(tmp_path: Path) -> None:
    async with (
        open_node(await made_node(tmp_path / "node")) as node,
        logged_in(node, ADMINISTRATOR) as client,
    ):
        assert "/staff/admin/mailboxes/new" in (await client.get(MAILBOXES)).text
        await people(node, "durand", "martin")
        page = await client.get(MAILBOXES, params={"q": "MART"})
        assert "martin@" in page.text
        assert "durand@" not in page.text
        for odd in ("-1", "x", "9" * 30, "<b>"):
            assert (await client.get(MAILBOXES, params={"from": odd, "q": odd})).status_code == 200
        assert (await client.get(f"{MAILBOXES}/{'ab' * 16}")).status_code == 404
        assert (await client.get(f"{MAILBOXES}/zz")).status_code == 404
