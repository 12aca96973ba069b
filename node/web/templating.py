"""Pages from templates: one Jinja2 environment a language, every value escaped. Spec: spec/web.md, 3 and 4."""

from __future__ import annotations

from collections.abc import Callable
from datetime import date, datetime
from typing import Any, Final
from zoneinfo import ZoneInfo

from babel import Locale
from babel.dates import format_date, format_datetime, format_skeleton, format_time
from jinja2 import Environment
from starlette.requests import HTTPConnection
from starlette.responses import HTMLResponse

from node.reports.institution_kinds import institution_kind_words
from node.reports.rendering import LANGUAGES, N_, environment_of, language_of
from node.sizes import shown_size, typed_size
from node.web.error_words import error_words, finding_words, words_of
from node.web.shown import shown_in_place
from node.web.static_files import StaticFiles

__all__ = ["LANGUAGE_COOKIE", "PAGE_POLICY", "Templates"]

LANGUAGE_COOKIE: Final = "coffre-lang"
PAGE_POLICY: Final = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; "
    "font-src 'self'; form-action 'self'; frame-src 'self'; frame-ancestors 'none'; base-uri 'none'"
)
# What a recipient's line says of a sent letter (DeliveryState.word): translated where it is shown.
_STATE_WORDS: Final = (
    N_("waiting"),
    N_("deposited"),
    N_("opened"),
    N_("collected"),
    N_("refused"),
    N_("expired"),
    N_("withdrawn"),
    N_("unreadable"),
    N_("erased_unread"),
)


class Templates:
    """Renders the pages. language: where the browser asks for none that there is; timezone: of all times shown."""

    def __init__(self, static: StaticFiles, *, institution: str, language: str, timezone: str) -> None:
        self.static = static
        self._language = language
        self._zone = ZoneInfo(timezone)
        self._environments = {code: self._environment(code, static, institution) for code in LANGUAGES}

    def language(self, request: HTTPConnection) -> str:
        """What the person chose, what the browser asks for, or the institution's."""
        chosen = request.cookies.get(LANGUAGE_COOKIE, "")
        if chosen in LANGUAGES:
            return chosen
        for part in request.headers.get("accept-language", "")[:200].split(","):
            code = part.split(";")[0].strip().lower().partition("-")[0]
            if code in LANGUAGES:
                return code
        return self._language

    def text(self, request: HTTPConnection, message: str, **values: object) -> str:
        """A text in the language of a request, its {names} filled in."""
        return language_of(self.language(request)).text(message, **values)

    def moment(self, request: HTTPConnection, time_ms: int) -> str:
        """A time as the pages write it."""
        return str(self._environments[self.language(request)].filters["moment"](time_ms))

    def size(self, request: HTTPConnection) -> Callable[[int], str]:
        """What writes bytes for people in the language of a request."""
        write: Callable[[int], str] = self._environments[self.language(request)].filters["size"]
        return write

    def page(self, request: HTTPConnection, template: str, *, status: int = 200, **values: Any) -> HTMLResponse:
        """A whole page, or a part of one, as an answer."""
        code = self.language(request)
        environment = self._environments[code]
        text = environment.get_template(template).render(path=request.url.path, **values)
        headers = {
            "Content-Security-Policy": PAGE_POLICY,
            # Not `no-referrer`: forms would be sent with the origin "null".
            "Referrer-Policy": "same-origin",
            "Content-Language": code,
            "Vary": "Cookie, Accept-Language",
        }
        return HTMLResponse(text, status, headers)

    def _environment(self, code: str, static: StaticFiles, institution: str) -> Environment:
        language = language_of(code)
        locale = Locale.parse({"en": "en_GB", "fr": "fr_FR"}[code])
        made = environment_of("node.web", language)

        def local(time_ms: int) -> datetime:
            return datetime.fromtimestamp(time_ms / 1000, self._zone)

        def moment(time_ms: int) -> str:
            return str(format_datetime(local(time_ms), "EEEE d MMMM y, HH:mm", locale=locale))

        def month(year_and_month: tuple[int, int]) -> str:
            return str(format_skeleton("yMMMM", date(*year_and_month, 1), locale=locale))

        def short_moment(time_ms: int, now_ms: int) -> str:
            when, now = local(time_ms), local(now_ms)
            if when.date() == now.date():
                return str(format_time(when, "HH:mm", locale=locale))
            return str(format_date(when, "d MMM" if when.year == now.year else "dd/MM/y", locale=locale))

        def size(count: int) -> str:
            return shown_size(count, language)

        made.filters.update(moment=moment, month=month, short_moment=short_moment, size=size, number=language.number)
        made.filters["typed_size"] = lambda count: typed_size(count, language)
        made.filters["told"] = lambda error: error_words(error, language)
        made.filters["said"] = lambda text: words_of(text, language)
        made.filters["institution_kind"] = lambda kind: institution_kind_words(kind, language)
        made.filters["finding"] = lambda check: finding_words(check, language)
        made.filters["shown_in_place"] = shown_in_place
        made.filters["iso"] = lambda time_ms: local(time_ms).isoformat(timespec="seconds")
        made.globals.update(static=static.url, institution=institution, language=code, languages=LANGUAGES)
        return made
