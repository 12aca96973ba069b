"""The section [web]: the pages, and who may reach them."""

from __future__ import annotations

import ipaddress
from typing import Literal, Self
from urllib.parse import urlsplit
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from pydantic import Field, field_validator, model_validator

from node.config.values import ANY_HOST, HostAndPort, Section, is_loopback, split_endpoint

__all__ = ["WebSettings"]


class WebSettings(Section):
    """[web]: where the node serves HTTPS (`listen` HOST:PORT, empty = not at all), and what others call it.

    language: of the pages, where a browser asks for none that there is. timezone: of the times shown.
    idle_minutes: so long a log-in lives without a request. second_factor: what a log-in asks beside the password.
    charter_file: the charter of use, relative to the folder. behind_proxy: plain HTTP on loopback, HTTPS at a reverse
    proxy. trusted_proxies: addresses and networks of proxies that are believed who asks. staff: whether the pages of
    who administers, maintains or audits are served; staff_from: to which addresses and networks, none for all.
    maintainer_desk: the folder of the maintainer whose desk these pages serve, relative to the node's; empty: none.
    """

    listen: HostAndPort = ""
    url: str = ""
    certificate_file: str = ""
    key_file: str = ""
    publish_log: bool = True
    language: Literal["fr", "en"] = "fr"
    timezone: str = "Europe/Paris"
    idle_minutes: int = Field(default=30, ge=1, le=720)
    second_factor: Literal["off", "optional", "required"] = "optional"
    charter_file: str = ""
    behind_proxy: bool = False
    trusted_proxies: tuple[str, ...] = ()
    staff: bool = True
    staff_from: tuple[str, ...] = ()
    maintainer_desk: str = ""

    @field_validator("timezone")
    @classmethod
    def _known_zone(cls, value: str) -> str:
        try:
            ZoneInfo(value)
        except (OSError, ValueError, ZoneInfoNotFoundError):
            raise ValueError(f"{value!r} is no time zone, as Europe/Paris is one") from None
        return value

    @field_validator("url")
    @classmethod
    def _https_alone(cls, value: str) -> str:
        parts = urlsplit(value)
        if value and (parts.scheme != "https" or not parts.hostname or parts.query or parts.fragment):
            raise ValueError(f"{value!r} is no https:// address")
        return value.rstrip("/")

    @field_validator("trusted_proxies", "staff_from")
    @classmethod
    def _networks(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        for item in value:
            try:
                ipaddress.ip_network(item)
            except ValueError:
                raise ValueError(f"{item!r} is no address or network, as 192.0.2.7 or 192.0.2.0/24 is one") from None
        return value

    @model_validator(mode="after")
    def _plain_on_loopback_alone(self) -> Self:
        if not self.behind_proxy:
            return self
        if not self.url:
            raise ValueError("behind_proxy needs url, what people call the reverse proxy")
        if self.certificate_file:
            raise ValueError("behind_proxy serves plain HTTP: the certificate is the reverse proxy's")
        if self.listen and not is_loopback(split_endpoint(self.listen)[0]):
            raise ValueError(f"behind_proxy serves plain HTTP, on loopback alone: not on {self.listen}")
        return self

    @model_validator(mode="after")
    def _both_or_none(self) -> Self:
        if bool(self.certificate_file) != bool(self.key_file):
            raise ValueError("certificate_file and key_file go together")
        return self

    def address(self, listening: str) -> str:
        """What others are told: `url`, else the address that the server listens on."""
        return self.url or f"https://{listening}"

    def host_names(self, listening: str) -> list[str]:
        """For a self-made certificate: the host of `url`, the host listened on, this machine's own names."""
        host = split_endpoint(listening)[0]
        names = [urlsplit(self.url).hostname or "", "" if host in ANY_HOST else host, "localhost", "127.0.0.1", "::1"]
        return list(dict.fromkeys(name for name in names if name))
