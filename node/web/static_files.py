"""Style, scripts and icons of the pages: read once, named by their hash, kept for ever by browsers.

They are the same for everybody and hold no secret, so they travel compressed; pages never do (BREACH).
"""

from __future__ import annotations

import gzip
import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

__all__ = ["StaticFiles"]

_FOLDER: Final = Path(__file__).resolve().parent / "static"
_TYPES: Final = {
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".svg": "image/svg+xml",
}
_FOR_EVER: Final = "public, max-age=31536000, immutable"


@dataclass(frozen=True, slots=True)
class _File:
    data: bytes
    compressed: bytes
    media_type: str


class StaticFiles:
    """The files below `static`, by name and hash."""

    def __init__(self, folder: Path = _FOLDER) -> None:
        self._files: dict[str, _File] = {}
        self._urls: dict[str, str] = {}
        for path in sorted(folder.rglob("*")):
            if path.suffix in _TYPES:
                data = path.read_bytes()
                name = path.relative_to(folder).as_posix()
                digest = hashlib.sha256(data).hexdigest()[:16]
                served = f"{name.removesuffix(path.suffix).replace('/', '-')}.{digest}{path.suffix}"
                self._files[served] = _File(data, gzip.compress(data, 9, mtime=0), _TYPES[path.suffix])
                self._urls[name] = f"/static/{served}"

    def url(self, name: str) -> str:
        """The address of a file, by its path below `static`. KeyError for one that is not there."""
        return self._urls[name]

    def route(self) -> Route:
        """Where they are served."""
        return Route("/static/{name:str}", self.answer, methods=["GET"])

    async def answer(self, request: Request) -> Response:
        """One file."""
        file = self._files.get(request.path_params["name"])
        if file is None:
            return PlainTextResponse("no such file\n", 404)
        headers = {
            "Cache-Control": _FOR_EVER,
            "Vary": "Accept-Encoding",
            # A frame in a sandbox is another origin, and needs its style.
            "Cross-Origin-Resource-Policy": "cross-origin",
        }
        if "gzip" in request.headers.get("accept-encoding", ""):
            return Response(
                file.compressed, media_type=file.media_type, headers={**headers, "Content-Encoding": "gzip"}
            )
        return Response(file.data, media_type=file.media_type, headers=headers)
