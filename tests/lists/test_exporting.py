"""What is exported, on both databases, and brought in again. Spec: spec/directory.md, 11."""

from __future__ import annotations

import csv
import io
from pathlib import Path

import pytest
from trio.testing import MockClock

from node.errors import ConfigError, StoreError
from node.lists.exporting import EXPORT_FORMATS, new_file
from node.vault.search.directory_search import SearchQuery
from tests.lists.scene import LIST, listed


@pytest.mark.parametrize("form", ["csv", "fhir"])
async def test_own_export_is_the_same_mailboxes_again(
    autojump_clock: MockClock, tmp_path: Path, database_url: str, form: str
) -> None:
    async with listed(tmp_path, database_url) as a:
        await a.bring(LIST)
        versions, entries = await a.versions(), await a.entries()
        text = await a.export(form, own=True)
        assert (await a.plan(text)).unchanged == 4
        # Everything changed, then the export brought in: as before.
        await a.bring(LIST.replace(",Médecin,Toulouse", ",,").replace("Infirmière", "Cadre").replace("Bob", "Robert"))
        assert (await a.entries())["bob@a.example"].name == "Robert Argent"
        assert (await a.bring(text)).changed == 3
        assert await a.entries() == entries
        assert await a.versions() != versions
        # Another institution of the same domain, from nothing: the same but for ids and keys.
        async with listed(tmp_path / "other") as b:
            b.folder = tmp_path
            b.files = 7
            await b.bring(text)
            assert await b.export("csv", own=True, query=SearchQuery()) != ""
            rows = sorted(csv.reader(io.StringIO(await b.export("csv", own=True))))
            assert rows == sorted(csv.reader(io.StringIO(await a.export("csv", own=True))))


async def test_an_export_has_what_a_search_finds(autojump_clock: MockClock, tmp_path: Path, database_url: str) -> None:
    async with listed(tmp_path, database_url) as a:
        await a.bring(LIST + "".join(f"p{number}@a.example,Personne {number},,,,\n" for number in range(230)))
        await a.node.mailboxes.close("p3@a.example")
        await a.bring("address,name,listed\np4@a.example,Personne 4,no\n")

        def addresses(text: str) -> list[str]:
            return [row[0] for row in csv.reader(io.StringIO(text))][1:]

        everything = addresses(await a.export())
        assert len(everything) == len(set(everything)) == 4 + 230 - 2
        assert not {"p3@a.example", "p4@a.example"} & set(everything)
        own = addresses(await a.export(own=True))
        assert set(own) == {*everything, "p4@a.example"}
        assert addresses(await a.export(query=SearchQuery(kind="service"))) == ["urgences@a.example"]
        assert addresses(await a.export(own=True, query=SearchQuery(kind="service"))) == ["urgences@a.example"]
        assert addresses(await a.export(query=SearchQuery(town="toulouse"))) == ["zoe.or@a.example"]
        assert len(addresses(await a.export(query=SearchQuery(text="personne")))) == 228
        assert addresses(await a.export(query=SearchQuery(text="nobody"))) == []
        for form in EXPORT_FORMATS:
            assert "zoe.or@a.example" in await a.export(form)


def test_a_file_gets_its_name_when_it_is_whole(tmp_path: Path) -> None:
    def write_half() -> None:
        with new_file(tmp_path / "out") as stream:
            stream.write("half")
            raise RuntimeError

    with pytest.raises(RuntimeError):
        write_half()
    assert list(tmp_path.iterdir()) == []
    with new_file(tmp_path / "out") as stream:
        stream.write("whole")
    assert [(item.name, item.read_text()) for item in tmp_path.iterdir()] == [("out", "whole")]
    with pytest.raises(ConfigError, match="there already"), new_file(tmp_path / "out"):
        pass
    assert [(item.name, item.read_text()) for item in tmp_path.iterdir()] == [("out", "whole")]
    with pytest.raises(StoreError, match="No such file"), new_file(tmp_path / "nowhere" / "out"):
        pass
