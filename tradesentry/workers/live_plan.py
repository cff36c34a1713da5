"""Resolve what `tradesentry live` is asked for: which strategy with which configuration on which account.

Whatever is wrong is said here, before a database is opened or a venue is asked.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Final

from tradesentry.backtest.commands.request import AccountRequest, overrides_of
from tradesentry.backtest.resolve import resolve_config
from tradesentry.backtest.source_code import code_digest
from tradesentry.bootstrap.desk import LOCKS, orchestrator_of
from tradesentry.core.broker.account_settings import VENUE_PRICES, PaperSettings, VenueSettings
from tradesentry.core.domain.clock import NS_PER_SECOND
from tradesentry.core.domain.errors import ConfigError, UsageError, nearest
from tradesentry.core.execution.live_locks import LOCK_RULES, LockSettings
from tradesentry.core.market.bars import timeframe_ns
from tradesentry.core.market.instruments import canonical_symbol
from tradesentry.core.strategy.base_strategy import BaseStrategy, StrategyConfig
from tradesentry.core.strategy.strategy_registry import strategy
from tradesentry.core.utils.config_loader import load_config
from tradesentry.settings import Settings

BROKERS: Final = ("paper", "oanda", "mt5")
DEMO_BARS_PER_SECOND: Final = 1.0
"""Pace of the synthetic market where no real prices are to be had."""


@dataclass(frozen=True, slots=True)
class LivePlan:
    """What is going to be traded where."""

    strategy: type[BaseStrategy]
    config: StrategyConfig
    broker: str
    account_ref: str
    environment: str
    """paper, demo or real."""
    account: PaperSettings | VenueSettings
    variant: str
    locks: LockSettings = field(default_factory=LockSettings)
    """Rules that pause the run after losses."""

    @property
    def is_replay(self) -> bool:
        """Whether the prices are known bars."""
        return isinstance(self.account, PaperSettings) and self.account.is_replay

    @property
    def code_digest(self) -> str:
        """Digest of the strategy's sources."""
        return code_digest(self.strategy)

    def account_values(self) -> Mapping[str, Any]:
        """Return the account's settings as they are stored."""
        return self.account.model_dump(mode="json", exclude_none=True)

    def config_values(self) -> Mapping[str, Any]:
        """Return the strategy's configuration as it is stored."""
        return self.config.model_dump(mode="json")

    def limit_values(self) -> Mapping[str, Any]:
        """Return the limits of the run as they are stored: what differs from the defaults."""
        changed = self.locks.model_dump(mode="json", exclude_defaults=True)
        return {LOCKS: changed} if changed else {}

    def words(self) -> list[str]:
        """Return what is going to happen, for people."""
        account, config = self.account, self.config
        markets = f"{self.strategy.name}: {', '.join(config.symbols)} {config.timeframe}"
        lines = [
            f"{markets}; {self.environment} account {self.account_ref} at {self.broker}; limits {account.limits!r}"
        ]
        if isinstance(account, PaperSettings):
            what = "SYNTHETIC prices" if account.prices.startswith("synthetic") else f"prices of {account.prices}"
            pace = (
                "" if not self.is_replay else " as fast as it goes" if account.speed == 0 else f" at {account.speed:g}x"
            )
            lines.append(f"{what}{pace}; costs {account.costs!r}; capital {account.capital:,.0f} {account.currency}")
        rules = [f"{key}={value}" for key, value in self.limit_values().get(LOCKS, {}).items()]
        return [*lines, f"locks: {', '.join(rules)}"] if rules else lines


def plan_of(
    name: str,
    *,
    broker: str,
    settings: Settings,
    account: AccountRequest,
    account_ref: str | None,
    symbols: str | None,
    timeframe: str | None,
    set_: Sequence[str] | None,
    config_path: Path | None,
    replay: str | None,
    from_: str | None,
    to: str | None,
    speed: float | None,
    catalog: Path | None,
    variant: str,
    run_id: str,
    server_tz: str | None = None,
    locks: Sequence[str] | None = None,
) -> LivePlan:
    """Return the plan of a command line; the configuration is resolved as a back-test resolves it.

    Raises:
        ConfigError: An unknown strategy or setting, or a missing secret.
        UsageError: Options that contradict each other.
    """
    if broker not in BROKERS:
        raise UsageError(f"There is no broker {broker!r}. {nearest(broker, BROKERS)}")
    if broker != "paper" and (replay or from_ or to or speed is not None):
        raise UsageError(f"--replay, --from, --to and --speed need --broker paper; {broker} trades at its own prices.")
    chosen, rules = strategy(name), locks_of(locks or ())
    overrides = overrides_of(set_, symbols=symbols, timeframe=timeframe, intrabar=None)
    config: StrategyConfig = resolve_config(name, path=config_path, overrides=overrides).value
    markets = tuple(canonical_symbol(symbol) for symbol in config.symbols)
    values = account.values()
    shared = _shared(values, markets, config.timeframe)
    if broker == "paper":
        prices = replay or ("oanda" if settings.oanda_token is not None else "synthetic")
        pace = _pace(prices, config.timeframe, is_replay=replay is not None, speed=speed)
        paper = PaperSettings(
            capital=values["capital"], currency=values["account_currency"], prices=prices, from_=from_, to=to,
            speed=pace, catalog=None if catalog is None else catalog.absolute(), **shared,
        )  # fmt: skip
        ref = account_ref or (f"replay-{run_id}" if replay is not None else "paper")
        return LivePlan(chosen, config, broker, ref, "paper", paper, variant, rules)
    plan = _real_plan(chosen, config, broker, settings, values, shared, account_ref, variant, server_tz)
    return replace(plan, locks=rules)


def locks_of(texts: Sequence[str]) -> LockSettings:
    """Return the rules that `--lock key=value` texts set.

    Args:
        texts: One rule each; later ones win.

    Raises:
        ConfigError: A rule is unknown or out of bounds, or none of those that were given locks anything.
    """
    rules = load_config(LockSettings, overrides=texts, option="--lock").value
    if texts and not rules.is_on:
        raise ConfigError(
            f"--lock {' --lock '.join(texts)} locks nothing: every rule is off. Switch one on with "
            f"{', '.join(f'--lock {name}=N' for name in LOCK_RULES)}."
        )
    return rules


def _shared(values: Mapping[str, Any], markets: tuple[str, ...], timeframe: str) -> dict[str, Any]:
    """Return the settings that paper and real accounts have in common."""
    news = None if values["news"] is None else Path(values["news"]).absolute()
    names = ("costs", "rates", "limits")
    return {name: values[name] for name in names} | {"symbols": markets, "timeframe": timeframe, "news": news}


def _pace(prices: str, timeframe: str, *, is_replay: bool, speed: float | None) -> float:
    """Return the speed of a paper account's prices: asked for, else as fast as it goes, or a bar a second."""
    if speed is not None:
        return speed
    if is_replay or prices in VENUE_PRICES:
        return 0.0
    return timeframe_ns(timeframe) / NS_PER_SECOND * DEMO_BARS_PER_SECOND


def _real_plan(
    chosen: type[BaseStrategy],
    config: StrategyConfig,
    broker: str,
    settings: Settings,
    values: Mapping[str, Any],
    shared: Mapping[str, Any],
    account_ref: str | None,
    variant: str,
    server_tz: str | None,
) -> LivePlan:
    """Return the plan for a real venue, whose account is named by the secrets of this installation."""
    login = settings.mt5_login
    ref = account_ref or (settings.oanda_account if broker == "oanda" else None if login is None else str(login))
    if ref is None:
        missing = "OANDA_ACCOUNT" if broker == "oanda" else "MT5_LOGIN"
        raise ConfigError(
            f"{missing} is not set, so it is not known which account is meant. Put it into the environment or into "
            ".env, or name the account with --account.",
            code="missing_secret",
        )
    where = settings.oanda_environment if broker == "oanda" else settings.mt5_environment
    venue = VenueSettings(
        currency=values["account_currency"], environment=where, server_tz=server_tz, **shared,
    )  # fmt: skip
    environment = "real" if where == "live" else "demo"
    orchestrator_of(chosen).check_account(config, environment=environment)
    return LivePlan(chosen, config, broker, ref, environment, venue, variant)


def confirm(plan: LivePlan, given: str | None) -> None:
    """Refuse real money that was not confirmed by the account's name.

    Args:
        plan: What is going to be traded.
        given: Text of `--confirm`.

    Raises:
        UsageError: It is real money and the text is not the account's name.
    """
    if plan.environment != "real" or given == plan.account_ref:
        return
    said = "nothing was confirmed" if given is None else f"--confirm names {given!r}"
    raise UsageError(
        f"{plan.broker} account {plan.account_ref} holds real money and {said}. Nothing was started. To trade it with "
        f"limits {plan.account.limits!r}: add --confirm {plan.account_ref}",
        code="not_confirmed",
    )
