"""What stands at the side of the staff's pages. Each piece adds its group here. Spec: spec/staff.md, 4."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from node.reports.rendering import N_
from node.staff.account import StaffRole

__all__ = ["MENU", "MenuGroup", "MenuItem"]


@dataclass(frozen=True, slots=True)
class MenuItem:
    """A link. path: whole; the page itself, and those below it, are marked. text: translated where it is shown."""

    path: str
    text: str
    what: str = ""
    """For the first page: one sentence on what is found there."""


@dataclass(frozen=True, slots=True)
class MenuGroup:
    """The pages of one role. heading: translated where it is shown."""

    roles: frozenset[StaffRole]
    heading: str
    items: tuple[MenuItem, ...]


_ACCOUNT: Final = MenuGroup(
    frozenset(StaffRole),
    N_("Own account"),
    (MenuItem("/staff/account", N_("Password and second factors"), N_("Change the password; add or remove factors.")),),
)

_STATISTICS: Final = MenuGroup(
    frozenset({StaffRole.ADMINISTRATOR, StaffRole.AUDITOR}),
    N_("Statistics"),
    (
        MenuItem(
            "/staff/statistics/own", N_("The institution"), N_("Letters by month, institution, specialty; times.")
        ),
        MenuItem("/staff/statistics/region", N_("The region"), N_("Growth by territory, from published totals.")),
    ),
)

MENU: Final[tuple[MenuGroup, ...]] = (_STATISTICS, _ACCOUNT)
