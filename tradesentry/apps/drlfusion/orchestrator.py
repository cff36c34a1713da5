"""Run drlfusion live: the shared orchestrator, a log of its decisions, a watch for drift, and one refusal.

Nothing here decides. The watch compares what the agents see and do with their training; where that has moved too far,
it asks that the run be paused, and at the second such check in a row that it be closed. A set that was trained on
generated prices never trades real money, whatever is configured.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from tradesentry.apps.drlfusion.configs.drlfusion_config import DrlFusionConfig
from tradesentry.apps.drlfusion.decision_log import DecisionLog, decision_row, live_folder
from tradesentry.apps.drlfusion.drift import DriftWatch, Finding, Reference, Verdict
from tradesentry.apps.drlfusion.layout import AGENTS
from tradesentry.apps.drlfusion.model_package import is_synthetic, load_model_set, models_folder
from tradesentry.core.domain.errors import ConfigError
from tradesentry.core.execution.order_requests import Sent
from tradesentry.core.strategy.base_strategy import StrategyConfig
from tradesentry.core.strategy.lane_hooks import RunRequest
from tradesentry.core.strategy.orchestrator import AsyncOrchestrator
from tradesentry.core.utils.logger import get_logger

__all__ = ["DrlFusionOrchestrator", "watch_for"]

_log = get_logger(__name__)
REAL = "real"
DRIFT = "drift"
"""Code of the alert."""


def watch_for(config: DrlFusionConfig) -> DriftWatch:
    """Return a watch with what the models of a configuration carry from training."""
    models = load_model_set(config.models, timeframe=config.timeframe).models
    return DriftWatch(
        tuple(Reference(*(m.tensors[name] for name in ("drift_edges", "drift_share", "drift_pi"))) for m in models)
    )


class DrlFusionOrchestrator(AsyncOrchestrator):
    """drlfusion on one market."""

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        config = self.place.config
        self.watch = watch_for(config) if isinstance(config, DrlFusionConfig) else None
        self.decisions = DecisionLog(live_folder(self.place.run), self.place.symbol)
        self.verdict: Verdict | None = None
        """Of the last check."""
        self._n_decisions = int(self.place.state[0].last.n_decisions)
        self._request: RunRequest | None = None

    @classmethod
    def check_account(cls, config: StrategyConfig, *, environment: str) -> None:
        """Refuse real money for a set that was trained on generated prices.

        Args:
            config: Configuration of the run.
            environment: paper, demo or real.

        Raises:
            ConfigError: It is real money, and any model says that its prices were generated.
        """
        if not isinstance(config, DrlFusionConfig) or environment != REAL:
            return
        if is_synthetic(load_model_set(config.models, timeframe=config.timeframe)):
            raise ConfigError(
                f"The models in {models_folder(config.models)} were trained on generated prices and this account holds "
                "real money. Nothing overrides this. Train a set on real data (`tradesentry drl train`), look at its "
                "walk-forward report, and name its folder with `--set models=DIR`; or trade a paper or demo account.",
                code="synthetic_models",
            )

    def note(self, sent: Sequence[Sent], *, bar_close_ns: int) -> None:
        """Tell the book what became of the wishes of a bar; then log the decision and look for drift."""
        super().note(sent, bar_close_ns=bar_close_ns)
        state = self.place.state[0]
        if int(state.last.n_decisions) == self._n_decisions:
            return
        self._n_decisions = int(state.last.n_decisions)
        day_ns = int(self.book.book.seen.clock.fx_day_start_ns)
        self.decisions.add(decision_row(self.place.params[0], state, bar_close_ns), fx_day_start_ns=day_ns)
        if self.watch is not None:
            self._judge(self.watch.take(state.obs, state.ensemble.agents["pi"]))

    def _judge(self, verdict: Verdict | None) -> None:
        """Keep a verdict; ask for less where it says so."""
        if verdict is None:
            return
        before, self.verdict = self.verdict, verdict
        if verdict.finding is Finding.WARN and (before is None or before.finding is Finding.FINE):
            _log.warning("drift_warned", symbol=self.place.symbol, findings=verdict.words)
        if verdict.desired_state is not None:
            text = f"drlfusion on {self.place.symbol} has moved away from its training: {verdict.words}."
            self._request = RunRequest(verdict.desired_state, DRIFT, text, verdict.evidence)

    def take_request(self) -> RunRequest | None:
        """Return what the watch asks for the run since the last call."""
        request, self._request = self._request, None
        return request

    def describe(self) -> Mapping[str, str]:
        """Return what each agent proposes, what they wish together, how usual the market is, and any drift."""
        last = self.place.state[0].last
        if not last.n_decisions:
            return {"agents": "warming up"}
        proposals = ", ".join(f"{name} {float(p):+.2f}" for name, p in zip(AGENTS, last.p, strict=True))
        words = {
            "agents": proposals,
            "vote": f"{int(last.votes):+d} of 4, wish {float(last.x):+.2f}, target {float(last.a):+.1f}",
            "turbulence": f"{float(last.turbulence):.1f}, entries at {float(last.g):.0%}",
        }
        if self.verdict is not None:
            words["drift"] = self.verdict.words or "as in training"
        return words
