"""Pips become prices and lots become units in one place; its numbers are checked by hand."""

import math

import numpy as np
import pytest

from tradesentry.core.domain.errors import ConfigError
from tradesentry.core.domain.instruments import Instrument
from tradesentry.core.domain.records import LIMITS, MARKET, N_CURRENCIES
from tradesentry.core.execution.costs import Conversion
from tradesentry.core.execution.setup import (
    LIMIT_PROFILES,
    CostProfile,
    LimitSettings,
    conversion_symbols,
    cost_profile,
    cost_profiles,
    currency_table,
    fill_conversion,
    fill_market,
    limit_profile,
    new_account,
    new_rules,
)
from tradesentry.core.market.instruments import INSTRUMENTS, instrument
from tradesentry.core.utils.kernel import new_records

CURRENCIES = ["USD", "EUR", "GBP", "JPY", "CHF", "XAU", "BTC"]
RAW = CostProfile(
    commission_per_lot=3.5, commission_per_million=20.0, commission_min=0.1, spread_factor=0.5,
    min_spread_factor=0.25, slippage_pips=0.2, slippage_atr=0.01, swap_factor=2.0,
)  # fmt: skip


def market_of(symbol, costs=RAW, **more):
    records = new_records(1, MARKET)
    fill_market(records[0], instrument(symbol), costs, index=3, currencies=CURRENCIES, **more)
    return records[0]


def converted(symbol, *, account="USD", rows=None, rates=None):
    records = new_records(1, MARKET)
    records["cross_index"] = -1
    fill_conversion(records[0], instrument(symbol), account_currency=account, rows=rows or {}, rates=rates or {})
    return Conversion(int(records[0].conversion)), int(records[0].cross_index), float(records[0].fixed_rate)


@pytest.mark.parametrize(
    ("symbol", "expected"),
    [
        # pip 0.0001, spread 0.8 pips, lot 100,000 units
        ("EURUSD", {
            "tick": 0.00001, "pip": 0.0001, "contract_units": 100_000, "unit_step": 1_000, "unit_min": 1_000,
            "margin_fraction": 1 / 30, "commission_per_unit": 0.000035, "slippage_mean": 0.00002,
            "swap_long": -0.00014, "swap_short": 0.00005, "min_spread": 0.00002, "base_currency": 1,
            "quote_currency": 0,
        }),
        # pip 0.01, spread 0.9 pips, lot 100,000 units
        ("USDJPY", {
            "tick": 0.001, "pip": 0.01, "contract_units": 100_000, "unit_step": 1_000, "unit_min": 1_000,
            "margin_fraction": 1 / 30, "commission_per_unit": 0.000035, "slippage_mean": 0.002,
            "swap_long": 0.022, "swap_short": -0.038, "min_spread": 0.00225, "base_currency": 0,
            "quote_currency": 3,
        }),
        # pip 0.1, spread 2 pips, lot 100 ounces
        ("XAUUSD", {
            "tick": 0.01, "pip": 0.1, "contract_units": 100, "unit_step": 1, "unit_min": 1,
            "margin_fraction": 1 / 20, "commission_per_unit": 0.035, "slippage_mean": 0.02,
            "swap_long": -1.1, "swap_short": 0.5, "min_spread": 0.05, "base_currency": 5, "quote_currency": 0,
        }),
    ],
)  # fmt: skip
def test_numbers_of_a_market_agree_with_the_hand(symbol, expected):
    market = market_of(symbol)

    assert {name: float(market[name]) for name in expected} == pytest.approx(expected, rel=1e-12)
    assert market.commission_fraction == pytest.approx(0.00002)
    assert (market.commission_min, market.slippage_atr, market.index) == (0.1, 0.01, 3)
    assert market.cross_index == -1


def test_a_round_trip_of_one_lot_costs_what_the_profile_says():
    market = market_of("EURUSD", cost_profile("raw"))

    commission = 2 * market.commission_per_unit * market.contract_units
    spread_at_noon = market.spread_floor[12] * market.contract_units

    assert commission == pytest.approx(7.0)
    assert spread_at_noon == pytest.approx(0.8 * 0.3 * 10.0)


def test_the_spread_floor_follows_the_hour_of_the_week():
    floor = market_of("EURUSD").spread_floor

    assert floor.shape == (168,)
    assert floor[12] == pytest.approx(0.4e-4)
    assert floor[21] == pytest.approx(2.5 * 0.4e-4)
    np.testing.assert_array_equal(floor[:24], floor[24:48])


def test_three_nights_are_booked_on_the_weekday_of_the_instrument():
    assert market_of("EURUSD").swap_day_weights.tolist() == [1, 1, 3, 1, 1, 0, 0]

    cad = new_records(1, MARKET)
    fill_market(cad[0], instrument("USDCAD"), RAW, index=0, currencies=["USD", "CAD"])

    assert cad[0].swap_day_weights.tolist() == [1, 1, 1, 3, 1, 0, 0]


def test_a_market_that_never_closes_books_one_night_every_day():
    assert market_of("BTCUSD").swap_day_weights.tolist() == [1] * 7


@pytest.mark.parametrize("symbol", sorted(INSTRUMENTS))
def test_a_week_has_seven_nights_for_every_instrument(symbol):
    item = instrument(symbol)
    records = new_records(1, MARKET)

    fill_market(records[0], item, RAW, index=0, currencies=currency_table([item], "USD"))

    assert records[0].swap_day_weights.sum() == 7.0


def test_the_cost_scale_is_kept_beside_the_costs():
    assert market_of("EURUSD", cost_scale=2.0).cost_scale == 2.0
    assert market_of("EURUSD", cost_scale=2.0).slippage_mean == market_of("EURUSD").slippage_mean


def test_profit_in_account_currency_needs_no_conversion():
    assert converted("EURUSD") == (Conversion.FIXED, -1, 1.0)


def test_an_account_in_the_base_currency_converts_by_the_own_price():
    assert converted("USDJPY")[0] is Conversion.OWN_PRICE
    assert converted("EURUSD", account="EUR")[0] is Conversion.OWN_PRICE


def test_a_cross_multiplies_by_a_market_that_quotes_the_account_currency():
    assert converted("EURGBP", rows={"EURGBP": 0, "GBPUSD": 1}) == (Conversion.CROSS_MULTIPLY, 1, 1.0)


def test_a_cross_divides_by_a_market_whose_base_is_the_account_currency():
    assert converted("EURJPY", rows={"EURJPY": 0, "USDJPY": 2}) == (Conversion.CROSS_DIVIDE, 2, 1.0)


def test_a_fixed_rate_stands_in_where_no_market_converts():
    assert converted("EURJPY", rates={"JPY": 0.0067}) == (Conversion.FIXED, -1, 0.0067)


def test_a_market_is_preferred_to_a_fixed_rate():
    assert converted("EURGBP", rows={"GBPUSD": 1}, rates={"GBP": 1.3})[0] is Conversion.CROSS_MULTIPLY


def test_a_profit_that_nothing_converts_says_what_to_import_or_set():
    with pytest.raises(ConfigError) as caught:
        converted("EURJPY")

    assert str(caught.value) == (
        "EURJPY earns JPY and the account holds USD: nothing converts it. Import JPYUSD or USDJPY of the same source, "
        "or give a fixed rate with --rate JPY=…"
    )


def test_symbols_that_could_convert_are_named_both_ways():
    assert conversion_symbols(instrument("EURJPY"), "USD") == ("JPYUSD", "USDJPY")
    assert conversion_symbols(instrument("USDJPY"), "USD") == ()
    assert conversion_symbols(instrument("USDJPY"), "JPY") == ()


def test_the_account_currency_is_the_first_of_the_table_and_none_is_there_twice():
    items = [instrument(symbol) for symbol in ("EURUSD", "EURGBP", "GBPJPY")]

    assert currency_table(items, "CHF") == ["CHF", "EUR", "USD", "GBP", "JPY"]


def test_more_currencies_than_an_account_holds_are_refused_with_both_numbers():
    items = [Instrument(f"AA{i:02}USD", "fx", f"A{i:02}", "USD", 0.01, 0.01) for i in range(N_CURRENCIES)]

    assert len(currency_table(items[1:], "USD")) == N_CURRENCIES
    with pytest.raises(ConfigError, match=rf"needs {N_CURRENCIES + 1} currencies and an account holds {N_CURRENCIES}"):
        currency_table(items, "USD")


def test_shipped_cost_profiles_are_ordered_by_what_they_cost():
    def cost_of(name):
        market = market_of("EURUSD", cost_profile(name))
        return market.spread_floor[12] + 2 * market.commission_per_unit + 2 * market.slippage_mean

    assert sorted(cost_profiles()) == ["free", "raw", "retail", "standard"]
    assert cost_of("free") == 0.0
    assert 0.0 < cost_of("standard") < cost_of("retail")
    assert 0.0 < cost_of("raw") < cost_of("retail")


@pytest.mark.parametrize(
    ("call", "wrong", "right"), [(cost_profile, "retial", "retail"), (limit_profile, "porp", "prop")]
)
def test_an_unknown_profile_suggests_the_nearest(call, wrong, right):
    with pytest.raises(ConfigError, match=f"{wrong!r}. Did you mean {right!r}"):
        call(wrong)


def test_every_limit_reaches_the_account():
    limits = LimitSettings(max_idea_risk=0.011, max_positions=7, daily_loss=0.025, open_risk_shrinks=False)

    record = new_account(5_000.0, limits, n_currencies=4, equity_step_ns=60)[0]

    assert set(LIMITS.names) == set(LimitSettings.model_fields)
    for name in LIMITS.names:
        assert record.limits[name] == getattr(limits, name)
    assert (record.balance, record.equity, record.free_margin, record.peak_equity) == (5_000.0,) * 4
    assert (record.n_currencies, record.equity_step_ns) == (4, 60)
    assert math.isnan(record.kelly_fraction)


def test_limit_profiles_grow_stricter_from_off_to_prop():
    off, default, prop = (LIMIT_PROFILES[name] for name in ("off", "default", "prop"))

    assert not off.is_on
    assert default.is_on
    assert prop.daily_loss < default.daily_loss
    assert prop.drawdown_reduce < prop.drawdown_halt < default.drawdown_halt
    assert default.drawdown_warn < default.drawdown_reduce < default.drawdown_halt


@pytest.mark.parametrize("capital", [0.0, -1.0, math.nan])
def test_an_account_without_money_is_refused(capital):
    with pytest.raises(ConfigError, match="must be positive"):
        new_account(capital, LimitSettings(), n_currencies=1, equity_step_ns=1)


def test_rules_are_in_price_units_and_nanoseconds():
    rules = new_rules(bar_ns=900, pip=0.01, weekend_lead=5, weekend_no_entry=60, max_spread=2.5, weekend="hold")[0]

    assert (rules.weekend_lead_ns, rules.no_entry_lead_ns) == (300_000_000_000, 3_600_000_000_000)
    assert rules.max_spread == pytest.approx(0.025)
    assert not rules.weekend_flatten
    assert new_rules(bar_ns=900, pip=0.01)[0].max_spread == 0.0
    assert new_rules(bar_ns=900, pip=0.01)[0].weekend_flatten
