"""Templates and languages of reports: one Jinja2 environment a language, texts from gettext catalogues.

The texts in code and templates are the English ones; `node/locale/<language>/LC_MESSAGES/coffre.po` holds the others.
Catalogues are read from .po when first used: no compiled file can be missing or out of date. Values are escaped; a
name that a template misspells is an error, not an empty space.
"""

from __future__ import annotations

from datetime import UTC, datetime
from functools import lru_cache
from io import BytesIO
from pathlib import Path
from typing import Any, Final

from babel import Locale
from babel.dates import format_date, format_datetime
from babel.messages.mofile import write_mo
from babel.messages.pofile import read_po
from babel.numbers import format_decimal, format_percent
from babel.support import NullTranslations, Translations
from jinja2 import Environment, PackageLoader, StrictUndefined

from node.errors import ConfigError

__all__ = ["LANGUAGES", "LOCALE_FOLDER", "N_", "Language", "environment_of", "language_of", "render"]

LANGUAGES: Final = ("en", "fr")
LOCALE_FOLDER: Final = Path(__file__).resolve().parent.parent / "locale"
_DOMAIN: Final = "coffre"
_SOURCE_LANGUAGE: Final = "en"
# English as written in Europe: day before month, 24 hours.
_LOCALES: Final = {"en": "en_GB", "fr": "fr_FR"}
_UNITS_MS: Final = (("d", 86_400_000), ("h", 3_600_000), ("min", 60_000))


def N_(text: str) -> str:
    """Marks a text in code for the catalogues; it is translated where it is shown."""
    return text


class Language:
    """One language: its texts, and how it writes times and numbers. Times are shown in UTC, as evidence holds them."""

    def __init__(self, code: str) -> None:
        """code: one of LANGUAGES."""
        self.code = code
        self._locale = Locale.parse(_LOCALES[code])
        self.translations: NullTranslations = _translations(code)

    def text(self, message: str, **values: object) -> str:
        """The message in this language, its {names} filled in."""
        return self.translations.gettext(message).format(**values)

    def plural(self, one: str, many: str, count: int) -> str:
        """The form for so many; {count} in it is the number as this language writes it."""
        return self.translations.ngettext(one, many, count).format(count=self.number(count))

    def moment(self, time_ms: int) -> str:
        """A date and time, to the second, UTC."""
        return f"{format_datetime(_utc(time_ms), 'd MMM y HH:mm:ss', locale=self._locale)} UTC"

    def day(self, time_ms: int) -> str:
        """A date, UTC."""
        return str(format_date(_utc(time_ms), "d MMMM y", locale=self._locale))

    def month(self, time_ms: int) -> str:
        """A month as an axis shows it: `nov. 2026`."""
        return str(format_date(_utc(time_ms), "MMM y", locale=self._locale))

    def number(self, value: float) -> str:
        """A number with this language's separators, two digits after the point at most."""
        return str(format_decimal(value, format="#,##0.##", locale=self._locale))

    def percent(self, part: float) -> str:
        """A share of 1 as a percentage."""
        return str(format_percent(part, format="#,##0.#%" if self.code == "en" else "#,##0.# %", locale=self._locale))

    def duration(self, duration_ms: int) -> str:
        """A length of time in the largest unit that it fills: `1.5 h`, `3 min`, `12 s`. Units are the SI's."""
        for name, unit_ms in _UNITS_MS:
            if duration_ms >= unit_ms:
                text = self.translations.pgettext("unit of time", name)
                return f"{format_decimal(duration_ms / unit_ms, format='0.#', locale=self._locale)} {text}"
        return f"{-(-duration_ms // 1000)} s"


def _utc(time_ms: int) -> datetime:
    return datetime.fromtimestamp(time_ms / 1000, UTC)


def _translations(code: str) -> NullTranslations:
    if code == _SOURCE_LANGUAGE:
        return NullTranslations()
    with (LOCALE_FOLDER / code / "LC_MESSAGES" / f"{_DOMAIN}.po").open("rb") as stream:
        catalog = read_po(stream, locale=code, domain=_DOMAIN, abort_invalid=True)
    compiled = BytesIO()
    write_mo(compiled, catalog)
    compiled.seek(0)
    return Translations(compiled, domain=_DOMAIN)


@lru_cache(maxsize=len(LANGUAGES))
def language_of(code: str) -> Language:
    """A language by its code. ConfigError for one that there is no catalogue for."""
    if code not in LANGUAGES:
        raise ConfigError(f"no texts in the language {code!r}", hint=f"there are: {', '.join(LANGUAGES)}")
    return Language(code)


def environment_of(package: str, language: Language) -> Environment:
    """A Jinja2 environment over a package's folder `templates`, with the texts of a language and nothing else yet."""
    made = Environment(
        loader=PackageLoader(package, "templates"),
        extensions=["jinja2.ext.i18n"],
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    made.policies["ext.i18n.trimmed"] = True
    made.install_gettext_translations(language.translations, newstyle=True)  # type: ignore[attr-defined]
    return made


@lru_cache(maxsize=len(LANGUAGES))
def _environment(code: str) -> Environment:
    language = language_of(code)
    made = environment_of("node.reports", language)
    for name in ("moment", "day", "month", "number", "percent", "duration"):
        made.filters[name] = getattr(language, name)
    made.globals["language"] = language
    return made


def render(template: str, language: str, **values: Any) -> str:
    """A template of node/reports/templates in a language. ConfigError for an unknown language."""
    return _environment(language).get_template(template).render(**values)
