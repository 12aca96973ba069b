"""A node that dies the moment it has kept a cosignature, before the answer leaves: `python -m tests.real.dying_witness
FOLDER`.
"""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path
from unittest.mock import patch

import trio

from node.opening import open_node
from node.post.cosigning import Cosigning
from node.running import run_node
from protocol.messages import Cosigned, CosignGet

__all__ = ["main"]

_answer = Cosigning.answer


async def _keep_and_die(self: Cosigning, request: CosignGet) -> Cosigned:
    answered = await _answer(self, request)
    if answered.cosignature:
        os.kill(os.getpid(), signal.SIGKILL)
    return answered


async def main(folder: Path) -> None:
    """See above."""
    with patch.object(Cosigning, "answer", _keep_and_die):
        async with open_node(folder) as node:
            await run_node(node, stop=trio.Event())


if __name__ == "__main__":
    trio.run(main, Path(sys.argv[1]))
