"""Hand-checked cases of bar check, ATR, bands, buckets and sessions."""

from typing import Any

import numpy as np
import pytest

from tests.unit.core.strategy.indicators.series import HOUR_NS, calendar_of, make_bars, ns, random_bars, without
from tradesentry.core.domain.records import BAR
from tradesentry.core.market.resample import resample_bars
from tradesentry.core.strategy.config import params_record
from tradesentry.core.strategy.indicators import events as ev
from tradesentry.core.strategy.indicators import hygiene, run
from tradesentry.core.utils.kernel import new_records

FLAT = (1.1, 1.1, 1.1, 1.1)


def names(frame: Any) -> list[tuple[str, int]]:
    """Return (event, known_index) of every row."""
    return list(zip(frame["event"].cast(str).to_list(), frame["known_index"].to_list(), strict=True))


@pytest.mark.parametrize(
    "change",
    [
        {"high": 1.0}, {"low": 1.2}, {"close": np.nan}, {"open": 0.0, "low": 0.0}, {"high": np.inf},
        {"open_ns": ns("2024-01-08T08:00")}, {"close_ns": ns("2024-01-08T08:15")},
    ],
)  # fmt: skip
def test_a_bar_that_contradicts_itself_is_refused_and_changes_nothing(change: dict[str, float]):
    bars = make_bars([FLAT, (1.1, 1.11, 1.09, 1.1), (1.1, 1.12, 1.1, 1.11), (1.11, 1.13, 1.1, 1.12)])
    for name, value in change.items():
        bars[name][1] = value

    events = run("atr", {"n_bars": 1}, bars, output="events")
    rows = run("atr", {"n_bars": 1}, bars)

    assert names(events) == [("BAD_BAR", 1)]
    # Without bar 1 the first true range is bar 2's: 1.12 - 1.10.
    assert rows["index"].to_list() == [2, 3]
    assert rows["atr"][0] == pytest.approx(0.02)


def test_prices_are_rounded_to_the_nearest_tick_and_decimal_prices_stay_as_they_are():
    out = new_records(1, BAR)[0]
    bar = make_bars([(1.10004, 1.100061, 1.100029, 1.1000449)])[0]

    hygiene.round_bar(bar, 1e-5, out)

    assert (out.open, out.high, out.low, out.close) == (1.10004, 1.10006, 1.10003, 1.10004)


def test_a_gap_longer_than_three_days_is_a_reset_and_a_gap_of_three_days_is_none():
    for hours, expected in ((72, []), (73, [("GAP_RESET", 1)])):
        bars = make_bars([FLAT, FLAT])
        bars.open_ns[1] = bars.close_ns[0] + hours * HOUR_NS
        bars.close_ns[1] = bars.open_ns[1] + HOUR_NS

        assert names(run("atr", {}, bars, output="events")) == expected


def test_a_full_event_buffer_is_a_status():
    buffer = new_records(1, ev.events_dtype(2))[0]
    ev.begin(buffer, 0, 1)
    statuses = []

    for object_id in range(3):
        ev.new_event(buffer, 0, 1, 0, object_id)
        statuses.append(ev.status(buffer))

    assert statuses == [0, 0, 14]
    assert buffer.n == 2


def test_a_spike_is_wide_and_comes_back():
    state = new_records(1, hygiene.STATE)[0]
    params = params_record(hygiene.HygieneParams())[0]
    state.last_close = 1.1

    for high, close, expected in ((1.1090, 1.1005, True), (1.1079, 1.1005, False), (1.1090, 1.1011, False)):
        state.bar.high, state.bar.low, state.bar.close = high, 1.1, close

        # Wide is more than 8 x 0.001; back is a close within 0.001 of 1.1.
        assert hygiene.is_spike(params, state, 0.001) is expected


def test_the_first_bar_after_a_weekend_counts_its_own_range_where_asked():
    # Friday 21:45 to 22:00 UTC is the last bar of the FX week in winter, Sunday 22:00 the first of the next.
    friday = make_bars([(1.10, 1.101, 1.10, 1.10)] * 3, start="2024-01-12T21:15")
    sunday = make_bars([(1.12, 1.121, 1.12, 1.12)], start="2024-01-14T22:00")
    bars = np.concatenate([friday, sunday]).view(np.recarray)

    values = [
        run("atr", {"n_bars": 1, "weekend_tr": mode}, bars, calendar=calendar_of())["atr"][-1] for mode in ("off", "hl")
    ]

    # Off: 1.121 - 1.10 = 0.021. On: 1.121 - 1.120 = 0.001.
    assert values == pytest.approx([0.021, 0.001])


def test_bands_of_three_closes_by_hand():
    # Closes 1, 2, 3: mean 2, population variance 2/3, deviation 0.8165; width 4 x 0.8165 / 2 = 1.633.
    bars = make_bars([(c, c, c, c) for c in (1.0, 2.0, 3.0)])

    row = run("bands", {"n_bars": 3}, bars).to_dicts()[0]

    deviation = np.sqrt(2 / 3)
    assert row["middle"] == 2.0
    assert (row["lower"], row["upper"]) == pytest.approx((2 - 2 * deviation, 2 + 2 * deviation))
    assert row["width"] == pytest.approx(2 * deviation)
    assert row["percent_b"] == pytest.approx((1 + 2 * deviation) / (4 * deviation))


def test_a_flat_market_has_bands_without_any_width():
    wild = make_bars([(1.1, 1.3, 0.9, c) for c in (1.1, 1.3, 0.9, 1.21, 1.07)] + [(1.1, 1.1, 1.1, 1.1)] * 7)

    row = run("bands", {"n_bars": 4, "squeeze_mode": "off"}, wild).to_dicts()[-1]

    assert (row["lower"], row["upper"], row["width"]) == (1.1, 1.1, 0.0)


def test_a_width_is_not_part_of_its_own_reference_and_equality_is_a_squeeze():
    # Bands of 2 closes: deviation |dC| / 2, so moves of 2, 2, 1, 1 give widths in that order of size.
    closes = [100.0, 102.0, 100.0, 101.0, 100.0, 102.0]
    bars = make_bars([(c, c, c, c) for c in closes])

    events = run("bands", {"n_bars": 2, "squeeze_bars": 2, "squeeze_q": 0.0}, bars, output="events")

    # Bar 3 (width of 1) is below both widths of 2; bar 4 equals the minimum, 1, up to the middle: 100.5 both times.
    assert names(events) == [("SQUEEZE_START", 3), ("SQUEEZE_END", 5)]


def test_a_bucket_is_released_at_the_close_that_equals_its_end():
    bars = make_bars([FLAT] * 5, start="2024-01-08T08:00")

    assert names(run("resample", {}, bars)) == [("BUCKET", 3)]


def test_a_bucket_whose_last_bar_is_missing_is_released_by_the_next_bar_without_it():
    bars = make_bars([(1.1, 1.1 + i / 100, 1.1, 1.1) for i in range(5)])

    frame = run("resample", {}, without(bars, 3))

    row = frame.to_dicts()[0]
    assert (row["known_index"], row["other_index"], row["price_high"]) == (3, 3, 1.12)
    assert row["known_at_ns"] == ns("2024-01-08T09:15")


def test_one_bar_can_release_two_buckets():
    # 08:45 is missing, and so is everything up to 09:45, whose close completes the second hour.
    bars = without(make_bars([FLAT] * 8), 3, 4, 5, 6)

    frame = run("resample", {}, bars)

    assert names(frame) == [("BUCKET", 3), ("BUCKET", 3)]
    assert frame["other_index"].to_list() == [3, 1]


@pytest.mark.parametrize(("day", "hour"), [("2024-03-08", 22), ("2024-03-11", 21)])
def test_an_fx_day_ends_at_five_in_new_york_across_the_change_of_the_clock(day: str, hour: int):
    # US clocks change on 10 March 2024: 17:00 New York is 22:00 UTC before and 21:00 UTC after it.
    bars = make_bars([FLAT] * 14, start=f"{day}T10:00", minutes=60)

    frame = run("resample", {"period": "fx_day"}, bars, calendar=calendar_of())

    assert frame["known_at_ns"][0] == ns(f"{day}T{hour}:00")


@pytest.mark.parametrize(
    ("params", "timeframe", "anchor"),
    [
        ({"minutes": 60}, "H1", "fx_day"), ({"period": "h4"}, "H4", "fx_day"),
        ({"period": "h4", "h4_anchor": "utc"}, "H4", "utc"), ({"period": "fx_day"}, "D1", "fx_day"),
        ({"period": "fx_week"}, "W1", "fx_day"),
    ],
)  # fmt: skip
def test_buckets_equal_those_of_whole_tables(params: dict[str, Any], timeframe: str, anchor: Any):
    bars = random_bars(3_000, 7, start="2024-02-25T23:00", missing=0.2)

    frame = run("resample", params, bars, calendar=calendar_of(end="2024-06-01"))

    table = resample_bars(bars, timeframe, anchor=anchor)
    for column, name in (("origin_ns", "open_ns"), ("price", "close"), ("other_price", "open"), ("value", "volume")):
        assert frame[column].to_list() == table[name].tolist()
    assert frame["price_low"].to_list() == table.low.tolist()
    assert frame["price_high"].to_list() == table.high.tolist()


def test_a_session_is_known_at_its_end_and_its_bars_are_those_that_open_in_it():
    # London 08:00 to 17:00 in winter is UTC: 36 bars; the bar of 07:45 is higher and the bar of 17:00 lower.
    rows = [(1.2, 1.3, 1.2, 1.2)] + [(1.1, 1.15, 1.05, 1.1)] * 36 + [(1.0, 1.0, 0.9, 1.0)]

    frame = run(
        "sessions", {"levels": False}, make_bars(rows, start="2024-01-08T07:45"), calendar=calendar_of("london")
    )

    row = frame.to_dicts()[0]
    assert (frame.height, row["event"], row["known_index"], row["origin_index"]) == (1, "SESSION_SET", 36, 1)
    assert (row["price_low"], row["price_high"], row["other_index"], row["value"]) == (1.05, 1.15, 36, 1.0)


@pytest.mark.parametrize(("n_missing", "event"), [(7, "SESSION_SET"), (8, "SESSION_INVALID")])
def test_a_session_needs_four_fifths_of_its_bars(n_missing: int, event: str):
    # 29 of 36 bars are 80.6 %, 28 are 77.8 %.
    bars = without(make_bars([FLAT] * 37, start="2024-01-08T08:00"), *range(10, 10 + n_missing))

    assert names(run("sessions", {"levels": False}, bars, calendar=calendar_of("london")))[0][0] == event


def test_a_holiday_makes_its_session_invalid():
    bars = make_bars([FLAT] * 37, start="2024-01-01T08:00")

    assert names(run("sessions", {"levels": False}, bars, calendar=calendar_of("london")))[0][0] == "SESSION_INVALID"


def test_the_overlap_lasts_an_hour_longer_while_only_new_york_has_changed_its_clock():
    # 11 March 2024: New York opens 12:00 UTC, London closes 17:00 UTC: 20 bars instead of 16.
    for day, n_bars in (("2024-03-08", 16), ("2024-03-11", 20)):
        bars = make_bars([FLAT] * 48, start=f"{day}T06:00")

        frame = run("sessions", {"levels": False}, bars, calendar=calendar_of("london_new_york"))

        assert frame["other_index"][0] == n_bars


def test_days_and_weeks_end_on_friday_evening_in_new_york():
    bars = make_bars([FLAT] * 12, start="2024-01-12T12:00", minutes=60)

    frame = run("sessions", {"n_slots": 0}, bars, calendar=calendar_of())

    # Friday 22:00 UTC is the end of bar 9. Ten of 24 and of 120 hours were received.
    assert names(frame) == [("DAY_LEVELS", 9), ("WEEK_LEVELS", 9)]
    assert frame["value"].to_list() == pytest.approx([10 / 24, 10 / 120])


def test_an_efficiency_ratio_of_a_market_that_did_not_move_is_zero():
    params = {"trend_mode": "off", "er_bars": 4, "adx": {"n_bars": 2}, "resample": {"minutes": 15}}

    rows = run("regime", params, make_bars([FLAT] * 12))

    assert rows["efficiency_ratio"].to_list() == [0.0] * rows.height
    assert rows["is_range"].all()
