"""What a terminal's server books: the log of the paper account turned into orders, deals and positions.

Separate from the rules of trading (`fake_terminal_server`): whatever moves the account, a request, a stop or a hand at
the venue, comes through here once. A fill of an order opens or adds to a position; netting may turn it round. What
stops, targets and the stop-out do is booked on orders of the server's own, which bear no magic number.
"""

from collections.abc import Callable, Mapping
from decimal import Decimal
from typing import Any, Final

from tradesentry.core.broker import mt5_constants as mt5
from tradesentry.core.broker.fake_terminal_profile import AccountTerms, SymbolTerms
from tradesentry.core.broker.fake_terminal_rows import DealRow, Leg, OrderRow, PositionRow, cents
from tradesentry.core.broker.fake_terminal_venue import TerminalVenue
from tradesentry.core.broker.paper_ledger import Transaction
from tradesentry.core.domain.events import EventKind
from tradesentry.core.domain.money import ZERO, decimal_of
from tradesentry.core.domain.orders import Side

SERVER_REASONS: Final[Mapping[str, tuple[int, str]]] = {
    "STOP_LOSS_ORDER": (mt5.ORDER_REASON_SL, "sl"),
    "TAKE_PROFIT_ORDER": (mt5.ORDER_REASON_TP, "tp"),
    "MARKET_ORDER_MARGIN_CLOSEOUT": (mt5.ORDER_REASON_SO, "so"),
}
_QUIET: Final = ("ON_FILL", "LINKED_TRADE_CLOSED", "CLIENT_REQUEST_REPLACED")
_PENDING: Final = {"limit": mt5.ORDER_TYPE_BUY_LIMIT, "stop": mt5.ORDER_TYPE_BUY_STOP, "market": mt5.ORDER_TYPE_BUY}


class TerminalBooks:
    """Orders, deals and positions of one account.

    Args:
        venue: The account; its log so far is booked at once.
        terms: Of the account.
        symbols: Terms of each symbol, by canonical name.
        now: Present time, ns UTC.
    """

    def __init__(
        self,
        venue: TerminalVenue,
        terms: AccountTerms,
        symbols: Mapping[str, SymbolTerms],
        now: Callable[[], int],
    ) -> None:
        self.venue, self.terms, self.symbols, self.now = venue, terms, symbols, now
        self.orders: dict[int, OrderRow] = {}
        """Working, by ticket."""
        self.past: dict[int, OrderRow] = {}
        self.deals: list[DealRow] = []
        self.positions: dict[int, PositionRow] = {}
        """Open, by identifier."""
        self.closed: dict[int, PositionRow] = {}
        self.balance = ZERO
        self.acting: OrderRow | None = None
        """On whose behalf the venue acts now."""
        self.ended_reason = ""
        """Why the venue ended the acting order."""
        self.setting_off: DealRow | None = None
        """The deal that two sides are set off on now: what they gain is its profit."""
        self.lag_ns = 0
        """After which the history shows what happened."""
        self._last_order, self._last_deal = 50_000_000, 70_000_000
        self._bound: dict[str, OrderRow] = {}
        self._holder: dict[str, int] = {}
        self._netting: dict[int, DealRow] = {}
        self._heard: list[Transaction] = list(venue.transactions)
        venue.listeners.append(self._heard.append)
        amounts = sum((decimal_of(said.get("amount", 0)) for said in venue.transactions), ZERO)
        self._pay_in(venue.state().balance - amounts, now())
        self.drain()

    # What the server asks

    def new_order(self, symbol: SymbolTerms, order_type: int, lots: Decimal, **fields: Any) -> OrderRow:
        """Return a new order under the next ticket; `fields` are those of `OrderRow`."""
        self._last_order += 1
        return OrderRow(self._last_order, symbol.name, order_type, lots, lots, self.now(), **fields)

    def retire(self, row: OrderRow, state: int, *, ts_ns: int | None = None) -> None:
        """Move an order to the history."""
        self.orders.pop(row.ticket, None)
        row.state, row.done_ns = state, ts_ns or self.now()
        row.visible_ns = self.now() + self.lag_ns
        self.past[row.ticket] = row

    def venue_order(self, row: OrderRow) -> str:
        """Return the id under which an order works at the venue."""
        return next(order_id for order_id, bound in self._bound.items() if bound is row)

    def is_bound(self, row: OrderRow) -> bool:
        """Say whether an order works at the venue; a stop-limit order does once it was triggered."""
        return any(bound is row for bound in self._bound.values())

    def position_of(self, symbol: SymbolTerms) -> PositionRow | None:
        """Return the first open position of a symbol; netting has one at most."""
        return next((row for row in self.positions.values() if row.terms is symbol), None)

    def take_mixed(self) -> list[tuple[PositionRow, DealRow]]:
        """Return the positions that hold both sides after a fill, with the deal that netting books it on."""
        taken, self._netting = self._netting, {}
        rows = [(self.positions.get(identifier), deal) for identifier, deal in taken.items()]
        return [(row, deal) for row, deal in rows if row and len({leg.side for leg in row.legs.values()}) > 1]

    def drain(self) -> None:
        """Book what the venue has done since the last call."""
        heard = self._heard[:]
        self._heard.clear()
        if not self.terms.is_hedging:
            # A stop that was hit at the same instant comes before the entry that would be netted with it.
            heard.sort(key=lambda said: not self._is_server_exit(said))
        for said in heard:
            self._book(said)

    def _is_server_exit(self, said: Transaction) -> bool:
        return said.get("effect") == "reduce" and said["reason"] in SERVER_REASONS and said["trade_id"] in self._holder

    # Booking

    def _book(self, said: Transaction) -> None:
        kind = EventKind(said["kind"])
        if kind is EventKind.ORDER_ACCEPTED:
            self._accepted(said)
        elif kind is EventKind.ORDER_FILLED:
            (self._opened if said["effect"] == "open" else self._reduced)(said)
        elif kind in (EventKind.ORDER_CANCELED, EventKind.ORDER_EXPIRED):
            self._ended(said, kind)
        elif kind is EventKind.PROTECTION:
            self._protected(said)
        elif kind is EventKind.SWAP:
            self.positions[self._holder[said["trade_id"]]].swap += decimal_of(said["amount"])
        elif kind is EventKind.TRANSFER:
            self._pay_in(decimal_of(said["amount"]), said["ts_ns"] or self.now())

    def _protected(self, said: Transaction) -> None:
        position = self.positions.get(self._holder[said["trade_id"]])
        leg = None if position is None else position.legs.get(said["trade_id"])
        if position is None or leg is None:
            return
        which, price = "sl" if said["which"] == "stop_loss" else "tp", said["price"] or 0.0
        setattr(leg, which, price)
        if said["reason"] not in _QUIET:
            setattr(position, which, price)
            position.updated_ns = said["ts_ns"]

    def _pay_in(self, amount: Decimal, ts_ns: int) -> None:
        deal = self._new_deal(0, ts_ns, mt5.DEAL_TYPE_BALANCE)
        deal.profit, deal.reason, deal.comment = amount, mt5.DEAL_REASON_CLIENT, "deposit" if amount > 0 else "withdraw"
        self.balance += deal.amount

    def _accepted(self, said: Transaction) -> None:
        if said.get("replaces"):
            row = self._bound.pop(said["replaces"])
            row.price_open = said["price"]
            row.sl, row.tp = said["stop_loss"] or 0.0, said["take_profit"] or 0.0
            row.expires_ns = said["expires_ts_ns"]
        else:
            row = self.acting or self._foreign(said)
            row.state = mt5.ORDER_STATE_PLACED if row.state == mt5.ORDER_STATE_STARTED else row.state
            self.orders[row.ticket] = row
        self._bound[said["order_id"]] = row

    def _foreign(self, said: Transaction) -> OrderRow:
        """Return the order of somebody who trades by hand."""
        symbol = self.symbols[said["symbol"]]
        order_type = _PENDING[said["type"]] + (said["side"] < 0)
        lots = symbol.lots(Decimal(said["units"]))
        row = self.new_order(symbol, order_type, lots, reason=mt5.ORDER_REASON_CLIENT)
        row.price_open = said.get("price") or 0.0
        row.sl, row.tp = said.get("stop_loss") or 0.0, said.get("take_profit") or 0.0
        row.expires_ns, row.position_id = said.get("expires_ts_ns", 0), self._holder.get(said.get("trade_id", ""), 0)
        row.type_time = mt5.ORDER_TIME_SPECIFIED if row.expires_ns else mt5.ORDER_TIME_GTC
        return row

    def _opened(self, said: Transaction) -> None:
        row, side, units = self._bound[said["order_id"]], Side(said["side"]), Decimal(said["units"])
        symbol = self.symbols[said["symbol"]]
        position = self.positions.get(row.ticket) if self.terms.is_hedging else self.position_of(symbol)
        held = ZERO if position is None else position.net
        if position is None:
            position = self.positions[row.ticket] = self._new_position(row, symbol, said["ts_ns"])
        is_same_side = held * side >= ZERO
        entry = mt5.DEAL_ENTRY_IN if is_same_side else mt5.DEAL_ENTRY_OUT
        if not is_same_side and units > abs(held):
            entry, position.ticket = mt5.DEAL_ENTRY_INOUT, row.ticket
        deal = self._deal(row, position, said, entry=entry)
        if not is_same_side:
            self._take_swap(position, deal, min(units, abs(held)) / abs(held))
            self._netting[position.identifier] = deal
        if entry != mt5.DEAL_ENTRY_OUT and held:
            position.sl, position.tp = row.sl, row.tp
        position.legs[said["trade_id"]] = Leg(side, units, said["price"])
        position.updated_ns = said["ts_ns"]
        self._holder[said["trade_id"]] = position.identifier
        self._fill(row, symbol.lots(units), position, said["ts_ns"])

    def _new_position(self, row: OrderRow, symbol: SymbolTerms, ts_ns: int) -> PositionRow:
        position = PositionRow(row.ticket, row.ticket, symbol, row.magic, row.reason, row.comment, ts_ns, ts_ns)
        position.sl, position.tp = row.sl, row.tp
        return position

    def _fill(self, row: OrderRow, lots: Decimal, position: PositionRow, ts_ns: int) -> None:
        row.volume_current, row.position_id = row.volume_current - lots, position.identifier
        row.state = mt5.ORDER_STATE_PARTIAL
        if row.volume_current <= ZERO:
            row.volume_current = ZERO
            self.retire(row, mt5.ORDER_STATE_FILLED, ts_ns=ts_ns)

    def _reduced(self, said: Transaction) -> None:
        position = self.positions[self._holder[said["trade_id"]]]
        units, held = Decimal(said["units"]), abs(position.net)
        deal = self.setting_off
        if deal is not None:
            self.balance -= deal.amount
            deal.profit += Decimal(said["realized"])
            self.balance += deal.amount
        else:
            row = self._bound.get(said["order_id"]) or self.acting or self._server_order(position, said)
            entry = mt5.DEAL_ENTRY_OUT_BY if row.type == mt5.ORDER_TYPE_CLOSE_BY else mt5.DEAL_ENTRY_OUT
            deal = self._deal(row, position, said, entry=entry)
            self._take_swap(position, deal, min(units, held) / held)
            if entry == mt5.DEAL_ENTRY_OUT:
                self._fill(row, position.terms.lots(units), position, said["ts_ns"])
        self._take_off(position, said["trade_id"], units, said["is_closed"])
        position.updated_ns = said["ts_ns"]

    def _take_off(self, position: PositionRow, trade_id: str, units: Decimal, is_closed: bool) -> None:
        leg = position.legs[trade_id]
        leg.units -= units
        if is_closed or leg.units <= ZERO:
            del position.legs[trade_id]
        if not position.legs:
            self.closed[position.identifier] = self.positions.pop(position.identifier)

    def _server_order(self, position: PositionRow, said: Transaction) -> OrderRow:
        """Return the order by which the server closes a position, one for all its parts."""
        reason, word = SERVER_REASONS.get(said["reason"], (mt5.ORDER_REASON_CLIENT, ""))
        lots = position.terms.lots(Decimal(said["units"]))
        last = self.past.get(self.deals[-1].order)
        if last is not None and (last.position_id, last.reason, last.done_ns, last.magic) == (
            position.identifier,
            reason,
            said["ts_ns"],
            0,
        ):
            last.volume_initial += lots
            last.volume_current += lots
            return last
        order_type = mt5.ORDER_TYPE_SELL if said["side"] < 0 else mt5.ORDER_TYPE_BUY
        row = self.new_order(position.terms, order_type, lots, reason=reason, position_id=position.identifier)
        level: float = {"sl": position.sl, "tp": position.tp}.get(word) or said["price"]
        row.comment = self.terms.comment(f"[{word} {level:.{position.terms.digits}f}]" if word else "")
        row.price_open, row.setup_ns = level, said["ts_ns"]
        return row

    def _take_swap(self, position: PositionRow, deal: DealRow, fraction: Decimal) -> None:
        """Pay the overnight interest of what is closed."""
        share = position.swap if fraction >= 1 else cents(position.swap * fraction)
        position.swap -= share
        self.balance -= deal.amount
        deal.swap += share
        self.balance += deal.amount

    def _deal(self, row: OrderRow, position: PositionRow, said: Transaction, *, entry: int) -> DealRow:
        """Book a fill on a deal; the parts of one fill share one."""
        deal = self.deals[-1]
        key = (row.ticket, position.identifier, entry, said["price"], said["ts_ns"])
        if (deal.order, deal.position_id, deal.entry, deal.price, deal.ts_ns) != key:
            deal_type = mt5.DEAL_TYPE_BUY if said["side"] > 0 else mt5.DEAL_TYPE_SELL
            deal = self._new_deal(row.ticket, said["ts_ns"], deal_type)
            deal.symbol, deal.entry, deal.magic = row.symbol, entry, row.magic
            deal.position_id, deal.reason, deal.price = position.identifier, row.reason, said["price"]
            deal.comment = row.comment
        self.balance -= deal.amount
        deal.volume += position.terms.lots(Decimal(said["units"]))
        deal.commission -= Decimal(said["commission"])
        deal.profit += Decimal(said["realized"])
        self.balance += deal.amount
        return deal

    def _new_deal(self, order: int, ts_ns: int, deal_type: int) -> DealRow:
        self._last_deal += 1
        deal = DealRow(self._last_deal, order, ts_ns, deal_type, visible_ns=self.now() + self.lag_ns)
        self.deals.append(deal)
        return deal

    def _ended(self, said: Transaction, kind: EventKind) -> None:
        row = self._bound.get(said["order_id"])
        if row is None or said.get("replaced_by"):
            return
        if row is self.acting and not row.is_pending:
            self.ended_reason = said["reason"]
            return
        if row.ticket in self.orders:
            state = mt5.ORDER_STATE_EXPIRED if kind is EventKind.ORDER_EXPIRED else mt5.ORDER_STATE_CANCELED
            self.retire(row, state, ts_ns=said["ts_ns"])
