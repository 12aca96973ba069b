"""`outbox`: a peer that is down, and back."""

from __future__ import annotations

from pathlib import Path

from tests.cli.coffre_cli import eventually, introduce, make_node
from tests.cli.conftest import Neighbours

MODELE = "dr.modele@pont.example"
THREE_DAYS_MS = 72 * 3_600_000


def test_letter_waits_for_a_node_that_is_down(neighbours: Neighbours, tmp_path: Path) -> None:
    hospital = neighbours.hospital
    clinic = make_node(
        tmp_path / "clinic", hospital.secrets, institution="Clinique du Pont", domain="pont.example", listens=True
    )
    clinic.add_mailbox("dr.modele")
    introduce(hospital, clinic)

    def waiting() -> list[dict[str, object]]:
        return [item for item in hospital.json("outbox") if item["institution"] == "Clinique du Pont"]

    with clinic.running():
        eventually(lambda: hospital.try_send("dr.fictive", MODELE, "Avant la panne"), lambda done: done.status == 0)

    row = hospital.send("dr.fictive", MODELE, "Pendant la panne")
    # The first letter may still be there: nobody waited for it. The newest comes last.
    item = eventually(waiting, lambda items: "does not answer" in str(items[-1]["reason"]))[-1]
    assert (item["state"], item["class"], item["recipients"]) == ("waiting", "normal", 1)
    assert item["expires_at_ms"] == int(str(item["since_ms"])) + THREE_DAYS_MS
    table = hospital.say("outbox")
    (line,) = (line for line in table.splitlines() if line.startswith(str(item["id"])[:16]))
    assert "Clinique du Pont" in line
    assert str(item["reason"]) in line
    assert hospital.json("outbox", "retry", str(item["id"])[:16]) == {"retried": 1}

    with clinic.running():
        hospital.wait_for_state("dr.fictive", row, "deposited")
