"""The training environment and the back-test engine are one machine: same targets, same money, bar by bar.

Three markets (dollars per unit, own-price conversion, conversion through a third market), 5,000 torn bars each, twenty
random action sequences: with stops, swaps, gaps in the data, week ends and refusals by the limits of the account.
"""

import numpy as np
import pytest

from tests.support.simulation import TargetPlayer, environment, made_run, torn_series
from tradesentry.apps.drlfusion.envs.market_data import ModelConstants, fit_constants, market_data
from tradesentry.apps.drlfusion.helpers import BARS_NEEDED
from tradesentry.backtest.resolve import resolve_run
from tradesentry.backtest.runner import new_arena
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
    """See `test_parity_breaks_on_each_planted_fault` for what would be noticed."""
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


N_DECIDED = 2_500


@pytest.mark.parametrize("symbol", ["EURUSD", "USDJPY"])
def test_parity_of_the_strategy_itself_with_the_environment_that_is_given_its_wishes(symbol):
    """The back-test of the shipped set: what its networks saw, wished and earned, and an environment that is asked for
    the same. Observations equal to the bit, levels to the bit, equity to 1e-9."""
    run = resolve_run("drlfusion", bars=torn_series((symbol,), n_bars=N_DECIDED, seed=11))
    arena = new_arena(run)
    state, params = arena.lanes[0].state[0], arena.lanes[0].params.view(np.ndarray)[0]
    seen, wishes, levels, equities = [], [], [], []
    for _ in range(N_DECIDED):
        arena.play(1)
        seen.append(state.obs.copy())
        wishes.append(float(state.last.x))
        levels.append(float(state.last.a))
        equities.append(float(arena.account.equity[0]))
    constants = ModelConstants(
        params["obs_mean"], params["obs_scale"], float(params["turbulence_q90"]), float(params["turbulence_q99"])
    )
    env = environment(
        run, market_data(run, mirrors=False), n_envs=1, episode_bars=N_DECIDED - START - 1, constants=constants
    )

    observation = env.reset(rows=[0], starts=[START])
    for i in range(START, N_DECIDED - 2):
        assert np.array_equal(observation[0], seen[i])
        observation = env.step(np.array([wishes[i]]))[0]
        assert float(env.actions["level"][0]) == levels[i]
        assert abs(float(env.equities[0]) - equities[i + 1]) <= 1e-9

    assert len(arena.trade_rows) > 50


FAULTS = {
    "the fee with its sign turned": lambda data: data.markets.__setitem__(
        "commission_fraction", -data.markets["commission_fraction"]
    ),
    "no swap": lambda data: data.markets.__setitem__("swap_long", 0.0),
    "no slippage": lambda data: data.markets.__setitem__("slippage_mean", 0.0),
    "no spread": lambda data: data.bars.__setitem__("spread", 1e-9),
    "the gate of turbulence missing": lambda data: data.features.__setitem__("turbulence", 0.0),
    "the stop from the ATR of the bar before": lambda data: data.features["atr"].__setitem__(
        (slice(None), slice(1, None)), data.features["atr"][:, :-1].copy()
    ),
    "features of the next bar": lambda data: data.features["market"].__setitem__(
        (slice(None), slice(None, -1)), data.features["market"][:, 1:].copy()
    ),
    "entries at the close that was observed": lambda data: data.bars["open"].__setitem__(
        (slice(None), slice(1, None)), data.bars["close"][:, :-1].copy()
    ),
}


@pytest.mark.parametrize("fault", [None, *FAULTS])
def test_parity_breaks_on_each_planted_fault(fault):
    """The proof bites: an environment that differs from the engine in one thing only is found out."""
    series = torn_series(("USDJPY",), n_bars=1_500)
    run = made_run(("USDJPY",), series=series, costs="raw", limits="off")
    run.markets["commission_fraction"] = 3e-5
    run.markets["slippage_mean"] = run.markets["pip"] * 0.2
    data = market_data(run, mirrors=False)
    constants = fit_constants(data, 0, 1_499)
    steps = 1_500 - 2 - START
    wishes = np.full(1_500, np.nan)
    wishes[START : START + steps] = random_targets(5, steps, 1)[:, 0]
    if fault is not None:
        FAULTS[fault](data)
    env = environment(run, data, n_envs=1, episode_bars=1_499 - START, constants=constants)

    observations, equities = [env.reset(rows=[0], starts=[START])[0].copy()], []
    for wish in wishes[START : START + steps]:
        observations.append(env.step(np.array([wish]))[0][0].copy())
        equities.append(float(env.equities[0]))
    player = TargetPlayer(run, 0, wishes, params=env.params)
    equity = player.run()

    is_same_money = np.max(np.abs(np.array(equities) - equity[START + 1 : START + 1 + steps])) <= 1e-9
    is_same_view = np.array_equal(np.array(observations), player.seen["observation"][START : START + 1 + steps])
    assert (is_same_money and is_same_view) == (fault is None)
