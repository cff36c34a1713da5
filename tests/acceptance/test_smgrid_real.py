"""smgrid on years of real bars of six markets: it runs to the end, trades, and the laws hold.

HistData's M1 bids are played as M15. They carry no spread, so the cost profile fills it in.
"""

import polars as pl
import pytest

from tradesentry import backtest
from tradesentry.apps.smgrid.backtest.figures import LABELS, basket_figures, baskets

SYMBOLS = ("AUDUSD", "EURUSD", "GBPUSD", "USDCAD", "USDJPY", "XAUUSD")
NEW_YORK = "America/New_York"


@pytest.fixture(scope="module", params=["zone", "atr_band"])
def result(request, shared_data):
    missing = [s for s in SYMBOLS if not (shared_data / "histdata" / f"{s}_M1.parquet").is_file()]
    if missing:
        pytest.skip(f"{shared_data}/histdata has no M1 bars of {', '.join(missing)}")
    config = {"symbols": list(SYMBOLS), "timeframe": "M15", "anchor": request.param}
    return backtest("smgrid", source="histdata", catalog=shared_data, config=config, limits="off", cost_levels=(0, 2))


def test_every_market_is_traded_to_the_end(result):
    assert set(result.trades["symbol"]) == set(SYMBOLS)
    assert baskets(result).height > 100 * len(SYMBOLS)
    assert result.equity["ts_ns"][-1] == result.period[1]
    assert not result.is_synthetic


def test_no_basket_loses_more_than_it_was_allowed_but_for_gaps(result):
    rows = baskets(result)

    # Equity is known to the hour, and a gap through the stop costs more: a few in a thousand, and not much.
    assert (rows["r"] < -1.02).mean() < 0.005
    assert rows["r"].min() > -2.0
    assert ((rows["at_risk"] / rows["allowed"]) > 1.02).sum() == 0


def test_all_positions_of_a_basket_share_side_and_stop_and_no_level_fills_twice(result):
    by_basket = result.trades.group_by("symbol", "basket").agg(
        pl.col("side").n_unique(), pl.col("stop_at_entry").n_unique(), n=pl.len(), levels=pl.col("tag").n_unique()
    )

    assert (by_basket["side"] == 1).all()
    assert (by_basket["stop_at_entry"] == 1).all()
    assert (by_basket["n"] == by_basket["levels"]).all()


def test_one_basket_at_a_time_on_each_market(result):
    rows = baskets(result).sort("symbol", "opened")
    before = pl.col("closed").shift(1).over("symbol")

    assert rows.filter(pl.col("opened") < before).height == 0


def test_every_basket_is_flat_by_friday_three_o_clock_in_new_york(result):
    local = pl.col("exit_time").dt.convert_time_zone(NEW_YORK)
    late = (local.dt.weekday() == 5) & (local.dt.hour() * 60 + local.dt.minute() > 15 * 60)

    assert result.trades.filter(late).height == 0


def test_balance_is_the_capital_and_all_that_was_earned(result):
    parts = result.trades["gross"] - result.trades["commission"] + result.trades["swap"]

    assert result.equity["balance"][-1] == pytest.approx(result.capital + result.trades["net"].sum(), abs=1e-6)
    assert (parts - result.trades["net"]).abs().max() < 1e-9


def test_figures_of_baskets_are_what_a_grid_looks_like(result):
    figures = basket_figures(result)

    assert set(figures) == set(LABELS)
    # Most baskets win and the rest lose more, so the break-even share of full losses is well below one half.
    assert 0.6 < figures["win_rate"] < 0.95
    assert 0.03 < figures["break_even_share"] < 0.4
    assert 0 < figures["worst_used_mean"] < 1


def test_costs_only_take(result):
    returns = [result.cost_runs[level]["total_return"] for level in ("0x", "1x", "2x")]

    assert returns == sorted(returns, reverse=True)
