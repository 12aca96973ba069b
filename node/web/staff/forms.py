"""What the staff's pages read from forms. Spec: spec/staff.md, 4."""

from __future__ import annotations

from typing import Final

from starlette.datastructures import FormData
from starlette.requests import Request

from node.errors import ConfigError, NotFoundError
from node.web.pages.form_desk import FORM_HEADER, ForbiddenError
from node.web.staff.desk import StaffVisit
from node.web.uploads import Upload, parse_documents
from protocol.ids import NodeId

__all__ = [
    "MAX_LINE",
    "is_confirmed",
    "line",
    "node_of",
    "number",
    "raw_id",
    "text",
    "upload",
    "upload_all",
    "upload_named",
]

MAX_LINE: Final = 400


def text(form: FormData, name: str, high: int) -> str:
    """A field of several lines; lines end as everywhere but on the web."""
    value = form.get(name, "")
    return value[:high].replace("\r\n", "\n") if isinstance(value, str) else ""


def line(form: FormData, name: str, high: int = MAX_LINE) -> str:
    """A field of one line, without spaces at its ends."""
    return text(form, name, high).replace("\n", " ").strip()


def number(form: FormData, name: str) -> int:
    """A whole number of a field. ConfigError."""
    value = line(form, name, 20)
    if not value.isascii() or not value.isdigit():
        raise ConfigError(f"{value!r} is no whole number")
    return int(value)


def is_confirmed(form: FormData) -> bool:
    """Whether the page that asks was answered with yes."""
    return form.get("confirmed") == "yes"


def raw_id(request: Request, name: str, length: int = 16) -> bytes:
    """An id of the path, as hex. NotFoundError for what is none."""
    value = request.path_params.get(name, "")
    try:
        raw = bytes.fromhex(value) if len(value) == 2 * length else b""
    except ValueError:
        raw = b""
    if len(raw) != length:
        raise NotFoundError("there is nothing under this address")
    return raw


def node_of(request: Request, name: str = "node") -> NodeId:
    """A node's id of the path. NotFoundError."""
    return NodeId(raw_id(request, name, NodeId.LENGTH))


async def upload(request: Request, visit: StaffVisit, field: str, *, most_bytes: int) -> tuple[FormData, bytes]:
    """A multipart form and the file in it, in memory alone; the token is checked here. ConfigError for too much.

    Empty where no file was chosen.
    """
    form, data, _ = await upload_named(request, visit, field, most_bytes=most_bytes)
    return form, data


async def upload_all(request: Request, visit: StaffVisit, field: str, *, most_bytes: int) -> tuple[FormData, bytes]:
    """The same with all files of the field, one after the other, each from a new line on."""
    form, files = await _parsed(request, visit, field)
    data = b"\n".join(file.data for file in files)
    _refuse_large(data, most_bytes)
    return form, data


async def upload_named(
    request: Request, visit: StaffVisit, field: str, *, most_bytes: int
) -> tuple[FormData, bytes, str]:
    """The same with the file's name."""
    form, files = await _parsed(request, visit, field)
    data = files[0].data if files else b""
    _refuse_large(data, most_bytes)
    return form, data, files[0].name if files else ""


async def _parsed(request: Request, visit: StaffVisit, field: str) -> tuple[FormData, tuple[Upload, ...]]:
    if not request.headers.get("content-type", "").startswith("multipart/form-data"):
        raise ForbiddenError
    form, files = await parse_documents(request, field)
    given = str(form.get("csrf", "")) or request.headers.get(FORM_HEADER, "")
    if not visit.session.form.matches(given):
        raise ForbiddenError
    return form, files


def _refuse_large(data: bytes, most_bytes: int) -> None:
    if len(data) > most_bytes:
        raise ConfigError(f"the file has more than {most_bytes} bytes", hint="use the command line for larger ones")
