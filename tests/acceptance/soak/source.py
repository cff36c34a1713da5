"""What the soak's traders want: a seeded source of wishes, some draws per bar, from what the account looks like.

Entries at market, limits and stops, partial and full exits, tighter stops and targets, changed and canceled orders, so
that every command meets every fault. An entry serves a goal, which its tag names. When an entry is proven never to have
been placed, the goal is tried once more with a new intent, as a strategy would that decides anew; a goal that is served
twice was sent twice.
"""

import random
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Final, TypeVar

from tradesentry.core.domain.live_account import (
    AccountChange,
    Amend,
    Cancel,
    Enter,
    LiveOrder,
    LiveTrade,
    OrderMoved,
    Protect,
    Reduce,
    Wish,
)
from tradesentry.core.domain.live_orders import Effect, OrderStatus
from tradesentry.core.domain.orders import OrderType, Side
from tradesentry.core.domain.venue import Quote

T = TypeVar("T")
PIP: Final = 0.0001
MANY: Final = 12
"""Trades at which more is closed than opened."""


@dataclass(frozen=True)
class Sight:
    """What a decision sees."""

    bar_close_ns: int
    orders: Iterable[LiveOrder]
    trades: Iterable[LiveTrade]
    quotes: Mapping[str, Quote]


class Source:
    """The wishes of one account.

    Args:
        seed: Of all draws.
        account: Named in goals.
        draws: Of a strategy on a bar.
        protects: Share of bars on which the stop of the oldest trade is moved and nothing else.
    """

    def __init__(self, seed: int, account: str, *, draws: int, protects: float = 0.0) -> None:
        self._seed, self._account, self._draws, self._protects = seed, account, draws, protects
        self._again: list[str] = []

    def hear(self, changes: Iterable[AccountChange]) -> None:
        """Note which goals were proven unserved."""
        for change in changes:
            if isinstance(change, OrderMoved) and change.order.status is OrderStatus.NOT_PLACED:
                tag = change.order.tag
                if tag and change.order.effect is Effect.OPEN and not tag.endswith("'"):
                    self._again.append(tag)

    def wishes(self, seen: Sight, app: int) -> list[Wish]:
        """Return what a strategy wants on a bar: a few wishes, each about another order or trade, or nothing."""
        rng = random.Random(f"{self._seed}:{self._account}:{app}:{seen.bar_close_ns}")
        trades = sorted((t for t in seen.trades if t.is_open and t.seq is not None), key=lambda t: t.trade_ref)
        resting = sorted(
            (o for o in seen.orders if o.status is OrderStatus.ACCEPTED and o.effect is Effect.OPEN and o.seq),
            key=lambda o: o.key,
        )
        if trades and rng.random() < self._protects:
            return self._protect(rng, trades[0], seen.quotes)
        found: list[Wish] = []
        for number in range(self._draws):
            found += self._draw(rng, seen, trades, resting, f"{app}{number}")
        return found

    def _draw(
        self, rng: random.Random, seen: Sight, trades: list[LiveTrade], resting: list[LiveOrder], name: str
    ) -> list[Wish]:
        """Return one wish or none; what it is about is taken out of `trades` or `resting`."""
        draw = rng.random()
        if len(trades) > MANY and draw < 0.7:
            return [self._reduce(rng, _taken(rng, trades))]
        if draw < 0.55 or not (trades or resting):
            return self._enter(rng, seen, name)
        if draw < 0.62 and resting:
            return [Cancel(_seq(_taken(rng, resting)))]
        if draw < 0.70 and resting:
            return [self._amend(_taken(rng, resting))]
        if draw < 0.86 and trades:
            return [self._reduce(rng, _taken(rng, trades))]
        return self._protect(rng, _taken(rng, trades), seen.quotes) if trades else []

    def _enter(self, rng: random.Random, seen: Sight, name: str) -> list[Wish]:
        symbol = rng.choice(sorted(seen.quotes)) if seen.quotes else ""
        if not symbol:
            return []
        quote, side = seen.quotes[symbol], rng.choice((Side.BUY, Side.SELL))
        kind = rng.choices((OrderType.MARKET, OrderType.LIMIT, OrderType.STOP), (6, 2, 2))[0]
        away = rng.uniform(3, 10) * PIP
        entry = quote.opening(side)
        if kind is not OrderType.MARKET:
            entry += side * away if kind is OrderType.STOP else -side * away
        # A goal is tried again under the same name, marked, so that it is tried once.
        tag = f"{self._again.pop()}'" if self._again else f"{self._account[-1]}-{seen.bar_close_ns}-{name}"
        distance = rng.uniform(15, 60) * PIP
        units = Decimal(rng.randrange(1, 7) * 1_000)
        wish = Enter(
            symbol=symbol,
            side=side,
            units=units,
            type=kind,
            stop_loss=round(entry - side * distance, 5),
            price=None if kind is OrderType.MARKET else round(entry, 5),
            take_profit=round(entry + side * 2 * distance, 5) if rng.random() < 0.5 else None,
            expires_ts_ns=0 if kind is OrderType.MARKET else seen.bar_close_ns + rng.randrange(2, 6) * 10**9,
            reference_price=quote.opening(side),
            max_slippage_pips=20.0,
            allow_partial=True,
            risk=units * Decimal(f"{distance:.5f}"),
            tag=tag,
        )
        return [wish]

    def _amend(self, order: LiveOrder) -> Wish:
        price = order.price or 0.0
        stop = order.stop_loss if order.stop_loss is not None else price - order.side * 30 * PIP
        tighter = stop + 0.2 * (price - stop)
        return Amend(_seq(order), stop_loss=round(tighter, 5))

    def _reduce(self, rng: random.Random, trade: LiveTrade) -> Wish:
        left = Decimal(0) if rng.random() < 0.7 else (trade.units / 2).quantize(Decimal(1))
        return Reduce(trade.trade_ref, left if left < trade.units else Decimal(0))

    def _protect(self, rng: random.Random, trade: LiveTrade, quotes: Mapping[str, Quote]) -> list[Wish]:
        quote = quotes.get(trade.symbol)
        if quote is None or trade.stop_loss is None:
            return []
        room = trade.side * (quote.closing(trade.side) - trade.stop_loss)
        if room < 6 * PIP:
            return []
        stop = trade.stop_loss + trade.side * rng.uniform(0.05, 0.3) * room
        return [Protect(trade.trade_ref, stop_loss=round(stop, 5))]


def _taken(rng: random.Random, items: list[T]) -> T:
    return items.pop(rng.randrange(len(items)))


def _seq(order: LiveOrder) -> int:
    return order.seq or 0
