"""Settings: `coffre.toml` in the node's folder, over it the environment (COFFRE_…), read once."""

from __future__ import annotations

import difflib
import ipaddress
import tomllib
from pathlib import Path
from typing import Annotated, Any, Final, Literal, Self
from urllib.parse import urlsplit
from zoneinfo import available_timezones

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict

from directory_sync.words import fold
from node.errors import ConfigError

__all__ = [
    "AlertSettings",
    "DirectorySettings",
    "DiscoverySettings",
    "EvidenceSettings",
    "KeySettings",
    "LadderSettings",
    "LimitSettings",
    "LinkSettings",
    "OperationSettings",
    "OperatorAlarmSettings",
    "RetentionSettings",
    "Settings",
    "StorageSettings",
    "TrustSettings",
    "WebSettings",
    "load_settings",
]

GIB: Final = 1024**3
MIB: Final = 1024**2
Bytes = Annotated[int, Field(ge=0)]


class _Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class StorageSettings(_Section):
    """[storage]: `database` is empty for SQLite in the folder, or postgresql://user@host/name."""

    database: str = ""


# Hosts to listen on that are no address to dial.
_ANY_HOST: Final = ("0.0.0.0", "::", "*")  # noqa: S104


class LinkSettings(_Section):
    """[link]: `listen` HOST:PORT (empty = dial out only); `endpoints` what peers are told to dial."""

    listen: str = ""
    endpoints: tuple[str, ...] = ()

    @property
    def advertised(self) -> tuple[str, ...]:
        """What peers are told to dial: `endpoints`, else `listen` unless nobody could dial it as it stands."""
        if self.endpoints or not self.listen:
            return tuple(endpoint.lower() for endpoint in self.endpoints)
        host, port = split_endpoint(self.listen)
        return () if port == 0 or host in _ANY_HOST else (self.listen.lower(),)

    @field_validator("listen")
    @classmethod
    def _host_and_port(cls, value: str) -> str:
        if value:
            split_endpoint(value)
        return value

    @field_validator("endpoints")
    @classmethod
    def _hosts_and_ports(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        for endpoint in value:
            split_endpoint(endpoint)
        return value


class LimitSettings(_Section):
    """[limits]: sizes in bytes, watermarks in percent of the disk that holds the folder."""

    letter_bytes: Annotated[int, Field(ge=1024, le=2 * GIB)] = 2 * GIB
    mailbox_quota_bytes: Bytes = 20 * GIB
    disk_bulk_percent: Annotated[int, Field(ge=1, le=100)] = 85
    disk_all_percent: Annotated[int, Field(ge=1, le=100)] = 95
    peer_unfinished_bytes: Bytes = 8 * GIB
    """What one peer may have announced but not yet delivered."""


_Days = Annotated[int, Field(ge=0, le=36_500)]


class RetentionSettings(_Section):
    """[retention]: days that letters are kept, 0 for ever; `warn_days` before an unread one goes, both sides know."""

    received_days: _Days = 0
    sent_days: _Days = 0
    trash_days: _Days = 30
    warn_days: Annotated[int, Field(ge=1, le=365)] = 14


class DiscoverySettings(_Section):
    """[discovery]: whether this node announces itself on the local network, and on which of its own addresses (all)."""

    announce: bool = False
    interfaces: tuple[str, ...] = ()


class DirectorySettings(_Section):
    """[directory]: "all", or the regions whose institutions' feeds are followed, as maintainers name them."""

    follow: Literal["all"] | tuple[Annotated[str, Field(min_length=1, max_length=200)], ...] = "all"

    @property
    def regions(self) -> frozenset[str] | None:
        """The regions, folded as names are (directory_sync/words.py); None for all."""
        return None if self.follow == "all" else frozenset(map(fold, self.follow))


class TrustSettings(_Section):
    """[trust]: how many trusted maintainers must vouch for an institution before this node accepts it."""

    threshold: Annotated[int, Field(ge=1, le=100)] = 1


class StatisticsSettings(_Section):
    """[statistics]: counts below `hide_below` are not shown; publish: whether ended months go into the own feed."""

    hide_below: Annotated[int, Field(ge=1, le=1000)] = 5
    publish: bool = False


class KeySettings(_Section):
    """[keys]: whether the running node renews its own keys 60 days before their end."""

    renew: bool = True


class SmtpSettings(_Section):
    """[alerts.smtp]: the server that takes alerts by e-mail; `host` empty = no e-mail."""

    host: str = ""
    port: Annotated[int, Field(ge=1, le=65535)] = 587
    security: Literal["starttls", "tls", "none"] = "starttls"
    username: str = ""
    password_file: str = ""
    sender: str = ""
    ca_file: str = ""


class WebSettings(_Section):
    """[web]: where the node serves HTTPS (`listen` HOST:PORT, empty = not at all), and what others call it.

    language: of the pages, where a browser asks for none that there is. timezone: of the times shown.
    idle_minutes: so long a log-in lives without a request. second_factor: what a log-in asks beside the password.
    charter_file: the charter of use, relative to the folder. behind_proxy: plain HTTP on loopback, HTTPS at a reverse
    proxy. trusted_proxies: addresses and networks of proxies that are believed who asks. staff: whether the pages of
    who administers, maintains or audits are served; staff_from: to which addresses and networks, none for all.
    maintainer_desk: the folder of the maintainer whose desk these pages serve, relative to the node's; empty: none.
    """

    listen: str = ""
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
        if value not in available_timezones():
            raise ValueError(f"{value!r} is no time zone, as Europe/Paris is one")
        return value

    @field_validator("listen")
    @classmethod
    def _host_and_port(cls, value: str) -> str:
        if value:
            split_endpoint(value)
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
        if self.listen and not _is_loopback(split_endpoint(self.listen)[0]):
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
        names = [urlsplit(self.url).hostname or "", "" if host in _ANY_HOST else host, "localhost", "127.0.0.1", "::1"]
        return list(dict.fromkeys(name for name in names if name))


class EvidenceSettings(_Section):
    """[evidence]: the timestamping authority (RFC 3161) that stamps heads of the log; `timestamp_url` empty = none.

    timestamp_ca_file: its CA's certificate, PEM, relative to the folder; without it answers are taken unverified.
    timestamp_policy: dotted decimal that its answers must bear, empty for any.
    cosignatures: how many evidence should carry; cosign_every_s, ask_witnesses: how heads of the log get them.
    """

    cosignatures: Annotated[int, Field(ge=0, le=16)] = 2
    cosign_every_s: Annotated[int, Field(ge=10, le=86_400)] = 60
    ask_witnesses: Annotated[int, Field(ge=1, le=32)] = 8
    timestamp_url: str = ""
    timestamp_ca_file: str = ""
    timestamp_policy: Annotated[str, Field(pattern=r"^([0-2](\.(0|[1-9][0-9]*))+)?$")] = ""
    timestamp_every_hours: Annotated[int, Field(ge=1, le=24 * 31)] = 24

    @field_validator("timestamp_url")
    @classmethod
    def _web_address(cls, value: str) -> str:
        parts = urlsplit(value)
        if value and (parts.scheme not in ("http", "https") or not parts.hostname):
            raise ValueError(f"{value!r} is no http:// or https:// address")
        return value


class AlertSettings(_Section):
    """[alerts]: how local recipients learn that a letter waits. No alert holds anything of the letter.

    sms_webhook: the gateway that sends codes of letters to people outside by SMS; empty: none.
    """

    smtp: SmtpSettings = SmtpSettings()
    webhook_secret_file: str = ""
    login_url: str = ""
    sms_webhook: str = ""

    @field_validator("sms_webhook")
    @classmethod
    def _web_address(cls, value: str) -> str:
        parts = urlsplit(value)
        if value and (parts.scheme not in ("http", "https") or not parts.hostname):
            raise ValueError(f"{value!r} is no http:// or https:// address")
        return value


_Step = Annotated[int, Field(ge=1, le=525_600)]


class LadderSettings(_Section):
    """[ladder]: minutes from a deposit to reminder, deputy or on-call mailbox, and sender told; empty = no ladder.

    on_call: the own address that is alerted where a mailbox has no deputy; empty = none.
    """

    urgent_minutes: tuple[_Step, ...] = (15, 30, 60)
    normal_minutes: tuple[_Step, ...] = (24 * 60, 48 * 60, 72 * 60)
    bulk_minutes: tuple[_Step, ...] = ()
    on_call: str = ""

    @field_validator("urgent_minutes", "normal_minutes", "bulk_minutes")
    @classmethod
    def _three_rising(cls, value: tuple[int, ...]) -> tuple[int, ...]:
        if value and not (len(value) == 3 and value[0] < value[1] < value[2]):
            raise ValueError("a ladder has three rising times, or none")
        return value

    def minutes(self, letter_class: str) -> tuple[int, ...]:
        """The steps of a class (urgent, normal, bulk)."""
        return {"urgent": self.urgent_minutes, "normal": self.normal_minutes, "bulk": self.bulk_minutes}[letter_class]


class OperatorAlarmSettings(_Section):
    """[operation.alarms]: whom operators' alarms go to, and from when. webhook needs [alerts] webhook_secret_file.

    stuck_minutes: how long an urgent, a normal and a bulk letter may wait. failed_log_ins: within an hour; backup_days,
    peer_hours: how old, how long unreachable; each 0 for never. repeat_hours: between reminders, 0 for none.
    """

    email: tuple[Annotated[str, Field(pattern=r"^[^@\s]+@[^@\s]+$", max_length=254)], ...] = ()
    webhook: str = ""
    repeat_hours: Annotated[int, Field(ge=0, le=24 * 31)] = 24
    stuck_minutes: tuple[_Step, _Step, _Step] = (30, 12 * 60, 48 * 60)
    failed_log_ins: Annotated[int, Field(ge=0, le=100_000)] = 20
    backup_days: Annotated[int, Field(ge=0, le=366)] = 7
    peer_hours: Annotated[int, Field(ge=0, le=24 * 31)] = 24

    @field_validator("webhook")
    @classmethod
    def _web_address(cls, value: str) -> str:
        parts = urlsplit(value)
        if value and (parts.scheme not in ("http", "https") or not parts.hostname):
            raise ValueError(f"{value!r} is no http:// or https:// address")
        return value

    def stuck_minutes_of(self, letter_class: str) -> int:
        """For a class (urgent, normal, bulk)."""
        return dict(zip(("urgent", "normal", "bulk"), self.stuck_minutes, strict=True))[letter_class]


class OperationSettings(_Section):
    """[operation]: `listen` HOST:PORT for figures and health, empty = not at all; not on loopback it is HTTPS, and
    `token_file` (relative to the folder) says what must be shown to read figures.
    """

    listen: str = ""
    token_file: str = ""
    alarms: OperatorAlarmSettings = OperatorAlarmSettings()

    @field_validator("listen")
    @classmethod
    def _host_and_port(cls, value: str) -> str:
        if value:
            split_endpoint(value)
        return value

    @model_validator(mode="after")
    def _open_on_loopback_alone(self) -> Self:
        if self.listen and not self.token_file and not self.is_on_loopback:
            raise ValueError(f"listening on {self.listen}, not on loopback, needs token_file")
        return self

    @property
    def is_on_loopback(self) -> bool:
        """Whether only this machine can ask."""
        return not self.listen or _is_loopback(split_endpoint(self.listen)[0])


class Settings(BaseSettings):
    """All settings of a node. Unknown keys are refused."""

    model_config = SettingsConfigDict(
        extra="forbid",
        frozen=True,
        env_prefix="COFFRE_",
        env_nested_delimiter="__",
        nested_model_default_partial_update=True,
    )

    institution: str
    domain: str
    passphrase_file: str = ""
    log_format: Literal["text", "json"] = "text"
    storage: StorageSettings = StorageSettings()
    link: LinkSettings = LinkSettings()
    limits: LimitSettings = LimitSettings()
    alerts: AlertSettings = AlertSettings()
    trust: TrustSettings = TrustSettings()
    keys: KeySettings = KeySettings()
    discovery: DiscoverySettings = DiscoverySettings()
    directory: DirectorySettings = DirectorySettings()
    web: WebSettings = WebSettings()
    retention: RetentionSettings = RetentionSettings()
    evidence: EvidenceSettings = EvidenceSettings()
    ladder: LadderSettings = LadderSettings()
    statistics: StatisticsSettings = StatisticsSettings()
    operation: OperationSettings = OperationSettings()

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """The environment goes over the file, which arrives as init arguments."""
        return env_settings, init_settings


def split_endpoint(text: str) -> tuple[str, int]:
    """host:port or [v6]:port as (host, port). ValueError in one line otherwise."""
    host, colon, port = text.rpartition(":")
    if not colon or not host or not port.isascii() or not port.isdigit() or not 0 <= int(port) <= 65535:
        raise ValueError(f"{text!r} is not HOST:PORT")
    return host.removeprefix("[").removesuffix("]"), int(port)


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _known_keys(model: type[BaseModel]) -> dict[str, type[BaseModel] | None]:
    known: dict[str, type[BaseModel] | None] = {}
    for name, info in model.model_fields.items():
        annotation = info.annotation
        known[name] = annotation if isinstance(annotation, type) and issubclass(annotation, BaseModel) else None
    return known


def _refuse_unknown(table: dict[str, Any], model: type[BaseModel], prefix: str, path: Path) -> None:
    known = _known_keys(model)
    for key, value in table.items():
        if key not in known:
            near = difflib.get_close_matches(key, known, n=1, cutoff=0.5)
            hint = f"did you mean {prefix}{near[0]}?" if near else f"known keys: {', '.join(sorted(known))}"
            raise ConfigError(f"{path}: unknown key {prefix}{key}", hint=hint)
        inner = known[key]
        if inner is not None and isinstance(value, dict):
            _refuse_unknown(value, inner, f"{prefix}{key}.", path)


def load_settings(path: Path) -> Settings:
    """Read coffre.toml. ConfigError, one line, for a missing file, bad TOML, an unknown key or a bad value."""
    try:
        table = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ConfigError(f"{path} cannot be read: {error.strerror}") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path} is not valid TOML: {error}") from error
    _refuse_unknown(table, Settings, "", path)
    try:
        return Settings(**table)
    except ValidationError as error:
        first = error.errors()[0]
        name = ".".join(str(part) for part in first["loc"])
        raise ConfigError(f"{path}: {name}: {first['msg'].removeprefix('Value error, ')}") from error
