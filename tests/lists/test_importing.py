"""A list brought into the vault, on both databases.

Spec: spec/directory.md, 11.
"""

from __future__ import annotations

import stat
from pathlib import Path

import pytest
from trio.testing import MockClock

from directory_sync.lists.columns import column_map
from directory_sync.lists.listed import BadRow
from node.errors import ConfigError, LimitError, StateError, StoreError, WrongSecretError
from node.lists import importing
from node.lists.importing import Change, New, Step
from node.lists.passwords import PasswordsFile
from node.vault.search.directory_search import SearchQuery
from protocol.crypto import Secret
from protocol.entry import EntryStatus, MailboxKind
from tests.lists.scene import LIST, listed
from tests.post.harness import PASSWORD


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


async def test_a_feed_that_nobody_would_take_is_refused(
    autojump_clock: MockClock, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(importing, "MAX_MAILBOXES", 3)
    async with listed(tmp_path) as a:
        with pytest.raises(LimitError, match="1 mailboxes and 3 new ones"):
            await a.plan(LIST)


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
