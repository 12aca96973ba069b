"""What the writing page says of recipients and limits, in words for people."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from directory_sync.lookalikes import Caution, CautionKind
from node.post.outlook import Obstacle, ObstacleKind
from node.reports.rendering import N_

__all__ = ["ASKS_FOR_ANSWER", "CAUTIONS", "OBSTACLES", "caution_text", "obstacle_text"]

ASKS_FOR_ANSWER: Final = N_("[An answer is wanted.]")
"""First line of such a letter: the letter itself has no field for it, and a line reaches every reader."""

OBSTACLES: Final = {
    ObstacleKind.NO_ADDRESS: N_("This is no address: choose somebody from the list, or type name@domain."),
    ObstacleKind.UNKNOWN: N_("Nobody in the directory has this address."),
    ObstacleKind.CLOSED: N_("This mailbox is closed: choose another recipient."),
    ObstacleKind.MOVED: N_("This mailbox is closed and moved: write to {others} instead."),
    ObstacleKind.LETTER_CLASS: N_("This mailbox takes no letters of this class: choose another class."),
    ObstacleKind.TOO_LARGE: N_("The documents are too large for this mailbox: it takes {limit} at most."),
    ObstacleKind.MEDIA_TYPE: N_("This mailbox does not take files like {file}: take it off, or send another kind."),
}
_NEAREST: Final = N_("Nobody in the directory has this address. Did you mean {others}?")

CAUTIONS: Final = {
    CautionKind.LIKE_ADDRESS: N_("{address} looks very much like {others}."),
    CautionKind.LIKE_DOMAIN: N_("The part after @ of {address} looks very much like {others}."),
    CautionKind.MIXED_SCRIPTS: N_("{address} mixes alphabets, as addresses made to deceive do."),
    CautionKind.LIKE_NAME: N_("{address} has a name that looks like that of {others}."),
    CautionKind.SHARED_KEY: N_("{address} has the same key as {others}: one of them may not be who it says."),
    CautionKind.NAMESAKE: N_("{address} has the same name as {others}."),
    CautionKind.RESET: N_("The institution of {address} gave it new keys not long ago."),
}


def obstacle_text(obstacle: Obstacle, say: Callable[..., str], size: Callable[[int], str]) -> str:
    """An obstacle in a sentence. say: translates and fills in; size: writes bytes for people."""
    text = _NEAREST if obstacle.kind is ObstacleKind.UNKNOWN and obstacle.others else OBSTACLES[obstacle.kind]
    return say(text, others=", ".join(obstacle.others), limit=size(obstacle.limit), file=obstacle.file)


def caution_text(caution: Caution, say: Callable[..., str]) -> str:
    """A caution in a sentence."""
    return say(CAUTIONS[caution.kind], address=caution.address, others=", ".join(caution.others))
