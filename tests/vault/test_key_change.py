"""New keyrings from old ones: what a recovery follows, what is kept and until when. Spec: spec/identity.md, 9."""

from __future__ import annotations

import pytest

from node.errors import StateError
from node.identity.key_change import DAY_MS, KEPT_MS, made_at_ms, recover, renew, without_ended
from node.setup import make_keyring
from node.vault.keyring import Keyring
from node.world import World
from protocol.crypto import SealSecret, SigningSecret

BEGIN_MS = 1_790_000_000_000
WORLD = World(now_ms=lambda: BEGIN_MS)
RECOVERY = SigningSecret(bytes(range(32)))


def first() -> Keyring:
    return make_keyring(WORLD, RECOVERY, SealSecret(WORLD.random_bytes(96)))


def renewed(keyring: Keyring, day: int) -> Keyring:
    return renew(keyring, now_ms=BEGIN_MS + day * DAY_MS, random_bytes=WORLD.random_bytes)


def recovered(keyring: Keyring, day: int, *, bad_from_day: int, by: SigningSecret = RECOVERY) -> Keyring:
    return recover(
        keyring,
        by,
        bad_from_ms=BEGIN_MS + bad_from_day * DAY_MS,
        new_recovery_key=None,
        now_ms=BEGIN_MS + day * DAY_MS,
        random_bytes=WORLD.random_bytes,
    )


def test_a_statement_says_when_it_was_made() -> None:
    keyring = renewed(first(), 100)
    assert [made_at_ms(item.statement) for item in keyring.chain.statements] == [BEGIN_MS, BEGIN_MS + 100 * DAY_MS]


def test_the_former_link_is_shown_first_after_a_renewal_and_last_after_a_recovery() -> None:
    old = first()
    for new, order in ((renewed(old, 1), [0, 1]), (recovered(old, 1, bad_from_day=0), [1, 0])):
        now_ms = BEGIN_MS + DAY_MS
        secrets = [old.link.verify_key, new.link.verify_key]
        assert [item.verify_key for item in new.links(now_ms)] == [secrets[at] for at in order]
        assert [item.verify_key for item in new.links(now_ms + KEPT_MS)] == [new.link.verify_key]


def test_what_has_ended_is_taken_out_and_nothing_else() -> None:
    keyring = renewed(first(), 1)
    end_ms = BEGIN_MS + DAY_MS + KEPT_MS
    assert without_ended(keyring, now_ms=end_ms - 1) == keyring
    ended = without_ended(keyring, now_ms=end_ms)
    assert (len(keyring.seal), len(ended.seal), ended.former_link) == (2, 1, None)
    assert ended.identity is keyring.identity


@pytest.mark.parametrize(("bad_from_day", "numbers"), [(150, [0, 1, 2]), (100, [0, 1, 2]), (99, [0, 1]), (-9, [0, 1])])
def test_a_recovery_follows_the_last_statement_before_the_theft(bad_from_day: int, numbers: list[int]) -> None:
    chain = recovered(renewed(first(), 100), 200, bad_from_day=bad_from_day).chain
    assert [item.statement.number for item in chain.statements] == numbers
    assert chain.statements[-1].by_recovery
    assert len(chain.statements) + len(chain.superseded) == 3


def test_a_recovery_never_rivals_the_one_before() -> None:
    keyring = recovered(first(), 100, bad_from_day=50)
    chain = recovered(keyring, 200, bad_from_day=10).chain
    assert [item.by_recovery for item in chain.statements] == [False, True, True]
    assert not chain.superseded


def test_a_recovery_needs_the_right_key_and_a_time_that_has_been() -> None:
    with pytest.raises(StateError, match="another one than the statements name"):
        recovered(first(), 1, bad_from_day=0, by=SigningSecret(bytes(32)))
    with pytest.raises(StateError, match="in the future"):
        recovered(first(), 1, bad_from_day=2)
