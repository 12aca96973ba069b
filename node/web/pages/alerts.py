"""What a mailbox's person chooses about alerts. Spec: spec/alerts.md, 2."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, Final

from starlette.datastructures import FormData
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from node.alerts.hours import clock_text, parse_clock
from node.errors import CoffreError, ConfigError
from node.reports.rendering import N_
from node.vault.alert_preferences import AlertPreferences, check_preferences
from node.web.pages.desk import Box, Desk, refuse_deputies, see_other
from protocol.letter import LetterClass

__all__ = ["AlertPages"]

_WORDS: Final = {
    LetterClass.URGENT: N_("Urgent"),
    LetterClass.NORMAL: N_("Normal"),
    LetterClass.BULK: N_("Circular"),
}


@dataclass(frozen=True, slots=True)
class AlertPages:
    """Preferences of alerts."""

    desk: Desk

    def routes(self) -> list[Route]:
        """Where what is found."""
        inside = self.desk.in_box
        return [
            Route("/box/{box}/alerts", inside(self.show), methods=["GET"]),
            Route("/box/{box}/alerts", inside(self.save), methods=["POST"]),
        ]

    async def show(self, request: Request, box: Box) -> Response:
        """The form, as it was saved."""
        refuse_deputies(box)
        preferences = await self._present(box)
        return self._page(request, box, preferences, _as_form(preferences), saved="saved" in request.query_params)

    async def save(self, request: Request, box: Box) -> Response:
        """Check and store what was chosen."""
        refuse_deputies(box)
        form, before = await request.form(), await self._present(box)
        try:
            wanted = check_preferences(_from_form(form, before))
        except (ConfigError, ValueError) as error:
            refusal = error if isinstance(error, ConfigError) else ConfigError(str(error))
            return self._page(request, box, before, _as_typed(form), error=refusal, status=422)
        await self.desk.node.database.write(self.desk.node.alerts.set_preferences, (box.opened.id, wanted))
        return see_other(f"{box.path}/alerts?saved=1")

    async def _present(self, box: Box) -> AlertPreferences:
        _, preferences = await self.desk.node.database.read(self.desk.node.alerts.preferences, box.opened.id)
        return preferences

    def _page(
        self,
        request: Request,
        box: Box,
        preferences: AlertPreferences,
        form: dict[str, Any],
        *,
        saved: bool = False,
        error: CoffreError | None = None,
        status: int = 200,
    ) -> Response:
        general, own = self.desk.node.settings.ladder, preferences.ladder.steps
        ladder = [
            (word, [_span(minutes) for minutes in own.get(name, general.minutes(name))])
            for name, word in _WORDS.items()
        ]
        return self.desk.page(
            request,
            "alerts.html",
            box,
            status=status,
            folder="alerts",
            form=form,
            classes=[(name.value, word) for name, word in _WORDS.items()],
            ladder=ladder,
            saved=saved,
            error=error,
        )


def _span(minutes: int) -> str:
    """As 15 min, 48 h."""
    return f"{minutes // 60} h" if minutes % 60 == 0 and minutes > 60 else f"{minutes} min"


def _as_form(preferences: AlertPreferences) -> dict[str, Any]:
    quiet = preferences.quiet
    return {
        "email": preferences.email,
        "webhook": preferences.webhook,
        "browser": preferences.browser,
        "classes": [item.value for item in preferences.classes],
        "digests": ", ".join(clock_text(minutes) for minutes in preferences.digests),
        "quiet_from": "" if quiet is None else clock_text(quiet[0]),
        "quiet_until": "" if quiet is None else clock_text(quiet[1]),
    }


def _as_typed(form: FormData) -> dict[str, Any]:
    """What is shown again where it was refused."""
    names = ("email", "webhook", "digests", "quiet_from", "quiet_until")
    return {
        **{name: str(form.get(name, "")) for name in names},
        "browser": "browser" in form,
        "classes": [str(item) for item in form.getlist("class")],
    }


def _from_form(form: FormData, before: AlertPreferences) -> AlertPreferences:
    """ValueError, ConfigError."""
    typed = _as_typed(form)
    begin, end = typed["quiet_from"], typed["quiet_until"]
    if bool(begin) != bool(end):
        raise ConfigError("quiet hours have a beginning and an end")
    digests = {parse_clock(part) for part in typed["digests"].replace(";", ",").split(",") if part.strip()}
    return replace(
        before,
        email=typed["email"].strip(),
        webhook=typed["webhook"].strip(),
        browser=typed["browser"],
        classes=tuple(item for item in LetterClass if item.value in typed["classes"]),
        digests=tuple(sorted(digests)),
        quiet=(parse_clock(begin), parse_clock(end)) if begin else None,
    )
