"""What a new installation shows: one paper account on generated prices and one strategy that trades it at once.

The prices are always labeled SYNTHETIC. Weeks of them lie in the past when it begins, so that the strategy is warmed
up and the first trade comes within seconds; from there a bar comes every second, for about thirteen hours.
"""

from dataclasses import dataclass
from typing import Any, Final
from uuid import UUID

from tradesentry.backtest.resolve import resolve_config
from tradesentry.backtest.source_code import code_digest
from tradesentry.core.broker.account_settings import PaperSettings
from tradesentry.core.domain.clock import NS_PER_SECOND
from tradesentry.core.market.bars import timeframe_ns
from tradesentry.core.strategy.strategy_registry import strategy
from tradesentry.database.accounts import Accounts

STRATEGY: Final = "breakout"
ACCOUNT: Final = "demo"
SYMBOLS: Final = ("EURUSD", "GBPUSD")
TIMEFRAME: Final = "M15"
BARS_PER_MINUTE: Final = 60
TRADE_FROM: Final = "2022-01-27T09:00"
"""In the morning of London, when the strategy has its warm-up behind it."""


@dataclass(frozen=True, slots=True)
class Demo:
    """The demonstration of an installation."""

    account_id: UUID
    run_id: UUID
    is_wanted: bool
    """Whether it trades; its owner may have stopped it, and its prices come to an end."""

    def document(self) -> dict[str, Any]:
        """Return it as JSON values."""
        return {
            "strategy": STRATEGY, "account": f"paper:{ACCOUNT}", "symbols": list(SYMBOLS), "timeframe": TIMEFRAME,
            "data": "SYNTHETIC", "bars_per_minute": BARS_PER_MINUTE, "account_id": str(self.account_id),
            "run_id": str(self.run_id), "is_running": self.is_wanted,
        }  # fmt: skip


def demo_settings() -> PaperSettings:
    """Return the settings of the demonstration's account."""
    pace = timeframe_ns(TIMEFRAME) / NS_PER_SECOND * BARS_PER_MINUTE / 60
    return PaperSettings(prices="synthetic", symbols=SYMBOLS, timeframe=TIMEFRAME, trade_from=TRADE_FROM, speed=pace)


def seed_demo(accounts: Accounts) -> Demo:
    """Link the account and want the run to be live.

    Args:
        accounts: Of the local user; nothing is linked yet.
    """
    account_id = accounts.link(
        broker="paper", account_ref=ACCOUNT, environment="paper", settings=demo_settings().model_dump(mode="json")
    )
    config = resolve_config(STRATEGY, overrides=[f"symbols=[{','.join(SYMBOLS)}]", f"timeframe={TIMEFRAME}"]).value
    run_id = accounts.launch(
        account_id, strategy=STRATEGY, variant="main", config=config.model_dump(mode="json"),
        code_digest=code_digest(strategy(STRATEGY)),
    )  # fmt: skip
    return Demo(account_id, run_id, is_wanted=True)


def find_demo(accounts: Accounts) -> Demo | None:
    """Return the demonstration of an installation; None when it was never made.

    Args:
        accounts: Of the local user.
    """
    for row in accounts.all():
        if (row.broker, row.account_ref) == ("paper", ACCOUNT):
            runs = accounts.runs(row.account_id)
            if runs:
                return Demo(row.account_id, runs[-1].run_id, is_wanted=runs[-1].desired in ("running", "paused"))
    return None
