"""A slow, obvious training environment: the plain-Python engine of `slow_engine`, asked by plain-Python rules of sizes.

Written from the rules of the app (levels, hysteresis, gates, unit, stop, adding, reducing), not from its kernels. It
takes the bars of one market and a target per bar, and gives the reward of every bar.
"""

import math
from types import SimpleNamespace

from tests.support.slow_engine import SlowEngine
from tests.support.slow_market import plain
from tests.support.slow_vetting import block_of
from tradesentry.core.domain.orders import Action, OrderType, SizeRule
from tradesentry.core.domain.records import INTENT
from tradesentry.core.utils.kernel import new_records

MINUTE_NS = 60_000_000_000


def floor_to(value, step):
    """Whole steps, with a hair of rounding forgiven."""
    return math.floor(value / step * (1 + 1e-12)) * step


def blank_intent(**fields):
    """Return an intent as the slow engine reads it, with no price set."""
    nothing = {"price": math.nan, "take_profit": math.nan, "stop_loss": math.nan}
    return SimpleNamespace(**(vars(plain(new_records(1, INTENT)[0])) | nothing | fields))


class SlowEnvironment(SlowEngine):
    """The engine with the rules of the app in place of a script. Set `wishes` and `features` before `run`."""

    def watch(self, config, features, wishes, gate=(0.0, 0.0)):
        """Take what is needed besides the scenario.

        Args:
            config: DrlFusionConfig.
            features: FEATURE rows of the market: ATR and turbulence.
            wishes: Target by bar index; no decision where there is none.
            gate: 90 % and 99 % quantile of turbulence; equal ones gate nothing.
        """
        self.config, self.features, self.wishes, self.gate = config, features, wishes, gate
        self.unit = None
        self.asked_unit = None
        self.age = 0
        self.closed_side = 0
        self.left_out = None
        self.rewards = {}
        self.scale = 0.0
        self.before = self.account.equity

    def ask(self, book, now):
        """Pay for the bar that has ended, then decide."""
        i = book.bar_index - 1
        equity = self.account.equity
        if i - 1 in self.wishes:
            self.rewards[i] = (equity - self.before) * self.scale
        self.before = equity
        market = book.market
        net = sum(p.side * p.units for p in book.positions)
        side = (net > 0) - (net < 0)
        if side == 0:
            self.unit, self.age = None, 0
        else:
            if self.unit is None or self.unit.side != side:
                self.unit, self.age = self.asked_unit, 0
            self.age += 1
        self.asked_unit = None
        if i not in self.wishes:
            return []
        seen = self.features[i]
        is_blocked = bool(block_of(book, now))
        held = net / self.unit.units if side else 0.0
        level = self.shaped(self.wishes[i], held, side, seen, market, now, is_blocked)
        intents = self.emitted(level, held, side, net, seen, book, is_blocked)
        unit = self.unit if side else self.asked_unit
        self.scale = self.config.stop_atr / unit.budget if unit else 0.0
        return intents

    def shaped(self, wish, held, side, seen, market, now, is_blocked):
        """Return the part of a full unit to hold."""
        c = self.config
        size = min(abs(wish), 1.0)
        wished = math.copysign(min((abs(size - step), step) for step in (0.0, 0.5, 1.0))[1], wish)
        level = held if abs(wish - held) <= c.hysteresis else wished
        kept = abs(held) if level * held > 0 else 0.0
        q90, q99 = self.gate
        if abs(level) > kept and c.turbulence_gate and q99 > q90:
            factor = min(max((q99 - seen["turbulence"]) / (q99 - q90), c.turbulence_floor), 1.0)
            allowed = max(step for step in (0.0, 0.5, 1.0) if step <= abs(level) * factor + 1e-9)
            level = math.copysign(max(kept, min(abs(level), allowed)), level)
        late = now >= market.day.week_end_ns - c.weekend_no_entry * MINUTE_NS
        if late and c.weekend == "flatten":
            level = 0.0
        elif (late or is_blocked) and abs(level) > (abs(held) if level * held > 0 else 0.0):
            level = held if level * held > 0 else 0.0
        if c.max_hold_bars and side and self.age >= c.max_hold_bars:
            self.closed_side = side
        if self.closed_side:
            if wished * self.closed_side <= 0:
                if side != self.closed_side:
                    self.closed_side = 0
            elif level * self.closed_side > 0:
                level = 0.0
        return level

    def emitted(self, level, held, side, net, seen, book, is_blocked):
        """Return the intents that lead to the level."""
        c = self.config
        if level == held or (abs(level - held) < c.deadband and (level != 0 or side == 0)):
            return []
        close = blank_intent(action=int(Action.CLOSE), size=0.0)
        if side and level * held <= 0:
            return [close, *([] if level == 0 or is_blocked else self.entry(level, seen, book))]
        if abs(level) < abs(held):
            return self.reduced(level, net, book)
        if is_blocked:
            return []
        return self.added(level, side, net, seen, book) if side else self.entry(level, seen, book)

    def stop_of(self, side, seen, market):
        """Return the stop of an entry now, rounded to the tick toward the price."""
        leave = seen["bar"]["close"] + (0.0 if side > 0 else market.spread)
        ticks = (leave - side * self.config.stop_atr * seen["atr"]) / market.m.tick
        per_unit = round(1 / market.m.tick)
        return (math.ceil(ticks - 1e-6) if side > 0 else math.floor(ticks + 1e-6)) / per_unit

    def ticket(self, side, units, stop, level):
        return blank_intent(
            action=int(Action.ENTER), type=int(OrderType.MARKET), side=side, stop_loss=stop,
            size_rule=int(SizeRule.UNITS), size=units, score=abs(level),
        )  # fmt: skip

    def entry(self, level, seen, book):
        """Return an entry on a side that nothing is held on, and fix its unit."""
        market, c = book.market, self.config
        side = 1 if level > 0 else -1
        distance = c.stop_atr * seen["atr"] + market.spread
        budget = c.risk_fraction * self.account.equity
        units = floor_to(budget / (distance * market.plain_value()), market.m.unit_step)
        self.asked_unit = SimpleNamespace(side=side, units=units, budget=budget)
        wanted = floor_to(abs(level) * units, market.m.unit_step)
        if wanted < market.m.unit_min:
            raise AssertionError("the cases are meant to be large enough")
        return [self.ticket(side, wanted, self.stop_of(side, seen, market), level)]

    def added(self, level, side, net, seen, book):
        """Return an addition under the tighter stop, as far as the budget goes."""
        market = book.market
        wanted = floor_to(abs(level) * self.unit.units - abs(net), market.m.unit_step)
        if wanted < market.m.unit_min or self.left_out == (level, net):
            return []
        stops = [self.stop_of(side, seen, market), *(p.stop_loss for p in book.positions)]
        stop = max(stops) if side > 0 else min(stops)
        price = seen["bar"]["close"] + (market.spread if side > 0 else 0.0)
        lost = sum(p.side * (p.entry_price - stop) * p.units for p in book.positions)
        room = self.unit.budget / market.plain_value() - lost
        apart = side * (price - stop)
        allowed = floor_to(room / apart, market.m.unit_step) if apart > 0 and room > 0 else 0.0
        units = min(wanted, allowed)
        if units < wanted / 2 or units < market.m.unit_min:
            self.left_out = (level, net)
            return []
        move = blank_intent(action=int(Action.MODIFY), stop_loss=stop)
        return [self.ticket(side, units, stop, level), move]

    def reduced(self, level, net, book):
        """Return closes of the oldest positions first."""
        market, intents = book.market, []
        left = abs(net) - floor_to(abs(level) * self.unit.units, market.m.unit_step)
        for position in book.positions:
            if left <= 1e-9 or len(intents) == 3:
                break
            remaining = max(position.units - left, 0.0)
            if remaining < market.m.unit_min - 1e-9:
                remaining = 0.0
            left -= position.units - remaining
            intents.append(blank_intent(action=int(Action.CLOSE), target_id=position.id, size=remaining))
        return intents
