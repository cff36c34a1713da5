"""Costs and neighbors: each check passes for an honest strategy, says by how much, and fails for its planted fault."""

import math
from functools import partial

import numpy as np
import pytest
from pydantic import Field

from tests.unit.core.strategy.plugins import installed
from tests.unit.core.strategy.tiny_strategies import FUTURE
from tradesentry.backtest.proofs import cost_check, neighbor_run, sensitivity_check
from tradesentry.backtest.resolve import checked_settings, resolve_run
from tradesentry.core.domain.orders import ExitReason
from tradesentry.core.domain.records import TRADE
from tradesentry.core.strategy.base_strategy import StrategyConfig
from tradesentry.core.strategy.robustness import Neighbor, Outcome, check_costs, check_sensitivity, neighbors
from tradesentry.core.utils.kernel import new_records

TINY = "tests.unit.core.strategy.tiny_strategies:TinyStrategy"
LAST = partial(np.where, np.arange(30) >= 25)
"""One value for the last five trades, another for the rest."""
PERIOD = {"from_": "2022-01-03", "to": "2022-04-05", "limits": "off"}


@pytest.fixture(scope="module")
def tiny(tmp_path_factory):
    """A function that resolves a run of the tiny strategy with some behavior."""
    with installed(tmp_path_factory.mktemp("plugin"), {"tiny": TINY}):
        yield lambda behavior, *more: resolve_run(
            "tiny", overrides=[f"behavior={behavior}", *more], settings=checked_settings(PERIOD)
        )


def trades(n=30, **fields):
    """Trades that differ in their entry, each with the same result."""
    rows = new_records(n, TRADE)
    rows.entry_ns = np.arange(n) * 3_600 * 10**9
    rows.exit_ns = rows.entry_ns + 1_800 * 10**9
    rows.side, rows.units, rows.net, rows.r_multiple = 1, 1_000, 10.0, 0.5
    for name, value in fields.items():
        rows[name] = value
    return rows


def judge(levels):
    return check_costs(levels, symbols=["EURUSD"], currency="USD")


def test_more_cost_never_helps_an_honest_strategy_and_the_levels_are_shown_with_units(tiny):
    result = cost_check(tiny("momentum"))

    zero, one, two = result.table
    assert result.is_passed, result.detail
    assert "at 0x, 1x, 2x: more cost never helped" in result.detail
    assert [row["costs"] for row in result.table] == ["0x", "1x", "2x"]
    assert 0 == zero["costs (USD)"] < one["costs (USD)"] < two["costs (USD)"]
    assert zero["mean R"] > one["mean R"] > two["mean R"]
    assert zero["costs per trade (R)"] == 0
    assert two["costs per trade (R)"] == pytest.approx(2 * one["costs per trade (R)"], rel=0.05)


def test_slippage_in_favor_of_the_trade_is_caught_with_the_trade_and_both_results(tiny):
    run = tiny("momentum")
    run.markets["slippage_mean"] = -3e-5
    run.markets["spread_floor"] = 0.0
    for series in run.data.series:
        series.bars["spread"] = 0.0

    result = cost_check(run)

    assert not result.is_passed
    assert "Something turns the spread into a gain" in result.detail
    assert " of EURUSD at 2022-0" in result.detail
    assert "R at 0x costs" in result.detail


def test_costs_that_reach_no_trade_are_said(tiny):
    result = judge({0.0: trades(), 1.0: trades()})

    assert not result.is_passed
    assert result.detail.startswith("30 trades cost as much at 1x as at 0x")


def test_few_common_trades_prove_nothing():
    later = trades(30)
    later.entry_ns += 1

    assert judge({0.0: trades(), 1.0: later}).detail.startswith("Only 0 trades are the same")


@pytest.mark.parametrize(
    ("dear", "is_passed"),
    [
        ({"net": 9.0, "r_multiple": 0.45, "commission": 1.0}, True),
        # Half a tick of rounding, and a better R beside fewer pips: no help.
        ({"net": 10.005, "r_multiple": 0.5005, "commission": 1.0}, True),
        ({"net": 9.0, "r_multiple": 0.6, "commission": 1.0}, True),
        ({"net": 12.0, "r_multiple": 0.49, "commission": 1.0}, True),
        ({"net": 12.0, "r_multiple": 0.6, "commission": 1.0}, False),
        # Twice the size is no help, a swap that was earned is no cost.
        ({"net": 18.0, "units": 2_000, "r_multiple": 0.45, "commission": 1.0}, True),
        ({"net": 12.0, "swap": 3.0, "r_multiple": 0.6, "commission": 1.0}, True),
        # A stop that was hit a bar earlier is another trade.
        ({"net": LAST(12.0, 9.0), "r_multiple": LAST(0.6, 0.4), "commission": 1.0, "bars_held": LAST(1, 0)}, True),
        ({"net": LAST(12.0, 9.0), "r_multiple": LAST(0.6, 0.4), "commission": 1.0}, False),
    ],
)
def test_help_is_more_money_a_unit_and_more_r_in_the_very_same_trade(dear, is_passed):
    assert judge({1.0: trades(), 2.0: trades(**dear)}).is_passed is is_passed


def test_a_trade_with_another_stop_is_another_plan():
    helped = trades(net=12.0, r_multiple=0.6, commission=1.0, stop_at_entry=1.0999)

    assert judge({1.0: trades(stop_at_entry=1.1), 2.0: helped}).detail.startswith("Only 0 trades are the same")


def test_a_part_of_a_basket_is_the_same_only_with_all_its_parts():
    """Seen to fail while parts were compared alone: a basket with one fill less has a nearer target for the others."""
    basket = {"basket": np.arange(30) // 2 + 1}
    helped = trades(net=12.0, r_multiple=0.6, commission=1.0, **basket)
    lone = helped[::2].view(np.recarray)

    assert not judge({1.0: trades(**basket), 2.0: helped}).is_passed
    assert judge({1.0: trades(**basket), 2.0: lone}).detail.startswith("Only 0 trades are the same")


def test_trades_without_a_stop_are_compared_by_money(tiny):
    nothing = {"r_multiple": math.nan, "commission": 1.0}

    assert judge({1.0: trades(**nothing), 2.0: trades(net=9.0, **nothing | {"commission": 2.0})}).is_passed
    assert not judge({1.0: trades(**nothing), 2.0: trades(net=11.0, **nothing | {"commission": 2.0})}).is_passed


def test_a_text_about_a_helped_trade_names_both_levels_and_results():
    helped = trades(net=12.0, r_multiple=0.6, side=-1, exit_reason=ExitReason.TIME)

    detail = judge({1.0: trades(side=-1, exit_reason=ExitReason.TIME), 2.0: helped}).detail

    assert detail.startswith(
        "The sell of EURUSD at 1970-01-01T00:00 UTC earned +0.500 R at 1x costs and +0.600 R at 2x."
    )


class Inner(StrategyConfig):
    depth: int = Field(40, ge=1, le=42)


class Numbers(StrategyConfig):
    """Every kind of field that a number can be."""

    share: float = Field(0.5, ge=0, le=0.52)
    width: float | None = Field(2.0, gt=0)
    is_on: bool = True
    off: float | None = None
    inner: Inner = Inner()


def moves(config):
    return {(n.parameter, n.words): n.value for n in neighbors(config)[0]}


def test_each_number_moves_by_a_tenth_inside_its_bounds_and_switches_stay():
    found = moves(Numbers())

    assert found[("share", "-10 %")] == pytest.approx(0.45)
    assert found[("share", "+4 %")] == 0.52
    assert found[("width", "+10 %")] == pytest.approx(2.2)
    assert found[("inner.depth", "+5 %")] == 42
    assert found[("inner.depth", "-10 %")] == 36
    assert found[("weekend_lead", "+1")] == 1
    assert not any(name in ("is_on", "off") for name, _ in found)


def test_what_has_no_neighbor_is_named_with_the_reason(tiny):
    refused = neighbors(tiny("momentum").config)[1]

    assert refused["weekend_lead down"] == "at its bound"
    assert "every_bars up" not in refused


def test_a_neighbor_that_the_model_forbids_is_left_out_with_its_reason():
    config = resolve_run(
        "breakout", overrides=["be=true", "target=1.05"], settings=checked_settings({"to": "2022-02-01"})
    ).config

    found, refused = neighbors(config)

    assert ("target", 1.155) in [(n.parameter, round(n.value, 3)) for n in found]
    assert "ends the trade there" in refused["target down"]


def test_choices_move_to_the_next_and_are_shown_but_not_judged(tiny):
    config = resolve_run("breakout", settings=checked_settings({"to": "2022-02-01"})).config
    base = Outcome(100, 0.1, -0.1, 0.3)
    choice = next(n for n in neighbors(config)[0] if n.parameter == "or_minutes" and n.value == 60)

    result = check_sensitivity(base, [(choice, Outcome(100, 0.9, 0.8, 1.0))])

    assert choice.words == "+100 %"
    assert result.is_passed
    assert result.table[1]["difference (R)"] == 0.8


def test_an_honest_strategy_hangs_on_no_number(tiny):
    result = sensitivity_check(tiny("momentum"))

    assert result.is_passed, result.detail
    assert "none changes what to conclude" in result.detail
    assert "Without effect here: news_pre" in result.detail
    assert {"every_bars", "stop_pips", "hold_bars"} <= {row["parameter"] for row in result.table}


def test_a_result_that_hangs_on_one_number_is_a_spike(tiny):
    run = tiny("spike")
    series = run.data.series[0].bars
    FUTURE["mids"] = series["close"] + series["spread"] / 2

    result = sensitivity_check(run)

    assert not result.is_passed
    assert result.detail.startswith("A spike, not a plateau: mean R +")
    assert "but stop_pips -10 % gives" in result.detail or "but stop_pips +10 % gives" in result.detail


def neighbor(name="width", was=2.0, value=2.2):
    return Neighbor(name, was, value, None)


@pytest.mark.parametrize(
    ("base", "tried", "is_passed", "text"),
    [
        (Outcome(99, 0.0, -0.1, 0.1), Outcome(99, 0.09, 0.0, 0.2), True, "neighbors earn +0.090 to +0.090"),
        (Outcome(99, 0.0, -0.1, 0.1), Outcome(99, 0.11, 0.0, 0.2), False, "outside that interval"),
        (Outcome(99, 0.0, -0.1, 0.1), Outcome(99, -0.11, 0.0, 0.2), False, "width +10 % gives -0.110"),
        (Outcome(99, 0.2, 0.01, 0.4), Outcome(99, 0.11, -0.1, 0.3), True, "none changes"),
        (Outcome(99, 0.2, 0.01, 0.4), Outcome(99, 0.09, -0.1, 0.3), False, "A spike, not a plateau"),
        (Outcome(99, 0.0, -0.1, 0.1), Outcome(0, math.nan, math.nan, math.nan), False, "does not trade at all"),
        (Outcome(19, 0.0, -0.1, 0.1), Outcome(99, 0.0, -0.1, 0.1), False, "Only 19 trades; 20 are needed"),
    ],
)
def test_the_verdict_follows_its_rules(base, tried, is_passed, text):
    result = check_sensitivity(base, [(neighbor(), tried)])

    assert result.is_passed is is_passed
    assert text in result.detail


def test_a_number_of_the_calendar_gets_a_calendar_of_its_own(tmp_path):
    """Sharing the calendar of the base, as numbers of the rules do, would keep the blackout as it was."""
    news = tmp_path / "news.csv"
    news.write_text("time,currency,impact,name\n2022-01-12T13:30:00Z,USD,3,CPI\n")
    run = resolve_run("breakout", overrides=["news=true"], settings=checked_settings(PERIOD | {"news": str(news)}))
    longer = next(n for n in neighbors(run.config)[0] if n.parameter == "news_pre" and n.value > n.was)

    other = neighbor_run(run, longer.config)

    starts = [int(r.markets["calendar"][0]["blackouts"]["start_ns"][0]) for r in (run, other)]
    assert starts[0] - starts[1] == 3 * 60 * 10**9
