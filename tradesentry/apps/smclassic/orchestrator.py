"""Run smclassic live: the shared orchestrators, and what a person wants to see of its zones meanwhile."""

from collections.abc import Mapping

from tradesentry.core.strategy.orchestrator import AsyncOrchestrator, PortfolioOrchestrator

__all__ = ["PortfolioOrchestrator", "SMClassicAsyncOrchestrator"]


class SMClassicAsyncOrchestrator(AsyncOrchestrator):
    """smclassic on one market."""

    def describe(self) -> Mapping[str, str]:
        """Return how many set-ups wait and whether an idea is open."""
        state = self.place.state[0]
        idea = "an idea is open" if state.idea.is_open else "no idea is open"
        return {"zones": f"{int(state.n_candidates)} set-ups, {idea}"}
