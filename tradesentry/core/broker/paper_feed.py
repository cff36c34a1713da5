"""Prices of a paper account: bars are shown to the venue before anybody decides on them, quotes as they come.

Separate from the broker, because whose prices they are is chosen by whoever opens the account: known bars of a replay,
or the stream of a real venue. After a restart the bars that nobody watched are shown first, so that a stop which was
crossed meanwhile is filled.
"""

from collections.abc import AsyncIterator, Sequence

from tradesentry.core.broker.base_broker import BaseBroker
from tradesentry.core.broker.paper import PaperBroker
from tradesentry.core.domain.events import StreamDown
from tradesentry.core.market.feeds import Instant, ReplayFeed


class PaperFeed:
    """A replay that the paper account lives on.

    Args:
        feed: Known bars of all markets of the account.
        broker: The account.
    """

    def __init__(self, feed: ReplayFeed, broker: PaperBroker) -> None:
        self._feed, self._broker = feed, broker

    @property
    def n_instants(self) -> int:
        """How many instants there are to come, for progress."""
        return self._feed.n_instants

    def start_after(self, close_ns: int) -> None:
        """Show the venue what it missed up to `close_ns`, and go on after it."""
        for instant in self._feed.known(close_ns):
            self._broker.show_bars(instant.bars)
        self._feed.start_after(close_ns)

    async def instants(self) -> AsyncIterator[Instant]:
        """Yield instants after the venue has settled them."""
        async for instant in self._feed.instants():
            self._broker.show_bars(instant.bars)
            yield instant


async def settle_missed_bars(
    broker: PaperBroker, source: BaseBroker, symbols: Sequence[str], *, granularity: str, now_ns: int
) -> int:
    """Show a paper account the bars since it was last shown anything; return how many.

    Args:
        broker: The account.
        source: Venue whose prices it lives on.
        symbols: Its markets.
        granularity: Length of the bars.
        now_ns: End of what was missed.
    """
    due: dict[int, dict[str, object]] = {}
    for symbol in symbols:
        settled_ns = broker.venue.settled_ns(symbol)
        if settled_ns == 0:
            continue
        bars = await source.candles(symbol, granularity=granularity, start_ns=settled_ns, end_ns=now_ns)
        for bar in bars:
            due.setdefault(int(bar["close_ns"]), {})[symbol] = bar
    for close_ns in sorted(due):
        broker.show_bars(due[close_ns])
    return len(due)


async def pump_quotes(broker: PaperBroker, source: BaseBroker, symbols: Sequence[str]) -> None:
    """Show a paper account the quotes of a real venue for as long as this task lives.

    Args:
        broker: The account.
        source: The venue; it reconnects by itself.
        symbols: Markets.
    """
    async for quote in source.quotes(symbols):
        if not isinstance(quote, StreamDown):
            broker.show(quote)
