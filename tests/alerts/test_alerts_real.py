"""Alerts through a real SMTP server (STARTTLS, log-in) and a real HTTP server. Spec: spec/delivery.md, 10."""

from __future__ import annotations

import hashlib
import hmac
import json
import ssl
from collections.abc import Iterator
from dataclasses import replace
from email import message_from_bytes, policy
from email.message import EmailMessage
from pathlib import Path
from typing import Any

import pytest
import trio
import trustme
from aiosmtpd.controller import Controller
from aiosmtpd.smtp import AuthResult, LoginPassword

from node.alerts.channels import ChannelError, EmailChannel, WebhookChannel
from node.config.telling import AlertSettings, SmtpSettings
from node.vault.alert import Alert
from node.vault.alert_preferences import AlertPreferences
from protocol.letter import LetterClass
from tests.ports import free_port
from tests.post.harness import Federation, Institution, settled

ALERT = Alert(
    id=bytes(16),
    channel="email",
    target="dr.fictive@ordinary.example",
    mailbox_address="anna@a.example",
    occasion="deposited",
    letter_class=LetterClass.URGENT,
    reference=bytes(range(16)),
    attempts=0,
    expires_at_ms=2**50,
)


class Mailbag:
    """What the SMTP server took."""

    def __init__(self) -> None:
        self.mails: list[EmailMessage] = []
        self.refusals = 0

    async def handle_RCPT(self, _server: Any, _session: Any, envelope: Any, address: str, _options: Any) -> str:
        if self.refusals:
            self.refusals -= 1
            return "451 later"
        if address.startswith("nobody"):
            return "550 no such user"
        envelope.rcpt_tos.append(address)
        return "250 ok"

    async def handle_DATA(self, _server: Any, _session: Any, envelope: Any) -> str:
        mail = message_from_bytes(envelope.content, policy=policy.default)
        assert isinstance(mail, EmailMessage)
        self.mails.append(mail)
        return "250 ok"


@pytest.fixture
def smtp(tmp_path: Path) -> Iterator[tuple[Mailbag, SmtpSettings]]:
    authority = trustme.CA()
    certificate = authority.issue_cert("localhost")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    certificate.configure_cert(context)
    authority.cert_pem.write_to_path(tmp_path / "ca.pem")
    (tmp_path / "smtp-password").write_text("secret of the server\n")

    def login(_server: Any, _session: Any, _envelope: Any, _mechanism: str, data: Any) -> AuthResult:
        good = isinstance(data, LoginPassword) and data.password == b"secret of the server"
        # Not handled yet: the server is to say 535.
        return AuthResult(success=good, handled=good)

    bag = Mailbag()
    port = free_port()
    controller = Controller(
        bag,
        hostname="localhost",
        port=port,
        tls_context=context,
        require_starttls=True,
        authenticator=login,
        auth_required=True,
    )
    controller.start()
    settings = SmtpSettings(
        host="localhost",
        port=port,
        username="coffre",
        password_file=str(tmp_path / "smtp-password"),
        sender="coffre@a.example",
        ca_file=str(tmp_path / "ca.pem"),
    )
    yield bag, settings
    controller.stop()


def test_email_goes_over_starttls_and_holds_nothing_of_the_letter(smtp: tuple[Mailbag, SmtpSettings]) -> None:
    bag, settings = smtp
    channel = EmailChannel(settings, institution="Clinique", login_url="https://coffre.a.example")
    channel.begin(ALERT, 1_790_000_000_000)
    channel.finish()
    [mail] = bag.mails
    assert mail["To"] == ALERT.target
    assert mail["Message-ID"] == f"<{ALERT.reference.hex()}@a.example>"
    assert mail["Auto-Submitted"] == "auto-generated"
    assert "[URGENT]" in mail["Subject"]
    text = mail.get_content()
    assert "anna@a.example" in text
    assert "https://coffre.a.example" in text


def test_wrong_password_and_unknown_authority_are_told(smtp: tuple[Mailbag, SmtpSettings], tmp_path: Path) -> None:
    bag, settings = smtp
    (tmp_path / "wrong").write_text("wrong")
    for changed, said in (
        ({"password_file": str(tmp_path / "wrong")}, "SMTPAuthenticationError"),
        ({"ca_file": ""}, "SSLCertVerificationError"),
    ):
        channel = EmailChannel(settings.model_copy(update=changed), institution="Clinique", login_url="")
        with pytest.raises(ChannelError, match=said):
            channel.begin(ALERT, 0)
    assert bag.mails == []


def test_unknown_recipient_is_a_permanent_failure(smtp: tuple[Mailbag, SmtpSettings]) -> None:
    _, settings = smtp
    channel = EmailChannel(settings, institution="Clinique", login_url="")
    with pytest.raises(ChannelError) as caught:
        channel.begin(replace(ALERT, target="nobody@ordinary.example"), 0)
    assert caught.value.permanent


def test_webhook_is_signed(webhook: tuple[list[tuple[dict[str, str], bytes]], str, list[int]], tmp_path: Path) -> None:
    calls, address, _ = webhook
    secret = tmp_path / "webhook-secret"
    secret.write_bytes(b"shared secret\n")
    channel = WebhookChannel(AlertSettings(webhook_secret_file=str(secret)))
    channel.begin(replace(ALERT, channel="webhook", target=address), 1_790_000_000_123)
    channel.finish()
    [(headers, body)] = calls
    signed = headers["X-Coffre-Timestamp"].encode() + b"." + body
    assert headers["X-Coffre-Signature"] == "sha256=" + hmac.digest(b"shared secret", signed, hashlib.sha256).hex()
    assert json.loads(body) == {
        "event": "deposited",
        "mailbox": "anna@a.example",
        "class": "urgent",
        "id": ALERT.reference.hex(),
    }


async def prefer(institution: Institution, *, email: str = "", webhook: str = "") -> None:
    node, wanted = institution.node, AlertPreferences(email=email, webhook=webhook)
    await node.database.write(node.alerts.set_preferences, (institution.people["anna"].id, wanted))


async def test_an_alert_is_retried_before_and_never_after_the_last_step(
    autojump_clock: trio.testing.MockClock,
    tmp_path: Path,
    smtp: tuple[Mailbag, SmtpSettings],
    webhook: tuple[list[tuple[dict[str, str], bytes]], str, list[int]],
) -> None:
    bag, settings = smtp
    calls, address, statuses = webhook
    (tmp_path / "webhook-secret").write_bytes(b"shared secret")
    async with Federation.opened(tmp_path / "nodes") as federation:
        a = await federation.make("a")
        await a.add("anna")
        await a.add("alma")
        await prefer(a, email="anna@ordinary.example", webhook=address)
        alerts = AlertSettings(smtp=settings, webhook_secret_file=str(tmp_path / "webhook-secret"))
        a.node.settings = a.node.settings.model_copy(update={"alerts": alerts})
        await a.start()
        bag.refusals, statuses[:] = 2, [500]
        secret = "SUBJECT-that-must-not-show"
        await a.send("alma", "anna@a.example", subject=secret, text="TEXT-that-must-not-show")
        await trio.sleep(20)
        assert bag.mails == []
        await trio.sleep(3600)
        # Refused twice before the data: tried again. The webhook was called once, and its failure was the last step.
        assert [mail["To"] for mail in bag.mails] == ["anna@ordinary.example"]
        assert len(calls) == 1
        await settled()
        everything = bag.mails[0].as_bytes() + calls[0][1]
        for hidden in (secret, "TEXT-that", "alma@a.example"):
            assert hidden.encode() not in everything
