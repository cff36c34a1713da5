"""Limits that concern the whole account: open risk, currencies, clusters, leverage, counts, margin.

A quota is the strategies' own limit over all markets: how many of them may enter under one key, say a session.

Evaluated on the book as it stands when an entry is vetted: positions, resting orders and queued entries count at full
size. A limit that says "shrink" makes the entry smaller and leaves a SHRUNK note; all others refuse. An entry that is
part of a basket is never shrunk, because its plan was sized as a whole.
"""

import math
from typing import Any

from tradesentry.core.domain.orders import Action, RejectCode
from tradesentry.core.domain.records import N_QUOTAS, N_RETURNS
from tradesentry.core.execution.costs import plain_ask, plain_unit_value
from tradesentry.core.execution.desk import book_at, market_at, pair_at, quote_at
from tradesentry.core.execution.risk_manager import ROUNDING, floor_to, loss_at_stop, units_within
from tradesentry.core.utils.kernel import kernel

ENTER = int(Action.ENTER)
MAX_POSITIONS = int(RejectCode.MAX_POSITIONS)
MAX_PER_MARKET = int(RejectCode.MAX_PER_MARKET)
TRADE_RATE = int(RejectCode.TRADE_RATE)
OPEN_RISK = int(RejectCode.OPEN_RISK)
APP_RISK = int(RejectCode.APP_RISK)
CURRENCY_NET = int(RejectCode.CURRENCY_NET)
CURRENCY_GROSS = int(RejectCode.CURRENCY_GROSS)
LEVERAGE = int(RejectCode.LEVERAGE)
CLUSTER_RISK = int(RejectCode.CLUSTER_RISK)
MARGIN = int(RejectCode.MARGIN)
SIZE_BELOW_MINIMUM = int(RejectCode.SIZE_BELOW_MINIMUM)
CORRELATION_DAYS = 60
SHRINKAGE = 0.2
CLUSTER_CORRELATION = 0.7
MIN_COMMON_DAYS = 20
UNKNOWN_CORRELATION = 0.5


@kernel
def _count(market: Any, quote: Any, account: Any, side: int, notional: float, risk: float) -> None:
    """Add one position, order or queued entry to the sums."""
    sums = account.exposure
    base = market.base_currency
    counter = market.quote_currency
    sums.net[base] += side * notional
    sums.net[counter] -= side * notional
    sums.gross[base] += notional
    sums.gross[counter] += notional
    sums.risk[base] += side * risk
    sums.risk[counter] -= side * risk
    sums.open_risk += risk
    sums.notional += notional
    sums.margin += notional * market.margin_fraction
    sums.n_entries += 1
    quote.signed_risk += side * risk


@kernel
def _count_book(desk: Any, book: Any, account: Any) -> float:
    """Add everything a book holds to the sums; return its money at risk."""
    market = market_at(desk.markets, book.market)
    quote = quote_at(desk.quotes, market.index)
    unit_value = plain_unit_value(market, desk)
    seen = book.seen
    before = account.exposure.open_risk
    for i in range(seen.n_positions):
        position = seen.positions[i]
        price = quote.bid if position.side > 0 else plain_ask(quote)
        notional = position.units * price * unit_value
        loss = position.side * (price - position.stop_loss) * position.units * unit_value
        _count(market, quote, account, position.side, notional, max(0.0, loss))
    for i in range(seen.n_orders):
        order = seen.orders[i]
        notional = order.units * order.price * unit_value
        _count(market, quote, account, order.side, notional, order.risk_money)
    for i in range(book.n_queue):
        intent = book.queue[i]
        if intent.action == ENTER:
            notional = intent.units * intent.signal_price * unit_value
            _count(market, quote, account, intent.side, notional, intent.risk_money)
    return account.exposure.open_risk - before


@kernel
def sum_exposure(desk: Any, account: Any, book: Any) -> None:
    """Rebuild `ACCOUNT.exposure` from all books.

    `app_risk` and `n_market` count what shares the app and the market with `book`.

    Args:
        desk: DESK, the memory of the run.
        account: ACCOUNT.
        book: BOOK of the entry in question.
    """
    sums = account.exposure
    for i in range(account.n_currencies):
        sums.net[i] = 0.0
        sums.gross[i] = 0.0
        sums.risk[i] = 0.0
    sums.open_risk = 0.0
    sums.app_risk = 0.0
    sums.notional = 0.0
    sums.margin = 0.0
    sums.n_entries = 0
    sums.n_market = 0
    for i in range(desk.n_markets):
        quote_at(desk.quotes, i).signed_risk = 0.0
    for i in range(desk.n_lanes):
        other = book_at(desk.books, i)
        if other.seen.n_positions + other.seen.n_orders + other.n_queue == 0:
            continue
        before = sums.n_entries
        risk = _count_book(desk, other, account)
        if other.app == book.app:
            sums.app_risk += risk
        if other.market == book.market:
            sums.n_market += sums.n_entries - before


@kernel
def correlation(desk: Any, a: int, b: int) -> float:
    """Return the correlation of daily returns of two markets over at most 60 days, shrunk 0.2 toward 0.

    Unknown (under 20 common days): 1 for markets that share a currency, else 0.5. Kept until one of the two has
    another day.
    """
    x = quote_at(desk.quotes, a)
    y = quote_at(desk.quotes, b)
    pair = pair_at(desk.pairs, a * desk.n_markets + b)
    if pair.n_returns != x.n_returns + y.n_returns or pair.n_returns == 0:
        pair.n_returns = x.n_returns + y.n_returns
        pair.correlation = _correlate(desk, a, b)
    return float(pair.correlation)


@kernel
def _correlate(desk: Any, a: int, b: int) -> float:
    """Compute what `correlation` keeps."""
    x = quote_at(desk.quotes, a)
    y = quote_at(desk.quotes, b)
    n = min(min(x.n_returns, y.n_returns), CORRELATION_DAYS)
    if n < MIN_COMMON_DAYS:
        first = market_at(desk.markets, a)
        second = market_at(desk.markets, b)
        shares = (
            first.base_currency == second.base_currency
            or first.base_currency == second.quote_currency
            or first.quote_currency == second.base_currency
            or first.quote_currency == second.quote_currency
        )
        return 1.0 if shares else UNKNOWN_CORRELATION
    sx = sy = sxx = syy = sxy = 0.0
    for k in range(1, n + 1):
        u = x.returns[(x.n_returns - k) % N_RETURNS]
        v = y.returns[(y.n_returns - k) % N_RETURNS]
        sx += u
        sy += v
        sxx += u * u
        syy += v * v
        sxy += u * v
    spread = (sxx - sx * sx / n) * (syy - sy * sy / n)
    if spread <= 0.0:
        return 0.0
    return (1.0 - SHRINKAGE) * (sxy - sx * sy / n) / math.sqrt(spread)


@kernel
def cluster_risk(desk: Any, index: int, enough: float) -> float:
    """Return sqrt(r' C r) of the cluster that holds market `index`, account currency.

    r are the signed risks of `QUOTE.signed_risk`; a cluster is a connected component of abs(rho) >= 0.7. Where the sum
    of all risks is not above `enough`, that sum is returned: no correlation makes a cluster riskier.
    """
    n = desk.n_markets
    gross = 0.0
    for i in range(n):
        gross += abs(quote_at(desk.quotes, i).signed_risk)
    if gross <= enough:
        return gross
    for i in range(n):
        quote_at(desk.quotes, i).cluster = 0
    quote_at(desk.quotes, index).cluster = 1
    has_grown = True
    while has_grown:
        has_grown = False
        for i in range(n):
            if quote_at(desk.quotes, i).cluster != 0 or quote_at(desk.quotes, i).signed_risk == 0.0:
                continue
            for j in range(n):
                if quote_at(desk.quotes, j).cluster == 1 and abs(correlation(desk, i, j)) >= CLUSTER_CORRELATION:
                    quote_at(desk.quotes, i).cluster = 1
                    has_grown = True
                    break
    total = 0.0
    for i in range(n):
        if quote_at(desk.quotes, i).cluster == 0:
            continue
        for j in range(n):
            if quote_at(desk.quotes, j).cluster == 1:
                rho = 1.0 if i == j else correlation(desk, i, j)
                total += quote_at(desk.quotes, i).signed_risk * quote_at(desk.quotes, j).signed_risk * rho
    return math.sqrt(max(0.0, total))


@kernel
def _counts_refuse(account: Any) -> int:
    """Return the refusal by counts: positions of the account, of the market, trades of the day."""
    limits = account.limits
    if account.exposure.n_entries >= limits.max_positions:
        return MAX_POSITIONS
    if account.exposure.n_market >= limits.max_per_market:
        return MAX_PER_MARKET
    if account.n_trades_today >= limits.max_trades_per_day:
        return TRADE_RATE
    return 0


@kernel
def _net_room(account: Any, currency: int, signed: int) -> float:
    """Return the notional by which the net exposure of a currency may still grow in direction `signed`."""
    if currency == account.currency:
        return math.inf
    return account.limits.max_currency_net * account.equity - signed * account.exposure.net[currency]


@kernel
def _shrink(market: Any, desk: Any, account: Any, intent: Any, notional: float) -> tuple[float, int]:
    """Return the share of the entry (0..1) that the limits which shrink leave room for, and the tightest limit."""
    limits = account.limits
    share = 1.0
    code = OPEN_RISK
    if limits.open_risk_shrinks and intent.basket == 0 and intent.risk_money > 0.0:
        room = limits.max_open_risk * account.equity - account.exposure.open_risk
        if room < intent.risk_money:
            share = units_within(market, desk, intent, room) / intent.units
    if limits.currency_net_shrinks and intent.basket == 0 and notional > 0.0:
        room = min(
            _net_room(account, market.base_currency, intent.side),
            _net_room(account, market.quote_currency, -intent.side),
        )
        if room / notional < share:
            share = room / notional
            code = CURRENCY_NET
    return max(0.0, share), code


@kernel
def _sums_refuse(market: Any, account: Any, intent: Any, notional: float) -> int:
    """Return the refusal by risk, currency and leverage of an entry of its final size."""
    limits = account.limits
    sums = account.exposure
    equity = account.equity
    risk = intent.risk_money
    if sums.open_risk + risk > limits.max_open_risk * equity * (1.0 + ROUNDING):
        return OPEN_RISK
    if sums.app_risk + risk > limits.max_app_risk * limits.max_open_risk * equity * (1.0 + ROUNDING):
        return APP_RISK
    slack = 1e-9 * equity
    for leg in range(2):
        currency = market.base_currency if leg == 0 else market.quote_currency
        side = intent.side if leg == 0 else -intent.side
        if _net_room(account, currency, side) + slack < notional:
            return CURRENCY_NET
        if sums.gross[currency] + notional > limits.max_currency_gross * equity:
            return CURRENCY_GROSS
        if currency != account.currency and abs(sums.risk[currency] + side * risk) > limits.max_currency_risk * equity:
            return CURRENCY_NET
    if sums.notional + notional > limits.max_leverage * equity:
        return LEVERAGE
    return 0


@kernel
def is_quota_used(account: Any, book: Any, intent: Any) -> bool:
    """Say whether `quota_max` other books of the same variant and app had an entry accepted under the intent's key.

    An earlier acceptance stands, whatever became of its entry, and lets the same book enter again.

    Args:
        account: ACCOUNT that remembers the acceptances.
        book: BOOK of the entry.
        intent: INTENT with `quota_key`, `quota_max` and the lane of the book.
    """
    if intent.quota_key == 0:
        return False
    n = 0
    for i in range(min(account.n_quotas, N_QUOTAS)):
        row = account.quotas[i]
        if row.key == intent.quota_key and row.variant == book.variant and row.app == book.app:
            if row.lane == intent.lane:
                return False
            n += 1
    return n >= intent.quota_max


@kernel
def note_acceptance(account: Any, book: Any, intent: Any) -> None:
    """Remember that an entry was accepted under its quota key, once for each book. Arguments as `is_quota_used`."""
    if intent.quota_key == 0:
        return
    for i in range(min(account.n_quotas, N_QUOTAS)):
        row = account.quotas[i]
        if row.key == intent.quota_key and row.lane == intent.lane:
            return
    row = account.quotas[account.n_quotas % N_QUOTAS]
    row.key = intent.quota_key
    row.variant = book.variant
    row.app = book.app
    row.lane = intent.lane
    account.n_quotas += 1


@kernel
def vet_portfolio(desk: Any, account: Any, book: Any, intent: Any) -> int:
    """Apply the limits of the account to a sized entry, shrinking it where a limit says so.

    Args:
        desk: DESK, the memory of the run.
        account: ACCOUNT; `exposure` is rebuilt.
        book: BOOK of the entry.
        intent: INTENT with units and risk_money; both may become smaller.

    Returns:
        A RejectCode, 0 when the entry may be sent.
    """
    market = market_at(desk.markets, book.market)
    quote = quote_at(desk.quotes, market.index)
    sum_exposure(desk, account, book)
    unit_value = plain_unit_value(market, desk)
    notional = intent.units * intent.signal_price * unit_value
    if account.limits.is_on:
        code = _counts_refuse(account)
        if code != 0:
            return code
        share, code = _shrink(market, desk, account, intent, notional)
        if share < 1.0:
            units = floor_to(intent.units * share, market.unit_step)
            if units < market.unit_min:
                return code
            intent.risk_money = loss_at_stop(market, desk, intent, units)
            notional *= units / intent.units
            intent.units = units
        code = _sums_refuse(market, account, intent, notional)
        if code != 0:
            return code
        quote.signed_risk += intent.side * intent.risk_money
        allowed = account.limits.max_cluster_risk * account.equity
        if cluster_risk(desk, market.index, allowed) > allowed:
            return CLUSTER_RISK
    needed = notional * market.margin_fraction
    if account.equity - account.exposure.margin - needed < account.limits.min_free_margin * account.equity:
        return MARGIN
    return 0
