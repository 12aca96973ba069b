"""Addresses, endpoints, single lines and file names: texts in which a hidden character can deceive.

Spec: spec/sealing.md, 5.1; spec/identity.md, 6.
The rules are fixed lists, not the Unicode tables of the day: every implementation must judge a signed text alike.
"""

from __future__ import annotations

import re
from typing import Final

__all__ = [
    "MAX_ADDRESS_BYTES",
    "MAX_DOMAIN_BYTES",
    "MAX_FILE_NAME_BYTES",
    "is_address",
    "is_domain",
    "is_endpoint",
    "is_file_name",
    "is_line",
]

# The limit of mail (RFC 5321, 4.5.3.1), so that an address fits wherever mail addresses do.
MAX_ADDRESS_BYTES: Final = 254
# RFC 1035, 2.3.4.
MAX_DOMAIN_BYTES: Final = 253
# What common file systems take.
MAX_FILE_NAME_BYTES: Final = 255

_MAX_LOCAL_BYTES: Final = 64
_LOCAL: Final = re.compile(r"[a-z0-9_+-]+(?:\.[a-z0-9_+-]+)*")
_LABEL: Final = r"[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?"
_DOMAIN: Final = re.compile(rf"{_LABEL}(?:\.{_LABEL})+")
_ENDPOINT: Final = re.compile(r"(?:[a-z0-9.-]{1,253}|\[[0-9a-f:.]{2,45}\]):([1-9][0-9]{0,4})")
_MAX_PORT: Final = 65_535
# Control characters break lines and terminals; the bidirectional and invisible ones make one text look like another.
# No-break spaces (U+00A0, U+202F) stay: French typography puts them before a colon.
_FORBIDDEN: Final = re.compile("[\u0000-\u001f\u007f-\u009f\u200b-\u200f\u2028-\u202e\u2060-\u2069\ufeff]")


def is_address(text: str) -> bool:
    """Whether text is an address in its one form: lower-case ASCII local@domain of at most 254 bytes."""
    local, _, domain = text.rpartition("@")
    return (
        len(text) <= MAX_ADDRESS_BYTES
        and len(local) <= _MAX_LOCAL_BYTES
        and _LOCAL.fullmatch(local) is not None
        and _DOMAIN.fullmatch(domain) is not None
    )


def is_domain(text: str) -> bool:
    """Whether text is the part of an address after @: lower-case ASCII, two labels or more, at most 253 bytes."""
    return len(text) <= MAX_DOMAIN_BYTES and _DOMAIN.fullmatch(text) is not None


def is_endpoint(text: str) -> bool:
    """Whether text is host:port, the host a lower-case name, an IPv4 address or an IPv6 address in brackets."""
    found = _ENDPOINT.fullmatch(text)
    return found is not None and int(found[1]) <= _MAX_PORT


def is_line(text: str) -> bool:
    """Whether text is a single line that shows all it holds: no control, bidirectional or zero-width character."""
    return _FORBIDDEN.search(text) is None


def is_file_name(text: str) -> bool:
    """Whether text names a file and no path: a line of 1 to 255 UTF-8 bytes without / and \\, not . or ..

    Text that has no UTF-8 form (a lone surrogate, from a file name that is no UTF-8) is no file name.
    """
    try:
        size = len(text.encode())
    except UnicodeEncodeError:
        return False
    return 0 < size <= MAX_FILE_NAME_BYTES and is_line(text) and text not in (".", "..") and not {"/", "\\"} & set(text)
