"""The options that commands over a run share, declared once: which markets, which account, at what costs.

`takes_requests` gives a command these options. The command itself names only what is its own and gets the rest as one
value per group; the command line shows them as if they were written out.
"""

import inspect
from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields
from functools import wraps
from pathlib import Path
from typing import Annotated, Any, get_type_hints

import typer

from tradesentry.backtest.resolve import ResolvedRun, RunSettings, checked_settings, resolve_run
from tradesentry.core.domain.errors import UsageError

SymbolsOption = Annotated[str | None, typer.Option(help="Symbols, comma-separated, as EURUSD,GBPUSD.")]
TimeframeOption = Annotated[str | None, typer.Option("--timeframe", "-t", help="Length of an execution bar.")]
SourceOption = Annotated[str, typer.Option(help="Source in the catalog, or synthetic[:variant[:seed]].")]
SetOption = Annotated[list[str] | None, typer.Option("--set", help="key=value of the strategy; repeatable.")]
ConfigOption = Annotated[Path | None, typer.Option("--config", help="YAML file with what differs from the defaults.")]
FromOption = Annotated[str | None, typer.Option("--from", help="First open wanted, ISO date (UTC).")]
ToOption = Annotated[str | None, typer.Option("--to", help="Opens at or after it are left out, ISO date (UTC).")]
JsonOption = Annotated[bool, typer.Option("--json", help="Print one JSON document instead of a table.")]
RunsOption = Annotated[
    Path | None, typer.Option("--out", help="Folder of results (default: TRADESENTRY_RUNS or ./runs).")
]


def overrides_of(
    given: Sequence[str] | None, *, symbols: str | None, timeframe: str | None, intrabar: str | None
) -> list[str]:
    """Return the `key=value` texts of the options that are settings of every strategy."""
    texts = []
    if symbols is not None:
        texts.append(f"symbols=[{','.join(part.strip() for part in symbols.split(',') if part.strip())}]")
    if timeframe is not None:
        texts.append(f"timeframe={timeframe.upper()}")
    if intrabar is not None:
        texts.append(f"intrabar={intrabar}")
    return texts + list(given or [])


def fixed_rates(texts: Sequence[str]) -> dict[str, float]:
    """Return fixed conversion rates of `JPY=0.0067` texts.

    Raises:
        UsageError: A text that is no CUR=NUMBER.
    """
    rates = {}
    for text in texts:
        currency, _, number = text.partition("=")
        try:
            rates[currency.strip().upper()] = float(number)
        except ValueError as error:
            raise UsageError(f"--rate {text!r} is no rate. Write --rate JPY=0.0067.") from error
    return rates


@dataclass(frozen=True, slots=True)
class MarketRequest:
    """Which strategy settings on which markets and bars."""

    symbols: SymbolsOption = None
    timeframe: TimeframeOption = None
    source: SourceOption = "synthetic"
    from_: FromOption = None
    to: ToOption = None
    set_: SetOption = None
    config: ConfigOption = None
    intrabar: Annotated[str | None, typer.Option(help="pessimistic, m1 or tick.")] = None
    catalog: Annotated[Path | None, typer.Option(help="Catalog folder.")] = None

    def overrides(self) -> list[str]:
        """Return what the options say of the strategy's configuration, as `key=value` texts."""
        return overrides_of(self.set_, symbols=self.symbols, timeframe=self.timeframe, intrabar=self.intrabar)

    def settings(self, **more: Any) -> RunSettings:
        """Return the settings of a run on these markets; what is None keeps its default.

        Args:
            **more: Further fields of `RunSettings`.
        """
        own = {"source": self.source, "from_": self.from_, "to": self.to, "catalog": self.catalog}
        return checked_settings({key: value for key, value in (own | more).items() if value is not None})

    def resolve(self, name: str, **more: Any) -> ResolvedRun:
        """Return the resolved run of a strategy.

        Args:
            name: Strategy.
            **more: Further fields of `RunSettings`.
        """
        return resolve_run(name, path=self.config, overrides=self.overrides(), settings=self.settings(**more))


@dataclass(frozen=True, slots=True)
class AccountRequest:
    """With which account and at which costs."""

    cost_profile: Annotated[str, typer.Option(help="raw, standard, retail or free.")] = "standard"
    capital: Annotated[float, typer.Option(help="Start balance, account currency.")] = 10_000.0
    currency: Annotated[str, typer.Option(help="Account currency.")] = "USD"
    limits: Annotated[str, typer.Option(help="Account limits: default, prop or off.")] = "default"
    rate: Annotated[list[str] | None, typer.Option(help="Fixed rate, as JPY=0.0067; repeatable.")] = None
    news: Annotated[Path | None, typer.Option(help="News calendar (CSV, JSON, Parquet).")] = None

    def values(self) -> dict[str, Any]:
        """Return the fields of `RunSettings` that these options set."""
        return {
            "costs": self.cost_profile,
            "capital": self.capital,
            "account_currency": self.currency.upper(),
            "limits": self.limits,
            "rates": fixed_rates(self.rate or []),
            "news": self.news,
        }


def takes_requests(command: Callable[..., None]) -> Callable[..., None]:
    """Return a command that offers the options of every request it takes.

    Args:
        command: A function with a parameter of type `MarketRequest` or `AccountRequest`, or one of each.
    """
    hints = get_type_hints(command, include_extras=True)
    groups = {name: kind for name, kind in hints.items() if kind in (MarketRequest, AccountRequest)}
    parameters, annotations = [], {}
    for parameter in inspect.signature(command).parameters.values():
        for name, default, hint in _options(parameter, hints[parameter.name]):
            parameters.append(inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=default, annotation=hint))
            annotations[name] = hint

    @wraps(command)
    def with_options(**given: Any) -> None:
        requests = {
            group: kind(**{field.name: given.pop(field.name) for field in fields(kind)})
            for group, kind in groups.items()
        }
        command(**given, **requests)

    wrapped: Any = with_options
    wrapped.__signature__ = inspect.Signature(parameters)
    wrapped.__annotations__ = annotations
    del wrapped.__wrapped__
    return with_options


def _options(parameter: inspect.Parameter, hint: Any) -> list[tuple[str, Any, Any]]:
    """Return (name, default, annotation) of a parameter, or of every option of the request it stands for."""
    if hint not in (MarketRequest, AccountRequest):
        return [(parameter.name, parameter.default, hint)]
    hints = get_type_hints(hint, include_extras=True)
    return [(field.name, field.default, hints[field.name]) for field in fields(hint)]
