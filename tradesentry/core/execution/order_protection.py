"""See that every open trade of ours has its stop at the venue, and end the trade where it cannot have one.

Three occasions: the first fill at a venue that takes no stop with the entry, a stop that somebody removed, and the
check after every reconcile (J10). A stop is never set looser than the tightest one that the trade ever had; the target
is set as it was meant. What cannot be protected in time is closed.
"""

from collections.abc import Sequence

from tradesentry.core.broker.base_broker import Accepted
from tradesentry.core.domain.live_account import AccountChange, LiveTrade, Protect, Reduce, TradeOpened, Wish
from tradesentry.core.domain.live_orders import Effect
from tradesentry.core.execution.order_desk import OrderDesk


class TradeGuard:
    """Guards the trades of one account.

    Args:
        desk: Of the account.
    """

    def __init__(self, desk: OrderDesk) -> None:
        self._desk = desk
        self._busy: set[str] = set()

    def on_changes(self, changes: Sequence[AccountChange]) -> None:
        """Protect what was just filled, where stop and target did not travel with the entry."""
        if self._desk.broker.capabilities.brackets:
            return
        for change in changes:
            if isinstance(change, TradeOpened) and change.trade.key is not None and change.trade.is_open:
                self._desk.spawn(f"stop of {change.trade.trade_ref}", self.guard(change.trade.trade_ref, None))

    async def check_all(self) -> None:
        """Look at every open trade of ours, by what the venue shows."""
        shown = {trade.trade_id: trade for trade in await self._desk.broker.open_trades()}
        for ref, trade in tuple(self._desk.book.trades.items()):
            if trade.seq is None or ref not in shown:
                continue
            stop, wanted = shown[ref].stop_loss, self._desk.book.tightest_stop(ref)
            if wanted is None and stop is not None:
                continue
            if stop is None or (wanted is not None and trade.side * (stop - wanted) < 0):
                await self.guard(ref, wanted)

    async def guard(self, trade_ref: str, stop_loss: float | None) -> None:
        """Set the stop of a trade, or close the trade when the venue does not take it in time.

        Args:
            trade_ref: The trade.
            stop_loss: What it had; None: what its order was placed with.
        """
        if trade_ref in self._busy:
            return
        self._busy.add(trade_ref)
        try:
            await self._guard(trade_ref, stop_loss)
        finally:
            self._busy.discard(trade_ref)

    async def _guard(self, trade_ref: str, stop_loss: float | None) -> None:
        desk = self._desk
        deadline = desk.clock.monotonic() + desk.settings.protect_seconds
        while True:
            trade = desk.book.trades.get(trade_ref)
            if trade is None or desk.store.is_away:
                return
            wanted = stop_loss if stop_loss is not None else desk.book.tightest_stop(trade_ref)
            if wanted is None:
                break
            sent = await desk.act([Protect(trade_ref, wanted, self._target(trade), "protective_check")])
            if isinstance(sent[0].outcome, Accepted):
                return
            if desk.clock.monotonic() >= deadline:
                break
            await desk.clock.sleep(desk.settings.protect_seconds / 4)
        await self._close(trade_ref, wanted)

    def _target(self, trade: LiveTrade) -> float | None:
        """Return the target that the trade was meant to have and lacks."""
        file = self._desk.book.file(trade.key or "")
        is_meant = trade.take_profit is None and file is not None and file.plan is not None
        return file.plan.intent.take_profit if is_meant and file is not None and file.plan is not None else None

    async def _close(self, trade_ref: str, wanted: float | None) -> None:
        desk = self._desk
        what = "has no stop that is known" if wanted is None else f"could not be given its stop {wanted}"
        text = f"Trade {trade_ref} {what} within {desk.settings.protect_seconds:g} s."
        await desk.store.announce("naked_trade", f"{text} It is closed; look at the venue whether that worked.")
        await desk.act([Reduce(trade_ref, reason="naked")])


def clearing(desk: OrderDesk, reason: str) -> list[Wish]:
    """Return what closes every trade: ours, and others' where that is configured."""
    trades = desk.book.trades.values()
    chosen = [trade for trade in trades if trade.seq is not None or desk.settings.closes_external]
    return [Reduce(trade.trade_ref, reason=reason) for trade in chosen]


def entries_of(desk: OrderDesk) -> list[int]:
    """Return the numbers of our entries that are not over."""
    orders = desk.book.open_orders.values()
    return [order.seq for order in orders if order.seq is not None and order.effect is Effect.OPEN]
