"""CSV: what is written is read back; what is broken is told by its line. Spec: spec/directory.md, 11.3."""

from __future__ import annotations

import csv
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from directory_sync.lists.columns import ColumnMap, column_map
from directory_sync.lists.listed import BadRow, Listed, ListError, NoUsableEntry, changes_between, entry_with
from directory_sync.lists.tables import EXPORTED, delimiter_of, read_table, table_cells, table_line
from protocol.entry import Identifier, MailboxEntry, MailboxKind
from tests.lists.entries import BLANK, entries, lines


def read(text: str, *maps: str, delimiter: str = ",") -> list[Listed | BadRow]:
    return list(read_table(text.splitlines(keepends=True), delimiter, column_map(maps)))


def one(text: str, *maps: str) -> Listed:
    (row,) = read(text, *maps)
    assert isinstance(row, Listed), row
    return row


@given(st.lists(entries(), min_size=1, max_size=3), lines(1))
def test_what_is_exported_is_read_back(published: list[MailboxEntry], institution: str) -> None:
    text = table_line(EXPORTED) + "".join(table_line(table_cells(item, institution, "Occitanie")) for item in published)
    rows = read(text)
    assert [row.address for row in rows if isinstance(row, Listed)] == [item.address for item in published]
    for row, entry in zip(rows, published, strict=True):
        assert isinstance(row, Listed)
        assert entry_with(BLANK, row) == entry
        assert entry_with(entry, row) is entry


@given(entries())
def test_an_export_is_a_table_to_others_and_holds_no_formula(entry: MailboxEntry) -> None:
    (cells,) = csv.reader([table_line(table_cells(entry, "=cmd()", "@SUM(A1)"))])
    assert len(cells) == len(EXPORTED)
    assert not any(cell.startswith(("=", "+", "-", "@")) for cell in cells)
    assert cells[EXPORTED.index("institution")] == "'=cmd()"


@given(st.lists(st.text(max_size=40), max_size=20), st.sampled_from(",;\t|"))
def test_any_lines_are_read_or_refused_and_nothing_else_happens(text: list[str], delimiter: str) -> None:
    with suppress(ListError):
        for row in read_table(["name,address\n", *text], delimiter, ColumnMap()):
            assert isinstance(row, Listed | BadRow)


HEADER = "address,name,kind,identifiers,max_bytes,listed,languages\n"


@pytest.mark.parametrize(
    ("row", "where", "reason"),
    [
        pytest.param("a@b.example,A\n", "line 3", "2 cells under 7 columns; the file may be cut here", id="cut"),
        pytest.param("a@b.example,A,,,,,,\n", "line 3", "8 cells under 7 columns", id="too many cells"),
        pytest.param("a@b.example,A,robot,,,,\n", "line 3", "no kind 'robot'", id="kind"),
        pytest.param("a@b.example,A,,10001,,,\n", "line 3", "SYSTEM|VALUE", id="identifier"),
        pytest.param("a@b.example,A,,a|b|c,,,\n", "line 3", "SYSTEM|VALUE", id="identifier of three parts"),
        pytest.param("a@b.example,A,,,2 GB,,\n", "line 3", "no number of bytes", id="size"),
        pytest.param("a@b.example,A,,,,perhaps,\n", "line 3", "neither yes nor no", id="listed"),
        pytest.param('a@b.example,"A"B,,,,,\n', "line 3", "no row of a table", id="quote within a cell"),
    ],
)
def test_bad_row_is_told_and_the_others_are_kept(row: str, where: str, reason: str) -> None:
    good = "c@b.example,C,,,,,\n"
    first, bad, last = read(HEADER + good + row + good)
    assert isinstance(bad, BadRow)
    assert bad.where == where
    assert reason in bad.reason
    assert isinstance(first, Listed)
    assert isinstance(last, Listed)
    assert (first.where, last.where) == ("line 2", "line 4")


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        pytest.param("", "no header", id="empty"),
        pytest.param("adresse,nom\na@b.example,A\n", "there are: adresse, nom", id="unknown columns"),
        pytest.param("name,name,address\n", "twice", id="a column twice"),
        pytest.param('name,address\n"A,a@b.example\nB,b@b.example\n', "line 2 is not closed", id="open quote"),
        pytest.param('name\n"' + "x" * 200_000 + '"\n', "line 2 is not closed", id="endless cell"),
        pytest.param(",".join(f"c{n}" for n in range(1001)) + "\n", "more than", id="too many columns"),
    ],
)
def test_what_is_no_table_is_refused(text: str, reason: str) -> None:
    with pytest.raises(ListError, match=reason):
        read(text)


def test_columns_are_mapped_joined_and_translated() -> None:
    table = {
        "columns": {"name": ["Titre", "Prénom", "Nom"], "profession": "Métier"},
        "identifiers": {"urn:example:rpps": "RPPS"},
        "values": {"profession": {"10": "Médecin"}},
    }
    text = "Nom;Prénom;Titre;RPPS;Métier;Mél\nFICTIVE; Aline ;Dr;10001;10;a@b.example\nEXEMPLE;Clara;;;11;\n"
    columns = column_map(["address=Mél"], table)
    first, second = read_table(text.splitlines(keepends=True), delimiter_of(text.split("\n")[0]), columns)
    assert isinstance(first, Listed)
    assert isinstance(second, Listed)
    assert (first.name, first.profession, first.address) == ("Dr Aline FICTIVE", "Médecin", "a@b.example")
    assert first.identifiers == (Identifier("urn:example:rpps", "10001"),)
    assert (second.name, second.profession, second.address) == ("Clara EXEMPLE", "11", "")
    assert second.identifiers == ()
    # The list knows of one register only: numbers of others stay.
    held = (Identifier("local", "7"), Identifier("urn:example:rpps", "9"))
    assert entry_with(mailbox_with(held), first).identifiers == (held[0], Identifier("urn:example:rpps", "10001"))
    assert entry_with(mailbox_with(held), second).identifiers == held[:1]


def mailbox_with(identifiers: tuple[Identifier, ...]) -> MailboxEntry:
    return entry_with(BLANK, Listed(where="", name="Dr Aline Fictive", identifiers=identifiers))


@pytest.mark.parametrize(
    ("maps", "table"),
    [
        pytest.param(["name"], {}, id="no column"),
        pytest.param(["nom=Nom"], {}, id="unknown field"),
        pytest.param([], {"column": {}}, id="unknown part"),
        pytest.param([], {"columns": {"nom": "Nom"}}, id="unknown field in the file"),
        pytest.param([], {"columns": {"name": 3}}, id="a number"),
        pytest.param([], {"columns": {"name": []}}, id="no columns"),
        pytest.param([], {"columns": "name"}, id="no table"),
        pytest.param([], {"values": {"profession": "10"}}, id="values without a table"),
    ],
)
def test_wrong_map_is_refused(maps: list[str], table: dict[str, object]) -> None:
    with pytest.raises(ListError):
        column_map(maps, table)


@pytest.mark.parametrize(
    ("header", "delimiter"),
    [("a;b;c", ";"), ("a,b", ","), ("a\tb", "\t"), ("a|b|c,d", "|"), ("name", ","), ('"a,b,c";d', ";")],
)
def test_delimiter_is_seen(header: str, delimiter: str) -> None:
    assert delimiter_of(header) == delimiter


def test_what_a_column_does_not_say_stays() -> None:
    row = one("name,town\nDr Clara Exemple,\n")
    entry = entry_with(BLANK, Listed(where="", name="Dr Aline Fictive", town="Toulouse", unit="Pavillon 3"))
    changed = entry_with(entry, row)
    assert (changed.name, changed.town, changed.unit) == ("Dr Clara Exemple", "", "Pavillon 3")
    told = [(item.field, item.before, item.after) for item in changes_between(entry, changed)]
    assert told == [("name", "Dr Aline Fictive", "Dr Clara Exemple"), ("town", "Toulouse", "")]


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        pytest.param(Listed(where="", name=""), "name is empty", id="empty name"),
        pytest.param(Listed(where="", name="x" * 201), "name is no text of 1 to 200 bytes", id="long name"),
        pytest.param(Listed(where="", unit="a\u202eb"), "invisible", id="hidden direction"),
        pytest.param(Listed(where="", languages=("français",)), "languages is not of its form", id="language"),
        pytest.param(Listed(where="", classes=("later",)), "unknown class", id="class"),
        pytest.param(Listed(where="", max_bytes=0), "max", id="takes nothing"),
        pytest.param(
            Listed(where="", identifiers=tuple(Identifier("s", str(n)) for n in range(17))),
            "ids",
            id="too many identifiers",
        ),
        pytest.param(
            Listed(
                where="",
                types=tuple(f"application/{n:088}" for n in range(64)),
                identifiers=tuple(Identifier("s" * 200, f"{n:0200}") for n in range(16)),
            ),
            "8192",
            id="entry too large",
        ),
    ],
)
def test_what_cannot_be_published_is_said(row: Listed, reason: str) -> None:
    with pytest.raises(NoUsableEntry, match=reason):
        entry_with(BLANK, row)


def test_kind_is_read_in_any_case() -> None:
    assert one("name,kind\nUrgences,SERVICE\n").kind is MailboxKind.SERVICE
    assert one("name,kind\nUrgences,\n").kind is None
