"""Cut a period into folds: train on the past, leave a gap, test on what follows. One generator for all apps.

Laws: a test window starts after its train window by at least the embargo; test windows never overlap and, when the step
equals the test length, cover everything after the first train window; a fold looks only at bars before its own end.
Months, weeks and days start at FX-week starts (Sunday 17:00 New York), so that budgets change while the market is
closed; bars are counted over the union of all markets' bars.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal, NamedTuple

import numpy as np
import numpy.typing as npt
from pydantic import Field, ValidationInfo, field_validator

from tradesentry.backtest.metrics.fx_time import DAY_NS, WEEK_NS, fx_days
from tradesentry.backtest.studies.stage import Window
from tradesentry.core.domain.errors import ConfigError, DataError
from tradesentry.core.utils.config_model import FrozenModel

IntArray = npt.NDArray[np.int64]
Unit = Literal["months", "days", "bars"]
PATTERN: Final = re.compile(r"^\s*(\d+)\s*(m|w|d|b|months?|weeks?|days?|bars?)\s*$", re.IGNORECASE)
LEAST_LAST_TEST: Final = 0.5
"""Share of a test window that the data must still hold for a last, shorter fold."""


class Length(NamedTuple):
    """A length of time or of data."""

    n: int
    unit: Unit

    def __str__(self) -> str:
        return f"{self.n} {self.unit}"


def parse_length(text: str) -> Length:
    """Return the length of `12m`, `26w`, `90d` or `5000b`.

    Raises:
        ConfigError: The text is no length.
    """
    found = PATTERN.match(text)
    if found is None:
        raise ConfigError(f"{text!r} is no length. Write months, weeks, days or bars as 12m, 26w, 90d or 5000b.")
    n, unit = int(found[1]), found[2][0].lower()
    if unit == "w":
        return Length(7 * n, "days")
    units: dict[str, Unit] = {"m": "months", "d": "days", "b": "bars"}
    return Length(n, units[unit])


class FoldPlan(FrozenModel):
    """How a period is cut."""

    train: str = Field("12m", description="Length of a train window: 12m, 52w, 365d or 25000b.")
    test: str = Field("3m", description="Length of a test window.")
    step: str | None = Field(None, description="From one test window to the next; the test length when absent.")
    is_anchored: bool = Field(False, description="Train windows all begin with the data instead of rolling.")
    embargo: str = Field("5d", description="Gap between train and test: the longest time a position is held.")

    @field_validator("train", "test", "step", "embargo")
    @classmethod
    def _is_length(cls, value: str | None, info: ValidationInfo) -> str | None:
        if value is not None and parse_length(value).n == 0 and info.field_name != "embargo":
            raise ValueError(f"length {value!r} is zero")
        return value


@dataclass(frozen=True, slots=True)
class Fold:
    """One step of a walk-forward."""

    index: int
    train: Window
    """Up to the embargo before the test."""
    test: Window

    @property
    def span(self) -> tuple[int, int, int, int]:
        """Return start and end of train and test, ns UTC."""
        bounds = (self.train.start_ns, self.train.end_ns, self.test.start_ns, self.test.end_ns)
        return tuple(int(bound or 0) for bound in bounds)  # type: ignore[return-value]


def make_folds(plan: FoldPlan, series: Sequence[Any]) -> list[Fold]:
    """Return the folds of a period.

    Args:
        plan: Lengths.
        series: BAR array per traded market.

    Raises:
        ConfigError: Lengths that contradict each other.
        DataError: The data do not hold one train and half a test window.
    """
    train, test, step, embargo = _lengths(plan)
    opens = np.unique(np.concatenate([np.asarray(bars["open_ns"], np.int64) for bars in series]))
    end = max(int(bars["close_ns"][-1]) for bars in series)
    clock = _Bars(opens, end) if test.unit == "bars" else _Weeks(int(opens[0]), end)
    folds: list[Fold] = []
    while True:
        k = len(folds)
        start = clock.at(train, step, k)
        test_end = clock.at(train, step, k, test)
        if start >= end or clock.share(start, test_end) < LEAST_LAST_TEST:
            break
        train_start = int(opens[0]) if plan.is_anchored else clock.at(None, step, k)
        train_end = clock.before(start, embargo)
        if train_end <= train_start:
            raise ConfigError(f"An embargo of {embargo} leaves nothing of a train window of {train}. Shorten it.")
        folds.append(Fold(k, Window(train_start, train_end), Window(start, min(test_end, end))))
    if not folds:
        have = (end - int(opens[0])) / (30.4375 * DAY_NS)
        raise DataError(
            f"The data hold {len(opens):,} bars over {have:.1f} months: too little to train on {train} and test on "
            f"{test}. Use shorter windows (--train, --test) or a longer period.",
            code="too_short",
        )
    return folds


def _lengths(plan: FoldPlan) -> tuple[Length, Length, Length, Length]:
    train, test = parse_length(plan.train), parse_length(plan.test)
    step = parse_length(plan.step) if plan.step is not None else test
    embargo = parse_length(plan.embargo)
    is_bars = [length.unit == "bars" for length in (train, test, step)]
    if len(set(is_bars)) > 1:
        raise ConfigError(f"Train {train}, test {test} and step {step}: count all of them in bars, or none.")
    if embargo.unit == "months" or (embargo.unit == "bars") != is_bars[0]:
        raise ConfigError(f"An embargo of {embargo}: give it in {'bars' if is_bars[0] else 'days or weeks'}.")
    same = step.unit == test.unit
    if (same and step.n < test.n) or (not same and _days(step) < _days(test)):
        raise ConfigError(
            f"A step of {step} is shorter than a test window of {test}: the same bars would be tested twice. "
            "Use a step of at least the test length."
        )
    return train, test, step, embargo


def _days(length: Length) -> float:
    return length.n * (30.4375 if length.unit == "months" else 1.0)


class _Bars:
    """Boundaries counted in bars."""

    def __init__(self, opens: IntArray, end: int) -> None:
        self.opens, self.end = opens, end
        self.mean = (end - int(opens[0])) / len(opens)

    def at(self, train: Length | None, step: Length, k: int, test: Length | None = None) -> int:
        row = (train.n if train else 0) + k * step.n + (test.n if test else 0)
        if row < len(self.opens):
            return int(self.opens[row])
        # Beyond the data boundaries keep their distance, so that a last, shorter window is seen to be shorter.
        return self.end + int((row - len(self.opens)) * self.mean)

    def share(self, start: int, test_end: int) -> float:
        """Return the part of a test window that the data hold."""
        wanted = self.row_of(test_end) - self.row_of(start)
        return min(len(self.opens) - self.row_of(start), wanted) / wanted

    def row_of(self, ns: int) -> int:
        """Return the number of bars before an instant, those that the data lack counted in."""
        if ns < self.end:
            return int(np.searchsorted(self.opens, ns))
        return len(self.opens) + round((ns - self.end) / self.mean)

    def before(self, ns: int, embargo: Length) -> int:
        row = int(np.searchsorted(self.opens, ns)) - embargo.n
        return int(self.opens[max(row, 0)])


class _Weeks:
    """Boundaries of the calendar, moved to the next FX-week start."""

    def __init__(self, first: int, end: int) -> None:
        self.first, self.end = first, end
        horizon = max(end, first) + 4 * 366 * DAY_NS
        dates, ends = fx_days(first - WEEK_NS, horizon)
        # The FX day that ends on Monday begins the week at Sunday 17:00, 24 hours earlier on the same clock.
        self.starts = ends[(dates - 4) % 7 == 0] - DAY_NS

    def at(self, train: Length | None, step: Length, k: int, test: Length | None = None) -> int:
        ns = self.first
        lengths = [(train, 1), (step, k), (test, 1)]
        months = sum(length.n * times for length, times in lengths if length and length.unit == "months")
        days = sum(length.n * times for length, times in lengths if length and length.unit == "days")
        if months == 0 and days == 0:
            return ns
        ns = _add_months(ns, months) + days * DAY_NS
        return int(self.starts[np.searchsorted(self.starts, ns)])

    def share(self, start: int, test_end: int) -> float:
        """Return the part of a test window that the data hold."""
        return (min(test_end, self.end) - start) / (test_end - start)

    def before(self, ns: int, embargo: Length) -> int:
        return ns - embargo.n * DAY_NS


def _add_months(ns: int, months: int) -> int:
    """Return the same day of a later month, its last day where it is shorter."""
    moment = np.datetime64(ns, "ns")
    month = moment.astype("datetime64[M]")
    into = moment - month.astype("datetime64[ns]")
    target = month + months
    longest = (target + 1).astype("datetime64[ns]") - target.astype("datetime64[ns]") - np.timedelta64(1, "ns")
    return int((target.astype("datetime64[ns]") + min(into, longest)).astype(np.int64))
