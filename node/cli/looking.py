"""What a person is told, and asked, of recipients before a letter is sent. Spec: spec/directory.md, 13."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Annotated

import typer

from node.errors import CautionError

if TYPE_CHECKING:
    from directory_sync.lookalikes import Caution
    from node.app import Node
    from node.post.compose import Draft

__all__ = ["EvenIfSimilar", "look_first"]

EvenIfSimilar = Annotated[
    bool, typer.Option("--even-if-similar", help="Send without asking, also to a recipient that is like another one.")
]


async def look_first(node: Node, draft: Draft, *, as_json: bool, similar: bool) -> list[Caution]:
    """Tell what there is to know of the recipients, and ask where that is needed. CautionError for a no."""
    found = await node.cautions.about(draft.sender.id, (*draft.to, *draft.cc))
    # Of closed ones the letter's own refusal tells.
    closed = {caution.address for caution in found if caution.kind in ("closed", "moved")}
    if not as_json:
        for caution in found:
            if caution.address not in closed:
                typer.echo(f"{'warning' if caution.asks else 'note'}: {caution.text}", err=True)
    asking = [caution for caution in found if caution.asks]
    if asking and not similar:
        can_ask = not as_json and sys.stdin.isatty()
        if not (can_ask and typer.confirm("Send all the same?", default=False)):
            raise CautionError(
                "not sent" if can_ask else f"not sent: {asking[0].text}",
                hint="compare the addresses; to send all the same: --even-if-similar",
                cautions=tuple(found),
            )
    return found
