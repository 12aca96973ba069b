"""Forms with files, part by part as they arrive: nothing of a file is kept, in memory or in a temporary folder.

Starlette's own parser spools files in clear to the disk.
"""

from __future__ import annotations

from collections import deque
from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import Final

from python_multipart.exceptions import FormParserError
from python_multipart.multipart import MultipartParser, parse_options_header
from starlette.requests import Request

from node.errors import CoffreError

__all__ = ["FormError", "Part", "parts_of"]

_MAX_FIELD_BYTES: Final = 4096
_MAX_PARTS: Final = 1000


class FormError(CoffreError):
    """A form that is none, is cut, or has more than a form may have."""

    code = "form"


class Part:
    """One field or file. file_name: None for a field."""

    def __init__(self, name: str, file_name: str | None, reader: _Reader) -> None:
        self.name = name
        self.file_name = file_name
        self._reader = reader

    async def pieces(self) -> AsyncGenerator[bytes, None]:
        """Its bytes as they arrive."""
        while (piece := await self._reader.next()) is not None:
            assert isinstance(piece, bytes)
            yield piece

    async def value(self) -> str:
        """A field's text, 4 KiB at most. FormError."""
        data = bytearray()
        async with aclosing(self.pieces()) as pieces:
            async for piece in pieces:
                data += piece
                if len(data) > _MAX_FIELD_BYTES:
                    raise FormError("a field of the form is too long")
        return data.decode(errors="replace")


class _Reader:
    """Turns the parser's callbacks into a queue: a part's beginning, its bytes, None at its end."""

    def __init__(self, request: Request, boundary: bytes) -> None:
        self.stream = request.stream()
        self._events: deque[Part | bytes | None] = deque()
        self._field = b""
        self._value = b""
        self._headers: dict[bytes, bytes] = {}
        self.is_whole = False
        self._count = 0
        self._parser = MultipartParser(
            boundary,
            {
                "on_part_begin": self._begin,
                "on_part_data": self._data,
                "on_part_end": lambda: self._events.append(None),
                "on_header_field": self._header_field,
                "on_header_value": self._header_value,
                "on_header_end": self._header_end,
                "on_headers_finished": self._headers_finished,
                "on_end": self._end,
            },
        )

    async def next(self) -> Part | bytes | None:
        """The next event. FormError where there is none any more."""
        while not self._events:
            if self.is_whole:
                raise FormError("the form has ended")
            chunk = await anext(self.stream, b"")
            if not chunk:
                raise FormError("the form was cut off", hint="send it again")
            try:
                self._parser.write(chunk)
            except FormParserError as error:
                raise FormError("this is no form") from error
        return self._events.popleft()

    @property
    def is_at_end(self) -> bool:
        """Whether the form was read to its end."""
        return self.is_whole and not self._events

    def _begin(self) -> None:
        self._count += 1
        if self._count > _MAX_PARTS:
            raise FormError("the form has too many parts")
        self._headers = {}

    def _data(self, data: bytes, start: int, end: int) -> None:
        self._events.append(data[start:end])

    def _header_field(self, data: bytes, start: int, end: int) -> None:
        self._field += data[start:end]

    def _header_value(self, data: bytes, start: int, end: int) -> None:
        self._value += data[start:end]

    def _header_end(self) -> None:
        self._headers[self._field.lower()] = self._value
        self._field = self._value = b""

    def _headers_finished(self) -> None:
        _, options = parse_options_header(self._headers.get(b"content-disposition", b""))
        name = options.get(b"name", b"").decode(errors="replace")
        file_name = options.get(b"filename")
        self._events.append(Part(name, None if file_name is None else file_name.decode(errors="replace"), self))

    def _end(self) -> None:
        self.is_whole = True


async def parts_of(request: Request) -> AsyncGenerator[Part, None]:
    """The parts of a multipart form, in order; each is to be read to its end before the next. FormError."""
    kind, options = parse_options_header(request.headers.get("content-type", ""))
    boundary = options.get(b"boundary", b"")
    if kind != b"multipart/form-data" or not boundary:
        raise FormError("this is no form with files")
    try:
        reader = _Reader(request, boundary)
    except FormParserError as error:
        raise FormError("this is no form with files") from error
    async with aclosing(reader.stream):
        while not reader.is_at_end:
            part = await reader.next()
            assert isinstance(part, Part)
            yield part
        async for _ in reader.stream:
            pass  # what stands after the last boundary means nothing
