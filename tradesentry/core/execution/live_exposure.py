"""Limit what the accounts of one book may carry together: currencies, leverage, open risk.

Separate from `portfolio_manager`, which vets one run's own book inside a kernel: here count also what other runs, other
agents and other people hold at the venue. Everything is in the money of the account that asks. Positions, resting
entries, reservations and EXTERNAL trades count at full size.

Order of work for an entry: shrink to what currency net and open risk leave (the account alone, then the whole book),
refuse below the least size, then check what never shrinks. The first limit that refuses names the code.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from itertools import product
from typing import Final

from pydantic import Field

from tradesentry.core.domain.instruments import Instrument
from tradesentry.core.domain.money import ZERO, decimal_of, floor_to_step
from tradesentry.core.domain.orders import Side
from tradesentry.core.domain.venue import Quote
from tradesentry.core.execution.journal_rows import NS_PER_SECOND, Reservation
from tradesentry.core.execution.verdicts import Allowed, Denied, Verdict
from tradesentry.core.utils.config_model import FrozenModel

SLACK: Final = Decimal("1e-9")
"""Of the equity; absorbs the rounding of rates, as in the kernels."""
BASKET_OF_QUOTES: Final = ("USD", "EUR")
"""Currencies through which a rate without a pair of its own is found."""
DAYS_OF_RANGE: Final = 4
"""A trade without a stop is counted as if it had one that many daily ranges away."""


class BookLimits(FrozenModel):
    """Limits on what an account, and a book of accounts, may hold; multiples or fractions of equity."""

    max_currency_net: Decimal = Field(
        Decimal(2), gt=0, le=100, description="Net exposure per currency other than the account's, multiple of equity."
    )
    max_currency_gross: Decimal = Field(
        Decimal(6), gt=0, le=500, description="Sum of absolute exposures per currency, multiple of equity."
    )
    max_leverage: Decimal = Field(Decimal(10), gt=0, le=500, description="Sum of notionals, multiple of equity.")
    max_open_risk: Decimal = Field(Decimal("0.03"), gt=0, le=1, description="Loss at all stops, fraction of equity.")
    max_app_risk: Decimal = Field(
        Decimal("0.5"), gt=0, le=1, description="Share of the open risk limit that one strategy may use."
    )
    max_state_age_seconds: float = Field(
        60.0, gt=0, le=3_600, description="An account seen longer ago counts with its exposure but not its equity."
    )


@dataclass(frozen=True, slots=True)
class Exposure:
    """What one position, resting entry or reservation adds."""

    legs: Mapping[str, Decimal]
    """Signed exposure by currency."""
    risk: Decimal
    """Loss at the stop, at least 0."""
    app: str = ""
    """Strategy it belongs to; empty: nobody's of ours."""

    @property
    def notional(self) -> Decimal:
        """Size of the larger leg."""
        return max((abs(amount) for amount in self.legs.values()), default=ZERO)

    def scaled(self, share: Decimal) -> "Exposure":
        """Return this exposure at `share` of its size."""
        return Exposure({name: amount * share for name, amount in self.legs.items()}, self.risk * share, self.app)


@dataclass(frozen=True, slots=True)
class AccountShare:
    """One account of a book as last seen."""

    equity: Decimal | None
    """None: unknown."""
    as_of_ns: int
    held: tuple[Exposure, ...] = ()
    rate: Decimal = Decimal(1)
    """Worth of one unit of its currency in the currency of the account that asks."""
    unvalued: frozenset[str] = frozenset()
    """Currencies and symbols of what it holds that no quote turns into money."""


@dataclass(frozen=True, slots=True)
class EntryRequest:
    """A sized entry that asks for headroom."""

    units: Decimal
    step: Decimal
    least: Decimal
    """Smallest size that the venue takes."""
    exposure: Exposure
    """Of all `units`."""
    currency: str
    """Of the account."""
    may_shrink: bool = True
    """False for a leg of a plan that was sized as a whole."""


@dataclass(frozen=True, slots=True)
class _Sums:
    """What is held, added up."""

    net: Mapping[str, Decimal] = field(default_factory=dict)
    gross: Mapping[str, Decimal] = field(default_factory=dict)
    risk: Decimal = ZERO
    notional: Decimal = ZERO


def held_by(reservations: Sequence[Reservation], *, app: str = "") -> tuple[Exposure, ...]:
    """Return open reservations as exposures of `app`."""
    return tuple(Exposure(reservation.legs, reservation.risk, app) for reservation in reservations)


def net_legs(held: Sequence[Exposure]) -> dict[str, Decimal]:
    """Return the net exposure by currency."""
    net: dict[str, Decimal] = {}
    for exposure in held:
        for currency, amount in exposure.legs.items():
            net[currency] = net.get(currency, ZERO) + amount
    return net


def grows(legs: Mapping[str, Decimal], held: Mapping[str, Decimal]) -> str | None:
    """Return the currency whose absolute exposure an entry would increase, None when there is none.

    Args:
        legs: Of the entry, signed, by currency.
        held: Net exposure now, by currency.
    """
    for currency, amount in legs.items():
        present = held.get(currency, ZERO)
        if abs(present + amount) > abs(present):
            return currency
    return None


def vet_exposure(
    asked: EntryRequest, own: AccountShare, others: Sequence[AccountShare], *, limits: BookLimits, now_ns: int
) -> Verdict:
    """Return the units that the limits leave to an entry, or why it gets none.

    Args:
        asked: The entry.
        own: Its account: every limit applies.
        others: The other accounts of the same user and environment: net, gross and open risk apply to all together.
        limits: The limits.
        now_ns: When, ns UTC; tells which equities are too old to count.
    """
    if own.equity is None or not own.equity.is_finite() or own.equity <= 0:
        return Denied("equity_unknown", f"Equity is {own.equity}; without it no limit can be judged. Wait for a poll.")
    unvalued = own.unvalued.union(*(share.unvalued for share in others))
    if unvalued:
        names = ", ".join(sorted(unvalued))
        text = f"What is held in {names} cannot be turned into the account's currency, so no limit can be judged."
        return Denied("rate_unknown", f"{text} Subscribe to the pair between the two.")
    if asked.units <= 0 or not asked.exposure.risk.is_finite() or asked.exposure.risk < 0:
        return Denied("size_below_minimum", f"{asked.units} units with a risk of {asked.exposure.risk} are no entry.")
    equity, alone = own.equity, _sums(own.held)
    scopes = [(equity, alone, "account")]
    if others:
        together = [*own.held, *(e for share in others for e in _converted(share))]
        scopes.append((equity + _equities(others, limits, now_ns), _sums(together), "book"))
    verdict = _shrunk(asked, scopes, limits)
    if isinstance(verdict, Denied):
        return verdict
    final = asked.exposure.scaled(verdict.units / asked.units)
    for money, sums, scope in scopes:
        denied = _gross_refuses(final, sums, money, limits, scope)
        if denied is not None:
            return denied
    return _account_refuses(final, own, alone, equity, limits) or verdict


def _sums(held: Sequence[Exposure]) -> _Sums:
    gross: dict[str, Decimal] = {}
    for exposure in held:
        for currency, amount in exposure.legs.items():
            gross[currency] = gross.get(currency, ZERO) + abs(amount)
    risk = sum((exposure.risk for exposure in held), ZERO)
    return _Sums(net_legs(held), gross, risk, sum((exposure.notional for exposure in held), ZERO))


def _converted(share: AccountShare) -> list[Exposure]:
    return [exposure.scaled(share.rate) for exposure in share.held]


def _equities(others: Sequence[AccountShare], limits: BookLimits, now_ns: int) -> Decimal:
    oldest_ns = now_ns - round(limits.max_state_age_seconds * NS_PER_SECOND)
    fresh = (s for s in others if s.equity is not None and s.equity.is_finite() and s.as_of_ns >= oldest_ns)
    return sum((share.equity * share.rate for share in fresh if share.equity is not None), ZERO)


def _shrunk(asked: EntryRequest, scopes: Sequence[tuple[Decimal, _Sums, str]], limits: BookLimits) -> Allowed | Denied:
    """Return the size that currency net and open risk leave room for."""
    share, code, text = Decimal(1), "", ""
    for equity, sums, scope in scopes:
        room = limits.max_open_risk * equity - sums.risk
        risk = asked.exposure.risk
        fraction = room / risk if risk else ZERO
        if risk > room + SLACK * equity and fraction < share:
            share, code = fraction, "open_risk"
            text = f"{scope}: {sums.risk:.2f} of {limits.max_open_risk * equity:.2f} are at risk, {risk:.2f} asked"
        for currency, amount in asked.exposure.legs.items():
            if currency == asked.currency or not amount:
                continue
            present = sums.net.get(currency, ZERO) * (1 if amount > 0 else -1)
            room = limits.max_currency_net * equity - present
            if abs(amount) > room + SLACK * equity and room / abs(amount) < share:
                share, code = room / abs(amount), "currency_net"
                most = limits.max_currency_net * equity
                text = f"{scope}: {currency} holds {present:.2f} of {most:.2f} this way, {abs(amount):.2f} asked"
    if share >= 1:
        return Allowed(asked.units)
    units = floor_to_step(asked.units * max(share, ZERO), asked.step)
    if not asked.may_shrink or units < asked.least or units <= 0:
        return Denied(code, f"{text}. Wait until something is closed, or raise the limit.")
    return Allowed(units)


def _gross_refuses(final: Exposure, sums: _Sums, equity: Decimal, limits: BookLimits, scope: str) -> Denied | None:
    most = limits.max_currency_gross * equity
    for currency, amount in final.legs.items():
        total = sums.gross.get(currency, ZERO) + abs(amount)
        if total > most + SLACK * equity:
            return Denied("currency_gross", f"{scope}: {currency} would total {total:.2f}, the limit is {most:.2f}.")
    return None


def _account_refuses(
    final: Exposure, own: AccountShare, alone: _Sums, equity: Decimal, limits: BookLimits
) -> Denied | None:
    most = limits.max_leverage * equity
    if alone.notional + final.notional > most + SLACK * equity:
        total = alone.notional + final.notional
        return Denied("leverage", f"Notionals would total {total:.2f}, the limit is {most:.2f}.")
    if not final.app:
        return None
    most = limits.max_app_risk * limits.max_open_risk * equity
    used = sum((exposure.risk for exposure in own.held if exposure.app == final.app), ZERO)
    if used + final.risk > most + SLACK * equity:
        text = f"{final.app} has {used:.2f} at risk and asks for {final.risk:.2f}; one strategy may use {most:.2f}."
        return Denied("app_risk", text)
    return None


def account_rate(currency: str, account: str, quotes: Mapping[str, Quote]) -> Decimal | None:
    """Return what one unit of a currency is worth in the account's, at the dearer side; None where no quote says.

    Args:
        currency: Three letters.
        account: Currency of the account.
        quotes: Present quotes by canonical symbol.
    """
    if currency == account:
        return Decimal(1)
    direct = _pair_rate(currency, account, quotes)
    if direct is not None:
        return direct
    for between in BASKET_OF_QUOTES:
        first, second = _pair_rate(currency, between, quotes), _pair_rate(between, account, quotes)
        if first is not None and second is not None:
            return first * second
    return None


def pairs_between(currency: str, account: str) -> list[tuple[str, ...]]:
    """Return the sets of pairs whose quotes make a rate between two currencies, the shortest first."""

    def either(one: str, other: str) -> tuple[str, str]:
        return f"{one}{other}", f"{other}{one}"

    ways: list[tuple[str, ...]] = [(pair,) for pair in either(currency, account)]
    for between in BASKET_OF_QUOTES:
        if between not in (currency, account):
            ways += product(either(currency, between), either(between, account))
    return ways


def _pair_rate(currency: str, into: str, quotes: Mapping[str, Quote]) -> Decimal | None:
    quote = quotes.get(f"{currency}{into}")
    if quote is not None and quote.ask > 0:
        return decimal_of(quote.ask)
    quote = quotes.get(f"{into}{currency}")
    return Decimal(1) / decimal_of(quote.bid) if quote is not None and quote.bid > 0 else None


def exposure_of(
    item: Instrument,
    side: Side,
    units: Decimal,
    *,
    price: float,
    stop_loss: float | None,
    rate: Decimal,
    app: str = "",
    buffer: float = 0.0,
    daily_range: float | None = None,
) -> Exposure:
    """Return what a trade or resting entry exposes.

    Args:
        item: The instrument.
        side: Of the trade.
        units: Still open or asked for, above 0.
        price: Present closing price of a trade, entry price of an order.
        stop_loss: Where it ends; None counts as four daily ranges away, and as the whole notional where those are
            unknown.
        rate: Account money per unit of the quote currency (`account_rate`).
        app: Strategy it belongs to.
        buffer: Slippage expected at the stop, price units.
        daily_range: Average daily range (ATR), price units.
    """
    notional = units * decimal_of(price) * rate
    legs = {item.base: side * notional, item.quote: -side * notional}
    if stop_loss is not None:
        distance = max(0.0, side * (price - stop_loss) + buffer)
    else:
        distance = price if daily_range is None else min(price, DAYS_OF_RANGE * daily_range + buffer)
    return Exposure(legs, units * decimal_of(distance) * rate, app)
