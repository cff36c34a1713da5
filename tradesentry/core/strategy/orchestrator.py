"""Run strategies on a live account: one instant after another, from closed bars to orders under way.

`AsyncOrchestrator` is one strategy on one market: it sends what the strategy wants and keeps what it remembers.
`PortfolioOrchestrator` is all of an account: it takes the bars of an instant together, lets the venue's news and the
account's limits act first, asks all strategies, and hands their wishes on in the order in which the kernels vetted
them. Replay, paper and real brokers differ in the feed and the broker only.
"""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from decimal import Decimal
from typing import Any, Final
from uuid import UUID

from tradesentry.core.broker.base_broker import Accepted, BaseBroker
from tradesentry.core.domain.clock import Clock
from tradesentry.core.domain.errors import BrokerError, JournalUnavailable
from tradesentry.core.domain.events import StreamDown
from tradesentry.core.domain.live_account import AccountChange, Enter, Protect, Wish
from tradesentry.core.domain.orders import RejectCode, TradingState
from tradesentry.core.domain.venue import Quote
from tradesentry.core.execution.journal_port import Journal
from tradesentry.core.execution.journal_rows import Lease, LiveState
from tradesentry.core.execution.order_manager import OrderManager
from tradesentry.core.execution.order_requests import Sent
from tradesentry.core.execution.polls import Polls
from tradesentry.core.execution.recovery import FINAL
from tradesentry.core.execution.verdicts import Denied
from tradesentry.core.market.feeds import BarFeed, Instant
from tradesentry.core.strategy.decision_memory import DecisionMemory, LaneDecision
from tradesentry.core.strategy.exit_watch import ExitWatch
from tradesentry.core.strategy.lane_hooks import LaneHooks
from tradesentry.core.strategy.lane_state import restore_lane, save_lane
from tradesentry.core.strategy.live_status import LaneStatus, LastDecision, LiveStatus, in_words, status_of
from tradesentry.core.utils.logger import get_logger

_log = get_logger(__name__)

IMPOSED: Final = {
    LiveState.ACTIVE: TradingState.ACTIVE,
    LiveState.REDUCING: TradingState.REDUCING,
    LiveState.RECONCILING: TradingState.REDUCING,
    LiveState.HALTED: TradingState.HALTED,
}


class AsyncOrchestrator(LaneHooks):
    """One strategy on one market of a live account. Apps override the hooks, never the loop.

    Args:
        memory: In which the account decides.
        lane: Row of the strategy in it.
        orders: Sends its wishes.
    """

    def __init__(self, memory: DecisionMemory, lane: int, orders: OrderManager) -> None:
        self.memory, self.lane, self.orders = memory, lane, orders
        self.place, self.book = memory.lanes[lane], memory.books[lane]
        self.is_paused = False
        self.last: LastDecision | None = None

    def mend(self) -> None:
        """Make the book hold what the account holds."""
        mine = (self.place.run, self.place.symbol)
        orders = [order for order in self.orders.book.orders.values() if (order.run, order.symbol) == mine]
        trades = [trade for trade in self.orders.book.trades.values() if (trade.run, trade.symbol) == mine]
        open_orders = [order for order in orders if not order.status.is_terminal]
        self.book.mend(
            sorted(open_orders, key=lambda order: order.seq or 0),
            sorted(trades, key=lambda trade: (trade.entry_ts_ns, trade.seq or 0)),
        )

    async def restore(self, journal: Journal, lease: Lease, *, with_account: bool) -> int:
        """Take up what was saved; return the close of the bar it comes from, 0 when nothing was."""
        saved = await journal.read_state(lease, self.place.run, self.place.symbol)
        if saved is not None:
            restore_lane(self.memory, self.lane, saved, with_account=with_account)
        return 0 if saved is None else saved.bar_close_ns

    def prepare(self, decision: LaneDecision, protection: Sequence[Wish] = ()) -> list[Wish]:
        """Return what is to be sent, in order; a paused strategy enters nothing.

        Args:
            decision: What the strategy wants.
            protection: What the trade watcher wants, which goes first.
        """
        wishes = list(protection)
        for wish in decision.wishes:
            if isinstance(wish, Enter) and self.is_paused:
                self.memory.refuse(self.lane, wish.number)
            else:
                wishes.append(wish)
        return wishes

    def note(self, sent: Sequence[Sent], *, bar_close_ns: int) -> None:
        """Tell the book what became of the wishes of a bar.

        Args:
            sent: One result per wish of `prepare`.
            bar_close_ns: The bar that decided them.
        """
        for result in sent:
            self._note(result)
        refused = [RejectCode(item.code).name.lower() for item in self.memory.refusals if item.lane == self.lane]
        denied = [result.verdict.code for result in sent if isinstance(result.verdict, Denied)]
        words = tuple(in_words(result.wish) for result in sent)
        self.last = LastDecision(bar_close_ns, words, (*refused, *denied))

    def give_up(self, wishes: Sequence[Wish]) -> None:
        """Forget wishes that nobody could send: the journal is away. The strategy goes on."""
        for wish in wishes:
            if isinstance(wish, Enter):
                self.memory.refuse(self.lane, wish.number)

    def _note(self, result: Sent) -> None:
        """Tell the book what became of a wish."""
        wish = result.wish
        if isinstance(wish, Enter):
            if result.is_allowed and result.seq is not None:
                # Whether the venue takes it comes with the account's changes.
                self.memory.confirm(self.lane, wish.number, result.seq)
            else:
                self.memory.refuse(self.lane, wish.number)
        elif isinstance(wish, Protect) and not isinstance(result.outcome, Accepted):
            trade = self.orders.book.trades.get(wish.trade_ref)
            if trade is not None:
                self.book.show_protection(trade)


class PortfolioOrchestrator:
    """All strategies of one account.

    Args:
        broker: The venue.
        orders: Of the account.
        polls: Follow the venue's events and ask it again and again.
        journal: Where states were saved.
        lease: On the account.
        clock: Time.
        feed: Bars of all markets.
        memory: In which the account decides.
        orchestrators: Class of each run's orchestrators; `AsyncOrchestrator` where none is named.
        on_quote: Is told of each quote of the stream as well.
    """

    def __init__(
        self,
        *,
        broker: BaseBroker,
        orders: OrderManager,
        polls: Polls,
        journal: Journal,
        lease: Lease,
        clock: Clock,
        feed: BarFeed,
        memory: DecisionMemory,
        orchestrators: Mapping[UUID, type[AsyncOrchestrator]] | None = None,
        on_quote: Callable[[Quote], None] | None = None,
    ) -> None:
        self._broker, self._orders, self._journal, self._lease = broker, orders, journal, lease
        self._clock, self._feed, self._memory, self._polls = clock, feed, memory, polls
        chosen = orchestrators or {}
        self.lanes = [
            chosen.get(lane.run, AsyncOrchestrator)(memory, number, orders) for number, lane in enumerate(memory.lanes)
        ]
        self._changes: list[AccountChange] = []
        self._as_of_ns = self._n_reloads = 0
        self._is_near = broker.capabilities.min_poll_seconds == 0.0
        """A venue in this process, which may be asked at every instant."""
        self._exits = None if broker.capabilities.native_exits else ExitWatch(memory, clock)
        self._on_quote = on_quote
        self.fresh: tuple[UUID, ...] = ()
        """Runs that nothing was saved of, after `begin`: they are to be warmed up."""
        orders.listeners.append(self._changes.extend)
        for lane in memory.lanes:
            orders.name_run(lane.run, lane.strategy.name)

    # Beginning

    async def begin(self) -> int:
        """Restore what the strategies remember and what the account holds; return the close after which to go on.

        0 when nothing was saved; runs that saved a later bar than others see none of it again, and those that saved
        none are `fresh`. Call it after `Recovery.recover`, which has brought journal and venue together.
        """
        closes = [await lane.restore(self._journal, self._lease, with_account=False) for lane in self.lanes]
        newest = max(closes, default=0)
        saved = {lane.place.run for lane, close_ns in zip(self.lanes, closes, strict=True) if close_ns}
        self.fresh = tuple(dict.fromkeys(lane.run for lane in self._memory.lanes if lane.run not in saved))
        for lane, close_ns in zip(self.lanes, closes, strict=True):
            if newest and close_ns == newest:
                await lane.restore(self._journal, self._lease, with_account=True)
        self._mend()
        return min(filter(None, closes), default=0)

    def _mend(self) -> None:
        """Make the books hold what the account holds, after its fold was read anew."""
        self._n_reloads = self._orders.store.n_reloads
        self._changes.clear()
        for lane in self.lanes:
            lane.mend()
        for trade in self._orders.book.trades.values():
            book = self._memory.book_of(trade.run, trade.symbol)
            if book is None:
                continue
            if trade.trade_ref not in book.trades:
                book.show_trade(trade)
            if self._exits is not None:
                self._exits.adopt(trade, book)

    def warm(self, run: UUID, instants: Sequence[Instant]) -> None:
        """Show bars of the past to a fresh run alone; nothing that it wants then is sent.

        Its memory is then what it would be without other runs. The account is left as it stands: the past is not its
        own.

        Args:
            run: Without saved state.
            instants: Oldest first, none later than where the others stand.
        """
        account = self._memory.account.copy()
        for instant in instants:
            decisions = self._memory.decide(instant.bars, (), balance=self._orders.book.balance, run=run)
            self._refuse_all(decisions)
        self._memory.account[:] = account

    def _refuse_all(self, decisions: Sequence[LaneDecision]) -> None:
        for decision in decisions:
            for wish in decision.wishes:
                if isinstance(wish, Enter):
                    self._memory.refuse(decision.lane, wish.number)

    # Running

    async def run(self, stop: asyncio.Event) -> None:
        """Decide on every instant that the feed brings, until it ends or `stop` is set.

        Raises:
            LeaseLost: The account is another's now.
            TradeSentryError: A strategy or a record failed; nothing more is decided.
        """
        listening = {asyncio.ensure_future(self._polls.run())}
        if self._exits is not None:
            listening.add(asyncio.ensure_future(self._watch()))
        deciding = asyncio.ensure_future(self._decide_all(stop))
        tasks = {*listening, deciding}
        try:
            while not deciding.done():
                done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
                tasks -= done
                for task in done:
                    task.result()
        finally:
            for task in (*listening, deciding):
                task.cancel()
            await asyncio.gather(*listening, deciding, return_exceptions=True)

    async def _decide_all(self, stop: asyncio.Event) -> None:
        instants = self._feed.instants()
        waiting = asyncio.ensure_future(stop.wait())
        try:
            while not stop.is_set():
                coming = asyncio.ensure_future(anext(instants, None))
                await asyncio.wait({coming, waiting}, return_when=asyncio.FIRST_COMPLETED)
                if not coming.done():
                    coming.cancel()
                    await asyncio.gather(coming, return_exceptions=True)
                instant = None if coming.cancelled() else coming.result()
                if instant is None:
                    return
                await self.play(instant)
        finally:
            waiting.cancel()
            await asyncio.gather(waiting, return_exceptions=True)

    async def play(self, instant: Instant) -> list[Sent]:
        """Decide one instant and send what is wanted.

        Args:
            instant: Bars that closed together.
        """
        await self._take_news()
        if self._orders.store.n_reloads != self._n_reloads:
            self._mend()
        balance = await self._balance()
        changes = list(self._changes)
        self._changes.clear()
        blocked = int(IMPOSED[self._orders.state])
        decisions = self._memory.decide(instant.bars, changes, balance=balance, blocked=blocked)
        self._as_of_ns = instant.close_ns
        protection = self._protect(instant.bars, {})
        batches: dict[UUID, list[tuple[AsyncOrchestrator, list[Wish]]]] = {}
        for decision in decisions:
            lane = self.lanes[decision.lane]
            place = lane.place
            wishes = lane.prepare(decision, protection.get((place.run, place.symbol), ()))
            if wishes or decision.lane in self._memory.due:
                batches.setdefault(place.run, []).append((lane, wishes))
        sent: list[Sent] = []
        for run, batch in batches.items():
            sent += await self._send(run, batch, instant.close_ns)
        return sent

    async def _send(
        self, run: UUID, batch: Sequence[tuple[AsyncOrchestrator, list[Wish]]], bar_close_ns: int
    ) -> list[Sent]:
        """Send what a run wants on all its markets, with its memory in the same commit."""
        states = [save_lane(self._memory, lane.lane, bar_close_ns) for lane, _ in batch]
        every = [wish for _, wishes in batch for wish in wishes]
        try:
            sent = await self._orders.submit(every, run=run, bar_close_ns=bar_close_ns, states=states)
        except JournalUnavailable:
            # Nothing was sent; what the strategies remember is saved with the next bar that can be.
            for lane, wishes in batch:
                lane.give_up(wishes)
            return []
        at = 0
        for lane, wishes in batch:
            lane.note(sent[at : at + len(wishes)], bar_close_ns=bar_close_ns)
            at += len(wishes)
        return sent

    async def _take_news(self) -> None:
        """Take in what the venue did; where that cannot be had now, the polls make up for it."""
        try:
            await self._orders.catch_up()
            if self._is_near:
                # A replay may pass hours between two polls.
                sample = await self._broker.server_clock()
                self._orders.gates.watch.note_clock(sample, now_ns=self._clock.now_ns())
        except FINAL:
            raise
        except BrokerError as error:
            _log.warning("news_missing", error=str(error))

    async def _balance(self) -> Decimal:
        """Return the balance: asked for where the venue is ours, as its events tell it elsewhere."""
        if self._is_near:
            return (await self._broker.get_balance()).balance
        return self._orders.book.balance

    def _protect(self, bars: Mapping[str, Any], quotes: Mapping[str, Quote]) -> dict[tuple[UUID, str], list[Wish]]:
        """Return what the watchers want, by run and symbol."""
        trades = tuple(self._orders.book.trades.values())
        return {} if self._exits is None else self._exits.propose(trades, bars, quotes)

    async def _watch(self) -> None:
        """Follow the quotes: entries are judged by them, and exits brought forward where the venue does not do so."""
        symbols = sorted({lane.symbol for lane in self._memory.lanes})
        async for quote in self._broker.quotes(symbols):
            if isinstance(quote, StreamDown):
                continue
            self._orders.note_quote(quote)
            if self._on_quote is not None:
                self._on_quote(quote)
            if self._orders.state is LiveState.RECONCILING:
                continue
            for (run, _), wishes in self._protect({}, {quote.symbol: quote}).items():
                await self._orders.submit(wishes, run=run, bar_close_ns=0)

    # Commands

    def pause(self, run: UUID) -> None:
        """Let a run enter nothing more; exits, stops and protection go on."""
        self._set_paused(run, is_paused=True)

    def resume(self, run: UUID) -> None:
        """Let a run enter again."""
        self._set_paused(run, is_paused=False)

    def _set_paused(self, run: UUID, *, is_paused: bool) -> None:
        for lane in self.lanes:
            if lane.place.run == run:
                lane.is_paused = is_paused

    # Showing

    def status(self) -> LiveStatus:
        """Return the account as it stands."""
        lanes = tuple(
            LaneStatus(
                lane.place.run,
                lane.place.strategy.name,
                lane.place.symbol,
                lane.is_paused,
                int(lane.book.book.seen.bar_index),
                lane.last,
            )
            for lane in self.lanes
        )
        return status_of(self._orders, self._memory, lanes, as_of_ns=self._as_of_ns)
