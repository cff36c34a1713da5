"""Random runs on a binary tick, where sums of prices are exact, for the laws of the engine."""

import numpy as np
from hypothesis import settings
from hypothesis import strategies as st

from tests.support.markets import MINUTE_NS, new_market
from tests.support.random_runs import random_fine, random_script
from tests.support.scripted import Player, Scenario
from tradesentry.core.domain.orders import Action, SizeRule

SEEDS = st.integers(1_000, 1_000_000)
BINARY_TICK = 2.0**-13
START_NS = 1_704_888_000_000_000_000
few = settings(max_examples=12)


def played(scenario):
    arena = scenario.arena()
    arena.run()
    return arena


def in_units(script):
    """Return a script without the entries that are sized by risk."""
    return [
        line for line in script if line[1]["action"][0] != Action.ENTER or line[1]["size_rule"][0] == SizeRule.UNITS
    ]


def by_place(script):
    """Return a script without ids written down beforehand.

    Ids count over the account, so such an id means another position when other markets trade before this one.
    """
    return [line for line in script if line[1]["target_id"][0] <= 0]


def simple(seed, *, spread_ticks=2, **numbers):
    """Return a scenario on EURUSD with a binary tick, so that sums of prices are exact, sized in units."""
    rng = np.random.default_rng(seed)
    market = new_market(tick=BINARY_TICK, pip=BINARY_TICK, unit_step=1.0, unit_min=1.0, **numbers)
    bars = random_fine(rng, 1.125, BINARY_TICK, n=260, step_minutes=15, start_ns=START_NS)
    bars["spread"] = spread_ticks * BINARY_TICK
    script = in_units(random_script(rng, bars, BINARY_TICK, 15 * MINUTE_NS))
    return Scenario(market, [bars], [Player(script)])
