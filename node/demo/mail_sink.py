"""A small SMTP server for the demo: takes alerts on loopback and remembers them. Nothing leaves the machine."""

from __future__ import annotations

from collections.abc import Callable
from email import message_from_bytes, policy

import trio

__all__ = ["MailSink"]

_MAX_LINE_BYTES = 4096
_MAX_MAIL_BYTES = 1024 * 1024


class MailSink:
    """Listens on a free port of loopback. `mails`: (recipient, subject) as they came."""

    def __init__(self, on_mail: Callable[[str, str], None] = lambda _to, _subject: None) -> None:
        self.mails: list[tuple[str, str]] = []
        self.port = 0
        self._on_mail = on_mail

    async def run(self, *, task_status: trio.TaskStatus[int] = trio.TASK_STATUS_IGNORED) -> None:
        """Serve until cancelled; started with the port."""
        listeners = await trio.open_tcp_listeners(0, host="127.0.0.1")
        self.port = listeners[0].socket.getsockname()[1]
        task_status.started(self.port)
        await trio.serve_listeners(self._serve, listeners)

    async def _serve(self, stream: trio.SocketStream) -> None:
        lines = _Lines(stream)
        recipient = ""
        try:
            await stream.send_all(b"220 sink\r\n")
            while True:
                command = (await lines.next()).decode("ascii", "replace")
                verb = command[:4].upper()
                if verb == "RCPT":
                    recipient = command.partition("<")[2].partition(">")[0]
                if verb == "DATA":
                    await stream.send_all(b"354 go on\r\n")
                    self._take(recipient, await lines.mail())
                if verb == "QUIT":
                    await stream.send_all(b"221 bye\r\n")
                    return
                await stream.send_all(b"250 ok\r\n")
        except (trio.BrokenResourceError, trio.ClosedResourceError, EOFError):
            return

    def _take(self, recipient: str, data: bytes) -> None:
        subject = str(message_from_bytes(data, policy=policy.default)["Subject"])
        self.mails.append((recipient, subject))
        self._on_mail(recipient, subject)


class _Lines:
    def __init__(self, stream: trio.SocketStream) -> None:
        self._stream = stream
        self._buffer = bytearray()

    async def next(self) -> bytes:
        while b"\r\n" not in self._buffer:
            data = await self._stream.receive_some(4096)
            if not data or len(self._buffer) > _MAX_LINE_BYTES:
                raise EOFError
            self._buffer += data
        line, _, rest = bytes(self._buffer).partition(b"\r\n")
        self._buffer = bytearray(rest)
        return line

    async def mail(self) -> bytes:
        parts: list[bytes] = []
        while (line := await self.next()) != b".":
            parts.append(line.removeprefix(b"."))
            if sum(map(len, parts)) > _MAX_MAIL_BYTES:
                raise EOFError
        return b"\r\n".join(parts)
