"""The synthetic market: same seed, same bits; honest bars; the stated statistics; exactly the planted patterns."""

import math

import numpy as np
import pytest

from tradesentry.core.domain.errors import ConfigError, DataError
from tradesentry.core.domain.instruments import Instrument
from tradesentry.core.market.bars import utc_text
from tradesentry.core.market.instruments import instrument
from tradesentry.core.market.sessions import fx_day, fx_days
from tradesentry.core.market.synthetic import synthetic_bars
from tradesentry.core.market.synthetic_model import STEPS
from tradesentry.core.market.tick_grid import is_on_grid, to_ticks
from tradesentry.core.utils.kernel import IS_COMPILED

pytestmark = pytest.mark.skipif(not IS_COMPILED, reason="a year of minutes needs compiled kernels")

MINUTE_NS = 60_000_000_000
HOUR_NS = 60 * MINUTE_NS
SYMBOLS = ("EURUSD", "GBPUSD", "EURGBP", "USDJPY", "AUDUSD", "NZDUSD")


@pytest.fixture(scope="module")
def year():
    """Return most of a year of minutes."""
    return {name: series.bars for name, series in synthetic_bars(SYMBOLS, n_bars=300_000, seed=3).items()}


def log_returns(bars):
    """Return log returns between neighbouring bars, gaps left out."""
    is_next = bars.open_ns[1:] == bars.close_ns[:-1]
    return np.diff(np.log(bars.close))[is_next]


def kurtosis(x):
    x = x - x.mean()
    return (x**4).mean() / (x**2).mean() ** 2 - 3


def autocorrelation(x, lag):
    return np.corrcoef(x[lag:], x[:-lag])[0, 1]


@pytest.mark.parametrize("variant", ["plain", "random_walk", "teaching"])
def test_the_same_seed_gives_the_same_bits_and_another_seed_others(variant):
    first = synthetic_bars(["EURJPY"], n_bars=3_000, seed=5, variant=variant, gaps=0.02, jumps=20)["EURJPY"]
    again = synthetic_bars(["EURJPY"], n_bars=3_000, seed=5, variant=variant, gaps=0.02, jumps=20)["EURJPY"]
    other = synthetic_bars(["EURJPY"], n_bars=3_000, seed=6, variant=variant, gaps=0.02, jumps=20)["EURJPY"]

    assert first.bars.tobytes() == again.bars.tobytes()
    assert first.checksum == again.checksum != other.checksum


@pytest.mark.parametrize("variant", ["plain", "random_walk"])
def test_a_symbol_does_not_depend_on_its_company_nor_on_the_length(variant):
    alone = synthetic_bars(["EURGBP"], n_bars=20_000, variant=variant)["EURGBP"].bars
    longer = synthetic_bars(["USDJPY", "BTCUSD", "EURGBP"], n_bars=21_000, variant=variant)["EURGBP"].bars

    assert alone.tobytes() == longer[:20_000].tobytes()


def test_everything_is_labelled_synthetic():
    plain = synthetic_bars(["EURUSD"], n_bars=10)["EURUSD"]
    teaching = synthetic_bars(["EURUSD"], n_bars=10, variant="teaching")["EURUSD"]

    assert (plain.source, teaching.source) == ("synthetic", "synthetic:teaching")
    assert plain.is_synthetic
    assert teaching.is_synthetic
    assert "SYNTHETIC" in plain.provenance["notice"]
    assert teaching.provenance["pattern"]["transitory"] == 0.8


@pytest.mark.parametrize("symbol", ["EURUSD", "USDJPY", "XAUUSD", "US500", "BTCUSD", "USDMXN"])
def test_bars_are_valid_and_on_the_tick_grid(symbol):
    tick = instrument(symbol).tick

    bars = synthetic_bars([symbol], n_bars=10_000, jumps=10)[symbol].bars

    assert (bars.low <= np.minimum(bars.open, bars.close)).all()
    assert (bars.high >= np.maximum(bars.open, bars.close)).all()
    assert (np.diff(bars.open_ns) > 0).all()
    assert (bars.volume >= 1).all()
    assert (bars.spread >= tick * 0.999).all()
    for name in ("open", "high", "low", "close", "spread"):
        assert is_on_grid(bars[name], tick)
        assert (bars[name] == np.round(bars[name], 6)).all()


def test_bars_keep_the_fx_week_and_christmas_and_coins_trade_through():
    series = synthetic_bars(["EURUSD", "BTCUSD"], timeframe="H1", start="2022-12-12", end="2023-01-10")
    euro, coin = series["EURUSD"].bars, series["BTCUSD"].bars

    days = {fx_day(int(ns))[1] for ns in euro.open_ns}
    assert all(fx_day(int(ns))[0] <= ns for ns in euro.open_ns)
    # Christmas 2022 was a Sunday and so was New Year: all 21 weekdays are there, and Tuesday until 00:00 UTC.
    assert len(days) == 22
    assert (np.diff(coin.open_ns) == HOUR_NS).all()
    assert utc_text(int(coin.open_ns[0])) == "2022-12-12 00:00"
    assert coin.close_ns[-1] == euro.close_ns[-1] == 1_673_308_800_000_000_000


def test_christmas_and_new_year_on_weekdays_have_no_market():
    bars = synthetic_bars(["EURUSD"], timeframe="H1", start="2023-12-20", end="2024-01-05")["EURUSD"].bars

    closed = {utc_text(fx_day(int(ns))[1])[5:10] for ns in bars.open_ns}

    assert "12-26" in closed
    assert not closed & {"12-25", "01-01"}


def test_highs_and_lows_are_prices_of_the_path():
    bars, path = synthetic_bars(["EURUSD"], n_bars=5_000, seed=2, with_path=True)
    minutes, ticks = bars["EURUSD"].bars, path["EURUSD"].bars

    prices = ticks.open.reshape(len(minutes), STEPS)

    assert (ticks.open_ns == ticks.close_ns).all()
    assert (np.repeat(minutes.open_ns, STEPS) <= ticks.open_ns).all()
    assert (ticks.open_ns < np.repeat(minutes.close_ns, STEPS)).all()
    assert (np.diff(ticks.open_ns) > 0).all()
    assert (prices[:, 0] == minutes.open).all()
    assert (prices[:, -1] == minutes.close).all()
    assert (prices.max(axis=1) == minutes.high).all()
    assert (prices.min(axis=1) == minutes.low).all()
    assert (path["EURUSD"].timeframe, path["EURUSD"].is_synthetic) == ("TICK", True)


@pytest.mark.parametrize(("timeframe", "hours"), [("M15", 0.25), ("H1", 1), ("H4", 4), ("D1", 24)])
def test_longer_bars_are_built_from_the_same_minutes(timeframe, hours):
    minutes = synthetic_bars(["GBPUSD"], n_bars=30_000)["GBPUSD"].bars

    bars = synthetic_bars(["GBPUSD"], timeframe=timeframe, n_bars=15)["GBPUSD"].bars

    assert len(bars) == 15
    for bar in bars:
        inside = minutes[(minutes.open_ns >= bar.open_ns) & (minutes.open_ns < bar.close_ns)]
        assert (bar.high, bar.low) == (inside.high.max(), inside.low.min())
        assert (bar.open, bar.close, bar.volume) == (inside.open[0], inside.close[-1], inside.volume.sum())
        assert bar.close_ns - bar.open_ns == hours * HOUR_NS


def test_a_cross_agrees_with_its_legs_to_a_few_ticks(year):
    implied = year["EURUSD"].close / year["GBPUSD"].close

    assert np.abs(year["EURGBP"].close - implied).max() < 3e-5


def test_volatility_clusters_and_returns_do_not(year):
    for bars in year.values():
        returns = log_returns(bars)
        size = np.abs(returns)

        assert 0.15 < autocorrelation(size, 1) < 0.45
        assert autocorrelation(size, 60) > 0.08
        assert autocorrelation(size, 1_440) > 0.05
        assert abs(autocorrelation(returns, 1)) < 0.02


def test_tails_are_fat_at_a_minute_and_thinner_at_a_day(year):
    for bars in year.values():
        minute, hour = log_returns(bars), np.diff(np.log(bars.close[::60]))

        assert 8 < kurtosis(minute) < 60
        assert 2 < kurtosis(hour) < kurtosis(minute)


def test_annual_volatility_is_that_of_the_currency(year):
    for symbol, low, high in (("EURUSD", 0.05, 0.10), ("AUDUSD", 0.07, 0.13), ("EURGBP", 0.04, 0.10)):
        annual = log_returns(year[symbol]).std() * math.sqrt(260 * 1_440)

        assert low < annual < high


def test_activity_is_u_shaped_inside_sessions_and_low_at_night(year):
    bars = year["EURUSD"][1:]
    size = np.abs(np.log(bars.close / bars.open))
    summer = (bars.open_ns >= np.datetime64("2022-04-04", "ns").astype(int)) & (
        bars.open_ns < 1_667_000_000_000_000_000
    )
    hour = bars.open_ns // HOUR_NS % 24
    by_hour = [size[summer & (hour == h)].mean() for h in range(24)]
    volume = [bars.volume[summer & (hour == h)].mean() for h in range(24)]

    # London summer session: 07:00 to 16:00 UTC; New York 12:00 to 21:00; nothing but Sydney from 21:00 to 24:00.
    assert by_hour[7] > 1.3 * by_hour[10] < by_hour[12] / 1.3
    assert by_hour[20] > 1.2 * by_hour[18]
    assert by_hour[22] < 0.5 * by_hour[13]
    assert np.corrcoef(by_hour, volume)[0, 1] > 0.95


def test_spreads_are_typical_by_day_and_widest_at_the_rollover(year):
    opens = year["EURUSD"].open_ns
    days = fx_days(int(opens[0]), int(opens[-1]))
    since = (opens - days["start_ns"][np.searchsorted(days["end_ns"], opens, side="right")]) // MINUTE_NS
    is_rollover, is_day = (since < 5) | (since >= 1_435), (since > 60) & (since < 1_380)
    for symbol, bars in year.items():
        item = instrument(symbol)
        typical = item.typical_spread_pips * item.pip

        assert 0.7 * typical < np.median(bars.spread) < 1.5 * typical
        assert 2.5 < bars.spread[is_rollover].mean() / bars.spread[is_day].mean() < 7


def test_currencies_move_together_as_they_should(year):
    hourly = {name: np.diff(np.log(bars.close[::60])) for name, bars in year.items()}

    def correlation(a, b):
        return np.corrcoef(hourly[a], hourly[b])[0, 1]

    assert 0.4 < correlation("EURUSD", "GBPUSD") < 0.75
    assert 0.5 < correlation("AUDUSD", "NZDUSD") < 0.85
    assert -0.6 < correlation("EURUSD", "USDJPY") < -0.15


def test_the_random_walk_is_a_martingale_in_whole_ticks():
    """Steps of every size are as often up as down, in quiet and wild times, after rises and after falls."""
    _, path = synthetic_bars(["EURUSD"], n_bars=150_000, seed=11, variant="random_walk", spread=0.0, with_path=True)
    bars = path["EURUSD"].bars
    steps = np.diff(to_ticks(bars.open, 1e-5))

    z = steps.sum() / math.sqrt((steps.astype(float) ** 2).sum())
    after = steps[1:] * np.sign(steps[:-1])
    z_after = after.sum() / math.sqrt((after.astype(float) ** 2).sum())
    level = to_ticks(bars.open, 1e-5)[:-1] - to_ticks(bars.open, 1e-5)[0]
    z_level = (steps * np.sign(level)).sum() / math.sqrt((steps.astype(float) ** 2).sum())
    ups, downs = (steps > 0).sum(), (steps < 0).sum()

    assert (bars.spread == 0).all()
    assert max(abs(z), abs(z_after), abs(z_level)) < 3.5
    assert abs(ups - downs) < 3.5 * math.sqrt(ups + downs)


def test_plain_returns_hold_nothing_and_patterns_hold_what_they_say():
    """Variance ratios of a day to an hour: 1 without a pattern, above with trends, below with reversion."""

    def ratio(variant):
        bars = synthetic_bars(["EURUSD"], timeframe="H1", n_bars=6_000, seed=4, variant=variant)["EURUSD"].bars
        price = np.log(bars.close)
        return np.var(price[24:] - price[:-24]) / (24 * np.var(np.diff(price)))

    ratios = {variant: ratio(variant) for variant in ("plain", "random_walk", "trend", "mean_revert", "teaching")}

    assert 0.8 < ratios["plain"] < 1.2
    assert 0.8 < ratios["random_walk"] < 1.2
    assert ratios["trend"] > 1.4
    assert ratios["teaching"] < 0.62
    assert ratios["teaching"] < ratios["mean_revert"] < 0.85


def test_a_naive_rule_earns_on_teaching_and_not_on_plain():
    """Fade the distance from the mean of three days, hour by hour, before costs; t of the hourly profit."""

    def t_of(variant):
        bars = synthetic_bars(["EURUSD"], timeframe="H1", n_bars=6_000, seed=9, variant=variant)["EURUSD"].bars
        price = np.log(bars.close)
        mean = np.convolve(price, np.ones(72) / 72)[71 : len(price)]
        profit = np.sign(mean[:-1] - price[71:-1]) * np.diff(price)[71:]
        return profit.mean() / profit.std() * math.sqrt(len(profit))

    assert t_of("teaching") > 5
    assert abs(t_of("plain")) < 3.5


def test_gaps_take_about_the_stated_share_of_minutes():
    full = synthetic_bars(["EURUSD"], start="2022-01-03", end="2022-04-01")["EURUSD"].bars
    holed = synthetic_bars(["EURUSD"], start="2022-01-03", end="2022-04-01", gaps=0.05)["EURUSD"].bars

    missing = 1 - len(holed) / len(full)

    assert 0.025 < missing < 0.10
    assert set(holed.open_ns.tolist()) < set(full.open_ns.tolist())
    assert (np.diff(holed.open_ns) // MINUTE_NS).max() >= 15


def test_jumps_make_the_tails_fatter():
    calm = synthetic_bars(["USDCHF"], n_bars=60_000, seed=1)["USDCHF"].bars
    wild = synthetic_bars(["USDCHF"], n_bars=60_000, seed=1, jumps=50)["USDCHF"].bars

    assert kurtosis(log_returns(wild)) > 1.5 * kurtosis(log_returns(calm))


def test_weekends_leave_gaps_in_price(year):
    bars = year["EURUSD"]
    is_weekend = np.diff(bars.open_ns) > 40 * HOUR_NS
    jump = np.abs(np.log(bars.open[1:] / bars.close[:-1]))

    assert is_weekend.sum() > 30
    assert jump[is_weekend].mean() > 4 * jump[~is_weekend].mean()


def test_a_binary_tick_makes_sums_of_prices_exact():
    bars = synthetic_bars(["EURUSD"], n_bars=2_000, tick=2.0**-17)["EURUSD"].bars

    assert (bars.close * 2.0**17 == np.rint(bars.close * 2.0**17)).all()


def test_an_instrument_that_no_table_knows_can_be_simulated():
    own = Instrument("ABCDEF", "fx", "ABC", "DEF", 0.0001, 0.001)

    bars = synthetic_bars([own], n_bars=100)["ABCDEF"].bars

    assert len(bars) == 100


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"variant": "teachng"}, "Did you mean 'teaching'"),
        ({"timeframe": "S5"}, "M1 or longer"),
        ({"end": "2022-02-01"}, "either `n_bars` or `end`"),
        ({"n_bars": None}, "either `n_bars` or `end`"),
        ({"n_bars": 0}, "n_bars is 0"),
        ({"gaps": 0.9}, "gaps is 0.9"),
        ({"jumps": -1}, "jumps is -1"),
        ({"seed": -1}, "seed is -1"),
        ({"spread": float("nan")}, "spread is nan"),
        ({"tick": 1.0}, "finer tick"),
    ],
)
def test_what_cannot_be_made_is_refused(options, text):
    with pytest.raises(ConfigError, match=text):
        synthetic_bars(["EURUSD"], **({"n_bars": 10} | options))


def test_a_walk_that_reaches_zero_is_refused():
    with pytest.raises(DataError, match="reached zero"):
        synthetic_bars(["SOLUSD"], n_bars=120_000, jumps=1_000, variant="random_walk", tick=0.9, seed=12)
