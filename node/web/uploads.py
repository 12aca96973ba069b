"""Forms with documents, read into memory: nothing that people send lies in clear on a disk. Spec: spec/web.md, 3."""

from __future__ import annotations

import mimetypes
from contextlib import aclosing
from dataclasses import dataclass
from typing import Final

from python_multipart.multipart import parse_options_header
from starlette.datastructures import FormData, UploadFile
from starlette.formparsers import MultiPartException, MultiPartParser
from starlette.requests import Request

from node.errors import LimitError
from protocol.texts import is_file_name

__all__ = ["MAX_FORM_BYTES", "Upload", "parse_documents", "text_of"]

MAX_FORM_BYTES: Final = 11 * 1024 * 1024
"""10 MiB of documents, a text, and what the form adds."""
_MAX_FILES: Final = 10
_MAX_FIELDS: Final = 20
_MAX_FIELD_BYTES: Final = 256 * 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class Upload:
    """A document of a form. media_type: by its name's ending, not as the browser says."""

    name: str
    media_type: str
    data: bytes


class _MemoryParser(MultiPartParser):
    spool_max_size = MAX_FORM_BYTES + 1  # never reached: the guard ends longer bodies before


async def parse_documents(request: Request, field: str) -> tuple[FormData, tuple[Upload, ...]]:
    """The fields of a multipart form, and its documents. LimitError for what is no such form, or too much."""
    kind, options = parse_options_header(request.headers.get("content-type", ""))
    # Browsers name no charset: by another one than ours a name becomes what no page, row or file can hold.
    if kind != b"multipart/form-data" or options.get(b"charset", b"utf-8").lower() != b"utf-8":
        raise LimitError("the form did not arrive whole", hint="load the page again")
    async with aclosing(request.stream()) as stream:
        parser = _MemoryParser(
            request.headers,
            stream,
            max_files=_MAX_FILES,
            max_fields=_MAX_FIELDS,
            max_part_size=_MAX_FIELD_BYTES,
        )
        try:
            form = await parser.parse()
        except (MultiPartException, KeyError) as error:
            raise LimitError("the form is damaged, or too much", hint=f"at most {_MAX_FILES} documents") from error
    try:
        documents = []
        for item in form.getlist(field):
            # A browser sends an empty part where no document was chosen.
            if isinstance(item, UploadFile) and item.filename:
                documents.append(_document(item.filename, await item.read()))
        return form, tuple(documents)
    finally:
        await form.close()


def _document(given: str, data: bytes) -> Upload:
    name = given.replace("\\", "/").rpartition("/")[2].strip()
    if not is_file_name(name):
        raise LimitError("a document has a name that cannot be kept", hint="rename it")
    media_type = mimetypes.guess_type(name)[0] or "application/octet-stream"
    return Upload(name=name, media_type=media_type.lower(), data=data)


def text_of(form: FormData, name: str, high: int = 1000) -> str:
    """One text field, at most so many characters; lines end as everywhere but on the web."""
    value = form.get(name, "")
    return value[:high].replace("\r\n", "\n") if isinstance(value, str) else ""
