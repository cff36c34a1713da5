"""Calendars: holidays and early closes of both currencies, news, capacity, and their cost."""

import time
from datetime import UTC, date, datetime

import numpy as np
import pytest

from tradesentry.core.domain.calendar_records import CLOCK, CURSOR, N_DAYS, N_SESSIONS
from tradesentry.core.domain.errors import CapacityError, ConfigError, ImportRefused
from tradesentry.core.domain.orders import Status
from tradesentry.core.market.calendar import CalendarSpec, build_calendar
from tradesentry.core.market.clock import advance, seek
from tradesentry.core.market.holidays import easter_sunday, holidays_of_year, load_holidays
from tradesentry.core.market.instruments import instrument
from tradesentry.core.market.news import NewsSettings, news_table
from tradesentry.core.market.sessions import day_number, session_bounds, session_window
from tradesentry.core.utils.kernel import new_records

EURUSD = instrument("EURUSD")
HOUR_NS = 3_600_000_000_000


def utc(text):
    return int(datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp()) * 1_000_000_000


def year_2024(spec, item=EURUSD, **more):
    return build_calendar(spec, item, utc("2024-01-01"), utc("2025-01-01"), **more)[0]


def session_row(calendar, slot, day):
    dates = calendar.session_bounds["date"][slot, : calendar.n_bounds[slot]]
    return calendar.session_bounds[slot, int(np.searchsorted(dates, day_number(day)))]


@pytest.mark.parametrize("day", ["2000-04-23", "2011-04-24", "2019-04-21", "2024-03-31", "2038-04-25"])
def test_easter_is_where_almanacs_put_it(day):
    assert easter_sunday(int(day[:4])) == day_number(day)


@pytest.mark.parametrize(
    ("currency", "year", "weekdays_closed"),
    [
        ("USD", 2022, "01-17 02-21 04-15 05-30 06-20 07-04 09-05 11-24 12-26"),
        ("GBP", 2021, "01-01 04-02 04-05 05-03 05-31 08-30 12-27 12-28"),
        ("EUR", 2024, "01-01 03-29 04-01 05-01 12-25 12-26"),
        (
            "JPY",
            2022,
            "01-03 01-10 02-11 02-23 03-21 04-15 04-29 05-03 05-04 05-05 07-18 08-11 09-19 09-23 10-10 11-03 11-23",
        ),
        ("CHF", 2024, "01-01 01-02 03-29 04-01 05-09 05-20 08-01 12-25 12-26"),
        ("CAD", 2023, "01-02 02-20 04-07 05-22 07-03 08-07 09-04 10-02 10-09 11-13 12-25 12-26"),
        ("AUD", 2022, "01-03 01-26 04-15 04-18 04-25 06-13 12-26 12-27"),
        ("NZD", 2022, "01-03 01-04 02-07 04-15 04-18 04-25 06-06 10-24 12-26 12-27"),
        ("SEK", 2024, "01-01 03-29 12-25"),
    ],
)  # fmt: skip
def test_holidays_fall_where_the_rules_put_them(currency, year, weekdays_closed):
    days = sorted(day for day in holidays_of_year(currency, year) if (day + 3) % 7 < 5)

    assert " ".join(str(np.datetime64(day, "D"))[5:] for day in days) == weekdays_closed


@pytest.mark.parametrize("currency", ["USD", "EUR", "GBP", "JPY", "CHF", "CAD", "AUD", "NZD", "SEK"])
@pytest.mark.parametrize("year", [1999, 2015, 2031])
def test_christmas_new_year_and_good_friday_are_holidays_everywhere(currency, year):
    days = holidays_of_year(currency, year)

    assert {day_number(date(year, 12, 25)), day_number(date(year, 1, 1)), easter_sunday(year) - 2} <= days


def test_a_holiday_of_either_currency_makes_the_days_sessions_invalid():
    spec = CalendarSpec(("tokyo", "london", "new_york"))
    euro, yen = year_2024(spec), year_2024(spec, instrument("EURJPY"))

    # 4 July is a holiday in dollars, 23 July (a Tuesday) in none; 11 November in none; 4 November in yen.
    assert not session_row(euro, 1, "2024-07-04").is_valid
    assert session_row(yen, 1, "2024-07-04").is_valid
    assert session_row(euro, 1, "2024-07-23").is_valid
    assert session_row(euro, 0, "2024-11-04").is_valid
    assert not session_row(yen, 1, "2024-11-04").is_valid
    assert not any(session_row(euro, slot, "2024-03-29").is_valid for slot in range(3))


def test_an_early_close_shortens_a_session_and_closes_those_that_begin_later():
    calendar = year_2024(CalendarSpec(("asia_for_london", "london", "new_york")))

    # On 24 December euros close at 14:00 Berlin = 13:00 UTC, when New York has not yet begun, at 13:00 UTC.
    asia, london, new_york = (session_row(calendar, slot, "2024-12-24") for slot in range(3))
    assert (asia.end_ns, asia.is_valid) == (utc("2024-12-24T07:00"), True)
    assert (london.start_ns, london.end_ns, london.is_valid) == (utc("2024-12-24T08:00"), utc("2024-12-24T13:00"), True)
    assert (new_york.end_ns, new_york.is_valid) == (new_york.start_ns, False)
    assert session_row(calendar, 1, "2024-12-23").end_ns == utc("2024-12-23T17:00")
    assert session_row(calendar, 1, "2024-12-31").end_ns == utc("2024-12-31T13:00")


def test_fx_days_of_holidays_are_marked_by_the_date_they_are_named_after():
    calendar = year_2024(CalendarSpec())
    rows = calendar.fx_days[: calendar.n_days]
    closed = rows[rows["is_holiday"]]

    assert utc("2024-12-25T22:00") in closed["end_ns"]
    assert utc("2024-12-26T22:00") in closed["end_ns"]
    assert utc("2024-12-24T22:00") not in closed["end_ns"]


def test_a_users_file_adds_holidays_and_early_closes(tmp_path):
    path = tmp_path / "holidays.csv"
    path.write_text(
        "date,currency,close,zone,name\n2024-06-05,USD,,,Mourning\n2024-06-06,EUR,12:00,Europe/Berlin,Flood\n"
    )
    calendar = year_2024(CalendarSpec(("london",)), holidays=load_holidays(path))

    assert not session_row(calendar, 0, "2024-06-05").is_valid
    assert session_row(calendar, 0, "2024-06-06").end_ns == utc("2024-06-06T10:00")
    assert session_row(calendar, 0, "2024-06-07").is_valid


@pytest.mark.parametrize(
    "line", ["2024-06-31,USD,,,", "2024-06-03,dollar,,,", "2024-06-03,USD,25:00,,", "2024-06-03,USD,12:00,Mars,"]
)
def test_a_bad_row_of_a_holiday_file_is_refused_with_its_line(tmp_path, line):
    path = tmp_path / "holidays.csv"
    path.write_text(f"date,currency,close,zone,name\n2024-06-05,USD,,,ok\n{line}\n")

    with pytest.raises(ImportRefused, match="line 3"):
        load_holidays(path)


def test_news_count_only_when_the_spec_asks_for_them():
    news = news_table([{"time_utc": "2024-06-07T12:30", "currency": "USD", "impact": 3, "title": "Retail"}])
    asked, not_asked = CalendarSpec(news=NewsSettings()), CalendarSpec()

    with_news, without = year_2024(asked, news=news), year_2024(not_asked, news=news)

    assert (with_news.n_blackouts, with_news.blackouts[0].start_ns) == (1, utc("2024-06-07T12:00"))
    assert (with_news.news_from_ns, with_news.news_to_ns) == (utc("2024-06-07"), utc("2024-06-08"))
    assert (without.n_blackouts, without.news_to_ns) == (0, 0)


def test_equal_specs_share_a_calendar():
    named = CalendarSpec(("london", "08:00-12:00 Europe/London"), NewsSettings())
    spelled = CalendarSpec((session_window("london"), session_window("08:00-12:00 Europe/London")), NewsSettings())

    assert named == spelled
    assert hash(named) == hash(spelled)


def test_an_always_open_symbol_has_calendar_days_at_the_weekend():
    calendar = year_2024(CalendarSpec(("london",)), instrument("BTCUSD"))
    cursor, clock = new_records(1, CURSOR)[0], new_records(1, CLOCK)[0]
    saturday = utc("2024-06-08T12:00")

    status = seek(calendar, cursor, clock, saturday)

    assert (status, clock.weekday, clock.fx_day_end_ns) == (Status.OK, 5, utc("2024-06-08T21:00"))


def test_a_period_that_does_not_fit_is_refused():
    with pytest.raises(CapacityError, match=f"{N_DAYS:,}"):
        build_calendar(CalendarSpec(), EURUSD, utc("1980-01-01"), utc("2024-01-01"))


def test_an_empty_period_too_many_sessions_and_an_unknown_anchor_are_refused():
    with pytest.raises(ConfigError, match="empty"):
        build_calendar(CalendarSpec(), EURUSD, 10, 9)
    with pytest.raises(CapacityError, match="slots"):
        CalendarSpec(("london",) * (N_SESSIONS + 1))
    with pytest.raises(ConfigError, match="h4_anchor"):
        CalendarSpec(h4_anchor="ny")


def test_rows_of_the_past_are_the_same_in_a_longer_calendar():
    spec = CalendarSpec(("london", "sydney"), NewsSettings())

    short = build_calendar(spec, EURUSD, utc("2024-01-01"), utc("2024-06-01"))[0]
    long = build_calendar(spec, EURUSD, utc("2024-01-01"), utc("2025-06-01"))[0]

    n = int(short.n_days)
    assert short.fx_days[:n].tobytes() == long.fx_days[:n].tobytes()
    for slot in range(2):
        n = int(short.n_bounds[slot])
        assert short.session_bounds[slot, :n].tobytes() == long.session_bounds[slot, :n].tobytes()


def test_the_clock_walks_a_year_of_real_rows_as_the_public_functions_say():
    calendar = year_2024(CalendarSpec(("london", "new_york", "kill_zone_asia")))
    cursor, clock = new_records(1, CURSOR)[0], new_records(1, CLOCK)[0]
    seek(calendar, cursor, clock, utc("2024-01-02"))

    for open_ns in range(utc("2024-01-02"), utc("2024-12-30"), 25 * HOUR_NS):
        assert advance(calendar, cursor, clock, open_ns, open_ns + HOUR_NS) == Status.OK
        assert open_ns < clock.fx_day_end_ns
        for slot, name in enumerate(("london", "new_york", "kill_zone_asia")):
            shown = clock.sessions[slot]
            day = np.datetime64(int(shown.date), "D").astype(date)
            assert open_ns < shown.end_ns
            start_ns, end_ns = session_bounds(day, name)
            assert shown.start_ns == start_ns
            assert shown.end_ns <= end_ns


def test_building_three_years_takes_milliseconds():
    spec = CalendarSpec(("london", "new_york", "tokyo", "asia_for_london"), NewsSettings())
    times = []
    for _ in range(5):
        started = time.perf_counter()
        build_calendar(spec, EURUSD, utc("2021-01-01"), utc("2024-01-01"))
        times.append(time.perf_counter() - started)

    assert min(times) < 0.02
