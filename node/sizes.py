"""Sizes as people write them and as they are shown: 20 GB, 1.5 GB, 1,5 Go. A unit is 1024 times the one below it."""

from __future__ import annotations

import re
from decimal import Decimal
from typing import Final

from node.errors import ConfigError
from node.reports.rendering import N_, Language

__all__ = ["parse_size", "shown_size", "typed_size"]

_UNITS: Final = ((1 << 40, N_("TB")), (1 << 30, N_("GB")), (1 << 20, N_("MB")), (1 << 10, N_("kB")))
_FACTORS: Final = {"t": 1 << 40, "g": 1 << 30, "m": 1 << 20, "k": 1 << 10, "": 1}
# A comma before three digits may be a French point or an English thousand: that is no size.
_SIZE: Final = re.compile(r"([0-9]{1,20})(?:\.([0-9]{1,6})|,([0-9]{1,2}|[0-9]{4,6}))?([tgmk]?)i?(b|o|bytes?|octets?)?")


def parse_size(text: str, *, is_alone: bool = False) -> int:
    """Bytes of what somebody typed; the unit in English or French. ConfigError for what is no size.

    is_alone: a number without a unit is bytes; else it is refused, since who leaves the unit out means a larger one.
    """
    found = _SIZE.fullmatch("".join(text.split()).lower())
    if found is None or not (found[4] or found[5] or is_alone):
        raise ConfigError(
            f"{text.strip()} is no size, as 20 GB is one", hint="a number with its unit: kB, MB, GB or TB"
        )
    return int(Decimal(f"{found[1]}.{found[2] or found[3] or 0}") * _FACTORS[found[4]])


def shown_size(count: int, language: Language) -> str:
    """Bytes for people, to one digit after the point."""
    for unit, name in _UNITS:
        if count >= unit:
            return f"{language.number(round(count / unit, 1))} {language.text(name)}"
    return language.plural("{count} byte", "{count} bytes", count)


def typed_size(count: int, language: Language) -> str:
    """Bytes as they are typed, exactly: in the largest unit that leaves two digits after the point at most."""
    for unit, name in _UNITS:
        if count >= unit and not count * 100 % unit:
            whole, hundredths = divmod(count * 100 // unit, 100)
            digits = language.number(hundredths / 100)[1:] if hundredths else ""
            return f"{whole}{digits} {language.text(name)}"
    # Without the comma that English puts after thousands.
    return language.plural("{count} byte", "{count} bytes", count).replace(",", "")
