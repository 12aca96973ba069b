"""The offline key that follows a maintainer's present one: renewed in time, or after it was stolen or lost.

Spec: spec/directory.md, 7; spec/identity.md.
"""

from __future__ import annotations

from node.errors import StateError
from node.identity.key_change import FreshKeys, next_chain, recovered_chain
from node.maintainer.keys import ComingKeys, OfflineKey, OnlineKeys
from node.world import World
from protocol.crypto import SigningSecret, VerifyKey
from protocol.statement import StatementChain

__all__ = ["recovered_key", "renewed_key"]


def renewed_key(chain: StatementChain, key: OfflineKey, world: World) -> OfflineKey:
    """The key that follows, with the statement that names it; the one given if that waits to be taken up.

    StateError if the chain does not take it.
    """
    if key.coming is not None and key.coming.statement not in chain.raw_list():
        return key
    fresh = FreshKeys.draw(world.random_bytes)
    now_ms = world.now_ms()
    # Without slack: from its very time on, what the key before signs counts no more.
    following = next_chain(chain, key.identity, fresh, now_ms=now_ms, slack_ms=0)
    return _offline_key(fresh, following)


def recovered_key(
    chain: StatementChain,
    recovery: SigningSecret,
    world: World,
    *,
    bad_from_ms: int | None,
    new_recovery_key: VerifyKey | None,
) -> OfflineKey:
    """The key that follows one which was stolen or lost. StateError for another maintainer's recovery key."""
    now_ms = world.now_ms()
    since_ms = chain.current.valid_from_ms if bad_from_ms is None else bad_from_ms
    if since_ms > now_ms:
        raise StateError("keys cannot have been stolen in the future", hint="give an earlier --bad-from")
    fresh = FreshKeys.draw(world.random_bytes)
    following = recovered_chain(
        chain,
        recovery,
        fresh,
        bad_from_ms=since_ms,
        recovery_key=new_recovery_key or recovery.verify_key,
        now_ms=now_ms,
        slack_ms=0,
    )
    return _offline_key(fresh, following)


def _offline_key(fresh: FreshKeys, chain: StatementChain) -> OfflineKey:
    online = OnlineKeys(log=fresh.log, witness=fresh.witness)
    return OfflineKey(fresh.identity, ComingKeys(statement=chain.statements[-1].raw, online=online))
