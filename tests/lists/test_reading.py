"""A list's file read row by row: encodings, what is none, bounded memory. Spec: spec/directory.md, 11."""

from __future__ import annotations

import tracemalloc
from pathlib import Path
from typing import Any

import pytest

from directory_sync.lists.addresses import AddressForm
from directory_sync.lists.listed import BadRow
from directory_sync.lists.listed import Listed as Row
from directory_sync.lists.matching import Matcher, Placed
from node.errors import ConfigError
from node.lists.files import ListFile


def rows_of(path: Path, text: bytes, **options: Any) -> list[Row | BadRow]:
    path.write_bytes(text)
    with ListFile(path=path, domain="a.example", **options).rows() as rows:
        return list(rows)


@pytest.mark.parametrize(
    ("text", "options", "reason"),
    [
        pytest.param(b"name,address\nZo\xe9,z@a.example\n", {}, "line 2 is not utf-8: byte 0xe9", id="latin-1"),
        pytest.param(b"", {}, "no header", id="empty"),
        pytest.param(b"\x00" * 2**20 + b"\n", {}, "line 1 has more than", id="a line without end"),
        pytest.param(b'name,address\n"A,a@a.example\n' + b"x,y\n" * 10, {}, "line 2 is not closed", id="quote"),
        pytest.param(b"{}", {}, "no entry in it", id="no bundle"),
        pytest.param(b'{"entry": [{"resource": {}}, {"resour', {}, "after entry 1", id="bundle cut"),
        pytest.param(b"{nonsense", {}, "no whole JSON", id="no json"),
        pytest.param(b"name,address\n", {"format": "rass"}, "--structure", id="rass without a structure"),
        pytest.param(
            b"name,address\n", {"format": "rass", "structures": frozenset("7")}, "not the national", id="no rass"
        ),
    ],
)
def test_what_is_no_list_is_refused_with_its_place(
    tmp_path: Path, text: bytes, options: dict[str, Any], reason: str
) -> None:
    with pytest.raises(ConfigError) as caught:
        rows_of(tmp_path / "list", text, **options)
    assert reason in caught.value.message + caught.value.hint


def test_a_list_may_lie_in_no_file() -> None:
    file = ListFile(path=Path("staff.csv"), content=b"name;town\nA;Foix\n", domain="a.example")
    assert file.size_bytes == 17
    for _ in range(2):
        with file.rows() as rows:
            assert [row.name for row in rows if isinstance(row, Row)] == ["A"]
    with (
        pytest.raises(ConfigError, match=r"^staff\.csv: no column"),
        ListFile(path=Path("staff.csv"), content=b"a;b\n", domain="a.example").rows() as rows,
    ):
        list(rows)


@pytest.mark.parametrize(
    ("text", "encoding"),
    [
        pytest.param("\ufeffname;town\nZoé;Évry\n".encode(), "utf-8", id="byte order mark"),
        pytest.param("name;town\r\nZoé;Évry\r\n".encode("latin-1"), "latin-1", id="latin-1"),
        pytest.param("name;town\nZoé;Évry".encode("cp1252"), "cp1252", id="no line end at the end"),
    ],
)
def test_encodings(tmp_path: Path, text: bytes, encoding: str) -> None:
    (row,) = rows_of(tmp_path / "list", text, encoding=encoding)
    assert isinstance(row, Row)
    assert (row.name, row.town) == ("Zoé", "Évry")


def test_a_hundred_thousand_rows_are_read_in_bounded_memory(tmp_path: Path) -> None:
    """What is held of a row is what its mailbox and number need to be known again: not the row."""
    row = "p{0}@a.example,Personne {0},Médecin,{1},urn:example:rpps|{0}\n"
    text = "address,name,profession,purpose,identifiers\n" + "".join(row.format(n, "x" * 150) for n in range(100_000))
    path = tmp_path / "list"
    path.write_text(text)
    del text

    file = ListFile(path=path, domain="a.example")
    tracemalloc.start()
    try:
        matcher, placed = Matcher((), "a.example", AddressForm()), 0
        with file.rows() as rows:
            for item in rows:
                assert not isinstance(item, BadRow)
                placed += isinstance(matcher.place(item), Placed)
        assert placed == 100_000
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 100 * 1024 * 1024
