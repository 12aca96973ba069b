"""What a look at the node finds: codes that stay, in words of each language. Spec: spec/operation.md, 8."""

from __future__ import annotations

import re
from pathlib import Path
from string import Formatter

import pytest

from node.doctor import examine
from node.doctor_findings import FAILED, FINDINGS, NAMES, Check, Level
from node.opening import open_node
from node.reports.rendering import LANGUAGES, language_of
from tests.web.published import made_node

SPEC = Path(__file__).parents[2] / "spec" / "operation.md"


def test_the_codes_are_those_of_the_specification() -> None:
    lines = SPEC.read_text("utf-8").partition("## 8.")[2].splitlines()
    told = {
        code: level
        for line in lines
        if line.startswith("| ")
        for level, cell in zip(Level, line.split("|")[2:5], strict=True)
        for code in re.findall(r"`(\w+_\w+)`", cell)
    }
    assert told == {code: level for code, (level, _) in FINDINGS.items()}


@pytest.mark.parametrize("code", FINDINGS)
def test_a_finding_is_said_in_each_language(code: str) -> None:
    places = [place for _, place, _, _ in Formatter().parse(FINDINGS[code][1]) if place]
    check = Check(name="clock", code=code, values={place: "disk" if place == "alarms" else "7" for place in places})
    said = {language: check.words(language_of(language)) for language in LANGUAGES}
    assert all(said.values())
    assert "{" not in "".join(said.values())
    assert places == ["found"] or code == FAILED or said["fr"] != said["en"]
    assert check.ok is (check.level is not Level.WRONG)


async def test_a_new_node_is_found_well(tmp_path: Path) -> None:
    async with open_node(await made_node(tmp_path / "node")) as node:
        checks = {check.name: check.code for check in await examine(node)}
    assert checks.pop("disk") in ("disk_free", "disk_filling")
    assert checks == {
        "clock": "clock_right",
        "port": "port_none",
        "keys": "keys_valid",
        "database": "database_sound",
        "log": "log_sound",
        "letters": "letters_there",
        "witnesses": "cosignatures_unwanted",
        "payloads": "payloads_there",
        "peers": "peers_reached",
        "look-alikes": "lookalikes_none",
        "outbox": "outbox_waiting",
        "backup": "backup_not_yet",
        "alarms": "alarms_none_untold",
    }
    assert set(checks) < set(NAMES)
