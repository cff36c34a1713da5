"""The kernels of the back-test as a paper venue takes them.

Brokers may not import execution, so whoever makes a paper account hands it `MATCHING`.
"""

from typing import Any, Final

from tradesentry.core.broker.paper_memory import Matching
from tradesentry.core.execution.book import add_order
from tradesentry.core.execution.costs import price_unit_value
from tradesentry.core.execution.driver import mark_account, observe_market, settle_book
from tradesentry.core.utils.kernel import kernel


@kernel
def unit_value(markets: Any, m: int, desk: Any, bid: float, ask: float) -> float:
    """Return account money per unit for a price move of 1; whole arrays, as a single record is slow to hand over."""
    return price_unit_value(markets[m], desk[0], bid, ask)


MATCHING: Final = Matching(observe_market, settle_book, mark_account, add_order, unit_value)
