"""Laws of the events that are made from looks at a terminal, whatever is traded and however often it restarts."""

import tempfile
from decimal import Decimal

from hypothesis import given, settings
from hypothesis import strategies as st

from tests.conformance.brokers.conftest import play
from tests.conformance.brokers.terminal_benches import new_clock, terminal_for
from tests.support.terminal_runs import connected
from tests.support.terminals import NETTING
from tests.support.venues import entry, quote_at
from tradesentry.core.broker.base_broker import Accepted, OrderChange, OrderRef, TradeRef, Unknown
from tradesentry.core.domain.live_orders import client_order_id
from tradesentry.core.domain.orders import OrderType, Side

ACTIONS = st.one_of(
    st.tuples(st.just("market"), st.sampled_from([Side.BUY, Side.SELL]), st.integers(1, 40)),
    st.tuples(st.just("limit"), st.sampled_from([Side.BUY, Side.SELL]), st.integers(1, 40)),
    st.tuples(st.just("close"), st.integers(0, 5), st.integers(0, 20)),
    st.tuples(st.just("protect"), st.integers(0, 5), st.integers(1, 40)),
    st.tuples(st.just("move"), st.integers(0, 5), st.integers(1, 40)),
    st.tuples(st.just("cancel"), st.integers(0, 5)),
    st.tuples(st.just("price"), st.integers(-60, 60)),
    st.tuples(st.just("by_hand"), st.sampled_from([Side.BUY, Side.SELL]), st.integers(1, 40)),
    st.tuples(st.just("deposit"), st.integers(-500, 500)),
    st.tuples(st.just("start_anew")),
)
FAULTS = (
    "lose_reply 10% on place, close, cancel; reset_before 10% on place, close, protect; history_lag:3 20%; "
    "placed:2 10% on place"
)


def pick(rows, i):
    return rows[i % len(rows)] if rows else None


class Play:
    """Actions on one account, with what was sent."""

    def __init__(self, account, faults, seed):
        self.clock = new_clock()
        self.terminal = terminal_for(self.clock, faults=faults, seed=seed, account=account)
        self.folder = tempfile.mkdtemp(prefix="ts-laws-")
        self.seq, self.price, self.seconds = 0, 1.1, 0
        self.placed = {}

    async def act(self, broker, name, *values):
        """Do one thing."""
        return await getattr(self, name)(broker, *values)

    async def market(self, broker, side, size, **fields):
        self.seq += 1
        order = entry(self.seq, side, units=250 * size, stop=round(self.price - side * 0.02, 5), **fields)
        self.placed[self.seq] = await broker.place_order(order)

    async def limit(self, broker, side, size):
        price = round(self.price - side * 0.0001 * size, 5)
        await self.market(broker, side, size, kind=OrderType.LIMIT, price=price)

    async def close(self, broker, i, keep):
        trade = pick(await broker.open_trades(), i)
        if trade:
            target = TradeRef(trade.trade_id, trade.symbol)
            await broker.close_trade(target, remaining_units=trade.units * keep // 20)

    async def protect(self, broker, i, distance):
        trade = pick(await broker.open_trades(), i)
        if trade:
            stop = round(self.price - trade.side * 0.0002 * distance, 5)
            await broker.set_protection(TradeRef(trade.trade_id, trade.symbol), stop_loss=stop, take_profit=None)

    async def move(self, broker, i, distance):
        order = pick(await broker.open_orders(), i)
        if order and order.client_order_id:
            price = round(self.price - order.side * 0.0001 * distance, 5)
            await broker.replace_order(OrderRef(order.client_order_id), OrderChange(price=price))

    async def cancel(self, broker, i):
        order = pick(await broker.open_orders(), i)
        if order and order.client_order_id:
            await broker.cancel_order(OrderRef(order.client_order_id))

    async def move_price(self, by):
        self.seconds += 1
        self.price = round(self.price + by / 1e4, 5)
        self.clock.jump(1.0)
        self.terminal.show(quote_at(self.price, seconds=self.seconds))

    async def by_hand(self, _broker, side, size):
        order = entry(1, side, units=250 * size, stop=None)
        self.terminal.venue.place(type(order)("", "EURUSD", side, order.units, OrderType.MARKET, None))
        self.terminal.pump()

    async def deposit(self, _broker, amount):
        self.terminal.venue.transfer(Decimal(amount or 1))
        self.terminal.pump()


async def played(actions, *, account=None, faults="", seed=0):
    """Return (play, whole page, trades, balance, facts) after all actions and the end of all lags."""
    game = Play(account, faults, seed)
    chunks = [[]]
    for name, *values in actions:
        chunks.append([]) if name == "start_anew" else chunks[-1].append((name, *values))
    for chunk in chunks:
        async with connected(game.terminal, game.clock, folder=game.folder) as broker:
            for name, *values in chunk:
                if name == "price":
                    await game.move_price(*values)
                else:
                    await game.act(broker, name, *values)
            game.clock.jump(10.0)
            game.terminal.pump()
            page = await broker.events_since(0)
            facts = [broker.facts(event) for event in page.events]
            trades, state = await broker.open_trades(), await broker.get_balance()
            found = {seq: await broker.find_order(client_order_id(7, seq)) for seq in game.placed}
    return game, page, facts, trades, state, found


def check(game, page, facts, trades, state, found):
    """Check what must hold of every log."""
    fills = [fill for said in facts for fill in said.fills]
    assert [event.seq for event in page.events] == list(range(1, page.last_seq + 1))
    held = {}
    for fill in fills:
        held[fill.trade_ref] = held.get(fill.trade_ref, 0) + fill.side * fill.units
    assert {ref: units for ref, units in held.items() if units} == {t.trade_id: t.side * t.units for t in trades}
    assert len({fill.fill_id for fill in fills if fill.leg == 0}) == len({e.payload.get("deal") for e in page.events
                                                                          if e.kind == "order_filled"})  # fmt: skip
    total = sum((said.amount for said in facts), Decimal(100_000))
    assert round(total, 2) == round(state.balance, 2)
    stops = {}
    for said in facts:
        if said.which == "stop_loss":
            stops[said.trade_ref] = said.price
    assert {t.trade_id: t.stop_loss for t in trades if t.stop_loss} == {
        t.trade_id: stops[t.trade_id] for t in trades if stops.get(t.trade_id)
    }
    for seq, outcome in game.placed.items():
        if isinstance(outcome, Accepted):
            assert found[seq] is not None
        elif not isinstance(outcome, Unknown):
            assert not any(fill.client_order_id == client_order_id(7, seq) for fill in fills)


@settings(deadline=None, max_examples=12)
@given(actions=st.lists(ACTIONS, max_size=10), account=st.sampled_from([None, NETTING]))
def test_the_log_sums_up_to_the_account(actions, account):
    """Trades, stops, balance and numbers of the log equal the terminal's, hedging and netting, through restarts.

    Seen to fail: when deals that were told were not remembered, and when the history was asked for from now on only.
    """
    check(*play(played(actions, account=account)))


@settings(deadline=None, max_examples=12)
@given(actions=st.lists(ACTIONS, max_size=10), seed=st.integers(0, 1_000))
def test_the_log_sums_up_to_the_account_whatever_is_lost_or_late(actions, seed):
    check(*play(played(actions, faults=FAULTS, seed=seed)))
