"""The page of a sent letter: where it stands, its story, its evidence, taking it back, writing it again."""

from __future__ import annotations

from pathlib import Path

import trio

from node.vault.states import DeliveryState, LetterFolder
from protocol.evidence_file import parse_evidence_file
from protocol.evidence_report import verify_evidence_file
from tests.web.people import arrived, form_token, log_in, people, send
from tests.web.published import made_node, running_node


async def test_evidence_and_report_come_with_the_letter(tmp_path: Path) -> None:
    folder = await made_node(tmp_path / "node", settings='listen = "127.0.0.1:0"\n')
    async with running_node(folder) as (node, client):
        sender, recipient = await people(node, "fictive", "exemple")
        await send(node, sender, "exemple@hopital.example", "Bilan")
        await arrived(node, recipient, 1)
        await log_in(client, "fictive")
        (summary,) = await node.reading.page(sender, LetterFolder.SENT)
        path = f"/box/{sender.id.hex()}/sent/{summary.stored.row.hex()}"
        client.headers["accept-language"] = "fr"
        file = await client.get(f"{path}/evidence")
        assert "attachment" in file.headers["content-disposition"]
        assert verify_evidence_file(parse_evidence_file(file.content)).ok
        report = await client.get(f"{path}/report")
        assert "sandbox" in report.headers["content-security-policy"]
        assert "content-disposition" not in report.headers
        assert "Ce qui s" in report.text
        saved = await client.get(f"{path}/report?save=1")
        assert "attachment" in saved.headers["content-disposition"]
        page = (await client.get(f"{path}/states")).text
        assert "dans la boîte, pas encore ouvert" in page
        # Others' letters, and letters that are none.
        for row in ("0" * 32, "0" * 31, "zz"):
            for part in ("", "/states", "/evidence", "/report"):
                assert (await client.get(f"/box/{sender.id.hex()}/sent/{row}{part}")).status_code == 404
        client.cookies.clear()
        await log_in(client, "exemple")
        other = path.replace(sender.id.hex(), recipient.id.hex())
        for part in ("", "/evidence", "/report"):
            assert (await client.get(f"{path}{part}")).status_code == 409
            assert (await client.get(f"{other}{part}")).status_code == 404


async def test_a_letter_is_withdrawn_by_a_button_and_not_by_a_link(tmp_path: Path) -> None:
    folder = await made_node(tmp_path / "node", settings='listen = "127.0.0.1:0"\n')
    async with running_node(folder) as (node, client):
        sender, recipient = await people(node, "fictive", "exemple")
        await send(node, sender, "exemple@hopital.example", "Bilan")
        await arrived(node, recipient, 1)
        await log_in(client, "fictive")
        (summary,) = await node.reading.page(sender, LetterFolder.SENT)
        path = f"/box/{sender.id.hex()}/sent/{summary.stored.row.hex()}"
        client.headers["accept-language"] = "en"
        page = (await client.get(path)).text
        assert "Withdraw it now" in page
        assert (await client.get(f"{path}/withdraw")).status_code == 405
        assert (await client.post(f"{path}/withdraw")).status_code == 403
        token = form_token(page)
        assert (await client.post(f"{path}/withdraw", data={"csrf": token})).status_code == 303
        with trio.fail_after(60):
            while (await node.timelines.timeline(summary.stored)).recipients[0].state is not DeliveryState.WITHDRAWN:
                await trio.lowlevel.checkpoint()
        page = (await client.get(path)).text
        assert "withdrawn, unopened" in page
        assert "Withdraw it now" not in page
        assert (await client.post(f"{path}/withdraw", data={"csrf": token})).status_code == 409
        assert (await client.post(f"{path}/again", data={"csrf": token})).status_code == 409
