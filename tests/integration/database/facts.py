"""One plausible row of each folded table."""

from decimal import Decimal

from tradesentry.core.domain.live_orders import Effect, OrderStatus
from tradesentry.core.domain.orders import Side
from tradesentry.core.execution.journal import AccountRecord, LiveState, OrderRecord, PositionRecord

ORDER = OrderRecord("ts1-a", 1, "EURUSD", Side.BUY, Effect.OPEN, OrderStatus.ACCEPTED, Decimal(1000))
POSITION = PositionRecord("t1", 1, "EURUSD", Side.BUY, Decimal(1000), 1.1, 1.09, None, Decimal(10), 1, 1)
ACCOUNT = AccountRecord(
    LiveState.ACTIVE, "started", Decimal(10000), Decimal(10000), Decimal(10000), Decimal(10000), as_of_ns=1
)
