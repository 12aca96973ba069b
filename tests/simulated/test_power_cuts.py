"""One day of mail with the power cut at each write of each node in turn. Spec: spec/delivery.md, 12."""

from __future__ import annotations

import pytest

from tests.simulated.healing import Campaign, run_history
from tests.simulated.history import Step

# Several chunks to two institutions and the sender's own, an opening that goes back, a reply, a withdrawal.
DAY: list[Step] = [
    ("send", "anna@a.example", ["bruno@b.example", "clara@c.example"], ["alma@a.example"], 600_000),
    ("wait", 300),
    ("open", "bruno@b.example", 0),
    ("send", "bruno@b.example", ["anna@a.example"], [], 200_000),
    ("send", "anna@a.example", ["bruno@b.example", "cora@c.example"], [], 600_000),
    ("wait", 300),
    ("withdraw", 0),
    ("wait", 300),
]
DAY_ENDS_S = 900
SOME_OF_THEM = 25


def _writes_of_the_day(name: str) -> int:
    trace = run_history(1, DAY, Campaign())
    begin = next(at for at, line in enumerate(trace) if " step " in line)
    return sum(line.split(" ")[1] == name for line in trace[begin:] if float(line.split(" ")[0]) < DAY_ENDS_S)


def _cut_at(name: str, step: int, campaign: Campaign) -> None:
    crash = ("crash", name, step, 60, step % 2 == 0)
    try:
        run_history(step, [crash, *DAY], campaign)
    except BaseException as error:
        error.add_note(f"power cut at write {step} of {name}")
        raise


@pytest.mark.parametrize(("name", "first"), [("a", 0), ("b", 2), ("c", 4)])
def test_power_cut_at_a_write(name: str, first: int) -> None:
    campaign = Campaign()
    writes = _writes_of_the_day(name)
    assert writes > 40
    for step in range(first, writes, SOME_OF_THEM):
        _cut_at(name, step, campaign)
    # The last of these writes may come after the day, when the lights stay on.
    assert campaign.power_cuts > campaign.histories // 2


@pytest.mark.soak
@pytest.mark.parametrize("name", ["a", "b", "c"])
def test_power_cut_at_every_write(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    campaign = Campaign()
    for step in range(_writes_of_the_day(name)):
        _cut_at(name, step, campaign)
    with capsys.disabled():
        print(f"\n{campaign}")
