"""What is typed wrongly into the staff's forms: told in words, and nothing is done; wrong addresses, long bodies."""

from __future__ import annotations

from pathlib import Path

from node.opening import open_node
from node.staff.account import StaffRole
from node.web.guard import MAX_BODY_BYTES
from protocol.crypto import Secret
from protocol.invite import decode_invite
from protocol.logleaf import EventKind
from tests.staff.colleagues import ORIGIN, confirm, done_by, events, logged_in, press
from tests.web.people import people
from tests.web.published import client_of, made_node
from tests.web.writing import send_whole

ADMIN = "/staff/admin"
HUGE = str(2**64)
FRENCH = {"Accept": "text/html", "Accept-Language": "fr"}


async def test_numbers_and_days_that_no_database_holds_are_refused(tmp_path: Path, database_url: str) -> None:
    other = await made_node(tmp_path / "other", domain="pont.example")
    async with open_node(other) as peer:
        invite = decode_invite(peer.invitation())
    async with (
        open_node(await made_node(tmp_path / "node", database=database_url)) as node,
        logged_in(node, StaffRole.ADMINISTRATOR) as client,
    ):
        (box,) = await people(node, "durand")
        await node.database.write(node.peers.accept, invite)
        one, relays, retention = f"{ADMIN}/mailboxes/{box.id.hex()}", f"{ADMIN}/relays", f"{ADMIN}/retention"
        new = {"address": "ada", "name": "Ada", "kind": "person", "email": "", "first_password": "x" * 20}
        admit = {"peer": "pont.example", "letters": "1", "size": "1 MB", "days": "1"}
        before = len(await events(node))
        for page, action, form in (
            (f"{ADMIN}/mailboxes/new", f"{ADMIN}/mailboxes/new", new | {"quota": "9999999 TB", "confirmed": "yes"}),
            (f"{ADMIN}/mailboxes/new", f"{ADMIN}/mailboxes/new", new | {"quota": "0 GB", "confirmed": "yes"}),
            (one, f"{one}/quota", {"quota": "9999999 TB"}),
            (one, f"{one}/days", {"received": HUGE[:10], "sent": "", "trash": ""}),
            (relays, f"{relays}/admit", admit | {"size": f"{HUGE[:18]} TB"}),
            (relays, f"{relays}/admit", admit | {"letters": HUGE}),
            (retention, f"{retention}/holds", {"reason": "x", "mailbox": "", "since": "", "until": "9999-12-31"}),
        ):
            answer = await press(client, page, action, **form)
            assert answer.status_code in (409, 422), f"{action} {form}: {answer.status_code}"
        assert len(await events(node)) == before


async def test_what_would_be_refused_is_not_asked_about(tmp_path: Path) -> None:
    async with (
        open_node(await made_node(tmp_path / "node")) as node,
        logged_in(node, StaffRole.ADMINISTRATOR) as client,
    ):
        accounts, retention = f"{ADMIN}/staff", f"{ADMIN}/retention"
        for form in ({"name": "", "auditor": "yes"}, {"name": "sacha"}, {"name": "administrator", "auditor": "yes"}):
            answer = await press(client, accounts, accounts, **form)
            assert answer.status_code == 409, form
            assert "first_password" not in answer.text
        me = await node.staff.find("administrator")
        for confirmed in ("", "yes"):
            answer = await press(client, accounts, f"{accounts}/{me.id.hex()}/remove", confirmed=confirmed)
            assert answer.status_code == 409
        # Nothing is on record that was not done.
        assert await done_by(node, "administrator") == []
        await press(
            client, retention, f"{retention}/holds", reason="dossier 7", mailbox="", since="2026-01-01", until=""
        )
        (hold,) = await node.database.read(node.holds.all)
        answer = await press(client, retention, f"{retention}/holds/{hold.id.hex()}/remove", reason="")
        assert answer.status_code == 409
        assert "confirm" not in answer.text


async def test_an_account_that_is_removed_is_on_record_once_it_is(tmp_path: Path) -> None:
    async with (
        open_node(await made_node(tmp_path / "node")) as node,
        logged_in(node, StaffRole.ADMINISTRATOR) as client,
    ):
        gone = await node.staff.add("sacha", frozenset({StaffRole.AUDITOR}), Secret(b"premier passage"))
        page = f"{ADMIN}/staff"
        await confirm(client, await press(client, page, f"{page}/{gone.id.hex()}/remove"))
        me = await node.staff.find("administrator")
        tail = [(kind, details.staff, details.code) for kind, details in (await events(node))[-2:]]
        assert tail == [
            (EventKind.STAFF_REMOVED, gone.id, None),
            (EventKind.STAFF_ACTED, me.id, f"account removed: {gone.id.text}"),
        ]


async def test_wrong_addresses_and_long_bodies_are_told_on_a_page(tmp_path: Path) -> None:
    async with open_node(await made_node(tmp_path / "node")) as node, client_of(node) as client:
        for path, back in (("/staff/nothing", "/staff/"), ("/nothing", "/")):
            answer = await client.get(path, headers=FRENCH)
            assert answer.status_code == 404
            assert "l’adresse" in answer.text or "l'adresse" in answer.text, answer.text
            assert f'href="{back}"' in answer.text
        wrong = await client.get("/logout", headers=FRENCH)
        assert (wrong.status_code, wrong.headers["allow"]) == (405, "POST")
        assert "formulaire" in wrong.text
        long = {"csrf": "x" * (MAX_BODY_BYTES + 1)}
        form = client.build_request("POST", "/staff/log-in", data=long, headers=FRENCH | ORIGIN)
        answer = await send_whole(client, form)
        assert answer.status_code == 413
        assert "dépasse la taille" in answer.text
        # A program gets a line.
        assert (await client.get("/nothing")).text == "not found\n"
        form = client.build_request("POST", "/login", data=long)
        assert (await send_whole(client, form)).text == "request refused\n"
