"""What opening any account shares: its parts, its markets with a calendar, a feed that polls, a look at the clock."""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, Protocol, Self

import asyncpg

from tradesentry.core.broker.account_settings import PaperSettings, VenueSettings
from tradesentry.core.broker.base_broker import BaseBroker, CommandStamp, Outcome
from tradesentry.core.broker.commands import CommandGate, LateSink
from tradesentry.core.domain.clock import NS_PER_SECOND, Clock
from tradesentry.core.domain.errors import ClockSkew, ConfigError, nearest
from tradesentry.core.domain.instruments import Instrument
from tradesentry.core.execution.journal_rows import Lease
from tradesentry.core.execution.setup import conversion_symbols, cost_profile, limit_profile
from tradesentry.core.market.bars import DAY_NS, to_ns
from tradesentry.core.market.feeds import BarFeed, Instant, PolledFeed
from tradesentry.core.market.news import load_news
from tradesentry.core.strategy.live_memory import LiveRunSpec, LiveSetup
from tradesentry.database.repositories.agents import AgentRoster, LinkRecord
from tradesentry.database.repositories.journal import PostgresJournal
from tradesentry.database.repositories.paper_log import PaperLog
from tradesentry.database.repositories.runs import AgentRuns
from tradesentry.settings import Settings

CALENDAR_START: Final = "2015-01-01"
"""Rows of a calendar are numbered from its start, and saved memory holds such numbers: the start never moves."""
CALENDAR_DAYS_AHEAD: Final = 400
MAX_CLOCK_SECONDS: Final = 5.0


class AccountFeed(BarFeed, Protocol):
    """A feed that can go on after a given bar."""

    def start_after(self, close_ns: int) -> None:
        """Go on with the first bar that closes after `close_ns`."""


@dataclass(frozen=True, slots=True)
class Stores:
    """Everything of the database that an agent uses."""

    pool: "asyncpg.Pool[Any]"
    journal: PostgresJournal
    paper_log: PaperLog
    runs: AgentRuns
    roster: AgentRoster

    @classmethod
    def over(
        cls, pool: "asyncpg.Pool[Any]", *, is_synced: bool = True, leases: "asyncpg.Pool[Any] | None" = None
    ) -> Self:
        """Return the stores on a pool.

        Args:
            pool: As `ts_agent`.
            is_synced: See `PostgresJournal`.
            leases: Connections on which an agent holds its accounts whatever their orders wait for.
        """
        journal = PostgresJournal(pool, is_synced=is_synced, leases=leases)
        return cls(pool, journal, PaperLog(journal), AgentRuns(journal), AgentRoster(leases or pool, journal))


class LateRelay:
    """Hands outcomes that nobody awaited to whoever journals them, who is made after the broker."""

    def __init__(self) -> None:
        self.sink: LateSink | None = None

    def __call__(self, name: str, stamp: CommandStamp, outcome: Outcome | BaseException) -> None:
        """Pass an outcome on; before there is anybody to take it, nothing can have been sent."""
        if self.sink is not None:
            self.sink(name, stamp, outcome)


@dataclass(slots=True)
class OpenAccount:
    """The parts of one account, made and not yet started."""

    broker: BaseBroker
    feed: AccountFeed
    clock: Clock
    setup: LiveSetup
    environment: str
    """paper, practice or live."""
    is_replay: bool = False
    is_paced: bool = False
    """A replay in time with a clock."""
    past: Callable[[int], list[Instant]] | None = None
    """The bars that closed up to a time, ns UTC, for strategies that remember nothing; None: they begin without."""
    n_instants: int = 0
    """How many instants a replay has; 0 where nobody knows."""
    background: list[Callable[[], Awaitable[None]]] = field(default_factory=list)
    """Work that runs as long as the account does."""
    late: LateRelay = field(default_factory=LateRelay)
    """Of the broker's gate."""
    others: list[BaseBroker] = field(default_factory=list)
    """Further connections to close."""

    async def close(self) -> None:
        """Close all connections."""
        for broker in (self.broker, *self.others):
            await broker.close()


@dataclass(frozen=True, slots=True)
class Opening:
    """What opening an account needs."""

    link: LinkRecord
    lease: Lease
    runs: Sequence[LiveRunSpec]
    gate: CommandGate
    stores: Stores
    settings: Settings
    clock: Clock


def setup_of(
    settings: PaperSettings | VenueSettings,
    items: Sequence[Instrument],
    *,
    converts: Sequence[str],
    last_ns: int,
    first_ns: int | None = None,
    capital: float | None = None,
) -> LiveSetup:
    start_ns = to_ns(CALENDAR_START) or 0
    first_ns = start_ns if first_ns is None else min(start_ns, first_ns)
    end_ns = last_ns + CALENDAR_DAYS_AHEAD * DAY_NS
    return LiveSetup(
        instruments={item.symbol: item for item in items},
        costs=cost_profile(settings.costs),
        limits=limit_profile(settings.limits),
        capital=settings.capital if isinstance(settings, PaperSettings) else float(capital or 0.0),
        currency=settings.currency,
        calendar_ns=(first_ns, end_ns),
        rates=settings.rates,
        news=None if settings.news is None else load_news(settings.news),
        converts=tuple(converts),
    )


def converters_of(symbols: Sequence[str], offered: Any, currency: str, rates: Any) -> tuple[str, ...]:
    """Return the symbols of a venue that convert profit into account currency and are not traded."""
    found = []
    for symbol in symbols:
        if symbol not in offered:
            raise ConfigError(f"The venue does not trade {symbol}. {nearest(symbol, offered)}")
        choices = conversion_symbols(offered[symbol], currency)
        if choices and offered[symbol].quote not in rates and not set(choices) & set(symbols):
            found += [choice for choice in choices if choice in offered][:1]
    return tuple(dict.fromkeys(found))


def polled_feed(broker: BaseBroker, symbols: Sequence[str], timeframe: str, clock: Clock) -> PolledFeed:
    async def fetch(symbol: str, start_ns: int, end_ns: int) -> Any:
        return await broker.candles(symbol, granularity=timeframe, start_ns=start_ns, end_ns=end_ns)

    return PolledFeed(fetch, symbols, timeframe, clock, since_ns=clock.now_ns())


async def check_clock(broker: BaseBroker, name: str) -> float:
    """Return how far the venue's clock is from ours, seconds.

    Args:
        broker: The venue.
        name: Of it, for the message.

    Raises:
        ClockSkew: Too far to judge the age of a quote.
    """
    sample = await broker.server_clock()
    offset = sample.offset_ns / NS_PER_SECOND
    if abs(offset) - sample.rtt_ns / 2 / NS_PER_SECOND > MAX_CLOCK_SECONDS:
        raise ClockSkew(
            f"The clock of {name} is {offset:+.1f} s from this machine's and at most {MAX_CLOCK_SECONDS:g} s are "
            "allowed, because the age of quotes could not be judged. Let the machine's clock be set (NTP); if it is "
            "right, wait for the venue's."
        )
    return offset
