"""Keep the legs of a plan together: the first fill takes back the others, or a failed leg takes back all.

`oco`: the first leg that fills cancels the rest; if two fill, the later one is closed. `all_or_unwind`: a leg that ends
without its full size cancels the rest and closes what was filled, within `unwind_seconds`. `independent`: nothing. A
venue with exits of its own keeps `oco` itself and is left to it.
"""

from collections.abc import Sequence

from tradesentry.core.domain.live_account import AccountChange, Cancel, LiveOrder, OrderMoved, Reduce, Wish
from tradesentry.core.domain.live_orders import OrderStatus
from tradesentry.core.execution.order_desk import OrderDesk

OCO = "oco"
ALL_OR_UNWIND = "all_or_unwind"


def wishes_for(policy: str, legs: Sequence[LiveOrder], *, open_trades: frozenset[str]) -> list[Wish]:
    """Return what a plan needs now; empty while it is as it should be.

    Args:
        policy: Of the plan.
        legs: All its orders that are known.
        open_trades: References of trades that are open.
    """
    working = [leg for leg in legs if not leg.status.is_terminal and leg.status is not OrderStatus.CANCELING]
    filled = sorted((leg for leg in legs if leg.filled_units), key=lambda leg: (leg.last_ts_ns, leg.seq or 0))
    wishes: list[Wish] = []
    if policy == OCO and filled:
        wishes += [Cancel(leg.seq, "group") for leg in working if leg.key != filled[0].key and leg.seq is not None]
        wishes += _closes(filled[1:], open_trades)
    failed = [leg for leg in legs if leg.status.is_terminal and leg.status is not OrderStatus.FILLED]
    if policy == ALL_OR_UNWIND and failed:
        wishes += [Cancel(leg.seq, "group") for leg in working if leg.seq is not None]
        wishes += _closes(filled, open_trades)
    return wishes


def _closes(legs: Sequence[LiveOrder], open_trades: frozenset[str]) -> list[Wish]:
    return [Reduce(leg.trade_ref, reason="group") for leg in legs if leg.trade_ref in open_trades]


class OrderGroups:
    """Watches the plans of one account.

    Args:
        desk: Of the account.
    """

    def __init__(self, desk: OrderDesk) -> None:
        self._desk = desk
        self._legs: dict[tuple[str, str], dict[str, None]] = {}

    def on_changes(self, changes: Sequence[AccountChange]) -> None:
        """Look at each plan of which an order moved."""
        moved = {}
        for change in changes:
            if isinstance(change, OrderMoved) and change.order.group and change.order.seq is not None:
                name = (str(change.order.run), change.order.group)
                self._legs.setdefault(name, {})[change.order.key] = None
                moved[name] = change.order
        for name, order in moved.items():
            self._desk.spawn(f"group {name[1]}", self._keep(name, order))

    def look_at_all(self) -> None:
        """Look at every plan of the book, as after a restart."""
        self._legs.clear()
        self.on_changes([OrderMoved(order, order.status) for order in self._desk.book.orders.values()])

    async def _keep(self, name: tuple[str, str], order: LiveOrder) -> None:
        """Ask for what the plan needs, until it has it or the time is over."""
        desk = self._desk
        file = desk.book.file(order.key)
        policy = "" if file is None or file.plan is None else file.plan.group_policy
        deadline = desk.clock.monotonic() + desk.settings.unwind_seconds
        while wishes := self._needed(name, policy):
            sent = await desk.act(wishes)
            if desk.clock.monotonic() >= deadline:
                reasons = "; ".join(repr(one.verdict) for one in sent)
                await desk.store.announce(
                    "group_not_unwound",
                    f"The plan {name[1]} could not be brought in order within {desk.settings.unwind_seconds:g} s "
                    f"({reasons}). Look at its legs at the venue.",
                )
                return
            await desk.clock.sleep(min(0.5, desk.settings.unwind_seconds / 4))

    def _needed(self, name: tuple[str, str], policy: str) -> list[Wish]:
        book = self._desk.book
        if policy == OCO and self._desk.broker.capabilities.native_exits:
            return []
        legs = [book.orders[key] for key in self._legs.get(name, ()) if key in book.orders]
        return wishes_for(policy, legs, open_trades=frozenset(book.trades))
