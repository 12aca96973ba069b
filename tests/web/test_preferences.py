"""Pages of alerts, absence, deputies and members. Spec: spec/alerts.md, 2 and 4; spec/identity.md, 8."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import httpx2
import pytest

from node.app import Node
from node.opening import open_node
from node.vault.access import OpenMailbox
from node.vault.alert_preferences import AlertPreferences
from protocol.crypto import Secret
from protocol.delegation import Right
from protocol.entry import Absence, MailboxKind
from protocol.letter import LetterClass
from tests.web.people import PASSWORD, form_token, log_in, people
from tests.web.published import client_of, made_node

NASTY = '"><script>alert(1)</script>'


async def post(client: httpx2.AsyncClient, path: str, page: str = "", **form: Any) -> httpx2.Response:
    token = form_token((await client.get(page or path)).text)
    return await client.post(path, data={"csrf": token, **form})


async def service(node: Node, name: str) -> OpenMailbox:
    new = node.mailboxes.prepare(
        address=f"{name}@{node.settings.domain}", name="Cardiologie", quota_bytes=10**9, kind=MailboxKind.SERVICE
    )
    return await node.mailboxes.create(new, Secret(PASSWORD.encode()))


async def preferences(node: Node, mailbox: OpenMailbox) -> AlertPreferences:
    return (await node.database.read(node.alerts.preferences, mailbox.id))[1]


async def test_what_is_chosen_about_alerts_is_kept(tmp_path: Path, database_url: str) -> None:
    folder = await made_node(tmp_path / "node", database=database_url)
    async with open_node(folder) as node, client_of(node) as client:
        (fictive,) = await people(node, "fictive")
        await log_in(client, "fictive")
        path = f"/box/{fictive.id.hex()}/alerts"
        form: dict[str, Any] = {
            "email": "dr@ordinaire.example",
            "browser": "yes",
            "digests": "13h00, 08:00",
            "quiet_from": "20:00",
            "quiet_until": "07:00",
            "class": ["urgent", "normal"],
        }
        answer = await post(client, path, **form)
        assert answer.status_code == 303
        assert await preferences(node, fictive) == AlertPreferences(
            email="dr@ordinaire.example",
            browser=True,
            classes=(LetterClass.URGENT, LetterClass.NORMAL),
            digests=(480, 780),
            quiet=(1200, 420),
        )
        shown = (await client.get(path)).text
        assert 'value="08:00, 13:00"' in shown
        assert (await post(client, path)).status_code == 303
        assert await preferences(node, fictive) == AlertPreferences(classes=())


@pytest.mark.parametrize(
    "form",
    [
        {"email": "pas une adresse"},
        {"email": "a@b@c"},
        {"email": "a@b.example\nBcc: x@y.example"},
        {"webhook": "javascript:alert(1)"},
        {"webhook": "ftp://h.example"},
        {"digests": "25:00"},
        {"digests": ",".join(f"{hour:02}:00" for hour in range(9))},
        {"quiet_from": "20:00"},
        {"quiet_from": "20:00", "quiet_until": "20:00"},
        {"email": NASTY, "webhook": NASTY, "digests": NASTY, "quiet_from": NASTY, "quiet_until": NASTY},
    ],
)
async def test_what_cannot_be_is_said_and_changes_nothing(tmp_path: Path, form: dict[str, str]) -> None:
    folder = await made_node(tmp_path / "node")
    async with open_node(folder) as node, client_of(node) as client:
        (fictive,) = await people(node, "fictive")
        await log_in(client, "fictive")
        answer = await post(client, f"/box/{fictive.id.hex()}/alerts", **form)
        assert answer.status_code == 422
        assert 'role="alert"' in answer.text
        assert "<script>alert" not in answer.text
        assert await preferences(node, fictive) == AlertPreferences()


async def test_an_absence_is_published_shown_and_ended(tmp_path: Path) -> None:
    folder = await made_node(tmp_path / "node")
    async with open_node(folder) as node, client_of(node) as client:
        fictive, exemple = await people(node, "fictive", "exemple")
        await log_in(client, "fictive")
        path = f"/box/{fictive.id.hex()}/absence"
        today = "2026-11-01"
        answer = await post(
            client,
            path,
            **{
                "from": today,
                "until": "2027-06-30",
                "french": f"En congé {NASTY}",
                "instead": "exemple@hopital.example",
            },
        )
        assert answer.status_code == 303, answer.text
        absence = await node.absences.of(fictive.id)
        assert absence is not None
        assert absence.instead == "exemple@hopital.example"
        page = (await client.get(path)).text
        assert "<script>alert" not in page
        assert "absent" in (await client.get(f"/box/{fictive.id.hex()}/inbox")).text
        kinds = [item.kind.value for item in await node.cautions.about(exemple.id, ["fictive@hopital.example"])]
        assert "absent" in kinds
        assert (await post(client, f"{path}/end", path)).status_code == 303
        assert await node.absences.of(fictive.id) is None
        for bad in (
            {"from": "2026-12-01", "until": "2026-11-30"},
            {"from": "hier", "until": "demain"},
            {"from": "2020-01-01", "until": "2020-01-02"},
            {"from": "2026-11-01", "until": "9999-12-31"},
            {"from": "2026-11-01", "until": "2030-01-01"},
            {"from": today, "until": "2027-06-30", "french": "x" * 201},
            {"from": today, "until": "2027-06-30", "english": "two\nlines"},
            {"from": today, "until": "2027-06-30", "instead": "+33 5 00"},
            {"from": today, "until": "2027-06-30", "instead": "fictive@hopital.example"},
        ):
            assert (await post(client, path, **bad)).status_code == 422
        assert await node.absences.of(fictive.id) is None


async def test_deputies_are_named_act_under_their_name_and_end(tmp_path: Path, database_url: str) -> None:
    folder = await made_node(tmp_path / "node", database=database_url)
    async with open_node(folder) as node, client_of(node) as owner, client_of(node) as deputy:
        fictive, exemple = await people(node, "fictive", "exemple")
        await log_in(owner, "fictive")
        await log_in(deputy, "exemple")
        path = f"/box/{fictive.id.hex()}/sharing"
        days = {"from": "2026-11-01", "until": "2027-10-31"}
        for bad in ({"person": "personne"}, {"person": NASTY}, {"person": "fictive"}, {"person": "x@ailleurs.example"}):
            answer = await post(owner, path, **bad, **days)
            assert answer.status_code == 422
            assert "<script>alert" not in answer.text
        assert (await post(owner, path, person="exemple", **days)).status_code == 303
        (share,) = await node.sharing.delegations("fictive@hopital.example")
        assert share.rights == (Right.READ,)
        own = (await deputy.get("/", follow_redirects=True)).text
        assert f'href="/box/{fictive.id.hex()}/inbox"' in own
        acting = (await deputy.get(f"/box/{fictive.id.hex()}/inbox", headers={"Accept-Language": "en"})).text
        assert "You act as the deputy of fictive@hopital.example" in acting
        # What its person decides is not the deputy's.
        for page in ("alerts", "absence", "sharing"):
            assert (await deputy.get(f"/box/{fictive.id.hex()}/{page}")).status_code == 409
        token = form_token(own)
        stolen = {"csrf": token, "person": "exemple", **days}
        assert (await deputy.post(path, data=stolen)).status_code == 409
        assert (await deputy.post(f"{path}/end", data=stolen)).status_code == 409
        # Another's token, or none.
        for form in ({"person": "exemple"}, {"csrf": token, "person": "exemple"}):
            assert (await owner.post(f"{path}/end", data=form)).status_code == 403
        assert (await post(owner, f"{path}/end", path, person="exemple@hopital.example")).status_code == 303
        assert (await deputy.get(f"/box/{fictive.id.hex()}/inbox")).status_code == 409
        assert fictive.id.hex() not in (await deputy.get("/", follow_redirects=True)).text
        assert (await post(owner, f"{path}/end", path, person="exemple")).status_code == 404
        assert exemple.id != fictive.id


async def test_members_add_members_and_may_leave(tmp_path: Path) -> None:
    folder = await made_node(tmp_path / "node")
    async with open_node(folder) as node, client_of(node) as client:
        await people(node, "fictive", "exemple")
        cardio = await service(node, "cardio")
        await node.sharing.add_member(cardio, "fictive@hopital.example")
        await log_in(client, "fictive")
        path = f"/box/{cardio.id.hex()}/sharing"
        page = (await client.get(path, headers={"Accept-Language": "en"})).text
        assert "You act as a member of cardio@hopital.example" in page
        assert (await post(client, path, person="exemple")).status_code == 303
        assert (await post(client, path, person="exemple")).status_code == 422
        members = [share.holder for share in await node.sharing.members("cardio@hopital.example")]
        assert members == ["exemple@hopital.example", "fictive@hopital.example"]
        left = await post(client, f"{path}/end", path, person="fictive")
        assert (left.status_code, left.headers["location"]) == (303, "/")
        assert (await client.get(path)).status_code == 409


async def test_a_planned_absence_is_not_told_before_it_begins(tmp_path: Path) -> None:
    folder = await made_node(tmp_path / "node")
    async with open_node(folder) as node, client_of(node) as client:
        fictive, exemple = await people(node, "fictive", "exemple")
        now_ms = node.world.now_ms()
        await node.absences.set(fictive.id, Absence(from_ms=now_ms + 10**7, until_ms=now_ms + 10**8))
        assert await node.cautions.about(exemple.id, ["fictive@hopital.example"]) == []
        await log_in(client, "fictive")
        page = await client.get(f"/box/{fictive.id.hex()}/inbox", headers={"Accept-Language": "en"})
        assert "you are absent" not in page.text
