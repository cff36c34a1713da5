"""The training environment and the back-test engine are one machine: same targets, same money, bar by bar.

Three markets (dollars per unit, own-price conversion, conversion through a third market), 5,000 torn bars each, twenty
random action sequences: with stops, swaps, gaps in the data, week ends and refusals by the limits of the account.
"""

import numpy as np
import pytest

from tests.support.simulation import TargetPlayer, environment, made_run, torn_series
from tradesentry.apps.drlfusion.envs.market_data import fit_constants, market_data
from tradesentry.apps.drlfusion.helpers import BARS_NEEDED
from tradesentry.core.domain.orders import ExitReason

SYMBOLS = ("EURUSD", "USDJPY", "EURGBP")
N_BARS = 5_000
N_SEQUENCES = 20
START = BARS_NEEDED


@pytest.fixture(scope="module", params=["default", "off"], ids=["limits", "no limits"])
def run(request):
    series = torn_series((*SYMBOLS, "GBPUSD"), n_bars=N_BARS)
    return made_run(SYMBOLS, series=series, costs="standard", limits=request.param, config={"stop_atr": 1.5})


def random_targets(seed, n, n_sequences):
    """Wishes that are held for a random while, between and beyond the levels."""
    rng = np.random.default_rng(seed)
    fresh = rng.uniform(-1.2, 1.2, (n, n_sequences))
    turns = rng.random((n, n_sequences)) < 0.15
    rows = np.maximum.accumulate(np.where(turns, np.arange(n)[:, None], 0), axis=0)
    return np.clip(np.take_along_axis(fresh, rows, axis=0), -1.0, 1.0)


@pytest.mark.parametrize("symbol", SYMBOLS)
def test_parity_of_equity_bar_by_bar_and_of_observations_to_the_bit(run, symbol):
    """Seen to fail: the fee with its sign turned; the gate of turbulence left out of the environment."""
    market = [s.symbol for s in run.data.series].index(symbol)
    data = market_data(run, mirrors=False)
    constants = fit_constants(data, 0, N_BARS - 1)
    steps = N_BARS - 1 - START - 1
    targets = random_targets(market, steps, N_SEQUENCES)
    env = environment(run, data, n_envs=N_SEQUENCES, episode_bars=N_BARS - 1 - START, constants=constants)

    observations = [env.reset(rows=[market] * N_SEQUENCES, starts=[START] * N_SEQUENCES).copy()]
    equities = []
    for wished in targets:
        observations.append(env.step(wished)[0].copy())
        equities.append(env.equities)

    reasons: dict[int, int] = {}
    n_refused = 0
    for i in range(N_SEQUENCES):
        wishes = np.full(N_BARS, np.nan)
        wishes[START : START + steps] = targets[:, i]
        player = TargetPlayer(run, market, wishes, params=env.params)
        equity = player.run()
        found = np.array([row[i] for row in equities])
        assert np.max(np.abs(found - equity[START + 1 : START + 1 + steps])) <= 1e-9
        seen = player.seen["observation"][START : START + 1 + steps]
        assert np.array_equal(np.array([row[i] for row in observations]), seen)
        n_refused += len(player.arena.reject_rows)
        for reason in player.arena.trade_rows["exit_reason"]:
            reasons[int(reason)] = reasons.get(int(reason), 0) + 1
        assert np.any(player.arena.trade_rows["swap"] != 0.0)
    assert reasons[ExitReason.STOP_LOSS] > 100
    assert reasons[ExitReason.STRATEGY] > 1_000
    assert reasons[ExitReason.WEEKEND] > 20
    assert n_refused > 20
