"""Which spellings look like which. Spec: spec/directory.md, 13."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from directory_sync.acquaintance import alike_warnings
from directory_sync.spellings import (
    alike_domains,
    are_alike_domains,
    domain_spellings,
    has_mixed_scripts,
    latin_look,
    name_key,
    spellings,
)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("clinique-du-lac.example", "c1inique-du-lac.example"),
        ("clinique-du-lac.example", "cliniquedu-lac.example"),
        ("clinique-du-lac.example", "clinique.du-lac.example"),
        ("clinique-du-lac.example", "cliniqe-du-lac.example"),
        ("clinique-du-lac.example", "clniique-du-lac.example"),
        ("clinique-du-lac.example", "cliniqque-du-lac.example"),
        ("samaritains.example", "sarnaritains.example"),
        ("vvaldeck.example", "waldeck.example"),
        ("toulouse.example", "t0ulouse.example"),
        ("toulouse.example", "toulouze.example"),
        ("1l0o.example", "ll0o.example"),
    ],
)
def test_domains_that_are_mistaken_for_each_other(one: str, other: str) -> None:
    assert are_alike_domains(one, other)
    assert are_alike_domains(other, one)
    assert alike_domains([other, "pont.example", one, one]) == [tuple(sorted((one, other)))]


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("pont.example", "pont.example"),
        ("a.example", "b.example"),
        ("chu.example", "chr.example"),
        ("site-2.example", "site-3.example"),
        ("clinique2.example", "clinique3.example"),
        ("tilleuls.example", "lilas.example"),
        ("saint-jean.example", "saint-jude.example"),
        ("clinique.example", "clinique.test"),
    ],
)
def test_domains_that_are_merely_near(one: str, other: str) -> None:
    assert not are_alike_domains(one, other)
    assert alike_domains([one, other]) == []


_DOMAINS = st.from_regex(r"[a-z0-9]{1,12}(-[a-z01]{1,8})?\.[a-z]{2,8}", fullmatch=True)


@given(_DOMAINS)
def test_whatever_is_like_a_domain_is_so_from_both_sides(domain: str) -> None:
    near = domain_spellings(domain)
    assert domain not in near
    assert len(set(near)) == len(near)
    for other in near[:: max(1, len(near) // 10)]:
        # Two places at once in one direction may be written otherwise in the other; a slip is a slip.
        assert are_alike_domains(other, domain) or len(other) != len(domain) or set("01owlrnvm") & set(domain)


@given(st.text("m01lorn.vw-_", min_size=1, max_size=64))
def test_the_worst_address_has_a_bounded_number_of_spellings(local: str) -> None:
    found = spellings(local)
    assert len(found) <= 1000
    assert local not in found


def test_long_domains_cost_no_more_than_look_alikes() -> None:
    long = ".".join(["toulouse-l0" * 5] * 4)
    assert len(domain_spellings(long)) <= 1000


def test_addresses_that_look_alike() -> None:
    assert "marie.1emoine" in spellings("marie.lemoine")
    assert "rnarie.lernoine" in spellings("marie.lemoine")
    assert "marie-lemoine" in spellings("marie.lemoine")
    assert "marie.lemoyne" not in spellings("marie.lemoine")


@pytest.mark.parametrize("name", ["Dr Aline Fictive", "Zoé Lœfgren-O’Neil", "José Núñez", "Страница", "山田 はなこ"])
def test_names_that_are_written_as_people_write_them(name: str) -> None:
    assert not has_mixed_scripts(name)


@pytest.mark.parametrize("name", ["Dr Aline Fiсtive", "Ηélène Modèle", "Маrie"])
def test_names_in_mixed_scripts(name: str) -> None:
    assert has_mixed_scripts(name)
    assert latin_look(name).isascii() or "é" in latin_look(name)


def test_persons_are_compared_by_their_names_alone() -> None:
    assert name_key("Dr Aline FICTIVE") == name_key("Fictive, Aline") == "aline fictive"
    assert name_key("Pr. Hélène Modèle") == name_key("Mme HELENE MODELE")
    assert name_key("Accueil") == name_key("Dr Fictive") == ""
    assert name_key(latin_look("Аnnа Fiсtive")) == "anna fictive"
    assert name_key("\u0301\u0302") == ""


def test_what_an_administrator_is_told_of_a_newcomer() -> None:
    known = [("Clinique du Lac", "clinique-du-lac.example"), ("Hôpital Saint-Jean", "saint-jean.example")]
    assert alike_warnings("Cabinet des Lilas", "lilas.example", known) == ()
    assert alike_warnings("HÔPITAL SAINT JEAN", "sud.example", known) == (
        "Hôpital Saint-Jean (saint-jean.example) has the same name",
    )
    domain, name = alike_warnings("Сlinique du Lac", "c1inique-du-lac.example", known)[1:]
    assert domain == "c1inique-du-lac.example looks like clinique-du-lac.example, which Clinique du Lac holds"
    assert name == "Clinique du Lac (clinique-du-lac.example) has a name that looks the same"
