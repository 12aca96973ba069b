"""The auditor's pages: the log, disclosures and who grants them, checking the log, evidence."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

import httpx2
import sqlalchemy as sa
import trio

from node.app import Node
from node.opening import open_node
from node.staff.account import StaffRole
from node.vault import schema
from node.vault.access import OpenMailbox
from node.vault.database import Transaction
from node.vault.evidence_export import export_evidence
from node.vault.states import LetterFolder
from protocol.disclosure import parse_disclosure
from protocol.evidence_file import write_evidence_file
from protocol.ids import LetterId
from protocol.logleaf import EventKind
from tests.staff.colleagues import ORIGIN, events, logged_in, press
from tests.web.people import form_token, people, send
from tests.web.published import grow, made_node

LOG, ASK, GRANTS = "/staff/auditor/log", "/staff/auditor/disclosures", "/staff/admin/disclosures"
CHECKS, EVIDENCE = "/staff/auditor/checks", "/staff/auditor/evidence"


async def one_letter(node: Node) -> tuple[OpenMailbox, LetterId]:
    """A letter from durand to martin: the sender's mailbox, and the letter's id."""
    durand, _ = await people(node, "durand", "martin")
    await send(node, durand, "martin@hopital.example", "Résultats")
    found = [details.letter for kind, details in await events(node) if kind is EventKind.SUBMITTED]
    assert found[0] is not None
    return durand, found[0]


def rows(page: httpx2.Response) -> list[str]:
    """The events that a page of the log shows."""
    assert page.status_code == 200, page.text
    return re.findall(r'<th scope="row" data-label="[^"]+">([^<(]+) <small>', page.text)


async def test_the_log_is_paged_and_filtered(tmp_path: Path, database_url: str) -> None:
    folder = await made_node(tmp_path / "node", database=database_url)
    async with open_node(folder) as node, logged_in(node, StaffRole.AUDITOR) as client:
        await people(node, "durand")
        await grow(node, 130)
        english = {"Accept-Language": "en"}
        first = await client.get(LOG, headers=english)
        assert rows(first) == ["started"] * 100
        older = re.search(r'<a href="([^"]+)" rel="next">', first.text)
        assert older is not None
        second = await client.get(LOG + older[1].replace("&amp;", "&"), headers=english)
        assert rows(second)[:30] == ["started"] * 30
        assert rows(second)[-1] == "epoch opened"
        assert 'rel="next"' not in second.text
        assert rows(await client.get(f"{LOG}?kind=mailboxes", headers=english)) == ["mailbox created"]
        assert rows(await client.get(f"{LOG}?kind=500", headers=english)) == ["epoch opened"]
        for nothing in ("?until=2020-01-01T00:00", "?from=2100-01-01T00:00", f"?tag={'ab' * 16}", "?kind=499"):
            assert rows(await client.get(LOG + nothing, headers=english)) == []
        for bad in ("?kind=x&from=y&until=-&tag=z&before=9", "?before=1/99999999999999999", "?from=0001-01-01T00:00"):
            assert (await client.get(LOG + bad, headers=english)).status_code == 200
        # Nobody's name, and no mailbox.
        assert "durand" not in first.text + second.text
        found = await client.get(f"{EVIDENCE}?place=1/0", follow_redirects=True, headers=english)
        assert rows(found) == ["epoch opened"]
        assert (await client.get(f"{EVIDENCE}?place=7/9")).status_code == 422


async def test_details_are_shown_where_another_account_grants_it(tmp_path: Path, database_url: str) -> None:
    folder = await made_node(tmp_path / "node", database=database_url)
    both = (StaffRole.AUDITOR, StaffRole.ADMINISTRATOR)
    async with (
        open_node(folder) as node,
        logged_in(node, *both, name="alix") as auditor,
        logged_in(node, StaffRole.ADMINISTRATOR, name="camille") as administrator,
    ):
        _, letter = await one_letter(node)
        for wrong in (
            {"what": "letter", "letter": "x", "reason": "r"},
            {"what": "letter", "letter": letter.text, "reason": " "},
            {"what": "period", "from": "2026-01-02T00:00", "until": "2026-01-01T00:00", "reason": "r"},
            {"what": "mailbox", "mailbox": "nobody@hopital.example", "from": "2026-01-01", "until": "2027-01-01"},
        ):
            assert (await press(auditor, ASK, ASK, **wrong)).status_code == 422
        asked = await press(auditor, ASK, ASK, what="letter", letter=letter.text, reason="plainte n° 12")
        assert asked.headers["location"] == f"{ASK}?done=asked"
        item = (await node.disclosure_requests.all())[0]
        one = f"{GRANTS}/{item.id.hex()}"
        opened = {"kind": "letters", "from": "", "until": "", "tag": "", "before": ""}
        assert letter.text not in (await press(auditor, LOG, LOG, **opened)).text
        # Nobody grants to themself; what cannot be taken back is asked first.
        answer = await press(auditor, ASK, f"{one}/grant", days="3", confirmed="yes")
        assert (answer.status_code, (await node.disclosure_requests.all())[0].state.value) == (409, "asked")
        question = await press(administrator, GRANTS, f"{one}/grant", days="3")
        assert "plainte n° 12" in question.text
        assert (await node.disclosure_requests.all())[0].state.value == "asked"
        form = {"csrf": form_token(question.text), "days": "3", "answer": "oui", "confirmed": "yes"}
        assert (await administrator.post(f"{one}/grant", data=form, headers=ORIGIN)).status_code == 303
        assert (await administrator.post(f"{one}/deny", data=form, headers=ORIGIN)).status_code == 409
        page = await press(auditor, LOG, LOG, **opened)
        assert letter.text in page.text
        made = await press(auditor, ASK, f"{ASK}/{item.id.hex()}/file")
        account = (await node.staff.find("alix")).id
        assert parse_disclosure(made.content).to == account.hex()
        # What others asked for is nobody else's.
        assert (await press(administrator, GRANTS, f"{ASK}/{item.id.hex()}/file")).status_code == 403
        log = await events(node)
        codes = {item.id.hex(): [kind for kind, said in log if said.code == item.id.hex()]}
        assert codes[item.id.hex()] == [EventKind.DISCLOSURE_ASKED, EventKind.DISCLOSURE_GRANTED]
        shown = [said for kind, said in log if kind is EventKind.STAFF_ACTED]
        assert [(said.staff, (said.code or "").rstrip("0123456789")) for said in shown] == [
            (account, "details shown: ")
        ]
        granted = next(said for kind, said in log if kind is EventKind.DISCLOSURE_GRANTED)
        assert (granted.staff, granted.digest) == ((await node.staff.find("camille")).id, item.digest)
        assert EventKind.DISCLOSED in [kind for kind, _ in log]


async def test_a_refusal_is_told(tmp_path: Path) -> None:
    async with (
        open_node(await made_node(tmp_path / "node")) as node,
        logged_in(node, StaffRole.AUDITOR) as auditor,
        logged_in(node, StaffRole.ADMINISTRATOR) as administrator,
    ):
        period = {"what": "period", "from": "2026-01-01T00:00", "until": "2100-01-01T00:00"}
        await press(auditor, ASK, ASK, **period, reason="tout")
        item = (await node.disclosure_requests.all())[0]
        await press(administrator, GRANTS, f"{GRANTS}/{item.id.hex()}/deny", days="30", answer="trop large")
        assert "trop large" in (await auditor.get(ASK)).text
        assert (await press(auditor, ASK, f"{ASK}/{item.id.hex()}/file")).status_code == 409
        # An unknown letter: the grant says so, and nothing is decided.
        await press(auditor, ASK, ASK, what="letter", letter=LetterId(bytes(16)).text, reason="r")
        item = (await node.disclosure_requests.all())[0]
        answer = await press(administrator, GRANTS, f"{GRANTS}/{item.id.hex()}/grant", days="3", confirmed="yes")
        assert answer.status_code == 404
        for _ in range(19):
            await press(auditor, ASK, ASK, **period, reason="encore")
        assert (await press(auditor, ASK, ASK, **period, reason="encore")).status_code == 422


async def until_checked(node: Node) -> None:
    """Wait for the end of the check that is under way."""
    while node.log_checks.run_state().is_under_way:
        await trio.sleep(0.05)


async def test_the_log_is_checked_in_one_click(tmp_path: Path) -> None:
    async with (
        open_node(await made_node(tmp_path / "node")) as node,
        logged_in(node, StaffRole.AUDITOR) as client,
        trio.open_nursery() as nursery,
    ):
        await grow(node, 600)
        english = {"Accept-Language": "en"}
        assert "was not checked" in (await client.get(CHECKS, headers=english)).text
        assert (await press(client, CHECKS, CHECKS)).status_code == 303
        assert (await press(client, CHECKS, CHECKS)).status_code == 409
        assert "<progress" in (await client.get(CHECKS, headers=english)).text
        # The duty was not there when it was asked for, as after a stop.
        nursery.start_soon(node.log_checks.run)
        with trio.fail_after(120):
            await until_checked(node)
        answer = await client.get(f"{CHECKS}?progress")
        assert answer.headers["hx-refresh"] == "true"
        page = await client.get(CHECKS, headers=english)
        assert "Everything that was checked holds." in page.text
        assert re.search(r"6\d\d leaves hashed and compared with the tree", page.text)
        made = node.log_checks.reports()[0].made_at_ms
        report = await client.get(f"{CHECKS}/{made}/report", headers=english)
        assert (report.status_code, "sandbox" in report.headers["content-security-policy"]) == (200, True)
        assert "Audit report" in report.text
        assert (await client.get(f"{CHECKS}/1/report")).status_code == 404
        # Behind the node's back an event is changed.
        await falsify(node, 5)
        await press(client, CHECKS, CHECKS)
        with trio.fail_after(120):
            await until_checked(node)
        page = await client.get(CHECKS, headers=english)
        assert "Defects were found." in page.text
        assert (await client.get(f"{CHECKS}/{made}", headers=english)).status_code == 200
        nursery.cancel_scope.cancel()


async def test_a_check_that_cannot_be_made_ends_and_says_so(tmp_path: Path) -> None:
    async with open_node(await made_node(tmp_path / "node")) as node, trio.open_nursery() as nursery:
        await node.log_checks.ask()
        # The place of the copy is taken by a file.
        (node.log_checks.folder / "institutions").write_bytes(b"")
        nursery.start_soon(node.log_checks.run)
        with trio.fail_after(60):
            await until_checked(node)
        run = node.log_checks.run_state()
        assert (run.state.value, bool(run.reason)) == ("failed", True)
        # The duty goes on.
        (node.log_checks.folder / "institutions").unlink()
        await node.log_checks.ask()
        with trio.fail_after(120):
            await until_checked(node)
        assert node.log_checks.run_state().state.value == "done"
        nursery.cancel_scope.cancel()


async def falsify(node: Node, position: int) -> None:
    """Change the time of an event in the database, as somebody might who rules it."""

    def change(tx: Transaction, items: Sequence[int]) -> Sequence[None]:
        table = schema.log_leaves
        for item in items:
            row = table.c.position == item
            leaf = bytearray(tx.connection.execute(sa.select(table.c.leaf).where(row)).scalar_one())
            leaf[10] ^= 1
            tx.connection.execute(table.update().where(row).values(leaf=bytes(leaf)))
        return [None] * len(items)

    await node.database.write(change, position)


async def test_a_file_is_checked_against_the_log(tmp_path: Path, database_url: str) -> None:
    folder = await made_node(tmp_path / "node", database=database_url)
    async with open_node(folder) as node, logged_in(node, StaffRole.AUDITOR) as client:
        durand, _ = await one_letter(node)
        row = (await node.reading.page(durand, LetterFolder.SENT, limit=1))[0].stored.row.hex()
        made = await export_evidence(node.database, node.keys, node.directory, node.outbox, row)
        english = {"Accept-Language": "en", **ORIGIN}

        async def look(data: bytes) -> httpx2.Response:
            form = {"csrf": form_token((await client.get(EVIDENCE)).text)}
            files = {"file": ("evidence.txt", data)}
            return await client.post(EVIDENCE, data=form, files=files, headers=english)

        data = write_evidence_file(made)
        page = await look(data)
        assert "All of it holds, and nothing contradicts" in page.text
        assert page.text.count("in this log, at its place") == len(made.events)
        for bad in (b"", b"rubbish", data.replace(b"sha256 ", b"sha256 0"), data[:-200], bytes(100_000)):
            assert (await look(bad)).status_code == 422
        position = (await client.get(LOG, headers=english)).text.count("<tr>") - 1
        found = [event for event in events_at(page.text) if event]
        assert found
        assert max(found) < position
        await falsify(node, found[0])
        page = await look(data)
        assert "this log has something else there" in page.text
        answer = await client.post(EVIDENCE, data={}, files={"file": ("x", data)}, headers=ORIGIN)
        assert answer.status_code == 403


def events_at(page: str) -> list[int]:
    """Where the events of a looked-up file stand, in epoch 1."""
    return [int(position) for position in re.findall(r"place=1/(\d+)", page)]
