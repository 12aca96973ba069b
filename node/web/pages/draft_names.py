"""Names of drafts and files in paths."""

from __future__ import annotations

from starlette.requests import Request

from node.errors import NotFoundError

__all__ = ["draft_name", "hex_bytes"]


def hex_bytes(text: str) -> bytes | None:
    """16 bytes written as 32 small hexadecimal digits; None for anything else."""
    if len(text) != 32 or not all(digit in "0123456789abcdef" for digit in text):
        return None
    return bytes.fromhex(text)


def draft_name(request: Request) -> bytes:
    """The draft that a path names. NotFoundError for what is no name."""
    name = hex_bytes(request.path_params["draft"])
    if name is None:
        raise NotFoundError("no such draft")
    return name
