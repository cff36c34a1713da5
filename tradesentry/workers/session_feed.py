"""The feed of a session: the account's own, with a count, an end after so many instants, and a word after each."""

from collections.abc import AsyncIterator, Callable

from tradesentry.bootstrap import AccountFeed
from tradesentry.core.market.feeds import Instant


class SessionFeed:
    """A feed that knows what was decided.

    Args:
        feed: Of the account.
        max_instants: End after so many; None: never.
        on_instant: Is told of each instant once whoever took it asks for the next.
    """

    def __init__(
        self, feed: AccountFeed, max_instants: int | None, on_instant: Callable[[Instant], None] | None
    ) -> None:
        self._feed, self._max_instants, self._on_instant = feed, max_instants, on_instant
        self.n_decided = 0

    def start_after(self, close_ns: int) -> None:
        """Go on with the first bar that closes after `close_ns`."""
        self._feed.start_after(close_ns)

    async def instants(self) -> AsyncIterator[Instant]:
        """Yield the feed's instants."""
        if self._max_instants is not None and self.n_decided >= self._max_instants:
            return
        async for instant in self._feed.instants():
            yield instant
            self.n_decided += 1
            if self._on_instant is not None:
                self._on_instant(instant)
            if self._max_instants is not None and self.n_decided >= self._max_instants:
                return
