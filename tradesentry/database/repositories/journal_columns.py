"""The columns of the current-state tables: what an order and a trade are now, as rows.

Prices and money are rounded here to the scale of their columns; what they follow from is exact in `terms`.
"""

from decimal import Decimal
from typing import Any

from tradesentry.core.execution.journal_rows import OrderRecord, PositionRecord


def price_column(value: float | None) -> Decimal | None:
    """Return a price as the database takes it."""
    return None if value is None else Decimal(repr(float(value)))


def order_columns(order: OrderRecord) -> dict[str, Any]:
    """Return the row of an order by column."""
    return {
        "order_key": order.order_key,
        "seq": order.seq,
        "instrument": order.instrument,
        "side": int(order.side),
        "effect": order.effect.value,
        "status": order.status.value,
        "units": order.units,
        "filled_units": order.filled_units,
        "average_price": price_column(order.average_price),
        "venue_order_ids": list(order.venue_order_ids),
        "terms": dict(order.terms),
        "is_external": order.seq is None,
        "evidence": order.evidence,
        "last_ts_ns": order.last_ts_ns,
    }


def position_columns(position: PositionRecord) -> dict[str, Any]:
    """Return the row of a trade by column."""
    return {
        "trade_ref": position.trade_ref,
        "seq": position.seq,
        "instrument": position.instrument,
        "side": int(position.side),
        "units": position.units,
        "entry_price": price_column(position.entry_price),
        "stop_loss": price_column(position.stop_loss),
        "take_profit": price_column(position.take_profit),
        "initial_risk": position.initial_risk,
        "opened_ns": position.opened_ns,
        "last_ts_ns": position.last_ts_ns,
        "terms": dict(position.terms),
    }
