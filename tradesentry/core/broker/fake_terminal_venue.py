"""The paper account as a terminal's server needs it: opposite trades are set off against each other at one price.

Separate because no other venue does that. Netting closes what is open at the price of the fill, without paying the
spread twice; "close by" closes a trade with its opposite. The margin of hedged legs is the server's to know, so the
paper account's own check is off.
"""

import math
from collections.abc import Callable, Sequence
from decimal import Decimal
from typing import Any, Final

from tradesentry.core.broker.faults import FaultScript
from tradesentry.core.broker.paper_ledger import Transaction
from tradesentry.core.broker.paper_memory import PaperMemory
from tradesentry.core.broker.paper_venue import PaperVenue
from tradesentry.core.domain.venue import VenueInstrument

ReducePosition = Callable[[Any, Any, Any, Any, int, float, float, bool, int, int], bool]
"""The kernel `reduce_position`: (market, desk, book, account, row, units, price, slips, ns, reason)."""
_COMMISSION: Final = ("commission_per_unit", "commission_fraction", "commission_min")


class TerminalVenue(PaperVenue):
    """One account behind a terminal.

    Args:
        memory: Records and kernels; its limits should leave the stop-out to the terminal's server.
        instruments: In the order of the memory's markets.
        reduce: The kernel that closes units of a position at a price.
        account: Name of the account.
        log_id: Of the transaction log.
        currency: Of the account.
        faults: What goes wrong in the paper account itself, beside the terminal's own faults.
    """

    def __init__(
        self,
        memory: PaperMemory,
        instruments: Sequence[VenueInstrument],
        *,
        reduce: ReducePosition,
        account: str = "terminal",
        log_id: str = "terminal-1",
        currency: str = "USD",
        faults: FaultScript | None = None,
    ) -> None:
        super().__init__(
            memory, instruments, account=account, log_id=log_id, currency=currency, faults=faults, dedupes=False
        )
        self._reduce = reduce

    def free_margin(self) -> float:
        """Return no limit: the terminal's server checks margin with hedged legs."""
        return math.inf

    def unit_value(self, symbol: str) -> float:
        """Return account money per unit for a price move of 1 at the present quote."""
        m, quote = self._symbols.index(symbol), self.quotes[symbol]
        memory = self.memory
        return float(memory.matching.unit_value(memory.markets, m, memory.desk, quote.bid, quote.ask))

    def market_of(self, symbol: str) -> Any:
        """Return the MARKET record of a symbol."""
        return self.memory.markets[self._symbols.index(symbol)]

    def margin_fraction(self, symbol: str) -> float:
        """Return the share of the notional that is margin."""
        return float(self.market_of(symbol).margin_fraction)

    def offset(self, parts: Sequence[tuple[str, Decimal]], price: float) -> list[Transaction]:
        """Close units of several trades of one instrument at one price, without slippage and commission.

        Args:
            parts: (trade id, units) of trades on both sides; the units of both sides should be equal.
            price: Of all closes.
        """
        trades = [(self.trades[trade_id], units) for trade_id, units in parts]
        m = trades[0][0].market
        market = self.memory.markets[m]
        charged = {name: market[name] for name in _COMMISSION}
        for name in _COMMISSION:
            market[name] = 0.0
        wanted = [(trade.position_id, float(units)) for trade, units in trades]
        try:
            self._tell(self.memory.reduce_at(self._reduce, m, wanted, price=price, now_ns=self.now_ns))
        finally:
            for name, value in charged.items():
                market[name] = value
        return self._publish()
