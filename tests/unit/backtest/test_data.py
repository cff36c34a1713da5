"""What a run reads: its markets in canonical order, those that convert, and the path inside bars."""

from dataclasses import replace

import numpy as np
import pytest

from tradesentry.backtest.data import DataRequest, is_synthetic, load_market_data
from tradesentry.core.domain.errors import ConfigError, DataError
from tradesentry.core.market.bars import TickSeries, checksum_of
from tradesentry.core.market.catalog import Catalog
from tradesentry.core.market.synthetic import synthetic_bars

FROM, TO = "2022-01-03", "2022-01-08"


def request_of(*symbols, **more):
    values = {
        "timeframe": "M15", "source": "synthetic", "account_currency": "USD", "rates": {}, "intrabar": "pessimistic",
        "from_": FROM, "to": TO,
    }  # fmt: skip
    return DataRequest(symbols=symbols, **(values | more))


def names(data):
    return [series.symbol for series in data.series]


def made(*symbols, timeframe="M15"):
    return synthetic_bars(symbols, timeframe=timeframe, start=FROM, end=TO)


@pytest.fixture
def catalog(tmp_path):
    """A catalog whose source `venue` holds M1 bars of three markets."""
    for series in made("EURJPY", "USDJPY", "EURUSD", timeframe="M1").values():
        Catalog(tmp_path).write(replace(series, source="venue"))
    return tmp_path


def test_markets_are_sorted_whatever_the_order_given_and_spelled():
    data = load_market_data(request_of("USDJPY", "eur/usd", "GBPUSD", "EURUSD"))

    assert names(data) == ["EURUSD", "GBPUSD", "USDJPY"]
    assert data.n_traded == 3


@pytest.mark.parametrize(("symbol", "converter"), [("EURJPY", "USDJPY"), ("EURGBP", "GBPUSD"), ("GBPCHF", "USDCHF")])
def test_the_market_that_converts_the_profit_is_loaded_besides_and_not_traded(symbol, converter):
    data = load_market_data(request_of(symbol))

    assert names(data) == [symbol, converter]
    assert data.n_traded == 1


def test_a_converter_that_is_traded_anyway_is_not_loaded_twice():
    data = load_market_data(request_of("EURJPY", "USDJPY"))

    assert names(data) == ["EURJPY", "USDJPY"]
    assert data.n_traded == 2


def test_a_fixed_rate_or_an_account_in_the_currency_needs_no_converter():
    assert names(load_market_data(request_of("EURJPY", rates={"JPY": 0.007}))) == ["EURJPY"]
    assert names(load_market_data(request_of("EURJPY", account_currency="JPY"))) == ["EURJPY"]
    assert names(load_market_data(request_of("EURJPY", account_currency="EUR"))) == ["EURJPY"]


def test_a_converter_is_found_in_the_catalog_of_the_same_source(catalog):
    data = load_market_data(request_of("EURJPY", source="venue", catalog=catalog))

    assert names(data) == ["EURJPY", "USDJPY"]
    assert data.n_traded == 1


def test_a_source_without_a_converter_loads_what_there_is(catalog):
    (catalog / "venue" / "USDJPY_M1.parquet").unlink()

    assert names(load_market_data(request_of("EURJPY", source="venue", catalog=catalog))) == ["EURJPY"]


def test_given_series_are_split_into_traded_and_converting_ones():
    data = load_market_data(request_of("EURJPY"), made("USDJPY", "EURJPY"))

    assert names(data) == ["EURJPY", "USDJPY"]
    assert data.n_traded == 1


def test_given_series_are_cut_to_the_period():
    data = load_market_data(request_of("EURUSD", from_="2022-01-05", to="2022-01-06"), made("EURUSD"))

    opens = data.series[0].bars["open_ns"]
    assert str(opens[0].astype("M8[ns]"))[:16] == "2022-01-05T00:00"
    assert len(opens) == 96


def test_an_empty_period_says_which_series_and_what_to_change():
    with pytest.raises(DataError, match=r"EURUSD M15 has no bar between 2023-01-01 and 2023-02-01\. Choose") as caught:
        load_market_data(request_of("EURUSD", from_="2023-01-01", to="2023-02-01"), made("EURUSD"))

    assert caught.value.code == "empty_period"


def test_given_series_of_other_markets_are_no_series_to_trade():
    with pytest.raises(DataError, match="No series to trade"):
        load_market_data(request_of("GBPUSD"), made("EURUSD"))


def test_no_finer_bars_are_loaded_unless_asked():
    data = load_market_data(request_of("EURUSD"))

    assert [len(fine) for fine in data.fine] == [0]


def test_minutes_inside_the_bars_come_from_the_same_source(catalog):
    data = load_market_data(request_of("EURUSD", source="venue", catalog=catalog, intrabar="m1"))

    bars, fine = data.series[0].bars, data.fine[0]
    inside = (fine["open_ns"] >= bars["open_ns"][40]) & (fine["close_ns"] <= bars["close_ns"][40])
    assert inside.sum() == 15
    assert fine["high"][inside].max() == bars["high"][40]
    assert fine["low"][inside].min() == bars["low"][40]


def test_the_simulated_path_inside_the_bars_reaches_their_highs_and_lows():
    data = load_market_data(request_of("EURUSD", intrabar="tick"))

    bars, path = data.series[0].bars, data.fine[0]
    row = np.searchsorted(bars["open_ns"], path["open_ns"], side="right") - 1
    highs = np.full(len(bars), -np.inf)
    np.maximum.at(highs, row, path["high"])
    assert np.all(path["open_ns"] == path["close_ns"])
    np.testing.assert_array_equal(highs, bars["high"])


def test_stored_ticks_become_bars_without_length(catalog):
    opens = made("EURUSD")["EURUSD"].bars["open_ns"]
    ts_ns = np.sort(np.concatenate([opens, opens + 1_000_000_000]))
    bid = np.linspace(1.1, 1.2, len(ts_ns))
    ask = bid + np.where(np.arange(len(ts_ns)) % 7 == 0, -1e-5, 1e-4)
    ones = np.ones(len(ts_ns))
    ticks = TickSeries(ts_ns, bid, ask, ones, ones, "EURUSD", "venue", {}, checksum_of(ts_ns))
    Catalog(catalog).write(ticks)

    fine = load_market_data(request_of("EURUSD", source="venue", catalog=catalog, intrabar="tick")).fine[0]

    assert np.all(fine["open_ns"] == fine["close_ns"])
    np.testing.assert_array_equal(fine["close"], bid[: len(fine)])
    assert fine["spread"].min() == 0.0
    assert fine["spread"].max() == pytest.approx(1e-4)


@pytest.mark.parametrize("source", ["synthetic:plain:1:2", "synthetic:plain:many"])
def test_a_synthetic_source_that_cannot_be_read_says_how_to_write_it(source):
    with pytest.raises(ConfigError, match="Write synthetic:VARIANT:SEED"):
        load_market_data(request_of("EURUSD", source=source))


def test_variant_and_seed_of_a_synthetic_source_are_used():
    plain, seeded, walk = (
        load_market_data(request_of("EURUSD", source=source)).series[0]
        for source in ("synthetic", "synthetic:plain:5", "synthetic:random_walk")
    )

    assert len({plain.checksum, seeded.checksum, walk.checksum}) == 3
    assert walk.source == "synthetic:random_walk"
    assert is_synthetic("synthetic:random_walk:7")
    assert not is_synthetic("synthetically")
