"""The maintainer's pages: requests, endorsing with the digits, signing elsewhere by a file, revoking, publishing."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import httpx2
import pytest

from node.app import Node
from node.errors import StateError
from node.maintainer.desk import Desk
from node.maintainer.keys import OfflineKey, OnlineKeys
from node.maintainer.signed_file import encode_signed
from node.maintainer.task_file import RevokeTask, decode_tasks, encode_tasks, sign_task
from node.opening import open_node
from node.setup import init_node, prepare
from node.staff.account import StaffRole
from node.world import World
from protocol.crypto import Secret
from protocol.entry import Act, MaintainerEntry, RevocationReason
from protocol.errors import RemoteProtocolError
from protocol.feed_file import decode_feed_file
from protocol.ids import NodeId
from protocol.logleaf import EventKind
from protocol.statement import node_digits
from tests.staff.colleagues import ORIGIN, events, logged_in, press
from tests.web.people import form_token
from tests.web.published import made_node

PHRASE = "phrase du mainteneur"
REQUESTS, INSTITUTIONS = "/staff/maintainer/requests", "/staff/maintainer/institutions"
PUBLISH = "/staff/maintainer/publish"
SETTINGS = 'maintainer_desk = "../region"\n'


def make_desk(path: Path, name: str = "Région des Tilleuls") -> Desk:
    """A maintainer's folder."""
    entry = MaintainerEntry(names=(name,), region="Occitanie")
    recovery = path.with_name(f"{path.name}.recovery")
    return Desk.create(path, entry, Secret(PHRASE.encode()), recovery_file=recovery, world=World())


async def neighbour(tmp_path: Path) -> tuple[str, str, str]:
    """Another institution's invitation, its 30 digits, and its id as paths have it."""
    new = prepare(
        path=tmp_path / "pont", institution="Clinique du Pont", domain="pont.example", listen="", world=World()
    )
    await init_node(new, World())
    async with open_node(tmp_path / "pont") as node:
        return node.invitation(), node_digits(node.node_id), node.node_id.hex()


@asynccontextmanager
async def at_the_desk(tmp_path: Path) -> AsyncIterator[tuple[Node, httpx2.AsyncClient]]:
    """A node that trusts the maintainer whose desk it serves, and the maintainer's browser."""
    desk = make_desk(tmp_path / "region")
    async with open_node(await made_node(tmp_path / "node", settings=SETTINGS)) as node:
        await node.trust.trust(decode_feed_file(desk.feed_file))
        async with logged_in(node, StaffRole.MAINTAINER) as client:
            client.headers["Accept-Language"] = "en"
            yield node, client


async def add(client: httpx2.AsyncClient, invite: str) -> httpx2.Response:
    """Keep a request."""
    form = {"csrf": form_token((await client.get(REQUESTS)).text), "invite": invite}
    return await client.post(REQUESTS, data=form, files={"file": ("", b"")}, headers=ORIGIN)


async def upload(client: httpx2.AsyncClient, data: bytes) -> httpx2.Response:
    """Bring a signed file."""
    form = {"csrf": form_token((await client.get(PUBLISH)).text)}
    return await client.post(PUBLISH, data=form, files={"file": ("signed", data)}, headers=ORIGIN)


def standing(tmp_path: Path) -> Act:
    """What the feed says of the only institution in it."""
    return Desk.open(tmp_path / "region", World()).standings()[0].act


async def test_an_institution_is_endorsed_here_and_revoked(tmp_path: Path) -> None:
    invite, digits, other = await neighbour(tmp_path)
    async with at_the_desk(tmp_path) as (node, client):
        assert (await add(client, "no invitation")).status_code == 422
        assert (await add(client, invite)).headers["location"] == f"{REQUESTS}?done=added"
        page = await client.get(f"{REQUESTS}/{other}")
        assert "Clinique du Pont" in page.text
        assert digits not in page.text
        form = {"kind": "hospital", "region": "Occitanie", "days": "20", "how": "here", "passphrase": PHRASE}
        one = f"{REQUESTS}/{other}"
        for wrong in ({"digits": "0" * 30}, {"digits": "12"}, {"digits": digits, "passphrase": "other"}):
            assert (await press(client, one, f"{one}/endorse", **(form | wrong))).status_code == 409
        answer = await press(client, one, f"{one}/endorse", **form, digits=digits)
        assert answer.headers["location"] == f"{REQUESTS}?done=published"
        assert standing(tmp_path) is Act.ENDORSE
        # It reached the node: whoever trusts the maintainer accepts the institution.
        await node.trust.settle()
        assert [peer.domain for peer in await node.database.read(node.peers.accepted)] == ["pont.example"]
        page = await client.get(INSTITUTIONS)
        assert "1 ends within 30 days" in page.text
        answer = await press(
            client, INSTITUTIONS, f"{INSTITUTIONS}/renew", node=other, days="300", how="here", passphrase=PHRASE
        )
        assert answer.status_code == 303
        assert "ends within" not in (await client.get(INSTITUTIONS)).text
        # Revoking asks first, and what was asked changes nothing.
        one = f"{INSTITUTIONS}/{other}"
        question = await press(client, one, f"{one}/revoke", reason="compromised")
        assert "Revoke Clinique du Pont?" in question.text
        assert standing(tmp_path) is Act.ENDORSE
        form = {"csrf": form_token(question.text), "reason": "compromised", "confirmed": "yes", "passphrase": PHRASE}
        assert (await client.post(f"{one}/revoke", data=form, headers=ORIGIN)).status_code == 303
        assert standing(tmp_path) is Act.REVOKE
        await node.trust.settle()
        assert await node.database.read(node.peers.accepted) == []
        account = (await node.staff.find("maintainer")).id
        said = [said for kind, said in await events(node) if kind is EventKind.STAFF_ACTED]
    assert {item.staff for item in said} == {account}
    codes = [re.sub(r" [a-z2-7]{16}$", "", item.code or "") for item in said]
    assert codes == [
        "maintainer: request kept",
        *("maintainer: endorse", "maintainer: published 1"),
        *("maintainer: renew", "maintainer: published 1"),
        *("maintainer: revoke", "maintainer: published 1"),
    ]


async def test_the_offline_key_signs_elsewhere(tmp_path: Path) -> None:
    invite, digits, other = await neighbour(tmp_path)
    async with at_the_desk(tmp_path) as (_, client):
        elsewhere = tmp_path / "safe" / "offline.key"
        elsewhere.parent.mkdir()
        (tmp_path / "region" / "offline.key").rename(elsewhere)
        await add(client, invite)
        one = f"{REQUESTS}/{other}"
        assert "Endorse and publish" not in (await client.get(one)).text
        form = {"kind": "hospital", "region": "", "days": "90", "digits": digits}
        assert (await press(client, one, f"{one}/endorse", **form, passphrase=PHRASE)).status_code == 409
        task = await press(client, one, f"{one}/endorse", **form, how="task")
        assert "coffre-task" in task.headers["content-disposition"]
        # The machine with the offline key.
        key = OfflineKey.load(elsewhere, Secret(PHRASE.encode()))
        desk = Desk.open(tmp_path / "region", World())
        (asked,) = decode_tasks(task.content, desk.chain)
        signed = encode_signed([sign_task(desk, asked, key)])
        page = await upload(client, signed)
        assert "Clinique du Pont (pont.example) is endorsed until" in page.text
        assert Desk.open(tmp_path / "region", World()).standings() == []
        carried = re.search(r'name="carried" value="([^"]+)"', page.text)
        assert carried is not None
        form = {"csrf": form_token(page.text), "carried": carried[1], "passphrase": PHRASE}
        answer = await client.post(f"{PUBLISH}/do", data=form, headers=ORIGIN)
        assert answer.headers["location"] == f"{PUBLISH}?done=published"
        assert standing(tmp_path) is Act.ENDORSE
        for bad in (b"", b"rubbish", signed[:-1], task.content):
            assert (await upload(client, bad)).status_code == 422
        # A suspension needs the online keys alone.
        one = f"{INSTITUTIONS}/{other}"
        form = {"days": "3", "confirmed": "yes", "passphrase": PHRASE}
        assert (await press(client, one, f"{one}/suspend", **form)).status_code == 303
        assert standing(tmp_path) is Act.SUSPEND
        # What was signed before is older than what stands.
        form = {"csrf": form_token((await client.get(PUBLISH)).text), "carried": carried[1], "passphrase": PHRASE}
        assert (await client.post(f"{PUBLISH}/do", data=form, headers=ORIGIN)).status_code == 409


async def test_a_node_without_a_desk_says_how_to_have_one(tmp_path: Path) -> None:
    async with (
        open_node(await made_node(tmp_path / "node")) as node,
        logged_in(node, StaffRole.MAINTAINER) as client,
    ):
        for path in (REQUESTS, INSTITUTIONS, PUBLISH, "/staff/maintainer/conflicts"):
            assert "maintainer_desk" in (await client.get(path)).text


def test_a_task_of_another_maintainer_is_refused(tmp_path: Path) -> None:
    one, other = make_desk(tmp_path / "one"), make_desk(tmp_path / "other", "Région des Érables")
    data = encode_tasks(one.chain.node_id, [RevokeTask(other.chain.node_id, RevocationReason.LEFT)])
    assert decode_tasks(data, one.chain) == [RevokeTask(other.chain.node_id, RevocationReason.LEFT)]
    for wrong, chain in ((data, other.chain), (data[:-1], one.chain), (b"", one.chain), (data + b"\0", one.chain)):
        with pytest.raises(RemoteProtocolError):
            decode_tasks(wrong, chain)


def test_two_writers_of_a_feed_make_no_fork(tmp_path: Path) -> None:
    first = make_desk(tmp_path / "region")
    second = Desk.open(tmp_path / "region", World())
    keys = OnlineKeys.load(tmp_path / "region" / "online.key", Secret(PHRASE.encode()))
    first.publish([first.suspend(NodeId(bytes(32)), keys, days=1)], keys)
    with pytest.raises(StateError, match="changed meanwhile"):
        second.publish([second.suspend(NodeId(bytes(range(32))), keys, days=1)], keys)
    assert Desk.open(tmp_path / "region", World()).feed_file == first.feed_file
