"""Run one component over bars: the one way in for tests, charts and the scanner.

`run` takes a whole series, `stream` takes bar after bar; both drive the same compiled loop over the same kernels that a
strategy's `step` calls, so a chart shows what the strategy saw. The loop on one bar: move the clock of the calendar,
judge the bar (`hygiene`), step the component, keep its events and its row. It is compiled once for all components.
"""

from collections.abc import Mapping
from functools import cache
from typing import Any, Final, Literal

import numpy as np
import polars as pl
from pydantic import ValidationError

from tradesentry.core.domain.calendar_records import CALENDAR, CLOCK, CURSOR
from tradesentry.core.domain.errors import CapacityError, ConfigError, DataError, UsageError, nearest
from tradesentry.core.domain.orders import Status
from tradesentry.core.market import clock as market_clock
from tradesentry.core.strategy.config import ParamsModel, params_record
from tradesentry.core.strategy.indicators import events as ev
from tradesentry.core.strategy.indicators import hygiene, tables
from tradesentry.core.strategy.indicators.rigs import N_INPUTS, N_RUN_EVENTS, RIGS, ROW, RUN_EVENTS, Rig
from tradesentry.core.utils.kernel import (
    OPAQUE,
    address_of,
    function_pointer,
    kernel,
    load_records,
    new_records,
    record_at,
    record_type,
    save_records,
)

Output = Literal["default", "events", "series"]

FEED: Final = np.dtype(
    [
        ("tick", "f8"),
        ("needs_days", "b1"),  # a bar outside the FX-day table ends the run
        ("has_clock", "b1"),
        ("is_sought", "b1"),  # the cursor has found its rows
        ("next_bar", "i8"),
        ("n_events", "i8"),  # written to the output
        ("n_rows", "i8"),
        ("hygiene_params", hygiene.PARAMS),
        ("hygiene", hygiene.STATE),
        ("cursor", CURSOR),
        ("clock", CLOCK),
        ("events", RUN_EVENTS),
        ("row", ROW),
    ],
    align=True,
)
"""Everything of a run but the component itself."""

_OK: Final = int(Status.OK)
_GROW_EVENTS: Final = int(Status.GROW_TRADES)
_GROW_ROWS: Final = int(Status.GROW_EQUITY)
_NO_CALENDAR: Final = int(Status.NO_CALENDAR)
_opaque_at = record_at(OPAQUE)
_NO_INPUTS: Final = np.empty((0, N_INPUTS))


@kernel
def _tell_time(feed: Any, bar: Any, calendar: Any) -> int:
    """Move the clock to a bar; a refused bar must not move it, its times may be nonsense."""
    if not (feed.has_clock and hygiene.is_usable(feed.hygiene, bar)):
        return _OK
    if not feed.is_sought:
        market_clock.seek(calendar, feed.cursor, feed.clock, bar.open_ns)
        feed.is_sought = True
    status = market_clock.advance(calendar, feed.cursor, feed.clock, bar.open_ns, bar.close_ns)
    return status if feed.needs_days else _OK


@kernel
def _drive(
    step: Any, params_at: int, state_at: int, feed: Any, bars: Any, inputs: Any, calendars: Any, event_rows: Any,
    series_rows: Any,
) -> int:  # fmt: skip
    """Step the component over the bars that are left; return at the end or with what stopped it."""
    params = _opaque_at(params_at, 0)
    state = _opaque_at(state_at, 0)
    calendar = calendars[0]
    for i in range(feed.next_bar, len(bars)):
        if feed.n_events + len(feed.events.items) > len(event_rows):
            return _GROW_EVENTS
        if feed.n_rows == len(series_rows):
            return _GROW_ROWS
        bar = bars[i]
        status = _tell_time(feed, bar, calendar)
        if status != _OK:
            return status
        feed.row.is_set = False
        for k in range(N_INPUTS):
            feed.row.inputs[k] = inputs[i, k] if i < len(inputs) else np.nan
        if hygiene.check(feed.hygiene_params, feed.hygiene, bar, feed.clock, feed.tick, feed.events):
            status = step(params, state, feed.hygiene, feed.clock, feed.events, feed.row)
            if status != _OK:
                return status
        for k in range(feed.events.n):
            event_rows[feed.n_events + k] = feed.events.items[k]
        feed.n_events += feed.events.n
        if feed.row.is_set:
            feed.row.index = feed.hygiene.n_bars - 1
            feed.row.open_ns = bar.open_ns
            feed.row.known_at_ns = bar.close_ns
            series_rows[feed.n_rows] = feed.row
            feed.n_rows += 1
        feed.next_bar = i + 1
    return _OK


@cache
def _no_calendar() -> Any:
    """Return an empty calendar, which loops without a clock are given and do not read."""
    return new_records(1, CALENDAR)


@cache
def _compiled(name: str, capacity: int) -> Any:
    """Return the step of a component as a first-class function."""
    rig = RIGS[name]
    code = record_type(np.dtype("i8"))
    shared = [record_type(d) for d in (hygiene.STATE, CLOCK, RUN_EVENTS, ROW)]
    exact = code(record_type(rig.params_dtype), record_type(rig.state(capacity)), *shared)
    general = code(record_type(OPAQUE), record_type(OPAQUE), *shared)
    return function_pointer(rig.step, exact=exact, general=general)


def _find(component: str) -> Rig:
    if component not in RIGS:
        raise UsageError(f"There is no component {component!r}. {nearest(component, RIGS)}", code="unknown_component")
    return RIGS[component]


def _read_params(component: str, params: Any) -> Any:
    """Return the parameters of a component as its model."""
    model = _find(component).params
    if isinstance(params, model):
        return params
    if params is not None and not isinstance(params, Mapping):
        raise ConfigError(
            f"Parameters of {component!r} are {type(params).__name__}, not {model.__name__} or a mapping. "
            f"Pass {model.__name__}(...) or a dict with its fields."
        )
    try:
        return model(**(params or {}))
    except ValidationError as error:
        raise ConfigError(f"Parameters of {component!r} cannot be used: {_explain(model, error)}") from error


def _explain(model: type[ParamsModel], error: ValidationError) -> str:
    """Return what is wrong in one sentence per field, with the nearest known name for an unknown one."""
    sentences = []
    for problem in error.errors():
        where = ".".join(str(part) for part in problem["loc"])
        if problem["type"] == "extra_forbidden":
            owner: Any = model
            for part in problem["loc"][:-1]:
                owner = owner.model_fields[str(part)].annotation
            known = [".".join([*map(str, problem["loc"][:-1]), name]) for name in owner.model_fields]
            sentences.append(f"{where!r} is unknown. {nearest(where, known)}")
        else:
            sentences.append(f"{where!r} is {problem['input']!r}: {problem['msg']}.")
    return " ".join(sentences)


class Stream:
    """One component fed bar by bar; made by `stream`.

    Its whole memory is records: `save` returns bytes, `restore` continues from them with the identical next event.
    """

    def __init__(
        self, component: str, params: Any, *, calendar: Any, tick: float, capacity: int, output: Output
    ) -> None:
        self.component = component
        self.params = _read_params(component, params)
        self._rig = _find(component)
        self._is_series = output == "series" or (output == "default" and self._rig.columns is not None)
        if self._is_series and self._rig.columns is None:
            raise UsageError(f"Component {component!r} has no series, it emits events. Ask for `output='events'`.")
        if not (0 <= tick < np.inf):
            raise UsageError(f"The tick is {tick}. Pass the smallest price step, or 0 to take prices as they are.")
        if capacity < 1:
            raise UsageError(f"The capacity is {capacity} live objects a side. Pass at least 1; strategies use 64.")
        self._step = _compiled(component, capacity)
        self._params_record = params_record(self.params, self._rig.params_dtype)
        # What the parameters point to lives as long as the stream.
        self._kept = self._rig.fill(self.params, self._params_record[0], tick)
        self._state = new_records(1, self._rig.state(capacity))
        self._feed = new_records(1, FEED)
        self._calendars = self._read_calendar(calendar)
        self._feed[0].tick = tick
        self._feed[0].hygiene_params = params_record(hygiene.HygieneParams())[0]
        self._events = new_records(2 * N_RUN_EVENTS, ev.EVENT)
        self._rows = new_records(2, ROW)

    def _read_calendar(self, calendar: Any) -> Any:
        """Return the calendar as an array of one record, with explicit windows in its first session slot."""
        windows = getattr(self.params, "windows", ())
        is_needed = self._rig.needs_days(self.params) or (not windows and self._rig.needs_calendar(self.params))
        if calendar is None and is_needed:
            raise UsageError(
                f"Component {self.component!r} with these parameters needs FX days or sessions, and got no calendar. "
                "Pass `calendar=` from `core.market.calendar.build_calendar`.",
                code="calendar_missing",
            )
        feed = self._feed[0]
        feed.has_clock = calendar is not None or bool(windows)
        feed.needs_days = calendar is not None
        if calendar is None and not windows:
            return _no_calendar()
        given = new_records(1, CALENDAR) if calendar is None else np.atleast_1d(calendar).view(np.recarray)
        if windows:
            given = given.copy()
            tables.put_windows(given[0], windows)
        return given

    def feed(self, bars: np.recarray[Any, Any], inputs: np.ndarray[Any, Any] | None = None) -> None:
        """Take closed bars in time order; what they cause is added to the output.

        Args:
            bars: BAR array.
            inputs: What the component takes beside them, from `tables.as_inputs`; None for nothing.

        Raises:
            DataError: A bar lies outside the calendar.
            CapacityError: One bar caused more events than the buffer holds.
        """
        feed = self._feed[0]
        feed.next_bar = 0
        given = _NO_INPUTS if inputs is None else inputs
        while True:
            status = _drive(
                self._step, address_of(self._params_record), address_of(self._state), feed, bars, given,
                self._calendars, self._events, self._rows,
            )  # fmt: skip
            if status == _GROW_EVENTS:
                self._events = _twice(self._events)
            elif status == _GROW_ROWS:
                self._rows = _twice(self._rows)
            elif status == _OK:
                return
            else:
                self._refuse(status, bars[feed.next_bar])

    def _refuse(self, status: int, bar: Any) -> None:
        row = int(self._feed[0].hygiene.n_bars)
        if status == _NO_CALENDAR:
            raise DataError(
                f"Bar {row} opens at {int(bar.open_ns)} ns UTC, outside the FX days of the calendar. "
                "Build the calendar for the whole period of the bars.",
                code="no_calendar",
            )
        raise CapacityError(
            f"Component {self.component!r} stopped at bar {row - 1} (close {int(bar.close_ns)} ns UTC) with "
            f"{Status(status).name}: one bar caused more than {N_RUN_EVENTS} events. Raise `rigs.N_RUN_EVENTS`."
        )

    def take(self) -> pl.DataFrame:
        """Return what was emitted since the last call."""
        events, rows = self._emitted()
        return tables.series_frame(rows, self._rig.columns or {}) if self._is_series else tables.events_frame(events)

    def _emitted(self) -> tuple[Any, Any]:
        """Return the events and rows of the output, which starts anew."""
        feed = self._feed[0]
        emitted = self._events[: feed.n_events], self._rows[: feed.n_rows]
        feed.n_events = 0
        feed.n_rows = 0
        return emitted

    def push(self, bar: Any) -> list[dict[str, Any]]:
        """Take one closed bar and return the rows that it caused, often none.

        Args:
            bar: BAR record, or a mapping with its fields and, where the component takes some, further inputs.
        """
        self.feed(tables.as_bar(bar), tables.as_inputs(bar, self._rig.inputs))
        events, rows = self._emitted()
        return tables.series_rows(rows, self._rig.columns or {}) if self._is_series else tables.event_rows(events)

    def state_bytes(self) -> bytes:
        """Return the memory of component and bar check, without the cursor, which is found again."""
        return _memory(self._feed, "hygiene").tobytes() + self._state.tobytes()

    def save(self) -> dict[str, Any]:
        """Return a snapshot for `restore`."""
        return {"hygiene": save_records(self._feed["hygiene"]), "state": save_records(self._state)}

    def restore(self, snapshot: dict[str, Any]) -> None:
        """Continue from a snapshot of the same component with the same parameters.

        Raises:
            StateMismatch: The snapshot has another layout.
        """
        # Checked by layout, then copied byte by byte: a copy by fields would leave the padding undefined.
        load_records(snapshot["hygiene"], hygiene.STATE)
        load_records(snapshot["state"], self._state.dtype)
        _memory(self._feed, "hygiene")[:] = np.frombuffer(snapshot["hygiene"]["data"], np.uint8)
        self._state.view(np.ndarray).view(np.uint8)[:] = np.frombuffer(snapshot["state"]["data"], np.uint8)
        self._feed[0].is_sought = False


def _memory(records: np.recarray[Any, Any], field: str) -> np.ndarray[Any, Any]:
    """Return the bytes of a field of one record."""
    dtype, start = (records.dtype.fields or {})[field][:2]
    return records.view(np.ndarray).view(np.uint8)[start : start + dtype.itemsize]


def _twice(records: np.recarray[Any, Any]) -> np.recarray[Any, Any]:
    grown = new_records(2 * len(records), records.dtype)
    grown[: len(records)] = records
    return grown


def stream(
    component: str, params: Any = None, *, calendar: Any = None, tick: float = 0.0, capacity: int = 64,
    output: Output = "default",
) -> Stream:  # fmt: skip
    """Return `component` ready to take bars one by one with `.push(bar)`.

    Args:
        component: Name, see `RIGS`.
        params: The component's `...Params` model, a mapping of its fields, or None for the defaults.
        calendar: CALENDAR record, for components that need FX days or sessions.
        tick: Smallest price step; prices are rounded to it. 0 takes them as they are.
        capacity: Live objects a side, for research on long lists; strategies always use 64.
        output: "default" gives the series of a component that has one, else its events; or say which.

    Raises:
        UsageError: An unknown component, or a calendar that is needed and missing.
        ConfigError: An unknown or impossible parameter; the nearest name is suggested.
    """
    return Stream(component, params, calendar=calendar, tick=tick, capacity=capacity, output=output)


def run(
    component: str, params: Any, bars: Any, *, calendar: Any = None, tick: float = 0.0, capacity: int = 64,
    output: Output = "default",
) -> pl.DataFrame:  # fmt: skip
    """Return what `component` says about `bars`: one row per event, or per bar with a value.

    Args:
        component: Name, see `RIGS`.
        params: As in `stream`.
        bars: BAR array, or a frame with open_ns, close_ns, open, high, low, close and optionally volume, spread and
            what the component takes beside them (`exposure` and `atr` of `midpoint`).
        calendar: As in `stream`.
        tick: As in `stream`.
        capacity: As in `stream`.
        output: As in `stream`.

    Returns:
        Columns of an event (`events.EVENT`) or `index, open_ns, known_at_ns` and the component's values.

    Raises:
        UsageError: As in `stream`.
        ConfigError: As in `stream`.
        DataError: A missing column, or a bar outside the calendar.
        CapacityError: One bar caused more events than the buffer holds.
    """
    running = stream(component, params, calendar=calendar, tick=tick, capacity=capacity, output=output)
    running.feed(tables.as_bars(bars), tables.as_inputs(bars, RIGS[component].inputs))
    return running.take()
