"""How a node reaches others: a small promise (dial, listen) that TLS over TCP fulfils and simulations replace.

Spec: spec/wire.md, "Transport": TLS 1.3, both sides pinned to the certificates in current statements.
"""

from __future__ import annotations

import os
import socket
import ssl
import tempfile
from collections.abc import Awaitable, Callable, Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Protocol, TypeVar, cast

import trio

from node.config.values import split_endpoint
from node.errors import CoffreError
from node.post.handshakes import Handshakes
from node.post.tls_stream import TlsStream
from protocol.certificate import build_certificate, private_key_pem
from protocol.crypto import SigningSecret

__all__ = ["Connection", "LinkError", "Network", "TlsNetwork", "first_of"]

ALPN: Final = "coffre/1"
# A handshake takes 2 ms on a LAN; a peer that needs longer than this is not going to be useful.
_HANDSHAKE_TIMEOUT_S: Final = 15
_CONNECT_TIMEOUT_S: Final = 15


class LinkError(CoffreError):
    """A link could not be made, or was lost. `code` says why, for the peer's page and for retries."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code


@dataclass(slots=True, eq=False)
class Connection:
    """An authenticated stream. peer_certificate: the DER that the handshake proved possession of."""

    stream: trio.abc.Stream
    peer_certificate: bytes
    remote: str


ConnectionHandler = Callable[[Connection], Awaitable[None]]


class Network(Protocol):
    """Makes authenticated connections."""

    async def dial(self, endpoint: str, *, attempt: int = 0) -> Connection:
        """Connect to host:port. LinkError if nobody answers or the handshake fails.

        attempt: with which of the own certificates, from 0; beyond the last one they begin anew.
        """
        ...

    async def listen(self, endpoint: str, handler: ConnectionHandler, *, task_status: trio.TaskStatus[str]) -> None:
        """Accept connections until cancelled; `task_status` is started with the address in use."""
        ...

    def pin(self, certificates: Iterable[bytes]) -> None:
        """Replace the certificates that are accepted, both ways. Blocks for large sets: call it in a thread."""
        ...

    def present(self, link_secrets: Sequence[SigningSecret]) -> None:
        """Replace the own certificates; the first is shown to who dials in. Call it in a thread."""
        ...


class TlsNetwork:
    """TLS 1.3 over TCP, mutual, pinned. The trust store holds the peers' certificates and nothing else."""

    def __init__(self, link_secret: SigningSecret) -> None:
        self._passphrase = os.urandom(32).hex().encode()
        self._pins: frozenset[bytes] = frozenset()
        self.present([link_secret])

    def _build(self) -> None:
        self._clients = [self._context(own, server=False) for own in self._own]
        self._server = self._context(self._own[0], server=True)

    def _context(self, own: bytes, *, server: bool) -> ssl.SSLContext:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER if server else ssl.PROTOCOL_TLS_CLIENT)
        context.minimum_version = ssl.TLSVersion.TLSv1_3
        context.check_hostname = False
        context.verify_mode = ssl.CERT_REQUIRED
        context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
        context.set_alpn_protocols([ALPN])
        if server:
            context.num_tickets = 0  # no resumption: a removed peer must meet the pins again
        self._load_own(context, own)
        if self._pins:
            context.load_verify_locations(cadata=b"".join(self._pins))
        return context

    def contexts(self) -> tuple[ssl.SSLContext, ssl.SSLContext]:
        """For dialling and for accepting, with the pins as they are now."""
        return self._clients[0], self._server

    def _load_own(self, context: ssl.SSLContext, own: bytes) -> None:
        """The ssl module loads keys from files only: the file holds the key sealed under a one-time passphrase."""
        with tempfile.TemporaryDirectory(prefix="coffre-") as folder:
            path = Path(folder) / "link.pem"
            path.touch(mode=0o600)
            path.write_bytes(own)
            context.load_cert_chain(path, password=self._passphrase)

    def pin(self, certificates: Iterable[bytes]) -> None:
        """See Network. Connections made before keep their context; the caller ends those no longer wanted."""
        before, self._pins = self._pins, frozenset(certificates)
        if not before <= self._pins:
            self._build()  # nothing can be taken out of a context
        elif added := self._pins - before:
            # One more of a country's nodes: reading all certificates again takes a second.
            for context in (*self._clients, self._server):
                context.load_verify_locations(cadata=b"".join(added))

    def present(self, link_secrets: Sequence[SigningSecret]) -> None:
        """See Network. Connections made before keep the certificate that they were made with."""
        self._own = [
            private_key_pem(secret, self._passphrase) + ssl.DER_cert_to_PEM_cert(build_certificate(secret)).encode()
            for secret in link_secrets
        ]
        self._build()

    async def dial(self, endpoint: str, *, attempt: int = 0) -> Connection:
        """See Network."""
        host, port = split_endpoint(endpoint)
        try:
            with trio.fail_after(_CONNECT_TIMEOUT_S):
                tcp = await trio.open_tcp_stream(host, port)
        except (OSError, trio.TooSlowError) as error:
            raise LinkError("unreachable", f"{endpoint} does not answer") from error
        context = self._clients[attempt % len(self._clients)]
        return await self._handshake(tcp, context, endpoint, server_side=False)

    async def _handshake(
        self, tcp: trio.SocketStream, context: ssl.SSLContext, remote: str, *, server_side: bool
    ) -> Connection:
        stream = TlsStream(tcp, context, server_side=server_side)
        try:
            with trio.fail_after(_HANDSHAKE_TIMEOUT_S):
                await stream.do_handshake()
            certificate = stream.peer_certificate()
            if not certificate or stream.alpn_protocol() != ALPN:
                raise LinkError("handshake", f"{remote} does not speak {ALPN}")
        except (trio.BrokenResourceError, ssl.SSLError, trio.TooSlowError, LinkError) as error:
            await trio.aclose_forcefully(stream)
            reason = getattr(error.__cause__ or error, "reason", None) or type(error).__name__
            raise LinkError("handshake", f"TLS handshake with {remote} failed ({reason})") from error
        return Connection(stream, certificate, remote)

    async def listen(self, endpoint: str, handler: ConnectionHandler, *, task_status: trio.TaskStatus[str]) -> None:
        """See Network. LinkError("port", …) if the address cannot be had."""
        host, port = split_endpoint(endpoint)
        try:
            listeners = await trio.open_tcp_listeners(port, host=host)
        except OSError as error:
            # A name that is not found has numbers of its own.
            reason = error.strerror if isinstance(error, socket.gaierror) else os.strerror(error.errno or 0)
            raise LinkError("port", f"cannot listen on {endpoint}: {reason}") from error
        name = listeners[0].socket.getsockname()

        handshakes = Handshakes()

        async def accept(tcp: trio.SocketStream) -> None:
            connection: Connection | None = None
            with suppress(LinkError, OSError):  # or gone already
                remote = str(tcp.socket.getpeername()[0])
                with handshakes.place(remote):
                    connection = await self._handshake(tcp, self._server, remote, server_side=True)
            if connection is not None:
                await handler(connection)

        task_status.started(f"{name[0]}:{name[1]}")
        await trio.serve_listeners(accept, listeners)


E = TypeVar("E", bound=Exception)


def first_of(group: BaseExceptionGroup[E]) -> E:
    """The first exception in a group, however deep it lies."""
    found: BaseException = group
    while isinstance(found, BaseExceptionGroup):
        found = found.exceptions[0]
    return cast(E, found)
