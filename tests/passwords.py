"""Passwords that cost nothing: the tests make thousands of keyrings and mailboxes, a tenth of a second each."""

from __future__ import annotations

from node.vault.passphrase import DEFAULT_COST, ArgonCost

__all__ = ["make_passwords_cheap"]

_CHEAP = ArgonCost(operations=1, memory_kib=64)


def make_passwords_cheap() -> None:
    """In this process, for whatever is sealed from now on; what is opened says itself what it costs."""
    for name in ("operations", "memory_kib"):
        # The one instance, frozen for everybody else, is the default of many functions.
        object.__setattr__(DEFAULT_COST, name, getattr(_CHEAP, name))
