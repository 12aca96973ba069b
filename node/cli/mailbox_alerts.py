"""`mailbox alerts`, `mailbox ladder`, `mailbox absence`: who learns of letters, when, and what if nobody opens them."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, time, timedelta
from typing import TYPE_CHECKING, Annotated, Any
from zoneinfo import ZoneInfo

import typer

from node.cli.common import JsonOption, MailboxArgument, emit, full_address, moment, opened_node, run_command, say
from node.errors import ConfigError

if TYPE_CHECKING:
    from node.app import Node
    from node.vault.alert_preferences import AlertPreferences
    from node.vault.mailbox_rows import Mailbox
    from protocol.entry import Absence
    from protocol.letter import LetterClass

__all__ = ["add_to"]


async def _found(node: Node, mailbox: str) -> tuple[Mailbox, AlertPreferences]:
    found = await node.mailboxes.find(full_address(node, mailbox))
    _, preferences = await node.database.read(node.alerts.preferences, found.id)
    return found, preferences


def _clock(text: str) -> int:
    from node.alerts.hours import parse_clock

    try:
        return parse_clock(text)
    except ValueError as error:
        raise ConfigError(str(error)) from None


def _digests(text: str) -> tuple[int, ...]:
    return tuple(sorted({_clock(part) for part in text.split(",") if part.strip()}))


def _quiet(text: str) -> tuple[int, int] | None:
    if not text:
        return None
    begin, dash, end = text.partition("-")
    if not dash:
        raise ConfigError(f"{text!r} names no quiet hours", hint="as 20:00-07:00")
    return _clock(begin), _clock(end)


def _classes(texts: list[str]) -> tuple[LetterClass, ...]:
    from protocol.letter import LetterClass

    known = [item.value for item in LetterClass]
    for text in texts:
        if text not in known:
            raise ConfigError(f"{text!r} is no class of letters", hint=", ".join(known))
    return tuple(item for item in LetterClass if item.value in texts)


def _shown(preferences: AlertPreferences) -> dict[str, Any]:
    from node.alerts.hours import clock_text

    quiet = preferences.quiet
    return {
        "email": preferences.email,
        "webhook": preferences.webhook,
        "browser": preferences.browser,
        "classes": [item.value for item in preferences.classes],
        "digests": [clock_text(minutes) for minutes in preferences.digests],
        "quiet": None if quiet is None else f"{clock_text(quiet[0])}-{clock_text(quiet[1])}",
    }


def alerts(
    context: typer.Context,
    mailbox: MailboxArgument,
    email: Annotated[str | None, typer.Option(help="E-mail address for alerts; empty for none.")] = None,
    webhook: Annotated[str | None, typer.Option(metavar="URL", help="Webhook for alerts; empty for none.")] = None,
    browser: Annotated[bool | None, typer.Option(help="Whether open pages show notifications.")] = None,
    of_class: Annotated[
        list[str] | None, typer.Option("--class", help="Of which letters that arrive; may be repeated (all).")
    ] = None,
    digest: Annotated[
        str | None, typer.Option(metavar="TIMES", help="Together at these times, as 08:00,13:00; empty: at once.")
    ] = None,
    quiet: Annotated[
        str | None, typer.Option(metavar="FROM-UNTIL", help="Nothing but urgent then, as 20:00-07:00; empty: none.")
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Show or set where a mailbox's alerts go, and when."""

    async def body() -> None:
        from node.vault.alert_preferences import check_preferences

        async with opened_node(context) as node:
            found, before = await _found(node, mailbox)
            wanted = check_preferences(
                replace(
                    before,
                    email=before.email if email is None else email,
                    webhook=before.webhook if webhook is None else webhook,
                    browser=before.browser if browser is None else browser,
                    classes=before.classes if of_class is None else _classes(of_class),
                    digests=before.digests if digest is None else _digests(digest),
                    quiet=before.quiet if quiet is None else _quiet(quiet),
                )
            )
            if wanted != before:
                await node.database.write(node.alerts.set_preferences, (found.id, wanted))
        shown = _shown(wanted)
        if as_json:
            emit({"id": found.id.text, **shown})
            return
        say(f"{found.address}: e-mail {wanted.email or 'none'}, webhook {wanted.webhook or 'none'}")
        say(
            f"browser: {'yes' if wanted.browser else 'no'}; of letters that are {', '.join(shown['classes']) or 'none'}"
        )
        when = f"at {', '.join(shown['digests'])}" if wanted.digests else "at once"
        say(f"{when}; quiet: {shown['quiet'] or 'never'} ({node.settings.web.timezone}); urgent ones always at once")
        settings = node.settings.alerts
        if wanted.email and not settings.smtp.host:
            say("No e-mail is sent before [alerts.smtp] in coffre.toml names a server.")
        if wanted.webhook and not settings.webhook_secret_file:
            say("No webhook is called before [alerts] in coffre.toml names a webhook_secret_file.")

    run_command(body, as_json=as_json)


def _steps(text: str) -> tuple[int, ...] | None:
    """Minutes of three steps, none for `off`; None for `default`."""
    from node.vault.alert_preferences import check_steps

    if text == "default":
        return None
    try:
        steps = () if text == "off" else tuple(int(part) for part in text.split(","))
    except ValueError:
        raise ConfigError(
            f"{text!r} names no steps", hint="three numbers of minutes, as 15,30,60; off; default"
        ) from None
    return check_steps(steps)


_Steps = Annotated[str | None, typer.Option(metavar="MINUTES", help="As 15,30,60; or: off; default.")]


def ladder(
    context: typer.Context,
    mailbox: MailboxArgument,
    urgent: _Steps = None,
    normal: _Steps = None,
    bulk: _Steps = None,
    on_call: Annotated[
        str | None, typer.Option(metavar="MAILBOX", help="Alerted where there is no deputy; empty: as [ladder] says.")
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Show or set what happens while letters lie unread: reminder, deputy or on call, sender told."""

    async def body() -> None:
        from protocol.letter import LetterClass

        async with opened_node(context) as node:
            found, before = await _found(node, mailbox)
            steps = dict(before.ladder.steps)
            given = {LetterClass.URGENT: urgent, LetterClass.NORMAL: normal, LetterClass.BULK: bulk}
            for letter_class, text in given.items():
                if text is not None:
                    steps.pop(letter_class, None)
                    if (minutes := _steps(text)) is not None:
                        steps[letter_class] = minutes
            helper = before.ladder.on_call
            if on_call is not None:
                helper = (await node.mailboxes.find(full_address(node, on_call))).address if on_call else ""
            if helper == found.address:
                raise ConfigError("a mailbox is not on call for itself")
            wanted = replace(before, ladder=replace(before.ladder, steps=steps, on_call=helper))
            if wanted != before:
                await node.database.write(node.alerts.set_preferences, (found.id, wanted))
        general = node.settings.ladder
        in_force = {name.value: list(steps.get(name, general.minutes(name))) for name in LetterClass}
        helper = helper or general.on_call
        if as_json:
            emit({"id": found.id.text, "minutes": in_force, "on_call": helper})
            return
        for name, times in in_force.items():
            if times:
                say(f"{name}: reminder after {times[0]} min, deputy after {times[1]}, sender after {times[2]}")
            else:
                say(f"{name}: off")
        say(f"on call, where there is no deputy: {helper or 'nobody'}")

    run_command(body, as_json=as_json)


def _moment_ms(text: str, zone: ZoneInfo, *, is_end: bool) -> int:
    """A day, or a day and time, of the institution's time zone; a day that ends something is included."""
    try:
        day = datetime.fromisoformat(text)
    except ValueError:
        raise ConfigError(f"{text!r} is no date", hint="as 2027-08-01, or 2027-08-01T12:00") from None
    if is_end and len(text) == 10:
        day = datetime.combine(day.date() + timedelta(1), time())
    return int((day if day.tzinfo else day.replace(tzinfo=zone)).timestamp() * 1000)


def _absence_fields(absence: Absence | None) -> dict[str, Any]:
    if absence is None:
        return {"absent": False}
    return {
        "absent": True,
        "from_ms": absence.from_ms,
        "until_ms": absence.until_ms,
        "french": absence.french,
        "english": absence.english,
        "instead": absence.instead,
    }


def absence(
    context: typer.Context,
    mailbox: MailboxArgument,
    until: Annotated[str | None, typer.Option(metavar="DATE", help="The last day, or a time.")] = None,
    begin: Annotated[str | None, typer.Option("--from", metavar="DATE", help="The first day (now).")] = None,
    french: Annotated[str, typer.Option(help="A line for senders, in French.")] = "",
    english: Annotated[str, typer.Option(help="The same in English.")] = "",
    instead: Annotated[str, typer.Option(metavar="ADDRESS", help="To whom one may write meanwhile.")] = "",
    end: Annotated[bool, typer.Option("--end", help="The person is back.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Show, set or end an absence notice. It is public in the federation, and ends by itself."""

    async def body() -> None:
        from protocol.entry import Absence

        async with opened_node(context) as node:
            found = await node.mailboxes.find(full_address(node, mailbox))
            zone = node.alerts.zone
            if end:
                await node.absences.end(found.id)
            elif until is not None:
                from_ms = node.world.now_ms() if begin is None else _moment_ms(begin, zone, is_end=False)
                wanted = Absence(
                    from_ms=from_ms,
                    until_ms=_moment_ms(until, zone, is_end=True),
                    french=french,
                    english=english,
                    instead=full_address(node, instead) if instead else "",
                )
                await node.absences.set(found.id, wanted)
            elif begin or french or english or instead:
                raise ConfigError("an absence has an end", hint="give --until DATE")
            present = await node.absences.of(found.id)
        if as_json:
            emit({"id": found.id.text, **_absence_fields(present)})
        elif present is None:
            say(f"{found.address} is not absent")
        else:
            say(f"{found.address} is absent from {moment(present.from_ms)} until {moment(present.until_ms)}")
            for text in (present.french, present.english):
                if text:
                    say(f"  {text}")
            if present.instead:
                say(f"  instead: {present.instead}")

    run_command(body, as_json=as_json)


def add_to(app: typer.Typer) -> None:
    """Register the commands."""
    app.command("alerts")(alerts)
    app.command("ladder")(ladder)
    app.command("absence")(absence)
