"""Tell an account's story twice, independently of the trader: from the venue's own log, and from the stored events.

Both folds are short on purpose: an order is accepted, filled, ended; a trade is opened, reduced, guarded. The first
reads the venue's log, which has one language whatever the venue is; the second the events as the journal stored them,
in the venue's own (`readings`).
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

from tests.acceptance.soak.readings import fills_told, owner_told

Row = Mapping[str, Any]


@dataclass
class TradeStory:
    """A trade as it stands, and the steps of its stop."""

    trade_id: str
    client_order_id: str | None
    symbol: str
    side: int
    units: Decimal
    price: float
    opened_at: int
    closed_at: int | None = None
    stops: list[tuple[int, int, float | None]] = field(default_factory=list)
    """(time, transaction, stop) of each change."""

    @property
    def stop(self) -> float | None:
        """The present stop."""
        return self.stops[-1][2] if self.stops else None


@dataclass
class OrderStory:
    """An order as it stands."""

    order_id: str
    client_order_id: str | None
    symbol: str
    side: int
    units: Decimal
    type: str
    price: float | None
    stop: float | None
    replaces: str | None
    trade_id: str | None
    """The trade that it closes."""
    at: int
    filled: Decimal = Decimal(0)
    is_open: bool = True


@dataclass
class VenueStory:
    """The state of an account after some of its transactions."""

    orders: dict[str, OrderStory] = field(default_factory=dict)
    trades: dict[str, TradeStory] = field(default_factory=dict)
    balance: Decimal = Decimal(0)

    def tell(self, said: Row) -> None:
        """Go on by one transaction of the venue's log."""
        kind = said["kind"]
        self.balance = Decimal(said["balance"])
        if kind == "order_accepted":
            self._accepted(said)
        elif kind == "order_changed":
            order = self.orders[said["order_id"]]
            order.price, order.stop = said.get("price"), said.get("stop_loss")
        elif kind == "order_filled":
            self._filled(said)
        elif kind in ("order_canceled", "order_expired"):
            if said["order_id"] in self.orders:
                self.orders[said["order_id"]].is_open = False
        elif kind == "protection" and said["which"] == "stop_loss":
            trade = self.trades[said["trade_id"]]
            trade.stops.append((said["at"], said["seq"], said["price"]))

    def _accepted(self, said: Row) -> None:
        self.orders[said["order_id"]] = OrderStory(
            said["order_id"], said.get("client_order_id"), said["symbol"], said["side"], Decimal(said["units"]),
            said["type"], said.get("price"), said.get("stop_loss"), said.get("replaces"), said.get("trade_id"),
            said["at"],
        )  # fmt: skip

    def _filled(self, said: Row) -> None:
        units = Decimal(said["units"])
        order = self.orders.get(said["order_id"])
        if order is not None:
            order.filled += units
            order.is_open = order.filled < order.units and order.type != "market"
        if said["effect"] == "open" and said["trade_id"] in self.trades:
            self.trades[said["trade_id"]].units += units
            return
        if said["effect"] == "open":
            self.trades[said["trade_id"]] = TradeStory(
                said["trade_id"], said["client_order_id"], said["symbol"], said["side"], units, said["price"],
                said["at"],
            )  # fmt: skip
            return
        trade = self.trades[said["trade_id"]]
        trade.units -= units
        if trade.units <= 0:
            trade.closed_at = said["at"]


def venue_story(transactions: Iterable[Row]) -> VenueStory:
    """Return the account after all transactions."""
    story = VenueStory()
    for said in transactions:
        story.tell(said)
    return story


@dataclass
class EventStory:
    """What the stored events say, from the first to the last."""

    fills: dict[tuple[str, int], tuple[Any, ...]] = field(default_factory=dict)
    """(trade, side, units, price, realized) by (fill, leg)."""
    open_units: dict[str, Decimal] = field(default_factory=dict)
    """By trade."""
    filled: dict[str, Decimal] = field(default_factory=dict)
    """By venue order."""
    owner: dict[str, str] = field(default_factory=dict)
    """Client order id by venue order."""


def event_story(events: Iterable[Row]) -> EventStory:
    """Return what the stored events say; the order of rows does not matter, but trades open before they close."""
    story = EventStory()
    for row in sorted(events, key=lambda row: int(row["seq"])):
        owner = owner_told(row["raw"])
        if owner is not None:
            story.owner[owner[0]] = owner[1]
        for fill in fills_told(row["raw"]):
            story.fills[fill.fill, fill.leg] = (fill.trade, fill.side, fill.units, fill.price, fill.realized)
            change = fill.units if fill.is_open else -fill.units
            story.open_units[fill.trade] = story.open_units.get(fill.trade, Decimal(0)) + change
            story.filled[fill.order] = story.filled.get(fill.order, Decimal(0)) + fill.units
    return story
