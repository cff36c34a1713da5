"""The records that kernels work on; the only memory they see.

All times are int64 nanoseconds UTC, all prices float64 in quote currency, all money in account currency. A price that
does not exist (no stop, no target) is NaN, an index or id that does not exist is -1 or 0 as noted. Layouts are aligned
like C structs; saved bytes carry a digest of the layout (`core.utils.kernel.save_records`).

Capacities are constants sized for the largest app. A record that is full is a status that ends the run with an error,
never a silent drop.
"""

from typing import Final

from tradesentry.core.domain.calendar_records import CALENDAR, CLOCK, CURSOR, aligned

N_POSITIONS: Final = 64
"""Open positions of one strategy on one market; smgrid holds 2 x 8 levels."""
N_ORDERS: Final = 64
"""Resting orders of one strategy on one market."""
N_INTENTS: Final = 64
"""Intents that one strategy may write on one bar; the array that it writes into has one row more."""
N_CAUSES: Final = 4
"""Events named as the cause of an order."""
N_PARTIALS: Final = 3
"""Steps of a partial take-profit."""
N_CURRENCIES: Final = 32
"""Currencies of one account's exposure."""
N_RETURNS: Final = 64
"""Daily returns kept per market for volatility and correlation."""
N_RECENT: Final = 32
"""Recent bars kept per market for chandelier stops; a power of two, so that a mask finds a row."""
N_QUOTAS: Final = 1_024
"""Acceptances under a quota that an account remembers; twenty variants that take ten symbols in five sessions a day."""
N_OUTCOMES: Final = 256
"""R-multiples of closed trades kept for the Kelly cap."""
HOURS_PER_WEEK: Final = 168


BAR = aligned(
    ("open_ns", "i8"),  # period start, what vendors print
    ("close_ns", "i8"),  # when the bar is known
    ("open", "f8"),  # bid
    ("high", "f8"),
    ("low", "f8"),
    ("close", "f8"),
    ("volume", "f8"),  # tick count in FX
    ("spread", "f8"),  # price units; ask = bid + spread
)

MARKET = aligned(
    ("index", "i8"),
    ("tick", "f8"),
    ("pip", "f8"),
    ("contract_units", "f8"),
    ("unit_step", "f8"),
    ("unit_min", "f8"),
    ("unit_max", "f8"),
    ("margin_fraction", "f8"),
    ("min_stop_distance", "f8"),  # price units
    ("commission_per_unit", "f8"),  # account currency per unit and side
    ("commission_fraction", "f8"),  # of notional, per side
    ("commission_min", "f8"),  # account currency per side
    ("slippage_mean", "f8"),  # price units per market or stop fill
    ("slippage_atr", "f8"),  # fraction of ATR(14) added to it
    ("slippage_seed", "i8"),  # 0: the expected value; else seeded half-normal draws
    ("swap_is_rate", "b1"),  # annual rate of notional instead of price units a night
    ("swap_long", "f8"),  # what a long earns per night (negative: pays)
    ("swap_short", "f8"),
    ("swap_day_weights", "f8", (7,)),  # nights booked at the end of the FX day of that weekday
    ("min_spread", "f8"),
    ("spread_mult", "f8"),  # around the rollover and after news starts, where the data carry no spread
    ("cost_scale", "f8"),  # 0, 1 or 2 times the costs
    ("base_currency", "i8"),  # row of the account's currency table
    ("quote_currency", "i8"),
    ("conversion", "i8"),  # Conversion code of core.execution.costs
    ("cross_index", "i8"),  # market that quotes the conversion, -1 none
    ("fixed_rate", "f8"),  # account currency per unit of quote currency, for a fixed conversion
    ("spread_floor", "f8", (HOURS_PER_WEEK,)),  # price units by UTC hour of week from Monday 00:00
    ("calendar", CALENDAR),
)

QUOTE = aligned(  # the present of a market, shared by all books on it
    ("bid", "f8"),
    ("ask", "f8"),  # with the cost scale applied
    ("prev_bid", "f8"),  # one bar earlier
    ("prev_ask", "f8"),
    ("spread", "f8"),  # of the last bar, after the floor, before the cost scale: what decisions are made with
    ("last_close_ns", "i8"),
    ("is_gap", "b1"),  # the last bar did not open where the one before it closed
    ("n_bars", "i8"),
    ("floor_until_ns", "i8"),
    ("floor_spread", "f8"),
    ("prev_close", "f8"),
    ("atr", "f8"),  # Wilder, 14 bars; NaN until known
    ("prev_atr", "f8"),  # one bar earlier: what was known when the last bar opened
    ("atr_sum", "f8"),
    ("recent_at", "i8"),
    ("cursor", CURSOR),
    ("clock", CLOCK),
    ("highs", "f8", (N_RECENT,)),
    ("lows", "f8", (N_RECENT,)),
    ("day_close", "f8"),
    ("n_returns", "i8"),
    ("returns", "f8", (N_RETURNS,)),  # ring of daily log returns
    ("signed_risk", "f8"),  # scratch of the cluster rule
    ("cluster", "i8"),
)


LIMITS = aligned(
    ("is_on", "b1"),  # False: sizing only, for research
    ("max_idea_risk", "f8"),  # fraction of equity lost at the stop of one entry
    ("max_open_risk", "f8"),  # sum over positions, orders and queue
    ("max_app_risk", "f8"),  # share of max_open_risk that one strategy may use
    ("max_currency_net", "f8"),  # notional of a non-account currency as a multiple of equity
    ("max_currency_gross", "f8"),
    ("max_currency_risk", "f8"),  # risk of one currency leg, fraction of equity
    ("max_cluster_risk", "f8"),
    ("max_leverage", "f8"),
    ("min_free_margin", "f8"),  # fraction of equity left free after a fill
    ("max_notional", "f8"),  # account currency per order; inf none
    ("max_positions", "i8"),  # of the account
    ("max_per_market", "i8"),
    ("max_trades_per_day", "i8"),
    ("daily_loss", "f8"),  # fraction of the day's start equity
    ("market_daily_loss", "f8"),
    ("drawdown_warn", "f8"),
    ("drawdown_reduce", "f8"),
    ("drawdown_halt", "f8"),
    ("stop_out_level", "f8"),  # equity / margin used below which the largest loser is closed
    ("currency_net_shrinks", "b1"),
    ("open_risk_shrinks", "b1"),
)
EXPOSURE = aligned(  # sums over positions, orders and queue, rebuilt when an entry is vetted
    ("net", "f8", (N_CURRENCIES,)),  # account currency
    ("gross", "f8", (N_CURRENCIES,)),
    ("risk", "f8", (N_CURRENCIES,)),  # signed loss at the stop per currency leg
    ("open_risk", "f8"),
    ("app_risk", "f8"),
    ("notional", "f8"),
    ("margin", "f8"),
    ("n_entries", "i8"),  # positions, orders and queued entries of the account
    ("n_market", "i8"),  # of them on the market in question
)
QUOTA = aligned(  # an entry that was accepted under a key
    ("key", "i8"),
    ("variant", "i8"),
    ("app", "i8"),
    ("lane", "i8"),
)
ACCOUNT = aligned(
    ("balance", "f8"),
    ("equity", "f8"),
    ("worst_equity", "f8"),  # at the adverse extreme of the last bars
    ("margin_used", "f8"),
    ("free_margin", "f8"),
    ("peak_equity", "f8"),
    ("day_start_equity", "f8"),
    ("day_ns", "i8"),  # start of the account's FX day
    ("day_end_ns", "i8"),
    ("trading_state", "i8"),
    ("state_reason", "i8"),  # ExitReason that led there
    ("state_ns", "i8"),
    ("daily_pnl", "f8"),
    ("drawdown", "f8"),  # fraction below the peak, as of the last equity point
    ("max_drawdown", "f8"),
    ("currency", "i8"),
    ("n_currencies", "i8"),
    ("n_trades", "i8"),
    ("n_trades_today", "i8"),
    ("n_rejects", "i8"),
    ("n_equity", "i8"),
    ("next_id", "i8"),
    ("last_ns", "i8"),
    ("next_equity_ns", "i8"),  # when the next equity point is due
    ("equity_step_ns", "i8"),
    ("kelly_fraction", "f8"),  # cap on the risk fraction; NaN while unknown
    ("n_outcomes", "i8"),
    ("outcomes", "f8", (N_OUTCOMES,)),  # ring of R-multiples
    ("n_quotas", "i8"),
    ("quotas", QUOTA, (N_QUOTAS,)),  # ring: the oldest acceptance is forgotten
    ("limits", LIMITS),
    ("exposure", EXPOSURE),
)

EXITS = aligned(
    ("be_trigger_r", "f8"),  # 0: no break-even
    ("be_offset", "f8"),  # price units past entry and costs
    ("trail_mode", "i8"),  # TrailMode
    ("trail_start_r", "f8"),
    ("trail_distance", "f8"),  # price units, or multiples of ATR
    ("trail_bars", "i8"),
    ("partial_r", "f8", (N_PARTIALS,)),  # 0: unused
    ("partial_fraction", "f8", (N_PARTIALS,)),  # of the initial units
    ("exit_ns", "i8"),  # close at the first bar close at or after it; 0 never
    ("max_bars", "i8"),  # close after that many bars; 0 never
    ("max_spread", "f8"),  # refuse the entry, or pull it while it rests, above this spread; 0 any
)
ORDER = aligned(
    ("id", "i8"),
    ("market", "i8"),
    ("side", "i8"),
    ("type", "i8"),
    ("price", "f8"),
    ("units", "f8"),
    ("stop_loss", "f8"),
    ("take_profit", "f8"),
    ("expiry_ns", "i8"),  # 0: good till cancelled
    ("basket", "i8"),  # 0 none
    ("group", "i8"),  # one cancels the others; 0 none
    ("skip_if_both", "b1"),  # cancel the group when one bar reaches two of its entries
    ("tag", "i8"),
    ("cause", "i8", (N_CAUSES,)),
    ("placed_ns", "i8"),
    ("risk_money", "f8"),  # loss at the stop when sized
    ("score", "f8"),
    ("exits", EXITS),
)
POSITION = aligned(
    ("id", "i8"),
    ("market", "i8"),
    ("side", "i8"),
    ("units", "f8"),
    ("initial_units", "f8"),
    ("entry_price", "f8"),
    ("entry_ns", "i8"),
    ("entry_bar", "i8"),  # VIEW.bar_index when it was opened
    ("entry_settled", "i8"),  # BOOK.settled when it was opened; that bar gives no target
    ("entry_number", "i8"),  # among the entries of the book at `entry_ns`, from 0
    ("n_exits", "i8"),  # fills that reduced it
    ("is_inside", "b1"),  # opened inside a bar, not at its open
    ("week_end_ns", "i8"),
    ("stop_loss", "f8"),
    ("initial_stop", "f8"),
    ("stop_reason", "i8"),  # ExitReason that the present stop means
    ("take_profit", "f8"),
    ("basket", "i8"),
    ("tag", "i8"),
    ("cause", "i8", (N_CAUSES,)),
    ("risk_money", "f8"),  # R, frozen at the entry fill
    ("mae", "f8"),  # worst excursion against, price units >= 0
    ("mfe", "f8"),
    ("swap", "f8"),  # account currency, accrued and already in equity
    ("commission", "f8"),  # charged so far, >= 0
    ("slippage", "f8"),  # cost of slippage so far, account currency >= 0
    ("spread_cost", "f8"),  # cost of crossing the spread so far, account currency >= 0
    ("realized", "f8"),  # gross of partial exits
    ("exit_value", "f8"),  # sum of units x price of partial exits
    ("n_partials", "i8"),
    ("exits", EXITS),
)
INTENT = aligned(
    ("action", "i8"),
    ("type", "i8"),
    ("side", "i8"),
    ("price", "f8"),
    ("stop_loss", "f8"),
    ("take_profit", "f8"),
    ("size_rule", "i8"),
    ("size", "f8"),  # read as intent["size"]: plain NumPy records have an attribute of that name
    ("expiry_ns", "i8"),
    ("basket", "i8"),
    ("group", "i8"),
    ("skip_if_both", "b1"),
    ("target_id", "i8"),
    ("tag", "i8"),
    ("score", "f8"),
    ("cause", "i8", (N_CAUSES,)),
    ("reason", "i8"),
    ("quota_key", "i8"),  # entries of one variant and app that share it share a quota; 0 none
    ("quota_max", "i8"),  # strategies on other markets that may have been accepted under it before
    ("exits", EXITS),
    ("lane", "i8"),  # filled by decide
    ("seq", "i8"),
    ("units", "f8"),
    ("risk_money", "f8"),
    ("signal_price", "f8"),  # what the entry was expected to pay
)
VIEW = aligned(
    ("tick", "f8"),
    ("pip", "f8"),
    ("unit_step", "f8"),
    ("unit_min", "f8"),
    ("last_spread", "f8"),  # after the floor, before the cost scale
    ("price_unit_value", "f8"),  # account money per unit for a price move of 1, before the cost scale
    ("equity", "f8"),
    ("balance", "f8"),
    ("trading_state", "i8"),
    ("is_blocked", "b1"),  # no entry now: news, week end, lock or state
    ("bar_index", "i8"),  # bars seen on this market
    ("n_positions", "i8"),
    ("n_orders", "i8"),
    ("clock", CLOCK),
    ("positions", POSITION, (N_POSITIONS,)),
    ("orders", ORDER, (N_ORDERS,)),
)

RULES = aligned(
    ("weekend_flatten", "b1"),
    ("weekend_lead_ns", "i8"),  # flatten that long before Friday 17:00 New York
    ("no_entry_lead_ns", "i8"),  # no entry that long before it
    ("uses_news", "b1"),
    ("requires_calendar", "b1"),  # no entry where the news calendar does not reach
    ("news_flatten", "b1"),
    ("max_spread", "f8"),  # price units; 0 any
    ("target_volatility", "f8"),  # annual, 0 off
    ("kelly_cap", "b1"),
    ("bar_ns", "i8"),  # nominal length of a bar
    ("warmup_bars", "i8"),  # no intent before that many bars
)
BOOK = aligned(
    ("market", "i8"),
    ("variant", "i8"),
    ("app", "i8"),  # strategies that share a budget share a number
    ("rules", RULES),
    ("n_queue", "i8"),
    ("settled", "i8"),  # bars settled, finer bars counted one by one
    ("entry_ns", "i8"),  # of the last entry
    ("n_at_entry", "i8"),  # entries at that time
    ("unrealized", "f8"),  # account currency, at the close
    ("worst_unrealized", "f8"),  # at the bar's adverse extreme
    ("margin_used", "f8"),
    ("realized", "f8"),  # change of balance by this book since the start
    ("day_start_value", "f8"),  # realized + unrealized at the start of the FX day
    ("is_locked", "b1"),  # market daily loss; until the next FX day
    ("flatten_reason", "i8"),  # ExitReason; everything is closed at the next open
    ("quiet_until_ns", "i8"),  # a bar that closes before it and stays inside the four prices settles nothing
    ("quiet_low", "f8"),  # bid
    ("quiet_high", "f8"),
    ("quiet_low_ask", "f8"),
    ("quiet_high_ask", "f8"),
    ("filled_baskets", "i8"),  # bits of the baskets that filled an entry on the bar being settled
    ("seen", VIEW),  # positions and orders live here; what the strategy may see
    ("queue", INTENT, (N_INTENTS,)),  # vetted, to be executed at the next open
)


TRADE = aligned(
    ("market", "i8"),
    ("variant", "i8"),
    ("id", "i8"),
    ("side", "i8"),
    ("units", "f8"),
    ("entry_ns", "i8"),
    ("exit_ns", "i8"),
    ("entry_price", "f8"),
    ("exit_price", "f8"),  # unit-weighted over partial exits
    ("stop_at_entry", "f8"),
    ("gross", "f8"),  # account currency, before commission and swap
    ("commission", "f8"),
    ("swap", "f8"),
    ("slippage", "f8"),  # already inside gross
    ("spread_cost", "f8"),  # already inside gross
    ("net", "f8"),
    ("r_multiple", "f8"),
    ("mae_r", "f8"),
    ("mfe_r", "f8"),
    ("bars_held", "i8"),
    ("exit_reason", "i8"),
    ("basket", "i8"),
    ("tag", "i8"),
    ("cause", "i8", (N_CAUSES,)),
)
EQUITY = aligned(
    ("ts_ns", "i8"),
    ("equity", "f8"),
    ("balance", "f8"),
    ("worst_equity", "f8"),
    ("margin_used", "f8"),
    ("n_positions", "i8"),
    ("trading_state", "i8"),
)
REJECT = aligned(
    ("ts_ns", "i8"),
    ("market", "i8"),
    ("variant", "i8"),
    ("code", "i8"),
    ("side", "i8"),
    ("tag", "i8"),
    ("value", "f8"),
    ("limit", "f8"),
)
