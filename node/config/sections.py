"""Sections of the settings: storage, links, limits, keeping, the directory, keys, evidence, statistics."""

from __future__ import annotations

from typing import Annotated, Final, Literal

from pydantic import Field, field_validator

from directory_sync.words import fold
from node.config.values import ANY_HOST, Bytes, Days, HostAndPort, Section, WebAddress, split_endpoint

__all__ = [
    "DirectorySettings",
    "DiscoverySettings",
    "EvidenceSettings",
    "KeySettings",
    "LimitSettings",
    "LinkSettings",
    "RetentionSettings",
    "StatisticsSettings",
    "StorageSettings",
    "TrustSettings",
]

_GIB: Final = 1024**3


class StorageSettings(Section):
    """[storage]: `database` is empty for SQLite in the folder, or postgresql://user@host/name."""

    database: str = ""


class LinkSettings(Section):
    """[link]: `listen` HOST:PORT (empty = dial out only); `endpoints` what peers are told to dial."""

    listen: HostAndPort = ""
    endpoints: tuple[str, ...] = ()

    @property
    def advertised(self) -> tuple[str, ...]:
        """What peers are told to dial: `endpoints`, else `listen` unless nobody could dial it as it stands."""
        if self.endpoints or not self.listen:
            return tuple(endpoint.lower() for endpoint in self.endpoints)
        host, port = split_endpoint(self.listen)
        return () if port == 0 or host in ANY_HOST else (self.listen.lower(),)

    @field_validator("endpoints")
    @classmethod
    def _hosts_and_ports(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        for endpoint in value:
            split_endpoint(endpoint)
        return value


class LimitSettings(Section):
    """[limits]: sizes in bytes, watermarks in percent of the disk that holds the folder."""

    letter_bytes: Annotated[int, Field(ge=1024, le=2 * _GIB)] = 2 * _GIB
    mailbox_quota_bytes: Bytes = 20 * _GIB
    disk_bulk_percent: Annotated[int, Field(ge=1, le=100)] = 85
    disk_all_percent: Annotated[int, Field(ge=1, le=100)] = 95
    peer_unfinished_bytes: Bytes = 8 * _GIB
    """What one peer may have announced but not yet delivered."""


class RetentionSettings(Section):
    """[retention]: days that letters are kept, 0 for ever; `warn_days` before an unread one goes, both sides know."""

    received_days: Days = 0
    sent_days: Days = 0
    trash_days: Days = 30
    warn_days: Annotated[int, Field(ge=1, le=365)] = 14


class DiscoverySettings(Section):
    """[discovery]: whether this node announces itself on the local network, and on which of its own addresses (all)."""

    announce: bool = False
    interfaces: tuple[str, ...] = ()


class DirectorySettings(Section):
    """[directory]: "all", or the regions whose institutions' feeds are followed, as maintainers name them."""

    follow: Literal["all"] | tuple[Annotated[str, Field(min_length=1, max_length=200)], ...] = "all"

    @property
    def regions(self) -> frozenset[str] | None:
        """The regions, folded as names are (directory_sync/words.py); None for all."""
        return None if self.follow == "all" else frozenset(map(fold, self.follow))


class TrustSettings(Section):
    """[trust]: how many trusted maintainers must vouch for an institution before this node accepts it."""

    threshold: Annotated[int, Field(ge=1, le=100)] = 1


class StatisticsSettings(Section):
    """[statistics]: counts below `hide_below` are not shown; publish: whether ended months go into the own feed."""

    hide_below: Annotated[int, Field(ge=1, le=1000)] = 5
    publish: bool = False


class KeySettings(Section):
    """[keys]: whether the running node renews its own keys 60 days before their end."""

    renew: bool = True


class EvidenceSettings(Section):
    """[evidence]: the timestamping authority (RFC 3161) that stamps heads of the log; `timestamp_url` empty = none.

    timestamp_ca_file: its CA's certificate, PEM, relative to the folder; without it answers are taken unverified.
    timestamp_policy: dotted decimal that its answers must bear, empty for any.
    cosignatures: how many evidence should carry; cosign_every_s, ask_witnesses: how heads of the log get them.
    """

    cosignatures: Annotated[int, Field(ge=0, le=16)] = 2
    cosign_every_s: Annotated[int, Field(ge=10, le=86_400)] = 60
    ask_witnesses: Annotated[int, Field(ge=1, le=32)] = 8
    timestamp_url: WebAddress = ""
    timestamp_ca_file: str = ""
    timestamp_policy: Annotated[str, Field(pattern=r"^([0-2](\.(0|[1-9][0-9]*))+)?$")] = ""
    timestamp_every_hours: Annotated[int, Field(ge=1, le=24 * 31)] = 24
