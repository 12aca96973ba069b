"""Link and code together open a letter, on both databases; nothing else does."""

from __future__ import annotations

from pathlib import Path

import pytest
import sqlalchemy as sa
import trio

from node.app import Node
from node.errors import ConfigError, LimitError, NotFoundError, RecipientError, StateError
from node.opening import open_node
from node.outside.offering import Offer
from node.outside.rows import MAX_ATTEMPTS, SESSION_MS, PickupKeys
from node.post.compose import Draft
from node.vault import schema
from node.vault.states import LetterFolder, PickupState
from node.world import World
from protocol.crypto import Secret
from protocol.errors import RemoteProtocolError
from protocol.logleaf import EventKind
from protocol.pickup import LINK_BYTES, PickupLink, code_key, grouped, open_pickup
from tests.outside.writing import PERSON, SUBJECT, TEXT, offer, writing_node
from tests.web.people import people

DAY_MS = 86_400_000
WRONG = Secret(b"22222222")


async def kinds_of(node: Node, letter: bytes, sender: object) -> list[tuple[EventKind, str, str]]:
    stored = await node.reading.find(sender, LetterFolder.SENT, letter.hex())  # type: ignore[arg-type]
    timeline = await node.timelines.timeline(stored)
    return [(event.kind, event.code, event.role) for event in timeline.events]


async def test_link_and_code_open_the_letter_and_it_is_on_record(tmp_path: Path, database_url: str) -> None:
    folder = await writing_node(tmp_path / "node", database=database_url)
    (tmp_path / "radio.pdf").write_bytes(b"%PDF-1.4 " + bytes(400_000))
    async with open_node(folder) as node:
        (sender,) = await people(node, "fictive")
        offered, key = await offer(node, sender, files=[(tmp_path / "radio.pdf", "application/pdf")], openings=2)
        assert offered.code is not None
        assert len(grouped(offered.code)) == 9
        token = await node.pickups.open(key, offered.code)
        assert token is not None
        session = await node.pickups.find(token)
        assert session is not None
        opened = await node.pickups.letter(session)
        letter = opened.content.signed.letter
        assert (letter.subject, letter.text, letter.to[0].address) == (SUBJECT, TEXT, PERSON)
        assert b"".join(opened.content.attachment_pieces(0)) == (tmp_path / "radio.pdf").read_bytes()
        await node.pickups.downloaded(session, 1)
        assert sorted(await kinds_of(node, offered.row, sender)) == [
            (EventKind.PICKUP_OFFERED, "email, shown", ""),
            (EventKind.DOWNLOADED, "1", "outsider"),
            (EventKind.PICKED_UP, "", "outsider"),
        ]
        # The second opening is the last: the box goes, the pages stay.
        assert await node.pickups.open(key, offered.code) is not None
        assert await node.pickups.open(key, offered.code) is None
        [pickup] = await node.outside.list(sender)
        assert (pickup.state, pickup.box, pickup.openings_left) == (PickupState.USED, None, 0)
        assert await node.pickups.find(token) is not None


async def test_wrong_codes_lock_at_the_fifth(tmp_path: Path, database_url: str) -> None:
    folder = await writing_node(tmp_path / "node", database=database_url)
    async with open_node(folder) as node:
        (sender,) = await people(node, "fictive")
        offered, key = await offer(node, sender)
        assert offered.code is not None
        for _ in range(MAX_ATTEMPTS - 1):
            assert await node.pickups.open(key, WRONG) is None
        assert await node.pickups.open(key, offered.code) is not None
        assert await node.pickups.open(key, WRONG) is None
        assert await node.pickups.open(key, offered.code) is None
        [pickup] = await node.outside.list(sender)
        assert (pickup.state, pickup.attempts, pickup.box) == (PickupState.LOCKED, MAX_ATTEMPTS, None)
        events = await kinds_of(node, offered.row, sender)
        assert [code for kind, code, _ in events if kind is EventKind.PICKUP_FAILED] == [
            f"{number} of 5" for number in range(1, 6)
        ]
        assert (EventKind.PICKUP_REVOKED, "attempts", "") in events


async def test_fifty_guesses_at_once_are_five(
    tmp_path: Path, database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("node.outside.opening.code_key", lambda code, salt: Secret(code.reveal().ljust(32, b"x")))
    folder = await writing_node(tmp_path / "node", database=database_url)
    async with open_node(folder) as node:
        (sender,) = await people(node, "fictive")
        _, key = await offer(node, sender)
        async with trio.open_nursery() as nursery:
            for _ in range(50):
                nursery.start_soon(node.pickups.open, key, WRONG)
        [pickup] = await node.outside.list(sender)
        assert pickup.attempts == MAX_ATTEMPTS


async def test_one_opening_left_lets_one_browser_in(tmp_path: Path, database_url: str) -> None:
    folder = await writing_node(tmp_path / "node", database=database_url)
    async with open_node(folder) as node:
        (sender,) = await people(node, "fictive")
        offered, key = await offer(node, sender, openings=1)
        assert offered.code is not None
        got: list[bytes | None] = []

        async def attempt() -> None:
            got.append(await node.pickups.open(key, offered.code or WRONG))

        async with trio.open_nursery() as nursery:
            for _ in range(4):
                nursery.start_soon(attempt)
        assert sorted(item is not None for item in got) == [False, False, False, True]


async def test_time_ends_it_and_the_page(tmp_path: Path) -> None:
    folder = await writing_node(tmp_path / "node")
    now_ms = [World().now_ms()]
    async with open_node(folder, world=World(now_ms=lambda: now_ms[0])) as node:
        (sender,) = await people(node, "fictive")
        offered, key = await offer(node, sender, days=2, openings=5)
        assert offered.code is not None
        token = await node.pickups.open(key, offered.code)
        assert token is not None
        now_ms[0] += SESSION_MS - 1
        assert await node.pickups.find(token) is not None
        now_ms[0] += 1
        assert await node.pickups.find(token) is None
        now_ms[0] = offered.expires_at_ms - 1
        assert await node.pickups.open(key, offered.code) is not None
        now_ms[0] = offered.expires_at_ms
        assert await node.pickups.open(key, offered.code) is None
        await node.outside.look(now_ms[0])
        await node.outside.look(now_ms[0] + SESSION_MS)
        [pickup] = await node.outside.list(sender)
        assert (pickup.state, pickup.box) == (PickupState.EXPIRED, None)
        assert (EventKind.PICKUP_REVOKED, "expired", "") in await kinds_of(node, offered.row, sender)
        rows = await node.database.read(lambda c: c.execute(sa.select(schema.pickup_sessions.c.id)).all())
        assert rows == []


async def test_a_revocation_closes_link_and_open_page(tmp_path: Path, database_url: str) -> None:
    folder = await writing_node(tmp_path / "node", database=database_url)
    async with open_node(folder) as node:
        sender, other = await people(node, "fictive", "exemple")
        offered, key = await offer(node, sender)
        assert offered.code is not None
        token = await node.pickups.open(key, offered.code)
        assert token is not None
        session = await node.pickups.find(token)
        assert session is not None
        with pytest.raises(NotFoundError):
            await node.outside.revoke(other, offered.row)
        await node.outside.revoke(sender, offered.row)
        assert await node.pickups.find(token) is None
        assert await node.pickups.open(key, offered.code) is None
        with pytest.raises(StateError):
            await node.pickups.downloaded(session, 1)
        with pytest.raises(StateError):
            await node.pickups.answer(await node.pickups.letter(session), text="Merci")
        with pytest.raises(StateError):
            await node.outside.revoke(sender, offered.row)
        # The e-mail that had not left leaves no more.
        assert await node.database.read(node.alerts.due, node.world.now_ms(), 10) == []


async def test_openings_and_a_revocation_at_once_leave_nothing_open(tmp_path: Path, database_url: str) -> None:
    folder = await writing_node(tmp_path / "node", database=database_url)
    async with open_node(folder) as node:
        (sender,) = await people(node, "fictive")
        offered, key = await offer(node, sender, openings=20)
        assert offered.code is not None
        tokens: list[bytes | None] = []

        async def attempt() -> None:
            tokens.append(await node.pickups.open(key, offered.code or WRONG))

        async with trio.open_nursery() as nursery:
            for number in range(6):
                nursery.start_soon(attempt)
                if number == 3:
                    nursery.start_soon(node.outside.revoke, sender, offered.row)
        for token in tokens:
            assert token is None or await node.pickups.find(token) is None


async def test_link_alone_code_alone_and_the_whole_database_with_one_of_them_open_nothing(tmp_path: Path) -> None:
    folder = await writing_node(tmp_path / "node")
    async with open_node(folder) as node:
        (sender,) = await people(node, "fictive")
        offered, key = await offer(node, sender)
        assert offered.code is not None
        assert await node.pickups.open(Secret(bytes(LINK_BYTES)), offered.code) is None
        # Everything that the node itself can open of its database, its data key included.
        row = node.outside.rows.id_of(PickupLink.of(key, node.node_id).name)
        pickup = await node.database.read(node.outside.rows.find, row)
        assert pickup is not None
        assert pickup.box is not None
        assert pickup.salt is not None
        right = code_key(offered.code, pickup.salt)
        link = PickupLink.of(key, node.node_id)
        for tried_link, tried_code in (
            (link, code_key(WRONG, pickup.salt)),
            (link, Secret(bytes(32))),
            (PickupLink.of(Secret(bytes(LINK_BYTES)), node.node_id), right),
            (PickupLink(link.name, Secret(link.name)), right),
        ):
            with pytest.raises(RemoteProtocolError) as caught:
                open_pickup(pickup.box, link=tried_link, code=tried_code, node=node.node_id, letter=pickup.letter_id)
            assert caught.value.reason.value == "bad_commitment"
        payload_key = open_pickup(pickup.box, link=link, code=right, node=node.node_id, letter=pickup.letter_id)
        token = await node.pickups.open(key, offered.code)
        assert token is not None
        # The e-mail leaves: from then on the link is nowhere, sealed or not; the code never was.
        [alert] = await node.database.read(node.alerts.due, node.world.now_ms(), 10)
        assert await node.database.write(node.alerts.mark_sent, alert)
        opened_up = await node.database.read(everything_opened, node)
        for secret in (key, offered.code, payload_key, right, Secret(token), link.half):
            assert secret.reveal() not in opened_up
        assert PERSON.encode() in opened_up  # what is looked through is really opened
        files = b"".join(path.read_bytes() for path in folder.rglob("*") if path.is_file())
        for told in (key.reveal(), offered.code.reveal(), SUBJECT.encode(), TEXT.encode(), PERSON.encode()):
            assert told not in files
        # With the database and the link, a page's row still needs the cookie.
        keys = PickupKeys.of(bytes(32), node.node_id)
        assert await node.database.read(node.outside.rows.session, keys, node.world.now_ms()) is None


def everything_opened(connection: sa.Connection, node: Node) -> bytes:
    """All sealed columns of these tables, opened with the data key."""
    found = []
    for table in (schema.pickups, schema.pickup_sessions, schema.alerts, schema.letters):
        for row in connection.execute(sa.select(table.c.id, table.c.sealed)):
            found.append(node.keys.open(table.name, row.id, "sealed", row.sealed))
    for row in connection.execute(sa.select(schema.node_state.c.name, schema.node_state.c.sealed)):
        found.append(node.keys.open("node_state", row.name.encode(), "sealed", row.sealed))
    leaves = schema.log_leaves
    found += [row.sealed or b"" for row in connection.execute(sa.select(leaves.c.sealed))]
    return b"".join(found)


async def test_what_cannot_be_offered(tmp_path: Path) -> None:
    folder = await writing_node(tmp_path / "node")
    async with open_node(folder) as node:
        sender, _ = await people(node, "fictive", "exemple")

        def draft(*to: str) -> Draft:
            return Draft(sender=sender, to=to, subject=SUBJECT, text=TEXT)

        for error, given in (
            (StateError, Offer(draft=draft("exemple@hopital.example"))),
            (RecipientError, Offer(draft=draft("pas une adresse"))),
            (ConfigError, Offer(draft=draft(PERSON, "autre@courriel.example"))),
            (LimitError, Offer(draft=draft(PERSON), days=31)),
            (LimitError, Offer(draft=draft(PERSON), openings=0)),
            (ConfigError, Offer(draft=draft(PERSON), number="+33600000000")),
            (ConfigError, Offer(draft=draft(PERSON), language="de")),
        ):
            with pytest.raises(error):
                await node.outside.offer(given)
        assert await node.reading.page(sender, LetterFolder.SENT) == []
        assert await node.outside.list(sender) == []


async def test_erasing_the_letter_takes_all_that_tells_of_it(tmp_path: Path, database_url: str) -> None:
    folder = await writing_node(tmp_path / "node", database=database_url)
    file = folder / "coffre.toml"
    file.write_text(file.read_text().replace("trash_days = 30", "trash_days = 1"))
    now_ms = [World().now_ms()]
    async with open_node(folder, world=World(now_ms=lambda: now_ms[0])) as node:
        (sender,) = await people(node, "fictive")
        offered, key = await offer(node, sender)
        assert offered.code is not None
        assert await node.pickups.open(key, offered.code) is not None
        stored = await node.reading.find(sender, LetterFolder.SENT, offered.row.hex())
        await node.trash.delete(sender, stored)
        now_ms[0] += 2 * DAY_MS
        await node.retention.look()
        for table in (schema.pickups, schema.pickup_sessions, schema.alerts, schema.letters, schema.payloads):
            rows = await node.database.read(lambda c, t=table: c.execute(sa.select(t.c.id)).all())
            assert rows == [], table.name
        assert await node.pickups.open(key, offered.code) is None
