"""Speak with a venue directly, past the platform: break-glass flatten, and recordings of what a demo account answers.

Neither needs the database. `flatten` looks at it where it can be had, because an agent that still trades the account
would open again what is closed here.
"""

import asyncio
import json
import re
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import asdict, is_dataclass
from pathlib import Path
from typing import Annotated, Any, Final

import typer

from tradesentry.backtest.commands.terminal import print_table, say
from tradesentry.bootstrap import look_at_oanda, mt5_broker, oanda_link
from tradesentry.core.broker.account_settings import VenueSettings
from tradesentry.core.broker.base_broker import Accepted, BaseBroker, CommandStamp, OrderRef, Outcome, TradeRef
from tradesentry.core.broker.commands import CommandGate
from tradesentry.core.broker.oanda import OandaBroker
from tradesentry.core.domain.clock import NS_PER_SECOND, SystemClock
from tradesentry.core.domain.errors import (
    AccountBusy,
    BrokerError,
    CheckFailed,
    ConfigError,
    DatabaseError,
    TradeSentryError,
    UsageError,
    nearest,
)
from tradesentry.core.domain.money import ZERO
from tradesentry.core.execution.journal_rows import json_value
from tradesentry.database.accounts import AccountRow
from tradesentry.settings import Settings, load_settings
from tradesentry.workers.options import HomeOption
from tradesentry.workers.run_commands import opened_accounts

app = typer.Typer(no_args_is_help=True, help="Speak with a venue directly.", rich_markup_mode=None)
VENUES: Final = ("oanda", "mt5")
HOUR_NS: Final = 3_600 * NS_PER_SECOND
TzOption = Annotated[str | None, typer.Option("--server-tz", help="Time zone of a MetaTrader 5 server.")]


async def direct_broker(
    broker: str, settings: Settings, *, server_tz: str | None, symbols: Sequence[str]
) -> BaseBroker:
    """Return a broker made from the secrets of this installation alone.

    Args:
        broker: oanda or mt5.
        settings: Secrets.
        server_tz: Of a MetaTrader 5 server.
        symbols: Pinned at a MetaTrader 5 terminal.

    Raises:
        ConfigError: A secret is missing.
        BrokerError: The venue refuses or cannot be read.
    """
    clock = SystemClock()
    if broker == "oanda":
        state = await look_at_oanda(settings, clock)
        link = oanda_link(settings, account=None, currency=state.currency, is_hedging=state.is_hedging)
        return OandaBroker(link, clock)
    if broker != "mt5":
        raise UsageError(f"There is no venue {broker!r} to speak with. {nearest(broker, VENUES)}")
    if settings.mt5_login is None:
        raise ConfigError("MT5_LOGIN is not set, so it is not known which account is meant. Set it.")
    account = VenueSettings(
        currency="USD", environment=settings.mt5_environment, server_tz=server_tz, symbols=tuple(symbols)
    )
    return mt5_broker(settings, account, settings.mt5_login, clock, CommandGate(clock))


def account_name(broker: str, settings: Settings) -> str:
    """Return the account that the secrets of this installation are for.

    Raises:
        ConfigError: They name none.
    """
    name = settings.oanda_account if broker == "oanda" else settings.mt5_login
    if name is None:
        missing = "OANDA_ACCOUNT" if broker == "oanda" else "MT5_LOGIN"
        raise ConfigError(f"{missing} is not set, so it is not known which account is meant. Set it.")
    return str(name)


def _lease_of(account: str, broker: str, home: Path | None) -> AccountRow | None:
    """Return the linked account, None where there is no database or no such link."""
    try:
        with opened_accounts(home) as accounts:
            return next((row for row in accounts.all() if (row.broker, row.account_ref) == (broker, account)), None)
    except (DatabaseError, OSError) as error:
        say(f"the database cannot be asked who trades this account ({error.__class__.__name__}); going on without it")
        return None


@app.command("flatten")
def flatten(
    confirm: Annotated[str, typer.Option("--confirm", help="The account, to show that it is meant.")],
    broker: Annotated[str, typer.Option(help="oanda or mt5.")] = "oanda",
    force: Annotated[bool, typer.Option("--force", help="Also while an agent trades the account.")] = False,
    without_database: Annotated[bool, typer.Option("--without-database", help="Do not even look at it.")] = False,
    server_tz: TzOption = None,
    symbols: Annotated[str, typer.Option(help="Pinned at a MetaTrader 5 terminal, comma-separated.")] = "",
    home: HomeOption = None,
) -> None:
    """Break glass: cancel every entry and close every trade of an account, directly at its venue."""
    settings = load_settings()
    account = account_name(broker, settings)
    if confirm != account:
        raise UsageError(
            f"This would close every trade of {broker} account {account}, and --confirm names {confirm!r}. Nothing was "
            f"done. Add: --confirm {account}",
            code="not_confirmed",
        )
    row = None if without_database else _lease_of(account, broker, home)
    if row is not None and row.is_leased and not force:
        raise AccountBusy(
            f"{row.owner} trades this account now and might open again what is closed here. Use `tradesentry live "
            "flatten`, stop that agent first, or insist with --force."
        )
    pinned = tuple(part.strip() for part in symbols.split(",") if part.strip())
    rows = asyncio.run(_flatten(broker, settings, server_tz, pinned, 0 if row is None else row.epoch))
    print_table(rows)
    failed = [one for one in rows if one["result"] != "done"]
    if failed:
        raise CheckFailed(
            f"{len(failed)} of {len(rows)} commands were not confirmed. Look at the account and run it again."
        )
    say("nothing was open" if not rows else "all entries are canceled and all trades closed")


async def _flatten(
    broker: str, settings: Settings, server_tz: str | None, symbols: Sequence[str], epoch: int
) -> list[dict[str, Any]]:
    venue = await direct_broker(broker, settings, server_tz=server_tz, symbols=symbols)
    try:
        await venue.connect()
        return await flatten_at(venue, epoch=epoch)
    finally:
        await venue.close()


async def flatten_at(venue: BaseBroker, *, epoch: int) -> list[dict[str, Any]]:
    """Cancel every entry and close every trade; return one row for each. Repeating it does no harm.

    Args:
        venue: Connected.
        epoch: That the commands carry, where the venue's side is ours.
    """
    rows = []
    for order in await venue.open_orders():
        ref = OrderRef(order.client_order_id or "", order.venue_order_id, CommandStamp(epoch))
        rows.append(_row("cancel", order.symbol, order.venue_order_id, await venue.cancel_order(ref)))
    for trade in await venue.open_trades():
        ref_trade = TradeRef(trade.trade_id, trade.symbol, CommandStamp(epoch))
        outcome = await venue.close_trade(ref_trade, remaining_units=ZERO)
        rows.append(_row("close", trade.symbol, trade.trade_id, outcome))
    return rows


def _row(what: str, symbol: str, number: str, outcome: Outcome) -> dict[str, Any]:
    said = "done" if isinstance(outcome, Accepted) else f"{type(outcome).__name__}: {_reason(outcome)}"
    return {"command": what, "symbol": symbol, "id": number, "result": said}


def _reason(outcome: Outcome) -> str:
    return str(getattr(outcome, "code", None) or getattr(outcome, "reason", ""))


@app.command("record")
def record(
    broker: Annotated[str, typer.Argument(help="oanda or mt5.")],
    demo: Annotated[bool, typer.Option("--demo", help="It is a demo account; real ones are refused.")] = False,
    out: Annotated[Path, typer.Option("--out", help="File of JSON lines.")] = Path("recording.jsonl"),
    symbol: Annotated[str, typer.Option(help="Market whose prices are read.")] = "EURUSD",
    server_tz: TzOption = None,
) -> None:
    """Record what a demo account answers to every read: call, arguments, result, error, latency. Nothing is sent."""
    settings = load_settings()
    environment = settings.oanda_environment if broker == "oanda" else settings.mt5_environment
    if not demo or environment == "live":
        raise UsageError(
            f"Recordings are made of demo accounts only; this one is {environment} and --demo is "
            f"{'given' if demo else 'missing'}. Set {broker.upper()}_ENVIRONMENT=practice and add --demo.",
            code="not_a_demo",
        )
    lines = asyncio.run(_record(broker, settings, symbol, server_tz))
    account = account_name(broker, settings)
    text = "".join(json.dumps(line) + "\n" for line in lines)
    out.write_text(re.sub(re.escape(account), "ACCOUNT", text), encoding="utf-8")
    failed = sum("error" in line for line in lines)
    say(f"{len(lines)} calls, {failed} of them failed, written to {out}; the account's number is not in it.")


async def _record(broker: str, settings: Settings, symbol: str, server_tz: str | None) -> list[dict[str, Any]]:
    venue = await direct_broker(broker, settings, server_tz=server_tz, symbols=[symbol])
    try:
        return await recorded(venue, symbol, now_ns=SystemClock().now_ns())
    finally:
        await venue.close()


async def recorded(venue: BaseBroker, symbol: str, *, now_ns: int) -> list[dict[str, Any]]:
    """Return one line for each read of a venue.

    Args:
        venue: Not yet connected.
        symbol: Market whose prices are read.
        now_ns: End of the bars asked for.
    """
    span: dict[str, Any] = {"granularity": "M15", "start_ns": now_ns - 24 * HOUR_NS, "end_ns": now_ns}
    calls: list[tuple[str, dict[str, Any], Callable[[], Awaitable[Any]]]] = [
        ("connect", {}, venue.connect),
        ("server_clock", {}, venue.server_clock),
        ("instruments", {}, venue.instruments),
        ("get_balance", {}, venue.get_balance),
        ("positions", {}, venue.positions),
        ("open_orders", {}, venue.open_orders),
        ("open_trades", {}, venue.open_trades),
        ("find_order", {"client_order_id": "ts1-aaaaaaaaaaaab"}, lambda: venue.find_order("ts1-aaaaaaaaaaaab")),
        ("quote", {"instrument": symbol}, lambda: venue.quote(symbol)),
        ("candles", {"instrument": symbol, **span}, lambda: venue.candles(symbol, **span)),
        ("events_since", {"seq": 0}, lambda: venue.events_since(0)),
    ]
    return [await _line(name, arguments, call) for name, arguments, call in calls]


async def _line(name: str, arguments: dict[str, Any], call: Callable[[], Awaitable[Any]]) -> dict[str, Any]:
    began = time.perf_counter()
    line: dict[str, Any] = {"call": name, "arguments": arguments}
    try:
        line["result"] = _plain(await call())
    except (BrokerError, TradeSentryError) as error:
        line["error"] = {"class": type(error).__name__, "code": error.code, "text": str(error)}
    return line | {"latency_ms": round(1e3 * (time.perf_counter() - began), 3)}


def _plain(value: Any) -> Any:
    """Return an answer as JSON values; `Any` because every call answers something else."""
    if is_dataclass(value) and not isinstance(value, type):
        return json_value(asdict(value))
    if hasattr(value, "tolist"):
        return json_value(value.tolist())
    if isinstance(value, dict):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    return json_value(value)
