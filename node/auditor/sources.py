"""Where a log is read from: a node's web server, or an exported folder. Spec: spec/audit.md, 2.

Every answer is bounded before it is read. The certificate is the one that the admission names, or one that the
system's authorities vouch for.
"""

from __future__ import annotations

import hashlib
import json
import socket
import ssl
from collections.abc import AsyncIterator
from contextlib import aclosing, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, Protocol
from urllib.parse import urlsplit

import httpx2
import trio

from node.errors import CoffreError, ConfigError, LimitError, NotFoundError
from protocol.errors import RemoteProtocolError
from protocol.ids import NodeId
from protocol.invite import decode_invite
from protocol.statement import StatementChain, node_digits, parse_digits

__all__ = ["Origin", "Source", "SourceError", "opened_source", "read_origin"]

_MAX_ADMISSION_BYTES: Final = 1024 * 1024
_SILENT_S: Final = 20.0
# A tile has 16 kB: on a line that needs longer than this no audit comes to an end.
_WHOLE_S: Final = 60.0
_CHUNK_BYTES: Final = 64 * 1024


class SourceError(CoffreError):
    """A log cannot be read: no connection, another certificate, an answer that is no answer."""

    code = "source"


class Source(Protocol):
    """Reads files of a published log."""

    async def get(self, path: str, max_bytes: int) -> bytes | None:
        """The file below `log/`; None if there is none.

        LimitError for one that is longer or too slow. SourceError.
        """
        ...


@dataclass(frozen=True, slots=True)
class Origin:
    """Where one institution's log comes from. raw: the file to keep. url or path. chain: as the admission has it."""

    node: NodeId
    name: str
    raw: bytes = field(repr=False)
    url: str = ""
    certificate_sha256: str = ""
    bearer: str = field(default="", repr=False)
    path: Path | None = None
    chain: StatementChain | None = None
    is_confirmed: bool = True
    """Whether somebody said that this node is the institution's: an admission, or --node."""

    @property
    def place(self) -> str:
        """Where, for people."""
        return self.url or str(self.path)

    def has_no_entries(self, epoch: int) -> bool:
        """Whether this is a folder that was exported without leaves."""
        return self.path is not None and not (self.path / "log" / str(epoch) / "tile" / "entries").exists()

    @classmethod
    def decode(cls, raw: bytes) -> Origin:
        """From an admission, or from what was kept of a folder. ConfigError."""
        try:
            fields = json.loads(raw)
            if fields.get("admission") == 1:
                return cls._from_admission(raw, fields)
            if fields.get("source") == 1:
                path, confirmed = Path(fields["path"]), bool(fields["confirmed"])
                node = NodeId.from_text(fields["node"])
                return cls(node, str(fields["name"]), raw, path=path, is_confirmed=confirmed)
        except (ValueError, KeyError, TypeError, AttributeError, RemoteProtocolError) as error:
            raise ConfigError("not an admission, or a damaged one", hint="ask the institution for another") from error
        raise ConfigError("an admission of another version", hint="use a newer coffre")

    @classmethod
    def _from_admission(cls, raw: bytes, fields: dict[str, Any]) -> Origin:
        invite = decode_invite(str(fields["invitation"]))
        url, pin = str(fields["url"]), str(fields["certificate_sha256"])
        parts = urlsplit(url)
        if parts.scheme != "https" or not parts.hostname or parts.username:
            raise ValueError("no https:// address")
        if pin and len(bytes.fromhex(pin)) != hashlib.sha256().digest_size:
            raise ValueError("no SHA-256")
        bearer = f"{bytes.fromhex(str(fields['auditor'])).hex()}.{fields['token']}"
        if not (bearer.isascii() and bearer.isprintable()) or " " in bearer:
            raise ValueError("no token")
        chain = invite.chain
        return cls(chain.node_id, invite.institution, raw, url.rstrip("/"), pin, bearer, chain=chain)


def read_origin(path: Path, nodes: list[str]) -> Origin:
    """An origin as a person names it: an admission file, or a folder that `coffre log export` wrote.

    nodes: 30 digits or ids of nodes that the person knows. ConfigError.
    """
    if path.is_dir():
        return _read_folder(path, nodes)
    try:
        with path.open("rb") as stream:
            raw = stream.read(_MAX_ADMISSION_BYTES + 1)
    except OSError as error:
        raise ConfigError(f"{path} cannot be read: {error.strerror}") from error
    if len(raw) > _MAX_ADMISSION_BYTES:
        raise ConfigError(f"{path} is no admission: more than {_MAX_ADMISSION_BYTES} bytes")
    try:
        return Origin.decode(raw)
    except ConfigError as error:
        raise ConfigError(f"{path}: {error.message}", hint=error.hint) from error


def _read_folder(path: Path, nodes: list[str]) -> Origin:
    from node.auditor.places import statement_list

    try:
        chain = StatementChain.from_raw_list(statement_list((path / "log" / "statements").read_bytes()))
    except OSError as error:
        raise ConfigError(
            f"{path} is no exported log: log/statements cannot be read", hint="coffre log export"
        ) from error
    except RemoteProtocolError as error:
        raise ConfigError(f"{path}/log/statements does not hold: {error.detail or error.reason.value}") from error
    confirmed = any(_names(text, chain.node_id) for text in nodes)
    if nodes and not confirmed:
        raise ConfigError(f"{path} is the log of node {node_digits(chain.node_id)}, not of one named with --node")
    name = path.resolve().name
    fields = {
        "source": 1,
        "path": str(path.resolve()),
        "node": chain.node_id.text,
        "name": name,
        "confirmed": confirmed,
    }
    raw = json.dumps(fields, ensure_ascii=False, indent=2).encode() + b"\n"
    return Origin(chain.node_id, name, raw, path=path.resolve(), chain=chain, is_confirmed=confirmed)


def _names(text: str, node: NodeId) -> bool:
    try:
        return parse_digits(text) == node_digits(node)
    except ValueError:
        return text.strip().lower() == node.text


@asynccontextmanager
async def opened_source(origin: Origin) -> AsyncIterator[Source]:
    """The source, ready to be read from. SourceError if the server is not there or shows another certificate."""
    if origin.path is not None:
        if not (origin.path / "log").is_dir():
            raise SourceError(f"{origin.path} is not there any more", hint="was the export moved?")
        yield FolderSource(origin.path)
        return
    context = await _tls_context(origin)
    headers = {"Authorization": f"Bearer {origin.bearer}", "Accept-Encoding": "identity"}
    async with httpx2.AsyncClient(
        verify=context, headers=headers, timeout=_SILENT_S, follow_redirects=False, trust_env=False
    ) as client:
        yield HttpsSource(client, origin.url)


async def _tls_context(origin: Origin) -> ssl.SSLContext:
    if not origin.certificate_sha256:
        return ssl.create_default_context()
    parts = urlsplit(origin.url)
    address = (parts.hostname or "", parts.port or 443)

    def shown() -> str:
        return ssl.get_server_certificate(address, timeout=_SILENT_S)

    try:
        certificate = ssl.PEM_cert_to_DER_cert(await trio.to_thread.run_sync(shown, abandon_on_cancel=True))
    except (OSError, ValueError, socket.gaierror) as error:
        raise SourceError(f"{origin.url} does not answer: {error}", hint="is the node running?") from error
    if hashlib.sha256(certificate).hexdigest() != origin.certificate_sha256:
        raise SourceError(
            f"{origin.url} shows another certificate than the admission names",
            hint="ask the institution whether it renewed it, and for a new admission",
        )
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    # The very certificate is trusted, whatever names stand in it.
    context.check_hostname = False
    context.verify_mode = ssl.CERT_REQUIRED
    context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
    context.load_verify_locations(cadata=certificate)
    return context


class HttpsSource:
    """Reads over HTTPS; counts the bytes of bodies."""

    def __init__(self, client: httpx2.AsyncClient, url: str) -> None:
        """client: with certificate and token set. url: of the institution, without `/log`."""
        self._client = client
        self._url = url

    async def get(self, path: str, max_bytes: int) -> bytes | None:
        """See Source."""
        try:
            with trio.fail_after(_WHOLE_S):
                async with self._client.stream("GET", f"{self._url}/log/{path}") as answer:
                    return await self._body(answer, path, max_bytes)
        except trio.TooSlowError:
            raise LimitError(f"log/{path} took more than {_WHOLE_S:.0f} s") from None
        except httpx2.TimeoutException as error:
            raise LimitError(f"nothing came of log/{path} for {_SILENT_S:.0f} s") from error
        except httpx2.HTTPError as error:
            raise SourceError(f"{self._url} does not answer: {_reason(error)}") from error

    async def _body(self, answer: httpx2.Response, path: str, max_bytes: int) -> bytes | None:
        if answer.status_code == httpx2.codes.NOT_FOUND:
            return None
        if answer.status_code == httpx2.codes.UNAUTHORIZED:
            raise NotFoundError(
                f"{self._url} does not admit this auditor to log/{path}", hint="the admission ended, or was removed"
            )
        if answer.status_code != httpx2.codes.OK or answer.headers.get("content-encoding", "identity") != "identity":
            raise SourceError(f"{self._url} answers {answer.status_code} to log/{path}")
        parts, length = [], 0
        async with aclosing(answer.aiter_raw(_CHUNK_BYTES)) as chunks:
            async for chunk in chunks:
                length += len(chunk)
                if length > max_bytes:
                    raise LimitError(f"log/{path} has more than the {max_bytes} bytes that it can have")
                parts.append(chunk)
        return b"".join(parts)


def _reason(error: BaseException) -> str:
    """What lies under an error of the client, whose own text is empty where a certificate is refused."""
    found: BaseException | None = error
    while found is not None:
        if str(found):
            return str(found)
        found = found.__cause__ or found.__context__
    return type(error).__name__


class FolderSource:
    """Reads an exported folder."""

    def __init__(self, path: Path) -> None:
        """path: the folder in which `log` is."""
        self._path = path / "log"

    async def get(self, path: str, max_bytes: int) -> bytes | None:
        """See Source."""
        return await trio.to_thread.run_sync(self._read, self._path / path, max_bytes)

    def _read(self, path: Path, max_bytes: int) -> bytes | None:
        try:
            with path.open("rb") as stream:
                data = stream.read(max_bytes + 1)
        except (FileNotFoundError, NotADirectoryError):
            return None
        except OSError as error:
            raise SourceError(f"{path} cannot be read: {error.strerror}") from error
        if len(data) > max_bytes:
            raise LimitError(f"{path} has more than the {max_bytes} bytes that it can have")
        return data
