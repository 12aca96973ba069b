"""The vault on SQLite and on PostgreSQL: one schema, one behaviour, nothing readable at rest.

Spec: spec/delivery.md, 8 and 9.
"""

from __future__ import annotations

import base64
from collections.abc import Iterator
from pathlib import Path

import pytest
import sqlalchemy as sa
import trio

from node.errors import LockedError, StoreError, WrongSecretError
from node.recovery_files import read_recovery_file
from node.vault import schema
from node.vault.database import Transaction
from node.vault.states import DeliveryState
from protocol.checkpoint import CheckpointVerifier
from protocol.crypto import Secret
from protocol.details import Details
from protocol.evidence import Evidence, verify_evidence
from protocol.logleaf import EventKind
from tests.post.harness import PASSWORD, Federation, Institution, settled


async def lone(federation: Federation, database_url: str) -> Institution:
    """One institution on the given database with two people."""
    institution = await federation.make("a", database=database_url)
    await institution.add("anna")
    await institution.add("alma")
    return institution


async def test_letter_between_own_mailboxes(
    autojump_clock: trio.testing.MockClock, tmp_path: Path, database_url: str
) -> None:
    async with Federation.opened(tmp_path) as federation:
        a = await lone(federation, database_url)
        await a.start()
        document = tmp_path / "document.bin"
        document.write_bytes(bytes(range(256)) * 4000)
        letter = await a.send("anna", "alma@a.example", subject="Interne", files=[document])
        await settled()
        assert await a.states("anna", letter) == [DeliveryState.DEPOSITED]
        opened = await a.read("alma", letter)
        saved = opened.content.save_attachment(0, tmp_path / "a", lambda _done: None)
        assert saved.read_bytes() == document.read_bytes()
        await settled()
        assert await a.states("anna", letter) == [DeliveryState.OPENED]


async def test_passwords_throttle_lock_change_and_recover(
    autojump_clock: trio.testing.MockClock, tmp_path: Path, database_url: str
) -> None:
    async with Federation.opened(tmp_path) as federation:
        a = await lone(federation, database_url)
        boxes, wrong = a.node.mailboxes, Secret(b"wrong password")
        for _ in range(4):
            with pytest.raises(WrongSecretError):
                await boxes.open("anna@a.example", wrong)
        with pytest.raises(LockedError):
            await boxes.open("anna@a.example", wrong)
        with pytest.raises(LockedError):
            await boxes.open("anna@a.example", PASSWORD)
        await trio.sleep(61)
        opened = await boxes.open("anna@a.example", PASSWORD)
        await boxes.change_password(opened, Secret(b"another password"))
        with pytest.raises(WrongSecretError):
            await boxes.open("anna@a.example", PASSWORD)
        await boxes.open("anna@a.example", Secret(b"another password"))
        key = read_recovery_file(tmp_path / "a.recovery" / "mailbox-recovery.key")
        recovered = await a.node.mailbox_recovery.recover("anna@a.example", key, Secret(b"a third password"))
        assert recovered.secrets.sign == opened.secrets.sign
        kinds = await a.node.database.read(log_kinds)
        for kind in (
            EventKind.LOGIN_FAILED,
            EventKind.MAILBOX_LOCKED,
            EventKind.PASSWORD_CHANGED,
            EventKind.MAILBOX_RECOVERED,
        ):
            assert kind in kinds


def log_kinds(connection: sa.Connection) -> list[EventKind]:
    rows = connection.execute(sa.select(schema.log_leaves.c.leaf)).scalars()
    return [EventKind(int.from_bytes(leaf[1:3], "big")) for leaf in rows]


async def test_every_leaf_of_a_long_log_is_proved(
    autojump_clock: trio.testing.MockClock, tmp_path: Path, database_url: str
) -> None:
    async with Federation.opened(tmp_path) as federation:
        a = await lone(federation, database_url)
        node = a.node
        evidence: list[Evidence] = []

        def append(tx: Transaction, items: object) -> list[object]:
            from node.vault.database import AfterCommit

            refs = [tx.log.append(EventKind.STARTED, Details(node=node.node_id)) for _ in items]  # type: ignore[attr-defined]
            return [AfterCommit(lambda ref=ref: tx.log.evidence_of(ref)) for ref in refs]  # type: ignore[misc]

        for size in (1, 2, 255, 256, 257, 300):
            evidence += await node.database.write_many(append, list(range(size)))  # type: ignore[arg-type]
        verifier = CheckpointVerifier(node.node_id, node.keyring.chain.log_keys())
        indexes = {verify_evidence(item, verifier).index for item in evidence}
        assert len(indexes) == len(evidence) == 1071


async def test_one_bad_item_harms_no_other(
    autojump_clock: trio.testing.MockClock, tmp_path: Path, database_url: str
) -> None:
    async with Federation.opened(tmp_path) as federation:
        a = await lone(federation, database_url)

        def write(tx: Transaction, items: list[int]) -> list[int]:
            for item in items:
                tx.connection.execute(
                    schema.seen_envelopes.insert().values(id=bytes([item]) * 16, kept_until_ms=1, sealed=b"")
                )
                if item == 3:
                    raise StoreError("item 3")
            return items

        failed = []

        async def one(item: int) -> None:
            try:
                await a.node.database.write(write, item)  # type: ignore[arg-type]
            except StoreError:
                failed.append(item)

        async with trio.open_nursery() as nursery:
            for item in range(6):
                nursery.start_soon(one, item)
        assert failed == [3]
        count = await a.node.database.read(
            lambda connection: connection.execute(
                sa.select(sa.func.count()).select_from(schema.seen_envelopes)
            ).scalar_one()
        )
        assert count == 5


def everything(institution: Institution, folder: Path) -> Iterator[tuple[str, bytes]]:
    """All bytes that a thief of disk and database has."""
    for path in sorted(folder.rglob("*")):
        if path.is_file():
            yield path.name, path.read_bytes()
    with institution.node.database.engines.reader.connect() as connection:
        for name, table in schema.metadata.tables.items():
            for row in connection.execute(sa.select(table)):
                for value in row:
                    yield name, value if isinstance(value, bytes) else str(value).encode()


async def test_nothing_of_a_letter_is_readable_at_rest(
    autojump_clock: trio.testing.MockClock, tmp_path: Path, database_url: str
) -> None:
    async with Federation.opened(tmp_path) as federation:
        a, b = await federation.make("a", database=database_url), await federation.make("b")
        await a.add("anna")
        await b.add("bruno")
        await federation.acquaint()
        await federation.start()
        await settled()
        marks = [b"SUBJECT-7f3a", b"TEXT-91bc", b"ATTACHED-55de" * 40, b"NAME-0c1d.txt"]
        document = tmp_path / marks[3].decode()
        document.write_bytes(marks[2] * 20_000)
        letter = await a.send(
            "anna", "bruno@b.example", subject=marks[0].decode(), text=marks[1].decode(), files=[document]
        )
        await settled()
        await b.read("bruno", letter)
        await settled()
        keyring, people = a.node.keyring, a.people["anna"].secrets
        secrets = [
            keyring.identity.reveal(),
            keyring.link.reveal(),
            keyring.log.reveal(),
            keyring.data_key.reveal(),
            keyring.index_key.reveal(),
            keyring.seal[0].secret.reveal()[:32],
            people.sign.reveal(),
            people.read.reveal()[:32],
        ]
        forbidden = [*marks, bytes(letter.letter_id)]
        for raw in secrets:
            forbidden += [raw, raw.hex().encode(), base64.b64encode(raw).rstrip(b"=")]
        for place, content in everything(a, tmp_path / "a"):
            for secret in forbidden:
                assert secret not in content, f"{secret[:20]!r} in {place}"
        # Who wrote to whom: neither the peer nor the recipient's mailbox stands in any row of a letter.
        named = [bytes(b.node.node_id), bytes(b.people["bruno"].id), b"bruno@b.example"]
        of_letters = {"letters", "outbox", "deliveries", "peer_evidence", "returns", "payloads", "log_leaves", "alerts"}
        for place, content in everything(a, tmp_path / "nothing"):
            if place in of_letters | {"seen_envelopes", "seen_deliveries"}:
                assert not any(item in content for item in named), place
