"""What trades cost and earn in account currency, to the cent: swap, commission, conversion, margin, sizes."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support.markets import HOUR_NS, flat_bars, make_bars, new_account, new_market, new_markets, rules_of
from tests.support.scripted import Player, Scenario, close, enter, only_trade, play, rejects
from tradesentry.core.domain.orders import ExitReason, RejectCode
from tradesentry.core.execution.risk_manager import floor_to

FLAT = (1.1000,) * 4
NO_LIMITS = {
    "max_idea_risk": 1.0,
    "max_open_risk": 1.0,
    "max_app_risk": 1.0,
    "max_currency_net": 1e9,
    "max_currency_gross": 1e9,
    "max_currency_risk": 1e9,
    "max_cluster_risk": 1e9,
    "max_leverage": 1e9,
    "market_daily_loss": 1.0,
    "drawdown_reduce": 1.0,
    "drawdown_halt": 1.0,
    "max_notional": np.inf,
    "max_positions": 99,
    "max_per_market": 99,
    "max_trades_per_day": 99,
}


def test_swap_belongs_to_the_day_that_ends():
    """100,000 long pay 900 at 22:00 UTC and lose 500 in the evening. The new day starts with 99,100; 1 % of that is
    991, and 500 are less. The trade stays open.

    Seen to fail: the day started with 100,000, so 1,400 were lost on it and everything was closed.
    """
    rows = [FLAT, FLAT, FLAT, (1.1000, 1.1000, 1.0950, 1.0950), (1.0950,) * 4]
    market = new_market(swap_long=-0.0090)
    account = new_account(is_on=True, daily_loss=0.01, **NO_LIMITS)
    bars = make_bars(rows, start="2024-01-09T19:00", minutes=60)

    arena = play(market, bars, [enter(0, 1, 1.0000, units=100_000.0)], account=account)

    assert float(arena.account.day_start_equity[0]) == pytest.approx(99_100.0)
    assert only_trade(arena).exit_reason == ExitReason.END_OF_DATA


def test_swap_of_a_market_that_wakes_up_late_belongs_to_the_day_before():
    """GBPUSD begins the new day at 22:00; EURUSD has no bar until 23:00, when its swap is booked."""
    markets = new_markets(["EURUSD", "GBPUSD"], swap_long=-0.0090)
    late = flat_bars(5, 1.1000, start="2024-01-09T19:00", minutes=60, gap_after=2, gap_minutes=60)
    players = [Player([enter(0, 1, 1.0000, units=100_000.0)]), Player([], market=1)]
    others = flat_bars(6, 1.2500, start="2024-01-09T19:00", minutes=60)

    arena = Scenario(markets, [late, others], players, new_account()).arena()
    arena.run()

    assert float(only_trade(arena).swap) == pytest.approx(-900.0)
    assert float(arena.account.day_start_equity[0]) == pytest.approx(99_100.0)
    assert float(arena.account.daily_pnl[0]) == pytest.approx(0.0)


def overnight(nights_from, script, **numbers):
    """Play hourly flat bars at 1.1000 over three evenings; 17:00 New York is 22:00 UTC in January."""
    return play(new_market(**numbers), flat_bars(60, 1.1000, start=nights_from, minutes=60), script)


@pytest.mark.parametrize(
    ("start", "close_at", "nights"),
    [
        ("2024-01-09T20:00", 4, 1),  # Tuesday evening
        ("2024-01-10T20:00", 4, 3),  # Wednesday evening counts three nights
        ("2024-01-10T20:00", 28, 4),  # and Thursday evening one
        ("2024-01-10T20:00", 0, 0),  # closed at 22:00 is too late, at 21:00 before it
    ],
)
def test_swap_is_booked_at_17_new_york_three_times_on_wednesday(start, close_at, nights):
    """Long 10,000 at 0.7 pips a night: 0.70 dollars each.

    Seen to fail with the weekday of the day that begins instead of the one that ends.
    """
    arena = overnight(start, [enter(0, 1, 1.0900), close(close_at)] if close_at else [], swap_long=-0.00007)

    if close_at:
        assert round(float(only_trade(arena).swap), 2) == round(-0.70 * nights, 2)


def test_weekend_is_one_night_and_its_swap_the_one_of_friday():
    """Friday's FX day ends at Friday 22:00 and the next begins on Sunday: one booking with Friday's weight."""
    bars = flat_bars(4, 1.1000, start="2024-01-12T20:00", minutes=60, gap_after=1, gap_minutes=48 * 60)

    trade = only_trade(play(new_market(swap_short=-0.0001), bars, [enter(0, -1, 1.2000)]))

    assert round(float(trade.swap), 2) == -1.00


def test_swap_as_a_rate_is_a_share_of_the_notional():
    """3.65 % a year on 10,000 x 1.1000 dollars is 1.10 a day."""
    numbers = {"swap_is_rate": True, "swap_long": -0.0365}

    trade = only_trade(overnight("2024-01-09T20:00", [enter(0, 1, 1.0900), close(4)], **numbers))

    assert round(float(trade.swap), 2) == -1.10


@pytest.mark.parametrize(
    ("units", "fee"),
    [(10_000.0, 2.00), (100_000.0, 3.50)],  # 0.35 is under the minimum of 2.00; 3.50 is not
)
def test_commission_is_charged_per_side_with_a_minimum(units, fee):
    """Seen to fail with one commission per round trip."""
    market = new_market(commission_per_unit=3.5e-5, commission_min=2.00)

    trade = only_trade(play(market, flat_bars(4, 1.1000), [enter(0, 1, 1.0900, units=units), close(1)]))

    assert round(float(trade.commission), 2) == 2 * fee
    assert round(float(trade.net), 2) == -2 * fee


def test_commission_per_million_counts_the_notional_in_account_currency():
    """20 dollars per million on 100,000 EUR at 1.1000: 2.20 a side."""
    market = new_market(commission_fraction=20e-6)

    trade = only_trade(play(market, flat_bars(4, 1.1000), [enter(0, 1, 1.0900, units=100_000.0), close(1)]))

    assert round(float(trade.commission), 2) == 4.40


def test_slippage_makes_both_sides_of_a_market_trade_worse():
    """In at 1.1000 + 0.00005, out at 1.1000 - 0.00005: a dollar on 10,000."""
    trade = only_trade(play(new_market(slippage_mean=0.00005), flat_bars(4, 1.1000), [enter(0, 1, 1.0900), close(1)]))

    assert trade.entry_price == pytest.approx(1.10005, abs=1e-12)
    assert round(float(trade.net), 2) == -1.00
    assert float(trade.slippage) == pytest.approx(1.00)


def test_slippage_at_an_open_knows_nothing_of_the_bar_that_opens():
    """16 bars of 10 pips: ATR(14) is 10 pips, a tenth of it one pip. The bar of the fill then ranges over 150 pips; in
    at 1.1001, and out at the open of the next one with the ATR that includes it: (13 x 10 + 150) / 14 = 20 pips.

    Seen to fail: in at 1.1002, with the range of a bar that had only opened.
    """
    still = [(1.1000, 1.1005, 1.0995, 1.1000)] * 16
    rows = [*still, (1.1000, 1.1100, 1.0950, 1.1000), (1.1000, 1.1005, 1.0995, 1.1000)]

    trade = only_trade(play(new_market(slippage_atr=0.1), make_bars(rows), [enter(15, 1, 1.0500), close(16)]))

    assert trade.entry_price == pytest.approx(1.1001, abs=1e-12)
    assert trade.exit_price == pytest.approx(1.0998, abs=1e-12)


def test_costs_scale_with_the_cost_scale():
    """Twice everything: spread 2 pips -> 4.00, slippage 0.5 + 0.5 pips -> 2.00, commission 0.35 + 0.35 -> 1.40."""
    market = new_market(slippage_mean=0.00005, commission_per_unit=3.5e-5, cost_scale=2.0)

    trade = only_trade(play(market, flat_bars(4, 1.1000, spread=0.0002), [enter(0, 1, 1.0900), close(1)]))

    assert round(float(trade.net), 2) == -7.40


def crossing(symbol, other, bars, other_bid, other_spread, *, side=1, units=100_000.0):
    """Play one position on `symbol` beside a market that stands still and converts."""
    markets = new_markets([symbol, other])
    prices = make_bars(bars)
    still = flat_bars(len(bars), other_bid, spread=other_spread)
    level = bars[0][0]
    script = [enter(0, side, level * (1 - side * 0.05), units=units), close(1)]
    arena = Scenario(markets, [prices, still], [Player(script)]).arena()
    arena.run()
    return only_trade(arena)


@pytest.mark.parametrize(
    ("exit_price", "net"),
    [
        (160.00, 344.78),  # a gain of 50,000 JPY buys dollars at the ask: / 145.02
        (159.00, -344.83),  # a loss of 50,000 JPY is paid with dollars sold at the bid: / 145.00
    ],
)
def test_eurjpy_is_converted_through_usdjpy_at_the_worse_side(exit_price, net):
    """100,000 EURJPY from 159.50. Seen to fail with the mid or with the sides swapped."""
    rows = [(159.50,) * 4, (159.50,) * 4, (exit_price,) * 4]

    trade = crossing("EURJPY", "USDJPY", rows, 145.00, 0.02)

    assert round(float(trade.net), 2) == net


@pytest.mark.parametrize(
    ("stop", "at_open", "dollars"),
    [
        (150.00, True, 50_000 / 145.00),  # closed at the open of bar 3: USDJPY closed at 145.00 before it
        (160.00, False, -50_000 / 150.00),  # stopped inside bar 3: at the close of bar 3 it is known that it was 150.00
    ],
)
def test_fill_converts_at_the_quote_that_was_known(stop, at_open, dollars):
    """100,000 EURJPY; USDJPY jumps from 145.00 to 150.00 inside bar 3, which EURJPY opens at 161.00.

    Seen to fail: the fill at the open was converted at 150.00, the close of the bar that was opening.
    """
    script = [enter(0, 1, 150.00, units=100_000.0), close(2)]
    rows = [(160.50,) * 4] * 3 + [(161.00, 161.00, 159.00, 159.50)] * 2
    if not at_open:
        script = [enter(0, 1, stop, units=100_000.0)]
    crosses = make_bars([(145.00,) * 4] * 3 + [(145.00, 150.00, 145.00, 150.00), (150.00,) * 4])

    arena = Scenario(new_markets(["EURJPY", "USDJPY"]), [make_bars(rows), crosses], [Player(script)]).arena()
    arena.run()

    assert float(only_trade(arena).gross) == pytest.approx(dollars)


@pytest.mark.parametrize(
    ("exit_price", "net"),
    [(0.8850, 625.00), (0.8750, -625.10)],  # 500 GBP at the bid 1.2500; -500 GBP at the ask 1.2502
)
def test_eurgbp_is_converted_through_gbpusd_at_the_worse_side(exit_price, net):
    """100,000 EURGBP from 0.8800."""
    rows = [(0.8800,) * 4, (0.8800,) * 4, (exit_price,) * 4]

    trade = crossing("EURGBP", "GBPUSD", rows, 1.2500, 0.0002)

    assert round(float(trade.net), 2) == net


def test_usdjpy_is_converted_at_its_own_exit_price():
    """100,000 short from 145.00 to 144.50: 50,000 JPY / 144.50 = 346.02."""
    bars = make_bars([(145.00,) * 4, (145.00,) * 4, (144.50,) * 4])

    trade = only_trade(play(new_market("USDJPY"), bars, [enter(0, -1, 146.00, units=100_000.0), close(1)]))

    assert round(float(trade.net), 2) == 346.02


def test_entry_is_refused_until_the_market_that_converts_has_a_quote():
    """EURGBP starts an hour before GBPUSD: its loss in dollars is not known, and no size follows from it.

    Seen to fail: the loss per unit was 0 and the size the largest there is.
    """
    markets = new_markets(["EURGBP", "GBPUSD"])
    early, late = flat_bars(8, 0.8800), flat_bars(4, 1.2500, start="2024-01-09T13:00")
    script = [enter(0, 1, 0.8700, risk=0.01), enter(5, 1, 0.8700, risk=0.01)]

    arena = Scenario(markets, [early, late], [Player(script)]).arena()
    arena.run()

    assert rejects(arena) == [RejectCode.NOT_FINITE]
    assert only_trade(arena).units == 80_000.0  # 1,000 dollars / (0.0100 x 1.25)


def test_margin_stop_out_closes_the_largest_loser_first_and_stops_when_it_is_enough():
    """Margin 10 %. 8,000 at 1.1000, then 8,000 at 1.1200, then 1.0200: losses 640 and 800 of 2,000 dollars leave 560;
    half of the margin of 16,000 x 1.02 x 0.1 is 816. The second goes; half of the margin left is 408, and 560 is more.

    Seen to fail with the oldest first.
    """
    rows = [FLAT, FLAT, (1.1200,) * 4, (1.1200,) * 4, (1.0200,) * 4, (1.0200,) * 4]
    market = new_market(margin_fraction=0.1)
    account = new_account(2_000.0, stop_out_level=0.5)
    script = [enter(0, 1, 0.9000, units=8_000.0), enter(2, 1, 0.9000, units=8_000.0)]

    first, second = play(market, make_bars(rows), script, account=account).trade_rows

    assert (first.exit_reason, first.entry_price) == (ExitReason.MARGIN, 1.1200)
    assert round(float(first.net), 2) == -800.00
    assert second.exit_reason == ExitReason.END_OF_DATA


def test_entry_that_leaves_too_little_free_margin_is_refused():
    """3,000 dollars carry 90,000 at 1/30; 82,000 x 1.1 is 90,200."""
    market, account = new_market(margin_fraction=1 / 30), new_account(3_000.0)

    script = [enter(0, 1, 1.0900, units=82_000.0), enter(0, 1, 1.0900, units=81_000.0)]

    arena = play(market, flat_bars(3, 1.1000), script, account=account)

    assert rejects(arena) == [RejectCode.MARGIN]
    assert only_trade(arena).units == 81_000.0


@pytest.mark.parametrize(
    ("side", "stop", "units"),
    [(1, 1.0952, 16_000.0), (-1, 1.1050, 16_000.0)],
)
def test_size_by_risk_is_the_budget_over_distance_spread_and_slippage_rounded_down(side, stop, units):
    """1 % of 10,000 is 100. 50 pips + 2 spread + 1 slippage + 0.7 commission: 0.00537 a unit -> 18,621 -> 18,000
    without more; with 10 pips of spread 0.00617 -> 16,207 -> 16,000. The same for both sides.

    Seen to fail for shorts: with the bid as their entry they counted the spread twice, longs once.
    """
    market = new_market(slippage_mean=0.0001, commission_per_unit=3.5e-5)
    bars = flat_bars(3, 1.1000, spread=0.0010)
    stop = stop + (0.0008 if side > 0 else 0.0)  # the long enters at 1.1010

    trade = only_trade(play(market, bars, [enter(0, side, stop, risk=0.01)], account=new_account(10_000.0)))

    assert trade.units == units


def test_size_by_risk_pays_for_the_least_commission_of_both_sides():
    """1 % of 10,000 is 100; 10 a side leave 80 for 50 pips: 16,000. Where the commission per unit is more, it counts:
    at 0.002 a unit and side 100 / 0.009 is 11,111, and 2 x 22 are more than 20.

    Seen to fail: 20,000, which lost 120 at the stop.
    """
    for fee, units in ((0.0, 16_000.0), (0.002, 11_000.0)):
        market = new_market(commission_min=10.0, commission_per_unit=fee)

        trade = only_trade(play(market, flat_bars(3, 1.1), [enter(0, 1, 1.095, risk=0.01)], account=new_account(1e4)))

        assert trade.units == units


def test_shrunk_entry_pays_for_the_least_commission_too():
    """Room for 60 of open risk: 20 of commission leave 40 for 50 pips, 8,000 units."""
    market = new_market(commission_min=10.0)
    limits = NO_LIMITS | {"max_open_risk": 60 / 100_000, "open_risk_shrinks": True, "daily_loss": 1.0}

    arena = play(market, flat_bars(3, 1.1), [enter(0, 1, 1.095)], account=new_account(is_on=True, **limits))

    assert only_trade(arena).units == 8_000.0


@given(steps=st.floats(0.5, 1e9), step=st.sampled_from([1e-5, 0.01, 0.1, 1.0, 1_000.0]))
def test_size_is_rounded_down_to_the_step(steps, step):
    """Never above by more than rounding, however small the steps; a multiple stays what it is.

    Seen to fail with a slack of 1e-9 steps: 2.9999999995 became 3.
    """
    floored = floor_to(steps * step, step)

    assert floored <= steps * step * (1 + 2e-12)
    assert floored >= (steps - 1) * step * (1 - 2e-12)
    assert floor_to(floored, step) == floored
    assert floor_to(2.9999999995, 1.0) == 2.0
    assert floor_to(0.3, 0.1) == pytest.approx(0.3)


def test_seeded_slippage_does_not_change_the_size():
    """A size uses the expected slippage. Seen to fail: it used the draw of fill 0, another one for every seed."""
    sizes = set()

    for seed in range(5):
        market = new_market(slippage_mean=0.0010, slippage_seed=seed)
        bars = flat_bars(3, 1.1000)
        sizes.add(float(only_trade(play(market, bars, [enter(0, 1, 1.0950, risk=0.01)])).units))

    assert len(sizes) == 1


@pytest.mark.parametrize(
    ("risk", "units"),
    [(0.0040, 1_000.0), (0.0030, 0.0)],  # 1,000 units risk 5.00; 1.5 budgets are 6.00 and 4.50
)
def test_smallest_size_is_taken_up_to_one_and_a_half_budgets(risk, units):
    arena = play(new_market(), flat_bars(3, 1.1000), [enter(0, 1, 1.0950, risk=risk)], account=new_account(1_000.0))

    assert arena.trade_rows.units.sum() == units
    assert rejects(arena) == ([] if units else [RejectCode.SIZE_BELOW_MINIMUM])


def test_volatility_target_lowers_the_size():
    """Closes swing between 1.1000 and 1.1110 day by day; at the close of day 22 the 21 returns of ended days count."""
    swing = [(1.1000 + 0.0110 * (i % 2),) * 4 for i in range(60)]
    bars = make_bars(swing, minutes=24 * 60, start="2024-01-07T22:00")
    weekday = (bars["open_ns"] // (24 * HOUR_NS) + 3) % 7
    bars = bars[(weekday != 4) & (weekday != 5)][:27]

    arena = play(new_market(), bars, [enter(22, 1, 1.0500, risk=0.05)], rules=rules_of(target_volatility=0.10))

    returns = np.diff(np.log(bars["close"][:22]))
    sigma = np.std(returns, ddof=1) * np.sqrt(252)
    wanted = 100_000.0 * 0.10 / (sigma * bars["close"][22])
    assert arena.trade_rows.units.tolist() == [np.floor(wanted / 1_000) * 1_000]
