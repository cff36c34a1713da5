"""What is recorded of live trades: R, excursions, slippage, costs, figures, equity and divergence, by hand."""

import math
from dataclasses import replace
from decimal import Decimal

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support.venues import quote_at
from tests.unit.core.monitoring.live_trades import live_trade, opened, order_moved, reduced, ticket
from tradesentry.core.domain.live_account import ProtectionMoved, SwapBooked
from tradesentry.core.domain.live_orders import OrderStatus
from tradesentry.core.domain.orders import OrderType, Side
from tradesentry.core.monitoring.divergence import ReplayedTrade, compare
from tradesentry.core.monitoring.equity_track import EquityTrack
from tradesentry.core.monitoring.trade_tracker import TradeTracker

PIPS = {"EURUSD": 0.0001}


def followed(trade, *changes, quotes=()):
    """Return a tracker that has seen a trade open, some quotes, and what came then."""
    tracker = TradeTracker(PIPS)
    tracker.on_changes([opened(trade)])
    for price in quotes:
        tracker.on_quote(quote_at(price))
    tracker.on_changes(changes)
    return tracker


def test_r_counts_all_exits_commissions_and_swaps():
    """Half at +50 pips is 25, half at +100 is 50; less 3 commission and 2 swap: 70 of 50 risked is 1.4 R.

    Seen to fail without the costs: 1.5 R.
    """
    trade = live_trade(commission=Decimal(3), swap=Decimal(-2))
    half = reduced(trade, 1.1050, units=5_000)

    tracker = followed(trade, half, reduced(half.trade, 1.1100))

    (closed,) = tracker.closed
    assert closed.r_multiple == pytest.approx(1.4)
    assert closed.exit_price == pytest.approx(1.1075)
    assert closed.hold_seconds == 60
    assert not tracker.open


@pytest.mark.parametrize(("side", "mfe", "mae"), [(Side.BUY, 0.8, 0.4), (Side.SELL, 0.38, 0.82)])
def test_excursions_are_measured_at_the_price_at_which_one_leaves(side, mfe, mae):
    """Bids 1.1040 and 1.0980, asks a pip above: a long could leave at the bids, a short at the asks; R is 50 pips.

    Seen to fail with the bid for both sides.
    """
    trade = live_trade(side=side)

    tracked = followed(trade, quotes=(1.1040, 1.0980)).open["t1"]

    assert (tracked.mfe_r, tracked.mae_r) == (pytest.approx(mfe), pytest.approx(mae))


def test_the_exit_itself_counts_as_an_excursion():
    trade = live_trade()

    (closed,) = followed(trade, reduced(trade, 1.0940)).closed

    assert closed.mae_r == pytest.approx(1.2)


@given(prices=st.lists(st.floats(1.05, 1.15), min_size=1, max_size=20), side=st.sampled_from([Side.BUY, Side.SELL]))
def test_the_result_lies_between_the_excursions(prices, side):
    trade = live_trade(side=side)

    (closed,) = followed(trade, reduced(trade, prices[-1]), quotes=prices[:-1]).closed

    # A result is booked in cents, of which 50 dollars have 5,000.
    assert -closed.mae_r - 2e-4 <= closed.r_multiple <= closed.mfe_r + 2e-4


@pytest.mark.parametrize(("side", "entry", "pips"), [(Side.BUY, 1.1002, 2.0), (Side.SELL, 1.1002, -2.0)])
def test_entry_slippage_is_what_was_paid_beyond_the_signal(side, entry, pips):
    trade = live_trade(side=side, entry=entry)

    tracked = followed(trade).open["t1"]

    assert tracked.entry_slippage_pips == pytest.approx(pips)


def test_a_resting_entry_is_measured_against_its_own_price():
    """Decided at 1.1000, resting at 1.1020, filled at 1.1021: one pip, not 21."""
    trade = live_trade(entry=1.1021, ticket=ticket(kind=OrderType.STOP, price=1.1020))

    assert followed(trade).open["t1"].entry_slippage_pips == pytest.approx(1.0)


def test_exit_slippage_is_measured_against_the_stop_that_was_there_last():
    """The stop had moved to 1.0990 and the venue took it away with the trade; filled at 1.0987: 3 pips worse.

    Seen to fail against the first stop: 37 pips better.
    """
    trade = live_trade()
    moved = replace(trade, stop_loss=1.0990)
    gone = reduced(replace(moved, stop_loss=None), 1.0987, reason="STOP_LOSS_ORDER")

    tracker = followed(trade, ProtectionMoved(moved, "stop_loss", 1.0950, 1.0990, 0), gone)

    assert tracker.closed[0].exit_slippage_pips == pytest.approx(3.0)
    assert followed(trade, reduced(trade, 1.0987)).closed[0].exit_slippage_pips is None


def test_overnight_interest_is_part_of_a_trade_that_is_still_open():
    trade = live_trade()
    later = replace(trade, swap=Decimal("-1.5"))

    tracked = followed(trade, SwapBooked(later, Decimal("-1.5"), 0)).open["t1"]

    assert tracked.r_multiple == pytest.approx(-0.03)


@pytest.mark.parametrize("order_comes_first", [True, False])
def test_the_bar_that_decided_a_trade_is_known_whichever_is_told_first(order_comes_first):
    trade = live_trade()
    told = [order_moved(trade, status=OrderStatus.FILLED, bar_close_ns=900, filled_units=Decimal(1)), opened(trade)]
    tracker = TradeTracker(PIPS)

    tracker.on_changes(told if order_comes_first else told[::-1])

    assert tracker.open["t1"].bar_close_ns == 900


def test_listeners_hear_of_entries_and_of_closed_trades():
    heard = []
    tracker = TradeTracker(PIPS, on_closed=lambda t: heard.append("closed"), on_entry=lambda t: heard.append("entry"))
    trade = live_trade()

    tracker.on_changes([opened(trade), reduced(trade, 1.1)])

    assert heard == ["entry", "closed"]


def test_figures_of_wins_losses_and_costs():
    """+60, -40 and +20 of 50 risked each: two of three, 80 / 40, mean R (1.2 - 0.8 + 0.4) / 3."""
    tracker = TradeTracker(PIPS)
    for number, price in enumerate((1.1060, 1.0960, 1.1020)):
        trade = live_trade(f"t{number}", seq=number + 1)
        tracker.on_changes([opened(trade), reduced(trade, price)])

    figures = tracker.figures()

    assert (figures.n_trades, figures.net) == (3, Decimal(40))
    assert figures.win_rate == pytest.approx(2 / 3)
    assert figures.profit_factor == pytest.approx(2.0)
    assert figures.expectancy_r == pytest.approx(0.8 / 3)
    assert figures.exit_reasons == {"MARKET_ORDER_TRADE_CLOSE": 3}


def test_figures_of_nothing_are_not_numbers_and_without_losers_the_factor_is_infinite():
    tracker = TradeTracker(PIPS)
    nothing = tracker.figures()
    trade = live_trade()
    tracker.on_changes([opened(trade), reduced(trade, 1.1060)])

    assert math.isnan(nothing.win_rate)
    assert math.isnan(nothing.profit_factor)
    assert tracker.figures().profit_factor == math.inf


def test_after_a_restart_open_trades_are_followed_again():
    tracker = TradeTracker(PIPS)

    tracker.restore([live_trade()])
    tracker.on_quote(quote_at(1.1050))

    assert tracker.open["t1"].mfe_r == pytest.approx(1.0)


# Divergence


BAR_NS = 900 * 10**9
AT = live_trade().entry_ts_ns


def replayed(price=1.1000, *, at=AT, side=Side.BUY, leave=1.1050, r=1.0):
    return ReplayedTrade("EURUSD", side, at, price, leave, r)


def live_closed(*, entry=1.1000, leave=1.1050, ref="t1"):
    tracker = TradeTracker(PIPS)
    trade = live_trade(ref, entry=entry)
    tracker.on_changes([order_moved(trade), opened(trade), reduced(trade, leave)])
    return tracker.closed[0]


def compared(live, theirs):
    return compare(live, theirs, pip_sizes=PIPS, within_ns=BAR_NS)


def test_the_same_decision_filled_otherwise_is_a_difference_of_execution():
    """Bought 2 pips dearer and sold 1 pip cheaper: 3 pips of 50 are 0.06 R."""
    found = compared([live_closed(entry=1.1002, leave=1.1049)], [replayed(at=AT - BAR_NS)])

    (pair,) = found.pairs
    assert found.is_same_decisions
    assert (pair.entry_pips, pair.exit_pips) == (pytest.approx(2.0), pytest.approx(1.0))
    assert found.total_r == pytest.approx(-0.06)


def test_trades_of_another_bar_or_side_are_missed_and_extra():
    found = compared([live_closed()], [replayed(at=AT + BAR_NS + 1), replayed(side=Side.SELL)])

    assert (len(found.pairs), len(found.missed), len(found.extra)) == (0, 2, 1)


def test_of_two_decisions_on_one_bar_each_is_matched_once():
    """Seen to fail when a replayed trade could be taken twice: nothing was missed."""
    found = compared([live_closed()], [replayed(), replayed(1.1010)])

    assert (len(found.pairs), len(found.missed)) == (1, 1)


def test_a_trade_that_is_still_open_live_has_a_match_and_no_result():
    tracker = TradeTracker(PIPS)
    tracker.on_changes([opened(live_trade())])

    found = compared(list(tracker.open.values()), [replayed()])

    assert found.is_same_decisions
    assert math.isnan(found.pairs[0].r_difference)
    assert found.total_r == 0.0


# Equity


def test_drawdown_and_the_result_of_the_day_ignore_what_is_paid_in_and_out():
    """1,000, then 1,100, then 500 paid in: 1,600 at its peak; 1,440 is 10 % below it. The day began at 1,600.

    Seen to fail with flows taken for profit.
    """
    track = EquityTrack(Decimal(1000), day_end_ns=10)

    track.mark(Decimal(1100))
    track.flow(Decimal(500))
    at_peak = track.mark(Decimal(1600), day_end_ns=20)
    below = track.mark(Decimal(1440), day_end_ns=20)

    assert (at_peak.drawdown_fraction, at_peak.net) == (0.0, 100)
    assert below.drawdown_fraction == pytest.approx(0.1)
    assert (below.day_net, below.flows) == (-160, 500)


@given(
    steps=st.lists(st.tuples(st.booleans(), st.integers(-300, 300)), max_size=30),
)
def test_flows_alone_never_make_a_profit_or_a_drawdown(steps):
    """Equity moves by flows only."""
    equity = Decimal(10_000)
    track = EquityTrack(equity)

    for is_flow, amount in steps:
        if is_flow:
            track.flow(Decimal(amount))
            equity += amount
        track.mark(equity)

    assert track.figures.net == 0
    assert track.figures.max_drawdown_fraction == 0.0


def test_the_deepest_drawdown_is_that_of_a_slow_look_at_the_whole_curve():
    curve = 1000 + np.cumsum(np.random.default_rng(1).integers(-40, 41, 200))
    track = EquityTrack(Decimal(int(curve[0])))

    for value in curve:
        track.mark(Decimal(int(value)))

    slow = max(1 - curve[i] / curve[: i + 1].max() for i in range(len(curve)))
    assert track.figures.max_drawdown_fraction == pytest.approx(slow)
