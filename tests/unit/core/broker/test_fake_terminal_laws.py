"""What holds at the fake terminal whatever is traded, by whom, and whatever goes wrong: checked after every step.

The volumes of the deals of a position are its volume; every deal has an order; no more is closed than was opened; the
balance is the sum of what the deals say and the paper account's own; no call returns a type that the package has not.
"""

from decimal import Decimal
from typing import ClassVar

import numpy as np
import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule, run_state_machine_as_test

from tests.support.terminals import NETTING, closing, deal, new_terminal, pending
from tests.support.venues import quote_at
from tradesentry.core.broker import mt5_constants as mt5
from tradesentry.core.broker.base_broker import OrderRequest
from tradesentry.core.broker.fake_terminal_prices import RATES, TICKS
from tradesentry.core.broker.fake_terminal_rows import STRUCTURES
from tradesentry.core.domain.orders import OrderType, Side

EVER = (0, 2**31)
COSTS = {"commission_per_unit": 3.5e-5, "swap_long": -0.00004, "swap_short": 0.00001}
FAULTS = """
    lose_reply 5%; reset_before 4%; terminal_restart 2%; slow:1 3%; late:2 4% on place
    status_after:10012 3% on place; partial:0.4 15% on place; placed:3 10% on place, close; history_lag:4 10%
    reject:10006 4%; requote 3% on place; no_reply 2%
"""
lots = st.integers(1, 60).map(lambda n: n / 100)
points = st.integers(-300, 300).map(lambda n: round(n * 0.0001, 5))
sides = st.sampled_from([mt5.ORDER_TYPE_BUY, mt5.ORDER_TYPE_SELL])
resting = st.integers(mt5.ORDER_TYPE_BUY_LIMIT, mt5.ORDER_TYPE_SELL_STOP_LIMIT)
fillings = st.sampled_from([mt5.ORDER_FILLING_FOK, mt5.ORDER_FILLING_IOC, mt5.ORDER_FILLING_RETURN])
picks = st.integers(0, 99)


class Trading(RuleBasedStateMachine):
    """Everybody trades on one account."""

    account: ClassVar = {}
    faults: ClassVar = ""
    symbol: ClassVar = {}

    def __init__(self):
        super().__init__()
        options = {"capital": 20_000.0, **COSTS}
        self.terminal = new_terminal(
            initialized=True,
            account=self.account,
            symbol=self.symbol,
            faults=self.faults,
            venue_options=options,
            pause=lambda seconds: None,
        )
        self.terminal.server.venue.memory.markets["slippage_mean"] = 0.00002
        self.price, self.seconds = 1.1, 0.0

    def send(self, request):
        result = self.terminal.order_send(request)
        assert result is None or isinstance(result, STRUCTURES["OrderSendResult"])
        assert result is None or isinstance(result.request, STRUCTURES["TradeRequest"])
        self.terminal.initialize()

    def position(self, pick):
        rows = self.rows("positions_get")
        return rows[pick % len(rows)] if rows else None

    def rows(self, name, *values, **named):
        """Return what a call returns, again where a fault struck."""
        for _ in range(20):
            answer = getattr(self.terminal, name)(*values, **named)
            if answer is not None:
                return answer
            self.terminal.initialize()
        raise AssertionError(f"{name} never answers: {self.terminal.last_error()}")

    @rule(volume=lots, order_type=sides, stop=points, aim=points, filling=fillings, has_stops=st.booleans())
    def deals(self, volume, order_type, stop, aim, filling, has_stops):
        price = round(self.price, 5)
        levels = {"sl": round(price + stop, 5), "tp": round(price + aim, 5)} if has_stops else {}
        self.send(deal(volume, order_type, type_filling=filling, price=price, deviation=20, **levels))

    @rule(volume=lots, order_type=resting, distance=points, beyond=points)
    def rests(self, volume, order_type, distance, beyond):
        price = round(self.price + distance, 5)
        self.send(pending(price, order_type, volume, stoplimit=round(price + beyond, 5)))

    @rule(pick=picks, distance=points)
    def changes(self, pick, distance):
        rows = self.rows("orders_get")
        if rows:
            order = rows[pick % len(rows)]
            price = round(order.price_open + distance, 5)
            self.send({"action": mt5.TRADE_ACTION_MODIFY, "order": order.ticket, "price": price, "stoplimit": price})

    @rule(pick=picks)
    def removes(self, pick):
        rows = self.rows("orders_get")
        if rows:
            self.send({"action": mt5.TRADE_ACTION_REMOVE, "order": rows[pick % len(rows)].ticket})

    @rule(pick=picks, stop=points, aim=points)
    def protects(self, pick, stop, aim):
        position = self.position(pick)
        if position is not None:
            levels = {"sl": round(self.price + stop, 5), "tp": round(self.price + aim, 5)}
            self.send({"action": mt5.TRADE_ACTION_SLTP, "position": position.ticket, **levels})

    @rule(pick=picks, share=st.integers(1, 4))
    def closes(self, pick, share):
        position = self.position(pick)
        if position is not None:
            volume = max(0.01, round(position.volume * share / 4, 2))
            self.send(closing(position, volume, price=round(self.price, 5), deviation=20, type_filling=1))

    @rule(first=picks, second=picks)
    def closes_by(self, first, second):
        one, other = self.position(first), self.position(second)
        if one is not None and other is not None:
            request = {"action": mt5.TRADE_ACTION_CLOSE_BY, "position": one.ticket, "position_by": other.ticket}
            self.send(request)

    @rule(move=points, seconds=st.integers(1, 600))
    def quotes(self, move, seconds):
        self.price, self.seconds = round(max(0.8, self.price + move / 3), 5), self.seconds + seconds
        self.terminal.clock.jump(seconds)
        self.terminal.show(quote_at(self.price, seconds=self.seconds))

    @rule()
    def sleeps_over(self):
        self.quotes(0.0, 86_400 if self.seconds < 2 * 86_400 else 60)

    @rule(units=st.integers(1, 20), side=st.sampled_from([Side.BUY, Side.SELL]))
    def trades_by_hand(self, units, side):
        venue = self.terminal.venue
        venue.place(OrderRequest("", "EURUSD", side, Decimal(units * 1_000), OrderType.MARKET, None))

    @precondition(lambda self: self.terminal.terms.is_hedging and self.terminal.venue.open_trades())
    @rule(pick=picks)
    def closes_by_hand(self, pick):
        trades = self.terminal.venue.open_trades()
        self.terminal.venue.close(trades[pick % len(trades)].trade_id, None)

    @rule(amount=st.integers(-50, 50))
    def pays(self, amount):
        self.terminal.venue.transfer(Decimal(amount))

    @rule()
    def waits(self):
        self.terminal.clock.jump(5)

    # Laws

    @invariant()
    def deals_add_up_to_positions(self):
        self.terminal.pump()
        now = self.terminal.clock.now_ns()
        if any(row.visible_ns > now for row in self.terminal.server.books.deals):
            return
        deals = self.rows("history_deals_get", *EVER)
        open_now = {row.identifier: row for row in self.rows("positions_get")}
        running = {}
        for row in deals:
            if row.type not in (mt5.DEAL_TYPE_BUY, mt5.DEAL_TYPE_SELL):
                continue
            signed = Decimal(str(row.volume)) * (1 if row.type == mt5.DEAL_TYPE_BUY else -1)
            before = running.get(row.position_id, Decimal(0))
            running[row.position_id] = before + signed
            if row.entry == mt5.DEAL_ENTRY_IN:
                assert before * signed >= 0
            elif row.entry == mt5.DEAL_ENTRY_INOUT:
                assert before * (before + signed) < 0
            else:
                assert before * signed < 0
                assert abs(signed) <= abs(before)
        for identifier, volume in running.items():
            shown = open_now.pop(identifier, None)
            held = 0 if shown is None else Decimal(str(shown.volume)) * (1 if shown.type == 0 else -1)
            assert volume == held, identifier
        assert open_now == {}

    @invariant()
    def every_deal_has_an_order_and_fills_it(self):
        now = self.terminal.clock.now_ns()
        books = self.terminal.server.books
        if any(row.visible_ns > now for row in (*books.deals, *books.past.values())):
            return
        orders = {row.ticket: row for row in (*self.rows("orders_get"), *self.rows("history_orders_get", *EVER))}
        filled = dict.fromkeys(orders, 0.0)
        for row in self.rows("history_deals_get", *EVER):
            if row.type != mt5.DEAL_TYPE_BALANCE:
                assert orders[row.order].symbol == row.symbol
                # With netting, an order that works on may close one position and open the next.
                own = (orders[row.order].position_id, orders[row.order].position_by_id)
                assert row.position_id in own or not self.terminal.terms.is_hedging
                filled[row.order] += row.volume
        for ticket, order in orders.items():
            n_sides = 2 if order.type == mt5.ORDER_TYPE_CLOSE_BY else 1
            assert filled[ticket] == pytest.approx(n_sides * (order.volume_initial - order.volume_current)), ticket

    @invariant()
    def money_adds_up(self):
        now, books = self.terminal.clock.now_ns(), self.terminal.server.books
        info = self.rows("account_info")
        positions = self.rows("positions_get")
        state = self.terminal.venue.state()
        owed = sum(float(row.swap) for row in books.positions.values())
        slack = 0.01 * (len(books.deals) + len(positions)) + 0.01
        assert info.balance == pytest.approx(float(state.balance) - owed, abs=slack)
        assert info.equity == pytest.approx(float(state.equity), abs=slack)
        assert info.equity == pytest.approx(info.balance + sum(row.profit + row.swap for row in positions), abs=0.005)
        assert info.margin_free == pytest.approx(info.equity - info.margin, abs=0.005)
        if not any(row.visible_ns > now for row in books.deals):
            deals = self.rows("history_deals_get", *EVER)
            total = sum(row.profit + row.swap + row.commission + row.fee for row in deals)
            assert info.balance == pytest.approx(total, abs=0.005)

    @invariant()
    def every_call_returns_what_the_package_would(self):
        named = {
            "account_info": "AccountInfo",
            "terminal_info": "TerminalInfo",
            "symbol_info": "SymbolInfo",
            "symbol_info_tick": "Tick",
        }
        for name, structure in named.items():
            answer = self.rows(name, *(("EURUSD.m",) if "symbol" in name else ()))
            assert isinstance(answer, STRUCTURES[structure])
            assert all(isinstance(value, bool | int | float | str) for value in answer)
            assert not any(isinstance(value, np.generic | Decimal) for value in answer)
        tables = {
            ("orders_get",): "TradeOrder",
            ("positions_get",): "TradePosition",
            ("history_orders_get", *EVER): "TradeOrder",
            ("history_deals_get", *EVER): "TradeDeal",
        }
        for (name, *values), structure in tables.items():
            answer = self.rows(name, *values)
            assert isinstance(answer, tuple)
            for row in answer:
                assert isinstance(row, STRUCTURES[structure])
                assert all(type(value) in (int, float, str) for value in row), row
        assert self.rows("copy_rates_from_pos", "EURUSD.m", mt5.TIMEFRAME_M5, 0, 3).dtype == RATES
        assert self.rows("copy_ticks_range", "EURUSD.m", *EVER, mt5.COPY_TICKS_ALL).dtype == TICKS
        assert type(self.rows("orders_total")) is type(self.rows("history_deals_total", *EVER)) is int

    @invariant()
    def netting_has_one_position_a_symbol(self):
        rows = self.rows("positions_get")
        assert self.terminal.terms.is_hedging or len({row.symbol for row in rows}) == len(rows)


CASES = {
    "hedging": ({}, "", {}),
    "hedging, faults": ({}, FAULTS, {"exemode": mt5.SYMBOL_TRADE_EXECUTION_INSTANT}),
    "netting": (NETTING, "", {}),
    "netting, faults": (NETTING, FAULTS, {"exemode": mt5.SYMBOL_TRADE_EXECUTION_INSTANT}),
    "hedging, first in first out": ({"fifo_close": True}, "", {"margin_hedged": 0.0}),
}


def trade(case, n_examples):
    """Run stories of 25 steps of one case."""
    account, faults, symbol = CASES[case]
    machine = type("Machine", (Trading,), {"account": account, "faults": faults, "symbol": symbol})
    how = settings(
        max_examples=n_examples,
        stateful_step_count=25,
        suppress_health_check=list(HealthCheck),
        phases=[Phase.explicit, Phase.reuse, Phase.generate],  # minutes of shrinking would find no shorter story
    )
    run_state_machine_as_test(machine, settings=how)


@pytest.mark.parametrize("case", CASES)
def test_the_laws_hold_whatever_is_traded(case):
    """Seen to fail: a netting close that was booked twice on its deal; a closing deal without its swap; an order that
    left the working ones and never reached the history; a volume shown as a decimal."""
    trade(case, 6)


@pytest.mark.slow
@pytest.mark.parametrize("case", CASES)
def test_the_laws_hold_in_many_more_stories(case):
    trade(case, 200)
