"""Turn looks at a terminal into events: what was not there at the last look has happened.

A terminal tells nothing by itself. The fold remembers what the event log has told; a look (orders, positions, history)
is compared with it, and what differs becomes rows for the log. The fold learns from logged rows alone, so after a
restart it stands where the log ends. An order ends by its place in the history, never by its absence.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, Final, TypeAlias

from tradesentry.core.broker import mt5_constants as mt5
from tradesentry.core.broker.mt5_messages import (
    NO_BALANCE,
    SERVER_MADE,
    STATES,
    TRADES,
    TRANSFERS,
    TYPES,
    Symbol,
    raw,
    side_of,
)
from tradesentry.core.broker.mt5_time import ServerClock
from tradesentry.core.broker.port_json import Json
from tradesentry.core.domain.events import BrokerEvent, EventKind
from tradesentry.core.domain.live_orders import OrderStatus
from tradesentry.core.domain.money import ZERO, decimal_of
from tradesentry.core.domain.orders import OrderType

Row: TypeAlias = tuple[EventKind, int, Json]
_RANKS: Final = {EventKind.ORDER_ACCEPTED: 0, EventKind.ORDER_FILLED: 1, EventKind.PROTECTION: 2}
_GUARDS: Final = (("stop_loss", "sl"), ("take_profit", "tp"))
_FILL_REASONS: Final = {OrderType.LIMIT: "LIMIT_ORDER", OrderType.STOP: "STOP_ORDER"}
_ENDINGS: Final = {
    OrderStatus.CANCELED: EventKind.ORDER_CANCELED,
    OrderStatus.PARTLY_FILLED: EventKind.ORDER_CANCELED,
    OrderStatus.EXPIRED: EventKind.ORDER_EXPIRED,
    OrderStatus.REJECTED: EventKind.ORDER_REJECTED,
}


@dataclass(frozen=True, slots=True)
class Look:
    """What the terminal shows at one moment."""

    orders: Sequence[Any]
    positions: Sequence[Any]
    past_orders: Sequence[Any]
    deals: Sequence[Any]


class TerminalFold:
    """What has been told, and what a look adds to it.

    Args:
        server_clock: Translates times.
        symbol_of: Returns the symbol of a name, pinned or not.
        client_of: Returns our id of a magic number, None when it is not ours.
        baseline: What was there when the log began.
    """

    def __init__(
        self,
        server_clock: ServerClock,
        symbol_of: Callable[[str], Symbol],
        client_of: Callable[[int], str | None],
        baseline: Mapping[str, Any],
    ) -> None:
        self._clock, self._symbol_of, self._client_of = server_clock, symbol_of, client_of
        self._terms: dict[str, list[Any]] = dict(baseline["orders"])
        self._accepted = {*baseline["orders"], *baseline["past_orders"]}
        self._ended = set(baseline["past_orders"])
        self._deals = set(baseline["deals"])
        self._units = {ref: Decimal(said["units"]) for ref, said in baseline["positions"].items()}
        self._guards = {ref: [said["sl"], said["tp"]] for ref, said in baseline["positions"].items()}
        self.initial_units = {ref: abs(units) for ref, units in self._units.items()}
        """By trade, of all opening fills."""
        self._flips: dict[str, int] = {}

    def ref(self, position_id: int) -> str:
        """Return the name of a position's present trade; a netting position that was reversed is another trade."""
        return _ref(self._flips, position_id)

    def learn(self, event: BrokerEvent) -> None:
        """Take note of an event of the log."""
        said = event.payload
        if said["type"] == "order":
            self._accepted.add(said["order_id"])
            self._terms[said["order_id"]] = said["terms"]
        elif said["type"] == "ended":
            self._ended.add(said["order_id"])
            self._terms.pop(said["order_id"], None)
        elif said["type"] == "guard":
            guards = self._guards.setdefault(said["trade_ref"], [0.0, 0.0])
            guards[0 if said["which"] == "stop_loss" else 1] = said["price"] or 0.0
        else:
            self._deals.add(said["deal"])
            for part in said.get("legs", ()):
                self._learn_leg(said, part)

    def _learn_leg(self, said: Mapping[str, Any], part: Mapping[str, Any]) -> None:
        position, units = str(said["position_id"]), Decimal(part["units"])
        self._units[position] = self._units.get(position, ZERO) + said["side"] * units
        if part["effect"] == "open":
            head, _, flips = part["trade_ref"].partition(".")
            if flips:
                self._flips[head] = int(flips)
            self.initial_units[part["trade_ref"]] = self.initial_units.get(part["trade_ref"], ZERO) + units
        elif not self._units[position]:
            self._guards.pop(part["trade_ref"], None)

    def rows(self, look: Look, *, now_ns: int) -> list[Row]:
        """Return what `look` shows and nobody has been told, oldest first.

        Args:
            look: What the terminal shows.
            now_ns: When.
        """
        types = {order.ticket: TYPES.get(order.type) for order in (*look.past_orders, *look.orders)}
        closing = {deal.order for deal in look.deals if deal.entry in (mt5.DEAL_ENTRY_OUT, mt5.DEAL_ENTRY_OUT_BY)}
        rows: list[Row] = []
        for order in (*look.past_orders, *look.orders):
            if order.reason not in SERVER_MADE:
                rows += self._order_rows(order, is_closing=order.ticket in closing, now_ns=now_ns)
        units, flips = dict(self._units), dict(self._flips)
        present = {str(position.identifier): position for position in look.positions}
        new_trades: set[str] = set()
        for deal in sorted(look.deals, key=lambda deal: (deal.time_msc, deal.ticket)):
            if str(deal.ticket) not in self._deals:
                row = self._deal_row(deal, types.get(deal.order), (units, flips), present)
                new_trades |= {part["trade_ref"] for part in row[2].get("legs", ()) if part["effect"] == "open"}
                rows.append(row)
        for position in look.positions:
            trade = _ref(flips, position.identifier)
            if trade in self.initial_units or trade in new_trades:
                rows += self._guard_rows(position, trade, now_ns=now_ns)
        for order in look.past_orders:
            if order.reason not in SERVER_MADE and str(order.ticket) not in self._ended:
                rows += self._ending_rows(order)
        return sorted(rows, key=lambda row: (row[1], _RANKS.get(row[0], 3)))

    def _time(self, msc: int, near_ns: int | None = None) -> int:
        return self._clock.to_utc_ns(int(msc), near_ns=near_ns)

    def terms_of(self, order: Any) -> list[Any]:
        """Return what of a resting order can be changed: price, stop, target, expiry (ns UTC, 0 none)."""
        expires = self._time(order.time_expiration * 1_000) if order.time_expiration else 0
        return [float(order.price_open), float(order.sl), float(order.tp), expires]

    def _order_rows(self, order: Any, *, is_closing: bool, now_ns: int) -> list[Row]:
        """Return that an order was taken, or that its terms have changed."""
        order_id, terms = str(order.ticket), self.terms_of(order)
        is_known = order_id in self._accepted
        # An order that has ended keeps the terms it ended with, and those of a market order are filled in later.
        if is_known and (order_id in self._ended or order.time_done_msc or self._terms.get(order_id) == terms):
            return []
        symbol = self._symbol_of(order.symbol)
        payload = {
            "type": "order",
            "order_id": order_id,
            "client_order_id": self._client_of(order.magic),
            "trade_ref": self.ref(order.position_id) if is_closing else None,
            "symbol": symbol.symbol,
            "side": int(side_of(order.type)),
            "units": f"{symbol.units(order.volume_initial):f}",
            "order_type": (TYPES.get(order.type) or OrderType.MARKET).name.lower(),
            "reason": "REPLACEMENT" if is_known else "TRADE_CLOSE" if is_closing else "CLIENT_ORDER",
            "terms": terms,
            "raw": raw("TradeOrder", order),
        }
        ts_ns = now_ns if is_known else self._time(order.time_setup_msc, now_ns)
        return [(EventKind.ORDER_ACCEPTED, ts_ns, payload)]

    def _ending_rows(self, order: Any) -> list[Row]:
        """Return that an order left the book without being filled as a whole."""
        kind = _ENDINGS.get(STATES.get(order.state, OrderStatus.FILLED))
        if kind is None and not order.volume_current:
            return []
        reasons = {EventKind.ORDER_EXPIRED: "TIME_IN_FORCE_EXPIRED", EventKind.ORDER_REJECTED: "REJECTED"}
        is_part = order.volume_current < order.volume_initial
        payload = {
            "type": "ended",
            "order_id": str(order.ticket),
            "client_order_id": self._client_of(order.magic),
            "reason": reasons.get(kind, "INSUFFICIENT_LIQUIDITY" if is_part else "CLIENT_REQUEST")
            if kind
            else "INSUFFICIENT_LIQUIDITY",
            "raw": raw("TradeOrder", order),
        }
        return [(kind or EventKind.ORDER_CANCELED, self._time(order.time_done_msc), payload)]

    def _deal_row(
        self,
        deal: Any,
        order_type: OrderType | None,
        scratch: tuple[dict[str, Decimal], dict[str, int]],
        present: Mapping[str, Any],
    ) -> Row:
        ts_ns = self._time(deal.time_msc)
        money = [decimal_of(value) for value in (deal.profit, deal.swap, deal.commission, deal.fee)]
        amount = ZERO if deal.type in NO_BALANCE else sum(money, ZERO)
        payload: Json = {
            "type": "deal",
            "deal": str(deal.ticket),
            "amount": f"{amount:f}",
            "raw": raw("TradeDeal", deal),
        }
        if deal.type not in TRADES:
            payload |= {"reason": deal.comment or "CORRECTION"}
            return EventKind.TRANSFER if deal.type in TRANSFERS else EventKind.OTHER, ts_ns, payload
        symbol, side = self._symbol_of(deal.symbol), side_of(deal.type)
        legs = _legs(deal, symbol.units(deal.volume), int(side), scratch, present, symbol)
        is_open = deal.entry == mt5.DEAL_ENTRY_IN
        reason = _FILL_REASONS.get(order_type, "MARKET_ORDER") if order_type else "MARKET_ORDER"
        payload |= {
            "fill_id": str(deal.ticket),
            "order_id": str(deal.order),
            "position_id": str(deal.position_id),
            "client_order_id": None if deal.reason in SERVER_MADE else self._client_of(deal.magic),
            "trade_ref": legs[0]["trade_ref"],
            "symbol": symbol.symbol,
            "side": int(side),
            "price": round(float(deal.price), symbol.item.price_digits),
            "commission": f"{-(money[2] + money[3]):f}",
            "swap": f"{money[1]:f}",
            "realized": f"{money[0]:f}",
            "reason": SERVER_MADE.get(deal.reason, reason if is_open else "MARKET_ORDER_TRADE_CLOSE"),
            "legs": legs,
        }
        return EventKind.ORDER_FILLED, ts_ns, payload

    def _guard_rows(self, position: Any, trade: str, *, now_ns: int) -> list[Row]:
        """Return the stops and targets of a position that have changed."""
        told = self._guards.get(trade, [0.0, 0.0])
        rows: list[Row] = []
        for i, (which, name) in enumerate(_GUARDS):
            price = float(getattr(position, name))
            if price == told[i]:
                continue
            payload = {
                "type": "guard",
                "trade_ref": trade,
                "client_order_id": self._client_of(position.magic),
                "which": which,
                "price": price or None,
                "reason": "REPLACEMENT" if trade in self._guards else "ON_FILL",
            }
            msc = position.time_update_msc or position.time_msc
            rows.append((EventKind.PROTECTION, self._time(msc, now_ns), payload))
        return rows


def _ref(flips: Mapping[str, int], position_id: int) -> str:
    n = flips.get(str(position_id), 0)
    return f"{position_id}.{n}" if n else str(position_id)


def _legs(
    deal: Any,
    units: Decimal,
    side: int,
    scratch: tuple[dict[str, Decimal], dict[str, int]],
    present: Mapping[str, Any],
    symbol: Symbol,
) -> list[Json]:
    """Return what a deal did to which trade; a reversal closes one and opens the next."""
    held, flips = scratch
    position = str(deal.position_id)
    trade = _ref(flips, deal.position_id)
    before = held.get(position)
    held[position] = (before or ZERO) + side * units
    if deal.entry == mt5.DEAL_ENTRY_IN:
        return [_leg("open", trade, units)]
    if deal.entry != mt5.DEAL_ENTRY_INOUT:
        return [_leg("reduce", trade, units)]
    if before is None:
        shown = present.get(position)
        opened = ZERO if shown is None else min(symbol.units(shown.volume), units)
    else:
        opened = max(ZERO, units - abs(before))
    flips[position] = flips.get(position, 0) + 1
    legs = [_leg("reduce", trade, units - opened), _leg("open", _ref(flips, deal.position_id), opened)]
    return [leg for leg in legs if Decimal(leg["units"])]


def _leg(effect: str, trade: str, units: Decimal) -> Json:
    return {"effect": effect, "trade_ref": trade, "units": f"{units:f}"}


def baseline_of(look: Look, symbol_of: Callable[[str], Symbol], terms_of: Callable[[Any], list[Any]]) -> Json:
    """Return what is there when a log begins, which nobody will be told.

    Args:
        look: What the terminal shows.
        symbol_of: Returns the symbol of a name.
        terms_of: Returns the terms of a resting order.
    """
    positions = {}
    for position in look.positions:
        units = side_of(position.type) * symbol_of(position.symbol).units(position.volume)
        positions[str(position.identifier)] = {
            "units": f"{units:f}",
            "sl": float(position.sl),
            "tp": float(position.tp),
        }
    return {
        "orders": {str(order.ticket): terms_of(order) for order in look.orders},
        "past_orders": [str(order.ticket) for order in look.past_orders],
        "deals": [str(deal.ticket) for deal in look.deals],
        "positions": positions,
    }
