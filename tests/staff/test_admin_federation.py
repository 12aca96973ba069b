"""An administrator's work with other institutions: invitations, maintainers, relays, the outbox, alarms."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from html import unescape
from pathlib import Path

from node.app import Node
from node.maintainer.desk import Desk
from node.maintainer.keys import OnlineKeys
from node.opening import open_node
from node.post.waiting import list_waiting
from node.setup import init_node, prepare
from node.staff.account import StaffRole
from node.trust.alarm_rows import NewAlarm
from node.world import World
from protocol.checkpoint import Checkpoint, log_origin, sign_checkpoint
from protocol.crypto import Secret
from protocol.entry import MaintainerEntry
from protocol.fork_proof import ForkProof
from protocol.invite import decode_invite
from protocol.logleaf import EventKind
from protocol.statement import node_digits
from tests.staff.colleagues import confirm, done_by, events, logged_in, press, send_file
from tests.web.people import people, send
from tests.web.published import made_node

ADMINISTRATOR = StaffRole.ADMINISTRATOR
INSTITUTIONS, TRUST, RELAYS = "/staff/admin/institutions", "/staff/admin/trust", "/staff/admin/relays"
OUTBOX, ALARMS = "/staff/admin/outbox", "/staff/admin/alarms"


@asynccontextmanager
async def neighbour(folder: Path) -> AsyncIterator[Node]:
    """Another institution's node."""
    new = prepare(path=folder, institution="Clinique du <Pont>", domain="pont.example", listen="", world=World())
    await init_node(new, World())
    async with open_node(folder) as node:
        yield node


async def test_an_institution_is_accepted_once_its_digits_were_typed(tmp_path: Path, database_url: str) -> None:
    async with (
        open_node(await made_node(tmp_path / "node", database=database_url)) as node,
        neighbour(tmp_path / "other") as other,
        logged_in(node, ADMINISTRATOR) as client,
    ):
        page = f"{INSTITUTIONS}/accept"
        asked = await press(client, page, page, invite=other.invitation())
        assert "Clinique du &lt;Pont&gt;" in asked.text
        # The digits are not on the page: who only copies has not telephoned.
        digits = node_digits(other.node_id)
        assert digits not in asked.text
        form = {"invite": other.invitation(), "confirmed": "yes"}
        for wrong in ("", "12345", node_digits(node.node_id)):
            answer = await press(client, page, page, **form, digits=wrong)
            assert answer.status_code == 409, wrong
        assert await node.database.read(node.peers.all) == []
        answer = await press(client, page, page, **form, digits=digits)
        assert answer.headers["location"].endswith("done=accepted")
        table = await client.get(INSTITUTIONS)
        assert "Clinique du &lt;Pont&gt;" in table.text
        assert digits in table.text
        asked = await press(client, INSTITUTIONS, f"{INSTITUTIONS}/{other.node_id.hex()}/remove")
        assert [peer.status for peer in await node.database.read(node.peers.all)] == ["accepted"]
        await confirm(client, asked)
        assert [peer.status for peer in await node.database.read(node.peers.all)] == ["removed"]
        for odd in ("", "no invitation", node.invitation()):
            assert (await press(client, page, page, invite=odd)).status_code in (409, 422)
        record = await done_by(node, "administrator")
    assert [kind for kind, _ in record] == [EventKind.PEER_ACCEPTED, EventKind.PEER_REMOVED]


async def test_the_own_invitation_is_handed_out(tmp_path: Path) -> None:
    async with (
        open_node(await made_node(tmp_path / "node")) as node,
        logged_in(node, ADMINISTRATOR) as client,
    ):
        page = f"{INSTITUTIONS}/invitation"
        assert node_digits(node.node_id) in (await client.get(page)).text
        file = await press(client, page, page)
        assert decode_invite(file.text.strip()).domain == "hopital.example"
        found = await press(client, f"{INSTITUTIONS}/found", f"{INSTITUTIONS}/found")
        assert found.status_code == 200
        assert await done_by(node, "administrator") == [(EventKind.STAFF_ACTED, "invitation handed out")]


async def test_a_maintainer_is_trusted_and_no_longer(tmp_path: Path) -> None:
    passphrase = Secret(b"a maintainer's passphrase")
    entry = MaintainerEntry(names=("Région des <Tilleuls>",), region="Occitanie")
    desk = Desk.create(tmp_path / "desk", entry, passphrase, recovery_file=tmp_path / "key", world=World())
    desk.publish([], OnlineKeys.load(tmp_path / "desk" / "online.key", passphrase))
    async with (
        open_node(await made_node(tmp_path / "node")) as node,
        logged_in(node, ADMINISTRATOR) as client,
    ):
        answer = await send_file(client, TRUST, f"{TRUST}/add", desk.feed_file, digits=node_digits(node.node_id))
        assert answer.status_code == 409
        for data in (b"", b"no feed"):
            answer = await send_file(client, TRUST, f"{TRUST}/add", data, digits="1" * 30)
            assert answer.status_code in (409, 422)
        digits = node_digits(desk.chain.node_id)
        answer = await send_file(client, TRUST, f"{TRUST}/add", desk.feed_file, digits=digits)
        assert answer.headers["location"].endswith("done=trusted"), answer.text
        assert "Région des &lt;Tilleuls&gt;" in (await client.get(TRUST)).text
        answer = await send_file(client, TRUST, f"{TRUST}/import", desk.feed_file)
        assert answer.headers["location"].endswith("done=nothing")
        asked = await press(client, TRUST, f"{TRUST}/{desk.chain.node_id.hex()}/remove")
        await confirm(client, asked)
        (maintainer,) = await node.database.read(node.trust.maintainers.all)
        assert maintainer.status == "distrusted"
        kinds = [kind for kind, _ in await done_by(node, "administrator")]
    assert kinds == [EventKind.MAINTAINER_TRUSTED, EventKind.STAFF_ACTED, EventKind.MAINTAINER_DISTRUSTED]


async def test_relays_are_named_and_clients_admitted(tmp_path: Path) -> None:
    async with (
        open_node(await made_node(tmp_path / "node")) as node,
        neighbour(tmp_path / "other") as other,
        logged_in(node, ADMINISTRATOR) as client,
    ):
        assert 'name="peer"' not in (await client.get(RELAYS)).text  # accept an institution first
        await node.database.write(node.peers.accept, decode_invite(other.invitation()))
        peer = {"peer": other.node_id.text}
        await press(client, RELAYS, f"{RELAYS}/use", **peer)
        await press(client, RELAYS, f"{RELAYS}/admit", **peer, letters="10", size="50 Mo", days="3")
        (admitted,) = await node.database.read(node.relay_clients.all)
        assert (admitted.admission.quota_letters, admitted.admission.quota_bytes) == (10, 50 << 20)
        for wrong in ({"days": "31"}, {"letters": "0"}, {"size": "x"}, {"size": "50"}, {"size": "0 GB"}):
            form = {**peer, "letters": "10", "size": "50 MB", "days": "3", **wrong}
            assert (await press(client, RELAYS, f"{RELAYS}/admit", **form)).status_code == 409
        for what in ("remove", "leave"):
            asked = await press(client, RELAYS, f"{RELAYS}/{other.node_id.hex()}/{what}")
            await confirm(client, asked)
        assert await node.database.read(node.relay_clients.all) == []
        kinds = [kind for kind, _ in await done_by(node, "administrator")]
    assert kinds.count(EventKind.RELAY_ADMITTED) == kinds.count(EventKind.RELAY_REMOVED) == 1


async def test_a_stuck_letter_is_tried_again_and_given_up(tmp_path: Path, database_url: str) -> None:
    folder = await made_node(tmp_path / "node", database=database_url)
    async with open_node(folder) as node, logged_in(node, ADMINISTRATOR) as client:
        assert "outbox/retry" not in (await client.get(OUTBOX)).text
        durand, martin = await people(node, "durand", "martin")
        await send(node, durand, martin.address, "Dossier de Mme Fictive")
        (waiting,) = await list_waiting(node.database, node.outbox, node.peers, node.node_id)
        page = await client.get(OUTBOX)
        assert waiting.row.hex()[:12] in page.text
        # Where it goes, why, until when: nothing of the letter, nor whose it is.
        for secret in ("Fictive", durand.address, martin.address):
            assert secret not in page.text
        one = f"{OUTBOX}/{waiting.row.hex()}"
        assert (await press(client, OUTBOX, f"{one}/retry")).status_code == 303
        assert (await press(client, OUTBOX, f"{OUTBOX}/retry")).status_code == 303
        asked = await press(client, OUTBOX, f"{one}/give-up")
        assert len(await list_waiting(node.database, node.outbox, node.peers, node.node_id)) == 1
        await confirm(client, asked)
        assert await list_waiting(node.database, node.outbox, node.peers, node.node_id) == []
        assert (await press(client, OUTBOX, f"{one}/give-up", confirmed="yes")).status_code == 404
        leaves = await events(node)
        record = await done_by(node, "administrator")
    refused = [details for kind, details in leaves if kind is EventKind.REFUSED]
    # In the letter's evidence: what happened, and no name of who works here.
    assert [(details.code, details.staff) for details in refused] == [("given_up", None)]
    assert record == [
        (EventKind.OUTBOX_RETRIED, "1 letters"),
        (EventKind.OUTBOX_RETRIED, "1 letters"),
        (EventKind.STAFF_ACTED, "letter given up"),
    ]


async def test_an_alarm_is_read_and_ended(tmp_path: Path) -> None:
    async with (
        open_node(await made_node(tmp_path / "node")) as node,
        neighbour(tmp_path / "other") as other,
        logged_in(node, ADMINISTRATOR) as client,
    ):
        await node.database.write(node.peers.accept, decode_invite(other.invitation()))
        origin, key = log_origin(other.node_id, 1), other.keyring.log
        heads = sorted(sign_checkpoint(Checkpoint(origin, 5, bytes([n]) * 32), key) for n in (1, 2))
        chain = other.keyring.chain
        await node.database.write(
            node.alarm_rows.raise_alarms,
            NewAlarm(chain=chain, proof=ForkProof(first=heads[0], second=heads[1]), code="log_fork"),
        )
        (alarm,) = await node.database.read(node.alarm_rows.all)
        one = f"{ALARMS}/{alarm.id.hex()}"
        assert one in (await client.get(ALARMS)).text
        assert one in (await client.get(INSTITUTIONS)).text
        page = await client.get(one)
        assert node_digits(other.node_id) in page.text
        proof = await client.get(f"{one}/proof")
        assert proof.content == alarm.file
        assert (await press(client, one, f"{one}/clear", follow="other", reason="x")).status_code == 409
        asked = await press(client, one, f"{one}/clear", follow="held", reason="Sauvegarde <restaurée>")
        await confirm(client, asked)
        (alarm,) = await node.database.read(node.alarm_rows.all)
        assert not alarm.is_open
        assert "Sauvegarde <restaurée>" in unescape((await client.get(one)).text)
        record = await done_by(node, "administrator")
    assert record == [(EventKind.FORK_CLEARED, "held: Sauvegarde <restaurée>")]
