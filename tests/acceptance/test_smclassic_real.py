"""smclassic on a year of real bars of six markets: it runs to the end, trades, and the laws hold.

HistData's M1 bids are played as M15. They carry no spread, so the cost profile fills it in.
"""

from datetime import timedelta

import pytest

from tests.acceptance.test_breakout_real import is_closed
from tradesentry import backtest

SYMBOLS = ("AUDUSD", "EURUSD", "GBPUSD", "USDCAD", "USDJPY", "XAUUSD")
CONFIG = {"symbols": list(SYMBOLS), "timeframe": "M15", "regime": "off"}


@pytest.fixture(scope="module")
def played(shared_data):
    missing = [s for s in SYMBOLS if not (shared_data / "histdata" / f"{s}_M1.parquet").is_file()]
    if missing:
        pytest.skip(f"{shared_data}/histdata has no M1 bars of {', '.join(missing)}")

    def play(**config):
        options = {"limits": "off", "capital": 100_000, "cost_levels": (0, 2)}
        return backtest("smclassic", source="histdata", catalog=shared_data, config=CONFIG | config, **options)

    return play


@pytest.fixture(scope="module")
def result(played):
    return played()


def test_every_market_is_traded_to_the_end(result):
    assert set(result.trades["symbol"]) == set(SYMBOLS)
    assert result.trades.height > 20 * len(SYMBOLS)
    assert result.equity["ts_ns"][-1] == result.period[1]
    assert not result.is_synthetic


def test_one_position_a_market_at_a_time(result):
    for symbol in SYMBOLS:
        mine = result.trades.filter(result.trades["symbol"] == symbol).sort("entry_ns")

        assert (mine["entry_ns"][1:] >= mine["exit_ns"][:-1] - 15 * 60 * 10**9).all()


def test_every_trade_begins_and_ends_inside_one_fx_week(result):
    trades = result.trades

    assert trades.filter(is_closed("entry_time")).height == 0
    assert (trades["exit_time"] - trades["entry_time"]).max() < timedelta(hours=34)


def test_a_loss_at_the_stop_is_about_what_was_risked(result):
    whole = result.trades.filter((result.trades["exit_reason"] == "stop_loss") & (result.trades["r_multiple"] < -0.5))

    assert -1.1 < whole["r_multiple"].median() < -0.9
    assert whole["r_multiple"].min() > -2.0


def test_balance_is_the_capital_and_all_that_was_earned(result):
    assert result.equity["balance"][-1] == pytest.approx(result.capital + result.trades["net"].sum(), abs=1e-6)


def test_costs_only_take(result):
    means = [result.cost_runs[level]["mean_r"] for level in ("0x", "1x", "2x")]

    assert means == sorted(means, reverse=True)


@pytest.mark.parametrize("config", [{"entry": "rejection"}, {"zone_timeframe": "h4"}, {"tranches": 2}], ids=str)
def test_other_variants_trade_too(played, config):
    trades = played(**config).trades

    assert trades.height > 20
    assert (trades["exit_ns"] >= trades["entry_ns"]).all()
