"""One institution as a national list tells it, and tables of them. Spec: spec/directory.md, 11.10."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Final

from directory_sync.lists.columns import ColumnMap, Fields
from directory_sync.lists.listed import BadRow
from directory_sync.lists.tables import Row, read_mapped
from directory_sync.words import words
from protocol.entry import Identifier
from protocol.texts import is_domain, is_line

__all__ = [
    "INSTITUTION_FIELDS",
    "ListedInstitution",
    "checked",
    "distinct",
    "domain_in",
    "name_key",
    "read_institutions",
    "telling_words",
]

INSTITUTION_FIELDS: Final = Fields(
    ("name", "other", "kind", "region", "town", "domain", "telephone", "owner", "closed"),
    (frozenset({"name"}),),
    "the institution's name",
    "say which: --map name=COLUMN --map id:SYSTEM=COLUMN",
)
"""What a column can say of an institution. other: a second name; owner: the number of the legal entity that runs it;
closed: anything but no means that it is closed."""
MAX_TEXT_BYTES: Final = 400
_NO: Final = frozenset({"", "0", "no", "false", "non", "faux", "nein"})
# Words that one register writes and another leaves out.
_LITTLE: Final = frozenset({"d", "de", "des", "du", "et", "l", "la", "le", "les", "a", "au", "aux", "of", "the", "and"})
# Words that say what an institution is, not which one.
_GENERIC: Final = frozenset(
    words(
        "cabinet centre center ch chr chu clinic clinique dr docteur etablissement hopital hopitaux hospital "
        "hospitalier hospitaliere laboratoire laboratory maison medical medicale officine pharmacie pharmacy pole "
        "polyclinique practice residence sante service site"
    )
)
_BEFORE_HOST: Final = re.compile(r"^(?:[a-z]+://)?(?:[^/@]*@)?(?:www\.)?", re.IGNORECASE)
_AFTER_HOST: Final = re.compile(r"[/?#:].*$", re.DOTALL)


@dataclass(frozen=True, slots=True, kw_only=True)
class ListedInstitution:
    """One institution of a list; "" and () where the list does not say.

    where: its place in the file. names: at least one, the usual one first. owner: the key of the legal entity that it
    is a site of, equal for all its sites. domain: of its site or e-mail addresses, which may be a mail provider's.
    """

    where: str
    names: tuple[str, ...]
    kind: str = ""
    region: str = ""
    town: str = ""
    domain: str = ""
    telephone: str = ""
    owner: str = ""
    identifiers: tuple[Identifier, ...] = ()

    @property
    def key(self) -> str:
        """What names it in this list and the next: its first identifier, or else name and town."""
        if self.identifiers:
            return f"{self.identifiers[0].system}|{self.identifiers[0].value}"
        return f"{name_key(self.names[0])}|{' '.join(words(self.town))}"


def name_key(name: str) -> str:
    """The words of a name as they are compared: folded, without the little ones."""
    folded = words(name)
    return " ".join(word for word in folded if word not in _LITTLE) or " ".join(folded)


def telling_words(name: str) -> list[str]:
    """The words of a name by which it is found among others of its kind."""
    folded = name_key(name).split()
    return [word for word in folded if word not in _GENERIC] or folded


def domain_in(text: str) -> str:
    """The domain of a web or e-mail address, or of a domain as it stands; "" if there is none."""
    domain = _AFTER_HOST.sub("", _BEFORE_HOST.sub("", text.strip())).lower().rstrip(".")
    return domain if "." in domain and is_domain(domain) else ""


def checked(found: ListedInstitution) -> ListedInstitution | BadRow:
    """The institution, if people can be shown it."""
    if not found.names or not found.names[0]:
        return BadRow(found.where, "it has no name")
    told = (*found.names, found.kind, found.region, found.town, found.telephone, found.owner)
    for text in (*told, *(part for item in found.identifiers for part in (item.system, item.value))):
        if len(text.encode()) > MAX_TEXT_BYTES:
            return BadRow(found.where, f"a text of more than {MAX_TEXT_BYTES} bytes")
        if text and not is_line(text):
            return BadRow(found.where, "a text with characters that cannot be shown")
    return found


def distinct(found: Iterable[ListedInstitution | BadRow]) -> Iterator[ListedInstitution | BadRow]:
    """Each institution once: a row about an earlier one is bad."""
    known: dict[str, str] = {}
    for item in found:
        if isinstance(item, ListedInstitution):
            earlier = known.setdefault(item.key, item.where)
            if earlier != item.where:
                yield BadRow(item.where, f"the same institution as in {earlier}")
                continue
        yield item


def read_institutions(lines: Iterable[str], delimiter: str, columns: ColumnMap) -> Iterator[ListedInstitution | BadRow]:
    """The institutions of a table. ListError as `read_mapped`."""
    rows = (row if isinstance(row, BadRow) else _institution(row) for row in read_mapped(lines, delimiter, columns))
    yield from distinct(row for row in rows if row is not None)


def _institution(row: Row) -> ListedInstitution | BadRow | None:
    """None: it is closed."""
    said = row.said
    if said.get("closed", "").lower() not in _NO:
        return None
    names = dict.fromkeys(filter(None, (said["name"], said.get("other", ""))))
    return checked(
        ListedInstitution(
            where=row.where,
            names=tuple(names),
            kind=said.get("kind", ""),
            region=said.get("region", ""),
            town=said.get("town", ""),
            domain=domain_in(said.get("domain", "")),
            telephone=said.get("telephone", ""),
            owner=said.get("owner", ""),
            identifiers=row.identifiers,
        )
    )
