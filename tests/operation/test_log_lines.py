"""What the program's log may say. Spec: spec/operation.md, 3."""

from __future__ import annotations

import ast
import json
import logging
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import structlog
import trio.testing

from protocol.crypto import Secret
from protocol.letter import LetterClass
from tests.post.harness import Federation, settled

_LEVELS = {"debug", "info", "warning", "error", "critical"}
_ALWAYS = {"timestamp", "level", "event"}


def calls() -> Iterator[tuple[str, ast.Call]]:
    """Every call that writes a line, and where it is."""
    for path in sorted(Path("node").rglob("*.py")):
        for item in ast.walk(ast.parse(path.read_text("utf-8"))):
            if isinstance(item, ast.Call) and isinstance(item.func, ast.Attribute) and item.func.attr in _LEVELS:
                owner = ast.unparse(item.func.value)
                if owner == "_logger" or "get_logger" in owner:
                    yield f"{path}:{item.lineno}", item


def documented() -> set[str]:
    """The fields that the specification names."""
    table = Path("spec/operation.md").read_text("utf-8").partition("## 3.")[2].partition("## 4.")[0]
    rows = [line for line in table.splitlines() if line.startswith("| `")]
    return {name for row in rows for name in re.findall(r"`([a-z_]+)`", row.split("|")[1])}


def test_lines_have_fields_of_the_specification_alone_and_say_the_same_words_always() -> None:
    known, used = documented(), set()
    for where, call in calls():
        first = call.args[0]
        is_words = isinstance(first, ast.Constant) and isinstance(first.value, str)
        # One door of the directory's library hands its own constant words on.
        assert is_words or where.startswith("node/post/feed_replica.py"), where
        names = {keyword.arg for keyword in call.keywords}
        assert None not in names or where.startswith("node/logging.py"), where
        assert names - {None} <= known, f"{where}: {names - known}"
        used |= names
    assert {"peer", "code", "reason"} <= used


@pytest.fixture
def restored_logging() -> Iterator[None]:
    """As it was before."""
    before = structlog.get_config()
    handlers, level = logging.root.handlers[:], logging.root.level
    yield
    structlog.configure(**before)
    logging.root.handlers[:], logging.root.level = handlers, level


async def test_nothing_personal_is_said_in_a_whole_exchange(
    autojump_clock: trio.testing.MockClock,
    tmp_path: Path,
    restored_logging: None,
) -> None:
    secret = "MOT-DE-PASSE-secret"
    lines: list[str] = []

    def keep(_logger: object, _name: str, event: structlog.typing.EventDict) -> structlog.typing.EventDict:
        lines.append(json.dumps(event, default=repr))
        raise structlog.DropEvent

    structlog.configure(
        processors=[structlog.contextvars.merge_contextvars, structlog.processors.add_log_level, keep],
        wrapper_class=structlog.make_filtering_bound_logger(logging.DEBUG),
        cache_logger_on_first_use=False,
    )
    async with Federation.pair(tmp_path) as (federation, a, b):
        document = tmp_path / "DOCUMENT-du-patient.pdf"
        document.write_bytes(b"CONTENU" * 100_000)
        subject, text = "SUJET-du-courrier", "TEXTE-du-courrier"
        urgent = LetterClass.URGENT
        letter = await a.send(
            "anna", "bruno@b.example", subject=subject, text=text, files=[document], letter_class=urgent
        )
        await settled()
        await b.read("bruno", letter)
        for _ in range(6):
            with pytest.raises(Exception, match="bruno"):
                await b.node.mailboxes.open("bruno@b.example", Secret(secret.encode()))
        taken_back = await a.send("anna", "bruno@b.example", subject=subject, text=text)
        await settled()
        await a.withdraw("anna", taken_back)
        await settled()
        await federation.hub.cut()
        lost = await a.send("anna", "bruno@b.example", subject=subject, text=text)
        await trio.sleep(3600)
        federation.hub.mend()
        await trio.sleep(3600)
        ids = [box.id.text for place in (a, b) for box in place.people.values()]
        ids += [item.letter_id.text for item in (letter, taken_back, lost)]
    said = "\n".join(lines)
    assert "linked" in said
    assert len(lines) > 10
    hidden = [secret, "SUJET", "TEXTE", "DOCUMENT", "CONTENU", "a test password", "Fictive", "anna", "bruno"]
    for word in [*hidden, "a.example", "b.example", *ids]:
        assert word not in said


_SPEAKER = """
import logging, sys
from node.logging import configure_logging, use_format
import structlog
logger = structlog.get_logger("x")
configure_logging("json", environment={"JOURNAL_STREAM": sys.argv[1]})
logger.warning("peer not reached", peer="abc")
logger.debug("not told")
try:
    raise ValueError("about dr.fictive@a.example")
except ValueError:
    logging.getLogger("hypercorn").exception("Error in ASGI Framework for %s", "dr.fictive@a.example")
logging.getLogger("zeroconf").info("not told")
use_format("text")
logger.error("peer not reached", peer="abc")
"""


@pytest.mark.parametrize("in_journal", [True, False])
def test_lines_for_programs_for_the_journal_and_for_people(tmp_path: Path, in_journal: bool) -> None:
    file = tmp_path / "log"
    with file.open("wb") as stream:
        status = os.fstat(stream.fileno())
        # A shell that a service started has the variable too: it counts only where it names this very stream.
        named = f"{status.st_dev}:{status.st_ino}" if in_journal else "1:1"
        subprocess.run([sys.executable, "-c", _SPEAKER, named], stderr=stream, check=True)
    text = file.read_text("utf-8")
    assert "dr.fictive" not in text
    lines = text.splitlines()
    priorities = ["<4>", "<3>", "<3>"] if in_journal else ["", "", ""]
    assert [line[:3] if line.startswith("<") else "" for line in lines] == priorities
    first, library = (json.loads(line.removeprefix(mark)) for line, mark in zip(lines, priorities[:2], strict=False))
    assert set(first) == _ALWAYS | {"peer"}
    assert (first["level"], first["event"], first["peer"]) == ("warning", "peer not reached", "abc")
    assert first["timestamp"].endswith("Z")
    assert (library["library"], library["error"], library["detail"]) == (
        "hypercorn",
        "ValueError",
        "Error in ASGI Framework for %s",
    )
    assert lines[2].removeprefix(priorities[2]).rstrip().endswith("peer=abc")
