"""A year of the region for the demo: fictional institutions whose totals are signed, carried and added up as real ones.

Each was made a year ago by its own clock, publishes a month after the other through its feed, and hands the hospital a
bundle with it. Only the counts themselves are invented (node/demo/synthetic_months.py).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

from directory_sync.words import fold
from node.app import Node
from node.demo.synthetic_months import SEED, Growth, synthetic_months
from node.errors import StateError
from node.exchange import bundle_reader, bundle_writer
from node.opening import open_node
from node.setup import init_node, prepare
from node.staff.account import StaffRole
from node.statistics.months import MonthRange, month_at, month_end_ms
from node.vault.database import Transaction
from node.vault.directory import Directory
from node.world import World
from protocol.crypto import SealSecret, Secret, SigningSecret
from protocol.entry import Accepts, MailboxEntry, MailboxKind
from protocol.ids import MailboxId
from protocol.invite import decode_invite

__all__ = ["STAFF_NAME", "STAFF_PASSWORD", "statistics_scene"]

STAFF_NAME: Final = "administration"
STAFF_PASSWORD: Final = "demo-first-password"
_MONTHS: Final = 12
_DAY_MS: Final = 86_400_000
_SETTLED_MS: Final = 3 * _DAY_MS


@dataclass(frozen=True, slots=True)
class _Member:
    name: str
    domain: str
    kind: str
    region: str
    growth: Growth


_REGION: Final = (
    _Member("CH de la Rivière-aux-Cygnes", "cygnes.example", "hospital", "Val-Imaginaire", Growth(420, 9200, 60)),
    _Member("Clinique des Trois-Vallons", "vallons.example", "clinic", "Val-Imaginaire", Growth(160, 4100, 40)),
    _Member("CH du Mont-Fictif", "mont.example", "hospital", "Fictivie", Growth(190, 2600, 40)),
    _Member("Hôpital de l’Étoile-Bleue", "etoile.example", "hospital", "Outre-Songe", Growth(90, 1300, 30)),
)


@dataclass(slots=True)
class _Clock:
    now_ms: int

    def read(self) -> int:
        return self.now_ms


async def statistics_scene(folder: Path, hospital: Node) -> str:
    """Fill the hospital with a year of counts and the region's published totals, and make an account to see them with.

    folder: for the institutions' own folders. Returns what to tell. StateError if what arrives is not what was signed.
    """
    now_ms = hospital.world.now_ms()
    running = month_at(now_ms, hospital.statistics.zone)
    months = MonthRange(running - _MONTHS, running - 1)
    shares = {"cygnes.example": 0.55, "vallons.example": 0.25, "mont.example": 0.17, "etoile.example": 0.03}
    partners: dict[str, tuple[str, float]] = {}
    for seed, member in enumerate(_REGION, SEED + 1):
        node_id = await _member(folder, member, months, hospital, seed)
        partners[node_id] = (fold(member.region), shares[member.domain])
    own = synthetic_months(months.months, Growth(230, 5200, 40), partners)
    await hospital.database.write_many(hospital.statistics.rows.put, list(own.items()))
    seen = await hospital.statistics.regional(months)
    if sum(territory.institutions for territory in seen.territories) != len(_REGION):
        raise StateError("the region's totals did not all arrive")
    await hospital.staff.add(STAFF_NAME, frozenset(StaffRole), Secret(STAFF_PASSWORD.encode()))
    first, last = seen.months[0], seen.months[-1]
    return (
        f"a year of invented counts: {len(_REGION)} institutions of three territories published {len(seen.months)} "
        f"months each, signed; {seen.total(first).letters} letters in {first}, {seen.total(last).letters} in {last}"
    )


async def _member(folder: Path, member: _Member, months: MonthRange, hospital: Node, seed: int) -> str:
    """One institution: made a year ago, grown, published, and carried to the hospital by hand."""
    clock = _Clock(month_end_ms(months.first) - 20 * _DAY_MS)
    world = World(now_ms=clock.read)
    place = folder / member.domain
    new = prepare(path=place, institution=member.name, domain=member.domain, kind=member.kind, world=world)
    await init_node(new, world)
    settings = place / "coffre.toml"
    settings.write_text(settings.read_text("utf-8").replace("publish = false", "publish = true"), encoding="utf-8")
    async with open_node(place, world=world) as node:
        await node.database.write(_publish_directory, (node.directory, member))
        counts = synthetic_months(months.months, member.growth, {}, seed=seed)
        for month, made in counts.items():
            await node.database.write(node.statistics.rows.put, (month, made))
            clock.now_ms = month_end_ms(month) + _SETTLED_MS
            await node.statistics.publisher.publish_due()
        clock.now_ms = hospital.world.now_ms()
        await node.database.write(node.peers.accept, decode_invite(hospital.invitation()))
        await hospital.database.write(hospital.peers.accept, decode_invite(node.invitation()))
        peer = await node.database.read(node.peers.find, hospital.settings.domain)
        bundle = folder / f"{member.domain}.coffre"
        await bundle_writer(node).write(bundle, [peer])
        report = await bundle_reader(hospital).read(bundle)
        if report.broken:
            raise StateError(f"the bundle of {member.name} could not be read to its end")
        return node.node_id.text


def _publish_directory(tx: Transaction, items: Sequence[tuple[Directory, _Member]]) -> Sequence[None]:
    """The institution with its region, and an entry for each of its people."""
    for directory, member in items:
        entry = directory.institution(tx.connection, directory.node_id)
        directory.publish_institution(tx, replace(entry, region=member.region))
        random_bytes = tx.world.random_bytes
        directory.publish_mailboxes(
            tx,
            [
                MailboxEntry(
                    mailbox=MailboxId(random_bytes(16)),
                    kind=MailboxKind.PERSON,
                    address=f"medecin{number}@{member.domain}",
                    name=f"Dr Fictif {number}",
                    signing_key=SigningSecret(random_bytes(32)).verify_key,
                    seal_key=SealSecret(random_bytes(96)).seal_key,
                    accepts=Accepts(2**31),
                )
                for number in range(1, member.growth.people + 4)
            ],
        )
    return [None] * len(items)
