"""`mailbox alerts`, `mailbox ladder`, `mailbox absence`, as people type them."""

from __future__ import annotations

from tests.cli.coffre_cli import Node


def test_where_and_when_alerts_go(lone: Node) -> None:
    alerts = ("mailbox", "alerts", "dr.modele")
    assert "at once; quiet: never" in lone.say(*alerts)
    options = ("--email", "dr@ordinaire.example", "--browser", "--class", "urgent", "--class", "normal")
    made = lone.json(*alerts, *options, "--digest", "13:00,8h00", "--quiet", "20:00-07:00")
    assert (made["digests"], made["quiet"], made["classes"]) == (
        ["08:00", "13:00"],
        "20:00-07:00",
        ["urgent", "normal"],
    )
    again = lone.json(*alerts, "--digest", "", "--no-browser")
    assert (again["digests"], again["browser"], again["email"]) == ([], False, "dr@ordinaire.example")
    assert "no e-mail" not in lone.say(*alerts, "--quiet", "")
    assert "no time of the day" in lone.refused(*alerts, "--digest", "25:00")
    assert "names no quiet hours" in lone.refused(*alerts, "--quiet", "la nuit")
    assert "no class" in lone.refused(*alerts, "--class", "pressé")
    assert "not an e-mail address" in lone.refused(*alerts, "--email", "a@b@c")


def test_what_happens_while_letters_lie_unread(lone: Node) -> None:
    ladder = ("mailbox", "ladder", "dr.modele")
    assert "urgent: reminder after 15 min, deputy after 30, sender after 60" in lone.say(*ladder)
    own = lone.json(*ladder, "--urgent", "5,10,20", "--normal", "off")
    assert (own["minutes"]["urgent"], own["minutes"]["normal"]) == ([5, 10, 20], [])
    assert lone.json(*ladder, "--urgent", "default")["minutes"]["urgent"] == [15, 30, 60]
    for bad in ("5,5,5", "1,2", "0,1,2", "trois", "1,2,600000"):
        lone.refused(*ladder, "--urgent", bad)
    assert "on call for itself" in lone.refused(*ladder, "--on-call", "dr.modele")
    lone.refused(*ladder, "--on-call", "personne")
    settings = lone.folder / "coffre.toml"
    settings.write_text(settings.read_text("utf-8") + "\n[ladder]\nurgent_minutes = [3, 2, 1]\n", "utf-8")
    assert "ladder.urgent_minutes" in lone.refused(*ladder)


def test_an_absence_is_set_shown_and_ended(lone: Node) -> None:
    absence = ("mailbox", "absence", "dr.modele")
    assert lone.json(*absence)["absent"] is False
    made = lone.json(*absence, "--from", "2026-08-01", "--until", "2027-08-15", "--french", "En congé")
    assert (made["absent"], made["french"]) == (True, "En congé")
    # The last day is included: until midnight in Paris.
    assert made["until_ms"] == 1_818_367_200_000
    assert "En congé" in lone.say(*absence)
    assert "over already" in lone.refused(*absence, "--until", "2020-01-01")
    assert "no date" in lone.refused(*absence, "--until", "demain")
    assert "an absence has an end" in lone.refused(*absence, "--french", "En congé")
    assert "400 days" in lone.refused(*absence, "--until", "2099-01-01")
    assert lone.json(*absence, "--end")["absent"] is False
