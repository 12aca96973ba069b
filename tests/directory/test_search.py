"""Searching the directory, on both databases. Spec: spec/directory.md, 9."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import replace

import pytest

from node.errors import ConfigError, LimitError
from node.vault import schema
from node.vault.search.directory_search import MAX_PAGE, MAX_WORDS
from node.vault.search.index import INDEX_VERSION, ensure_index
from protocol.entry import EntryStatus, Identifier, MailboxKind
from protocol.ids import NodeId
from spec.vectors.make_feed import mailbox
from tests.directory.published import NODES, OWN, Published, mailbox_id

OTHER, THIRD = NODES[1:]


@pytest.fixture
def directory(database_url: str) -> Iterator[Published]:
    """The own hospital and an accepted clinic in another town."""
    with Published.opened(database_url) as published:
        published.institution(
            OWN, "etoile.example", name="Hôpital de l'Étoile-Bleue", town="Saint-Orlan", region="Côte-des-Brumes"
        )
        published.institution(OTHER, "lilas.example", name="Clinique des Lilas", town="Valbrune", region="Haute-Vaine")
        published.accept(OTHER, "lilas.example")
        rpps = (Identifier("urn:example:rpps", "10 12 34 56 789"), Identifier("local", "FR-007-AB"))
        person = {"profession": "Médecin", "specialty": "Cardiologie", "unit": "Pôle cœur-poumon"}
        published.mailbox(OWN, 1, "dr.helene@etoile.example", "Dr Hélène Fictive", identifiers=rpps, **person)
        published.mailbox(OWN, 2, "cardio@etoile.example", "Secrétariat de cardiologie", kind=MailboxKind.SERVICE)
        published.mailbox(OTHER, 3, "dr.martin@lilas.example", "Dr Luc Martin", town="Toulouse", **person)
        published.mailbox(OTHER, 4, "martine@lilas.example", "Martine Modèle", profession="Infirmière")
        yield published


@pytest.mark.parametrize(
    ("text", "addresses"),
    [
        ("etoile hopital", ["dr.helene@etoile.example", "cardio@etoile.example"]),
        ("ETOILE-BLEUE fict", ["dr.helene@etoile.example"]),
        ("l'étoile helène", ["dr.helene@etoile.example"]),
        ("cardio toulouse", ["dr.martin@lilas.example"]),
        ("card valbrune", ["dr.martin@lilas.example"]),
        ("coeur", ["dr.helene@etoile.example", "dr.martin@lilas.example"]),
        ("infirmiere", ["martine@lilas.example"]),
        ("haute vaine martine", ["martine@lilas.example"]),
        ("10123456789", ["dr.helene@etoile.example"]),
        ("1012345", ["dr.helene@etoile.example"]),
        ("10 1234 56789", ["dr.helene@etoile.example"]),
        ("helene 10.12.34.56.789", ["dr.helene@etoile.example"]),
        ("fr007ab", ["dr.helene@etoile.example"]),
        ("FR-007-AB", ["dr.helene@etoile.example"]),
        ("dr.martin@lilas", ["dr.martin@lilas.example"]),
        ("martin helene", []),
        ("10123456780", []),
        ("fictif", []),
        ("", []),
        ("-- '", []),
    ],
)
def test_words_and_beginnings_of_words(directory: Published, text: str, addresses: list[str]) -> None:
    page = directory.page(text)
    assert [match.shown.address for match in page.matches] == addresses
    assert (page.total, page.next_cursor) == (len(addresses), "")


def test_whole_words_before_beginnings_names_before_the_rest_own_before_others(directory: Published) -> None:
    assert directory.found("martin") == ["dr.martin@lilas.example", "martine@lilas.example"]
    assert directory.found("cardiologie") == [
        "cardio@etoile.example",
        "dr.helene@etoile.example",
        "dr.martin@lilas.example",
    ]
    directory.mailbox(OTHER, 5, "cardio@lilas.example", "Avis de cardiologie")
    directory.mailbox(OWN, 6, "avis@etoile.example", "Avis de cardiologie")
    assert directory.found("cardiologie") == [
        "cardio@etoile.example",
        "avis@etoile.example",
        "cardio@lilas.example",
        "dr.helene@etoile.example",
        "dr.martin@lilas.example",
    ]


def test_filters(directory: Published) -> None:
    everybody = [*directory.found("cardio"), "martine@lilas.example"]
    assert directory.found("cardio", kind="service") == ["cardio@etoile.example"]
    assert directory.found(kind="person", institution="lilas") == ["dr.martin@lilas.example", "martine@lilas.example"]
    assert directory.found(town="toulouse") == ["dr.martin@lilas.example"]
    assert sorted(directory.found(town="VALBRUNE")) == ["dr.martin@lilas.example", "martine@lilas.example"]
    assert directory.found(town="valbru") == []
    assert directory.found("dr", region="côte des brumes") == ["dr.helene@etoile.example"]
    assert sorted(directory.found(institution="hop etoile") + directory.found(institution="clin")) == sorted(everybody)
    # A word of a mailbox is no word of its institution.
    assert directory.found(institution="martin") == []
    (match,) = directory.page("martine").matches
    assert (match.town, match.institution.names, match.shown.profession) == (
        "Valbrune",
        ("Clinique des Lilas",),
        "Infirmière",
    )


def test_only_what_is_open_listed_and_usable_is_shown(directory: Published) -> None:
    directory.mailbox(OWN, 2, "cardio@etoile.example", "Secrétariat", status=EntryStatus.CLOSED)
    directory.mailbox(OWN, 1, "dr.helene@etoile.example", "Dr Hélène Fictive", listed=False)
    assert directory.found("etoile") == []
    # Its exact address finds what is unlisted, and nothing finds what is closed.
    (match,) = directory.page(" Dr.Helene@etoile.example ").matches
    assert (match.shown.name, match.listed) == ("Dr Hélène Fictive", False)
    assert directory.found("cardio@etoile.example") == []
    assert directory.found("dr.helene@etoile") == []
    # A domain that the institution does not have, or was not accepted with; an institution that was not accepted.
    directory.mailbox(OTHER, 5, "faux@etoile.example", "Faux Martin")
    directory.institution(OTHER, "lilas.example", "autre.example", name="Clinique des Lilas")
    directory.mailbox(OTHER, 6, "autre@autre.example", "Autre Martin")
    directory.institution(THIRD, "inconnu.example")
    directory.mailbox(THIRD, 7, "inconnu@inconnu.example", "Inconnu Martin")
    assert sorted(directory.found("martin")) == ["dr.martin@lilas.example", "martine@lilas.example"]
    for address in ("faux@etoile.example", "autre@autre.example", "inconnu@inconnu.example"):
        assert directory.found(address) == []
    directory.accept(THIRD, "inconnu.example")
    directory.accept(OTHER, "lilas.example", "removed")
    assert directory.found("martin") == ["inconnu@inconnu.example"]
    assert directory.found("dr.martin@lilas.example") == []


def test_changes_reach_the_index_and_only_what_changed_is_written(directory: Published) -> None:
    directory.mailbox(OWN, 1, "dr.helene@etoile.example", "Dr Hélène Modèle")
    assert directory.found("fictive") == []
    assert sorted(directory.found("modele")) == ["dr.helene@etoile.example", "martine@lilas.example"]
    directory.institution(OWN, "etoile.example", name="Centre du Soleil")
    assert directory.found("hopital etoile bleue") == directory.found(town="saint orlan") == []
    assert len(directory.found("soleil")) == 2
    directory.erase(OWN, 1)
    assert directory.found("soleil") == ["cardio@etoile.example"]
    directory.mailbox(OWN, 2, "cardio@soleil.example", "Secrétariat")
    assert directory.found("soleil") == []
    directory.institution(OWN, "soleil.example", name="Centre du Soleil")
    assert directory.found("soleil") == ["cardio@soleil.example"]
    directory.institution(OWN, "soleil.example", name="Centre du Soleil", status=EntryStatus.CLOSED)
    assert directory.found("soleil") == []
    for number in (3, 4):
        directory.erase(OTHER, number)
    for table in (schema.search_documents, schema.search_postings, schema.search_words):
        assert directory.rows(table) == 0, table.name


def test_pages_go_on_where_they_ended_while_entries_come_and_go(directory: Published) -> None:
    entries = [
        replace(mailbox(mailbox_id(100 + number)), address=f"p{number}@lilas.example", name=f"Personne {number}")
        for number in range(250)
    ]
    directory.many(OTHER, entries)
    whole = directory.all_found("pers")
    assert len(whole) == 250
    assert directory.all_found("pers", limit=7) == whole
    first = directory.page("pers", limit=50)
    assert (first.total, len(first.matches)) == (250, 50)
    # What the next page begins with goes; what comes takes its place at the end.
    directory.erase(OTHER, 150)
    directory.mailbox(OTHER, 999, "neu@lilas.example", "Personne Neuve")
    rest = directory.all_found_from(first.next_cursor, "pers")
    assert [*whole[:50], *rest] == [*whole[:50], *whole[51:], (OTHER, "neu@lilas.example")]


def test_an_exact_address_comes_first_and_once(directory: Published) -> None:
    directory.mailbox(OWN, 8, "martine@etoile.example", "Martine lilas")
    page = directory.page("martine@lilas.example", limit=1)
    assert [match.shown.address for match in page.matches] == ["martine@lilas.example"]
    assert page.total == 2
    (other,) = directory.page("martine@lilas.example", limit=1, cursor=page.next_cursor).matches
    assert other.shown.address == "martine@etoile.example"


@pytest.mark.parametrize(
    ("text", "suggestions"),
    [
        ("cardiolgie", ["cardiologie"]),
        ("martnie", ["martine"]),
        ("hopitla etoile", ["hopital etoile"]),
        ("secretraiat cardoi", ["secretariat cardio"]),
        ("xylophone", []),
        ("10123456780", []),
        ("martine helene", []),
        ("martnie helene", []),
    ],
)
def test_near_spellings_are_offered_where_nothing_matches(
    directory: Published, text: str, suggestions: list[str]
) -> None:
    page = directory.page(text)
    assert (page.matches, list(page.suggestions[:1])) == ((), suggestions)
    assert all(directory.page(other).total for other in page.suggestions)


def test_words_that_nobody_has_any_more_are_not_offered(directory: Published) -> None:
    directory.mailbox(OTHER, 4, "m@lilas.example", "Autre Modèle")
    assert directory.page("martnie").suggestions == ("martin",)
    directory.erase(OTHER, 3)
    assert directory.page("martnie").suggestions == ()


def test_near_addresses(directory: Published) -> None:
    assert directory.near("dr.helne@etoile.example")[0] == "dr.helene@etoile.example"
    assert directory.near("dr.martin@lila.example")[0] == "dr.martin@lilas.example"
    assert directory.near("dr.martin@etoile.example")[0] == "dr.martin@lilas.example"
    assert directory.near("zzz@nowhere.test") == ()
    directory.mailbox(OWN, 1, "dr.helene@etoile.example", "Dr Hélène Fictive", listed=False)
    assert "dr.helene@etoile.example" not in directory.near("dr.helne@etoile.example")
    directory.accept(OTHER, "lilas.example", "removed")
    assert directory.near("dr.martin@lila.example") == ()


def test_near_addresses_in_a_large_institution(directory: Published) -> None:
    entries = [
        replace(mailbox(mailbox_id(100 + number)), address=f"anne.n{number}@lilas.example", name=f"Anne N{number}")
        for number in range(250)
    ]
    directory.many(OTHER, entries)
    assert directory.near("dr.marrtin@lilas.example")[0] == "dr.martin@lilas.example"
    assert directory.near("anne.n249@lilas.exemple")[0] == "anne.n249@lilas.example"


def test_what_is_no_search_is_refused(directory: Published) -> None:
    with pytest.raises(LimitError, match=str(MAX_WORDS)):
        directory.page("mot " * (MAX_WORDS + 1))
    with pytest.raises(LimitError):
        directory.page(institution="mot " * (MAX_WORDS + 1))
    with pytest.raises(LimitError):
        directory.page("x" * 501)
    for limit in (0, MAX_PAGE + 1):
        with pytest.raises(LimitError):
            directory.page("martin", limit=limit)
    with pytest.raises(ConfigError, match="no kind"):
        directory.page("martin", kind="cat")
    for cursor in ("x", "1", "0-99999999999", "999-0", "-", "1-1 "):
        with pytest.raises(ConfigError, match="no page"):
            directory.page("martin", cursor=cursor)


def test_hostile_texts_are_words_like_others(directory: Published) -> None:
    odd = ["%", "_", "*", "martin*", '"', "' UNION SELECT 'a' --", "\x00", "\ufffd", "𝔪𝔞𝔯𝔱𝔦𝔫", "a" * 500]
    assert [len(directory.found(text)) for text in odd] == [0, 0, 0, 2, 0, 0, 0, 0, 2, 0]


def test_institutions_that_are_not_accepted_may_be_many(directory: Published) -> None:
    strangers = [NodeId(bytes([9, number]) * 16) for number in range(110)]
    for number, node in enumerate(strangers):
        directory.institution(node, f"n{number}.example")
        directory.mailbox(node, 1, f"martin@n{number}.example", "Martin Inconnu")
    known = directory.all_found("martin")
    assert [address for _, address in known] == ["dr.martin@lilas.example", "martine@lilas.example"]
    for number, node in enumerate(strangers):
        directory.accept(node, f"n{number}.example")
    assert len(directory.all_found("martin")) == 112
    for number, node in enumerate(strangers[:105]):
        directory.accept(node, f"n{number}.example", "removed")
    assert len(directory.all_found("martin")) == 7


def test_what_is_not_accepted_is_not_shown_even_if_the_index_forgot(directory: Published) -> None:
    with directory.engines.writer.begin() as connection:
        connection.execute(schema.peers.update().values(status="removed"))
    assert directory.found("martin") == []


def test_an_index_of_another_version_is_made_anew(directory: Published) -> None:
    before = directory.all_found("e")
    with directory.engines.writer.begin() as connection:
        connection.execute(schema.search_state.update().values(version="0/older"))
        connection.execute(schema.search_postings.delete())
        connection.execute(schema.search_groups.delete())
    assert directory.found("martin") == []
    with directory.engines.writer.begin() as connection:
        ensure_index(connection)
    assert sorted(directory.all_found("e")) == sorted(before)
    assert before
    assert re.fullmatch(r"\S{3,64}", INDEX_VERSION)
