"""Read what was asked and what was stored in each venue's own words, a second time and independently of the trader.

Three languages: OANDA's JSON, what MetaTrader 5 shows through the gateway, and the paper account's transactions. The
judge compares the venue's log with the journal; this module is how it understands requests and stored events at all.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, Final

Row = Mapping[str, Any]
LOT: Final = 100_000
"""Units of a lot of currencies."""
ENTRIES: Final = ("MARKET_ORDER", "LIMIT_ORDER", "STOP_ORDER")
DIGITS: Final = "abcdefghijklmnopqrstuvwxyz234567"
N_DIGITS: Final = 13


@dataclass(frozen=True)
class Ask:
    """What a request wants."""

    kind: str
    """place, close, or anything else."""
    client: str = ""
    """Client order id of an entry."""
    trade: str = ""
    """The trade that is to be closed."""


@dataclass(frozen=True)
class ToldFill:
    """One part of a stored fill."""

    fill: str
    leg: int
    order: str
    trade: str
    side: int
    units: Decimal
    price: float
    realized: Decimal
    is_open: bool


def ask_of(request: Row) -> Ask:
    """Return what a request wants, in whatever language it is."""
    body, parts = request["body"], request["path"].split("/")
    if "request" in body:
        said = body["request"]
        trade, client = (said.get("target") or {}).get("trade_id"), (said.get("order") or {}).get("client_order_id")
        return Ask(body["kind"], str(client or ""), str(trade or ""))
    if "kind" in body:
        return Ask(body["kind"], body.get("client", ""), body.get("trade", ""))
    if request["method"] == "POST":
        client = ((body.get("order") or {}).get("clientExtensions") or {}).get("id", "")
        return Ask("place", str(client))
    return Ask("close", trade=parts[-2]) if parts[-1] == "close" else Ask(parts[-1])


def owner_told(said: Row) -> tuple[str, str] | None:
    """Return (venue order, client order id) of a stored event that shows an order of ours; None for any other."""
    if said.get("type") in ENTRIES:
        client = (said.get("clientExtensions") or {}).get("id")
        return None if client is None else (str(said["id"]), client)
    if said.get("type") == "order":
        magic = int(said["raw"]["magic"])
        return (str(said["raw"]["ticket"]), client_of_magic(magic)) if magic else None
    if said.get("kind") == "order_accepted" and said.get("client_order_id"):
        return str(said["order_id"]), said["client_order_id"]
    return None


def client_of_magic(magic: int) -> str:
    """Return the client order id that a magic number stands for."""
    return "ts1-" + "".join(DIGITS[magic >> 5 * i & 31] for i in reversed(range(N_DIGITS)))


def fills_told(said: Row) -> Iterator[ToldFill]:
    """Yield the parts of a stored event that is a fill."""
    if said.get("type") == "ORDER_FILL":
        for leg, (is_open, part) in enumerate(_oanda_parts(said)):
            units = Decimal(part["units"])
            price, realized = float(part.get("price") or said["price"]), Decimal(part.get("realizedPL") or 0)
            trade, side = str(part["tradeID"]), 1 if units > 0 else -1
            yield ToldFill(
                str(said["id"]), leg, str(said["orderID"]), trade, side, abs(units), price, realized, is_open
            )
    elif said.get("type") == "deal" and said["raw"]["type"] in (0, 1):
        deal = said["raw"]
        side, units = 1 if deal["type"] == 0 else -1, Decimal(str(deal["volume"])) * LOT
        fill, order, trade = str(deal["ticket"]), str(deal["order"]), str(deal["position_id"])
        realized = Decimal(str(deal["profit"]))
        yield ToldFill(fill, 0, order, trade, side, units, float(deal["price"]), realized, deal["entry"] == 0)
    elif said.get("kind") == "order_filled":
        fill, order, trade = str(said["seq"]), str(said["order_id"]), str(said["trade_id"])
        units, price, realized = Decimal(said["units"]), float(said["price"]), Decimal(said["realized"])
        yield ToldFill(fill, 0, order, trade, said["side"], units, price, realized, said["effect"] == "open")


def _oanda_parts(said: Row) -> Iterator[tuple[bool, Row]]:
    """Yield the trades that one ORDER_FILL touched, each with whether it was opened."""
    if said.get("tradeOpened"):
        yield True, said["tradeOpened"]
    if said.get("tradeReduced"):
        yield False, said["tradeReduced"]
    for part in said.get("tradesClosed") or ():
        yield False, part
