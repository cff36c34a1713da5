"""What MetaTrader 5's answers mean: every retcode and error code in exactly one class.

Separate because it is a table that must be complete, not code that may be clever: a code that is not listed here counts
as unknown, so the command may have been executed and is never sent again. Classes are those of `Outcome`: done, refused
(with what may follow), unknown.
"""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final, Literal, TypeAlias

from tradesentry.core.broker import mt5_constants as mt5
from tradesentry.core.broker.base_broker import NotSent, Outcome, RefusalClass, Refused, Unknown

Kind: TypeAlias = Literal["place", "replace", "cancel", "close", "protect"]
KINDS: Final[tuple[Kind, ...]] = ("place", "replace", "cancel", "close", "protect")

DONE: Final[Mapping[int, str]] = MappingProxyType(
    {
        mt5.TRADE_RETCODE_PLACED: "PLACED",
        mt5.TRADE_RETCODE_DONE: "DONE",
        mt5.TRADE_RETCODE_DONE_PARTIAL: "DONE_PARTIAL",
        mt5.TRADE_RETCODE_NO_CHANGES: "NO_CHANGES",
    }
)
UNKNOWN: Final[Mapping[int, str]] = MappingProxyType(
    {
        mt5.TRADE_RETCODE_ERROR: "ERROR",
        mt5.TRADE_RETCODE_TIMEOUT: "TIMEOUT",
        mt5.TRADE_RETCODE_ORDER_CHANGED: "ORDER_CHANGED",
        mt5.TRADE_RETCODE_LOCKED: "LOCKED",
        mt5.TRADE_RETCODE_CONNECTION: "CONNECTION",
        mt5.TRADE_RETCODE_INVALID_CLOSE_VOLUME: "INVALID_CLOSE_VOLUME",
        mt5.TRADE_RETCODE_CLOSE_ORDER_EXIST: "CLOSE_ORDER_EXIST",
    }
)
_FINAL: Final = RefusalClass.FINAL
REFUSED: Final[Mapping[int, tuple[str, RefusalClass, str]]] = MappingProxyType(
    {
        mt5.TRADE_RETCODE_REQUOTE: ("REQUOTE", RefusalClass.REQUOTE, "Ask again at a new quote."),
        mt5.TRADE_RETCODE_PRICE_CHANGED: ("PRICE_CHANGED", RefusalClass.REQUOTE, "Ask again at a new quote."),
        mt5.TRADE_RETCODE_MARKET_CLOSED: ("MARKET_CLOSED", RefusalClass.BACK_OFF, "Wait until the session opens."),
        mt5.TRADE_RETCODE_PRICE_OFF: ("PRICE_OFF", RefusalClass.BACK_OFF, "There are no prices; wait."),
        mt5.TRADE_RETCODE_TOO_MANY_REQUESTS: ("TOO_MANY_REQUESTS", RefusalClass.BACK_OFF, "Lower the throttle."),
        mt5.TRADE_RETCODE_FROZEN: ("FROZEN", RefusalClass.BACK_OFF, "The order is too near the market; read it again."),
        mt5.TRADE_RETCODE_REJECT: ("REJECT", _FINAL, "The dealer refused."),
        mt5.TRADE_RETCODE_CANCEL: ("CANCEL", _FINAL, "Somebody canceled the request at the terminal; reconcile."),
        mt5.TRADE_RETCODE_REJECT_CANCEL: ("REJECT_CANCEL", _FINAL, "The pending order was refused and canceled."),
        mt5.TRADE_RETCODE_LIMIT_ORDERS: ("LIMIT_ORDERS", _FINAL, "The account has as many pending orders as it may."),
        mt5.TRADE_RETCODE_LIMIT_VOLUME: ("LIMIT_VOLUME", _FINAL, "The symbol's volume limit is reached."),
        mt5.TRADE_RETCODE_LIMIT_POSITIONS: ("LIMIT_POSITIONS", _FINAL, "The account has as many positions as it may."),
        mt5.TRADE_RETCODE_ONLY_REAL: ("ONLY_REAL", _FINAL, "Real accounts only."),
        mt5.TRADE_RETCODE_INVALID: ("INVALID", _FINAL, "The request is wrong: a defect of the connector."),
        mt5.TRADE_RETCODE_INVALID_VOLUME: ("INVALID_VOLUME", _FINAL, "Read the symbol's volumes again."),
        mt5.TRADE_RETCODE_INVALID_PRICE: ("INVALID_PRICE", _FINAL, "Read the quote again."),
        mt5.TRADE_RETCODE_INVALID_EXPIRATION: ("INVALID_EXPIRATION", _FINAL, "The expiry is wrong; check server_tz."),
        mt5.TRADE_RETCODE_INVALID_ORDER: ("INVALID_ORDER", _FINAL, "The request names a wrong or absent order."),
        mt5.TRADE_RETCODE_INVALID_STOPS: ("INVALID_STOPS", _FINAL, "The stop is too near; widen it by the risk gate."),
        mt5.TRADE_RETCODE_NO_MONEY: ("NO_MONEY", _FINAL, "The margin is not enough; our margin model is wrong."),
        mt5.TRADE_RETCODE_INVALID_FILL: ("INVALID_FILL", _FINAL, "The symbol takes none of the filling modes tried."),
        mt5.TRADE_RETCODE_LONG_ONLY: ("LONG_ONLY", _FINAL, "Only buying is allowed on this symbol."),
        mt5.TRADE_RETCODE_SHORT_ONLY: ("SHORT_ONLY", _FINAL, "Only selling is allowed on this symbol."),
        mt5.TRADE_RETCODE_CLOSE_ONLY: ("CLOSE_ONLY", _FINAL, "Only closing is allowed on this symbol."),
        mt5.TRADE_RETCODE_FIFO_CLOSE: ("FIFO_CLOSE", _FINAL, "Close the oldest position of the symbol first."),
        mt5.TRADE_RETCODE_HEDGE_PROHIBITED: ("HEDGE_PROHIBITED", _FINAL, "Opposite positions are not allowed."),
        mt5.TRADE_RETCODE_TRADE_DISABLED: ("TRADE_DISABLED", RefusalClass.HALT, "Trading is off for this symbol."),
        mt5.TRADE_RETCODE_SERVER_DISABLES_AT: (
            "SERVER_DISABLES_AT", RefusalClass.HALT, "The broker's server forbids automated trading; ask the broker.",
        ),
        mt5.TRADE_RETCODE_CLIENT_DISABLES_AT: (
            "CLIENT_DISABLES_AT", RefusalClass.HALT, "Press `Algo Trading` in the terminal.",
        ),
    }
)  # fmt: skip
ERRORS_REFUSED: Final[Mapping[int, tuple[str, RefusalClass, str]]] = MappingProxyType(
    {
        mt5.RES_E_INVALID_PARAMS: ("INVALID_PARAMS", _FINAL, "The request is malformed: a defect of the connector."),
        mt5.RES_E_AUTH_FAILED: ("AUTH_FAILED", RefusalClass.HALT, "Log in to the account at the terminal."),
        mt5.RES_E_AUTO_TRADING_DISABLED: (
            "AUTO_TRADING_DISABLED", RefusalClass.HALT, "Press `Algo Trading` in the terminal.",
        ),
    }
)  # fmt: skip
"""Codes of `last_error` after `None` that say that nothing was executed; all others are unknown."""


def meaning_of_retcode(code: int, kind: Kind, *, comment: str, sent_ts_ns: int) -> Outcome | None:
    """Return what a retcode of `order_send` says; None when the command was done.

    Args:
        code: The retcode.
        kind: Of the command.
        comment: The server's words.
        sent_ts_ns: When the request left.
    """
    if code in DONE:
        return None
    if code == mt5.TRADE_RETCODE_POSITION_CLOSED:
        if kind == "close":
            return None
        return Refused("POSITION_CLOSED", "The position is closed already.", RefusalClass.GONE)
    if code in REFUSED:
        name, refusal, advice = REFUSED[code]
        return Refused(
            name, f"MetaTrader 5 refused ({code} {name}{f': {comment}' if comment else ''}). {advice}", refusal
        )
    return Unknown(f"retcode_{code}", sent_ts_ns)


def meaning_of_error(code: int, text: str, *, sent_ts_ns: int) -> Refused | Unknown:
    """Return what `None` from `order_send` says, by `last_error`.

    Args:
        code: First part of `last_error`.
        text: Second part.
        sent_ts_ns: When the request left.
    """
    if code in ERRORS_REFUSED:
        name, refusal, advice = ERRORS_REFUSED[code]
        return Refused(name, f"The terminal refused ({code} {text}). {advice}", refusal)
    return Unknown(f"error_{code}", sent_ts_ns)


def filling_candidates(
    mask: int, *, is_market_execution: bool, is_pending: bool, allow_partial: bool
) -> tuple[int, ...]:
    """Return the filling modes to probe, in the order FOK, IOC, RETURN.

    Args:
        mask: `filling_mode` of the symbol, bits.
        is_market_execution: `trade_exemode` is market execution.
        is_pending: Of a pending order.
        allow_partial: Part of the order may stay unfilled.
    """
    candidates = []
    if mask & mt5.FILLING_FLAG_FOK:
        candidates.append(mt5.ORDER_FILLING_FOK)
    if mask & mt5.FILLING_FLAG_IOC and allow_partial:
        candidates.append(mt5.ORDER_FILLING_IOC)
    if is_pending or not is_market_execution:
        candidates.append(mt5.ORDER_FILLING_RETURN)
    return tuple(candidates)


NO_FILLING: Final = NotSent(
    "filling_mode",
    "The symbol fills in part or not at all (IOC), and this order must fill as a whole. Set `allow_partial`.",
)
