"""Features are written by the engine, equal what a decision sees, and are kept under the hash of what they hang on."""

import numpy as np
import pytest

from tests.support.simulation import TargetPlayer, dyadic_run, made_run
from tradesentry.apps.drlfusion.envs.features import FEATURE, feature_file, feature_key, feature_rows
from tradesentry.apps.drlfusion.envs.market_data import fit_constants, market_data
from tradesentry.apps.drlfusion.helpers import N_MARKET, OBSERVATION
from tradesentry.core.domain.errors import DataError

ODD = np.array(OBSERVATION.signs[:N_MARKET]) < 0


def test_rows_equal_what_a_strategy_sees_inside_the_engine_to_the_bit(run, data):
    player = TargetPlayer(run, 0, np.full(len(run.data.series[0].bars), np.nan))

    player.run()

    seen = player.seen["observation"][:, :N_MARKET]
    assert np.array_equal(seen[100:], data.features["market"][0, 100 : data.lengths[0]])
    assert np.count_nonzero(np.ptp(seen[400:], axis=0)) == N_MARKET


def test_a_mirrored_market_flips_the_odd_features_and_no_other_to_the_bit():
    """Prices on a binary grid, one spread: differences are exact."""
    data = market_data(dyadic_run())
    plain, mirrored = data.features["market"][0, 400:], data.features["market"][1, 400:]

    assert np.array_equal(mirrored[:, ODD], -plain[:, ODD])
    assert np.array_equal(mirrored[:, ~ODD], plain[:, ~ODD])
    assert np.array_equal(data.features["turbulence"][0], data.features["turbulence"][1])
    assert data.symbols == ("EURUSD", "-EURUSD")


def test_rows_do_not_depend_on_later_bars(run, data):
    bars = run.data.series[0].bars
    market = data.markets[0:1]
    cut = 700
    other = bars.copy()
    other["close"][cut:] *= 1.01
    other["high"][cut:] *= 1.02

    prefix = feature_rows(bars[:cut], market, run.config)
    changed = feature_rows(other, market, run.config)

    assert prefix.tobytes() == data.features[0, :cut].tobytes()
    assert changed[:cut].tobytes() == data.features[0, :cut].tobytes()
    assert changed[cut + 1].tobytes() != data.features[0, cut + 1].tobytes()


def test_swaps_of_a_mirror_belong_to_the_other_side(data):
    plain, mirrored = data.markets[0], data.markets[1]

    assert plain["swap_long"] != plain["swap_short"]
    assert (mirrored["swap_long"], mirrored["swap_short"]) == (plain["swap_short"], plain["swap_long"])


def test_a_file_is_written_once_and_mapped_by_all(run, tmp_path):
    data = market_data(run, folder=tmp_path)
    (path,) = tmp_path.iterdir()
    written = path.stat().st_mtime_ns

    again = market_data(run, folder=tmp_path)

    assert path.stat().st_mtime_ns == written
    assert isinstance(again.features, np.memmap)
    assert not again.features.flags.writeable
    assert again.features.tobytes() == data.features.tobytes() == market_data(run).features.tobytes()


def test_another_bar_another_market_and_another_timeframe_are_other_files(run):
    bars = [s.bars for s in run.data.series]
    key = feature_key(bars, run.markets, run.config)
    moved = [bars[0].copy(), bars[1]]
    moved[0]["close"][-1] += 1e-5
    costly = run.markets.copy()
    costly["min_spread"] = 1.0

    assert feature_key(bars, run.markets.copy(), run.config) == key
    assert feature_key(moved, run.markets, run.config) != key
    assert feature_key(bars, costly, run.config) != key
    assert feature_key(bars, run.markets, run.config.model_copy(update={"timeframe": "H4"})) != key


def test_a_damaged_file_is_named(run, data, tmp_path):
    bars = [s.bars for s in run.data.series]
    path = tmp_path / f"{feature_key(bars, run.markets, run.config)}.npy"
    np.save(path, np.zeros((1, 3), FEATURE))

    with pytest.raises(DataError, match="delete it"):
        feature_file(tmp_path, bars, run.markets, run.config, n_bars=len(bars[0]))


def test_constants_come_from_the_slice_they_are_given_and_from_nothing_else(run, data):
    first, last = 100, 900
    rows = data.features["market"][:, 400 : last + 1].reshape(-1, N_MARKET).astype(float)

    found = fit_constants(data, first, last)
    whole = fit_constants(data, 0, 10_000)

    assert np.allclose(found.obs_scale[:14], np.sqrt(np.mean(rows[:, :14] ** 2, axis=0)))
    assert np.allclose(found.obs_mean[14:19], rows[:, 14:19].mean(axis=0))
    assert np.allclose(found.obs_scale[14:19], rows[:, 14:19].std(axis=0))
    assert np.all(found.obs_mean[:14] == 0.0)
    assert np.all(found.obs_mean[19:] == 0.0)
    assert np.all(found.obs_scale[19:] == 1.0)
    assert found.turbulence_q90 == np.quantile(data.features["turbulence"][:, 400 : last + 1], 0.9)
    assert found.turbulence_q90 < found.turbulence_q99
    assert not np.array_equal(whole.obs_scale, found.obs_scale)
    assert whole.turbulence_q99 != found.turbulence_q99


def test_a_slice_that_the_warm_up_eats_is_refused(data):
    with pytest.raises(DataError, match="longer period"):
        fit_constants(data, 0, 300)


def test_a_market_that_converts_is_followed_at_the_closes_of_the_one_that_is_traded():
    run = made_run(("EURGBP",), to="2022-02-20")

    data = market_data(run, mirrors=False)

    other = run.data.series[1]
    assert other.symbol == "GBPUSD"
    assert np.array_equal(data.crosses["bid"][0], other.bars["close"])
    assert np.array_equal(data.crosses["prev_bid"][0, 1:], other.bars["close"][:-1])
    assert np.all(data.crosses["ask"] > data.crosses["bid"])
