"""smedge on a year of real bars of six markets: it runs to the end, trades, and the laws hold.

HistData's M1 bids are played as M15. They carry no spread, so the cost profile fills it in.
"""

import polars as pl
import pytest

from tests.acceptance.test_breakout_real import SYMBOLS, is_closed
from tradesentry import backtest
from tradesentry.apps.smedge.layout import TAGS

CONFIG = {"symbols": list(SYMBOLS), "timeframe": "M15", "trend_mode": "ema", "partial": True, "trail": "swing"}


def play(shared_data, **config):
    return backtest("smedge", source="histdata", catalog=shared_data, config={**CONFIG, **config}, limits="off")


@pytest.fixture(scope="module")
def result(shared_data):
    missing = [s for s in SYMBOLS if not (shared_data / "histdata" / f"{s}_M1.parquet").is_file()]
    if missing:
        pytest.skip(f"{shared_data}/histdata has no M1 bars of {', '.join(missing)}")
    return play(shared_data)


def test_every_market_is_traded_to_the_end(result):
    assert set(result.trades["symbol"]) == set(SYMBOLS)
    assert result.trades.height > 50 * len(SYMBOLS)
    assert result.equity["ts_ns"][-1] == result.period[1]
    assert not result.is_synthetic


def test_the_balance_is_the_capital_and_all_that_was_earned(result):
    assert result.equity["balance"][-1] == pytest.approx(result.capital + result.trades["net"].sum(), abs=1e-6)


def test_every_trade_lies_inside_one_fx_week_and_its_entry_in_the_london_day(result):
    local = pl.col("entry_time").dt.convert_time_zone("Europe/London").dt.hour()

    assert result.trades.filter(is_closed("entry_time")).height == 0
    assert result.trades.filter((local < 7) | (local >= 20)).height == 0
    assert result.trades["bars_held"].max() <= 192


def test_no_trade_is_without_a_stop_on_its_right_side(result):
    distance = result.trades["side"] * (result.trades["entry_price"] - result.trades["stop_at_entry"])

    assert (distance > 0).all()
    assert result.trades["r_multiple"].min() > -6.0


def test_every_trade_names_what_caused_it(result):
    assert set(result.trades["tag"]) <= set(TAGS.values())
    assert (result.trades["cause"].list.get(0) > 0).all()
    swept = result.trades.filter(pl.col("tag").str.starts_with("choch_sweep"))
    assert swept.height > 20
    assert (swept["cause"].list.get(2) > 0).all()


def test_one_position_a_symbol(result):
    for symbol in SYMBOLS:
        mine = result.trades.filter(pl.col("symbol") == symbol).sort("entry_ns")
        assert (mine["entry_ns"][1:] >= mine["exit_ns"][:-1]).all()


@pytest.mark.parametrize("config", [{"zone": "overlap", "trigger": "choch"}, {"use_breakers": True, "zone": "fvg"}])
def test_other_configurations_run_to_the_end(result, shared_data, config):
    other = play(shared_data, **config)

    assert other.equity["ts_ns"][-1] == result.period[1]
    assert not other.trades.equals(result.trades)


def test_two_plays_of_the_same_bars_give_the_same_bytes(result, shared_data):
    again = play(shared_data)

    assert again.trades.equals(result.trades)
    assert again.equity.equals(result.equity)
