"""TLS over a stream, many records a turn.

trio's own SSLStream gives out one record of 16 KiB for each turn of the event loop; payloads come in thousands of them,
and the turns cost more than decrypting does (bench/RESULTS.md). This one reads all that has arrived. It offers no less
safety: the protocol is the ssl module's, over its memory buffers, as there.
Spec: spec/wire.md, "Transport". TLS 1.3 only: nothing is renegotiated, so writing never has to wait for reading.
"""

from __future__ import annotations

import ssl
from contextlib import suppress
from typing import Final

import trio

__all__ = ["TlsStream"]

_RECEIVE_BYTES: Final = 256 * 1024
_CLOSE_TIMEOUT_S: Final = 1


class TlsStream(trio.abc.Stream):
    """A TLS stream over `transport`. `do_handshake` comes first; after that one task may send while one receives."""

    def __init__(self, transport: trio.abc.Stream, context: ssl.SSLContext, *, server_side: bool) -> None:
        self._transport = transport
        self._incoming = ssl.MemoryBIO()
        self._outgoing = ssl.MemoryBIO()
        self._tls = context.wrap_bio(self._incoming, self._outgoing, server_side=server_side)
        # Answers of the protocol itself (a key update) are sent by whoever receives.
        self._sending = trio.Lock()

    async def do_handshake(self) -> None:
        """Prove and check both certificates. BrokenResourceError, caused by an SSLError, if one is not accepted."""
        done = False
        while not done:
            try:
                self._tls.do_handshake()
                done = True
            except ssl.SSLWantReadError:
                pass
            except ssl.SSLError as error:
                await self._flush()  # the alert that tells the peer why
                raise trio.BrokenResourceError from error
            await self._flush()
            if not done:
                await self._fill()

    def peer_certificate(self) -> bytes | None:
        """The certificate that the peer proved to hold, DER."""
        return self._tls.getpeercert(binary_form=True)

    def alpn_protocol(self) -> str | None:
        """What both sides agreed to speak."""
        return self._tls.selected_alpn_protocol()

    async def send_all(self, data: bytes | bytearray | memoryview) -> None:
        """See trio.abc.SendStream. Cancelled, it leaves the stream unusable."""
        async with self._sending:
            left = memoryview(data)
            while left:
                try:
                    left = left[self._tls.write(left) :]
                except ssl.SSLError as error:
                    raise trio.BrokenResourceError from error
            await self._transport.send_all(self._outgoing.read())

    async def wait_send_all_might_not_block(self) -> None:
        """See trio.abc.SendStream."""
        async with self._sending:
            await self._transport.wait_send_all_might_not_block()

    async def receive_some(self, max_bytes: int | None = None) -> bytes:
        """All that has arrived, up to max_bytes; empty once the peer ended the stream.

        BrokenResourceError if it was cut without that: what was sent may be missing its end.
        """
        limit = _RECEIVE_BYTES if max_bytes is None else max_bytes
        while True:
            data, ended = self._read(limit)
            if self._outgoing.pending:
                await self._flush()
            if data or ended:
                await trio.lowlevel.checkpoint()
                return data
            await self._fill()

    def _read(self, limit: int) -> tuple[bytes, bool]:
        pieces: list[bytes] = []
        size = 0
        try:
            while size < limit:
                piece = self._tls.read(limit - size)
                if not piece:
                    return b"".join(pieces), True
                pieces.append(piece)
                size += len(piece)
        except ssl.SSLWantReadError:
            pass
        except ssl.SSLError as error:
            if not pieces:  # else it comes again with the next call
                raise trio.BrokenResourceError from error
        return b"".join(pieces), False

    async def _fill(self) -> None:
        data = await self._transport.receive_some(_RECEIVE_BYTES)
        if data:
            self._incoming.write(data)
        else:
            self._incoming.write_eof()

    async def _flush(self) -> None:
        async with self._sending:
            if self._outgoing.pending:
                await self._transport.send_all(self._outgoing.read())

    async def aclose(self) -> None:
        """Tell the peer that nothing more comes, and close; a peer that does not take it is not waited for."""
        try:
            with trio.move_on_after(_CLOSE_TIMEOUT_S):
                with suppress(ssl.SSLError):  # the peer's own end is not waited for
                    self._tls.unwrap()
                await self._flush()
        except (trio.BrokenResourceError, trio.ClosedResourceError):
            pass  # it is gone already
        finally:
            await self._transport.aclose()
