"""What the person of a mailbox chose about alerts, sealed in the mailbox's row.

Spec: spec/alerts.md, 2 and 3.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final, Self
from zoneinfo import ZoneInfo

from node.alerts.hours import DAY_MINUTES, next_time_ms, quiet_until_ms
from node.errors import ConfigError
from protocol.codec import FieldReader, Value
from protocol.letter import LetterClass

__all__ = ["CHANNELS", "MAX_DIGESTS", "AlertPreferences", "LadderChoice", "check_preferences", "check_steps"]

CHANNELS: Final = ("email", "webhook")
MAX_DIGESTS: Final = 8
STEPS: Final = 3
_MAX_STEP_MINUTES: Final = 525_600
_ALL: Final = tuple(LetterClass)
_LADDER_NAMES: Final = {LetterClass.URGENT: "lu", LetterClass.NORMAL: "ln", LetterClass.BULK: "lb"}


@dataclass(frozen=True, slots=True, kw_only=True)
class LadderChoice:
    """A mailbox's own unread ladder. steps: by class the minutes of the three steps, empty for off; a class that is not
    there is as the institution's. on_call: an own address; empty for the institution's.
    """

    steps: dict[LetterClass, tuple[int, ...]] = field(default_factory=dict)
    on_call: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class AlertPreferences:
    """Where and when the owner of a mailbox wants alerts.

    email, webhook: addresses, empty for none. browser: whether open pages notify. classes: of letters that arrive.
    digests: minutes since midnight, rising; empty: at once. quiet: from and until, minutes since midnight.
    """

    email: str = ""
    webhook: str = ""
    browser: bool = False
    classes: tuple[LetterClass, ...] = _ALL
    digests: tuple[int, ...] = ()
    quiet: tuple[int, int] | None = None
    ladder: LadderChoice = field(default_factory=LadderChoice)

    def target(self, channel: str) -> str:
        """The address of one channel."""
        return self.email if channel == "email" else self.webhook

    @property
    def channels(self) -> tuple[str, ...]:
        """The channels that there are, `browser` included."""
        return (*(name for name in CHANNELS if self.target(name)), *(("browser",) if self.browser else ()))

    def planned_ms(self, now_ms: int, letter_class: LetterClass, zone: ZoneInfo) -> int:
        """When an alert goes that comes up now: now, at the next digest, at the end of quiet hours."""
        if letter_class is LetterClass.URGENT:
            return now_ms
        at_ms = next_time_ms(now_ms, self.digests, zone) if self.digests else now_ms
        return self.after_quiet_ms(at_ms, letter_class, zone)

    def after_quiet_ms(self, at_ms: int, letter_class: LetterClass, zone: ZoneInfo) -> int:
        """The same time, or the end of the quiet hours that it is in."""
        if letter_class is LetterClass.URGENT or self.quiet is None:
            return at_ms
        until_ms = quiet_until_ms(at_ms, self.quiet, zone)
        return at_ms if until_ms is None else until_ms

    def fields(self) -> dict[str, Value]:
        """As they are sealed; what is as by default is absent."""
        return {
            "email": self.email or None,
            "webhook": self.webhook or None,
            "browser": True if self.browser else None,
            "classes": None if self.classes == _ALL else [item.value for item in self.classes],
            "digests": list(self.digests) or None,
            "quiet": None if self.quiet is None else list(self.quiet),
            "on_call": self.ladder.on_call or None,
            **{_LADDER_NAMES[name]: list(steps) for name, steps in self.ladder.steps.items()},
        }

    @classmethod
    def read(cls, fields: FieldReader) -> Self:
        """What `fields` made."""
        steps = {
            name: tuple(int(str(minutes)) for minutes in fields.items(short, high=STEPS))
            for name, short in _LADDER_NAMES.items()
            if short in fields
        }
        quiet = (
            tuple(int(str(minutes)) for minutes in fields.items("quiet", low=2, high=2)) if "quiet" in fields else ()
        )
        return cls(
            email=fields.text("email", high=320) if "email" in fields else "",
            webhook=fields.text("webhook", high=2000) if "webhook" in fields else "",
            browser="browser" in fields,
            classes=(
                tuple(LetterClass(str(item)) for item in fields.items("classes", high=len(_ALL)))
                if "classes" in fields
                else _ALL
            ),
            digests=(
                tuple(int(str(minutes)) for minutes in fields.items("digests", high=MAX_DIGESTS))
                if "digests" in fields
                else ()
            ),
            quiet=(quiet[0], quiet[1]) if quiet else None,
            ladder=LadderChoice(steps=steps, on_call=fields.text("on_call", high=254) if "on_call" in fields else ""),
        )


def check_preferences(wanted: AlertPreferences) -> AlertPreferences:
    """The same, checked: an address that no mail can carry must not wait in a queue. ConfigError."""
    email, webhook = wanted.email, wanted.webhook
    name, _, domain = email.partition("@")
    plain = email.isascii() and email.isprintable() and not set(email) & set(' <>,"') and len(email) <= 254
    if email and not (plain and name and domain and "@" not in domain):
        raise ConfigError(f"{email!r} is not an e-mail address")
    is_web = webhook.startswith(("https://", "http://")) and webhook.isascii() and webhook.isprintable()
    if webhook and not (is_web and len(webhook) <= 2000):
        raise ConfigError(f"{webhook!r} is not a webhook's address", hint="https://…")
    if len(wanted.digests) > MAX_DIGESTS:
        raise ConfigError(f"a digest goes at most {MAX_DIGESTS} times a day")
    if any(not 0 <= minutes < DAY_MINUTES for minutes in (*wanted.digests, *(wanted.quiet or ()))):
        raise ConfigError("a time of the day is from 00:00 to 23:59")
    if wanted.quiet is not None and wanted.quiet[0] == wanted.quiet[1]:
        raise ConfigError(
            "quiet hours end at another time than they begin", hint="choose the class `urgent` alone instead"
        )
    for steps in wanted.ladder.steps.values():
        check_steps(steps)
    return wanted


def check_steps(steps: tuple[int, ...]) -> tuple[int, ...]:
    """The minutes of a ladder's steps: none, or three rising ones. ConfigError."""
    rising = len(steps) == STEPS and steps[0] < steps[1] < steps[2]
    if steps and not (rising and steps[0] >= 1 and steps[2] <= _MAX_STEP_MINUTES):
        raise ConfigError("a ladder has three rising times, in minutes, within a year", hint="as 15,30,60, or: off")
    return steps
