"""The records of a run in memory: where its arrays lie, which bar comes next, which strategy trades which market.

Separate from the records of trading, because only the engine and who lays out its memory know them.
"""

from tradesentry.core.domain.calendar_records import aligned

PAIR = aligned(("correlation", "f8"), ("n_returns", "i8"))  # of two markets, and their returns when it was computed

SERIES = aligned(  # where the bars of a market lie in memory and which comes next
    ("bars", "i8"),  # address of a BAR array
    ("n_bars", "i8"),
    ("next_bar", "i8"),
    ("next_close_ns", "i8"),  # far future at the end
    ("fine", "i8"),  # address of a BAR array of finer bars or ticks
    ("n_fine", "i8"),
    ("fine_from", "i8"),  # rows inside the present bar
    ("fine_to", "i8"),
)

LANE = aligned(  # one strategy on one market; row i belongs to BOOK row i
    ("market", "i8"),
    ("step", "i8"),  # address of the strategy's machine code
    ("params", "i8"),  # address of the parameter record
    ("state", "i8"),  # address of the state record
)

CALM = aligned(  # how far a lone account may go without anything to settle or to note (`backtest.coasting`)
    ("until_ns", "i8"),  # the first close that may change something
    ("low", "f8"),  # bids between which a bar with the present spread is calm
    ("high", "f8"),
    ("spread", "f8"),  # the present one, before the cost scale
    ("scaled", "f8"),  # with it
    ("widest", "f8"),  # spread above which a resting order is pulled, before the cost scale
    ("bid", "f8"),  # quote from which `fall` and `rise` count
    ("ask", "f8"),
    ("fall", "f8"),  # how far both prices may fall before the account has something to note
    ("rise", "f8"),
)

DESK = aligned(  # where all the memory of a run lies: addresses of record arrays, with their lengths
    ("markets", "i8"),
    ("quotes", "i8"),
    ("pairs", "i8"),  # PAIR of markets a and b in row a * n_markets + b
    ("series", "i8"),
    ("lanes", "i8"),
    ("books", "i8"),
    ("trades", "i8"),
    ("equity", "i8"),
    ("rejects", "i8"),
    ("n_markets", "i8"),
    ("n_lanes", "i8"),
    ("trade_room", "i8"),
    ("equity_room", "i8"),
    ("reject_room", "i8"),
    ("calm", CALM),
    ("steps_left", "i8"),  # instants that the engine may still play before it comes back
)
