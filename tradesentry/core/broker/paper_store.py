"""Keep a paper account: its transactions, and a snapshot with the last one of each batch.

Separate from the venue, whose work cannot wait for a database. The venue hands every batch to `take`; whoever is about
to tell somebody of it awaits `flush` first, so nobody hears of what is not stored. A process that dies between the two
leaves the account as of the batch before, and the same bars and commands lead to the same transactions again.

A snapshot is small: records compress to a few KB, and orders and trades that ended are left out, because the
transactions tell them in full.
"""

import asyncio
import json
import zlib
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, Final, TypeAlias

from tradesentry.core.broker.base_broker import OrderRequest
from tradesentry.core.broker.paper_ledger import PaperOrder, Transaction
from tradesentry.core.broker.paper_memory import PaperMemory
from tradesentry.core.broker.paper_venue import PaperVenue
from tradesentry.core.domain.errors import StateMismatch
from tradesentry.core.domain.live_orders import OrderStatus, TimeInForce
from tradesentry.core.domain.orders import OrderType, Side
from tradesentry.core.utils.kernel import layout

_ENDS: Final = {"order_canceled": OrderStatus.CANCELED, "order_expired": OrderStatus.EXPIRED}
_FAST: Final = 1
"""Level of compression; most of a book is zeros."""


@dataclass(frozen=True, slots=True)
class PaperEntry:
    """One transaction of a paper venue, as it is stored."""

    seq: int
    kind: str
    payload: Mapping[str, Any]
    ts_ns: int
    snapshot: bytes | None = None
    """The whole venue after this entry; with the last entry of each batch."""


Append: TypeAlias = Callable[[Sequence[PaperEntry]], Awaitable[None]]
"""Stores entries together or not at all; raises `LeaseLost` or `JournalUnavailable`."""


class PaperStore:
    """Collects what one venue did and stores it.

    Args:
        append: Stores entries.
    """

    def __init__(self, append: Append) -> None:
        self._append = append
        self._venue: PaperVenue | None = None
        self._waiting: list[Transaction] = []
        self._lock = asyncio.Lock()

    def attach(self, venue: PaperVenue) -> None:
        """Name the venue whose state goes into the snapshots."""
        self._venue = venue

    def take(self, batch: Sequence[Transaction]) -> None:
        """Take a batch; the venue's sink."""
        self._waiting += batch

    @property
    def n_waiting(self) -> int:
        """Transactions that are not stored yet."""
        return len(self._waiting)

    async def flush(self) -> None:
        """Store what waits; after a failure it goes on waiting.

        Raises:
            LeaseLost: Another process owns the account.
            JournalUnavailable: It is not known to be stored.
        """
        if not self._waiting:
            return
        async with self._lock:
            rows = list(self._waiting)
            if not rows or self._venue is None:
                return
            snapshot = pack(self._venue)
            last = rows[-1]["seq"]
            entries = [
                PaperEntry(row["seq"], row["kind"], row, row["ts_ns"], snapshot if row["seq"] == last else None)
                for row in rows
            ]
            await self._append(entries)
            del self._waiting[: len(rows)]


def pack(venue: PaperVenue) -> bytes:
    """Return a snapshot of a venue as bytes.

    Args:
        venue: Between two commands or settlements.
    """
    whole = venue.snapshot()
    memory = whole.pop("memory")
    whole["orders"] = [order for order in whole["orders"] if order["status"] == OrderStatus.ACCEPTED]
    whole["trades"] = [trade for trade in whole["trades"] if trade["is_open"]]
    parts = {name: {"digest": saved["digest"], "n_bytes": len(saved["data"])} for name, saved in memory.items()}
    head = json.dumps({**whole, "memory": parts}).encode()
    return zlib.compress(head + b"\n" + b"".join(saved["data"] for saved in memory.values()), _FAST)


def unpack(venue: PaperVenue, snapshot: bytes, transactions: Sequence[Transaction]) -> None:
    """Bring a new venue to where a snapshot was taken.

    Args:
        venue: Made with the same instruments, costs and rules.
        snapshot: Of `pack`.
        transactions: All of the account's, from the first.

    Raises:
        StateMismatch: The snapshot is of other markets or another version.
    """
    head, _, data = zlib.decompress(snapshot).partition(b"\n")
    whole = json.loads(head)
    memory, at = {}, 0
    for name, part in whole["memory"].items():
        dtype = PaperMemory.SAVED[name]
        memory[name] = {"data": data[at : at + part["n_bytes"]], "digest": part["digest"], "layout": layout(dtype)}
        at += part["n_bytes"]
        n_rows, n_wanted = part["n_bytes"] // dtype.itemsize, len(getattr(venue.memory, name))
        if n_rows != n_wanted:
            raise StateMismatch(
                f"The paper account was kept with {n_rows} rows of {name} and is now opened with {n_wanted}: the "
                "markets are not the same. Trade it with the markets it was made for, or use another account."
            )
    live = {order["order_id"]: order for order in whole["orders"]}
    ended = [order for order in orders_of(transactions[: whole["last_seq"]]) if order.order_id not in live]
    venue.restore({**whole, "memory": memory}, transactions)
    every = {order.order_id: order for order in ended} | venue.orders
    venue.orders = {order_id: every[order_id] for order_id in sorted(every, key=int)}


def orders_of(transactions: Sequence[Transaction]) -> list[PaperOrder]:
    """Return the entries that a log tells of, each as the log leaves it.

    Args:
        transactions: From the first.
    """
    orders: dict[str, PaperOrder] = {}
    for row in transactions:
        order_id, kind = row.get("order_id"), row["kind"]
        if kind == "order_accepted" and "trade_id" not in row:
            orders[str(order_id)] = PaperOrder(str(order_id), _request(row), replaces=row.get("replaces"))
        elif order_id not in orders:
            continue
        elif kind == "order_filled" and row["effect"] == "open":
            order = orders[order_id]
            order.filled_units, order.average_price = order.filled_units + Decimal(row["units"]), row["price"]
            order.trade_id = row["trade_id"]
            is_whole = order.filled_units >= order.request.units
            order.status = OrderStatus.FILLED if is_whole else OrderStatus.PARTLY_FILLED
        elif kind in _ENDS:
            orders[order_id].status, orders[order_id].reason = _ENDS[kind], row["reason"]
            orders[order_id].replaced_by = row.get("replaced_by")
    return list(orders.values())


def _request(row: Transaction) -> OrderRequest:
    return OrderRequest(
        client_order_id=row["client_order_id"] or "",
        symbol=row["symbol"],
        side=Side(row["side"]),
        units=Decimal(row["units"]),
        type=OrderType[row["type"].upper()],
        price=row["price"],
        stop_loss=row["stop_loss"],
        take_profit=row["take_profit"],
        tif=TimeInForce(row["tif"]),
        expires_ts_ns=row["expires_ts_ns"],
        price_bound=row["price_bound"],
    )
