"""French regions by department, as the register's postal codes tell them. Spec: spec/directory.md, 11.10."""

from __future__ import annotations

from typing import Final

__all__ = ["region_of"]

_DEPARTMENTS: Final = {
    "Auvergne-Rhône-Alpes": "01 03 07 15 26 38 42 43 63 69 73 74",
    "Bourgogne-Franche-Comté": "21 25 39 58 70 71 89 90",
    "Bretagne": "22 29 35 56",
    "Centre-Val de Loire": "18 28 36 37 41 45",
    "Corse": "20 2A 2B",
    "Grand Est": "08 10 51 52 54 55 57 67 68 88",
    "Hauts-de-France": "02 59 60 62 80",
    "Île-de-France": "75 77 78 91 92 93 94 95",
    "Normandie": "14 27 50 61 76",
    "Nouvelle-Aquitaine": "16 17 19 23 24 33 40 47 64 79 86 87",
    "Occitanie": "09 11 12 30 31 32 34 46 48 65 66 81 82",
    "Pays de la Loire": "44 49 53 72 85",
    "Provence-Alpes-Côte d'Azur": "04 05 06 13 83 84",
    "Guadeloupe": "971",
    "Martinique": "972",
    "Guyane": "973",
    "La Réunion": "974",
    "Mayotte": "976",
}
_REGIONS: Final = {number: region for region, numbers in _DEPARTMENTS.items() for number in numbers.split()}


def region_of(code: str) -> str:
    """The region of a department's number or a postal code; "" for others."""
    code = code.strip().upper()
    return _REGIONS.get(code[:3] if code[:2] == "97" else code[:2], "")
