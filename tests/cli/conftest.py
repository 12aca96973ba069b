"""Nodes that tests of the command line share: each command costs two key derivations, so few are made."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest

from tests.cli.coffre_cli import Node, Secrets, eventually, introduce, make_node


@dataclass(frozen=True, slots=True, kw_only=True)
class Neighbours:
    """Two running nodes that know each other. `started`: what each said when it was ready.

    first_letter: the id of a letter from dr.fictive at the hospital to dr.exemple at the practice.
    """

    hospital: Node
    practice: Node
    hospital_started: dict[str, Any]
    practice_started: dict[str, Any]
    first_letter: str


@pytest.fixture(scope="session")
def secrets(tmp_path_factory: pytest.TempPathFactory) -> Secrets:
    return Secrets.write(tmp_path_factory.mktemp("secrets"))


@pytest.fixture(scope="session")
def neighbours(tmp_path_factory: pytest.TempPathFactory, secrets: Secrets) -> Iterator[Neighbours]:
    """A hospital that listens and a practice that only dials out, running."""
    place = tmp_path_factory.mktemp("neighbours")
    hospital = make_node(
        place / "hospital", secrets, institution="Hôpital des Tilleuls", domain="tilleuls.example", listens=True
    )
    practice = make_node(
        place / "practice", secrets, institution="Cabinet des Lilas", domain="lilas.example", listens=False
    )
    hospital.add_mailbox("dr.fictive", "--name", "Dr Aline Fictive")
    practice.add_mailbox("dr.exemple", "--name", "Dr Clara Exemple")
    introduce(hospital, practice)
    with hospital.running() as hospital_started, practice.running() as practice_started:
        # Accepted once the practice's directory has arrived.
        first = eventually(
            lambda: hospital.try_send("dr.fictive", "dr.exemple@lilas.example", "Premier courrier"),
            lambda done: done.status == 0,
        )
        yield Neighbours(
            hospital=hospital,
            practice=practice,
            hospital_started=hospital_started,
            practice_started=practice_started,
            first_letter=json.loads(first.stdout)["id"],
        )


@pytest.fixture(scope="session")
def lone_original(tmp_path_factory: pytest.TempPathFactory, secrets: Secrets) -> Node:
    node = make_node(
        tmp_path_factory.mktemp("lone") / "lone",
        secrets,
        institution="Clinique du Pont",
        domain="pont.example",
        listens=True,
    )
    node.add_mailbox("dr.modele")
    return node


@pytest.fixture
def lone(lone_original: Node, tmp_path: Path) -> Node:
    """A node that knows nobody and does not run, with one mailbox; this test's own to break."""
    shutil.copytree(lone_original.folder, tmp_path / "lone")
    return replace(lone_original, folder=tmp_path / "lone")
