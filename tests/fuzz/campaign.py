"""Coverage-guided fuzzing of one decoder: `python -m tests.fuzz.campaign DECODER SECONDS CORPUS`.

Ends with status 0 after that time, or at the first input that raises what is not declared, which it prints and keeps in
the corpus folder.
"""

from __future__ import annotations

import sys
from pathlib import Path

import atheris

__all__ = ["main"]


def main(name: str, seconds: str, corpus: str) -> None:
    """Fuzz one decoder of tests/fuzz/decoders.py, beginning from its seeds; does not return."""
    with atheris.instrument_imports(include=["protocol"]):
        from tests.fuzz.decoders import DECODERS

    decoder = DECODERS[name]
    folder = Path(corpus)
    folder.mkdir(parents=True, exist_ok=True)
    for number, seed in enumerate(decoder.seeds):
        (folder / f"seed-{number}").write_bytes(seed)
    options = [
        f"-max_total_time={seconds}",
        "-max_len=20000",
        "-timeout=10",
        "-rss_limit_mb=1024",
        "-print_final_stats=1",
        f"-artifact_prefix={folder}/",
    ]
    atheris.Setup([sys.argv[0], *options, str(folder)], decoder.read)
    atheris.Fuzz()


if __name__ == "__main__":
    main(*sys.argv[1:])
