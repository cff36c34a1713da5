"""breakout on years of real bars of six markets: it runs to the end, trades, and the laws hold.

HistData's M1 bids are played as M15. They carry no spread, so the cost profile fills it in.
"""

from datetime import timedelta

import polars as pl
import pytest

from tradesentry import backtest

SYMBOLS = ("AUDUSD", "EURUSD", "GBPUSD", "USDCAD", "USDJPY", "XAUUSD")
CONFIG = {"symbols": list(SYMBOLS), "timeframe": "M15"}
NEW_YORK = "America/New_York"


@pytest.fixture(scope="module")
def result(shared_data):
    missing = [s for s in SYMBOLS if not (shared_data / "histdata" / f"{s}_M1.parquet").is_file()]
    if missing:
        pytest.skip(f"{shared_data}/histdata has no M1 bars of {', '.join(missing)}")
    return backtest("breakout", source="histdata", catalog=shared_data, config=CONFIG, limits="off", cost_levels=(0, 2))


def is_closed(moment):
    """Say whether a moment lies outside the FX week, Sunday 17:00 to Friday 17:00 New York."""
    local = pl.col(moment).dt.convert_time_zone(NEW_YORK)
    day, hour = local.dt.weekday(), local.dt.hour()
    return ((day == 5) & (hour >= 17)) | (day == 6) | ((day == 7) & (hour < 17))


def test_every_market_is_traded_to_the_end(result):
    assert result.symbols == SYMBOLS
    assert set(result.trades["symbol"]) == set(SYMBOLS)
    assert result.trades.height > 50 * len(SYMBOLS)
    assert result.equity["ts_ns"][-1] == result.period[1]
    assert result.timing["bars"] == sum(row["bars"] for row in result.provenance) > 100_000
    assert not result.is_synthetic


def test_the_balance_is_the_capital_and_all_that_was_earned(result):
    trades = result.trades
    parts = trades["gross"] - trades["commission"] + trades["swap"]

    assert result.equity["balance"][-1] == pytest.approx(result.capital + trades["net"].sum(), abs=1e-6)
    assert (parts - trades["net"]).abs().max() < 1e-9
    assert result.equity["balance"][-1] == result.equity["equity"][-1]


def test_every_trade_begins_and_ends_inside_one_fx_week(result):
    trades = result.trades

    assert trades.filter(is_closed("entry_time")).height == 0
    assert (trades["exit_time"] - trades["entry_time"]).max() < timedelta(days=5)
    assert (trades["exit_ns"] >= trades["entry_ns"]).all()


def test_no_trade_is_without_a_stop_on_its_right_side(result):
    distance = result.trades["side"] * (result.trades["entry_price"] - result.trades["stop_at_entry"])

    assert distance.is_finite().all()
    assert (distance > 0).all()


def test_prices_of_trades_lie_inside_what_the_market_paid(result):
    for symbol in SYMBOLS:
        bars = result.bars[symbol]
        mine = result.trades.filter(pl.col("symbol") == symbol)
        room = 0.002 * bars["high"].max()
        for name in ("entry_price", "exit_price"):
            assert mine[name].min() >= bars["low"].min() - room
            assert mine[name].max() <= bars["high"].max() + room


def test_a_loss_at_the_stop_is_about_what_was_risked(result):
    """Gaps and slippage make some losses larger, rounding to whole steps makes them smaller."""
    stopped = result.trades.filter(pl.col("exit_reason") == "stop_loss")

    assert -1.4 < stopped["r_multiple"].median() < -0.9
    assert stopped["r_multiple"].min() > -6.0


def test_costs_only_take(result):
    means = [result.cost_runs[level]["mean_r"] for level in ("0x", "1x", "2x")]

    assert means == sorted(means, reverse=True)
    assert result.cost_runs["0x"]["cost_total"] == pytest.approx(0.0, abs=1e-9)


def test_where_the_bars_come_from_is_all_there(result):
    assert [row["symbol"] for row in result.provenance] == list(SYMBOLS)
    for row in result.provenance:
        assert (row["source"], row["timeframe"], row["price_side"]) == ("histdata", "M15", "bid")
        assert row["is_synthetic"] is False
        assert row["checksum"]
        assert row["resampled_from"] == "M1"
        assert row["clock"]
        assert row["first"] < row["last"]
    assert sum("carry no spread" in warning for warning in result.warnings) == len(SYMBOLS)


def test_the_account_limits_only_ever_refuse_or_end_the_run_early(result, shared_data):
    limited = backtest("breakout", source="histdata", catalog=shared_data, config=CONFIG)

    assert 0 < limited.trades.height <= result.trades.height
    assert limited.summary["max_drawdown"] < 0.2
    if limited.status["state"] != "ACTIVE":
        assert limited.period[0] < limited.status["since"] < limited.period[1]
        assert limited.trades["entry_ns"].max() <= limited.status["since"]
        assert limited.status["reason"] == "drawdown"


def test_two_plays_of_the_same_bars_give_the_same_bytes(result, shared_data):
    again = backtest("breakout", source="histdata", catalog=shared_data, config=CONFIG, limits="off")

    assert again.trades.equals(result.trades)
    assert again.equity.equals(result.equity)
    assert again.rejects.equals(result.rejects)
