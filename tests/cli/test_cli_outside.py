"""`send --to-outside`, `outside list` and `outside revoke` from the command line."""

from __future__ import annotations

import re

import pytest

from tests.cli.coffre_cli import Node, Secrets, eventually, make_node
from tests.outside.writing import PERSON, SUBJECT, mails, smtp_server

_CODE = re.compile(r"code  ([2-9A-HJ-NP-Z]{4}-[2-9A-HJ-NP-Z]{4})\n")


def writes_outside(node: Node, port: int) -> None:
    file = node.folder / "coffre.toml"
    text = file.read_text()
    text = text.replace('url = ""', 'url = "https://courrier.tilleuls.example"', 1)
    before, _, _ = text.partition("[alerts.smtp]\n")
    smtp = f'[alerts.smtp]\nhost = "127.0.0.1"\nport = {port}\nsecurity = "none"\nsender = "coffre@tilleuls.example"\n'
    file.write_text(before + smtp)


@pytest.fixture(scope="module")
def node(tmp_path_factory: pytest.TempPathFactory, secrets: Secrets) -> Node:
    place = tmp_path_factory.mktemp("outside")
    made = make_node(
        place / "node", secrets, institution="Hôpital des Tilleuls", domain="tilleuls.example", listens=False
    )
    made.add_mailbox("dr.fictive", "--name", "Dr Aline Fictive")
    return made


def send(node: Node, *options: str) -> tuple[str, ...]:
    password = ("--password-file", str(node.secrets.password))
    return ("send", "--from", "dr.fictive", "--subject", SUBJECT, "--text", "Bonjour.", *password, *options)


def test_from_sending_to_revoking(node: Node, secrets: Secrets) -> None:
    with smtp_server() as (bag, port):
        writes_outside(node, port)
        said = node.say(*send(node, "--to-outside", PERSON, "--days", "3"))
        code = _CODE.search(said)
        assert code is not None
        assert "never by e-mail" in said
        assert "the link leaves when it does" in said
        as_json = node.json(*send(node, "--to-outside", PERSON, "--openings", "1", "--language", "en"))
        assert re.fullmatch(r"[2-9A-HJ-NP-Z]{4}-[2-9A-HJ-NP-Z]{4}", as_json["code"])
        password = ("--password-file", secrets.password)
        found = node.json("outside", "list", "dr.fictive", *password)
        assert [(item["state"], item["openings_left"], item["mailed_at_ms"]) for item in found] == [
            ("open", 1, 0),
            ("open", 3, 0),
        ]
        assert as_json["code"] not in str(found)
        first, second = found[1]["id"], found[0]["id"]
        assert PERSON in node.say("outside", "list", "dr.fictive", *password)
        # `withdraw` is the word that people know from other letters: it does the same.
        assert node.json("withdraw", "dr.fictive", first, *password)["id"] == first
        assert node.json("outside", "revoke", "dr.fictive", second[:16], *password) == {
            "id": second,
            "state": "revoked",
        }
        assert "revoked" in node.refused("outside", "revoke", "dr.fictive", second, *password)
        third = node.json(*send(node, "--to-outside", PERSON))
        with node.running():
            found = eventually(
                lambda: node.json("outside", "list", "dr.fictive", *password),
                lambda items: items[0]["mailed_at_ms"] > 0,
            )
            assert node.json("evidence", "export", third["id"], node.folder.parent / "evidence") is not None
        [mail] = mails(bag)
        assert "https://courrier.tilleuls.example/pickup#" in mail.get_content()
        shown = node.say("evidence", "show", node.folder.parent / "evidence")
        assert "to somebody outside" in shown


@pytest.mark.parametrize(
    ("options", "says"),
    [
        (("--to-outside", PERSON, "--to", "dr.exemple@lilas.example"), "one or the other"),
        (("--to-outside", "pas une adresse"), "no address"),
        (("--to-outside", "dr.fictive@tilleuls.example"), "is a mailbox"),
        (("--to-outside", PERSON, "--code-by", "pigeon"), "no such way"),
        (("--to-outside", PERSON, "--code-by", "sms:+33600000000"), "no SMS gateway"),
        (("--to-outside", PERSON, "--days", "0"), "1 to 30 days"),
        (("--to-outside", PERSON, "--openings", "21"), "1 to 20 times"),
        (("--to-outside", PERSON, "--language", "de"), "no language"),
        ((), "at least one recipient"),
    ],
)
def test_what_is_refused_says_why(node: Node, options: tuple[str, ...], says: str) -> None:
    writes_outside(node, 25)
    assert says in node.refused(*send(node, *options))
