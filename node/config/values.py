"""What a section of the settings is, and what it holds beside plain numbers and words: endpoints, addresses, sizes."""

from __future__ import annotations

import ipaddress
from typing import Annotated, Final
from urllib.parse import urlsplit

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

__all__ = ["ANY_HOST", "Bytes", "Days", "HostAndPort", "Section", "Step", "WebAddress", "is_loopback", "split_endpoint"]

# Hosts to listen on that are no address to dial.
ANY_HOST: Final = ("0.0.0.0", "::", "*")  # noqa: S104


class Section(BaseModel):
    """A table of coffre.toml. Unknown keys are refused."""

    model_config = ConfigDict(extra="forbid", frozen=True)


def split_endpoint(text: str) -> tuple[str, int]:
    """host:port or [v6]:port as (host, port). ValueError in one line otherwise."""
    host, colon, port = text.rpartition(":")
    if not colon or not host or not port.isascii() or not port.isdigit() or not 0 <= int(port) <= 65535:
        raise ValueError(f"{text!r} is not HOST:PORT")
    return host.removeprefix("[").removesuffix("]"), int(port)


def is_loopback(host: str) -> bool:
    """Whether only this machine reaches it."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _check_host_and_port(value: str) -> str:
    if value:
        split_endpoint(value)
    return value


def _check_web_address(value: str) -> str:
    parts = urlsplit(value)
    if value and (parts.scheme not in ("http", "https") or not parts.hostname):
        raise ValueError(f"{value!r} is no http:// or https:// address")
    return value


HostAndPort = Annotated[str, AfterValidator(_check_host_and_port)]
"""HOST:PORT, or empty."""
WebAddress = Annotated[str, AfterValidator(_check_web_address)]
"""http:// or https://, or empty."""
Bytes = Annotated[int, Field(ge=0)]
Days = Annotated[int, Field(ge=0, le=36_500)]
"""0: for ever."""
Step = Annotated[int, Field(ge=1, le=525_600)]
"""Minutes, up to a year."""
