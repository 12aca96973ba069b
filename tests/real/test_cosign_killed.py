"""kill -9 of a witness between keeping a cosignature and answering with it. Spec: spec/cosigning.md, 2."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path

from tests.cli.coffre_cli import Secrets, introduce, make_node


def test_what_a_witness_kept_before_it_died_it_gives_afterwards(tmp_path: Path) -> None:
    secrets = Secrets.write(tmp_path)
    owner, witness = (
        make_node(tmp_path / name, secrets, institution=institution, domain=f"{name}.example", listens=listens)
        for name, institution, listens in (("tilleuls", "Hôpital fictif", True), ("lilas", "Cabinet fictif", False))
    )
    # The witness dials, so that the owner need not find out when it is there.
    owner.env["COFFRE_EVIDENCE__COSIGN_EVERY_S"] = "10"
    introduce(owner, witness)
    with owner.running():
        log = tmp_path / "dying.log"
        with log.open("wb") as stream:
            died = subprocess.run(
                [sys.executable, "-m", "tests.real.dying_witness", witness.folder],
                stdin=subprocess.DEVNULL,
                stdout=stream,
                stderr=stream,
                timeout=90,
                check=False,
            )
        assert died.returncode == -signal.SIGKILL, log.read_text("utf-8")
        assert owner.json("log", "head")["cosigned_by"] == []
        (kept,) = witness.json("log", "witness")
        assert kept["size"] > 0

        with witness.running():
            size = str(kept["size"])
            shown = owner.json("log", "head", "--wait", "1", "--size", size, "--within", "45")
        assert [item["institution"] for item in shown["cosigned_by"]] == ["Cabinet fictif"]
        (now,) = witness.json("log", "witness")
        assert (now["epoch"], now["recovering"]) == (kept["epoch"], False)
        assert now["size"] >= shown["cosigned_size"] >= kept["size"]
    for node in (owner, witness):
        assert node.json("directory", "alarms") == []
