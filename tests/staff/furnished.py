"""A node in which the staff finds something on each of its pages: letters, institutions, a maintainer's desk, an alarm,
a request for a disclosure, and a year of statistics.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from node.app import Node
from node.demo.statistics_scene import statistics_scene
from node.maintainer.difference import import_list
from node.maintainer.keys import OfflineKey, OnlineKeys
from node.maintainer.list_source import InstitutionFile
from node.opening import open_node
from node.setup import init_node, prepare
from node.staff.account import StaffRole
from node.trust.alarm_rows import NewAlarm
from node.vault import schema
from node.vault.access import OpenMailbox
from node.vault.database import Transaction
from node.vault.evidence_export import export_evidence
from node.vault.states import LetterFolder, OutboxState
from node.world import World
from protocol.checkpoint import Checkpoint, log_origin, sign_checkpoint
from protocol.crypto import Secret
from protocol.disclosure import Scope
from protocol.evidence_file import write_evidence_file
from protocol.feed_file import decode_feed_file
from protocol.fork_proof import ForkProof
from protocol.invite import decode_invite
from protocol.letter import LetterClass
from protocol.statement import node_digits
from tests.staff.test_maintainer import PHRASE, make_desk
from tests.web.people import people, send
from tests.web.published import made_node

__all__ = ["FIRST", "NAME", "Furnished", "furnished"]

NAME, FIRST = "camille", "premier passage"
_LIST = (
    "name,kind,region,town,telephone\nCLINIQUE DU PONT,clinic,Occitanie,Albi,05 00 00 00 00\n"
    "CENTRE HOSPITALIER ERABLE,hospital,Occitanie,Foix,\nCabinet du Gué,practice,,,\ncut,here\n"
)
"""A national list: who asks, one like the one that is endorsed, one to invite, and a bad row."""
_SETTINGS = 'listen = "127.0.0.1:0"\ncharter_file = "charter.md"\nmaintainer_desk = "../region"\n'
_YEAR_MS = 365 * 86_400_000


@dataclass(frozen=True, slots=True)
class Furnished:
    """invite, digits: of an institution that asks to be accepted. reader: whose inbox a letter that was set aside is
    for. evidence: of a letter, a file. ids: what stands in the place holders of paths.
    """

    folder: Path
    invite: str
    digits: str
    reader: OpenMailbox
    evidence: Path
    ids: dict[str, str]


async def furnished(place: Path) -> Furnished:
    """Make it in `place`. NAME is an account with all roles, whose first password is FIRST."""
    folder = await made_node(place / "node", settings=_SETTINGS)
    (folder / "charter.md").write_text("# Charte\n\n" + "Chacun garde son mot de passe pour soi.\n\n" * 30)
    async with (
        open_node(folder) as node,
        _neighbour(place / "pont", "Clinique du Pont", "pont.example") as asking,
    ):
        durand, martin = await people(node, "durand", "martin")
        await node.staff.add(NAME, frozenset(StaffRole), Secret(FIRST.encode()))
        await send(node, durand, martin.address, "Mis de côté", letter_class=LetterClass.URGENT)
        await _set_aside(node)
        async with _neighbour(place / "erable", "CH de l’Érable", "erable.example") as other:
            await _at_the_desk(place / "region", node, asking, other)
            await _alarm(node, other)
            ids = {"node": other.node_id.hex(), "request": asking.node_id.hex(), "mailbox": durand.id.hex()}
        (alarm,) = await node.database.read(node.alarm_rows.all)
        await _asked(node)
        await statistics_scene(place / "region-year", node)
        row = (await node.reading.page(durand, LetterFolder.SENT, limit=1))[0].stored.row.hex()
        evidence = place / "evidence.txt"
        evidence.write_bytes(
            write_evidence_file(await export_evidence(node.database, node.keys, node.directory, node.outbox, row))
        )
        return Furnished(
            folder=folder,
            invite=asking.invitation(),
            digits=node_digits(asking.node_id),
            reader=martin,
            evidence=evidence,
            ids={**ids, "alarm": alarm.id.hex(), "sort": "alert", "language": "fr"},
        )


@asynccontextmanager
async def _neighbour(folder: Path, name: str, domain: str) -> AsyncIterator[Node]:
    await init_node(prepare(path=folder, institution=name, domain=domain, listen="", world=World()), World())
    async with open_node(folder) as node:
        yield node


async def _set_aside(node: Node) -> None:
    def write(tx: Transaction, items: Sequence[OutboxState]) -> Sequence[None]:
        tx.connection.execute(schema.outbox.update().values(state=int(items[0])))
        return [None] * len(items)

    await node.database.write(write, OutboxState.SET_ASIDE)


async def _at_the_desk(folder: Path, node: Node, asking: Node, other: Node) -> None:
    """A maintainer whom the node trusts: one institution is endorsed for some days more, another one asks to be."""
    desk = make_desk(folder)
    offline = OfflineKey.load(folder / "offline.key", Secret(PHRASE.encode()))
    online = OnlineKeys.load(folder / "online.key", Secret(PHRASE.encode()))
    invite = decode_invite(other.invitation())
    desk.publish([desk.endorse(invite, offline, kind="hospital", region="Occitanie", days=20)], online)
    desk.requests.add(asking.invitation())
    listed = folder.with_name("list.csv")
    listed.write_text(_LIST, "utf-8")
    import_list(desk, InstitutionFile(path=listed), listed.name, node.world, lambda _bytes: None)
    await node.trust.trust(decode_feed_file(desk.feed_file))
    await node.trust.settle()


async def _alarm(node: Node, other: Node) -> None:
    """The endorsed institution signed two heads of one size."""
    origin, key = log_origin(other.node_id, 1), other.keyring.log
    heads = sorted(sign_checkpoint(Checkpoint(origin, 5, bytes([n]) * 32), key) for n in (1, 2))
    proof = ForkProof(first=heads[0], second=heads[1])
    new = NewAlarm(chain=other.keyring.chain, proof=proof, code="log_fork")
    await node.database.write(node.alarm_rows.raise_alarms, new)


async def _asked(node: Node) -> None:
    """Another auditor asks to be shown a year."""
    account = await node.staff.add("dominique", frozenset({StaffRole.AUDITOR}), Secret(FIRST.encode()))
    now_ms = node.world.now_ms()
    scope = Scope(from_ms=now_ms - _YEAR_MS, until_ms=now_ms)
    await node.disclosure_requests.ask(account.id, scope, "Plainte fictive n° 12")
