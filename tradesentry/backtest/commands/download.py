"""The `data download` commands: history from OANDA, Dukascopy, an MT5 terminal and ccxt venues."""

from datetime import UTC, datetime
from typing import Annotated

import typer

from tradesentry.backtest.commands.options import (
    CatalogOption,
    JsonOption,
    ReplaceOption,
    SourceOption,
    SymbolArgument,
    TimeframeOption,
    ToOption,
    catalog_at,
    store,
)
from tradesentry.backtest.commands.terminal import progress_bar
from tradesentry.core.domain.errors import UsageError
from tradesentry.core.market.bars import normalize_timeframe, to_ns
from tradesentry.core.market.download import (
    DUKASCOPY_URL,
    OANDA_URLS,
    Wanted,
    ccxt_exchange,
    download_ccxt,
    download_dukascopy,
    download_mt5,
    download_oanda,
    mt5_terminal,
)
from tradesentry.core.market.polite_client import PoliteClient
from tradesentry.core.market.source_clock import SourceClock
from tradesentry.settings import load_settings

app = typer.Typer(no_args_is_help=True, help="Download history into the catalog.", rich_markup_mode=None)


def _wanted(symbol: str, timeframe: str, source: str, from_: str, to: str | None) -> Wanted:

    # The running hour is not published whole, so the period ends before it.
    now = datetime.now(UTC).replace(minute=0, second=0, microsecond=0)
    begin, end = to_ns(from_), to_ns(to) or to_ns(now)
    return Wanted(symbol, normalize_timeframe(timeframe), begin or 0, min(end or 0, to_ns(now) or 0), source)


@app.command()
def oanda(
    symbol: SymbolArgument,
    from_: Annotated[str, typer.Option("--from", help="First open wanted, ISO date (UTC).")],
    timeframe: TimeframeOption = "M1",
    to: ToOption = None,
    token: Annotated[str | None, typer.Option(help="Personal access token; OANDA_TOKEN when omitted.")] = None,
    base_url: Annotated[str | None, typer.Option(help="Address; by OANDA_ENVIRONMENT when omitted.")] = None,
    source: SourceOption = "oanda",
    replace_: ReplaceOption = False,
    catalog: CatalogOption = None,
    as_json: JsonOption = False,
) -> None:
    """Download OANDA candles, bid and ask."""
    settings = load_settings()
    secret = token or (settings.oanda_token.get_secret_value() if settings.oanda_token else None)
    if not secret:
        raise UsageError("OANDA needs a personal access token: set OANDA_TOKEN or give --token.")
    address = base_url or OANDA_URLS[settings.oanda_environment]
    chosen, wanted = catalog_at(catalog), _wanted(symbol, timeframe, source, from_, to)
    with PoliteClient(address, {"Authorization": f"Bearer {secret}"}) as client, progress_bar("OANDA") as progress:
        series = download_oanda(wanted, client, chosen.root / ".downloads", progress=progress)
    store([series], chosen, replace_existing=replace_, as_json=as_json)


@app.command()
def dukascopy(
    symbol: SymbolArgument,
    from_: Annotated[str, typer.Option("--from", help="First open wanted, ISO date (UTC).")],
    timeframe: TimeframeOption = "M1",
    to: ToOption = None,
    base_url: Annotated[str, typer.Option(help="Address of the feed.")] = DUKASCOPY_URL,
    source: SourceOption = "dukascopy",
    replace_: ReplaceOption = False,
    catalog: CatalogOption = None,
    as_json: JsonOption = False,
) -> None:
    """Download Dukascopy ticks (timeframe TICK) or bars built from them."""
    chosen, wanted = catalog_at(catalog), _wanted(symbol, timeframe, source, from_, to)
    with PoliteClient(base_url, requests_per_second=5.0) as client, progress_bar("Dukascopy") as progress:
        series = download_dukascopy(wanted, client, chosen.root / ".downloads", progress=progress)
    store([series], chosen, replace_existing=replace_, as_json=as_json)


@app.command()
def mt5(
    symbol: SymbolArgument,
    from_: Annotated[str, typer.Option("--from", help="First open wanted, ISO date (UTC).")],
    clock: Annotated[str, typer.Option(help="The broker server's clock, as Europe/Athens.")],
    timeframe: TimeframeOption = "M1",
    to: ToOption = None,
    source: SourceOption = "mt5",
    replace_: ReplaceOption = False,
    catalog: CatalogOption = None,
    as_json: JsonOption = False,
) -> None:
    """Download bars from a running MetaTrader 5 terminal (Windows)."""
    chosen, wanted = catalog_at(catalog), _wanted(symbol, timeframe, source, from_, to)
    server = SourceClock.parse(clock)
    terminal = mt5_terminal()
    with progress_bar("MT5") as progress:
        series = download_mt5(wanted, terminal, server, progress=progress)
    store([series], chosen, replace_existing=replace_, as_json=as_json)


@app.command()
def ccxt(
    symbol: Annotated[str, typer.Argument(help="Symbol as ccxt writes it, as BTC/USDT.")],
    exchange: Annotated[str, typer.Option(help="Name of the exchange in ccxt, as kraken.")],
    from_: Annotated[str, typer.Option("--from", help="First open wanted, ISO date (UTC).")],
    timeframe: TimeframeOption = "H1",
    to: ToOption = None,
    source: Annotated[str | None, typer.Option(help="Name of the source; the exchange when omitted.")] = None,
    replace_: ReplaceOption = False,
    catalog: CatalogOption = None,
    as_json: JsonOption = False,
) -> None:
    """Download bars of a crypto venue through ccxt (extra package)."""
    chosen, wanted = catalog_at(catalog), _wanted(symbol, timeframe, source or exchange, from_, to)
    venue = ccxt_exchange(exchange)
    with progress_bar(exchange) as progress:
        series = download_ccxt(wanted, venue, chosen.root / ".downloads", progress=progress)
    store([series], chosen, replace_existing=replace_, as_json=as_json)
