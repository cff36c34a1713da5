"""Bars that the engine coasts over leave the same memory behind as bars that it plays one by one."""

import numpy as np
from hypothesis import given, settings

from tests.support.law_runs import SEEDS
from tests.support.markets import MINUTE_NS, new_account, rules_of, utc
from tests.support.random_runs import LEVELS, add_news, aggregate, random_fine, random_markets
from tests.support.scripted import Player, Scenario, close, enter
from tradesentry.core.domain.orders import OrderType
from tradesentry.core.execution.costs import Conversion

MEMORY = ("account", "books", "quotes", "series", "trade_rows", "equity_rows", "reject_rows")
MINUTES = 15
N_BARS = 500
LIMITS = {
    "is_on": [False, True, True],
    "daily_loss": [0.002, 0.01, 1.0],
    "market_daily_loss": [0.001, 0.004, 1.0],
    "drawdown_reduce": [0.002, 0.01, 1.0],
    "drawdown_halt": [0.004, 0.02, 1.0],
    "stop_out_level": [0.0, 0.5, 3.0],
}


def sparse_script(rng, bars, pip):
    """Return a few entries with stops far away, resting orders that allow only some spreads, and closes."""
    script = []
    for at in np.sort(rng.integers(0, len(bars), 14)).tolist():
        price, side = bars["close"][at], int(rng.choice([1, -1]))
        if rng.random() < 0.2:
            script.append(close(at, rng.choice([0.0, 1000.0])))
            continue
        is_limit = rng.random() < 0.3
        entry = price - side * rng.integers(5, 30) * pip if is_limit else price
        more = {"price": entry, "type": OrderType.LIMIT, "max_spread": rng.choice([1.5, 3.5]) * pip} if is_limit else {}
        target = rng.choice([np.nan, entry + side * rng.integers(20, 90) * pip])
        stop = entry - side * rng.integers(20, 90) * pip
        script.append(enter(at, side, stop, target, units=rng.choice([2e3, 2e4, 1e5]), tag=at, **more))
    return script


def lone_account(rng, market, price):
    """Return an account with tight limits, or one that a position of 100,000 units brings near its margin call."""
    limits = {name: rng.choice(some) for name, some in LIMITS.items()}
    capital = float(rng.choice([3_000.0, 15_000.0, 200_000.0]))
    if rng.random() < 0.4:
        limits |= {"is_on": False, "stop_out_level": 3.0}
        rate = market.fixed_rate if market.conversion == Conversion.FIXED else 1.0 / price
        capital = 3.0 * 1e5 * price * rate * market.margin_fraction * rng.uniform(1.001, 1.02)
    return new_account(capital, **limits)


def lone_scenario(seed):
    """Return one strategy on one market with long stretches of nothing."""
    rng = np.random.default_rng(seed)
    symbol = str(rng.choice(["EURUSD", "USDJPY", "USDCHF"]))
    start_ns = utc("2024-01-10T06:00")
    markets = random_markets(rng, (symbol,))
    add_news(rng, markets, start_ns)
    pip = float(markets[0].pip)
    fine = random_fine(rng, LEVELS[symbol], pip, n=3 * N_BARS * 7 // 5, step_minutes=MINUTES // 3, start_ns=start_ns)
    bars = aggregate(fine, MINUTES)[:N_BARS]
    # The spread of the data changes on every bar, now and then, or never; zero leaves it to the market's floor.
    bars["spread"] = np.repeat(bars["spread"], int(rng.choice([1, 20, N_BARS])))[: len(bars)]
    rules = rules_of(
        bar_ns=MINUTES * MINUTE_NS, weekend_flatten=rng.random() < 0.5, uses_news=rng.random() < 0.3, max_spread=0.0
    )
    account = lone_account(rng, markets[0], bars["close"][0])
    # A drawdown of the past, deeper than any to come, leaves the limits and the margin call to bite first.
    account["max_drawdown"] = rng.choice([0.0, 0.9])
    player = Player(sparse_script(rng, bars, pip), market=0, rules=rules)
    return Scenario(markets, [bars], [player], account, [fine[:0]])


def one_by_one(scenario):
    """Return the memory after every bar was played by a call of its own, which leaves nothing to coast over."""
    arena = scenario.arena()
    while arena.play(1):
        pass
    arena.finish()
    return arena


def coasted(scenario):
    """Return the memory after one run."""
    arena = scenario.arena()
    arena.run()
    return arena


@settings(max_examples=120)
@given(seed=SEEDS)
def test_coasting_leaves_the_memory_of_playing_bar_by_bar(seed):
    """To the last bit: account, book, quote, trades, refusals, equity points and all that the strategy saw.

    Seen to fail, each left out of `coasting`: the distance to the peak, to the deepest drawdown, to the limits and to
    the margin call; the measuring anew from a noted bar; the widest spread of a resting order; a changed spread.
    """
    scenario = lone_scenario(seed)

    whole, single = coasted(scenario), one_by_one(scenario)

    for name in MEMORY:
        assert getattr(whole, name).tobytes() == getattr(single, name).tobytes(), name
    assert whole.lanes[0].state.tobytes() == single.lanes[0].state.tobytes()
