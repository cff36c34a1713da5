"""Reach the memory of a run from one record.

Kernels would otherwise hand a dozen arrays from call to call, seven words each, which costs more than the work they do
on a bar. A DESK holds the addresses instead; `market_at(desk.markets, 3)` is the fourth MARKET.
"""

from tradesentry.core.domain.records import BAR, BOOK, EQUITY, MARKET, QUOTE, REJECT, TRADE
from tradesentry.core.domain.run_records import LANE, PAIR, SERIES
from tradesentry.core.utils.kernel import record_at

bar_at = record_at(BAR)
book_at = record_at(BOOK)
equity_at = record_at(EQUITY)
lane_at = record_at(LANE)
market_at = record_at(MARKET)
pair_at = record_at(PAIR)
quote_at = record_at(QUOTE)
reject_at = record_at(REJECT)
series_at = record_at(SERIES)
trade_at = record_at(TRADE)
