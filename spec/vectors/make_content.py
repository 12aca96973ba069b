"""Writes content.json: content files, and the evidence file that they are held against.

A case has `file`, the content file, or `replace` over the one of the first case, with `resealed` as in
evidence_file.json; `evidence` is absent where it is that of the first case.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from protocol.content_file import ContentFile, write_content_file
from protocol.content_report import verify_content
from protocol.crypto import Secret
from protocol.evidence_file import write_evidence_file
from protocol.evidence_report import verify_evidence_file
from protocol.ids import LetterId
from spec.vectors.common import write
from spec.vectors.sample_content import ContentSample
from spec.vectors.sample_letter import SampleLetter

SPEC = "evidence.md, 16"
SAMPLE = ContentSample()
GOOD = write_content_file(SAMPLE.content_file()).decode()


def _case(name: str, comment: str, given: dict[str, Any], expect: str = "ok", **out: Any) -> dict[str, Any]:
    return {"name": name, "spec": SPEC, "comment": comment, "input": given, "expect": expect, **out}


def _file(content: ContentFile, **more: Any) -> dict[str, Any]:
    return {"file": write_content_file(content).decode(), **more}


def _edited(old: str, new: str, *, resealed: bool = True) -> dict[str, Any]:
    assert old in GOOD
    return {"replace": [[old, new]], "resealed": resealed}


def cases() -> list[dict[str, Any]]:
    """All cases of this topic."""
    good = SAMPLE.content_file()
    found = verify_content(good, verify_evidence_file(SAMPLE.file()))
    letter = found.signed.letter
    shown: dict[str, Any] = {
        "sender": found.sender_name,
        "subject": letter.subject,
        "text_sha256": found.text_sha256.hex(),
        "attachments": [[item.name, item.size, item.sha256.hex()] for item in letter.attachments],
    }
    evidence = write_evidence_file(SAMPLE.file()).decode()
    unopened = write_evidence_file(replace(SAMPLE.file(), events=SAMPLE.file().events[:2])).decode()
    lines = GOOD.split("\n")
    chunk = next(line for line in lines if line.startswith("chunk "))
    chunk_of_another = write_content_file(ContentSample(b"another file").content_file()).decode().split("\n")
    false_chunk = next(line for line in chunk_of_another if line.startswith("chunk "))
    return [
        _case("good", "sender, text, attachments", _file(good, evidence=evidence), doubts=[], **shown),
        _case("no_opening", "nobody opened it", _file(good, evidence=unopened), doubts=["not_opened"], **shown),
        _case(
            "no_entries",
            "nobody says whose the key was",
            _file(replace(good, nodes=(), entries=())),
            doubts=["sender_unconfirmed"],
            **{**shown, "sender": ""},
        ),
        _case("cut", "no checksum", _edited(lines[-2] + "\n", "", resealed=False), "malformed"),
        _case("checksum", "altered", _edited(lines[1], lines[1][:-1] + "q", resealed=False), "mismatch"),
        _case("other_version", "not known", _edited("content@v1", "content@v2"), "unknown_version"),
        _case("no_chunk", "nothing to open", _edited(chunk + "\n", ""), "malformed"),
        _case("unknown_line", "a line of no known sort", _edited(chunk, f"{chunk}\ncomment"), "malformed"),
        _case("other_letter", "another letter's id", _file(replace(good, letter=LetterId(bytes(16)))), "mismatch"),
        _case("other_key", "a key not committed to", _file(replace(good, key=Secret(bytes(32)))), "bad_commitment"),
        _case("other_chunk", "a chunk of another payload", _edited(chunk, false_chunk), "bad_proof"),
        _case(
            "other_payload",
            "evidence of another payload under this letter's id",
            _file(good, evidence=write_evidence_file(SampleLetter().file()).decode()),
            "mismatch",
        ),
        _case("no_statements", "an entry without its node", _file(replace(good, nodes=())), "unknown_key"),
    ]


if __name__ == "__main__":
    write("content", SPEC, cases())
