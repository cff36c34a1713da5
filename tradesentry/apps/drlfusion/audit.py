"""Look for knowledge of the future where learned strategies usually have it: features, constants, fills, results.

Every detector is mechanical. It takes the steps from bars to a result as a `Pipeline`, whose parts can be replaced by
ones that leak: that is how each detector is shown to bite (`audit_plants`), and how a user audits steps of their own.
Nothing here trains or needs a learning library.

=============  ==================================================================================================
detector       rule
=============  ==================================================================================================
poison         absurd but valid prices after a bar change nothing that was observed up to it, to the bit
truncation     nor does cutting them off
mirror         mirrored prices flip the odd features and no other, to the bit
fit_range      constants recomputed from the training slice equal the stored ones; from all bars they differ
evaluation     looking at other bars changes no constant
episodes       no training episode touches a bar outside the training slice
lag            features one bar late do not score better (2 standard errors)
shuffle        features in random order score nothing net of costs (3 standard errors)
fill           no entry before the next open, and on the paying side of the spread
profit         what a trade earned is its units times the difference of its fill prices
=============  ==================================================================================================
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cache
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from tradesentry.apps.drlfusion.configs.drlfusion_config import DrlFusionConfig
from tradesentry.apps.drlfusion.envs.features import feature_rows
from tradesentry.apps.drlfusion.envs.market_data import MarketData, ModelConstants, fit_constants, market_data
from tradesentry.apps.drlfusion.envs.simulation_env import SimulationEnv
from tradesentry.apps.drlfusion.layout import BARS_NEEDED, LEVELS, N_FEATURES, N_MARKET, Head
from tradesentry.apps.drlfusion.model_checks import agent_shares
from tradesentry.apps.drlfusion.model_package import ModelSet, load_model_set
from tradesentry.apps.drlfusion.observation import FIRST, SIGNS
from tradesentry.backtest.resolve import ResolvedRun, RunSettings, resolve_run
from tradesentry.backtest.runner import new_arena
from tradesentry.core.market.mirror import mirror, on_grid
from tradesentry.core.market.synthetic import synthetic_bars

Floats = npt.NDArray[np.float64]
CUTS: Final = (0.4, 0.7, 0.95)
"""Where the future begins, parts of the series."""
TICK: Final = 2.0**-17
SPREAD_TICKS: Final = 8
FROM, TO = "2022-01-03", "2022-12-31"
N_ENVS: Final = 64
EPISODE_BARS: Final = 64
VOTE: Final = 0.25
LEAST_AGREEING: Final = 3


@dataclass(frozen=True, slots=True)
class Finding:
    """What one detector says."""

    name: str
    is_clean: bool
    detail: str


@dataclass(frozen=True, slots=True)
class Observed:
    """What a series looks like to the agents, a row per bar."""

    market: Floats
    """Raw features, shape (n, 24)."""
    turbulence: Floats
    rows: Any
    """FEATURE records behind it."""


@dataclass(frozen=True)
class Pipeline:
    """The steps from bars to a result."""

    observe: Callable[[Any], Observed]
    fit: Callable[[Observed, int, int], ModelConstants]
    """Constants of the slice from the first to the last bar."""
    evaluate: Callable[[ModelConstants, Observed], ModelConstants]
    """Constants after looking at further bars."""
    decide: Callable[[ModelConstants, Floats], Floats]
    """Levels of all bars from raw market features."""
    score: Callable[[Floats, Any, Floats], Floats]
    """Net result per bar of levels, ATRs; bars and ATR given."""
    episodes: Callable[[int, int], npt.NDArray[np.int64]]
    """Every bar that training on the slice from the first to the last bar touches."""
    trades: Callable[[], Any]
    """TRADE records of a back-test."""
    bars: Any
    """BAR array that is audited, on a binary tick with one spread, so that a mirror is exact."""
    split: int
    """First bar after the training slice."""


def _observe(bars: Any, market: Any, config: DrlFusionConfig) -> Observed:
    rows = feature_rows(np.ascontiguousarray(bars), market, config)
    return Observed(np.asarray(rows["market"], np.float64), np.asarray(rows["turbulence"], np.float64), rows)


def _fit(observed: Observed, first: int, last: int, bars: Any, market: Any) -> ModelConstants:
    n = len(observed.rows)
    features = np.asarray(observed.rows)[None].copy()
    features["market"][0], features["turbulence"][0] = observed.market, observed.turbulence
    data = MarketData(np.asarray(bars)[None, :n], features, market, None, np.array([n]), ("AUDITED",))
    return fit_constants(data, first, last)


def levels_of(models: ModelSet, constants: ModelConstants, market: Floats) -> Floats:
    """Return the quorum's level on every bar of a market seen without a position.

    Args:
        models: The agents.
        constants: Normalizer.
        market: Raw market features, shape (n, 24).
    """
    raw = np.concatenate([market, np.zeros((len(market), N_FEATURES - N_MARKET))], axis=1)
    seen = ((raw - constants.obs_mean) / constants.obs_scale).astype(np.float32)
    proposals = np.stack(
        [
            agent_shares(m.tensors, Head[m.meta["action"]["head"].upper()], m.meta["action"]["temperature"], seen)
            @ np.array(LEVELS)
            for m in models.models
        ]
    )
    wish = np.zeros(len(market))
    for side in (1.0, -1.0):
        votes = side * proposals > VOTE
        sizes = np.where(votes, np.abs(proposals), np.nan)
        agrees = votes.sum(axis=0) >= LEAST_AGREEING
        wish[agrees] = side * np.nanmedian(sizes[:, agrees], axis=0)
    levels: Floats = np.sign(wish) * np.ceil(2.0 * np.abs(wish) - 0.5) / 2.0
    return levels


def net_of(levels: Floats, bars: Any, atr: Floats) -> Floats:
    """Return the net result of every bar but the last: the level times the next move, less half the spread per change.

    Args:
        levels: Held from the close of each bar on.
        bars: BAR array.
        atr: Price units, per bar.
    """
    move = np.diff(bars["close"])
    paid: Floats = 0.5 * bars["spread"] * np.abs(np.diff(levels, prepend=0.0))
    net: Floats = (levels[:-1] * move - paid[:-1]) / atr[:-1]
    return net


def _touched(run: ResolvedRun, first: int, last: int) -> npt.NDArray[np.int64]:
    """Return the bars that the environments of a training slice stand on, over three episodes each."""
    config: Any = run.config
    env = SimulationEnv.of(
        market_data(run, mirrors=False),
        config=config,
        n_envs=N_ENVS,
        episode_bars=EPISODE_BARS,
        first=first,
        last=last,
        seed=3,
    )
    env.reset(seed=3)
    found = [np.array(env.slots["at"])]
    for _ in range(3 * EPISODE_BARS):
        env.step(np.ones(N_ENVS))
        found.append(np.array(env.slots["at"]))
    return np.unique(np.concatenate(found))


def audited_run(models: str) -> ResolvedRun:
    """Return a run over generated bars with the planted pattern, on a binary tick and with one spread.

    Prices of real sources have no exact mirror image, and features of them are built by the same code.

    Args:
        models: The setting of that name.
    """
    made = synthetic_bars(["EURUSD"], timeframe="H1", start=FROM, end=TO, variant="teaching", tick=TICK, seed=9)
    series = made["EURUSD"]
    bars = on_grid(series.bars, TICK)
    bars["spread"] = SPREAD_TICKS * TICK
    config = {"symbols": ["EURUSD"], "models": models}
    settings = RunSettings(limits="off", costs="standard")
    run = resolve_run("drlfusion", bars=[replace(series, bars=bars)], config=config, settings=settings)
    run.markets["tick"] = TICK
    return run


def pipeline_of(run: ResolvedRun) -> Pipeline:
    """Return the app's own steps on a run of `audited_run`.

    Args:
        run: The run; the first half of its bars is the training slice.
    """
    config: Any = run.config
    models = load_model_set(config.models, timeframe=config.timeframe)
    bars, market = run.data.series[0].bars, run.markets[:1]

    def trades() -> Any:
        arena = new_arena(run)
        arena.run()
        return arena.trade_rows.copy()

    return Pipeline(
        observe=lambda given: _observe(given, market, config),
        fit=lambda observed, first, last: _fit(observed, first, last, bars, market),
        evaluate=lambda constants, _observed: constants,
        decide=lambda constants, values: levels_of(models, constants, values),
        score=net_of,
        episodes=lambda first, last: _touched(run, first, last),
        trades=cache(trades),
        bars=bars,
        split=len(bars) // 2,
    )


def _poisoned(bars: Any, cut: int) -> Any:
    """Return bars whose prices after `cut` are absurd and valid."""
    other = bars.copy()
    for name in ("open", "high", "low", "close"):
        other[name][cut + 1 :] *= 4.0
    other["spread"][cut + 1 :] *= 64.0
    return other


def _same_until(pipeline: Pipeline, name: str, change: Callable[[Any, int], Any]) -> Finding:
    plain = pipeline.observe(pipeline.bars)
    for part in CUTS:
        cut = int(part * len(pipeline.bars))
        other = pipeline.observe(change(pipeline.bars, cut))
        for what, a, b in (("feature", plain.market, other.market), ("turbulence", plain.turbulence, other.turbulence)):
            odd = np.argwhere(a[: cut + 1] != b[: cut + 1])
            if len(odd):
                return Finding(name, False, f"{what} of bar {odd[0][0]} hangs on bars after {cut}")
    return Finding(name, True, f"{len(CUTS)} cuts of {len(pipeline.bars):,} bars")


def _mirror(pipeline: Pipeline) -> Finding:
    plain = pipeline.observe(pipeline.bars).market[FIRST:]
    other = pipeline.observe(mirror(np.asarray(pipeline.bars).view(np.recarray))).market[FIRST:]
    odd = np.flatnonzero((other != np.where(SIGNS[:N_MARKET] < 0, -plain, plain)).any(axis=0))
    detail = f"feature {odd[0] + 1} is no mirror image" if len(odd) else f"{len(plain):,} bars"
    return Finding("mirror", not len(odd), detail)


def _is_equal(a: ModelConstants, b: ModelConstants) -> bool:
    return (
        a.obs_mean.tobytes() == b.obs_mean.tobytes()
        and a.obs_scale.tobytes() == b.obs_scale.tobytes()
        and (a.turbulence_q90, a.turbulence_q99) == (b.turbulence_q90, b.turbulence_q99)
    )


def _fit_range(pipeline: Pipeline, market: Any) -> Finding:
    observed, last = pipeline.observe(pipeline.bars), pipeline.split - 1
    stored = pipeline.fit(observed, 0, last)
    again = _fit(observed, 0, last, pipeline.bars, market)
    everything = _fit(observed, 0, len(pipeline.bars) - 1, pipeline.bars, market)
    is_clean = _is_equal(stored, again) and not _is_equal(stored, everything)
    return Finding("fit_range", is_clean, f"training slice to bar {last:,}")


def _evaluation(pipeline: Pipeline) -> Finding:
    observed = pipeline.observe(pipeline.bars)
    stored = pipeline.fit(observed, 0, pipeline.split - 1)
    after = pipeline.evaluate(stored, observed)
    return Finding("evaluation", _is_equal(stored, after), "constants before and after")


def _episodes(pipeline: Pipeline) -> Finding:
    last = pipeline.split - 1
    touched = pipeline.episodes(0, last)
    is_clean = bool(touched.min() >= 0 and touched.max() <= last)
    return Finding("episodes", is_clean, f"bars {touched.min():,} to {touched.max():,} of 0 to {last:,}")


def _statistic(values: Floats) -> tuple[float, float]:
    return float(values.mean()), float(values.std(ddof=1) / np.sqrt(len(values)))


def _scored(pipeline: Pipeline, market: Floats, observed: Observed) -> Floats:
    constants = pipeline.fit(observed, 0, pipeline.split - 1)
    begin = max(pipeline.split, BARS_NEEDED)
    levels = pipeline.decide(constants, market[begin:])
    return pipeline.score(levels, pipeline.bars[begin:], np.asarray(observed.rows["atr"])[begin:])


def _lag(pipeline: Pipeline) -> Finding:
    observed = pipeline.observe(pipeline.bars)
    late = np.concatenate([observed.market[:1], observed.market[:-1]])
    mean, error = _statistic(_scored(pipeline, late, observed) - _scored(pipeline, observed.market, observed))
    return Finding("lag", mean <= 2.0 * error, f"one bar late earns {mean:+.4f} ATR a bar more, error {error:.4f}")


def _shuffle(pipeline: Pipeline) -> Finding:
    observed = pipeline.observe(pipeline.bars)
    order = np.random.default_rng(0).permutation(len(observed.market))
    mean, error = _statistic(_scored(pipeline, observed.market[order], observed))
    return Finding("shuffle", mean <= 3.0 * error, f"shuffled features earn {mean:+.4f} ATR a bar, error {error:.4f}")


def _fill(pipeline: Pipeline) -> Finding:
    trades, bars = pipeline.trades(), pipeline.bars
    at = np.searchsorted(bars["open_ns"], trades["entry_ns"])
    is_open = bars["open_ns"][np.minimum(at, len(bars) - 1)] == trades["entry_ns"]
    row = bars[np.minimum(at, len(bars) - 1)]
    least = np.where(trades["side"] > 0, row["open"] + row["spread"], row["open"])
    worse = trades["side"] * (trades["entry_price"] - least)
    odd = int((~is_open | (worse < -1e-9)).sum())
    return Finding("fill", len(trades) > 0 and odd == 0, f"{odd} of {len(trades):,} entries early or too cheap")


def _profit(pipeline: Pipeline) -> Finding:
    trades = pipeline.trades()
    expected = trades["side"] * trades["units"] * (trades["exit_price"] - trades["entry_price"])
    apart = np.abs(trades["gross"] - expected)
    odd = int((apart > 1e-6 * np.maximum(1.0, np.abs(expected))).sum())
    return Finding("profit", len(trades) > 0 and odd == 0, f"{odd} of {len(trades):,} trades earned something else")


def audit(pipeline: Pipeline, market: Any) -> list[Finding]:
    """Run every detector.

    Args:
        pipeline: The steps.
        market: MARKET of the audited bars, shape (1,).
    """
    return [
        _same_until(pipeline, "poison", _poisoned),
        _same_until(pipeline, "truncation", lambda bars, cut: bars[: cut + 1]),
        _mirror(pipeline),
        _fit_range(pipeline, market),
        _evaluation(pipeline),
        _episodes(pipeline),
        _lag(pipeline),
        _shuffle(pipeline),
        _fill(pipeline),
        _profit(pipeline),
    ]
