"""What the gates are asked about an entry: its exposure, what the account and its book hold, and the market now.

Separate from the order manager, which acts on the verdicts, and from the gates, which judge values only. Quotes and the
account's money are kept here as they come in; what is missing or too old is fetched once before a decision is judged,
and what then is still missing denies the entry.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from decimal import Decimal
from uuid import UUID

from tradesentry.core.broker.base_broker import BaseBroker
from tradesentry.core.domain.clock import NS_PER_SECOND, Clock
from tradesentry.core.domain.errors import BrokerError
from tradesentry.core.domain.instruments import Instrument
from tradesentry.core.domain.live_account import Enter
from tradesentry.core.domain.live_orders import Effect
from tradesentry.core.domain.money import ZERO, decimal_of
from tradesentry.core.domain.orders import OrderType, Side
from tradesentry.core.domain.venue import AccountState, Quote, VenueInstrument
from tradesentry.core.execution.account_book import AccountBook
from tradesentry.core.execution.gate_view import GateView
from tradesentry.core.execution.journal_port import JournalTransaction
from tradesentry.core.execution.journal_rows import Lease, LiveState, Reservation
from tradesentry.core.execution.lease import SelfFence
from tradesentry.core.execution.live_exposure import (
    AccountShare,
    EntryRequest,
    Exposure,
    account_rate,
    exposure_of,
    held_by,
    net_legs,
    pairs_between,
)
from tradesentry.core.execution.live_gates import LiveGates
from tradesentry.core.execution.verdicts import Allowed, Denied, Verdict
from tradesentry.core.market.instruments import INSTRUMENTS


class EntryGates:
    """The questions of one account.

    Args:
        broker: For what is not known yet.
        lease: Whose account.
        book: What it holds.
        gates: Who judges.
        fence: Says how long the lease may still be acted on.
        clock: Time.
    """

    def __init__(
        self, broker: BaseBroker, lease: Lease, book: AccountBook, gates: LiveGates, fence: SelfFence, clock: Clock
    ) -> None:
        self._broker, self._lease, self.book, self.gates = broker, lease, book, gates
        self._fence, self._clock = fence, clock
        self.quotes: dict[str, Quote] = {}
        """Newest quote by symbol, as the quote stream brings them."""
        self.account: AccountState | None = None
        """Money of the account as last read."""
        self.apps: dict[UUID, str] = {}
        """Strategy of each run, for limits and locks by strategy."""
        self._wanted: set[str] = set()
        """Currencies of the book's other accounts for which a rate was missing."""

    async def refresh(self, symbols: Iterable[str]) -> None:
        """Fetch what is missing or too old to judge entries by; what cannot be fetched stays as it is."""
        now_ns = self._clock.now_ns()
        oldest_quote = now_ns - round(self.gates.settings.max_quote_age_seconds * NS_PER_SECOND)
        for symbol in dict.fromkeys(symbols):
            quote = self.quotes.get(symbol)
            if quote is None or quote.received_ts_ns < oldest_quote:
                await self.fetch_quote(symbol)
        oldest_state = now_ns - round(self.gates.limits.max_state_age_seconds * NS_PER_SECOND)
        if self.account is None or self.account.as_of_ns < oldest_state:
            try:
                self.account = await self._broker.get_balance()
            except BrokerError:
                return
        for symbol in self._conversions(symbols, oldest_state):
            await self.fetch_quote(symbol)

    def _conversions(self, symbols: Iterable[str], oldest_ns: int) -> list[str]:
        """Return the pairs to read so that what is asked for and held has a present rate into the account's money."""
        account = "" if self.account is None else self.account.currency
        shown = {*symbols, *(trade.symbol for trade in self.book.trades.values())}
        items = [self._instrument(symbol) for symbol in sorted(shown)]
        needed = self._wanted | {item.quote for item in items if item is not None and account != item.base}
        fresh = {symbol: quote for symbol, quote in self.quotes.items() if quote.received_ts_ns >= oldest_ns}
        pairs: dict[str, None] = {}
        for currency in sorted(needed):
            if account_rate(currency, account, fresh) is None:
                ways = [way for way in pairs_between(currency, account) if all(map(self.item, way))]
                pairs |= dict.fromkeys(ways[0] if ways else ())
        return list(pairs)

    async def fetch_quote(self, symbol: str) -> Quote | None:
        """Read a quote now; None when the venue has none."""
        try:
            quote = await self._broker.quote(symbol)
        except BrokerError:
            return None
        self.quotes[symbol] = quote
        return quote

    def _instrument(self, symbol: str) -> Instrument | None:
        """Return an instrument, one that this venue does not trade included; None when nobody knows it."""
        item = self.item(symbol)
        return INSTRUMENTS.get(symbol) if item is None else item.instrument

    def item(self, symbol: str) -> VenueInstrument | None:
        """Return an instrument as the venue trades it."""
        return self.book.instruments.get(symbol)

    def rate(self, wish: Enter, price: float) -> Decimal | None:
        """Return account money per unit of the quote currency; None when nothing says.

        A decision that was sized elsewhere says it too: by its risk and the distance of its stop.
        """
        item = self.item(wish.symbol)
        if item is None or self.account is None:
            return None
        currency, quote_currency = self.account.currency, item.instrument.quote
        rate = account_rate(quote_currency, currency, self.quotes)
        if rate is None and item.instrument.base == currency:
            return Decimal(1) / decimal_of(price)
        distance = abs(price - wish.stop_loss)
        if rate is None and wish.risk > ZERO and distance > 0:
            return wish.risk / (wish.units * decimal_of(distance))
        return rate

    def entry_price(self, wish: Enter) -> float | None:
        """Return the price that an entry expects to pay."""
        if wish.type is not OrderType.MARKET:
            return wish.price
        quote = self.quotes.get(wish.symbol)
        return wish.reference_price if quote is None else quote.opening(wish.side)

    def exposure(self, wish: Enter, run: UUID | None) -> Exposure | Denied:
        """Return what an entry would expose, account currency."""
        item, price = self.item(wish.symbol), self.entry_price(wish)
        if item is None:
            return Denied("unknown_instrument", f"The venue does not trade {wish.symbol}. Check the run's symbols.")
        if price is None:
            return Denied("no_quote", f"There is no price of {wish.symbol}. Wait for the quote stream.")
        rate = self.rate(wish, price)
        if rate is None:
            what = f"{item.instrument.quote} cannot be turned into the account's currency"
            return Denied("rate_unknown", f"{what}: no quote says how. Subscribe to the pair between the two.")
        side, stop, app = wish.side, wish.stop_loss, self._app(run)
        found = exposure_of(item.instrument, side, wish.units, price=price, stop_loss=stop, rate=rate, app=app)
        return replace(found, risk=wish.risk) if wish.risk > ZERO else found

    def view(self, symbol: str, run: UUID | None, state: LiveState, legs: Mapping[str, Decimal] | None) -> GateView:
        """Return what the gates look at."""
        item = self.item(symbol)
        return self.gates.view(
            now_ns=self._clock.now_ns(),
            state=state,
            quote=self.quotes.get(symbol),
            pip=0.0001 if item is None else item.instrument.pip,
            lease_seconds=self._fence.left_seconds,
            app=self._app(run),
            unresolved=self.book.unresolved,
            legs=legs,
            held=None if legs is None else net_legs(self.share(()).held),
        )

    def vet(self, wish: Enter, run: UUID | None, state: LiveState) -> tuple[Verdict, GateView]:
        """Return the verdict of the gates before the book is locked, and what they looked at."""
        exposure = self.exposure(wish, run)
        seen = self.view(wish.symbol, run, state, None if isinstance(exposure, Denied) else exposure.legs)
        if isinstance(exposure, Denied):
            return exposure, seen
        return self.gates.vet_entry(wish, seen), seen

    def vet_book(
        self, wish: Enter, run: UUID | None, reserved: Sequence[Reservation], others: Sequence[AccountShare]
    ) -> tuple[Verdict, Exposure]:
        """Return the verdict on the sums read under the book's lock, and what the entry then exposes.

        Args:
            wish: The entry.
            run: Whose.
            reserved: Open reservations of the whole book.
            others: The other accounts of the book, without their reservations.
        """
        exposure, item = self.exposure(wish, run), self.item(wish.symbol)
        if isinstance(exposure, Denied) or item is None:
            denied = exposure if isinstance(exposure, Denied) else Denied("unknown_instrument", wish.symbol)
            return denied, Exposure({}, ZERO)
        account = self.account
        asked = EntryRequest(
            units=wish.units,
            step=item.unit_step,
            least=item.min_units,
            exposure=exposure,
            currency="" if account is None else account.currency,
            may_shrink=wish.group is None or wish.group_policy != "all_or_unwind",
        )
        mine = [row for row in reserved if row.account_id == self._lease.account_id]
        verdict = self.gates.vet_book(asked, self.share(mine), others, now_ns=self._clock.now_ns())
        if isinstance(verdict, Allowed):
            exposure = exposure.scaled(verdict.units / wish.units)
        return verdict, exposure

    def share(self, reserved: Sequence[Reservation]) -> AccountShare:
        """Return what the account is and holds: open trades, its reservations, and resting orders of others."""
        account = self.account
        shown = _Shown("" if account is None else account.currency, self.quotes, self._instrument)
        for trade in self.book.trades.values():
            quote = self.quotes.get(trade.symbol)
            price = trade.entry_price if quote is None else quote.closing(trade.side)
            shown.add(trade.symbol, trade.side, trade.units, price, trade.stop_loss, self._app(trade.run))
        seqs = {row.seq for row in reserved}
        for order in self.book.open_orders.values():
            if order.effect is Effect.OPEN and order.is_external and order.seq not in seqs and order.price is not None:
                shown.add(order.symbol, order.side, order.units, order.price, order.stop_loss)
        for row in reserved:
            order_of = self.book.order(row.seq)
            shown.held += held_by([row], app="" if order_of is None else self._app(order_of.run))
        equity, as_of_ns = (None, 0) if account is None else (account.equity, account.as_of_ns)
        return AccountShare(equity, as_of_ns, tuple(shown.held), unvalued=frozenset(shown.unvalued))

    async def other_shares(
        self, transaction: JournalTransaction, reserved: Sequence[Reservation]
    ) -> tuple[AccountShare, ...]:
        """Return what the other accounts of the book hold, in their money, read under the book's lock.

        Args:
            transaction: Holds the lock.
            reserved: Open reservations of the whole book.
        """
        currency = "" if self.account is None else self.account.currency
        shares = []
        self._wanted.clear()
        for other in await transaction.read_book():
            theirs = other.currency or currency
            shown = _Shown(theirs, self.quotes, self._instrument)
            shown.held += held_by([row for row in reserved if row.account_id == other.account_id])
            for row in other.positions:
                shown.add(row.instrument, row.side, row.units, row.entry_price, row.stop_loss)
            rate = account_rate(theirs, currency, self.quotes)
            if rate is None and shown.held:
                shown.unvalued.add(theirs)
            self._wanted |= shown.unvalued
            held, unvalued = tuple(shown.held), frozenset(shown.unvalued)
            equity = None if rate is None else other.equity
            shares.append(AccountShare(equity, other.as_of_ns, held, rate or Decimal(1), unvalued))
        return tuple(shares)

    def _app(self, run: UUID | None) -> str:
        return "" if run is None else self.apps.get(run, str(run))


class _Shown:
    """Trades and orders of one account as exposures in its money, and what no quote turns into that."""

    def __init__(
        self, currency: str, quotes: Mapping[str, Quote], instrument: Callable[[str], Instrument | None]
    ) -> None:
        self._currency, self._quotes, self._instrument = currency, quotes, instrument
        self.held: list[Exposure] = []
        self.unvalued: set[str] = set()

    def add(self, symbol: str, side: Side, units: Decimal, price: float, stop: float | None, app: str = "") -> None:
        """Count one position or resting order."""
        item = self._instrument(symbol)
        if item is None or not self._currency:
            self.unvalued.add(symbol)
            return
        rate = account_rate(item.quote, self._currency, self._quotes)
        if rate is None and item.base == self._currency:
            rate = Decimal(1) / decimal_of(price)
        if rate is None:
            self.unvalued.add(item.quote)
        else:
            self.held.append(exposure_of(item, side, units, price=price, stop_loss=stop, rate=rate, app=app))
