"""Codes by SMS, through a gateway that is called as any webhook. Spec: spec/pickup.md, 5.

Called at once by the process that took the letter, and never queued: the code is not written anywhere.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Final

import httpx2
import structlog

from node.alerts.message import sign_webhook
from node.config.telling import AlertSettings
from node.errors import ConfigError, RecipientError
from protocol.crypto import Secret
from protocol.pickup import grouped

__all__ = ["SmsGateway", "parse_number"]

_TIMEOUT_S: Final = 20
_E164: Final = re.compile(r"\+[1-9][0-9]{7,14}")
_TEXTS: Final = {
    "fr": "{institution} : code {code} pour lire le courrier sécurisé annoncé par e-mail.",
    "en": "{institution}: code {code} to read the secure letter announced by e-mail.",
}

_logger = structlog.get_logger(__name__)


def parse_number(typed: str) -> str:
    """A telephone number in its one form (E.164). RecipientError for anything else."""
    text = re.sub(r"[\s().\-‐‑/]", "", typed)
    if text.startswith("00"):
        text = "+" + text[2:]
    if _E164.fullmatch(text) is None:
        raise RecipientError("that is no telephone number", hint="with its country: +33 6 00 00 00 00")
    return text


class SmsGateway:
    """Hands codes to the gateway of the settings."""

    def __init__(self, settings: AlertSettings, institution: str, *, client: httpx2.Client | None = None) -> None:
        self._settings = settings
        self._institution = institution
        self._client = client

    def check(self) -> None:
        """ConfigError if there is no gateway."""
        if not self._settings.sms_webhook or not self._settings.webhook_secret_file:
            raise ConfigError(
                "this node has no SMS gateway",
                hint="set [alerts] sms_webhook and webhook_secret_file, or tell the code by telephone",
            )

    def send(self, number: str, code: Secret, *, language: str, reference: bytes, now_ms: int) -> bool:
        """Whether the gateway took the code. Blocks, at most 20 s."""
        text = _TEXTS[language].format(institution=self._institution, code=grouped(code))
        fields = {"event": "pickup_code", "to": number, "text": text, "id": reference.hex()}
        client = self._client or httpx2.Client(timeout=_TIMEOUT_S, follow_redirects=False)
        try:
            secret = Path(self._settings.webhook_secret_file).read_bytes().strip()
            call = sign_webhook(fields, reference=reference, secret=secret, now_ms=now_ms)
            answer = client.post(self._settings.sms_webhook, content=call.body, headers=call.headers)
        except (OSError, httpx2.HTTPError, httpx2.InvalidURL) as error:
            _logger.warning("SMS gateway not reached", reason=type(error).__name__)
            return False
        finally:
            if self._client is None:
                client.close()
        if not 200 <= answer.status_code < 300:
            _logger.warning("SMS gateway refused", status=answer.status_code)
            return False
        return True
