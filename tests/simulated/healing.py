"""The end of a history: everything comes back, gets time, and is checked. Also the figures of a campaign."""

from __future__ import annotations

from dataclasses import dataclass

import trio

from node.post.waiting import retry_now
from tests.simulated.checks import check_letters, check_logs, check_payloads
from tests.simulated.federation import Simulation, simulate
from tests.simulated.history import DAY_S, HOUR_S, MAY_CLOSE, Player, Step

__all__ = ["Campaign", "heal_and_check", "run_history"]


async def heal_and_check(simulation: Simulation, player: Player) -> None:
    """Lines up, nodes up, clocks right, room everywhere, three hours: then everything has ended and agrees."""
    simulation.weather.clear_up()
    for house in simulation.houses.values():
        await house.hurry()
        house.skew_ms = 0
    for address in MAY_CLOSE:
        await player.room(address)
    # Who was away, or lost keys too, has to be told: an invitation, as the command says.
    for name in sorted(player.recovered):
        for house in simulation.houses.values():
            if house.name != name:
                await house.accept(simulation.houses[name])
    for house in simulation.houses.values():
        await retry_now(house.node.database, house.node.outbox, house.node.peers, None)
    await trio.sleep(3 * HOUR_S)
    await check_letters(simulation, player)
    await check_logs(simulation)
    # Weeks later envelopes and dedup rows are forgotten too. Nodes that are off cost the simulation nothing.
    for house in simulation.houses.values():
        await house.shut_down()
    await trio.sleep(25 * DAY_S)
    for house in simulation.houses.values():
        await house.boot()
    await trio.sleep(HOUR_S)
    await check_payloads(simulation)


@dataclass
class Campaign:
    """What many histories added up to."""

    histories: int = 0
    hours: float = 0.0
    letters: int = 0
    power_cuts: int = 0
    writes: int = 0
    connections: int = 0

    def add(self, simulation: Simulation, player: Player) -> None:
        """Count one history that ended well."""
        houses = simulation.houses.values()
        self.histories += 1
        self.hours += trio.current_time() / HOUR_S
        self.letters += len(player.sent)
        self.power_cuts += sum(house.power.cuts for house in houses)
        self.writes += sum(house.power.steps for house in houses)
        self.connections += simulation.weather.connections

    def __str__(self) -> str:
        return (
            f"{self.histories} histories, {self.hours:.0f} simulated hours of three nodes, {self.letters} letters, "
            f"{self.power_cuts} power cuts among {self.writes} writes, {self.connections} connections"
        )


def run_history(seed: int, script: list[Step], campaign: Campaign, *, postgres: str = "") -> list[str]:
    """Play a script, heal, check; returns the trace of all writes."""

    async def history(simulation: Simulation) -> None:
        player = Player(simulation)
        await player.play(script)
        await heal_and_check(simulation, player)
        campaign.add(simulation, player)

    return simulate(seed, history, postgres=postgres)
