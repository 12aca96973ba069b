"""The page of national lists: imported, read, matched; requests show their entry. Spec: spec/desks.md, 8."""

from __future__ import annotations

import re
import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import httpx2

from node.app import Node
from node.opening import open_node
from node.staff.account import StaffRole
from protocol.logleaf import EventKind
from tests.maintainer.desks import DeskAtWork
from tests.staff.colleagues import events, logged_in, press, send_file
from tests.web.published import made_node

LIST, REQUESTS = "/staff/maintainer/list", "/staff/maintainer/requests"
MAP = "name=Nom\nid:urn:no=No\ntown=Ville\nregion=Région\ntelephone=Tél\n"
HEAD = "No;Nom;Ville;Région;Tél\n"


@asynccontextmanager
async def at_the_desk(tmp_path: Path) -> AsyncIterator[tuple[Node, DeskAtWork, httpx2.AsyncClient]]:
    """A node that serves a desk with some institutions, and the maintainer's browser."""
    work = DeskAtWork(tmp_path / "region")
    path = await made_node(tmp_path / "node", settings='maintainer_desk = "../region"\n')
    async with open_node(path) as node, logged_in(node, StaffRole.MAINTAINER) as client:
        client.headers["Accept-Language"] = "en"
        yield node, work, client


def section(page: str, name: str) -> str:
    """The text of a part of the page."""
    found = re.search(rf'<section aria-labelledby="s_{name}">(.*?)</section>', page, re.DOTALL)
    return "" if found is None else found[1]


async def test_a_list_is_imported_read_and_matched(tmp_path: Path) -> None:
    async with at_the_desk(tmp_path) as (node, work, client):
        work.endorse("Clinique du Pont", "pont.example")
        gone = work.endorse("Clinique du Cormier", "cormier.example")
        asks = work.ask("Pharmacie du Marché", "marche.example")
        assert "s_missing" not in (await client.get(LIST)).text
        assert "National list" not in section((await client.get(REQUESTS)).text, "requests")
        for bad, options in (
            (b"", {}),
            (b"a;b\n", {}),
            ("é".encode("latin-1"), {}),
            (b"x;y\n1;2\n", {"map": "nothing"}),
        ):
            answer = await send_file(client, LIST, LIST, bad, **options)
            assert answer.status_code == 422
            assert "--map" not in answer.text
        rows = (
            "1;CLINIQUE DU PONT;Albi;Bretagne;05\n2;Pharmacie du Marché;Foix;Occitanie;0561\nshort\n"
            "3;Polyclinique du Cormier;Albi;Occitanie;\n4;Cabinet <b>Neuf</b>;Foix;;\n"
            "5;Centre du Gué;Vannes;Bretagne;\n"
        )
        answer = await send_file(client, LIST, LIST, (HEAD + rows).encode(), map=MAP)
        assert answer.headers["location"] == f"{LIST}?done=imported"
        assert sorted(path.name for path in work.desk.path.glob("*list*")) == ["national.list"]
        page = (await client.get(f"{LIST}?done=imported")).text
        assert "Nobody was endorsed or revoked" in page
        assert "line 4 · 1 cells under 5 columns" in section(page, "bad")
        french = (await client.get(LIST, headers={"Accept-Language": "fr"})).text
        assert "ligne 4 · 1 cellules pour 5 colonnes" in section(french, "bad")
        one = await client.get(f"/staff/maintainer/institutions/{gone.hex()}", headers={"Accept-Language": "fr"})
        assert "<dd>hôpital</dd>" in one.text
        form = await client.get(f"{REQUESTS}/{asks.hex()}", headers={"Accept-Language": "fr"})
        assert '<option value="pharmacy">pharmacie</option>' in form.text
        assert '<option value="hospital" selected>hôpital</option>' in form.text
        assert "Clinique du Cormier" in section(page, "missing")
        assert "Occitanie → Bretagne" in section(page, "differing")
        invite = section(page, "invite")
        assert "Polyclinique du Cormier" in invite
        assert "&lt;b&gt;Neuf" in invite
        assert "Centre du Gué" not in invite
        assert "Centre du Gué" in section((await client.get(f"{LIST}?everywhere=1")).text, "invite")
        assert "Cormier" not in section((await client.get(f"{LIST}?q=neu")).text, "invite")
        table = await client.get(f"{LIST}/to-invite.csv")
        assert [row.split(",")[0] for row in table.text.split("\r\n")[1:3]] == [
            "Polyclinique du Cormier",
            "Cabinet <b>Neuf</b>",
        ]
        # The request shows its entry, and the form takes the region from it.
        assert "Pharmacie du Marché, Foix" in (await client.get(REQUESTS)).text
        assert "0561" in section((await client.get(f"{REQUESTS}/{asks.hex()}")).text, "list")
        # People say which one it is, and take it back.
        answer = await press(client, LIST, f"{LIST}/match", node=gone.hex(), key="urn:no|3")
        assert answer.headers["location"] == f"{LIST}?done=matched"
        page = (await client.get(LIST)).text
        assert "s_missing" not in page
        assert "Chosen by hand" in section(page, "differing")
        assert (await press(client, LIST, f"{LIST}/match", node=gone.hex(), key="urn:no|9")).status_code == 404
        assert (await press(client, LIST, f"{LIST}/match", node="00" * 32, key="urn:no|3")).status_code == 404
        assert (await press(client, LIST, f"{LIST}/match", node="no", key="")).status_code == 409
        answer = await press(client, LIST, f"{LIST}/match", node=gone.hex(), key="")
        assert answer.headers["location"] == f"{LIST}?done=unmatched"
        assert "Clinique du Cormier" in section((await client.get(LIST)).text, "missing")
        said = [said.code or "" for kind, said in await events(node) if kind is EventKind.STAFF_ACTED]
        assert [re.sub(r" \S+$", "", code) for code in said] == [
            "maintainer: list",
            "maintainer: match",
            "maintainer: unmatch",
        ]
        # A list that cannot be read any more says so; the requests go on without it.
        (work.desk.path / "national.list").write_bytes(b"damaged" * 100)
        answer = await client.get(LIST)
        assert answer.status_code == 422
        assert "damaged" in answer.text
        assert (await client.get(REQUESTS)).status_code == 200


async def test_many_to_invite_are_shown_by_the_fifty(tmp_path: Path) -> None:
    async with at_the_desk(tmp_path) as (_, work, client):
        shutil.rmtree(work.desk.path / "requests")
        (work.desk.path / "requests").mkdir()
        work.bring("name\n" + "".join(f"Institution {number:03}\n" for number in range(230)))
        page = (await client.get(LIST)).text
        assert "Institution 049" in page
        assert "Institution 050" not in page
        assert f"{LIST}?from=50" in page
        last = (await client.get(f"{LIST}?from=200")).text
        assert "Institution 229" in last
        assert 'rel="next"' not in last
        assert 'rel="prev"' in last
        assert (await client.get(f"{LIST}?from=x&q=%22*")).status_code == 200
