"""A list brought into the vault, on both databases; what is exported and brought in again.

Spec: spec/directory.md, 11.
"""

from __future__ import annotations

import csv
import io
import stat
import tracemalloc
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from trio.testing import MockClock

from directory_sync.lists.addresses import AddressForm
from directory_sync.lists.columns import ColumnMap, column_map
from directory_sync.lists.listed import BadRow
from directory_sync.lists.listed import Listed as Row
from directory_sync.lists.matching import Matcher, Placed
from node.app import Node
from node.errors import ConfigError, LimitError, StateError, StoreError, WrongSecretError
from node.lists import importing
from node.lists.exporting import EXPORT_FORMATS, Exporter, new_file
from node.lists.files import ListFile
from node.lists.importing import Change, Importer, New, Outcome, Plan, Step
from node.lists.passwords import PasswordsFile
from node.vault.feed_store import EPOCH, load_feed
from node.vault.search.directory_search import SearchQuery
from protocol.crypto import Secret
from protocol.entry import EntryStatus, MailboxEntry, MailboxKind
from tests.post.harness import PASSWORD, Federation, Institution

LIST = """address,name,kind,profession,town,identifiers
,Zoé Or,person,Médecin,Toulouse,urn:example:rpps|1
bob@a.example,Bob Argent,person,,,urn:example:rpps|2
urgences@a.example,Urgences,service,,,
x@b.example,Ailleurs,,,,
anna@a.example,Dr Anna Fictive,,Infirmière,,
"""


@dataclass
class Listed:
    """One list, imported into one institution."""

    node: Node
    folder: Path
    columns: ColumnMap = field(default_factory=ColumnMap)
    options: dict[str, Any] = field(default_factory=dict)
    steps: list[Step] = field(default_factory=list)
    files: int = 0

    def importer(self, text: str | bytes, **options: Any) -> Importer:
        path = self.folder / "list"
        path.write_bytes(text.encode() if isinstance(text, str) else text)
        file = ListFile(path=path, domain="a.example", **{"columns": self.columns, **self.options, **options})
        node = self.node
        return Importer(
            file,
            mailboxes=node.mailboxes,
            directory=node.directory,
            database=node.database,
            form=AddressForm(),
            quota_bytes=2**30,
        )

    async def plan(self, text: str | bytes, **options: Any) -> Plan:
        self.steps = []
        return await self.importer(text, **options).plan(self.steps.append, lambda _done: None)

    async def bring(self, text: str | bytes, *, close: bool = False, **options: Any) -> Outcome:
        """Plan and apply; first passwords go to files passwords.1, …"""
        importer = self.importer(text, **options)
        self.steps = []
        plan = await importer.plan(self.steps.append, lambda _done: None)
        self.files += 1
        with PasswordsFile.made(self.folder / f"passwords.{self.files}") as words:
            return await importer.apply(lambda _done: None, words, plan.missing if close else ())

    def passwords(self) -> dict[str, str]:
        rows = list(csv.reader(io.StringIO((self.folder / f"passwords.{self.files}").read_text())))[1:]
        return {address: word for address, _, word in rows}

    async def entries(self) -> dict[str, MailboxEntry]:
        found = await self.node.database.read(lambda connection: list(self.node.directory.own_mailboxes(connection)))
        return {entry.address: entry for entry in found}

    async def versions(self) -> dict[bytes, int]:
        state, _ = await self.node.database.read(load_feed, self.node.node_id, EPOCH)
        return {subject: live.operation.leaf.version for subject, live in state.live.items()}

    async def export(self, form: str = "csv", **options: Any) -> str:
        exporter = Exporter(self.node.database, self.node.directory)
        stream = io.StringIO(newline="")
        await exporter.write(stream, form, options.pop("query", SearchQuery()), **options)
        return stream.getvalue()


@asynccontextmanager
async def listed(tmp_path: Path, database: str = "") -> AsyncIterator[Listed]:
    """An institution a.example with one mailbox, anna."""
    folder = tmp_path / "nodes"
    folder.mkdir(parents=True)
    async with Federation.opened(folder) as federation:
        institution: Institution = await federation.make("a", database=database)
        await institution.add("anna")
        yield Listed(institution.node, tmp_path)


def rows_of(path: Path, text: bytes, **options: Any) -> list[Row | BadRow]:
    path.write_bytes(text)
    with ListFile(path=path, domain="a.example", **options).rows() as rows:
        return list(rows)


def told(steps: list[Step]) -> list[str]:
    """The steps, each in a few words."""
    return [f"{type(step).__name__} {step.where if isinstance(step, BadRow | New) else step.address}" for step in steps]


async def test_a_list_is_planned_brought_in_and_then_nothing_is_left(
    autojump_clock: MockClock, tmp_path: Path, database_url: str
) -> None:
    async with listed(tmp_path, database_url) as a:
        before = await a.versions()
        plan = await a.plan(LIST)
        assert told(a.steps) == ["New line 2", "New line 3", "New line 4", "BadRow line 5", "Change anna@a.example"]
        assert (plan.new, plan.changed, plan.unchanged, plan.bad, plan.missing) == (3, 1, 0, 1, ())
        change = a.steps[-1]
        assert isinstance(change, Change)
        assert [(item.field, item.before, item.after) for item in change.fields] == [("profession", "", "Infirmière")]
        assert await a.versions() == before

        done = await a.bring(LIST)
        assert (done.new, done.changed, done.closed, done.failed) == (3, 1, 0, ())
        entries = await a.entries()
        assert set(entries) == {f"{local}@a.example" for local in ("zoe.or", "bob", "urgences", "anna")}
        assert entries["urgences@a.example"].kind is MailboxKind.SERVICE
        assert entries["anna@a.example"].profession == "Infirmière"
        assert (await a.versions())[entries["anna@a.example"].mailbox] == 2
        found = await a.node.database.read(a.node.directory.search.page, SearchQuery(text="zoe medecin"))
        assert [match.shown.address for match in found.matches] == ["zoe.or@a.example"]

        versions = await a.versions()
        again = await a.bring(LIST)
        assert (again.new, again.changed, again.closed) == (0, 0, 0)
        assert await a.versions() == versions
        assert a.passwords() == {}


async def test_first_passwords_open_once_to_set_another(
    autojump_clock: MockClock, tmp_path: Path, database_url: str
) -> None:
    async with listed(tmp_path, database_url) as a:
        await a.bring(LIST)
        file = tmp_path / "passwords.1"
        assert stat.S_IMODE(file.stat().st_mode) == 0o600
        words = a.passwords()
        assert set(words) == {"zoe.or@a.example", "bob@a.example", "urgences@a.example"}
        assert len(set(words.values())) == 3
        assert all(len(word.replace("-", "")) == 26 for word in words.values())
        boxes, first = a.node.mailboxes, Secret(words["bob@a.example"].encode())
        with pytest.raises(StateError, match="first password") as caught:
            await boxes.open("bob@a.example", first)
        assert "coffre mailbox password bob@a.example" in caught.value.hint
        with pytest.raises(WrongSecretError):
            await boxes.open("bob@a.example", Secret(words["zoe.or@a.example"].encode()), to_set_another=True)
        opened = await boxes.open("bob@a.example", first, to_set_another=True)
        await boxes.change_password(opened, PASSWORD)
        assert (await boxes.open("bob@a.example", PASSWORD)).secrets.sign == opened.secrets.sign
        with pytest.raises(WrongSecretError):
            await boxes.open("bob@a.example", first, to_set_another=True)


async def test_a_first_password_stays_one_when_new_keys_are_made(
    autojump_clock: MockClock, tmp_path: Path, database_url: str
) -> None:
    """Else whoever saw the list of passwords could go on with one of them, unnoticed."""
    async with listed(tmp_path, database_url) as a:
        await a.bring(LIST)
        boxes, sharing, address = a.node.mailboxes, a.node.sharing, "urgences@a.example"
        first = Secret(a.passwords()[address].encode())
        before = await boxes.open(address, first, to_set_another=True)
        await sharing.add_member(before, "anna@a.example")
        await sharing.remove_member(address, "anna@a.example")
        opened = await boxes.open(address, first, to_set_another=True)
        assert opened.secrets.read != before.secrets.read
        with pytest.raises(StateError, match="first password"):
            await boxes.open(address, first)
        await boxes.change_password(opened, PASSWORD)
        assert (await boxes.open(address, PASSWORD)).secrets.read == opened.secrets.read


async def test_who_is_acted_for_stays_of_its_kind(autojump_clock: MockClock, tmp_path: Path, database_url: str) -> None:
    async with listed(tmp_path, database_url) as a:
        await a.bring(LIST)
        address = "urgences@a.example"
        first = Secret(a.passwords()[address].encode())
        opened = await a.node.mailboxes.open(address, first, to_set_another=True)
        await a.node.sharing.add_member(opened, "anna@a.example")
        listing = "address,kind\nurgences@a.example,person\nanna@a.example,service\nbob@a.example,service\n"
        done = await a.bring(listing)
        assert done.changed == 1
        assert [item.split(":")[0] for item in done.failed] == [address, "anna@a.example"]
        assert all("has members or deputies, or is one" in item for item in done.failed)
        kinds = {address: entry.kind for address, entry in (await a.entries()).items()}
        assert kinds[address] is MailboxKind.SERVICE
        assert (kinds["anna@a.example"], kinds["bob@a.example"]) == (MailboxKind.PERSON, MailboxKind.SERVICE)


async def test_missing_ones_are_closed_when_asked(autojump_clock: MockClock, tmp_path: Path, database_url: str) -> None:
    async with listed(tmp_path, database_url) as a:
        await a.bring(LIST)
        less = "".join(line for line in LIST.splitlines(keepends=True) if "bob@" not in line and "Urg" not in line)
        plan = await a.plan(less)
        # No service is in this list: it says nothing of services.
        assert [item.address for item in plan.missing] == ["bob@a.example"]
        assert (await a.bring(less)).closed == 0
        assert (await a.bring(less, close=True)).closed == 1
        entries = await a.entries()
        assert {address for address, entry in entries.items() if entry.status is EntryStatus.CLOSED} == {
            "bob@a.example"
        }
        # Back in the list: it stays closed, and the row is told.
        plan = await a.plan(LIST)
        assert told(a.steps)[1] == "BadRow line 3"
        assert "closed, and stays so" in str(a.steps[1])
        assert plan.missing == ()


async def test_what_changes_under_way_is_told_and_the_rest_is_done(
    autojump_clock: MockClock, tmp_path: Path, database_url: str
) -> None:
    async with listed(tmp_path, database_url) as a:
        await a.bring(LIST)
        changed = LIST.replace("Infirmière", "Cadre").replace("Médecin", "Interne") + "neuf@a.example,Neuf,,,,\n"
        importer = a.importer(changed)
        plan = await importer.plan(lambda _step: None, lambda _done: None)
        assert (plan.new, plan.changed) == (1, 2)
        await a.node.mailboxes.close("anna@a.example")
        new = a.node.mailboxes.prepare(address="neuf@a.example", name="Neuf", quota_bytes=1)
        await a.node.mailboxes.create(new, PASSWORD)
        with PasswordsFile.made(tmp_path / "words") as words:
            done = await importer.apply(lambda _done: None, words, plan.missing)
        assert (done.new, done.changed) == (0, 1)
        assert ["neuf@a.example exists already" in item for item in done.failed].count(True) == 1
        assert any("anna@a.example" in item and "not open" in item for item in done.failed)
        assert (await a.entries())["zoe.or@a.example"].profession == "Interne"


async def test_batches_of_a_long_list(
    autojump_clock: MockClock, tmp_path: Path, database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """More rows than a batch, and more operations than a feed has without a snapshot: 256."""
    monkeypatch.setattr(importing, "BATCH", 70)
    rows = [f"p{number}@a.example,Personne {number}\n" for number in range(300)]
    async with listed(tmp_path, database_url) as a:
        come: list[int] = []
        importer = a.importer("address,name\n" + "".join(rows))
        plan = await importer.plan(lambda _step: None, come.append)
        assert (plan.new, come[-1]) == (300, (tmp_path / "list").stat().st_size)
        with PasswordsFile.made(tmp_path / "words") as words:
            assert (await importer.apply(lambda _done: None, words)).new == 300
        assert len(await a.entries()) == 301
        # What followers check holds of what was written.
        await a.node.database.read(a.node.directory.search.page, SearchQuery(text="personne"))
        assert (await a.plan("address,name\n" + "".join(rows))).unchanged == 300


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


async def test_a_feed_that_nobody_would_take_is_refused(
    autojump_clock: MockClock, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(importing, "MAX_MAILBOXES", 3)
    async with listed(tmp_path) as a:
        with pytest.raises(LimitError, match="1 mailboxes and 3 new ones"):
            await a.plan(LIST)


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


async def test_a_column_map_is_used(autojump_clock: MockClock, tmp_path: Path) -> None:
    async with listed(tmp_path) as a:
        a.columns = column_map(["name=Nom", "address=Mél", "id:urn:example:rpps=N° RPPS"])
        await a.bring("Nom;Mél;N° RPPS\nZoé;zoe@a.example;1\nAnna;anna@a.example;2\n")
        entries = await a.entries()
        assert [item.value for item in entries["anna@a.example"].identifiers] == ["2"]
        # Now the number alone is enough.
        assert (await a.plan("Nom;Mél;N° RPPS\nAnna;;2\n")).unchanged == 1


async def test_no_new_mailbox_without_its_password_on_disk(
    autojump_clock: MockClock, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with listed(tmp_path) as a:
        importer = a.importer(LIST)
        await importer.plan(lambda _step: None, lambda _done: None)
        with pytest.raises(StateError, match="no file for their passwords"):
            await importer.apply(lambda _done: None, None)
        with PasswordsFile.made(tmp_path / "full") as words, monkeypatch.context() as patch:
            patch.setattr("node.lists.passwords.os.fsync", _no_space)
            with pytest.raises(StoreError, match="No space"):
                await importer.apply(lambda _done: None, words)
        assert set(await a.entries()) == {"anna@a.example"}
        with pytest.raises(ConfigError, match="there already"), PasswordsFile.made(tmp_path / "full"):
            pass


def _no_space(_descriptor: int) -> None:
    raise OSError(28, "No space left on device")


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
