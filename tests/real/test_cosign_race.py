"""Two processes of one witness on one PostgreSQL are asked for two histories at the same time: one is cosigned.

Both have their own connections and threads, as two processes have; what orders them is the row in the database alone.
"""

from __future__ import annotations

from pathlib import Path

import trio

from node.app import Node
from node.audit.witness import CosignOrder, WitnessView
from node.opening import open_node
from protocol.checkpoint import Checkpoint, log_origin, sign_checkpoint
from protocol.cosignature import verify_cosignature
from protocol.invite import decode_invite
from protocol.merkle import leaf_hash, root_of
from tests.web.published import made_node

_ROUNDS = 12


async def test_two_processes_never_cosign_two_histories(tmp_path: Path, postgres_url: str) -> None:
    address = postgres_url.replace("postgresql+psycopg://", "postgresql://")
    folder = await made_node(tmp_path / "witness", database=address)
    other = await made_node(tmp_path / "owner")
    async with open_node(other) as owner, open_node(folder) as one, open_node(folder) as two:
        await one.database.write(one.peers.accept, decode_invite(owner.invitation()))
        for number in range(1, _ROUNDS + 1):
            answers: dict[Node, bytes | None] = {}
            notes = {}
            views = {node: await _view(node, owner) for node in (one, two)}
            for branch, node in enumerate((one, two)):
                leaves = [leaf_hash(bytes([at])) for at in range(number)] + [leaf_hash(b"branch" + bytes([branch]))]
                head = Checkpoint(log_origin(owner.node_id, 1), number + 1, root_of(leaves))
                notes[node] = sign_checkpoint(head, owner.keyring.log)

            async with trio.open_nursery() as nursery:
                for node in (one, two):
                    order = CosignOrder(owner.node_id, notes[node], views[node])
                    nursery.start_soon(_ask, node, order, answers)
            given = [node for node, answer in answers.items() if answer is not None]
            assert len(given) == 1
            cosignature = answers[given[0]]
            assert cosignature is not None
            verify_cosignature(notes[given[0]], cosignature, one.keyring.witness.verify_key)


async def _ask(node: Node, order: CosignOrder, answers: dict[Node, bytes | None]) -> None:
    answers[node] = await node.database.write(node.witness.cosign, order)


async def _view(node: Node, owner: Node) -> WitnessView:
    return await node.database.read(node.witness.view, owner.node_id, node.world.now_ms())
