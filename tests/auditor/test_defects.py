"""What is wrong with a copy is named: which leaf, tile, head or file."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from pathlib import Path

import pytest

from node.auditor.places import LogCopy
from node.auditor.tree import ENTRY_BYTES
from protocol.checkpoint import Checkpoint, log_origin
from protocol.cosignature import cosign, witness_name
from protocol.logleaf import EventKind
from protocol.mldsa import PqSecret
from protocol.pq_line import add_pq_line
from spec.vectors.sample_log import SampleLog
from spec.vectors.sample_node import FROM_MS, SampleNode, bytes_of, signing_secret_of
from tests.auditor.scene import NOW_MS, codes, fetch, fetched_copy, grave, made_log, verify

LEAVES = 700
TILE, BUNDLE = "tile/0/001", "tile/entries/001"


def edit(copy: LogCopy, name: str, change: Callable[[bytes], bytes]) -> None:
    path = copy.log / "1" / name
    path.write_bytes(change(path.read_bytes()))


def swap(data: bytes, one: int, other: int, size: int) -> bytes:
    parts = [data[at : at + size] for at in range(0, len(data), size)]
    parts[one], parts[other] = parts[other], parts[one]
    return b"".join(parts)


def double(data: bytes) -> bytes:
    """Leaf 5 of the bundle once more in the place of leaf 6."""
    return data[: 6 * ENTRY_BYTES] + data[5 * ENTRY_BYTES : 6 * ENTRY_BYTES] + data[7 * ENTRY_BYTES :]


def flip(at: int) -> Callable[[bytes], bytes]:
    return lambda data: data[:at] + bytes([data[at] ^ 1]) + data[at + 1 :]


SPOILED: list[tuple[str, str, Callable[[bytes], bytes], str, str]] = [
    ("truncated_bundle", BUNDLE, lambda data: data[:-1], "bundle_length", "tile entries/001"),
    ("truncated_tile", TILE, lambda data: data[:-32], "tile_length", "tile 0/001"),
    ("longer_tile", TILE, lambda data: data + bytes(32), "tile_length", "tile 0/001"),
    ("edited_leaf", BUNDLE, flip(10 * ENTRY_BYTES + 20), "bad_leaf", "leaf 266"),
    ("reordered_leaves", BUNDLE, lambda data: swap(data, 3, 4, ENTRY_BYTES), "moved_leaf", "leaf 259"),
    ("doubled_leaf", BUNDLE, double, "moved_leaf", "leaf 262"),
    ("length_before_a_leaf", BUNDLE, flip(ENTRY_BYTES + 1), "bad_leaf", "leaf 257"),
    ("edited_tile", TILE, flip(40), "bad_tile", "tile 0/001"),
    ("reordered_tile", TILE, lambda data: swap(data, 0, 1, 32), "bad_tile", "tile 0/001"),
    ("edited_upper_tile", "tile/1/000.p/2", flip(3), "bad_tile", "tile 1/000.p/2, against 0/000"),
    ("edited_edge", "tile/0/002.p/189", flip(0), "bad_leaf", "leaf 512"),
]


@pytest.mark.parametrize(("name", "change", "code", "place"), [s[1:] for s in SPOILED], ids=[s[0] for s in SPOILED])
def test_a_spoiled_file_is_named(
    tmp_path: Path, name: str, change: Callable[[bytes], bytes], code: str, place: str
) -> None:
    copy = fetched_copy(tmp_path / "auditor", made_log(count=LEAVES), tmp_path / "export")
    edit(copy, name, change)
    audit = verify(tmp_path / "auditor")
    found = [item for item in audit.findings if item.code == code]
    assert found, codes(audit.findings)
    assert any(place in item.place for item in found), [item.place for item in found]
    assert audit.status == 1


@pytest.mark.parametrize(
    ("name", "code"),
    [(TILE, "missing_tile"), ("tile/1/000.p/2", "missing_tile"), (BUNDLE, "missing_bundle")],
    ids=["tile", "upper_tile", "bundle"],
)
def test_a_missing_file_is_named_and_fetched_again(tmp_path: Path, name: str, code: str) -> None:
    copy = fetched_copy(tmp_path / "auditor", made_log(count=LEAVES), tmp_path / "export")
    (copy.log / "1" / name).unlink()
    audit = verify(tmp_path / "auditor")
    assert code in codes(audit.findings)
    assert any(name.removeprefix("tile/") in item.place for item in audit.findings)
    assert grave(fetch(tmp_path / "auditor", tmp_path / "export").findings) == []
    assert verify(tmp_path / "auditor").status == 0


def test_tiles_that_moved_together_with_their_leaves_do_not_pass(tmp_path: Path) -> None:
    copy = fetched_copy(tmp_path / "auditor", made_log(count=LEAVES), tmp_path / "export")
    for one, other in (("tile/0/000", TILE), ("tile/entries/000", BUNDLE)):
        first, second = copy.log / "1" / one, copy.log / "1" / other
        kept = first.read_bytes()
        first.write_bytes(second.read_bytes())
        second.write_bytes(kept)
    found = {item.code: item.place for item in verify(tmp_path / "auditor").findings}
    assert "against 0/000, 0/001" in found["bad_tile"]
    assert "bad_root" in found
    assert "no_epoch_opened" in found


def test_without_leaves_the_tiles_are_checked_and_the_rest_is_said(tmp_path: Path) -> None:
    copy = fetched_copy(tmp_path / "auditor", made_log(count=LEAVES), tmp_path / "export", entries=False)
    audit = verify(tmp_path / "auditor")
    assert (codes(audit.findings), audit.status) == (["leaves_unread"], 3)
    edit(copy, TILE, flip(7))
    audit = verify(tmp_path / "auditor")
    assert any(item.code == "bad_tile" and "0/001" in item.place for item in audit.findings)
    assert audit.status == 1


# -- heads


def test_every_head_seen_before_must_be_of_this_tree(tmp_path: Path) -> None:
    log = made_log(count=300)
    copy = fetched_copy(tmp_path / "auditor", log, tmp_path / "export")
    origin = log_origin(log.node.node_id, 1)
    forked = log.sign(Checkpoint(origin, 200, bytes_of("another history")))
    (copy.path / "heads" / "1" / "200-0123456789abcdef").write_bytes(forked)
    audit = verify(tmp_path / "auditor")
    assert codes(audit.findings) == ["fork"]
    # The proof that was written holds by itself, and is taken up by the next audit.
    (proof,) = (tmp_path / "auditor" / "proofs").iterdir()
    assert proof.read_bytes().startswith(b"coffre-fork@v1")
    (copy.path / "heads" / "1" / "200-0123456789abcdef").unlink()
    assert codes(verify(tmp_path / "auditor").findings) == ["fork"]


def test_a_head_of_another_log_or_key_is_refused(tmp_path: Path) -> None:
    log, other = made_log(count=10), made_log("fictive-clinic", 10)
    copy = fetched_copy(tmp_path / "auditor", log, tmp_path / "export")
    for head in (
        other.head(),
        log.sign(Checkpoint(log_origin(log.node.node_id, 2), 11, b"\0" * 32)),
        log.head().replace(b"\n11\n", b"\n10\n"),
    ):
        copy.checkpoint(1).write_bytes(head)
        assert "bad_head" in codes(verify(tmp_path / "auditor").findings)
        (tmp_path / "export" / "log" / "1" / "checkpoint").write_bytes(head)
        assert "bad_head" in codes(fetch(tmp_path / "auditor", tmp_path / "export").findings)


def test_a_head_under_a_key_that_recovery_cancelled_is_told(tmp_path: Path) -> None:
    log = made_log(count=10)
    stolen = log.head()
    log.node.recover(bad_from_ms=FROM_MS)
    log.export(tmp_path / "export")
    fetch(tmp_path / "auditor", tmp_path / "export")
    assert verify(tmp_path / "auditor").status == 0
    (tmp_path / "export" / "log" / "1" / "checkpoint").write_bytes(stolen)
    fetch(tmp_path / "auditor", tmp_path / "export")
    assert codes(verify(tmp_path / "auditor").findings) == ["lost_key"]


def test_a_head_under_a_retired_key_over_later_leaves_is_told(tmp_path: Path) -> None:
    log = made_log(count=10)
    old_secret = log.node.log_secret
    log.node.renew(valid_from_ms=log.time_ms)
    log.export(tmp_path / "export")
    fetch(tmp_path / "auditor", tmp_path / "export")
    assert verify(tmp_path / "auditor").status == 0
    log.append(EventKind.STOPPED, time_ms=log.time_ms + 3_600_000)
    log.node.log_secret = old_secret
    log.export(tmp_path / "export")
    assert grave(fetch(tmp_path / "auditor", tmp_path / "export").findings) == []
    assert codes(verify(tmp_path / "auditor").findings) == ["retired_key"]


def test_a_history_taken_back_is_told_and_the_copy_stays(tmp_path: Path) -> None:
    log = made_log(count=300)
    copy = fetched_copy(tmp_path / "auditor", log, tmp_path / "export")
    kept = copy.checkpoint(1).read_bytes()
    shorter = made_log(count=250)
    shorter.export(tmp_path / "export")
    assert grave(fetch(tmp_path / "auditor", tmp_path / "export").findings) == ["rollback"]
    assert copy.checkpoint(1).read_bytes() == kept
    assert codes(verify(tmp_path / "auditor").findings) == ["rollback"]


@pytest.mark.parametrize(("common", "size"), [(100, 301), (290, 301), (100, 900), (290, 600)])
def test_a_fork_is_caught_when_it_is_fetched_and_proved(tmp_path: Path, common: int, size: int) -> None:
    log, other = made_log(count=300), made_log(count=common)
    copy = fetched_copy(tmp_path / "auditor", log, tmp_path / "export")
    while len(other.epochs[1]) < size:
        other.append(EventKind.STARTED, time_ms=other.time_ms + 5)
    other.export(tmp_path / "export")
    assert grave(fetch(tmp_path / "auditor", tmp_path / "export").findings) == ["fork"]
    assert len(list((tmp_path / "auditor" / "proofs").iterdir())) == 1
    assert copy.checkpoint(1).read_bytes() == log.head()
    audit = verify(tmp_path / "auditor")
    assert "fork" in codes(audit.findings)
    # It is not forgotten when the institution shows the first history again.
    log.grow(700)
    log.export(tmp_path / "export")
    fetch(tmp_path / "auditor", tmp_path / "export")
    assert "fork" in codes(verify(tmp_path / "auditor").findings)


# -- leaves


def findings_of(tmp_path: Path, log: SampleLog) -> dict[str, str]:
    fetched_copy(tmp_path / "auditor", log, tmp_path / "export")
    return {item.code: item.place for item in verify(tmp_path / "auditor").findings}


def test_times_that_go_back_are_named_unless_the_clock_is_on_record(tmp_path: Path) -> None:
    log = made_log(count=4)
    log.append(EventKind.STARTED, time_ms=log.time_ms - 60_000)
    log.append(EventKind.STOPPED)
    log.append(EventKind.PEER_ACCEPTED, time_ms=log.time_ms - 60_000, peer=SampleNode("x").node_id)
    found = findings_of(tmp_path, log)
    assert found == {"time_back_at_start": "epoch 1, leaf 5", "time_back": "epoch 1, leaf 7"}
    log.append(EventKind.CLOCK_JUMPED, code="-60000 ms")
    assert list(findings_of(tmp_path, log)) == ["time_back_at_start"]


def test_leaves_from_the_future_silences_and_crashes_are_named(tmp_path: Path) -> None:
    log = made_log(count=1)
    log.append(EventKind.STARTED, time_ms=log.time_ms + 8 * 86_400_000)
    log.append(EventKind.STOPPED, time_ms=NOW_MS + 400_000)
    found = findings_of(tmp_path, log)
    assert found == {
        "not_stopped": "epoch 1, leaf 2",
        "silence": found["silence"],
        "future_time": "epoch 1, leaf 3",
    }


def test_an_opening_without_a_deposit_is_named(tmp_path: Path) -> None:
    from tests.auditor.scene import Letter

    log, sender = made_log(), made_log("fictive-clinic")
    letter = Letter(sender, log)
    letter.at_recipient(EventKind.UNREADABLE, code="bad_box")
    assert findings_of(tmp_path, log) == {"opened_without_deposit": "epoch 1, leaf 1"}


def test_a_leaf_of_a_later_version_is_open_and_nonsense_a_defect(tmp_path: Path) -> None:
    from spec.vectors.sample_log import LoggedLeaf

    log = made_log()
    good = log.epochs[1][0]
    later = good.leaf[:1] + (777).to_bytes(2, "big") + good.leaf[3:]
    log.epochs[1] += [LoggedLeaf(later, b"", b""), LoggedLeaf(b"\7" + good.leaf[1:], b"", b"")]
    found = findings_of(tmp_path, log)
    assert (found["later_kind"], found["unknown_leaf"]) == ("epoch 1, leaf 1", "epoch 1, leaf 2")


def test_an_epoch_begins_with_its_reason(tmp_path: Path) -> None:
    log = made_log(count=3)
    log.epochs[1].pop(0)
    log.append(EventKind.EPOCH_OPENED, code="first")
    assert findings_of(tmp_path, log) == {
        "no_epoch_opened": "epoch 1, leaf 0",
        "epoch_opened_inside": "epoch 1, leaf 3",
    }


# -- cosignatures


def test_cosigners_are_counted_by_institution_and_key(tmp_path: Path) -> None:
    names = ("fictive-clinic", "fictive-practice", "fictive-office")
    logs = [made_log("fictive-hospital", 5), *(made_log(name) for name in names)]
    # The office cosigns with the practice's key: one institution under two names.
    shared = signing_secret_of("fictive-practice/witness")
    logs[3].node.replace_witness(shared.verify_key)
    secrets = [signing_secret_of("fictive-clinic/witness"), shared, shared]
    head, time_s = logs[0].head(), NOW_MS // 1000
    for log, secret in zip(logs[1:], secrets, strict=True):
        head = cosign(head, name=witness_name(log.node.node_id), secret=secret, time_s=time_s)
    head = cosign(head, name="witness.example", secret=signing_secret_of("a stranger"), time_s=time_s)
    for number, log in enumerate(logs):
        log.export(tmp_path / str(number))
    (tmp_path / "0/log/1/checkpoint").write_bytes(head)
    for number in range(len(logs)):
        fetch(tmp_path / "auditor", tmp_path / str(number))
    audit = verify(tmp_path / "auditor")
    assert codes(audit.findings) == ["cosigner_twice"]
    hospital = next(item for item in audit.institutions if item.node == logs[0].node.node_id)
    assert len(hospital.cosigners) == 2
    assert {item.code: item.values for item in hospital.checked}["cosignatures"] == {"count": 2, "unknown": 1}


def test_an_older_cosigned_head_counts_and_daily_heads_are_of_this_tree(tmp_path: Path) -> None:
    log, clinic = made_log(count=9), made_log("fictive-clinic")
    pq = PqSecret(bytes_of("post-quantum"))
    log.node.renew(pq_key=pq.verify_key)
    secret = signing_secret_of("fictive-clinic/witness")
    older = cosign(log.head(size=5), name=witness_name(clinic.node.node_id), secret=secret, time_s=NOW_MS // 1000)
    log.export(tmp_path / "a")
    clinic.export(tmp_path / "b")
    place = tmp_path / "a/log/1"
    (place / "daily").mkdir()
    (place / "cosigned").write_bytes(older)
    (place / "daily/days").write_text("2026-09-22 3\n../../checkpoint 9\n")
    (place / "daily/2026-09-22").write_bytes(add_pq_line(log.head(size=3), pq, time_s=NOW_MS // 1000))
    for name in "ab":
        fetch(tmp_path / "auditor", tmp_path / name)
    audit = verify(tmp_path / "auditor")
    assert audit.status == 0
    hospital = next(item for item in audit.institutions if item.node == log.node.node_id)
    assert hospital.cosigners == ["b"]
    checked = {item.code: item.values for item in hospital.checked}
    assert checked["heads"] == {"count": 3, "first": 3, "last": 10}
    assert checked["daily"] == {"count": 1}
    forged = log.sign(Checkpoint(log_origin(log.node.node_id, 1), 4, bytes_of("another history")))
    (place / "daily/2026-09-23").write_bytes(add_pq_line(forged, pq, time_s=NOW_MS // 1000))
    (place / "daily/days").write_text("2026-09-22 3\n2026-09-23 4\n")
    assert grave(fetch(tmp_path / "auditor", tmp_path / "a").findings) == []
    assert codes(verify(tmp_path / "auditor").findings) == ["fork"]


@pytest.mark.parametrize("fault", ["missing", "other_key", "spoiled"])
def test_a_day_whose_head_a_quantum_computer_could_forge_is_named(tmp_path: Path, fault: str) -> None:
    log, pq = made_log(count=5), PqSecret(bytes_of("post-quantum"))
    log.node.renew(pq_key=pq.verify_key)
    head = log.head(size=3)
    if fault == "other_key":
        head = add_pq_line(head, PqSecret(bytes_of("another")), time_s=NOW_MS // 1000)
    elif fault == "spoiled":
        line = add_pq_line(log.head(size=2), pq, time_s=NOW_MS // 1000).splitlines()[-1]
        head += line + b"\n"
    log.export(tmp_path / "a")
    (tmp_path / "a/log/1/daily").mkdir()
    (tmp_path / "a/log/1/daily/days").write_text("2026-09-22 3\n")
    (tmp_path / "a/log/1/daily/2026-09-22").write_bytes(head)
    fetch(tmp_path / "auditor", tmp_path / "a")
    assert codes(verify(tmp_path / "auditor").findings) == ["daily_wrong"]


@pytest.mark.parametrize("fault", ["spoiled", "future"])
def test_a_cosignature_that_does_not_hold_is_named(tmp_path: Path, fault: str) -> None:
    log, clinic = made_log(count=5), made_log("fictive-clinic")
    time_s = NOW_MS // 1000 + (3600 if fault == "future" else 0)
    secret = signing_secret_of("fictive-clinic/witness")
    head = cosign(log.head(), name=witness_name(clinic.node.node_id), secret=secret, time_s=time_s)
    if fault == "spoiled":
        other = log.head(size=4)
        line = cosign(other, name=witness_name(clinic.node.node_id), secret=secret, time_s=time_s).splitlines()[-1]
        head = log.head() + line + b"\n"
    log.export(tmp_path / "a")
    clinic.export(tmp_path / "b")
    (tmp_path / "a/log/1/checkpoint").write_bytes(head)
    for name in "ab":
        fetch(tmp_path / "auditor", tmp_path / name)
    assert codes(verify(tmp_path / "auditor").findings) == ["cosignature_wrong"]


def test_nothing_altered_verifies(tmp_path: Path) -> None:
    """Every byte of a small copy, one bit each: of its statements, head, tile, leaves, and of the heads kept."""
    copy = fetched_copy(tmp_path / "auditor", made_log(count=4), tmp_path / "export")
    files = [path for path in itertools.chain(copy.log.rglob("*"), (copy.path / "heads").rglob("*")) if path.is_file()]
    assert len(files) == 5
    for path in files:
        data = path.read_bytes()
        for at in range(len(data)):
            path.write_bytes(flip(at)(data))
            assert verify(tmp_path / "auditor").status == 1, f"{path.name}, byte {at}"
        path.write_bytes(data)
    assert verify(tmp_path / "auditor").status == 0
