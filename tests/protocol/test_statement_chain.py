"""Chains: renewal, recovery, forks, and whatever order statements arrive in."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from protocol import statement as module
from protocol.crypto import hash_labelled
from protocol.errors import LocalProtocolError, Reason, RemoteProtocolError
from protocol.labels import Label
from protocol.statement import StatementChain, decode_signed_statement
from spec.vectors.sample_node import FROM_MS, UNTIL_MS, signing_secret_of
from spec.vectors.sample_statement import RECOVERY, first, following, identity_of, sign, statement_hash


def renewal(before: bytes, of: str, word: str, **changes: Any) -> bytes:
    return sign(following(before, word, **changes), word, previous=of)


def recovery(before: bytes, word: str, **changes: Any) -> bytes:
    return sign(following(before, word, **{"bad_from_ms": FROM_MS, **changes}), word, recovery=RECOVERY)


# The owner's own line, the thief's (who has the first key) and the recovery that settles it.
FIRST = sign(first(), "first")
SECOND = renewal(FIRST, "first", "second")
THIRD = renewal(SECOND, "second", "third")
THIEF = renewal(FIRST, "first", "thief")
THIEF_NEXT = renewal(THIEF, "thief", "thief next")
RECOVERED = recovery(FIRST, "recovered")
RENEWED = renewal(RECOVERED, "recovered", "renewed")


def raws(chain: StatementChain) -> tuple[list[bytes], list[bytes]]:
    return [item.raw for item in chain.statements], [item.raw for item in chain.superseded]


def refusal(chain: StatementChain, raw: bytes) -> Reason:
    with pytest.raises(RemoteProtocolError) as caught:
        chain.extend(raw)
    return caught.value.reason


def chain_of(*statements: bytes) -> StatementChain:
    return StatementChain.from_raw_list(statements)


def test_the_id_is_the_hash_of_the_first_statement_and_stays() -> None:
    chain = chain_of(FIRST, SECOND, THIRD)
    assert chain.node_id == hash_labelled(Label.NODE_ID, decode_signed_statement(FIRST).statement_bytes)
    assert chain.node_id == chain_of(FIRST).node_id
    assert [chain.at(number).number for number in range(3)] == [0, 1, 2]
    assert chain.current == chain.at(2)
    assert chain.certificates() == chain.current.link_certificates


@pytest.mark.parametrize("number", [-1, 3])
def test_asking_for_a_statement_that_is_not_there_is_our_mistake(number: int) -> None:
    with pytest.raises(LocalProtocolError):
        chain_of(FIRST, SECOND, THIRD).at(number)


def test_a_statement_is_in_force_for_its_time() -> None:
    chain = chain_of(FIRST, renewal(FIRST, "first", "second", valid_from_ms=UNTIL_MS - 9, valid_until_ms=UNTIL_MS + 9))
    assert [chain.in_force(0, time) for time in (FROM_MS - 1, FROM_MS, UNTIL_MS - 1, UNTIL_MS)] == [
        False,
        True,
        True,
        False,
    ]
    assert [chain.in_force(1, time) for time in (UNTIL_MS - 10, UNTIL_MS - 9, UNTIL_MS + 9)] == [False, True, False]
    assert not chain.in_force(2, FROM_MS)
    assert not chain.in_force(-1, FROM_MS)


def test_what_a_recovery_says_was_lost_is_in_force_until_then_only() -> None:
    bad_from_ms = FROM_MS + 1000
    chain = chain_of(FIRST, recovery(FIRST, "recovered", bad_from_ms=bad_from_ms))
    assert chain.in_force(0, bad_from_ms - 1)
    assert not chain.in_force(0, bad_from_ms)
    assert chain.in_force(1, bad_from_ms)
    assert chain_of(FIRST).in_force(0, bad_from_ms)


def test_a_statement_twice_changes_nothing() -> None:
    chain = chain_of(FIRST, SECOND)
    assert chain.extend(FIRST) is chain
    assert chain.extend(SECOND) is chain
    settled = chain.extend(RECOVERED)
    assert settled.extend(SECOND) is settled


@pytest.mark.parametrize("statements", [[], [FIRST] * 513], ids=["empty", "long"])
def test_a_chain_has_1_to_512_statements(statements: list[bytes]) -> None:
    with pytest.raises(RemoteProtocolError) as caught:
        StatementChain.from_raw_list(statements)
    assert caught.value.reason is Reason.MALFORMED


def test_a_chain_begins_with_a_first_statement() -> None:
    with pytest.raises(RemoteProtocolError) as caught:
        chain_of(SECOND)
    assert caught.value.reason is Reason.MALFORMED


# -- what does not follow


def test_statements_that_follow_nothing_here() -> None:
    chain = chain_of(FIRST, SECOND)
    fourth = renewal(THIRD, "third", "fourth")
    assert refusal(chain, fourth) is Reason.MISMATCH
    assert refusal(chain, sign(first("stranger"), "stranger")) is Reason.MISMATCH
    assert refusal(chain, renewal(THIEF, "thief", "thief next")) is Reason.MISMATCH
    assert refusal(chain, renewal(FIRST, "first", "odd", number=2)) is Reason.MISMATCH


def test_a_cancelled_statement_is_followed_by_the_next_number_only() -> None:
    settled = chain_of(FIRST, THIEF, RECOVERED)
    assert refusal(settled, renewal(THIEF, "thief", "odd", number=3)) is Reason.MISMATCH


def test_only_the_key_before_renews() -> None:
    chain = chain_of(FIRST)
    forged = sign(following(FIRST, "second"), "second", previous="stranger")
    assert refusal(chain, forged) is Reason.BAD_SIGNATURE
    by_other = sign(following(FIRST, "x", bad_from_ms=1), "x", recovery=signing_secret_of("other recovery"))
    assert refusal(chain, by_other) is Reason.BAD_SIGNATURE


def test_only_recovery_changes_the_recovery_key() -> None:
    new = signing_secret_of("new recovery")
    taken = renewal(FIRST, "first", "second", recovery_key=new.verify_key)
    assert refusal(chain_of(FIRST), taken) is Reason.BAD_SIGNATURE
    moved = recovery(FIRST, "recovered", recovery_key=new.verify_key)
    chain = chain_of(FIRST, moved)
    assert chain.current.recovery_key == new.verify_key
    # From here on the new one recovers, and the old one no longer.
    assert refusal(chain, recovery(moved, "again", recovery_key=new.verify_key)) is Reason.BAD_SIGNATURE
    again = sign(following(moved, "again", bad_from_ms=1, recovery_key=new.verify_key), "again", recovery=new)
    assert chain.extend(again).current.number == 2


def test_a_stranger_cannot_add_to_a_cancelled_branch() -> None:
    """Or its log key would be one of the node's."""
    settled = chain_of(FIRST, THIEF, RECOVERED)
    forged = sign(following(THIEF, "forged"), "forged", previous="stranger")
    assert refusal(settled, forged) is Reason.BAD_SIGNATURE
    below = sign(following(FIRST, "forged"), "forged", previous="stranger")
    assert refusal(settled, below) is Reason.BAD_SIGNATURE


# -- forks and recoveries


def test_two_renewals_of_one_statement_are_a_fork() -> None:
    assert refusal(chain_of(FIRST, SECOND), THIEF) is Reason.FORK
    assert refusal(chain_of(FIRST, SECOND, THIRD), THIEF) is Reason.FORK
    assert refusal(chain_of(FIRST, THIEF), SECOND) is Reason.FORK


def test_a_recovery_cancels_what_identity_keys_signed_above() -> None:
    settled = chain_of(FIRST, THIEF, THIEF_NEXT, RECOVERED)
    assert raws(settled) == ([FIRST, RECOVERED], [THIEF, THIEF_NEXT])
    assert refusal(settled, recovery(FIRST, "other recovery")) is Reason.FORK
    assert refusal(settled, recovery(THIEF, "other recovery")) is Reason.FORK
    assert raws(settled.extend(RENEWED))[0] == [FIRST, RECOVERED, RENEWED]


def test_a_recovery_settles_a_fork_for_both_sides() -> None:
    for held, other in ((SECOND, THIEF), (THIEF, SECOND)):
        chain = chain_of(FIRST, held)
        assert refusal(chain, other) is Reason.FORK
        settled = chain.extend(RECOVERED)
        assert raws(settled.extend(other)) == ([FIRST, RECOVERED], [held, other])


def test_a_key_stolen_long_ago_cannot_fork_what_a_recovery_has_confirmed() -> None:
    confirmed = chain_of(FIRST, SECOND, recovery(SECOND, "recovered second"))
    later = confirmed.extend(THIEF)
    assert raws(later) == (raws(confirmed)[0], [THIEF])
    assert refusal(confirmed, recovery(FIRST, "other recovery")) is Reason.FORK


@settings(max_examples=60)
@given(order=st.permutations([THIEF, THIEF_NEXT, RECOVERED, RENEWED, SECOND, THIRD]))
def test_in_whatever_order_they_come_the_recovered_line_holds(order: list[bytes]) -> None:
    """Refused ones (out of order, or a fork not yet settled) are offered again, as a peer does."""
    chain = chain_of(FIRST)
    for raw in order * 4:
        try:
            chain = chain.extend(raw)
        except RemoteProtocolError as error:
            if error.reason not in (Reason.MISMATCH, Reason.FORK):
                raise
    held, cancelled = raws(chain)
    assert held == [FIRST, RECOVERED, RENEWED]
    assert sorted(cancelled) == sorted([THIEF, THIEF_NEXT, SECOND, THIRD])
    again = StatementChain.from_raw_list(chain.raw_list())
    assert again == chain


def test_the_log_keys_of_a_node() -> None:
    def log_key(word: str) -> bytes:
        return signing_secret_of(f"{word}/log").verify_key

    plain = chain_of(FIRST, SECOND)
    assert plain.log_keys() == plain.trusted_log_keys() == (log_key("second"), log_key("first"))
    settled = chain_of(FIRST, THIEF, RECOVERED, RENEWED)
    assert settled.log_keys() == tuple(map(log_key, ("renewed", "recovered", "first", "thief")))
    assert settled.trusted_log_keys() == (log_key("renewed"), log_key("recovered"))
    assert chain_of(FIRST, SECOND, RECOVERED).trusted_log_keys() == (log_key("recovered"),)


def test_cancelled_statements_leave_room_for_those_in_force(monkeypatch: pytest.MonkeyPatch) -> None:
    """A thief cannot fill the chain so that the owner's next statement has no place, or the chain cannot be read."""
    monkeypatch.setattr(module, "MAX_CHAIN", 4)
    full = chain_of(FIRST, THIEF, THIEF_NEXT, renewal(THIEF_NEXT, "thief next", "thief last"))
    settled = full.extend(RECOVERED)
    assert raws(settled) == ([FIRST, RECOVERED], [THIEF, THIEF_NEXT])
    assert raws(settled.extend(SECOND)) == raws(settled)
    grown = settled.extend(RENEWED)
    assert raws(grown) == ([FIRST, RECOVERED, RENEWED], [THIEF])
    assert StatementChain.from_raw_list(grown.raw_list()) == grown


def test_the_hash_that_the_next_one_names() -> None:
    assert decode_signed_statement(SECOND).statement.previous == statement_hash(FIRST)
    assert identity_of("first").verify_key == chain_of(FIRST).current.identity_key
