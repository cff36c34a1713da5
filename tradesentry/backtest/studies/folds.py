"""Cut a period into folds: train on the past, leave a gap, test on what follows. One generator for all apps.

A fold may hold a validation slice between the two, for apps that fit a model: train, gap, validation, gap, test.

Laws: a test window starts after its train window by at least the embargo, and a validation slice lies between them with
an embargo on either side; test windows never overlap and, when the step equals the test length, cover everything after
the first fold's past; a fold looks only at bars before its own end; what follows an earlier test window by less than
`skip` is no part of a later fold's pieces to learn from. Months, weeks and days start at FX-week starts (Sunday 17:00
New York), so that budgets change while the market is closed; bars are counted over the union of all markets' bars.
"""

import contextlib
import math
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
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
    validation: str | None = Field(None, description="Length of a slice between train and test, for apps that fit.")
    skip: str | None = Field(None, description="Bars to learn nothing from after an earlier test window.")
    latest: int | None = Field(
        None, ge=1, description="Keep only that many folds, the latest ones; short data shorten their train windows."
    )

    @field_validator("train", "test", "step", "embargo", "validation", "skip")
    @classmethod
    def _is_length(cls, value: str | None, info: ValidationInfo) -> str | None:
        if value is not None and parse_length(value).n == 0 and info.field_name not in ("embargo", "skip"):
            raise ValueError(f"length {value!r} is zero")
        return value


@dataclass(frozen=True, slots=True)
class Fold:
    """One step of a walk-forward."""

    index: int
    train: Window
    """Up to the embargo before what follows."""
    test: Window
    validation: Window | None = None
    """Slice on which a fit is judged, up to the embargo before the test; None where nothing is fitted."""
    skipped: tuple[Window, ...] = ()
    """Parts of the train window that follow an earlier test window too closely to learn from."""

    @property
    def span(self) -> tuple[int, int, int, int]:
        """Return start and end of train and test, ns UTC."""
        bounds = (self.train.start_ns, self.train.end_ns, self.test.start_ns, self.test.end_ns)
        return tuple(int(bound or 0) for bound in bounds)  # type: ignore[return-value]

    @property
    def pieces(self) -> tuple[Window, ...]:
        """Return what a fit may learn from: the train window without what is skipped, in order of time."""
        start, end = self.train.bounds
        found = []
        for hole in self.skipped:
            begin, until = hole.bounds
            if start < begin:
                found.append(Window(start, begin))
            start = until
        return (*found, Window(start, end)) if start < end else tuple(found)


def purge_bars(*, gamma: float, gae_lambda: float, max_hold_bars: int, label_bars: int = 0) -> int:
    """Return the gap between slices of a fold after which neither credit nor a position reaches across, bars.

    A reward k bars ahead counts with (gamma * gae_lambda)^k in an advantage; beyond the bar at which that falls below
    1 % it is taken as nothing.

    Args:
        gamma: Discount per bar, in (0, 1).
        gae_lambda: Decay of advantages, in [0, 1]; 1 where the algorithm has none.
        max_hold_bars: Longest time that a position is held; 0 where the rule is off.
        label_bars: Bars ahead that a label looks.

    Source: López de Prado (2018), "Advances in Financial Machine Learning", ch. 7, with credit for a label's horizon.
    """
    decay = gamma * gae_lambda
    credit = math.ceil(math.log(0.01) / math.log(decay)) if 0.0 < decay < 1.0 else 0
    return max(credit, max_hold_bars, label_bars)


def make_folds(plan: FoldPlan, series: Sequence[Any]) -> list[Fold]:
    """Return the folds of a period.

    Args:
        plan: Lengths. Where it asks for a number of folds that the data are too short for, train windows are shortened
            until there are as many.
        series: BAR array per traded market.

    Raises:
        ConfigError: Lengths that contradict each other.
        DataError: The data do not hold one train and half a test window.
    """
    shorter: FoldPlan | None = plan
    while plan.latest is not None and shorter is not None:
        with contextlib.suppress(DataError, ConfigError):
            found = _folds(shorter, series)
            if len(found) == plan.latest:
                return found
        shorter = _shorter(shorter)
    return _folds(plan, series)


def _shorter(plan: FoldPlan) -> FoldPlan | None:
    """Return the plan with a train window one month, one week or a twentieth shorter; None where none is left."""
    length = parse_length(plan.train)
    less = {"months": 1, "days": 7, "bars": max(1, length.n // 20)}[length.unit]
    if length.n <= less:
        return None
    return plan.model_copy(update={"train": f"{length.n - less}{length.unit[0]}"})


def _folds(plan: FoldPlan, series: Sequence[Any]) -> list[Fold]:
    train, test, step, embargo = _lengths(plan)
    validation = None if plan.validation is None else parse_length(plan.validation)
    opens = np.unique(np.concatenate([np.asarray(bars["open_ns"], np.int64) for bars in series]))
    end = max(int(bars["close_ns"][-1]) for bars in series)
    clock = _Bars(opens, end) if test.unit == "bars" else _Weeks(opens, end)
    past = [(train, 1), *([] if validation is None else [(validation, 1)])]
    folds: list[Fold] = []
    while True:
        k = len(folds)
        start = clock.at(*past, (step, k))
        test_end = clock.at(*past, (step, k), (test, 1))
        if start >= end or clock.share(start, test_end) < LEAST_LAST_TEST:
            break
        train_start = int(opens[0]) if plan.is_anchored else clock.at((step, k))
        part = None
        train_end = clock.before(start, embargo)
        if validation is not None:
            judged_from = clock.at((train, 1), (step, k))
            part = Window(judged_from, train_end)
            train_end = clock.before(judged_from, embargo)
            if part.bounds[0] >= part.bounds[1]:
                raise ConfigError(
                    f"An embargo of {embargo} leaves nothing of a validation of {validation}. Shorten it."
                )
        if train_end <= train_start:
            raise ConfigError(f"An embargo of {embargo} leaves nothing of a train window of {train}. Shorten it.")
        folds.append(Fold(k, Window(train_start, train_end), Window(start, min(test_end, end)), part))
    if not folds:
        have = (end - int(opens[0])) / (30.4375 * DAY_NS)
        also = "" if validation is None else f", validate on {validation}"
        raise DataError(
            f"The data hold {len(opens):,} bars over {have:.1f} months: too little to train on {train}{also} and test "
            f"on {test}. Use shorter windows (--train, --test) or a longer period.",
            code="too_short",
        )
    kept = folds[-plan.latest :] if plan.latest is not None else folds
    return [replace(fold, index=i, skipped=_skipped(plan, clock, fold.train, kept[:i])) for i, fold in enumerate(kept)]


def _skipped(plan: FoldPlan, clock: "_Bars | _Weeks", train: Window, before: Sequence[Fold]) -> tuple[Window, ...]:
    """Return what of a train window follows the test windows of earlier folds too closely."""
    if plan.skip is None:
        return ()
    length = parse_length(plan.skip)
    start, end = train.bounds
    found = []
    for fold in before:
        begin = fold.test.bounds[1]
        until = clock.after(begin, length)
        if begin < end and until > start:
            found.append(Window(max(begin, start), min(until, end)))
    return tuple(found)


def _lengths(plan: FoldPlan) -> tuple[Length, Length, Length, Length]:
    train, test = parse_length(plan.train), parse_length(plan.test)
    step = parse_length(plan.step) if plan.step is not None else test
    embargo = parse_length(plan.embargo)
    slices = {"Train": train, "test": test, "step": step}
    if plan.validation is not None:
        slices["validation"] = parse_length(plan.validation)
    is_bars = [length.unit == "bars" for length in slices.values()]
    if len(set(is_bars)) > 1:
        named = " and ".join(", ".join(f"{name} {n}" for name, n in slices.items()).rsplit(", ", 1))
        raise ConfigError(f"{named}: count all of them in bars, or none.")
    gaps = [embargo] if plan.skip is None else [embargo, parse_length(plan.skip)]
    for gap in gaps:
        if gap.unit == "months" or (is_bars[0] and gap.unit != "bars"):
            raise ConfigError(f"An embargo of {gap}: give it in {'bars' if is_bars[0] else 'bars, days or weeks'}.")
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

    def at(self, *lengths: tuple[Length, int]) -> int:
        """Return the instant after so many times each length."""
        row = sum(length.n * times for length, times in lengths)
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

    def before(self, ns: int, gap: Length) -> int:
        """Return the instant a gap earlier."""
        row = int(np.searchsorted(self.opens, ns)) - gap.n
        return int(self.opens[max(row, 0)])

    def after(self, ns: int, gap: Length) -> int:
        """Return the instant a gap later."""
        row = int(np.searchsorted(self.opens, ns)) + gap.n
        return int(self.opens[row]) if row < len(self.opens) else self.end


class _Weeks:
    """Boundaries of the calendar, moved to the next FX-week start; gaps in days, or in bars of the data."""

    def __init__(self, opens: IntArray, end: int) -> None:
        self.first, self.end = int(opens[0]), end
        self.bars = _Bars(opens, end)
        horizon = max(end, self.first) + 4 * 366 * DAY_NS
        dates, ends = fx_days(self.first - WEEK_NS, horizon)
        # The FX day that ends on Monday begins the week at Sunday 17:00, 24 hours earlier on the same clock.
        self.starts = ends[(dates - 4) % 7 == 0] - DAY_NS

    def at(self, *lengths: tuple[Length, int]) -> int:
        """Return the week start after so many times each length."""
        months = sum(length.n * times for length, times in lengths if length.unit == "months")
        days = sum(length.n * times for length, times in lengths if length.unit == "days")
        if months == 0 and days == 0:
            return self.first
        ns = _add_months(self.first, months) + days * DAY_NS
        return int(self.starts[np.searchsorted(self.starts, ns)])

    def share(self, start: int, test_end: int) -> float:
        """Return the part of a test window that the data hold."""
        return (min(test_end, self.end) - start) / (test_end - start)

    def before(self, ns: int, gap: Length) -> int:
        """Return the instant a gap earlier."""
        return self.bars.before(ns, gap) if gap.unit == "bars" else ns - gap.n * DAY_NS

    def after(self, ns: int, gap: Length) -> int:
        """Return the instant a gap later."""
        return self.bars.after(ns, gap) if gap.unit == "bars" else ns + gap.n * DAY_NS


def _add_months(ns: int, months: int) -> int:
    """Return the same day of a later month, its last day where it is shorter."""
    moment = np.datetime64(ns, "ns")
    month = moment.astype("datetime64[M]")
    into = moment - month.astype("datetime64[ns]")
    target = month + months
    longest = (target + 1).astype("datetime64[ns]") - target.astype("datetime64[ns]") - np.timedelta64(1, "ns")
    return int((target.astype("datetime64[ns]") + min(into, longest)).astype(np.int64))
