"""Instruments: every spelling finds the symbol, brokers' numbers replace the table's, contradictions are refused."""

import pytest

from tradesentry.core.domain.errors import ConfigError
from tradesentry.core.market.instruments import INSTRUMENTS, broker_specs, canonical_symbol, instrument
from tradesentry.core.market.tick_grid import tick_fraction


@pytest.mark.parametrize(
    ("spelling", "symbol"),
    [
        ("EUR_USD", "EURUSD"), ("EUR/USD", "EURUSD"), ("eurusd", "EURUSD"), ("EURUSD.m", "EURUSD"),
        ("EURUSDpro", "EURUSD"), ("#EURUSD", "EURUSD"), ("USDJPY.raw", "USDJPY"), ("SPX500_USD", "US500"),
        ("GOLD", "XAUUSD"), ("XAUUSDm", "XAUUSD"), ("BTC/USD", "BTCUSD"), ("DE40.cash", "GER40"),
    ],
)  # fmt: skip
def test_every_spelling_finds_the_symbol(spelling, symbol):
    assert instrument(spelling).symbol == symbol
    assert canonical_symbol(spelling) == symbol


@pytest.mark.parametrize(("wrong", "near"), [("EURUSF", "EURUSD"), ("GBPUDS", "GBPUSD"), ("BTCUSDT", "BTCUSD")])
def test_an_unknown_symbol_suggests_the_nearest(wrong, near):
    with pytest.raises(ConfigError, match=f"Did you mean '{near}'"):
        instrument(wrong)


def test_all_pairs_of_the_eight_majors_are_there():
    order = ("EUR", "GBP", "AUD", "NZD", "USD", "CAD", "CHF", "JPY")

    missing = [
        base + quote for i, base in enumerate(order) for quote in order[i + 1 :] if base + quote not in INSTRUMENTS
    ]

    assert missing == []
    assert {item.kind for item in INSTRUMENTS.values()} == {"fx", "metal", "index", "energy", "crypto"}


@pytest.mark.parametrize("symbol", sorted(INSTRUMENTS))
def test_the_numbers_of_every_instrument_agree(symbol):
    """Given as its own specification, each row passes the checks that a broker's numbers must pass."""
    item = INSTRUMENTS[symbol]

    checked = instrument(symbol, specs={symbol: {"tick": item.tick}})

    assert checked == item
    assert tick_fraction(item.tick)[0] / tick_fraction(item.tick)[1] == item.tick
    assert item.typical_spread_pips * item.pip >= item.tick
    assert item.swap_long_pips + item.swap_short_pips < 0
    assert item.is_always_open == (item.kind == "crypto")


def test_pips_are_hundredths_in_yen_and_ten_thousandths_elsewhere():
    assert (instrument("USDJPY").pip, instrument("USDJPY").tick) == (0.01, 0.001)
    assert (instrument("EURUSD").pip, instrument("EURUSD").tick) == (0.0001, 0.00001)


def test_a_brokers_file_replaces_numbers_and_adds_symbols(tmp_path):
    path = tmp_path / "broker.yaml"
    path.write_text(
        "EURUSD.m: {typical_spread_pips: 0.1, triple_swap_weekday: 4}\n"
        "COCOA: {kind: energy, base: COCOA, quote: USD, tick: 0.5, pip: 1.0, unit_step: 1.0, unit_min: 1.0}\n"
    )
    specs = broker_specs(path)

    assert instrument("EURUSD", specs=specs).typical_spread_pips == 0.1
    assert instrument("eur/usd", specs=specs).triple_swap_weekday == 4
    assert instrument("EURUSD").typical_spread_pips == 0.8
    assert instrument("COCOA", specs=specs).quote == "USD"


@pytest.mark.parametrize(
    ("values", "text"),
    [
        ({"spred": 1.0}, "no field 'spred'"),
        ({"pip": 0.000015}, "no multiple of tick"),
        ({"unit_min": 1_500.0}, "no multiple of unit_step"),
        ({"margin_fraction": 0.0}, "margin_fraction 0.0"),
        ({"unit_max": 1.0}, "below unit_min"),
        ({"tick": float("nan")}, "finite"),
        ({"tick": 0.0}, "not above 0"),
        ({"triple_swap_weekday": 7}, "not 0 to 6"),
        ({"kind": "stock"}, "kind 'stock'"),
        ({"typical_spread_pips": "1"}, "finite number"),
    ],
)
def test_numbers_that_contradict_each_other_are_refused(values, text):
    with pytest.raises(ConfigError, match=text):
        instrument("EURUSD", specs={"EURUSD": values})


def test_a_new_symbol_needs_its_numbers():
    with pytest.raises(ConfigError, match="lacks base, kind, pip, quote, tick"):
        instrument("COCOA", specs={"COCOA": {}})


@pytest.mark.parametrize("text", ["- a\n- b\n", "EURUSD: 3\n", "a: [b\n"])
def test_another_yaml_is_refused(tmp_path, text):
    path = tmp_path / "broker.yaml"
    path.write_text(text)

    with pytest.raises(ConfigError, match=r"broker\.yaml"):
        broker_specs(path)
