"""What happens in a history: steps drawn by Hypothesis, and how each of them is done."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import trio
from hypothesis import strategies as st

from node.errors import CoffreError, StoreError
from node.post.submit import Accepted
from node.vault.states import LetterFolder
from protocol.errors import RemoteProtocolError
from protocol.letter import LetterClass
from tests.simulated.federation import PEOPLE, Simulation
from tests.simulated.house import DownError, House

__all__ = ["Player", "Sent", "Step", "scripts"]

ADDRESSES: Final = [f"{local}@{name}.example" for name, people in PEOPLE.items() for local in people]
MAY_CLOSE: Final = ["alma@a.example", "berta@b.example", "cora@c.example"]
PAIRS: Final = [("a", "b"), ("a", "c"), ("b", "c")]
# Nothing; in the offer; pulled as one chunk; several chunks; several megabytes, which is saved in steps.
SIZES: Final = (0, 20_000, 200_000, 600_000, 5_000_000)
MINUTE_S: Final = 60
HOUR_S: Final = 3600
DAY_S: Final = 24 * HOUR_S

Step = tuple[Any, ...]

_wait = st.tuples(
    st.just("wait"), st.sampled_from([1, 20, 20, 5 * MINUTE_S, 20 * MINUTE_S, HOUR_S, 6 * HOUR_S, DAY_S, 3 * DAY_S])
)
_send = st.tuples(
    st.just("send"),
    st.sampled_from(ADDRESSES),
    st.lists(st.sampled_from(ADDRESSES), min_size=1, max_size=3, unique=True),
    st.lists(st.sampled_from(ADDRESSES), max_size=1),
    st.sampled_from(SIZES),
    st.sampled_from(list(LetterClass)),
)
_crash = st.tuples(
    st.just("crash"),
    st.sampled_from(list(PEOPLE)),
    st.integers(0, 60),
    st.sampled_from([1, 60, 20 * MINUTE_S, 6 * HOUR_S, 2 * DAY_S]),
    st.booleans(),
)
_house = st.sampled_from(list(PEOPLE))
_steps = st.one_of(
    _send,
    _send,
    _send,
    _wait,
    _wait,
    _crash,
    _crash,
    _crash,
    st.tuples(st.just("fail"), _house),
    st.tuples(st.just("stop"), _house),
    st.tuples(st.just("start"), _house),
    st.tuples(st.just("cut"), st.sampled_from(PAIRS)),
    st.tuples(st.just("mend"), st.sampled_from(PAIRS)),
    st.tuples(st.just("weather"), st.sampled_from([0.0, 0.2, 0.6])),
    st.tuples(st.just("jump"), _house, st.sampled_from([-HOUR_S, HOUR_S, DAY_S, -DAY_S])),
    st.tuples(st.just("withdraw"), st.integers(0, 7)),
    st.tuples(st.just("open"), st.sampled_from(ADDRESSES), st.integers(0, 3)),
    st.tuples(st.just("open"), st.sampled_from(ADDRESSES), st.integers(0, 3)),
    st.tuples(st.just("fill"), st.sampled_from(MAY_CLOSE)),
    st.tuples(st.just("room"), st.sampled_from(MAY_CLOSE)),
    st.tuples(st.just("close"), st.sampled_from(MAY_CLOSE)),
    st.tuples(st.just("renew"), _house),
    st.tuples(st.just("destroy"), _house),
    st.tuples(st.just("recover"), _house),
)


def scripts(max_size: int) -> st.SearchStrategy[list[Step]]:
    """Histories of at most so many steps, which begin with a letter."""
    return st.tuples(_send, st.lists(_steps, min_size=6, max_size=max_size - 1)).map(lambda pair: [pair[0], *pair[1]])


@dataclass(frozen=True, slots=True)
class Sent:
    """A letter of which somebody was told that it is accepted."""

    sender: str
    accepted: Accepted


@dataclass
class Player:
    """Does the steps of a history."""

    simulation: Simulation
    sent: list[Sent] = field(default_factory=list)
    withdrawn: list[Sent] = field(default_factory=list)
    recovered: set[str] = field(default_factory=set)
    refused: int = 0

    async def play(self, script: list[Step]) -> None:
        """Do all steps, one after the other."""
        doers: dict[str, Callable[..., Any]] = {
            "send": self.send,
            "wait": trio.sleep,
            "crash": self.crash,
            "fail": self.fail,
            "stop": self.stop,
            "start": self.start,
            "cut": self.cut,
            "mend": self.mend,
            "weather": self.weather,
            "jump": self.jump,
            "withdraw": self.withdraw,
            "open": self.open,
            "fill": self.fill,
            "room": self.room,
            "close": self.close,
            "renew": self.renew,
            "destroy": self.destroy,
            "recover": self.recover,
        }
        for word, *arguments in script:
            self.simulation.trace.append(f"{trio.current_time():.3f} step {word} {arguments}")
            try:
                await doers[word](*arguments)
            except DownError:
                continue
            except StoreError:
                raise  # nothing that a person does may find the vault damaged
            except (CoffreError, RemoteProtocolError):
                self.refused += 1

    def _house(self, address: str) -> House:
        return self.simulation.house_of(address)

    def _file(self, size: int) -> list[Path]:
        if not size:
            return []
        path = self.simulation.folder / f"{size}.bin"
        if not path.exists():
            path.write_bytes(self.simulation.random.randbytes(size))
        return [path]

    async def send(
        self, sender: str, to: list[str], cc: list[str], size: int, letter_class: LetterClass = LetterClass.NORMAL
    ) -> None:
        house, files = self._house(sender), self._file(size)
        local = sender.partition("@")[0]
        accepted = await house.act(
            lambda: house.send(local, *to, cc=tuple(cc), files=files, letter_class=letter_class, subject=f"{size}")
        )
        self.sent.append(Sent(sender, accepted))

    async def crash(self, name: str, steps: int, down_s: float, silently: bool) -> None:
        """The power goes at one of the next writes."""
        house = self.simulation.houses[name]
        house.power.cut_in, house.down_s, house.dies_silently = steps, down_s, silently

    async def fail(self, name: str) -> None:
        """The power goes now."""
        await self.simulation.houses[name].fail()

    async def stop(self, name: str) -> None:
        await self.simulation.houses[name].shut_down()

    async def start(self, name: str) -> None:
        await self.simulation.houses[name].boot()

    async def cut(self, pair: tuple[str, str]) -> None:
        self.simulation.weather.cut(*pair)

    async def mend(self, pair: tuple[str, str]) -> None:
        self.simulation.weather.mend(*pair)

    async def weather(self, badness: float) -> None:
        self.simulation.weather.badness = badness

    async def jump(self, name: str, seconds: int) -> None:
        """Somebody sets the clock."""
        self.simulation.houses[name].skew_ms += seconds * 1000

    async def withdraw(self, number: int) -> None:
        if self.sent:
            sent = self.sent[-1 - number % len(self.sent)]
            house = self._house(sent.sender)
            await house.act(lambda: house.withdraw(sent.sender.partition("@")[0], sent.accepted))
            self.withdrawn.append(sent)

    async def open(self, address: str, number: int) -> None:
        house, local = self._house(address), address.partition("@")[0]

        async def read() -> None:
            inbox = await house.node.reading.page(house.people[local], LetterFolder.INBOX)
            if inbox:
                await house.node.reading.open(house.people[local], inbox[number % len(inbox)].stored)

        await house.act(read)

    async def fill(self, address: str) -> None:
        house, local = self._house(address), address.partition("@")[0]
        await house.act(lambda: house.set_quota(local, 0))

    async def room(self, address: str) -> None:
        house, local = self._house(address), address.partition("@")[0]
        await house.act(lambda: house.set_quota(local, 2**40))

    async def close(self, address: str) -> None:
        house = self._house(address)
        await house.act(lambda: house.node.mailboxes.close(address))

    async def renew(self, name: str) -> None:
        house = self.simulation.houses[name]
        await house.act(lambda: house.node.key_keeper.renew())

    async def destroy(self, name: str) -> None:
        """The former seal keys: what was sealed to them cannot be opened any more."""
        house = self.simulation.houses[name]
        await house.act(house.destroy_former_keys)

    async def recover(self, name: str) -> None:
        """All keys are stolen, or lost."""
        self.recovered.add(name)
        await self.simulation.houses[name].recover()
