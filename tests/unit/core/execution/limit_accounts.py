"""An account whose limits are all on and far away, for tests that bring one of them near."""

import numpy as np

from tests.support.markets import new_account

FLAT = (1.1000,) * 4
LOOSE = {
    "is_on": True,
    "max_idea_risk": 1.0,
    "max_open_risk": 1.0,
    "max_app_risk": 1.0,
    "max_currency_net": 1e9,
    "max_currency_gross": 1e9,
    "max_currency_risk": 1e9,
    "max_cluster_risk": 1e9,
    "max_leverage": 1e9,
    "max_notional": np.inf,
    "max_positions": 99,
    "max_per_market": 99,
    "max_trades_per_day": 99,
    "daily_loss": 1.0,
    "market_daily_loss": 1.0,
    "drawdown_reduce": 1.0,
    "drawdown_halt": 1.0,
    "open_risk_shrinks": False,
    "currency_net_shrinks": False,
}


def account(capital=100_000.0, **limits):
    """Return an account whose limits are on and far away, except those given."""
    return new_account(capital, **LOOSE | limits)
