"""The shape of the environment: episodes, ends, buffers, random starts, and what is refused."""

import numpy as np
import pytest

from tests.support.simulation import environment, made_run
from tradesentry.apps.drlfusion.envs.market_data import market_data
from tradesentry.apps.drlfusion.envs.simulation_env import SimulationEnv
from tradesentry.apps.drlfusion.helpers import BARS_NEEDED
from tradesentry.core.domain.errors import ConfigError, DataError, UsageError

MAJORS_AND_CROSSES = [
    *("EURUSD", "GBPUSD", "AUDUSD", "NZDUSD", "USDJPY", "USDCHF", "USDCAD", "EURGBP", "EURJPY", "EURCHF"),
    *("EURAUD", "EURCAD", "EURNZD", "GBPJPY", "GBPCHF", "GBPAUD", "GBPCAD", "GBPNZD", "AUDJPY", "AUDCHF"),
    *("AUDCAD", "AUDNZD", "NZDJPY", "NZDCHF", "NZDCAD", "CADJPY", "CADCHF", "CHFJPY"),
]


def random_targets(seed, n_steps, n_envs, *, turn=0.3):
    """Wishes that are held for a random while."""
    rng = np.random.default_rng(seed)
    fresh = rng.uniform(-1.0, 1.0, (n_steps, n_envs))
    last = np.where(rng.random((n_steps, n_envs)) < turn, np.arange(n_steps)[:, None], 0)
    return np.take_along_axis(fresh, np.maximum.accumulate(last, axis=0), axis=0)


def played(env, targets):
    """Return every observation, reward, and the two flags of playing `targets` from a reset."""
    observations, rewards, terminated, truncated = [env.reset().copy()], [], [], []
    for wished in targets:
        seen, paid, died, ended, _infos = env.step(wished)
        observations.append(seen.copy())
        rewards.append(paid)
        terminated.append(died)
        truncated.append(ended)
    return [np.array(part) for part in (observations, rewards, terminated, truncated)]


def test_many_environments_equal_single_ones_to_the_bit(run, data):
    """Seen to fail: with random numbers drawn for all environments from one stream."""
    n = 7
    targets = random_targets(1, 120, n)
    many = played(environment(run, data, n_envs=n, episode_bars=40, seed=9), targets)

    for i in range(n):
        env = environment(run, data, n_envs=1, episode_bars=40, seed=9, first_stream=i)
        alone = played(env, targets[:, i : i + 1])

        assert all(np.array_equal(whole[:, i : i + 1], part) for whole, part in zip(many, alone, strict=True))


def test_the_same_seed_repeats_a_run_and_another_does_not(run, data):
    targets = random_targets(2, 60, 5)

    first, again, other = (
        played(environment(run, data, n_envs=5, episode_bars=20, seed=seed), targets) for seed in (4, 4, 5)
    )

    assert all(np.array_equal(a, b) for a, b in zip(first, again, strict=True))
    assert not np.array_equal(first[0], other[0])


def test_doing_nothing_earns_exactly_nothing(run, data):
    env = environment(run, data, n_envs=16, episode_bars=50)

    _seen, rewards, terminated, truncated = played(env, np.zeros((120, 16)))

    assert np.all(rewards == 0.0)
    assert np.all(env.equities == run.settings.capital)
    assert not terminated.any()
    assert truncated.sum() == 32


def test_the_end_of_an_episode_is_truncation_and_hands_over_its_last_observation(run, data):
    """Seen to fail: `truncated` reported as `terminated`; the observation of the new episode handed over."""
    env = environment(run, data, n_envs=2, episode_bars=5)
    longer = environment(run, data, n_envs=2, episode_bars=50)
    targets = random_targets(3, 5, 2)
    rows, starts = [0, 2], [450, 500]
    env.reset(rows=rows, starts=starts)
    longer.reset(rows=rows, starts=starts)

    for wished in targets:
        seen, _paid, terminated, truncated, infos = env.step(wished)
        unbroken = longer.step(wished)[0]

    assert truncated.tolist() == [True, True]
    assert not terminated.any()
    assert np.array_equal(env.terminal_observations, unbroken)
    assert np.array_equal(infos[1]["terminal_observation"], unbroken[1])
    assert infos[0]["TimeLimit.truncated"] is True
    assert not np.array_equal(seen, unbroken)


def test_ruin_is_termination():
    run = made_run(("EURUSD",), limits="off", config={"risk_fraction": 0.02, "stop_atr": 1.0}, costs="retail")
    run.markets["commission_per_unit"] = 0.02
    env = environment(run, n_envs=4, episode_bars=200)
    env.reset()

    for t in range(200):
        _seen, _paid, terminated, truncated, infos = env.step(np.full(4, 1.0 if t % 2 else -1.0))
        if terminated.any():
            break

    assert terminated.any()
    assert not (terminated & truncated).any()
    assert infos[int(np.flatnonzero(terminated)[0])]["TimeLimit.truncated"] is False


def test_observations_alternate_between_two_buffers(run, data):
    """A learner keeps the last observation by reference. Seen to fail: with one buffer, written in place."""
    env = environment(run, data, n_envs=8, episode_bars=30)
    targets = random_targets(5, 40, 8)
    before = env.reset()
    kept = before.copy()

    for wished in targets:
        after = env.step(wished)[0]
        assert after is not before
        assert np.array_equal(before, kept)
        before, kept = after, after.copy()


def test_environments_that_go_on_share_one_empty_info(run, data):
    env = environment(run, data, n_envs=3, episode_bars=10)
    env.reset(rows=[0, 0, 0], starts=[450, 450, 450])

    first = env.step(np.zeros(3))[4]
    second = env.step(np.zeros(3))[4]

    assert first is second
    assert all(info is first[0] for info in first)
    assert first[0] == {}


def test_no_episode_touches_a_bar_outside_its_span(run, data):
    """Bars outside are poisoned: had one been read, something would be different. Seen to fail: with a span that ends
    one bar later than the poison begins."""
    first, last = 100, 100 + BARS_NEEDED + 60 + 10
    clean = environment(run, data, n_envs=32, episode_bars=60, first=first, last=last, seed=1)
    bars, features = data.bars.copy(), data.features.copy()
    bars["open"][:, last + 1 :] = bars["high"][:, last + 1 :] = bars["low"][:, last + 1 :] = 1e3
    bars["close"][:, last + 1 :] = 1e3
    features["market"][:, last + 1 :] = 4.0
    features["market"][:, : first + BARS_NEEDED] = -4.0
    poisoned = SimulationEnv(
        bars, features, market=data.markets, config=run.config, n_envs=32, episode_bars=60, first=first, last=last,
        seed=1, limits=run.limits, capital=run.settings.capital,
    )  # fmt: skip
    targets = random_targets(6, 300, 32)

    a, b = played(clean, targets), played(poisoned, targets)

    assert all(np.array_equal(x, y) for x, y in zip(a, b, strict=True))


def test_starts_cover_the_span_and_both_a_market_and_its_mirror(run, data):
    env = environment(run, data, n_envs=400, episode_bars=100, first=50, last=800, seed=3)
    env.reset()

    rows, starts = env.slots["row"], env.slots["at"]

    assert np.all(np.bincount(rows, minlength=4) > 60)
    assert starts.min() >= 50 + BARS_NEEDED
    assert starts.max() <= 800 - 100
    assert starts.min() < 50 + BARS_NEEDED + 10
    assert starts.max() > 800 - 110


@pytest.mark.parametrize("n_symbols", [1, 28])
def test_one_market_and_twenty_eight_work_alike(n_symbols):
    names = MAJORS_AND_CROSSES[:n_symbols]
    rates = dict.fromkeys(("EUR", "GBP", "AUD", "NZD", "JPY", "CHF", "CAD"), 1.0)
    run = made_run(names, to="2022-02-05", rates=rates, limits="off")

    data = market_data(run, mirrors=False)
    env = environment(run, data, n_envs=2 * n_symbols, episode_bars=20)
    seen, rewards, _died, _ended = played(env, random_targets(1, 30, 2 * n_symbols))

    assert len(data.symbols) == n_symbols
    assert np.isfinite(seen).all()
    assert np.isfinite(rewards).all()
    assert np.abs(rewards).max() < 20.0


@pytest.mark.parametrize(
    ("settings", "error", "words"),
    [
        ({"episode_bars": 5_000}, ConfigError, "does not fit"),
        ({"first": -1}, ConfigError, "does not fit"),
        ({"n_envs": 0}, ConfigError, "at least 1"),
    ],
)
def test_impossible_spans_are_refused_with_their_numbers(run, data, settings, error, words):
    with pytest.raises(error, match=words):
        environment(run, data, **settings)


def test_data_that_do_not_belong_together_are_refused(run, data):
    with pytest.raises(DataError, match="market_data"):
        SimulationEnv(data.bars, data.features[:, :-1], market=data.markets, config=run.config)


@pytest.mark.parametrize("targets", [np.zeros(3), np.full(2, np.nan), np.zeros((2, 1))])
def test_targets_of_a_broken_policy_are_refused(run, data, targets):
    env = environment(run, data, n_envs=2, episode_bars=20)
    env.reset()

    with pytest.raises(UsageError, match="finite"):
        env.step(targets)


@pytest.mark.parametrize(
    ("rows", "starts", "words"),
    [([9, 0], [450, 450], "row 9"), ([0, 0], [10, 450], "warm-up"), ([0], [450], "1 rows")],
)
def test_given_starts_are_checked(run, data, rows, starts, words):
    env = environment(run, data, n_envs=2, episode_bars=20)

    with pytest.raises(ConfigError, match=words):
        env.reset(rows=rows, starts=starts)
