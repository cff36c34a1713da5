"""What an app may add to the one live loop: words for the console, a veto on an account, a wish about its run.

Separate from the orchestrators, because everything here is empty by default: an app that overrides nothing trades just
the same. A wish about the run only ever makes it do less; it is stored before it takes effect, and only a person takes
it back.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from tradesentry.core.strategy.base_strategy import StrategyConfig


@dataclass(frozen=True, slots=True)
class RunRequest:
    """What a strategy asks for its own run."""

    desired: Literal["paused", "flatten"]
    """No entries any more, or everything closed as well."""
    code: str
    """Stable, in snake case; of the alert."""
    text: str
    """Why, for whoever must decide what happens next."""
    evidence: Mapping[str, Any]
    """The figures behind it, in JSON types."""


class LaneHooks:
    """What an orchestrator says of its app; all empty by default."""

    @classmethod
    def check_account(cls, config: StrategyConfig, *, environment: str) -> None:
        """Refuse an account that this configuration must not trade.

        Args:
            config: Configuration of the run.
            environment: paper, demo or real.

        Raises:
            ConfigError: It must not.
        """

    def describe(self) -> Mapping[str, str]:
        """Return what the strategy sees now, for the console."""
        return {}

    def take_request(self) -> RunRequest | None:
        """Return what the strategy asks for its run since the last call, None for nothing."""
        return None
