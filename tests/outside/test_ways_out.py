"""The e-mail with the link and the SMS with the code, through real servers; evidence; several failures."""

from __future__ import annotations

import hashlib
import hmac
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pytest
import trio

from node.alerts.sender import AlertSender
from node.app import Node
from node.errors import RecipientError
from node.opening import open_node
from node.outside.sms import parse_number
from node.reports.evidence_story import tell
from node.reports.rendering import language_of
from node.vault.evidence_export import export_evidence
from node.vault.states import LetterFolder
from protocol.evidence_report import verify_evidence_file
from protocol.pickup import grouped, parse_code, parse_link
from tests.outside.writing import PERSON, SUBJECT, TEXT, Mailbag, link_of, mails, offer, smtp_server, writing_node
from tests.web.people import people


async def sent_out(node: Node, bag: Mailbag, count: int = 1) -> str:
    """Run the sender of alerts until so many mails left; the link in the last."""
    async with trio.open_nursery() as nursery:
        sender = AlertSender(node.database, node.alerts, node.settings.alerts, node.settings.institution)
        nursery.start_soon(sender.run)
        link = await link_of(bag, count)
        nursery.cancel_scope.cancel()
    return link


@contextmanager
def gateway(status: int = 204) -> Iterator[tuple[list[tuple[dict[str, str], bytes]], str]]:
    calls: list[tuple[dict[str, str], bytes]] = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            calls.append((dict(self.headers), self.rfile.read(int(self.headers["Content-Length"]))))
            self.send_response(status)
            self.end_headers()

        def log_message(self, format: str, *args: Any) -> None:
            pass

    server = HTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield calls, f"http://127.0.0.1:{server.server_port}/sms"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


@pytest.mark.parametrize("language", ["fr", "en"])
async def test_the_mail_holds_the_link_and_nothing_of_the_letter(tmp_path: Path, language: str) -> None:
    with smtp_server() as (bag, port):
        folder = await writing_node(tmp_path / "node", smtp_port=port, web='url = "https://courrier.hopital.example"\n')
        async with open_node(folder) as node:
            (sender,) = await people(node, "fictive")
            offered, key = await offer(node, sender, language=language)
            link = await sent_out(node, bag)
            [mail] = mails(bag)
            assert link.startswith("https://courrier.hopital.example/pickup#")
            assert parse_link(link) == key
            assert (mail["To"], mail["From"], mail["Auto-Submitted"]) == (
                PERSON,
                "coffre@hopital.example",
                "auto-generated",
            )
            said = str(mail["Subject"]) + mail.get_content()
            assert "Hôpital fictif" in said
            assert said.index("Bonjour") < said.index("Hello") if language == "fr" else said.index("Hello") < 200
            assert offered.code is not None
            for hidden in (SUBJECT, TEXT, "fictive@", "Fictive", "Compte rendu", grouped(offered.code)):
                assert hidden not in said
                assert hidden.encode() not in bag.raw[0]
            # It is out: the node has forgotten the link, and says that it left.
            [pickup] = await node.outside.list(sender)
            assert pickup.mailed_at_ms > 0
            assert await node.pickups.open(key, offered.code) is not None


async def test_evidence_says_opened_with_link_and_code(tmp_path: Path) -> None:
    with smtp_server() as (bag, port):
        folder = await writing_node(tmp_path / "node", smtp_port=port)
        async with open_node(folder) as node:
            (sender,) = await people(node, "fictive")
            offered, key = await offer(node, sender)
            await sent_out(node, bag)
            assert offered.code is not None
            assert await node.pickups.open(key, offered.code) is not None
            file = await export_evidence(node.database, node.keys, node.directory, node.outbox, offered.row.hex())
            report = verify_evidence_file(file, expected_nodes=[node.node_id])
            assert report.ok
            for code, words in (("en", "opened with link and code"), ("fr", "ouvert avec lien et code")):
                story = tell(file, report, language_of(code))
                [(_, state)] = story.recipients
                assert state.startswith(words)
                said = " ".join(event.sentence for event in story.events)
                assert ("link" if code == "en" else "lien") in said
                assert "{" not in said
                assert PERSON not in said
            stored = await node.reading.find(sender, LetterFolder.SENT, offered.row.hex())
            kinds = [event.kind.word for event in (await node.timelines.timeline(stored)).events]
            assert kinds == ["alerted", "pickup_offered", "picked_up"] or kinds == [
                "pickup_offered",
                "alerted",
                "picked_up",
            ]


async def test_a_mail_that_nobody_takes_is_told_to_the_sender(tmp_path: Path) -> None:
    with smtp_server() as (bag, port):
        bag.refuse = "550 no such user"
        folder = await writing_node(tmp_path / "node", smtp_port=port)
        async with open_node(folder) as node:
            (sender,) = await people(node, "fictive")
            await offer(node, sender)
            async with trio.open_nursery() as nursery:
                alerts = AlertSender(node.database, node.alerts, node.settings.alerts, node.settings.institution)
                nursery.start_soon(alerts.run)
                with trio.fail_after(30):
                    while (await node.outside.list(sender))[0].mailed_at_ms == 0:
                        await trio.sleep(0.02)
                nursery.cancel_scope.cancel()
            assert (await node.outside.list(sender))[0].mailed_at_ms == -1
            assert bag.raw == []


async def test_the_code_goes_through_the_gateway_and_stays_nowhere(tmp_path: Path) -> None:
    with gateway() as (calls, url):
        (tmp_path / "secret").write_text("secret fictif\n")
        alerts = f'sms_webhook = "{url}"\nwebhook_secret_file = "{tmp_path / "secret"}"\n'
        folder = await writing_node(tmp_path / "node", alerts=alerts)
        async with open_node(folder) as node:
            (sender,) = await people(node, "fictive")
            offered, key = await offer(node, sender, number="06 00".replace("06", "+33 6") + " 00 00 00")
            assert offered.code is None
            [(headers, body)] = calls
            fields = json.loads(body)
            assert (fields["event"], fields["to"]) == ("pickup_code", "+33600000000")
            signed = hmac.new(b"secret fictif", headers["X-Coffre-Timestamp"].encode() + b"." + body, hashlib.sha256)
            assert headers["X-Coffre-Signature"] == f"sha256={signed.hexdigest()}"
            code = fields["text"].split("code ")[1][:14]
            assert len(code.replace("-", "")) == 12
            parsed = parse_code(code)
            assert parsed is not None
            assert await node.pickups.open(key, parsed) is not None
            files = b"".join(path.read_bytes() for path in folder.rglob("*") if path.is_file())
            assert parsed.reveal() not in files
            assert code.encode() not in files


async def test_a_gateway_that_refuses_leaves_the_code_to_the_sender(tmp_path: Path) -> None:
    with gateway(status=503) as (_, url):
        (tmp_path / "secret").write_text("secret fictif\n")
        alerts = f'sms_webhook = "{url}"\nwebhook_secret_file = "{tmp_path / "secret"}"\n'
        folder = await writing_node(tmp_path / "node", alerts=alerts)
        async with open_node(folder) as node:
            (sender,) = await people(node, "fictive")
            offered, key = await offer(node, sender, number="+33600000000")
            assert offered.sms_failed
            assert offered.code is not None
            assert await node.pickups.open(key, offered.code) is not None


@pytest.mark.parametrize("typed", ["", "0600000000", "+33", "+33 6 00 00 00 0x", "+1" * 9, "sms"])
def test_what_is_no_number_is_refused(typed: str) -> None:
    with pytest.raises(RecipientError):
        parse_number(typed)


def test_numbers_have_one_form() -> None:
    assert parse_number("00 33 (6) 00.00-00 00") == "+33600000000"
