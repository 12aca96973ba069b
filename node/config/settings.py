"""All settings of a node, and reading them."""

from __future__ import annotations

import difflib
import tomllib
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ValidationError
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict

from node.config.sections import (
    DirectorySettings,
    DiscoverySettings,
    EvidenceSettings,
    KeySettings,
    LimitSettings,
    LinkSettings,
    RetentionSettings,
    StatisticsSettings,
    StorageSettings,
    TrustSettings,
)
from node.config.telling import AlertSettings, LadderSettings, OperationSettings
from node.config.web import WebSettings
from node.errors import ConfigError

__all__ = ["Settings", "load_settings"]


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
