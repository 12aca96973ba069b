"""Sections of the settings that say who is told what: alerts, the ladder, figures and alarms for operators."""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import Field, field_validator, model_validator

from node.config.values import HostAndPort, Section, Step, WebAddress, is_loopback, split_endpoint

__all__ = ["AlertSettings", "LadderSettings", "OperationSettings", "OperatorAlarmSettings", "SmtpSettings"]


class SmtpSettings(Section):
    """[alerts.smtp]: the server that takes alerts by e-mail; `host` empty = no e-mail."""

    host: str = ""
    port: Annotated[int, Field(ge=1, le=65535)] = 587
    security: Literal["starttls", "tls", "none"] = "starttls"
    username: str = ""
    password_file: str = ""
    sender: str = ""
    ca_file: str = ""


class AlertSettings(Section):
    """[alerts]: how local recipients learn that a letter waits. No alert holds anything of the letter.

    sms_webhook: the gateway that sends codes of letters to people outside by SMS; empty: none.
    """

    smtp: SmtpSettings = SmtpSettings()
    webhook_secret_file: str = ""
    login_url: str = ""
    sms_webhook: WebAddress = ""


class LadderSettings(Section):
    """[ladder]: minutes from a deposit to reminder, deputy or on-call mailbox, and sender told; empty = no ladder.

    on_call: the own address that is alerted where a mailbox has no deputy; empty = none.
    """

    urgent_minutes: tuple[Step, ...] = (15, 30, 60)
    normal_minutes: tuple[Step, ...] = (24 * 60, 48 * 60, 72 * 60)
    bulk_minutes: tuple[Step, ...] = ()
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


class OperatorAlarmSettings(Section):
    """[operation.alarms]: whom operators' alarms go to, and from when. webhook needs [alerts] webhook_secret_file.

    stuck_minutes: how long an urgent, a normal and a bulk letter may wait. failed_log_ins: within an hour; backup_days,
    peer_hours: how old, how long unreachable; each 0 for never. repeat_hours: between reminders, 0 for none.
    """

    email: tuple[Annotated[str, Field(pattern=r"^[^@\s]+@[^@\s]+$", max_length=254)], ...] = ()
    webhook: WebAddress = ""
    repeat_hours: Annotated[int, Field(ge=0, le=24 * 31)] = 24
    stuck_minutes: tuple[Step, Step, Step] = (30, 12 * 60, 48 * 60)
    failed_log_ins: Annotated[int, Field(ge=0, le=100_000)] = 20
    backup_days: Annotated[int, Field(ge=0, le=366)] = 7
    peer_hours: Annotated[int, Field(ge=0, le=24 * 31)] = 24

    def stuck_minutes_of(self, letter_class: str) -> int:
        """For a class (urgent, normal, bulk)."""
        return dict(zip(("urgent", "normal", "bulk"), self.stuck_minutes, strict=True))[letter_class]


class OperationSettings(Section):
    """[operation]: `listen` HOST:PORT for figures and health, empty = not at all; not on loopback it is HTTPS, and
    `token_file` (relative to the folder) says what must be shown to read figures.
    """

    listen: HostAndPort = ""
    token_file: str = ""
    alarms: OperatorAlarmSettings = OperatorAlarmSettings()

    @model_validator(mode="after")
    def _open_on_loopback_alone(self) -> Self:
        if self.listen and not self.token_file and not self.is_on_loopback:
            raise ValueError(f"listening on {self.listen}, not on loopback, needs token_file")
        return self

    @property
    def is_on_loopback(self) -> bool:
        """Whether only this machine can ask."""
        return not self.listen or is_loopback(split_endpoint(self.listen)[0])
