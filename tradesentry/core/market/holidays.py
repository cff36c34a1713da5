"""Say on which dates a currency's home market is closed or closes early.

Rules, not a list of dates, so the table holds for past and future years alike: fixed dates with their substitute days,
weekdays of a month, and days counted from Easter. It covers Christmas, New Year and Good Friday for every currency,
the main bank holidays of the eight majors, and the early closes of 24 and 31 December. A user's file adds to it
(`load_holidays`). Separate from sessions, because a holiday is a fact of a currency and a session one of a clock.
"""

import csv
import datetime as dt
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from types import MappingProxyType
from typing import Final

import numpy as np

from tradesentry.core.domain.errors import ImportRefused, TradeSentryError
from tradesentry.core.market.sessions import NEW_YORK, day_number
from tradesentry.core.market.zones import DAY_SECONDS, SECOND_NS, IntArray, utc_from_local

Rule = Callable[[int], tuple[int, str] | None]
"""From a year to (day number, what to do when it falls on a weekend), None when the holiday does not exist yet."""

_KEEP, _SUNDAY, _WEEKEND = "keep", "sunday", "weekend"
_MOVED: Final = MappingProxyType({_KEEP: (), _SUNDAY: (6,), _WEEKEND: (5, 6)})
"""Weekdays from which a holiday moves to the next free weekday."""
_FRIDAY: Final = 4


def _day(year: int, month: int, day: int) -> int:
    return day_number(dt.date(year, month, day))


def easter_sunday(year: int) -> int:
    """Return Easter Sunday of the Gregorian calendar as days since 1970-01-01.

    Source: the anonymous Gregorian algorithm, as in Meeus (1991), "Astronomical Algorithms", ch. 8.
    """
    a, (b, c) = year % 19, divmod(year, 100)
    h = (19 * a + b - b // 4 - (b - (b + 8) // 25 + 1) // 3 + 15) % 30
    k = (32 + 2 * (b % 4) + 2 * (c // 4) - h - c % 4) % 7
    month, day = divmod(h + k - 7 * ((a + 11 * h + 22 * k) // 451) + 114, 31)
    return _day(year, month, day + 1)


def _fixed(month: int, day: int, weekend: str = _KEEP, *, since: int = 0, until: int = 9999) -> Rule:
    def rule(year: int) -> tuple[int, str] | None:
        return (_day(year, month, day), weekend) if since <= year <= until else None

    return rule


def _from_easter(days: int) -> Rule:
    return lambda year: (easter_sunday(year) + days, _KEEP)


def _nth(month: int, weekday: int, n: int, *, since: int = 0) -> Rule:
    """The n-th `weekday` (Monday = 0) of a month, counted from its end when n is -1."""

    def rule(year: int) -> tuple[int, str] | None:
        if year < since:
            return None
        first = _day(year + month // 12, month % 12 + 1, 1) - 7 if n < 0 else _day(year, month, 1)
        ahead = (weekday - (first + 3)) % 7
        return first + ahead + (7 * (n - 1) if n > 0 else 0), _KEEP

    return rule


def _before(month: int, day: int, weekday: int) -> Rule:
    """The last `weekday` before a date."""

    def rule(year: int) -> tuple[int, str]:
        end = _day(year, month, day) - 1
        return end - (end + 3 - weekday) % 7, _KEEP

    return rule


def _equinox(month: int, base: float) -> Rule:
    """Japan's equinox days; valid 1980 to 2099. Source: the formula of the National Astronomical Observatory."""

    def rule(year: int) -> tuple[int, str]:
        day = int(base + 0.242194 * (year - 1980)) - (year - 1980) // 4
        return _day(year, month, day), _SUNDAY

    return rule


_NEW_YEAR, _CHRISTMAS, _BOXING = _fixed(1, 1, _WEEKEND), _fixed(12, 25, _WEEKEND), _fixed(12, 26, _WEEKEND)
_GOOD_FRIDAY, _EASTER_MONDAY = _from_easter(-2), _from_easter(1)
_WORLD: Final = (_fixed(1, 1), _GOOD_FRIDAY, _fixed(12, 25))

BANK_HOLIDAYS: Final = MappingProxyType(
    {
        "USD": (
            _fixed(1, 1, _SUNDAY), _nth(1, 0, 3), _nth(2, 0, 3), _GOOD_FRIDAY, _nth(5, 0, -1),
            _fixed(6, 19, _SUNDAY, since=2021), _fixed(7, 4, _SUNDAY), _nth(9, 0, 1), _nth(11, 3, 4),
            _fixed(12, 25, _SUNDAY),
        ),
        "EUR": (_fixed(1, 1), _GOOD_FRIDAY, _EASTER_MONDAY, _fixed(5, 1), _fixed(12, 25), _fixed(12, 26)),
        "GBP": (
            _NEW_YEAR, _GOOD_FRIDAY, _EASTER_MONDAY, _nth(5, 0, 1), _nth(5, 0, -1), _nth(8, 0, -1), _CHRISTMAS, _BOXING,
        ),
        "JPY": (
            _fixed(1, 1), _fixed(1, 2), _fixed(1, 3), _nth(1, 0, 2), _fixed(2, 11, _SUNDAY),
            _fixed(2, 23, _SUNDAY, since=2020), _GOOD_FRIDAY, _equinox(3, 20.8431), _fixed(4, 29, _SUNDAY),
            _fixed(5, 3, _SUNDAY), _fixed(5, 4, _SUNDAY), _fixed(5, 5, _SUNDAY), _nth(7, 0, 3, since=2003),
            _fixed(8, 11, _SUNDAY, since=2016), _nth(9, 0, 3, since=2003), _equinox(9, 23.2488), _nth(10, 0, 2),
            _fixed(11, 3, _SUNDAY), _fixed(11, 23, _SUNDAY), _fixed(12, 23, _SUNDAY, until=2018), _fixed(12, 25),
            _fixed(12, 31),
        ),
        "CHF": (
            _fixed(1, 1), _fixed(1, 2), _GOOD_FRIDAY, _EASTER_MONDAY, _from_easter(39), _from_easter(50), _fixed(8, 1),
            _fixed(12, 25), _fixed(12, 26),
        ),
        "CAD": (
            _NEW_YEAR, _nth(2, 0, 3, since=2008), _GOOD_FRIDAY, _before(5, 25, 0), _fixed(7, 1, _WEEKEND),
            _nth(8, 0, 1), _nth(9, 0, 1), _fixed(9, 30, _WEEKEND, since=2021), _nth(10, 0, 2),
            _fixed(11, 11, _WEEKEND), _CHRISTMAS, _BOXING,
        ),
        "AUD": (
            _NEW_YEAR, _fixed(1, 26, _WEEKEND), _GOOD_FRIDAY, _EASTER_MONDAY, _fixed(4, 25), _nth(6, 0, 2), _CHRISTMAS,
            _BOXING,
        ),
        "NZD": (
            _NEW_YEAR, _fixed(1, 2, _WEEKEND), _fixed(2, 6, _WEEKEND), _GOOD_FRIDAY, _EASTER_MONDAY,
            _fixed(4, 25, _WEEKEND), _nth(6, 0, 1), _nth(10, 0, 4), _CHRISTMAS, _BOXING,
        ),
    }
)  # fmt: skip
"""Rules per currency. Good Friday and Christmas stand in every list, also where banks open: no price is made then."""

EARLY_CLOSES: Final = MappingProxyType(
    {
        "USD": (NEW_YORK, "13:00"),
        "EUR": ("Europe/Berlin", "14:00"),
        "GBP": ("Europe/London", "12:30"),
        "CHF": ("Europe/Zurich", "14:00"),
        "CAD": ("America/Toronto", "13:00"),
        "AUD": ("Australia/Sydney", "14:10"),
        "NZD": ("Pacific/Auckland", "12:45"),
    }
)
"""Zone and local time at which a currency's home market closes on 24 and 31 December; others 13:00 New York."""


@dataclass(frozen=True, slots=True)
class ExtraHolidays:
    """Holidays that a user adds to the table."""

    closed: tuple[tuple[str, int], ...] = ()
    """(currency, day number since 1970-01-01)."""
    early: tuple[tuple[str, int, int], ...] = ()
    """(currency, day number, close in ns UTC)."""


_DEFAULT_CLOSE: Final = (NEW_YORK, "13:00")
OTHER_CURRENCIES: Final = frozenset(
    ("SEK", "NOK", "DKK", "PLN", "HUF", "CZK", "TRY", "ZAR", "MXN", "SGD", "HKD", "CNH", "CNY", "ILS", "THB", "INR")
)
"""Currencies that have only Christmas, New Year and Good Friday in the table."""


@lru_cache(maxsize=4096)
def holidays_of_year(currency: str, year: int) -> frozenset[int]:
    """Return the holidays of one currency in one year as days since 1970-01-01, substitute days included."""
    found: set[int] = set()
    for rule in BANK_HOLIDAYS.get(currency, _WORLD):
        row = rule(year)
        if row is None:
            continue
        day, weekend = row
        is_taken = weekend != _KEEP and day in found
        found.add(day)
        if is_taken or _weekday(day) in _MOVED[weekend]:
            while day in found or _weekday(day) > _FRIDAY:
                day += 1
            found.add(day)
    return frozenset(found)


def _weekday(day: int) -> int:
    return (day + 3) % 7


def is_currency(code: str) -> bool:
    """Say whether `code` has a home market with holidays; metals, indices and coins have none."""
    return code in BANK_HOLIDAYS or code in OTHER_CURRENCIES


def closed_days(
    currencies: tuple[str, ...], from_year: int, to_year: int, *, extra: ExtraHolidays | None = None
) -> IntArray:
    """Return the dates on which the home market of any of the currencies is closed, sorted.

    Args:
        currencies: Base and quote; codes that are no currency have no holidays of their own.
        from_year: First year.
        to_year: Last year, inclusive.
        extra: Holidays that the user added.

    Returns:
        Days since 1970-01-01.
    """
    days = {
        day
        for code in currencies
        if is_currency(code)
        for year in range(from_year, to_year + 1)
        for day in holidays_of_year(code, year)
    }
    days |= {day for code, day in (extra.closed if extra else ()) if code in currencies}
    return np.array(sorted(days), dtype=np.int64)


@lru_cache(maxsize=256)
def _early_closes_of(currency: str, from_year: int, to_year: int) -> tuple[tuple[int, int], ...]:
    zone, time = EARLY_CLOSES.get(currency, _DEFAULT_CLOSE)
    days = [_day(year, 12, d) for year in range(from_year, to_year + 1) for d in (24, 31)]
    close_ns = utc_from_local(zone, np.array(days) * DAY_SECONDS + _clock_seconds(time)) * SECOND_NS
    return tuple(zip(days, close_ns.tolist(), strict=True))


def early_closes(
    currencies: tuple[str, ...], from_year: int, to_year: int, *, extra: ExtraHolidays | None = None
) -> dict[int, int]:
    """Return the dates on which a home market closes early, with the earliest close of any of the currencies.

    Args:
        currencies: Base and quote.
        from_year: First year.
        to_year: Last year, inclusive.
        extra: Early closes that the user added.

    Returns:
        Day since 1970-01-01 to close, ns UTC.
    """
    rows = [row for code in currencies if is_currency(code) for row in _early_closes_of(code, from_year, to_year)]
    rows += [(day, close_ns) for code, day, close_ns in (extra.early if extra else ()) if code in currencies]
    closes: dict[int, int] = {}
    for day, close_ns in rows:
        closes[day] = min(close_ns, closes.get(day, close_ns))
    return closes


def _clock_seconds(text: str) -> int:
    parts = text.split(":")
    if len(parts) != 2 or not all(part.isdigit() for part in parts) or int(parts[0]) > 23 or int(parts[1]) > 59:
        raise ValueError(f"{text!r} is not a time of day")
    return int(parts[0]) * 3600 + int(parts[1]) * 60


def load_holidays(path: Path) -> ExtraHolidays:
    """Read a user's holiday file, a CSV with the columns date, currency and optionally close, zone, name.

    A row without `close` is a full holiday; with `close` (HH:MM in `zone`, New York when empty) an early close.

    Raises:
        ImportRefused: A row that cannot be read, named by its line.
    """
    closed: list[tuple[str, int]] = []
    early: list[tuple[str, int, int]] = []
    with path.open(newline="", encoding="utf-8-sig") as file:
        reader = csv.DictReader(file)
        for row in reader:
            try:
                currency, day = (
                    row["currency"].strip().upper(),
                    day_number(dt.date.fromisoformat(row["date"].strip())),
                )
                if not (currency.isalpha() and len(currency) == 3):
                    raise ValueError(f"{currency!r} is not a currency code")
                close = (row.get("close") or "").strip()
                if close:
                    zone = (row.get("zone") or "").strip() or NEW_YORK
                    local = day * DAY_SECONDS + _clock_seconds(close)
                    early.append((currency, day, int(utc_from_local(zone, local)) * SECOND_NS))
                else:
                    closed.append((currency, day))
            except (KeyError, ValueError, AttributeError, TradeSentryError) as error:
                raise ImportRefused(
                    f"{path} line {reader.line_num} is not a holiday: {error}. Write date (YYYY-MM-DD), currency, and "
                    "for an early close the time HH:MM and its zone."
                ) from error
    return ExtraHolidays(tuple(closed), tuple(early))
