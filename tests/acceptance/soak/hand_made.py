"""A small true story told twice, as a venue's log and as the journal that belongs to it, for tests of the checker."""

from collections.abc import Callable
from decimal import Decimal
from typing import Any

from tests.acceptance.soak.evidence import Claim, Evidence, Journal, Span, VenueFile
from tests.acceptance.soak.folds import venue_story
from tests.acceptance.soak.readings import client_of_magic

ACCOUNT = "001-001-1234567-001"
SECOND = 10**9
START = 1_790_000_000 * SECOND


class HandMade:
    """Writes one account's log and journal side by side; `evidence` is consistent until somebody spoils it."""

    def __init__(self) -> None:
        self.venue, self.journal = VenueFile(), Journal()
        self.now = START
        self.balance = Decimal(100_000)
        self.seq = 0
        self.ids: dict[int, str] = {}
        self.rearmed: list[Span] = []

    def tx(self, kind: str, raw: dict[str, Any], *, amount: Any = 0, **said: Any) -> str:
        """Add a transaction and its stored event; return its number."""
        number = len(self.venue.transactions) + 1
        self.now += SECOND // 100
        self.balance += Decimal(amount)
        row = {"seq": number, "kind": kind, "at": self.now, "balance": str(self.balance), **said}
        self.venue.transactions.append(row)
        event = {"log_id": "log", "seq": number, "kind": kind, "raw": {"id": str(number), **raw}}
        self.journal.events.append(event)
        self.journal.cursors = [{"log_id": "log", "contiguous_seq": number}]
        return str(number)

    def intent(self, *, epoch: int = 1, tag: str = "") -> str:
        """Journal an entry and its attempt; the request reaches the venue."""
        self.seq += 1
        client = self.ids[self.seq] = client_of_magic(self.seq)
        body = {"tag": tag or f"goal-{self.seq}", "trade_ref": None}
        row = {"seq": self.seq, "client_order_id": client, "epoch": epoch, "effect": "open", "intent": body}
        self.journal.intents.append({**row, "instrument": "EURUSD", "risk": {}, "run_id": None})
        self.attempt(self.seq, "place", epoch=epoch)
        self.moved(self.seq, "new", "sending")
        self.request("POST", "/orders", {"order": {"clientExtensions": {"id": client}}})
        return client

    def attempt(self, seq: int, kind: str, *, epoch: int = 1, **request: Any) -> None:
        """Journal a request."""
        n = 1 + sum(row["seq"] == seq for row in self.journal.attempts)
        row = {"seq": seq, "attempt": n, "kind": kind, "epoch": epoch, "request": request, "sending_ns": self.now}
        self.journal.attempts.append(row)

    def request(self, method: str, path: str, body: dict[str, Any], *, sender: str = "soak-0-1") -> None:
        """Let a request arrive."""
        self.venue.requests.append({"at": self.now, "method": method, "path": path, "body": body, "sender": sender})

    def moved(self, seq: int, *to: str) -> None:
        """Journal steps of an order."""
        for status in to:
            n = 1 + sum(row["seq"] == seq for row in self.journal.transitions)
            self.journal.transitions.append({"seq": seq, "n": n, "to_status": status, "epoch": 1, "at_ns": self.now})

    def accepted(self, client: str | None, *, kind: str = "market", units: int = 1_000, price: Any = None) -> str:
        """The venue takes an entry."""
        raw = {"type": f"{kind.upper()}_ORDER", "clientExtensions": {"id": client}} if client else {"type": "X"}
        said = {"symbol": "EURUSD", "side": 1, "units": str(units), "type": kind, "price": price, "stop_loss": 1.095}
        number = str(len(self.venue.transactions) + 1)
        return self.tx("order_accepted", raw, order_id=number, client_order_id=client, replaces=None, **said)

    def filled(self, order: str, client: str | None, *, units: int = 1_000) -> str:
        """The venue opens a trade with a stop."""
        number = str(len(self.venue.transactions) + 1)
        part = {"tradeID": number, "units": str(units), "price": "1.10000"}
        raw = {"type": "ORDER_FILL", "orderID": order, "price": "1.10000", "tradeOpened": part}
        self._fill(raw, order, number, client, 1, units, effect="open", is_closed=False, realized=0)
        self.guarded(number, 1.095)
        return number

    def closed(self, trade: str, *, units: int, left: int, price: float = 1.101) -> None:
        """We reduce a trade."""
        seq = next(row["seq"] for row in self.journal.intents)
        self.attempt(seq, "close", trade_id=trade)
        self.request("PUT", f"/trades/{trade}/close", {"units": str(units)})
        said = {"symbol": "EURUSD", "side": -1, "units": str(units), "type": "market", "trade_id": trade}
        order = str(len(self.venue.transactions) + 1)
        self.tx("order_accepted", {"type": "MARKET_ORDER"}, order_id=order, client_order_id=None, **said)
        part = {"tradeID": trade, "units": f"-{units}", "price": f"{price:.5f}", "realizedPL": "1.0000"}
        where = {"tradesClosed": [part]} if left == 0 else {"tradeReduced": part}
        raw = {"type": "ORDER_FILL", "orderID": order, "price": f"{price:.5f}", **where}
        self._fill(raw, order, trade, None, -1, units, effect="reduce", is_closed=left == 0, realized=1, price=price)

    def _fill(
        self, raw: dict[str, Any], order: str, trade: str, client: str | None, side: int, units: int, **more: Any
    ) -> None:
        said = {"order_id": order, "client_order_id": client, "trade_id": trade, "symbol": "EURUSD", "side": side}
        price, realized = more.pop("price", 1.1), more["realized"]
        said |= {"units": str(units), "price": price, "commission": "0", **more}
        number = self.tx("order_filled", raw, amount=realized, **said)
        row = {"fill_id": number, "leg": 0, "venue_order_id": order, "client_order_id": client, "trade_ref": trade}
        row |= {"instrument": "EURUSD", "side": side, "units": Decimal(units), "price": Decimal(str(price))}
        self.journal.fills.append({**row, "realized": Decimal(realized), "effect": more["effect"]})
        held = next((p for p in self.journal.positions if p["trade_ref"] == trade), None)
        if held is None:
            self.journal.positions.append({"trade_ref": trade, "units": Decimal(units), "stop_loss": 1.095})
        else:
            held["units"] -= units

    def guarded(self, trade: str, price: float | None, *, by_hand: bool = False) -> None:
        """The stop of a trade is set or removed."""
        said = {"trade_id": trade, "which": "stop_loss", "price": price, "order_id": "0"}
        number = self.tx("protection", {"type": "STOP_LOSS_ORDER"}, **said)
        if by_hand:
            self.venue.manual.add(int(number))

    def stands(self, client: str | None, order: str, status: str, *, filled: int = 0, units: int = 1_000) -> None:
        """Journal what an order is now."""
        seq = next((seq for seq, known in self.ids.items() if known == client), None)
        key = client or f"venue:{order}"
        row = {"order_key": key, "seq": seq, "status": status, "units": Decimal(units), "is_external": client is None}
        row |= {"filled_units": Decimal(filled), "venue_order_ids": [order] if order else [], "effect": "open"}
        self.journal.orders.append(row)
        if client is None:
            text = f"order venue:{order} is not ours"
            self.journal.alerts.append({"topic": "alert", "subject": "x", "dedupe_key": "e", "payload": {"text": text}})
        if seq is not None:
            self.moved(seq, status)

    def state(self, state: str = "active", reason: str = "", *, epoch: int = 1, mark: int = 100_000) -> None:
        """Journal the account."""
        self.now += SECOND
        back = "active" if state == "reconciling" else None
        row = {"trading_state": state, "return_state": back, "reason": reason, "epoch": epoch, "at_ns": self.now}
        row |= {"balance": self.balance, "equity": self.balance, "high_water_mark": Decimal(mark)}
        self.journal.history.append(row)

    def rearm(self) -> None:
        """A person lifts a halt."""
        self.rearmed.append(Span(self.now, self.now + 2 * SECOND, ACCOUNT))

    def evidence(self) -> Evidence:
        """Return everything."""
        trades = {p["trade_ref"]: p["units"] for p in self.journal.positions if p["units"]}
        story = venue_story(self.venue.transactions)
        orders = [order.order_id for order in story.orders.values() if order.is_open and order.type != "market"]
        final = {"balance": str(self.balance), "equity": str(self.balance), "trades": trades, "orders": orders}
        self.venue.final = {**final, "at": self.now}
        claims = [Claim(ACCOUNT, "soak-0-1", 1, START - SECOND)]
        active = [Span(START, self.now + SECOND, ACCOUNT)]
        return Evidence({ACCOUNT: self.venue}, {ACCOUNT: self.journal}, claims, active, rearmed=self.rearmed)


def true_story(spoil: Callable[[HandMade], None] = lambda made: None) -> Evidence:
    """Return a market entry closed in two steps, a resting and a rejected order, a stranger's trade, a deposit.

    Args:
        spoil: Goes on with the story, or breaks it.
    """
    made = HandMade()
    made.state("reconciling", "start")
    made.state("active", "reconciled")
    first = made.intent()
    order = made.accepted(first)
    trade = made.filled(order, first)
    made.stands(first, order, "filled", filled=1_000)
    made.guarded(trade, 1.097)
    made.closed(trade, units=400, left=600)
    second = made.intent()
    resting = made.accepted(second, kind="limit", price=1.09)
    made.stands(second, resting, "accepted")
    third = made.intent()
    made.tx("order_rejected", {"type": "MARKET_ORDER_REJECT"}, client_order_id=third, reason="INSUFFICIENT_MARGIN")
    made.stands(third, "", "rejected")
    stranger = made.accepted(None)
    made.filled(stranger, None)
    made.stands(None, stranger, "filled", filled=1_000)
    made.tx("transfer", {"type": "TRANSFER_FUNDS"}, amount=50)
    spoil(made)
    made.state("active", "poll")
    return made.evidence()
