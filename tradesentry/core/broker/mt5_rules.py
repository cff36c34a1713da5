"""What must not be sent to a terminal: a terminal or account that forbids trading, stops too near, frozen or excess.

Local rules, so their verdicts are `NotSent`, but where the terminal itself says that nothing may be traded until
somebody acts: that is a refusal that halts.
"""

from tradesentry.core.broker.base_broker import NotSent, OrderReport, OrderRequest, RefusalClass, Refused
from tradesentry.core.broker.mt5_messages import Symbol, side_of
from tradesentry.core.broker.mt5_terminal import ENVIRONMENTS, Mt5Terminal
from tradesentry.core.domain.errors import BrokerError
from tradesentry.core.domain.money import decimal_of
from tradesentry.core.domain.orders import OrderType
from tradesentry.core.domain.venue import OpenTrade, Quote

TOLERANCE_POINTS = 1e-6


def precondition(terminal: Mt5Terminal) -> NotSent | Refused | None:
    """Return why nothing may be sent to this terminal now."""
    try:
        info, account = terminal.call("terminal_info"), terminal.call("account_info")
    except BrokerError as error:
        return NotSent(error.code, str(error))
    link = terminal.link
    is_ours = (account.login, ENVIRONMENTS.get(account.trade_mode, "live")) == (link.login, link.environment)
    rules = (
        (is_ours, "ACCOUNT_CHANGED", "The terminal is logged in to another account. Log in to the linked one."),
        (not info.tradeapi_disabled, "TRADE_API_DISABLED", "Allow trading by Python in the terminal's options."),
        (info.trade_allowed, "CLIENT_DISABLES_AT", "Press `Algo Trading` in the terminal."),
        (account.trade_allowed, "ACCOUNT_TRADE_DISABLED", "The account may not trade (investor password?)."),
        (account.trade_expert, "SERVER_DISABLES_AT", "The broker's server forbids automated trading; ask the broker."),
    )
    for is_right, code, text in rules:
        if not is_right:
            return Refused(code, text, RefusalClass.HALT)
    if not info.connected:
        return NotSent("not_connected", "The terminal has no connection to its server.")
    return None


def stop_problem(symbol: Symbol, request: OrderRequest, quote: Quote | None) -> NotSent | None:
    """Return why stop or target lie too near for the venue; 0 may mean a floating distance, which only it knows."""
    least = symbol.item.min_stop_distance
    price = request.price
    if request.type is OrderType.MARKET and quote is not None:
        price = quote.closing(request.side)
    for name, guard in (("stop", request.stop_loss), ("target", request.take_profit)):
        if guard is None or price is None:
            continue
        if abs(price - guard) < least - TOLERANCE_POINTS * symbol.point:
            return NotSent(
                "stop_too_near",
                f"The {name} {guard} is {abs(price - guard):.6g} from {price}; {symbol.name} asks for {least:.6g}.",
            )
    return None


def freeze_problem(symbol: Symbol, present: OrderReport | OpenTrade, quote: Quote | None) -> NotSent | None:
    """Return why an order or trade is too near the market to be changed."""
    least = symbol.item.freeze_distance
    if not least or quote is None:
        return None
    prices: tuple[float | None, ...]
    if isinstance(present, OrderReport):
        reference, prices = quote.opening(present.side), (present.price,)
    else:
        reference, prices = quote.closing(present.side), (present.stop_loss, present.take_profit)
    if any(price is not None and abs(price - reference) <= least for price in prices):
        return NotSent("frozen", f"{symbol.name} is at {reference}, within {least:.6g} of what would be changed.")
    return None


def volume_problem(terminal: Mt5Terminal, symbol: Symbol, request: OrderRequest) -> NotSent | None:
    """Return why an entry exceeds the volume that the broker allows in one direction."""
    if not symbol.limit:
        return None
    shown = [(row.type, row.volume) for row in terminal.call("positions_get", symbol=symbol.name)]
    shown += [(row.type, row.volume_current) for row in terminal.call("orders_get", symbol=symbol.name)]
    held = sum((decimal_of(volume) for kind, volume in shown if side_of(kind) is request.side), start=decimal_of(0))
    if held + symbol.volume(request.units) <= symbol.limit:
        return None
    return NotSent("volume_limit", f"{held} lots of at most {symbol.limit} are taken in that direction.")
