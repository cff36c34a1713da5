"""The codes an order, a fill and a refusal are made of: small integers that kernels compare.

`Side.BUY = 1` and `Side.SELL = -1`, so `side * distance` is right for both. Codes are stored in result files: a number
is never reused or renumbered.
"""

from enum import IntEnum


class Side(IntEnum):
    """Direction of an order or position."""

    SELL = -1
    NONE = 0
    BUY = 1


class Action(IntEnum):
    """What an intent asks for."""

    NONE = 0
    ENTER = 1
    CANCEL = 2
    """Cancel the resting order `target_id`, or all of `basket`, or all of the market when both are 0."""
    CLOSE = 3
    """Reduce position `target_id` (or all of `basket`, or all) to `size` remaining units at the next open."""
    MODIFY = 4
    """Move stop loss and take profit of position or order `target_id`; NaN leaves a price as it is."""


class OrderType(IntEnum):
    """How an entry meets the market."""

    MARKET = 0
    LIMIT = 1
    STOP = 2


class SizeRule(IntEnum):
    """How `INTENT.size` becomes units."""

    RISK = 0
    """`size` is the fraction of equity lost at the stop."""
    UNITS = 1
    """`size` is units of the base currency."""


class TrailMode(IntEnum):
    """How a stop follows price; closed bars only, and only tighter."""

    OFF = 0
    DISTANCE = 1
    """close - side * trail_distance (price units)."""
    ATR = 2
    """close - side * trail_distance * ATR(14)."""
    CHANDELIER = 3
    """extreme of the last `trail_bars` bars since entry - side * trail_distance * ATR(14)."""


class TradingState(IntEnum):
    """What an account may do; it only ever gets worse until the next day or a person lifts it."""

    ACTIVE = 0
    REDUCING = 1
    """No entry; open positions run on under their stops unless the limit says flatten."""
    HALTED = 2
    """Everything is closed and nothing is opened until a person re-arms the account."""


class ExitReason(IntEnum):
    """Why a position was closed."""

    NONE = 0
    STOP_LOSS = 1
    TAKE_PROFIT = 2
    STRATEGY = 3
    TIME = 4
    WEEKEND = 5
    BREAK_EVEN = 6
    """A stop that had been moved to or past the entry price."""
    TRAILING = 7
    MARGIN = 8
    DAILY_LOSS = 9
    DRAWDOWN = 10
    NEWS = 11
    END_OF_DATA = 12


class RejectCode(IntEnum):
    """Why an intent or order was not executed as asked."""

    NONE = 0
    TRADING_STATE = 1
    MARKET_LOCKED = 2
    SESSION = 3
    """Inside the last hours of the FX week. Holidays are the strategies' to heed: they make sessions invalid."""
    NEWS = 4
    NO_STOP = 5
    STOP_SIDE = 6
    STOP_TOO_NEAR = 7
    TARGET_SIDE = 8
    ENTRY_SIDE = 9
    """A limit or stop price on the wrong side of the market."""
    NOT_FINITE = 10
    EXPIRED = 11
    SPREAD = 12
    """The spread is above what the strategy or the entry allows; resting entries are pulled then."""
    DUPLICATE = 13
    SIZE_BELOW_MINIMUM = 14
    NO_EDGE = 15
    MAX_POSITIONS = 16
    MAX_PER_MARKET = 17
    TRADE_RATE = 18
    MAX_NOTIONAL = 19
    OPEN_RISK = 20
    CURRENCY_NET = 21
    CURRENCY_GROSS = 22
    LEVERAGE = 23
    CLUSTER_RISK = 24
    MARGIN = 25
    OPEN_TOO_FAR = 26
    """A market entry whose next open lies more than half the stop distance away."""
    DATA_GAP = 27
    """A market entry before a gap in the data."""
    GAP_BEYOND_STOP = 28
    """A resting entry that price jumped past, stop included."""
    UNKNOWN_TARGET = 29
    LOOSENS_STOP = 30
    AMBIGUOUS_BAR = 31
    """Both sides of a bracketed entry inside one bar, with `skip_if_both`."""
    SIBLING_FILLED = 32
    """A resting entry whose group had another one filled."""
    ORDER_EXPIRED = 33
    IDEA_RISK = 34
    """An entry that loses more at its stop than one entry may, however it was sized."""
    APP_RISK = 35
    END_OF_DATA = 36
    SHRUNK = 37
    """Executed smaller than asked, because a limit says shrink; `value` is the units asked, `limit` those given."""
    QUOTA = 38
    """As many other markets as `INTENT.quota_max` allows have had an entry under the same key."""


class Status(IntEnum):
    """What a kernel returns to its Python wrapper; every other value than OK stops or pauses the run."""

    OK = 0
    GROW_TRADES = 1
    GROW_EQUITY = 2
    GROW_REJECTS = 3
    PAUSED = 4
    """The step budget of the call is used up; call again."""
    FULL_POSITIONS = 10
    FULL_ORDERS = 11
    FULL_QUEUE = 12
    FULL_INTENTS = 13
    FULL_EVENTS = 14
    NO_CALENDAR = 15
    """A bar lies outside the calendar that the run was given."""
    STRATEGY = 20
    """`step` returned a negative count: its own status, negated and offset."""
