"""Which mailbox a row is about. Spec: spec/directory.md, 11.2."""

from __future__ import annotations

import pytest

from directory_sync.lists.addresses import AddressForm
from directory_sync.lists.listed import BadRow, Listed, ListError
from directory_sync.lists.matching import Held, Matcher, Placed
from protocol.entry import Identifier, MailboxKind
from protocol.ids import MailboxId

RPPS = "urn:example:rpps"
LOCAL = "urn:example:local"


def held(number: int, local: str, *identifiers: Identifier, is_open: bool = True, kind: str = "person") -> Held:
    mailbox = MailboxId(number.to_bytes(16, "big"))
    return Held(mailbox, f"{local}@pont.example", MailboxKind(kind), is_open, identifiers)


ALINE = held(1, "aline.fictive", Identifier(RPPS, "1"), Identifier(LOCAL, "a"))
CLARA = held(2, "clara.exemple", Identifier(RPPS, "2"))
NOBODY = held(3, "aline.martin")
GONE = held(4, "marie.modele", Identifier(RPPS, "4"), is_open=False)
WARD = held(5, "urgences", kind="service")
HOUSE = (ALINE, CLARA, NOBODY, GONE, WARD)


def matcher(form: str = "{given}.{family}") -> Matcher:
    return Matcher(HOUSE, "pont.example", AddressForm(form))


def row(where: str = "line 2", *, rpps: str = "", local: str = "", **fields: str) -> Listed:
    identifiers = [Identifier(system, value) for system, value in ((RPPS, rpps), (LOCAL, local)) if value]
    said = {"name": "Dr Aline Fictive", **fields}
    return Listed(where=where, identifiers=tuple(identifiers), **said)  # type: ignore[arg-type]


MARTIN = {"given": "Aline", "family": "MARTIN"}


@pytest.mark.parametrize(
    ("told", "found", "address"),
    [
        pytest.param(row(rpps="1"), ALINE, "aline.fictive@pont.example", id="by identifier"),
        pytest.param(row(address="Aline.Fictive@pont.example"), ALINE, "aline.fictive@pont.example", id="by address"),
        pytest.param(row(rpps="2", address="clara.exemple@pont.example"), CLARA, CLARA.address, id="by both"),
        pytest.param(row(rpps="9", address="aline.martin@pont.example"), NOBODY, NOBODY.address, id="first identifier"),
        pytest.param(row(rpps="1", local="b"), ALINE, ALINE.address, id="one identifier new"),
        pytest.param(row(rpps="9", address="neuf@pont.example"), None, "neuf@pont.example", id="new"),
        pytest.param(row(rpps="9", given="Zoé", family="Œuf d'Or"), None, "zoe.oeuf-d-or@pont.example", id="made"),
        pytest.param(row(rpps="9", name="Zoé Or"), None, "zoe.or@pont.example", id="made of the whole name"),
        pytest.param(
            row(rpps="9", given="Aline", family="Fictive"), None, "aline.fictive2@pont.example", id="namesake"
        ),
        pytest.param(row(rpps="9", given="Marie", family="Modèle"), None, "marie.modele2@pont.example", id="came back"),
        pytest.param(row(**MARTIN), NOBODY, NOBODY.address, id="by the made address, without identifiers"),
        pytest.param(row(rpps="4", given="Marie", family="Modèle"), None, "marie.modele2@pont.example", id="closed"),
    ],
)
def test_row_belongs_to(told: Listed, found: Held | None, address: str) -> None:
    assert matcher().place(told) == Placed(told, None if found is None else found.mailbox, address)


@pytest.mark.parametrize(
    ("told", "reason"),
    [
        pytest.param(row(address="neuf"), "'neuf' is no address", id="no address"),
        pytest.param(row(address="neuf@lilas.example"), "not of this institution's domain", id="foreign domain"),
        pytest.param(row(rpps="1", address="neuf@pont.example"), "an address is not changed", id="other address"),
        pytest.param(row(rpps="1", address=CLARA.address), "an address is not changed", id="address of another"),
        pytest.param(row(rpps="9", address=CLARA.address), "is of 2 in urn:example:rpps, this row of 9", id="namesake"),
        pytest.param(row(rpps="2", local="a"), "are those of aline.fictive@", id="two mailboxes"),
        pytest.param(row(address=GONE.address), "is closed, and stays so", id="closed"),
        pytest.param(row(address="neuf@pont.example", name=""), "no name", id="no name"),
        pytest.param(row(name="漢字"), "no name to make one of", id="no letters for an address"),
        pytest.param(row(name=""), "no name to make one of", id="nothing"),
        pytest.param(row(rpps="9", **MARTIN), "has no such identifier: list it with both", id="perhaps the same"),
    ],
)
def test_row_is_refused(told: Listed, reason: str) -> None:
    found = matcher().place(told)
    assert isinstance(found, BadRow)
    assert found.where == "line 2"
    assert reason in found.reason


@pytest.mark.parametrize(
    ("first", "second", "reason"),
    [
        pytest.param(row(rpps="9"), row("line 3", rpps="9"), "identifier 9 stands in line 2", id="identifier"),
        pytest.param(
            row(address="a@pont.example"), row("line 3", address="a@pont.example"), "a@pont.example stands", id="new"
        ),
        pytest.param(row(rpps="1"), row("line 3", address=ALINE.address), "stands in line 2", id="one mailbox"),
        pytest.param(row(**MARTIN), row("line 3", **MARTIN), "stands in line 2 already", id="one made address"),
        pytest.param(
            row(name="Zoé Or"), row("line 3", name="Zoe Or"), "made of the name, stands in line 2", id="names"
        ),
    ],
)
def test_what_stands_twice_counts_once(first: Listed, second: Listed, reason: str) -> None:
    judge = matcher()
    assert isinstance(judge.place(first), Placed)
    found = judge.place(second)
    assert isinstance(found, BadRow)
    assert (found.where, reason in found.reason) == ("line 3", True)


def test_namesakes_with_numbers_get_an_address_each() -> None:
    judge = matcher()
    placed = [judge.place(row(f"line {n}", rpps=str(90 + n), given="Zoé", family="Or")) for n in range(3)]
    addresses = [item.address for item in placed if isinstance(item, Placed)]
    assert addresses == ["zoe.or@pont.example", "zoe.or2@pont.example", "zoe.or3@pont.example"]


def test_missing_are_those_of_the_kinds_that_the_list_has() -> None:
    judge = matcher()
    assert judge.missing(None) == []
    judge.place(row(rpps="1"))
    assert judge.missing(None) == [NOBODY, CLARA]
    assert judge.missing(frozenset({RPPS})) == [CLARA]
    judge.place(row("line 3", address=WARD.address))
    judge.place(row("line 4", rpps="2"))
    assert judge.missing(None) == [NOBODY]


@pytest.mark.parametrize(
    ("form", "address"),
    [
        ("{initial}{family}", "jm.de-la-tour"),
        ("dr.{family}", "dr.de-la-tour"),
        ("{family}.{given}", "de-la-tour.jean-marie"),
    ],
)
def test_forms_of_addresses(form: str, address: str) -> None:
    found = matcher(form.replace("{initial}", "{initial}.") if "initial" in form else form).place(
        row(rpps="9", given="Jean-Marie", family="de la Tour")
    )
    assert isinstance(found, Placed)
    assert found.address == f"{address}@pont.example"


@pytest.mark.parametrize("form", ["", "family", "{nom}", "{family}@{given}", "{family} {given}", "{Family}"])
def test_wrong_form_is_refused(form: str) -> None:
    with pytest.raises(ListError):
        AddressForm(form)


def test_long_names_make_an_address_all_the_same() -> None:
    found = matcher().place(row(rpps="9", given="a" * 48, family="b" * 48))
    assert isinstance(found, Placed)
    assert len(found.address.partition("@")[0]) <= 64
