"""The two ways out: any SMTP server, and a webhook. Spec: spec/delivery.md, 10.

`begin` does all that may fail without consequence (connect, log in, announce the message); `finish` is the last step,
after which the alert may have been taken whatever the answer. The caller marks it as sent in between.
"""

from __future__ import annotations

import smtplib
import ssl
from pathlib import Path
from typing import Final, Protocol

import httpx2

from node.alerts.message import compose_email, compose_webhook
from node.alerts.wording import DEFAULT_WORDINGS, Wordings
from node.config.telling import AlertSettings, SmtpSettings
from node.vault.alert import Alert

__all__ = ["Channel", "ChannelError", "EmailChannel", "WebhookChannel"]

_TIMEOUT_S: Final = 20


class ChannelError(Exception):
    """An alert could not be handed over. permanent: trying again is of no use."""

    def __init__(self, message: str, *, permanent: bool = False) -> None:
        super().__init__(message)
        self.permanent = permanent


class Channel(Protocol):
    """One way to send alerts. Its methods block: call them in a thread."""

    def begin(self, alert: Alert, now_ms: int) -> None:
        """Do everything before the last step. ChannelError if that fails."""
        ...

    def finish(self) -> None:
        """The last step. ChannelError if it certainly was not taken."""
        ...

    def abandon(self) -> None:
        """Let go, the last step not done."""
        ...


class EmailChannel:
    """E-mail through an SMTP server, with STARTTLS or TLS and a log-in where set."""

    def __init__(
        self,
        settings: SmtpSettings,
        *,
        institution: str,
        login_url: str,
        link_base: str = "",
        wordings: Wordings = DEFAULT_WORDINGS,
    ) -> None:
        self._settings = settings
        self._wordings = wordings
        self._link_base = link_base
        self._institution = institution
        self._login_url = login_url
        self._smtp: smtplib.SMTP | None = None
        self._data = b""

    def _tls(self) -> ssl.SSLContext:
        return ssl.create_default_context(cafile=self._settings.ca_file or None)

    def _connect(self) -> smtplib.SMTP:
        settings = self._settings
        if settings.security == "tls":
            smtp: smtplib.SMTP = smtplib.SMTP_SSL(settings.host, settings.port, timeout=_TIMEOUT_S, context=self._tls())
        else:
            smtp = smtplib.SMTP(settings.host, settings.port, timeout=_TIMEOUT_S)
        # At once, so that it is closed whatever the server says next.
        self._smtp = smtp
        smtp.ehlo()
        if settings.security == "starttls":
            smtp.starttls(context=self._tls())
            smtp.ehlo()
        if settings.username:
            password = Path(settings.password_file).read_text("utf-8").strip()
            smtp.login(settings.username, password)
        return smtp

    def begin(self, alert: Alert, now_ms: int) -> None:
        """See Channel: up to the server's go-ahead for the data."""
        message = compose_email(
            alert,
            sender=self._settings.sender,
            institution=self._institution,
            login_url=self._login_url,
            now_ms=now_ms,
            link_base=self._link_base,
            wordings=self._wordings,
        )
        try:
            smtp = self._connect()
            _expect(smtp.mail(self._settings.sender), 250)
            _expect(smtp.rcpt(alert.target), 250, 251)
            smtp.putcmd("data")
            _expect(smtp.getreply(), 354)
        except (OSError, smtplib.SMTPException) as error:
            self.abandon()
            raise ChannelError(f"SMTP: {type(error).__name__}") from error
        except ChannelError:
            self.abandon()
            raise
        self._data = message.as_bytes(policy=message.policy.clone(linesep="\r\n"))

    def finish(self) -> None:
        """See Channel: the message and its final dot."""
        smtp = self._smtp
        assert smtp is not None
        try:
            quoted = self._data.replace(b"\r\n.", b"\r\n..")
            smtp.send(quoted + (b"" if quoted.endswith(b"\r\n") else b"\r\n") + b".\r\n")
            _expect(smtp.getreply(), 250)
            smtp.quit()
        except (OSError, smtplib.SMTPException) as error:
            raise ChannelError(f"SMTP: {type(error).__name__} after the message") from error
        finally:
            self.abandon()

    def abandon(self) -> None:
        """See Channel."""
        if self._smtp is not None:
            self._smtp.close()
            self._smtp = None


def _expect(reply: tuple[int, bytes], *wanted: int) -> None:
    code = reply[0]
    if code not in wanted:
        raise ChannelError(f"SMTP answered {code}", permanent=500 <= code < 600)


class WebhookChannel:
    """A POST of HMAC-signed JSON. Redirects are not followed: the address was chosen, not its deputy's."""

    def __init__(
        self,
        settings: AlertSettings,
        *,
        client: httpx2.Client | None = None,
        link_base: str = "",
        institution: str = "",
    ) -> None:
        self._link_base = link_base
        self._institution = institution
        self._secret_file = settings.webhook_secret_file
        self._client = client or httpx2.Client(timeout=_TIMEOUT_S, follow_redirects=False)
        self._request: httpx2.Request | None = None

    def begin(self, alert: Alert, now_ms: int) -> None:
        """See Channel: everything is made ready; the call itself is the last step."""
        try:
            secret = Path(self._secret_file).read_bytes().strip()
            call = compose_webhook(
                alert, secret=secret, now_ms=now_ms, link_base=self._link_base, institution=self._institution
            )
            self._request = self._client.build_request("POST", alert.target, content=call.body, headers=call.headers)
        except (OSError, httpx2.InvalidURL, ValueError) as error:
            raise ChannelError(f"webhook: {type(error).__name__}", permanent=not isinstance(error, OSError)) from error

    def finish(self) -> None:
        """See Channel."""
        assert self._request is not None
        try:
            response = self._client.send(self._request)
        except httpx2.HTTPError as error:
            raise ChannelError(f"webhook: {type(error).__name__}") from error
        if not 200 <= response.status_code < 300:
            raise ChannelError(f"webhook answered {response.status_code}")

    def abandon(self) -> None:
        """See Channel."""
        self._request = None
