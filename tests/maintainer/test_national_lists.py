"""A national list beside those vouched for: who is in it, what differs, whom to invite. Spec: spec/desks.md, 8."""

from __future__ import annotations

import stat
from pathlib import Path

import pytest

from node.errors import ConfigError, FolderError, NotFoundError
from node.maintainer.difference import Found, choose, members
from node.maintainer.list_store import InviteFilter, ListStore, list_path
from tests.maintainer.desks import DeskAtWork

HEAD = "name,other,kind,region,town,domain,telephone,owner,closed\n"


@pytest.fixture
def work(tmp_path: Path) -> DeskAtWork:
    return DeskAtWork(tmp_path / "region")


def to_invite(work: DeskAtWork, **wanted: str) -> list[str]:
    known = work.difference().known
    with ListStore.open(list_path(work.desk.path)) as store:
        found = store.without(known, InviteFilter(**wanted))
        assert store.count_without(known, InviteFilter(**wanted)) == len(found)
    return [entry.names[0] for entry in found]


def test_the_whole_difference(work: DeskAtWork) -> None:
    alike = work.endorse("Clinique du Pont", "pont.example")
    renamed = work.endorse("Clinique du Sorbier", "sorbier.example")
    moved = work.endorse("Hôpital des Érables", "erables.example", region="Bretagne")
    gone = work.endorse("Clinique du Cormier", "cormier.example")
    stopped = work.endorse("Laboratoire du Lac", "lac.example", kind="laboratory")
    work.suspend(stopped)
    left = work.endorse("Cabinet des Ormes", "ormes.example", kind="practice")
    work.revoke(left)
    asks = work.ask("Pharmacie du Marché", "marche.example")
    unknown = work.ask("Clinique Imaginaire", "imaginaire.example")
    facts = work.bring(
        HEAD + "CLINIQUE DU PONT,,hospital,Occitanie,Albi,,,,\n"
        "Polyclinique du Sorbier,,clinic,OCCITANIE,Albi,https://www.sorbier.example/accueil,05 00 00 00 00,,\n"
        "HOPITAL ERABLES,,Centre Hospitalier (C.H.),Occitanie,Auch,,,,\n"
        "Laboratoire du Lac,,laboratory,Occitanie,Foix,,,,no\n"
        "Cabinet des Ormes,,practice,Occitanie,Foix,,,,\n"
        "Pharmacie du Marché,,pharmacy,Occitanie,Foix,contact@marche-foix.example,,,\n"
        "Clinique du Cormier,,hospital,Occitanie,Foix,,,,yes\n"
        "Maison de santé du Gué,,practice,,Foix,,,,\n"
        "Clinique de la Lande,,hospital,Bretagne,Vannes,,,,\n"
        "too,few\n"
        "Laboratoire du Lac,,laboratory,Occitanie,Foix,,,,\n"
    )
    assert (facts.usable, facts.bad, facts.format) == (8, 2, "csv")
    assert [row.where for row in facts.bad_rows] == ["line 11", "line 12"]
    assert "line 5" in facts.bad_rows[1].reason
    difference = work.difference()
    told = {item.member.node: item for item in (*difference.standing, *difference.requests)}
    assert {node: item.found for node, item in told.items()} == {
        alike: Found.LISTED,
        renamed: Found.LISTED,
        moved: Found.LISTED,
        gone: Found.MISSING,
        stopped: Found.LISTED,
        asks: Found.LISTED,
        unknown: Found.MISSING,
    }
    assert told[alike].differs == ()
    assert [(item.field, item.before, item.after) for item in told[renamed].differs] == [
        ("name", "Clinique du Sorbier", "Polyclinique du Sorbier"),
        ("kind", "hospital", "clinic"),
    ]
    # The list's kind is no kind as endorsements have them: nothing to compare.
    assert [(item.field, item.after) for item in told[moved].differs] == [("region", "Occitanie")]
    assert [(item.field, item.after) for item in told[asks].differs] == [("domain", "marche-foix.example")]
    assert [item.member.node for item in difference.of(Found.LISTED)] == [alike, stopped]
    # Revoked, and in the list still: may be invited again, and is marked.
    assert to_invite(work) == ["Cabinet des Ormes", "Maison de santé du Gué", "Clinique de la Lande"]
    assert to_invite(work, region="occitanie") == ["Cabinet des Ormes", "Maison de santé du Gué"]
    assert to_invite(work, words="san gu") == ["Maison de santé du Gué"]
    assert len(difference.revoked) == 1
    # Nobody was endorsed or revoked by it, and it is nobody's secret but written for its owner alone.
    assert len(work.desk.requests.all()) == 2
    assert stat.S_IMODE(list_path(work.desk.path).stat().st_mode) == 0o600
    # The same list again says the same.
    again = work.bring(Path(work.desk.path.with_name("list.csv")).read_text("utf-8"))
    assert again.sha256 == facts.sha256
    assert [(item.member, item.found, item.differs) for item in work.difference().standing] == [
        (item.member, item.found, item.differs) for item in difference.standing
    ]


NUMBERED = "no,name,region,town,owner,domain\n"


def numbered(work: DeskAtWork, *rows: str, name: str = "list.csv") -> None:
    fields = ("name", "region", "town", "owner", "domain")
    text = NUMBERED + "".join(f"{row}\n" for row in rows)
    work.bring(text, name, *(f"{item}={item}" for item in fields), "id:urn:no=no")


def test_what_was_found_once_is_known_by_its_number(work: DeskAtWork) -> None:
    """A list that renames an institution, and the next one that has it no longer."""
    node = work.endorse("Clinique du Pont", "pont.example")
    numbered(work, "1,Clinique du Pont,Occitanie,Albi,,", "2,Clinique du Gué,Occitanie,Albi,,", name="spring.csv")
    assert work.about(node).differs == ()
    numbered(work, "1,Pôle de santé,Occitanie,Albi,,", "2,Clinique du Pont,Occitanie,Albi,,", name="summer.csv")
    assert [item.after for item in work.about(node).differs] == ["Pôle de santé"]
    for _ in range(2):
        numbered(work, "3,Polyclinique Le Pont,Occitanie,Albi,,", "4,Clinique du Gué,,,,", name="autumn.csv")
        found = work.about(node)
        assert found.found is Found.MISSING
        assert found.was is not None
        assert (found.was.list, found.was.name) == ("summer.csv", "Pôle de santé")
        assert [entry.names[0] for entry in found.near] == ["Polyclinique Le Pont"]


def test_people_say_which_one_it_is(work: DeskAtWork) -> None:
    node = work.endorse("Clinique Saint-Ange", "ange.example")
    rows = ("1,Clinique Saint Ange,Occitanie,Albi,,", "2,Clinique Saint Ange,Occitanie,Foix,,", "3,Ange,Bretagne,,,")
    numbered(work, *rows)
    found = work.about(node)
    assert (found.found, [entry.town for entry in found.entries]) == (Found.UNCLEAR, ["Albi", "Foix"])
    (member,) = [item for item in members(work.desk) if item.node == node]
    with pytest.raises(NotFoundError):
        choose(work.desk, member, "urn:no|9")
    choose(work.desk, member, "urn:no|3")
    for _ in range(2):
        found = work.about(node)
        assert (found.found, found.is_chosen, found.entries[0].region) == (Found.LISTED, True, "Bretagne")
        assert [item.field for item in found.differs] == ["name", "region"]
        numbered(work, *rows)
    choose(work.desk, member, None)
    assert work.about(node).found is Found.UNCLEAR


def test_sites_of_one_owner_are_one_institution(work: DeskAtWork) -> None:
    """All sites with the institution's domain, or name, if one legal entity runs them; else people decide."""
    node = work.endorse("Centre hospitalier des Tilleuls", "tilleuls.example")
    other = work.endorse("Cabinet du Port", "box.example")
    numbered(
        work,
        "1,Hôpital Nord,Occitanie,Albi,77,tilleuls.example",
        "2,Hôpital Sud,Occitanie,Albi,77,tilleuls.example",
        "3,Maison Tilleul,Occitanie,Albi,77,",
        "4,Cabinet A,Occitanie,Albi,,box.example",
        "5,Cabinet B,Occitanie,Albi,,box.example",
    )
    found = work.about(node)
    assert (found.found, len(found.entries)) == (Found.LISTED, 2)
    assert [item.field for item in found.differs] == ["name"]
    assert work.about(other).found is Found.UNCLEAR
    assert to_invite(work) == ["Maison Tilleul", "Cabinet A", "Cabinet B"]


def test_a_mail_providers_domain_is_nobodys(work: DeskAtWork) -> None:
    node = work.endorse("Cabinet A", "cabinet-a.example")
    numbered(work, "4,Cabinet A,Occitanie,Albi,,me@box.example", "5,Cabinet B,Occitanie,Albi,,you@box.example")
    assert work.about(node).differs == ()


def test_a_list_of_which_nothing_can_be_used_leaves_the_one_before(work: DeskAtWork) -> None:
    work.bring(HEAD + "Clinique du Pont,,,,,,,,\n", name="good.csv")
    for bad in ("", "name\n", "nom,ville\nX,Y\n", HEAD + ",,,,,,,,\n", 'name\n"never closed\n', '{"entry": []}', "{"):
        with pytest.raises(ConfigError):
            work.bring(bad, name="bad.csv")
        assert work.difference().facts.name == "good.csv"
    assert [path.name for path in work.desk.path.glob("national.list*")] == ["national.list"]


def test_a_damaged_list_says_so_and_is_replaced(work: DeskAtWork) -> None:
    with pytest.raises(NotFoundError):
        work.difference()
    for damaged in (b"", b"no database" * 1000):
        list_path(work.desk.path).write_bytes(damaged)
        with pytest.raises(FolderError, match=r"damaged|another version"):
            work.difference()
    work.bring(HEAD + "Clinique du Pont,,,,,,,,\n")
    assert work.difference().facts.usable == 1


def test_what_a_killed_import_left_is_no_hindrance(work: DeskAtWork) -> None:
    left = work.desk.path / "national.list.new"
    left.write_bytes(b"half a list" * 1000)
    work.bring(HEAD + "Clinique du Pont,,,,,,,,\n")
    assert work.difference().facts.usable == 1
    assert not left.exists()
