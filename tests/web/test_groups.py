"""Groups of recipients: made, changed, put into letters, taken out again. Spec: spec/web.md, 7.1."""

from __future__ import annotations

import re
from html import unescape
from pathlib import Path

import httpx2
import pytest

from node.errors import LimitError, NotFoundError, StateError
from node.opening import open_node
from node.vault.access import OpenMailbox
from node.vault.recipient_groups import MAX_GROUPS, MAX_MEMBERS
from protocol.crypto import Secret
from protocol.delegation import Right
from protocol.entry import MailboxKind
from tests.web.people import PASSWORD, form_token, log_in, people
from tests.web.published import client_of, made_node
from tests.web.writing import start_writing

MODELE, EXEMPLE, UNKNOWN = "modele@hopital.example", "exemple@hopital.example", "personne@ailleurs.example"
EVIL = '"><script>alert(1)</script>'
_GROUP = re.compile(r"/groups/([0-9a-f]{32})")
_FIELD = re.compile(r'name="(to|cc)" value="([^"]*)"')
_OFFERED = re.compile(r'data-address="([^"]*)"')


def groups_path(mailbox: OpenMailbox) -> str:
    return f"/box/{mailbox.id.hex()}/groups"


async def post(client: httpx2.AsyncClient, path: str, **form: str) -> httpx2.Response:
    token = form_token((await client.get(path.removesuffix("/delete"))).text)
    return await client.post(path, data={"csrf": token, **form})


def recipients_of(page: str) -> dict[str, list[str]]:
    """What the fields of a writing page hold."""
    return {name: [item.strip() for item in value.split(",") if item.strip()] for name, value in _FIELD.findall(page)}


async def test_a_group_is_made_renamed_changed_and_deleted(tmp_path: Path, database_url: str) -> None:
    folder = await made_node(tmp_path / "node", database=database_url)
    async with open_node(folder) as node, client_of(node) as client:
        fictive, *_ = await people(node, "fictive", "exemple", "modele")
        await log_in(client, "fictive")
        client.headers["accept-language"] = "fr"
        path = groups_path(fictive)
        assert "Aucun groupe pour l’instant." in (await client.get(path)).text
        typed = f"Dr Modele <{MODELE}>, {UNKNOWN}; {MODELE}"
        made = await post(client, path, name="  Réunion   tumeurs ", members=typed)
        assert made.status_code == 303, made.text
        page = unescape((await client.get(made.headers["location"])).text)
        assert "Enregistré." in page
        assert "Dr Modele" in page
        assert "Personne dans l'annuaire n'a cette adresse" in page
        (group,) = await node.recipient_groups.all(fictive)
        assert (group.name, group.members) == ("Réunion tumeurs", (MODELE, UNKNOWN))
        one = f"{path}/{group.id.hex()}"
        changed = await post(client, one, name="RCP", members=f"{EXEMPLE}, {MODELE}")
        assert changed.status_code == 303, changed.text
        assert "2 membres" in (await client.get(path)).text
        (group,) = await node.recipient_groups.all(fictive)
        assert (group.name, group.members) == ("RCP", (EXEMPLE, MODELE))
        gone = await post(client, f"{one}/delete")
        assert "Le groupe a été supprimé." in (await client.get(gone.headers["location"])).text
        assert await node.recipient_groups.all(fictive) == []
        assert (await client.get(one)).status_code == 404


async def test_a_group_fills_a_letter_and_its_members_are_taken_out_one_by_one(tmp_path: Path) -> None:
    folder = await made_node(tmp_path / "node")
    async with open_node(folder) as node, client_of(node) as client:
        fictive, *_ = await people(node, "fictive", "exemple", "modele")
        group = await node.recipient_groups.add(fictive, "Réunion tumeurs", [EXEMPLE, MODELE, UNKNOWN])
        await log_in(client, "fictive")
        writer = await start_writing(client, fictive)
        assert "Réunion tumeurs (3)" in await writer.page()
        put = await writer.post("group", group=group.hex(), field="cc", to=EXEMPLE.upper(), subject="Un sujet")
        assert put.status_code == 303, put.text
        page = await writer.page()
        assert recipients_of(page) == {"to": [EXEMPLE.upper()], "cc": [MODELE, UNKNOWN]}
        assert 'value="Un sujet"' in page
        assert "Nobody in the directory has this address" in page
        await writer.post("remove", remove=UNKNOWN, to=EXEMPLE, cc=f"{MODELE}, {UNKNOWN}")
        assert recipients_of(await writer.page()) == {"to": [EXEMPLE], "cc": [MODELE]}
        await writer.post("group", group=group.hex(), field="to", to="", cc="")
        assert recipients_of(await writer.page()) == {"to": [EXEMPLE, MODELE, UNKNOWN], "cc": []}
        # A letter that cannot go to one of them says so and stays; without that one it goes.
        refused = await writer.send(to=f"{EXEMPLE}, {MODELE}, {UNKNOWN}", subject="Un sujet")
        assert refused.status_code == 422
        assert f"{UNKNOWN}: Nobody in the directory" in refused.text
        await node.recipient_groups.delete(fictive, group)
        sent = await writer.send(to=f"{EXEMPLE}, {MODELE}", subject="Un sujet")
        assert "/sent/" in sent.headers["location"]


async def test_groups_are_offered_as_one_types(tmp_path: Path) -> None:
    folder = await made_node(tmp_path / "node")
    async with open_node(folder) as node, client_of(node) as client:
        fictive, *_ = await people(node, "fictive", "tumulus")
        await node.recipient_groups.add(fictive, "Réunion tumeurs", [EXEMPLE, MODELE])
        await log_in(client, "fictive")

        async def offered(**typed: str) -> list[str]:
            return _OFFERED.findall((await client.get(f"/box/{fictive.id.hex()}/recipients", params=typed)).text)

        assert await offered(to=f"{UNKNOWN}, tum") == [f"{EXEMPLE}, {MODELE}", "tumulus@hopital.example"]
        assert await offered(members="TUMEURS reun") == [f"{EXEMPLE}, {MODELE}"]
        assert await offered(cc="t") == []
        assert await offered(cc="meurs") == []


async def test_what_cannot_be_is_said_and_nothing_is_kept(tmp_path: Path) -> None:
    folder = await made_node(tmp_path / "node")
    async with open_node(folder) as node, client_of(node) as client:
        fictive, exemple = await people(node, "fictive", "exemple")
        await log_in(client, "fictive")
        client.headers["accept-language"] = "fr"
        path = groups_path(fictive)
        kept = await node.recipient_groups.add(fictive, "Étage 2", [EXEMPLE])
        foreign = await node.recipient_groups.add(exemple, "Autre", [MODELE])
        tries = [
            ("", MODELE, "de 1 à 80 caractères"),
            ("x" * 81, MODELE, "de 1 à 80 caractères"),
            ("a\u202eb", MODELE, "de 1 à 80 caractères"),
            ("ETAGE  2", MODELE, "il y a déjà un groupe ETAGE 2"),
            ("Vide", " , ;", "au moins un membre"),
            ("Accents", "dr.modèle@hopital.example", "n’est pas une adresse"),
            ("Trop", ",".join(f"a{at}@b.example" for at in range(MAX_MEMBERS + 1)), "au plus 1000 membres"),
            (EVIL, EVIL, "n’est pas une adresse"),
        ]
        for name, members, words in tries:
            answer = await post(client, path, name=name, members=members)
            assert answer.status_code == 422, (name, answer.text)
            assert words in answer.text, name
            assert "<script>alert" not in answer.text
        answer = await post(client, f"{path}/{kept.hex()}", name="Étage 2", members="")
        assert (answer.status_code, "au moins un membre" in answer.text) == (422, True)
        assert [item.members for item in await node.recipient_groups.all(fictive)] == [(EXEMPLE,)]
        # Another mailbox's group is not there, and a request without the form's token changes nothing.
        assert (await client.get(f"{path}/{foreign.hex()}")).status_code == 404
        assert (await client.get(f"{path}/x")).status_code == 404
        with pytest.raises(NotFoundError):
            await node.recipient_groups.delete(fictive, foreign)
        assert (await client.post(f"{path}/{kept.hex()}/delete")).status_code == 403
        evil = await post(client, path, name=EVIL, members=MODELE)
        assert "<script>alert" not in (await client.get(evil.headers["location"])).text


async def test_limits(tmp_path: Path) -> None:
    folder = await made_node(tmp_path / "node")
    async with open_node(folder) as node, client_of(node) as client:
        (fictive,) = await people(node, "fictive")
        many = [f"a{at}@b.example" for at in range(MAX_MEMBERS)]
        large = await node.recipient_groups.add(fictive, "Groupe 0", many)
        await log_in(client, "fictive")
        writer = await start_writing(client, fictive)
        refused = await writer.post("group", group=large.hex(), field="to", to=MODELE)
        assert refused.status_code == 422
        assert "a letter has at most 1000 recipients" in refused.text
        assert recipients_of(await writer.page())["to"] == [MODELE]
        # One to the limit is put in whole: what stands there already counts once.
        assert (await writer.post("group", group=large.hex(), field="to", to=many[7])).status_code == 303
        assert sorted(recipients_of(await writer.page())["to"]) == sorted(many)
        for at in range(1, MAX_GROUPS):
            await node.recipient_groups.add(fictive, f"Groupe {at}", [MODELE])
        with pytest.raises(LimitError, match="at most 100 groups"):
            await node.recipient_groups.add(fictive, "Un de trop", [MODELE])


async def test_who_writes_for_a_mailbox_has_its_groups_also_after_new_keys(tmp_path: Path) -> None:
    folder = await made_node(tmp_path / "node")
    async with open_node(folder) as node, client_of(node) as client:
        fictive, exemple = await people(node, "fictive", "exemple")
        new = node.mailboxes.prepare(
            address="cardiologie@hopital.example", name="Cardiologie", quota_bytes=10**9, kind=MailboxKind.SERVICE
        )
        service = await node.mailboxes.create(new, Secret(PASSWORD.encode()))
        await node.sharing.add_member(service, fictive.address)
        member = await node.sharing.act_as(fictive, service.address)
        group = await node.recipient_groups.add(member, "Correspondants", [MODELE])
        assert (await node.recipient_groups.named(service, "CORRESPONDANTS")).members == (MODELE,)

        now_ms = node.world.now_ms()
        await node.sharing.delegate(
            exemple, fictive.address, rights=(Right.READ,), from_ms=now_ms, until_ms=now_ms + 86_400_000
        )
        reader = await node.sharing.act_as(fictive, exemple.address)
        with pytest.raises(StateError):
            await node.recipient_groups.add(reader, "Non", [MODELE])
        await node.recipient_groups.add(exemple, "Secret", [MODELE])
        await log_in(client, "fictive")
        offered = await client.get(f"/box/{exemple.id.hex()}/recipients", params={"to": "secret"})
        assert (offered.status_code, "Secret" in offered.text) == (200, False)
        assert (await client.get(groups_path(exemple))).status_code == 409

        new_password = Secret(b"encore un autre mot")
        renewed = await node.mailbox_recovery.renew_keys(service.address, Secret(PASSWORD.encode()), new_password)
        assert (await node.recipient_groups.find(renewed, group)).name == "Correspondants"
        await node.recipient_groups.change(renewed, group, "Correspondants", [MODELE, EXEMPLE])
        assert (await node.recipient_groups.find(renewed, group)).members == (MODELE, EXEMPLE)
    stored = b"".join(path.read_bytes() for path in (tmp_path / "node").rglob("*.db*"))
    assert b"recipient_groups" in stored
    assert b"Correspondants" not in stored
    assert b"modele@hopital" not in stored
