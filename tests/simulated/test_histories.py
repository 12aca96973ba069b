"""Whole nodes through drawn histories: mail, bad lines, power cuts at drawn writes, clocks that jump, full mailboxes.

What is checked at the end of each stands in tests/simulated/checks.py. Spec: spec/delivery.md, 12.
"""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.simulated.healing import Campaign, run_history
from tests.simulated.history import Step, scripts

# A history takes a second or two; with the profile of `make soak` they are thousands, and longer.
HISTORIES = settings.default.max_examples // 10 if settings.default is not None else 10
SEEDS = st.integers(0, 2**32)

WITH_POWER_CUTS: list[Step] = [
    ("weather", 0.2),
    ("send", "anna@a.example", ["bruno@b.example", "clara@c.example"], ["alma@a.example"], 600_000),
    ("crash", "b", 9, 60, False),
    ("wait", 300),
    ("send", "bruno@b.example", ["berta@b.example", "anna@a.example"], [], 200_000),
    ("crash", "a", 14, 60, True),
    ("open", "bruno@b.example", 0),
    ("crash", "b", 3, 1, True),
    ("wait", 3600),
    ("withdraw", 1),
    ("jump", "b", -3600),
    ("send", "clara@c.example", ["bruno@b.example"], ["berta@b.example"], 0),
    ("crash", "c", 5, 600, False),
    ("crash", "b", 12, 60, False),
    ("wait", 600),
]

# The third institution renews its keys while its links open: the head of its feed that it pushes overtakes the older
# one of its hello.
WITH_A_HEAD_OVERTAKEN: list[Step] = [
    ("send", "anna@a.example", ["anna@a.example", "alma@a.example", "bruno@b.example"], ["anna@a.example"], 0),
    ("renew", "c"),
    ("wait", 1),
    ("open", "anna@a.example", 0),
    ("fill", "alma@a.example"),
    ("wait", 1),
    ("close", "alma@a.example"),
    ("wait", 300),
    ("wait", 21_600),
    ("stop", "b"),
    ("wait", 3600),
]


def test_histories(capsys: pytest.CaptureFixture[str]) -> None:
    _campaign(capsys, HISTORIES, 16)


@pytest.mark.soak
def test_long_histories(capsys: pytest.CaptureFixture[str]) -> None:
    _campaign(capsys, HISTORIES, 60)


def _campaign(capsys: pytest.CaptureFixture[str], histories: int, max_size: int) -> None:
    campaign = Campaign()

    @settings(max_examples=histories)
    @given(seed=SEEDS, script=scripts(max_size))
    def play(seed: int, script: list[Step]) -> None:
        run_history(seed, script, campaign)

    play()
    with capsys.disabled():
        print(f"\n{campaign}")


def test_a_head_that_was_overtaken_is_not_taken_for_a_rollback() -> None:
    run_history(282, WITH_A_HEAD_OVERTAKEN, Campaign())


def test_same_seed_is_the_same_history() -> None:
    assert run_history(7, WITH_POWER_CUTS, Campaign()) == run_history(7, WITH_POWER_CUTS, Campaign())


def test_histories_on_postgresql(postgres_server: str) -> None:
    campaign = Campaign()
    for seed in range(4):
        run_history(seed, WITH_POWER_CUTS, campaign, postgres=postgres_server)
    assert campaign.power_cuts > 4
