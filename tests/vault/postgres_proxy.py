"""Between a node and its PostgreSQL: loses a commit, or the server's answer to it, when told to."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Literal

import sqlalchemy as sa

__all__ = ["PostgresProxy"]

_SOCKET = ".s.PGSQL.5432"


class PostgresProxy:
    """Passes bytes between clients of a Unix socket and the server, a pair of threads for each connection."""

    def __init__(self, folder: Path, server_url: str) -> None:
        url = sa.make_url(server_url)
        host = url.query["host"]
        assert isinstance(host, str)
        self._server = f"{host}/{_SOCKET}"
        self._path = folder / _SOCKET
        self.url = url.update_query_dict({"host": str(folder)}).render_as_string(hide_password=False)
        self._loses: Literal["", "commit", "answer"] = ""
        self.lost = 0
        self._ends: list[socket.socket] = []
        self._threads: list[threading.Thread] = []

    def lose(self, what: Literal["commit", "answer"]) -> None:
        """Of the next commit, lose the command on its way to the server, or the server's answer; then hang up."""
        self._loses = what

    @contextmanager
    def running(self) -> Iterator[PostgresProxy]:
        """Accept connections for as long as the block lasts."""
        with socket.socket(socket.AF_UNIX) as listener:
            listener.bind(str(self._path))
            listener.listen()
            accepting = self._start(self._accept, listener)
            yield self
            _hang_up(listener)
            accepting.join()
        for end in self._ends:
            _hang_up(end)
        for thread in self._threads:
            thread.join()
        for end in self._ends:
            end.close()

    def _start(self, function: Callable[..., None], *arguments: object) -> threading.Thread:
        thread = threading.Thread(target=function, args=arguments, daemon=True)
        thread.start()
        return thread

    def _accept(self, listener: socket.socket) -> None:
        while True:
            try:
                client, _ = listener.accept()
            except OSError:
                return
            server = socket.socket(socket.AF_UNIX)
            server.connect(self._server)
            self._ends += [client, server]
            for source, sink in ((client, server), (server, client)):
                self._threads.append(self._start(self._pass, source, sink, source is client))

    def _pass(self, source: socket.socket, sink: socket.socket, to_server: bool) -> None:
        with suppress(OSError):
            while data := source.recv(65536):
                if to_server and self._loses and b"COMMIT" in data:
                    self._lose(data, source, sink)
                    return
                sink.sendall(data)
        _hang_up(source)
        _hang_up(sink)

    def _lose(self, data: bytes, client: socket.socket, server: socket.socket) -> None:
        what, self._loses = self._loses, ""
        self.lost += 1
        # Nothing more reaches the client; the thread that passes answers ends with it.
        _hang_up(client)
        if what == "answer":
            server.sendall(data)
        _hang_up(server, socket.SHUT_WR)


def _hang_up(end: socket.socket, how: int = socket.SHUT_RDWR) -> None:
    with suppress(OSError):
        end.shutdown(how)
