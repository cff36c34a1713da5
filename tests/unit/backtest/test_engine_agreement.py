"""The compiled engine agrees trade by trade with the slow one in plain Python, on random markets and random intents."""

from collections import Counter
from functools import cache

import pytest

from tests.support.agreement import disagreements
from tests.support.random_runs import random_scenario
from tradesentry.core.domain.orders import ExitReason, RejectCode

SEEDS = range(60)
RARE = {
    RejectCode.NONE,
    RejectCode.NO_STOP,  # scripts always have a stop; tests of their own prove these
    RejectCode.NOT_FINITE,
    RejectCode.NO_EDGE,
}


@cache
def outcome(seed):
    return disagreements(random_scenario(seed))


@pytest.mark.parametrize("seed", SEEDS)
def test_compiled_engine_agrees_with_the_slow_one(seed):
    """Times and sides exactly, prices to 1e-9, money to 1e-6, of every trade, refusal, equity point and view.

    Seen to fail with `bar.high >= stop` for a short's stop (no spread), with limits filled at a touch, with the swap of
    the new day's weekday, with a stop-out of the first instead of the largest loser, and with a daily lock that stays.
    And with each of these in one of the two engines: swap counted on the new day, no daily loss while a drawdown holds,
    the ATR of the bar that opens, a conversion at its close, one draw for two fills, decisions by the scaled spread,
    sizes in units unchecked, no least commission in a size, siblings canceled in silence, a modify unchecked, orders
    that stay under a wide spread, a chandelier without the bar of the entry, no quota.
    """
    found, _ = outcome(seed)

    assert found == {}


def test_the_random_scenarios_reach_every_rule():
    """An agreement proves nothing about what never happens."""
    reasons, codes, n_trades = Counter(), Counter(), 0

    for seed in SEEDS:
        slow = outcome(seed)[1]
        reasons.update(trade.exit_reason for trade in slow.trades)
        codes.update(reject.code for reject in slow.rejects)
        n_trades += len(slow.trades)

    assert set(ExitReason) - set(reasons) <= {ExitReason.NONE}
    assert set(RejectCode) - set(codes) <= RARE
    assert n_trades > 1_000
