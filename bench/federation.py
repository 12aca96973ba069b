"""A synthetic federation: institutions and mailboxes as a country might have them, plainly fictional, always the same.

Words are as uneven as in life: a few professions and towns are everywhere, "Centre hospitalier" begins the names of
hundreds of institutions, most surnames are rare. Entries come as a stream, so that 1.2 million of them need no memory.
"""

from __future__ import annotations

import hashlib
import itertools
import random
import unicodedata
from bisect import bisect
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Final

import nacl.bindings

from protocol.crypto import SealKey, SealSecret, VerifyKey
from protocol.entry import Accepts, Identifier, InstitutionEntry, MailboxEntry, MailboxKind
from protocol.feed import Operation, OperationKind, make_operation
from protocol.ids import MailboxId, NodeId

__all__ = ["INSTITUTION_SUBJECT", "Institution", "Member", "Uneven", "Words", "federation"]

INSTITUTIONS: Final = 3_000
MAILBOXES: Final = 1_200_000
SEED: Final = 20_261_123
INSTITUTION_SUBJECT: Final = b"institution\0\0\0\0\1"

_SURNAMES: Final = 60_000
_TOWNS: Final = 1_800
# Everybody has keys of their own, as good as any but without a secret that anybody knows: making 1.2 million pairs
# would be all that is measured. Seal keys are one of these with another seed of the matrix and another point.
_KEYS: Final = 64


def _listed(text: str) -> tuple[str, ...]:
    return tuple(text.split(", "))


_GIVEN: Final = _listed(
    "Marie, Jean, Camille, Louise, Nicolas, Émilie, Thomas, Claire, François, Aurélie, Pierre, Hélène, Antoine, "
    "Sophie, Julien, Céline, Mathieu, Inès, Rémi, Noémie, Guillaume, Chloé, Étienne, Agnès, Benoît, Anaïs, Jérôme, "
    "Lucie, Sébastien, Clémence, Vincent, Élodie, Raphaël, Margaux, Olivier, Nathalie, Loïc, Manon, Gaël, Valérie, "
    "Cédric, Zoé, Damien, Solène, Fabrice, Maëlle, Yann, Océane, Hugo, Léa, Arthur, Jade, Gaspard, Alma, Bastien, "
    "Éva, Corentin, Irène, Théo, Ariane"
)
_ONSETS: Final = _listed("b, br, c, ch, cl, d, f, fl, g, gr, l, m, n, p, pl, r, s, t, tr, v")
_VOWELS: Final = _listed("a, e, i, o, u, ai, au, eau, é, ou, oi")
_CODAS: Final = ["", "", "", "n", "r", "l", "s", "rd", "nt", "ville", "gnac", "sson", "mont"]
_TOWN_ENDS: Final = _listed("ville, ac, bourg, mont, lieu, court, val, y, ières")
_TOWN_TAILS: Final = ("", "", "", "", "", "", "-sur-Vaine", "-les-Bruyères", "-en-Fagne", "-le-Haut", "-l'Étang")
_REGIONS: Final = _listed(
    "Haute-Vaine, Basse-Fagne, Val-d'Orlan, Côte-des-Brumes, Terres-Grises, Montagne-Blonde, Pays-de-Sarle, "
    "Aubrelande, Plaine-d'Ève, Marches-de-l'Ouest, Vallées-Sèches, Îles-du-Ponant"
)
_SPECIALTIES: Final = _listed(
    "Médecine générale, Cardiologie, Pneumologie, Neurologie, Gériatrie, Pédiatrie, Gynécologie-obstétrique, "
    "Oncologie, Radiologie, Anesthésie-réanimation, Chirurgie orthopédique, Chirurgie viscérale, Psychiatrie, "
    "Dermatologie, Ophtalmologie, Néphrologie, Rhumatologie, Urologie, Endocrinologie, Hématologie, "
    "Médecine d'urgence, Médecine interne, Biologie médicale, Hépato-gastroentérologie, Oto-rhino-laryngologie, "
    "Maladies infectieuses, Médecine du travail, Santé publique, Soins palliatifs, Addictologie, Allergologie, "
    "Chirurgie cardiaque, Chirurgie vasculaire, Neurochirurgie, Médecine nucléaire, Médecine physique"
)
_PROFESSIONS: Final = (
    ("Infirmier", 40),
    ("Médecin", 25),
    ("Aide-soignant", 8),
    ("Secrétaire médical", 7),
    ("Pharmacien", 5),
    ("Masseur-kinésithérapeute", 4),
    ("Cadre de santé", 3),
    ("Sage-femme", 3),
    ("Psychologue", 2),
    ("Manipulateur en électroradiologie", 1),
    ("Diététicien", 1),
    ("Orthophoniste", 1),
)
_UNITS: Final = _listed(
    "Service des urgences, Consultations externes, Hôpital de jour, Bloc opératoire, Unité de soins continus, "
    "Secrétariat central, Pharmacie à usage intérieur, Plateau d'imagerie, Laboratoire, Unité mobile, "
    "Bâtiment A, Bâtiment B, Pavillon de l'Étoile-Bleue, Pôle mère-enfant, Centre de dépistage"
)
# Name of the institution, its kind, share of institutions in hundredths, mailboxes relative to others.
_SORTS: Final = (
    ("Centre hospitalier de {town}", "hospital", 14, 900),
    ("Centre hospitalier universitaire de {town}", "hospital", 1, 9000),
    ("Hôpital {saint}", "hospital", 6, 700),
    ("Clinique {saint}", "clinic", 12, 250),
    ("Établissement de santé {saint}", "hospital", 5, 300),
    ("Maison de santé de {town}", "practice", 14, 12),
    ("Cabinet médical {saint}", "practice", 22, 5),
    ("Laboratoire de biologie de {town}", "laboratory", 8, 30),
    ("Pharmacie {saint}", "pharmacy", 14, 4),
    ("Résidence {saint}", "care-home", 4, 40),
)


@dataclass(frozen=True, slots=True)
class Member:
    """One mailbox of an institution. opening: of its feed leaf."""

    entry: MailboxEntry
    opening: bytes

    def operation(self) -> Operation:
        """The operation that publishes it."""
        return make_operation(OperationKind.MAILBOX, self.entry.mailbox, 1, self.entry.encode(), self.opening)


class Uneven:
    """Draws items, the n-th with a weight of 1 / (n + shift): a few often, most rarely."""

    def __init__(self, items: Sequence[str], shift: float) -> None:
        self.items = items
        self._sums = list(itertools.accumulate(1 / (place + shift) for place in range(len(items))))

    def draw(self, source: random.Random) -> str:
        """One item."""
        return self.items[bisect(self._sums, source.random() * self._sums[-1])]


@dataclass(frozen=True, slots=True)
class Words:
    """The vocabularies that everything is drawn from."""

    surnames: Uneven
    towns: Uneven
    regions: dict[str, str]
    """The region of each town."""


@dataclass(frozen=True, slots=True)
class Institution:
    """One institution: what it says of itself, and how many mailboxes it has. members() makes them anew each time."""

    node: NodeId
    entry: InstitutionEntry
    size: int
    words: Words = field(repr=False)
    seed: int

    def operation(self) -> Operation:
        """The operation that publishes the institution's own entry."""
        opening = hashlib.sha256(b"opening" + self.node).digest()
        return make_operation(OperationKind.INSTITUTION, INSTITUTION_SUBJECT, 1, self.entry.encode(), opening)

    def members(self) -> Iterator[Member]:
        """Its mailboxes, in the order in which they were made; always the same."""
        draw = random.Random(self.seed)  # noqa: S311 - drawn again alike, nothing secret
        seal_keys = _keys()
        point = nacl.bindings.crypto_core_ed25519_from_uniform(hashlib.sha256(b"point" + self.node).digest())
        taken: set[str] = set()
        for number in range(self.size):
            mailbox = MailboxId(draw.randbytes(MailboxId.LENGTH))
            made = _service(self, draw) if number % 12 == 0 else _person(self, draw)
            local = _address(made["name"])
            if local in taken:
                local += f"{number}"
            taken.add(local)
            entry = MailboxEntry(
                mailbox=mailbox,
                kind=MailboxKind.SERVICE if number % 12 == 0 else MailboxKind.PERSON,
                address=f"{local}@{self.entry.domains[0]}",
                name=made["name"],
                profession=made.get("profession", ""),
                specialty=made.get("specialty", ""),
                unit=made.get("unit", ""),
                town=made.get("town", ""),
                identifiers=(Identifier("urn:example:rpps", made["rpps"]),) if "rpps" in made else (),
                signing_key=VerifyKey(point),
                seal_key=_own_seal_key(seal_keys[draw.randrange(_KEYS)], mailbox),
                accepts=Accepts(2**30),
            )
            yield Member(entry, draw.randbytes(32))
            point = nacl.bindings.crypto_core_ed25519_add(point, _BASE_POINT)


@lru_cache(maxsize=1)
def _keys() -> list[SealKey]:
    return [SealSecret(bytes([number]) * 96).seal_key for number in range(_KEYS)]


def _own_seal_key(key: SealKey, mailbox: MailboxId) -> SealKey:
    return SealKey(key[:-64] + hashlib.sha512(mailbox).digest())


_BASE_POINT: Final = nacl.bindings.crypto_scalarmult_ed25519_base_noclamp((1).to_bytes(32, "little"))


def _syllables(draw: random.Random, count: int) -> str:
    return "".join(draw.choice(_ONSETS) + draw.choice(_VOWELS) for _ in range(count))


def _distinct(count: int, make: Callable[[], str]) -> tuple[str, ...]:
    found: dict[str, None] = {}
    while len(found) < count:
        found[make()] = None
    return tuple(found)


def _words(draw: random.Random) -> Words:
    surnames = _distinct(
        _SURNAMES, lambda: (_syllables(draw, draw.choice((1, 2, 2, 2, 3))) + draw.choice(_CODAS)).capitalize()
    )

    def town() -> str:
        name = (_syllables(draw, draw.choice((1, 1, 2))) + draw.choice(_TOWN_ENDS)).capitalize()
        return ("Saint-" if draw.random() < 0.2 else "") + name + draw.choice(_TOWN_TAILS)

    towns = _distinct(_TOWNS, town)
    return Words(Uneven(surnames, 30), Uneven(towns, 15), {name: draw.choice(_REGIONS) for name in towns})


def _address(name: str) -> str:
    plain = "".join(c for c in unicodedata.normalize("NFKD", name.lower()) if not unicodedata.combining(c))
    parts = "".join(c if c.isascii() and c.isalnum() else " " for c in plain).split()
    return ".".join(parts)[:48].strip(".")


def _service(institution: Institution, draw: random.Random) -> dict[str, str]:
    specialty = draw.choice(_SPECIALTIES)
    title = draw.choice(("Secrétariat de", "Service de", "Avis en", "Consultation de"))
    return {"name": f"{title} {specialty.lower()}", "specialty": specialty, "unit": draw.choice(_UNITS)}


def _person(institution: Institution, draw: random.Random) -> dict[str, str]:
    words = institution.words
    surname = words.surnames.draw(draw)
    if draw.random() < 0.08:
        surname += f"-{words.surnames.draw(draw)}"
    professions, weights = zip(*_PROFESSIONS, strict=True)
    profession = draw.choices(professions, weights)[0]
    made = {"name": f"{draw.choice(_GIVEN)} {surname}", "profession": profession, "unit": draw.choice(_UNITS)}
    if profession == "Médecin":
        made["name"] = f"Dr {made['name']}"
        made["specialty"] = draw.choice(_SPECIALTIES)
        made["rpps"] = f"10{draw.randrange(10**9):09d}"
    if draw.random() < 0.1:
        made["town"] = words.towns.draw(draw)
    return made


def federation(
    institutions: int = INSTITUTIONS, mailboxes: int = MAILBOXES, *, seed: int = SEED
) -> Iterator[Institution]:
    """The institutions one after the other; their sizes add up to `mailboxes`. The same arguments give the same bytes.

    The first is the university hospital that a measuring node may play itself.
    """
    draw = random.Random(seed)  # noqa: S311 - as above
    words = _words(draw)
    sorts = [_SORTS[1], *draw.choices(_SORTS, [share for _, _, share, _ in _SORTS], k=institutions - 1)]
    weights = [size * draw.uniform(0.4, 1.6) for _, _, _, size in sorts]
    sums = list(itertools.accumulate(weights))
    ends = [round(mailboxes * total / sums[-1]) for total in sums]
    for number, (pattern, kind, _, _) in enumerate(sorts):
        town = words.towns.draw(draw)
        saint = f"{draw.choice(('Saint-', 'Sainte-', 'des ', 'du '))}{draw.choice(words.surnames.items)}"
        name = pattern.format(town=town, saint=saint)
        entry = InstitutionEntry(
            names=(name,),
            kind=kind,
            domains=(f"{_address(name)[:40].strip('.').replace('.', '-')}-{number}.example",),
            statement=0,
            region=words.regions[town],
            town=town,
        )
        node = NodeId(hashlib.sha256(f"institution {seed} {number}".encode()).digest())
        yield Institution(
            node, entry, ends[number] - (ends[number - 1] if number else 0), words, seed * 10_000 + number
        )
