"""Bring closed bars to those who decide: all markets of one instant together, in order, each once.

Separate from brokers, because when a bar counts as closed is a question of the calendar and not of a venue. A replay
reads bars that are known and moves the clock with them; a polled feed asks a venue for them. Order of work of the
latter: wait for the next close that the session calendar expects → ask → ask again until all bars came or the grace is
over → hand out what came and name what did not. A bar that does not come is a gap: it is reported, never filled and
never handed out late. Quotes stay with the broker.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Protocol, TypeAlias

import numpy as np

from tradesentry.core.domain.clock import NS_PER_SECOND, Clock
from tradesentry.core.domain.errors import BrokerError, DataError
from tradesentry.core.market.bars import DAY_NS, BarArray, timeframe_ns
from tradesentry.core.market.resample import bucket_edges
from tradesentry.core.market.sessions import fx_day
from tradesentry.core.utils.logger import get_logger

_log = get_logger(__name__)

GRACE_SECONDS: Final = 2.0
"""How long after its close a bar is awaited."""
POLL_SECONDS: Final = 0.25
MAX_PAUSE_SECONDS: Final = 30.0
PAGE_BARS: Final = 2_000
"""Most bars of one market that a catch-up asks for at once."""
_LOOK_AHEAD_NS: Final = 8 * DAY_NS
_FOREVER_NS: Final = (1 << 63) - 1
_CLOSED_DATES: Final = (("12", "25"), ("01", "01"))
"""Dates on which the whole FX market rests; a bar that comes is taken, none is missed."""


@dataclass(frozen=True, slots=True)
class Instant:
    """The bars that closed at one time."""

    close_ns: int
    bars: Mapping[str, Any]
    """BAR record by symbol."""
    missing: tuple[str, ...] = ()
    """Symbols whose bar was expected and did not come."""


class BarFeed(Protocol):
    """Closed bars of some markets."""

    def instants(self) -> AsyncIterator[Instant]:
        """Yield instants in the order of their time; ends when there will be no more."""


class MovableClock(Clock, Protocol):
    """A clock whose wall time a replay sets."""

    def move_to(self, now_ns: int) -> None:
        """Set the wall time, ns UTC."""


class ReplayClock:
    """The clock of a replay: wall time is that of the bars; waiting and deadlines are those of a real clock.

    Args:
        clock: The real clock.
        now_ns: Wall time before the first bar, ns UTC.
    """

    def __init__(self, clock: Clock, now_ns: int) -> None:
        self._clock, self._now_ns = clock, now_ns

    def now_ns(self) -> int:
        """Return the time of the replay, ns UTC."""
        return self._now_ns

    def monotonic(self) -> float:
        """Return seconds of the real clock."""
        return self._clock.monotonic()

    async def sleep(self, seconds: float) -> None:
        """Wait on the real clock."""
        await self._clock.sleep(seconds)

    def move_to(self, now_ns: int) -> None:
        """Set the time of the replay, ns UTC; never back."""
        self._now_ns = max(self._now_ns, now_ns)


class ReplayFeed:
    """Bars that are known already, handed out as fast as they are asked for or in time with a clock.

    Args:
        bars: BAR arrays by symbol, each sorted.
        clock: Set to the close of each instant before it is handed out.
        speed: 0: as fast as asked; else how many times faster than the bars' own time. A market that rests is not
            waited out: from one bar to the next it takes no longer than a bar.
        since_ns: Only bars that close after it.
    """

    def __init__(
        self, bars: Mapping[str, BarArray], clock: MovableClock, *, speed: float = 0.0, since_ns: int = 0
    ) -> None:
        for symbol, rows in bars.items():
            if len(rows) > 1 and not np.all(np.diff(rows["close_ns"]) > 0):
                raise DataError(f"The bars of {symbol} are not in order, so they cannot be replayed. Import them anew.")
        self._bars, self._clock, self._speed, self._since_ns = dict(bars), clock, speed, since_ns
        self._bar_ns = max(
            (int(rows["close_ns"][0] - rows["open_ns"][0]) for rows in bars.values() if len(rows)), default=0
        )

    @property
    def n_instants(self) -> int:
        """How many instants there are to come, for progress."""
        return len(self._closes())

    def start_after(self, close_ns: int) -> None:
        """Go on with the first bar that closes after `close_ns`."""
        self._since_ns = close_ns

    def known(self, until_ns: int) -> Iterator[Instant]:
        """Return the instants to come up to `until_ns`, without waiting and without moving on.

        Args:
            until_ns: Last close wanted, ns UTC.
        """
        rows = {s: int(np.searchsorted(b["close_ns"], self._since_ns, "right")) for s, b in self._bars.items()}
        closes = self._closes()
        for close in closes[closes <= until_ns]:
            close_ns = int(close)
            due: dict[str, Any] = {}
            for symbol, bars in self._bars.items():
                row = rows[symbol]
                if row < len(bars) and int(bars["close_ns"][row]) == close_ns:
                    due[symbol] = bars[row]
                    rows[symbol] = row + 1
            yield Instant(close_ns, due)

    async def instants(self) -> AsyncIterator[Instant]:
        """Yield the instants after the last one that was handed out."""
        for instant in self.known(_FOREVER_NS):
            await self._wait(instant.close_ns)
            self._clock.move_to(instant.close_ns)
            self._since_ns = instant.close_ns
            yield instant

    def _closes(self) -> np.ndarray[Any, np.dtype[np.int64]]:
        every = [bars["close_ns"] for bars in self._bars.values()]
        closes = np.unique(np.concatenate(every)) if every else np.zeros(0, np.int64)
        return closes[closes > self._since_ns]

    async def _wait(self, close_ns: int) -> None:
        """Wait as long as the speed asks for; let other tasks run in any case."""
        ahead_ns = min(close_ns - self._clock.now_ns(), self._bar_ns)
        seconds = ahead_ns / NS_PER_SECOND / self._speed if self._speed > 0 and ahead_ns > 0 else 0.0
        await self._clock.sleep(seconds)


Fetch: TypeAlias = Callable[[str, int, int], Awaitable[BarArray]]
"""(symbol, start_ns, end_ns): the complete bars that open in [start_ns, end_ns), oldest first."""


def is_market_open(open_ns: int, *, is_always_open: bool) -> bool:
    """Say whether a bar that opens at `open_ns` is to be expected: inside the FX week, and no day of rest.

    Args:
        open_ns: ns UTC.
        is_always_open: The symbol trades through weekends and holidays.
    """
    if is_always_open:
        return True
    start_ns, end_ns = fx_day(open_ns)
    _, month, day = str(np.datetime64((end_ns - 1) // NS_PER_SECOND, "s"))[:10].split("-")
    return start_ns <= open_ns and (month, day) not in _CLOSED_DATES


class PolledFeed:
    """Complete bars of a venue, asked for when they are due.

    Args:
        fetch: Asks the venue.
        symbols: Markets.
        timeframe: Length of a bar.
        clock: Time.
        since_ns: Bars that closed after it and before now are handed out first: the catch-up.
        always_open: Symbols that trade through weekends.
        grace_seconds: How long after its close a bar is awaited.
        poll_seconds: Pause between two questions for a bar that is due.
    """

    def __init__(
        self,
        fetch: Fetch,
        symbols: Sequence[str],
        timeframe: str,
        clock: Clock,
        *,
        since_ns: int,
        always_open: Iterable[str] = (),
        grace_seconds: float = GRACE_SECONDS,
        poll_seconds: float = POLL_SECONDS,
    ) -> None:
        self._fetch, self._symbols, self._timeframe, self._clock = fetch, tuple(symbols), timeframe, clock
        self._last_ns, self._step_ns = since_ns, timeframe_ns(timeframe)
        self._always_open = frozenset(always_open)
        self._grace_seconds, self._poll_seconds = grace_seconds, poll_seconds

    def start_after(self, close_ns: int) -> None:
        """Catch up from the first bar that closes after `close_ns`."""
        self._last_ns = close_ns

    async def past(self, start_ns: int, end_ns: int) -> list[Instant]:
        """Return the instants whose bars opened from `start_ns` on and closed by `end_ns`, and go on after them.

        Args:
            start_ns: ns UTC.
            end_ns: ns UTC.
        """
        self._last_ns = start_ns
        found = await self._answers(start_ns, end_ns)
        instants = list(self._instants_of(found, {}))
        self._last_ns = max([start_ns, *(instant.close_ns for instant in instants)])
        return instants

    async def instants(self) -> AsyncIterator[Instant]:
        """Yield instants for as long as the feed is listened to.

        Raises:
            BrokerError: The venue refuses for good, as with a token that is no longer valid.
        """
        while True:
            edges = self._edges()
            first_close_ns = min(edges)
            await self._until(first_close_ns)
            due = [close for close in edges if close <= self._clock.now_ns()][:PAGE_BARS]
            found = await self._bars_until(due[-1], expected=edges[due[-1]])
            for instant in self._instants_of(found, {close: edges[close] for close in due}):
                self._last_ns = instant.close_ns
                yield instant
            self._last_ns = due[-1]

    def _edges(self) -> dict[int, tuple[str, ...]]:
        """Return the closes after the last one, in order, with the symbols whose bar is expected there."""
        page_ns = max(_LOOK_AHEAD_NS, PAGE_BARS * self._step_ns)
        until_ns = min(max(self._clock.now_ns(), self._last_ns + _LOOK_AHEAD_NS), self._last_ns + page_ns)
        edges: dict[int, list[str]] = {}
        for is_always_open in (False, True):
            group = [symbol for symbol in self._symbols if (symbol in self._always_open) is is_always_open]
            if not group:
                continue
            first_ns = self._last_ns - self._step_ns
            pairs = zip(*bucket_edges(first_ns, until_ns, self._timeframe, is_always_open=is_always_open), strict=True)
            for open_ns, close_ns in pairs:
                if close_ns > self._last_ns and is_market_open(int(open_ns), is_always_open=is_always_open):
                    edges.setdefault(int(close_ns), []).extend(group)
        return {close: tuple(edges[close]) for close in sorted(edges)}

    async def _until(self, ts_ns: int) -> None:
        while (ahead_ns := ts_ns - self._clock.now_ns()) > 0:
            await self._clock.sleep(ahead_ns / NS_PER_SECOND)

    async def _bars_until(self, close_ns: int, *, expected: Sequence[str]) -> dict[str, BarArray]:
        """Return the bars that closed up to `close_ns`, asking until those expected there came or the grace is over."""
        while True:
            found = await self._answers(self._last_ns - self._step_ns, close_ns)
            came = [s for s in expected if len(found[s]) and int(found[s]["close_ns"][-1]) == close_ns]
            left_seconds = self._grace_seconds - (self._clock.now_ns() - close_ns) / NS_PER_SECOND
            if len(came) == len(expected) or left_seconds <= 0:
                return found
            await self._clock.sleep(min(self._poll_seconds, left_seconds))

    async def _answers(self, start_ns: int, close_ns: int) -> dict[str, BarArray]:
        """Return what the venue says of all symbols; while it cannot be read nothing is concluded and it is asked on.

        Raises:
            BrokerError: Asking again would be of no use.
        """
        pause = 1.0
        while True:
            try:
                return await self._ask(start_ns, close_ns)
            except BrokerError as error:
                if error.retry == "never":
                    raise
                _log.warning("bars_not_readable", code=error.code, retry_seconds=pause)
            await self._clock.sleep(pause)
            pause = min(2 * pause, MAX_PAUSE_SECONDS)

    async def _ask(self, start_ns: int, close_ns: int) -> dict[str, BarArray]:
        asked = (self._fetch(symbol, start_ns, close_ns) for symbol in self._symbols)
        found: dict[str, BarArray] = {}
        for symbol, bars in zip(self._symbols, await asyncio.gather(*asked, return_exceptions=True), strict=True):
            if isinstance(bars, BaseException):
                raise bars
            closes = bars["close_ns"]
            found[symbol] = bars[(closes > self._last_ns) & (closes <= close_ns)].view(np.recarray)
        return found

    def _instants_of(self, found: Mapping[str, BarArray], edges: Mapping[int, tuple[str, ...]]) -> Iterable[Instant]:
        """Return what came, by close, with the gaps named."""
        by_close: dict[int, dict[str, Any]] = {close: {} for close in edges}
        for symbol, bars in found.items():
            for bar in bars:
                by_close.setdefault(int(bar["close_ns"]), {})[symbol] = bar
        for close_ns in sorted(by_close):
            came = by_close[close_ns]
            missing = tuple(symbol for symbol in edges.get(close_ns, ()) if symbol not in came)
            if missing:
                _log.warning("bars_missing", symbols=missing, close_ns=close_ns, timeframe=self._timeframe)
            yield Instant(close_ns, came, missing)
