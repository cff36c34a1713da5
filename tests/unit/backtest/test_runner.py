"""A back-test from Python: what it hands back, that it hands back the same again, and what it keeps on disk."""

import hashlib
import json
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import timedelta

import polars as pl
import pytest
import yaml
from polars.testing import assert_frame_equal

from tradesentry import backtest, load_bars, strategy
from tradesentry.backtest.resolve import RunSettings, resolve_run
from tradesentry.backtest.result import load_result
from tradesentry.backtest.runner import new_arena, play
from tradesentry.core.domain.errors import ConfigError, DataError
from tradesentry.core.market.catalog import Catalog
from tradesentry.core.market.synthetic import synthetic_bars

PERIOD = {"from_": "2022-01-03", "to": "2022-03-05"}
FILES = {
    "summary.json", "trades.parquet", "equity.parquet", "rejects.parquet", "config.yaml", "data.json", "report.html",
}  # fmt: skip


def run_of(**more):
    config = {"symbols": ["EURUSD"], "or_minutes": 15} | more.pop("config", {})
    return backtest("breakout", config=config, **(PERIOD | {"limits": "off"} | more))


@pytest.fixture(scope="module")
def result():
    return run_of(config={"symbols": ["EURUSD", "GBPUSD", "USDJPY"]}, cost_levels=(0, 2))


def digest(result):
    frames = (result.trades, result.equity, result.rejects)
    return [hashlib.sha256(frame.serialize()).hexdigest() for frame in frames]


def test_the_three_names_of_the_package_are_all_it_takes(tmp_path):
    made = synthetic_bars(["EURUSD"], timeframe="M15", start="2022-01-03", end="2022-03-05")["EURUSD"]
    Catalog(tmp_path).write(made)

    bars = load_bars(["EURUSD"], "M15", "synthetic", tmp_path)
    result = backtest("breakout", bars=bars, config={"or_minutes": 15}, capital=50_000)

    assert strategy("breakout").name == result.app == "breakout"
    assert result.symbols == ("EURUSD",)
    assert result.capital == 50_000
    assert result.trades.height > 0
    assert result.summary["n_trades"] == result.trades.height


def test_an_unknown_setting_suggests_the_nearest():
    with pytest.raises(ConfigError, match=r"backtest\(\) knows no setting 'captial'. Did you mean 'capital'"):
        backtest("breakout", captial=5)


def test_an_empty_period_is_said():
    with pytest.raises(DataError, match="no bar between 2022-01-08 and 2022-01-09"):
        run_of(from_="2022-01-08", to="2022-01-09")


def test_the_order_of_symbols_changes_no_bit(result):
    other = run_of(config={"symbols": ["USDJPY", "EURUSD", "GBPUSD"]})
    given = synthetic_bars(["GBPUSD", "USDJPY", "EURUSD"], timeframe="M15", start="2022-01-03", end="2022-03-05")
    bars = run_of(bars=list(given.values()), config={"symbols": ["GBPUSD", "USDJPY", "EURUSD"]})

    assert digest(other) == digest(result)
    assert digest(bars) == digest(result)
    assert other.symbols == ("EURUSD", "GBPUSD", "USDJPY")


def test_two_runs_give_the_same_bytes(result):
    again = run_of(config={"symbols": ["EURUSD", "GBPUSD", "USDJPY"]})

    assert digest(again) == digest(result)
    assert again.summary == result.summary


def test_a_changed_parameter_changes_the_bytes(result):
    assert digest(run_of(config={"symbols": ["EURUSD", "GBPUSD", "USDJPY"], "target": 2.5})) != digest(result)


def test_balance_is_capital_plus_all_that_was_earned(result):
    earned = result.trades["gross"] - result.trades["commission"] + result.trades["swap"]

    assert result.equity["balance"][-1] == pytest.approx(result.capital + result.trades["net"].sum(), abs=1e-6)
    assert result.trades["net"].to_list() == pytest.approx(earned.to_list(), abs=1e-9)


@pytest.mark.parametrize(("symbol", "converter"), [("EURJPY", "USDJPY"), ("EURGBP", "GBPUSD")])
def test_the_converting_market_is_read_and_never_traded(symbol, converter):
    result = run_of(config={"symbols": [symbol], "spread_frac": None})

    assert result.symbols == (symbol,)
    assert set(result.trades["symbol"]) == {symbol}
    assert [row["symbol"] for row in result.provenance] == [symbol, converter]


def test_profit_of_a_cross_is_worth_its_price_in_account_currency():
    result = run_of(config={"symbols": ["EURJPY"], "spread_frac": None}, costs="free", cost_scale=0.0)

    quote = result.trades["side"] * (result.trades["exit_price"] - result.trades["entry_price"])
    moved = result.trades.with_columns(quote=quote * result.trades["units"]).filter(pl.col("quote").abs() > 1)
    rates = (moved["quote"] / moved["gross"]).to_list()

    dollar = synthetic_bars(["USDJPY"], timeframe="M15", start="2022-01-03", end="2022-03-05")["USDJPY"].bars
    assert len(rates) > 3
    assert min(rates) >= dollar["low"].min()
    assert max(rates) <= (dollar["high"] + dollar["spread"]).max()


def test_costs_change_what_trades_earn_and_not_the_rules_that_make_them():
    """Without limits and with a spread filter off, the same breaks are traded whatever they cost."""
    run = resolve_run(
        "breakout",
        overrides=["symbols=[EURUSD]", "spread_frac=null", "stop=atr", "target=null", "or_minutes=15"],
        settings=RunSettings(**PERIOD, limits="off", costs="raw"),
    )
    free, once, twice = (play(run, cost_scale=scale) for scale in (0.0, 1.0, 2.0))

    def costs_of(result):
        return (result.trades["commission"] + result.trades["slippage"] + result.trades["spread_cost"]).sum()

    common = set(free.trades["entry_ns"]) & set(twice.trades["entry_ns"])
    assert len(common) >= 0.8 * free.trades.height
    assert costs_of(free) == 0.0
    assert 0.0 < costs_of(once) < costs_of(twice)
    per_trade = [r.trades["r_multiple"].mean() for r in (free, once, twice)]
    assert per_trade == sorted(per_trade, reverse=True)


def test_cost_levels_stand_beside_the_run(result):
    assert list(result.cost_runs) == ["0x", "1x", "2x"]
    assert result.cost_runs["1x"] == result.summary
    returns = [result.cost_runs[level]["mean_r"] for level in ("0x", "1x", "2x")]
    assert returns == sorted(returns, reverse=True)


def test_a_saved_run_is_complete_and_loads_back(result, tmp_path):
    folder = result.save(tmp_path / "runs" / "one")

    assert {path.name for path in folder.iterdir()} == FILES
    loaded = load_result(folder)
    for name in ("trades", "equity", "rejects"):
        assert_frame_equal(getattr(loaded, name), getattr(result, name), check_exact=True)
    for name in ("app", "symbols", "timeframe", "source", "period", "capital", "origins", "warnings", "cost_runs"):
        assert getattr(loaded, name) == getattr(result, name), name
    assert loaded.summary["n_trades"] == result.summary["n_trades"]


def test_a_saved_run_says_what_it_was_made_of(result, tmp_path):
    folder = result.save(tmp_path / "one", with_report=False)

    config = yaml.safe_load((folder / "config.yaml").read_text())
    data = json.loads((folder / "data.json").read_text())
    assert config["or_minutes"] == 15
    assert config["run"]["limits"] == "off"
    assert "report.html" not in {path.name for path in folder.iterdir()}
    assert [row["symbol"] for row in data] == ["EURUSD", "GBPUSD", "USDJPY"]
    for row in data:
        assert row["is_synthetic"] is True
        assert row["checksum"]
        assert row["bars"] > 1_000
        assert row["first"] < row["last"]


def test_bars_built_from_finer_ones_are_named_by_what_was_played(tmp_path):
    made = synthetic_bars(["EURUSD"], timeframe="M1", start="2022-01-03", end="2022-01-15")["EURUSD"]
    Catalog(tmp_path).write(replace(made, source="venue"))

    row = run_of(source="venue", catalog=tmp_path, from_=None, to=None).provenance[0]

    assert (row["source"], row["symbol"], row["timeframe"]) == ("venue", "EURUSD", "M15")
    assert row["resampled_from"] == "M1"
    assert row["bars"] < made.bars.size


def test_the_path_inside_bars_changes_results_and_is_named(tmp_path):
    made = synthetic_bars(["EURUSD"], timeframe="M1", start="2022-01-03", end="2022-02-05")["EURUSD"]
    Catalog(tmp_path).write(made)
    common = {"from_": None, "to": None, "source": "synthetic", "config": {"stop": "mid", "entry_mode": "stop"}}
    bars = load_bars(["EURUSD"], "M15", "synthetic", tmp_path)

    plain = run_of(bars=bars, **common)
    run = resolve_run(
        "breakout",
        overrides=["symbols=[EURUSD]", "or_minutes=15", "stop=mid", "entry_mode=stop", "intrabar=tick"],
        settings=RunSettings(from_="2022-01-03", to="2022-02-05", limits="off"),
    )
    path = play(run)

    assert (plain.intrabar, path.intrabar) == ("pessimistic", "tick")
    assert plain.trades.height > 0
    assert path.trades.height > 0
    assert digest(plain) != digest(path)


def test_minutes_of_the_catalog_resolve_the_bars(tmp_path):
    made = synthetic_bars(["EURUSD"], timeframe="M1", start="2022-01-03", end="2022-02-05")["EURUSD"]
    Catalog(tmp_path).write(replace(made, source="venue"))

    result = run_of(source="venue", catalog=tmp_path, from_=None, to=None, config={"intrabar": "m1", "stop": "mid"})

    assert result.intrabar == "m1"
    assert result.trades.height > 0
    inside = result.trades["exit_ns"] % (15 * 60_000_000_000) != 0
    assert inside.any()


def test_scheduled_news_block_entries(tmp_path):
    config = {"sessions": ["london"]}
    free = run_of(config=config)
    entry = free.trades["entry_time"][0]
    news = tmp_path / "news.csv"
    first, last = entry - timedelta(days=30), entry + timedelta(days=90)
    rows = [f"{moment:%Y-%m-%d %H:%M:%S},EUR,{impact},Speech" for moment, impact in ((first, 1), (entry, 3), (last, 1))]
    news.write_text("\n".join(["time_utc,currency,impact,title", *rows]) + "\n")

    blocked = run_of(config=config | {"news": True}, news=news)
    ignored = run_of(config=config, news=news)

    window = (entry - timedelta(minutes=30), entry + timedelta(minutes=30))
    assert free.trades["entry_time"].is_between(*window).any()
    assert not blocked.trades["entry_time"].is_between(*window).any()
    assert digest(ignored) == digest(free)


def test_runs_side_by_side_in_threads_give_the_same_bytes_as_alone():
    """Different configurations at once: the compiled loop releases the GIL and shares nothing but the bars."""
    bars = list(synthetic_bars(["EURUSD"], timeframe="M15", start="2022-01-03", end="2022-03-05").values())
    runs = [
        resolve_run("breakout", bars=bars, overrides=[f"target={target}", "or_minutes=15"])
        for target in (1.5, 2.0, 2.5, 3.0)
    ]

    def play_all(run):
        arenas = [new_arena(run) for _ in range(3)]
        for arena in arenas:
            while arena.play(50):
                pass
            arena.finish()
        return [arena.trade_rows.tobytes() + arena.account.tobytes() for arena in arenas]

    alone = [play_all(run) for run in runs]
    with ThreadPoolExecutor(4) as pool:
        together = list(pool.map(play_all, runs))

    assert together == alone
    assert all(len(set(copies)) == 1 for copies in alone)
    assert len({copies[0] for copies in alone}) > 1


def test_an_account_that_stopped_opening_trades_says_when_and_why():
    config = {"spread_frac": None, "risk": 0.01, "max_trades": 3}
    result = run_of(limits="prop", costs="retail", cost_scale=10.0, config=config)

    since = result.status["since"]
    assert result.status["state"] in ("REDUCING", "HALTED")
    assert result.status["reason"] == "drawdown"
    assert result.period[0] < since < result.period[1]
    assert result.trades["entry_ns"].max() <= since
    assert result.equity["trading_state"][-1] != 0
    assert run_of().status == {"state": "ACTIVE", "since": None, "reason": ""}
