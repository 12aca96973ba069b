"""What the node refuses is said in the language of the page, not only in the command line's English."""

from __future__ import annotations

from pathlib import Path

import pytest

from node.errors import CoffreError
from node.opening import open_node
from node.reports.rendering import language_of
from node.web.error_words import error_words, words_of
from tests.web.people import form_token, log_in, people
from tests.web.published import client_of, made_node

DAYS = {"from": "2027-08-01", "until": "2027-08-09"}


@pytest.mark.parametrize(
    ("page", "form", "said"),
    [
        ("alerts", {"email": "pas une adresse"}, "n'est pas une adresse e-mail"),
        ("alerts", {"webhook": "ftp://x.example"}, "n'est pas l'adresse d'un webhook"),
        ("alerts", {"digests": "25:00"}, "n'est pas une heure"),
        ("alerts", {"quiet_from": "20:00"}, "a un début et une fin"),
        ("alerts", {"quiet_from": "20:00", "quiet_until": "20:00"}, "(choisissez plutôt la seule catégorie"),
        ("absence", {"from": "demain", "until": "2027-08-09"}, "n'est pas une date"),
        ("absence", {**DAYS, "instead": "fictive@hopital.example"}, "se suppléer soi-même"),
        ("sharing", {**DAYS, "person": "personne"}, "aucune boîte personne@hopital.example"),
        ("sharing", {**DAYS, "person": "fictive"}, "son propre suppléant"),
        ("sharing", {"person": "exemple", "from": "2027-08-09", "until": "2027-08-01"}, "finit après avoir commencé"),
    ],
)
async def test_a_french_page_refuses_in_french(tmp_path: Path, page: str, form: dict[str, str], said: str) -> None:
    folder = await made_node(tmp_path / "node")
    async with open_node(folder) as node, client_of(node) as client:
        fictive, _ = await people(node, "fictive", "exemple")
        await log_in(client, "fictive")
        path = f"/box/{fictive.id.hex()}/{page}"
        token = form_token((await client.get(path)).text)
        answer = await client.post(path, data={"csrf": token, **form}, headers={"Accept-Language": "fr"})
        assert answer.status_code == 422
        assert said in answer.text.replace("&#39;", "'")
        assert '<span lang="en">' not in answer.text


def test_a_known_sentence_keeps_its_names_and_what_they_hold_is_escaped() -> None:
    error = CoffreError("<b>x@y.example is closed", hint="choose another recipient")
    assert error_words(error, language_of("fr")) == "&lt;b&gt;x@y.example est fermée (choisissez un autre destinataire)"


def test_what_is_said_of_a_list_names_file_and_place() -> None:
    french = language_of("fr")
    error = CoffreError("gens.csv: line 7 is not utf-8: byte 0xe9")
    assert error_words(error, french) == "gens.csv: ligne 7 n’est pas en utf-8\u00a0: octet 0xe9"
    assert words_of("the same institution as in line 2", french) == "déjà indiqué (ligne 2)"
    assert words_of("odd: <b>", french) == '<span lang="en">odd: &lt;b&gt;</span>'


def test_an_unknown_sentence_is_shown_as_the_english_that_it_is() -> None:
    assert error_words(CoffreError("<odd>"), language_of("fr")) == '<span lang="en">&lt;odd&gt;</span>'
    assert error_words(CoffreError("{odd}"), language_of("en")) == '<span lang="en">{odd}</span>'
