"""Run smgrid live: the shared orchestrators, and what a person wants to see of its baskets meanwhile."""

from collections.abc import Mapping

from tradesentry.core.strategy.orchestrator import AsyncOrchestrator, PortfolioOrchestrator

__all__ = ["PortfolioOrchestrator", "SMGridAsyncOrchestrator"]


class SMGridAsyncOrchestrator(AsyncOrchestrator):
    """smgrid on one market."""

    def describe(self) -> Mapping[str, str]:
        """Return how many levels of both baskets rest and how many are held."""
        state = self.place.state[0]
        return {"grid": f"{int(state.n_resting)} levels rest, {int(state.n_open)} are held"}
