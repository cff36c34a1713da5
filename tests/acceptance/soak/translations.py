"""Tell a hand-made story in the words of another venue, for tests of the checker.

The story itself is told once, in OANDA's JSON. What is stored and what is asked looks otherwise behind a gateway and on
a paper account; the judge has to find the same lies in each of the three.
"""

from dataclasses import replace
from decimal import Decimal
from typing import Any

from tests.acceptance.soak.evidence import Evidence, Journal, Row, VenueFile
from tests.acceptance.soak.readings import DIGITS, LOT


def through_a_gateway(evidence: Evidence) -> Evidence:
    """Return the evidence as a soak over the gateway leaves it."""
    return _translated(evidence, _terminal_event, _gateway_request)


def on_paper(evidence: Evidence) -> Evidence:
    """Return the evidence as a soak over paper accounts leaves it."""
    return _translated(evidence, _paper_event, _paper_request)


def _translated(evidence: Evidence, event: Any, request: Any) -> Evidence:
    journal, venue = {}, {}
    for account, rows in evidence.journal.items():
        said = {row["seq"]: row for row in evidence.venue[account].transactions}
        events = [{**row, "raw": event(row["raw"], said.get(row["seq"], {}))} for row in rows.events]
        journal[account] = Journal(**{**vars(rows), "events": events})
        of_it = evidence.venue[account]
        requests = [{**row, "body": request(row)} for row in of_it.requests]
        venue[account] = VenueFile(**{**vars(of_it), "requests": requests})
    return replace(evidence, journal=journal, venue=venue)


def _terminal_event(raw: Row, _: Row) -> dict[str, Any]:
    number = int(raw["id"])
    if raw["type"].endswith("_ORDER") and "clientExtensions" in raw:
        return {"type": "order", "raw": {"ticket": number, "magic": _magic(raw["clientExtensions"]["id"])}}
    if raw["type"] != "ORDER_FILL":
        return {"type": "guard"}
    is_open = "tradeOpened" in raw
    part = raw.get("tradeOpened") or raw.get("tradeReduced") or raw["tradesClosed"][0]
    units = Decimal(part["units"])
    deal = {"ticket": number, "order": int(raw["orderID"]), "position_id": int(part["tradeID"])}
    deal |= {"type": 0 if units > 0 else 1, "entry": 0 if is_open else 1, "volume": float(abs(units) / LOT)}
    return {"type": "deal", "raw": {**deal, "price": float(part["price"]), "profit": float(part.get("realizedPL", 0))}}


def _magic(client: str) -> int:
    number = 0
    for digit in client.removeprefix("ts1-"):
        number = number << 5 | DIGITS.index(digit)
    return number


def _paper_event(_: Row, transaction: Row) -> dict[str, Any]:
    return {name: value for name, value in transaction.items() if name != "at"}


def _gateway_request(row: Row) -> dict[str, Any]:
    kind, client, trade = _asked(row)
    request = {"order": {"client_order_id": client}} if kind == "place" else {"target": {"trade_id": trade}}
    return {"kind": kind, "client_order_id": client, "request": request}


def _paper_request(row: Row) -> dict[str, Any]:
    kind, client, trade = _asked(row)
    return {"kind": kind, "client": client} if kind == "place" else {"kind": kind, "trade": trade}


def _asked(row: Row) -> tuple[str, str, str]:
    """Return kind, client order id and trade of a request at OANDA."""
    parts = row["path"].split("/")
    if row["method"] == "POST":
        return "place", row["body"]["order"]["clientExtensions"]["id"], ""
    return parts[-1], "", parts[-2]
