"""Has heads of the own log stamped by an authority of RFC 3161, as often as set. Spec: spec/evidence.md, 14.

An authority that is down or answers badly holds nothing up: it is asked again, and the head that is newest then is
stamped. What it was sent is a hash: it learns nothing of the log but when it was asked.
"""

from __future__ import annotations

from pathlib import Path
from typing import Final

import httpx2
import structlog
import trio

from node.audit.log import Head
from node.audit.timestamp_rows import StampedHead, TimestampRows
from node.config.sections import EvidenceSettings
from node.errors import ConfigError, TimestampError
from node.vault.database import Database
from protocol.errors import RemoteProtocolError
from protocol.timestamp import TimestampRequest, TsaRoots

__all__ = ["Timestamper", "read_tsa_roots"]

_TIMEOUT_S: Final = 30
_MAX_ANSWER_BYTES: Final = 64 * 1024
_HOUR_MS: Final = 3_600_000
_RETRY_START_S: Final = 60
_RETRY_CAP_S: Final = 3600
_LOOK_S: Final = 300

_logger = structlog.get_logger(__name__)


def read_tsa_roots(path: Path) -> TsaRoots:
    """The authorities' certificates (PEM) in a file. ConfigError."""
    try:
        return TsaRoots.from_pem(path.read_bytes())
    except OSError as error:
        raise ConfigError(f"{path} cannot be read: {error.strerror}") from error
    except RemoteProtocolError as error:
        raise ConfigError(f"{path} holds no PEM certificates", hint="the certificate of the authority's CA") from error


class Timestamper:
    """Asks the authority that the settings name. Does nothing where they name none."""

    def __init__(
        self,
        database: Database,
        rows: TimestampRows,
        settings: EvidenceSettings,
        folder: Path,
        *,
        client: httpx2.Client | None = None,
    ) -> None:
        """folder: where a relative path in the settings begins."""
        self._database = database
        self._rows = rows
        self._settings = settings
        self._folder = folder
        self._client = client

    async def run(self) -> None:
        """Stamp the newest head whenever the last stamp is old enough, until cancelled."""
        if not self._settings.timestamp_url:
            await trio.sleep_forever()
        failures = 0
        while True:
            wait_s = await self._due_in_s()
            if wait_s > 0:
                await trio.sleep(min(wait_s, _LOOK_S))
                continue
            try:
                await self.stamp(cosigned=True)
            except (TimestampError, ConfigError) as error:
                _logger.warning("no timestamp", reason=error.message, failures=failures + 1)
                await trio.sleep(min(_RETRY_START_S << min(failures, 10), _RETRY_CAP_S))
                failures += 1
            else:
                failures = 0

    async def _due_in_s(self) -> float:
        newest = await self._database.read(self._rows.newest)
        if newest is None:
            return 0
        age_ms = self._database.world.now_ms() - newest.kept_at_ms
        if age_ms < 0:  # the clock was set back
            return 0
        return (self._settings.timestamp_every_hours * _HOUR_MS - age_ms) / 1000

    async def stamp(self, *, cosigned: bool = False) -> StampedHead:
        """Have the newest head stamped now. cosigned: the best cosigned one instead, if any is.

        ConfigError: no authority, or its certificate cannot be read. TimestampError: it is down, refused, or answered
        something else.
        """
        if not self._settings.timestamp_url:
            raise ConfigError("no timestamping authority is set", hint="set [evidence] timestamp_url in coffre.toml")
        rows = self._rows
        head = await self._database.read(rows.cosigned_head if cosigned else rows.newest_head)
        token = await self._database.world.run_blocking(self._ask, head)
        stamped = StampedHead(head, token, self._database.world.now_ms())
        await self._database.write(self._rows.add, stamped)
        return stamped

    def _ask(self, head: Head) -> bytes:
        settings = self._settings
        roots = read_tsa_roots(self._folder / settings.timestamp_ca_file) if settings.timestamp_ca_file else None
        request = TimestampRequest(head.note)
        answer = self._post(request.data)
        try:
            return request.take(answer, roots, policy=settings.timestamp_policy)
        except RemoteProtocolError as error:
            raise TimestampError(f"{settings.timestamp_url}: {error.detail or error.reason.value}") from error

    def _post(self, data: bytes) -> bytes:
        url = self._settings.timestamp_url
        headers = {"Content-Type": "application/timestamp-query", "Accept": "application/timestamp-reply"}
        client = self._client or httpx2.Client(timeout=_TIMEOUT_S, follow_redirects=False)
        try:
            with client.stream("POST", url, content=data, headers=headers) as response:
                if response.status_code != 200:
                    raise TimestampError(f"{url} answered {response.status_code}")
                answer = bytearray()
                for piece in response.iter_bytes():
                    answer += piece
                    if len(answer) > _MAX_ANSWER_BYTES:
                        raise TimestampError(f"{url} answered with more than {_MAX_ANSWER_BYTES} bytes")
                return bytes(answer)
        except httpx2.HTTPError as error:
            raise TimestampError(f"{url} does not answer: {type(error).__name__}") from error
        finally:
            if self._client is None:
                client.close()
