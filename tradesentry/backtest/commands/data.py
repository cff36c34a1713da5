"""The `data` commands: import, list, check, resample, download and synthesize market data.

Results go to stdout (a table, or one JSON document with --json), everything said on the way to stderr.
"""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any

import typer

from tradesentry.backtest.commands.download import app as download_app
from tradesentry.backtest.commands.options import (
    CatalogOption,
    FromOption,
    JsonOption,
    ReplaceOption,
    SourceOption,
    SymbolArgument,
    TimeframeOption,
    ToOption,
    catalog_at,
    show,
    store,
)
from tradesentry.backtest.commands.terminal import say
from tradesentry.core.domain.errors import UsageError, nearest
from tradesentry.core.market.bars import BarSeries, TickSeries, checksum_of, normalize_timeframe, to_ns, utc_text
from tradesentry.core.market.instruments import instrument
from tradesentry.core.market.source_clock import SourceClock

app = typer.Typer(
    no_args_is_help=True, help="Import, download, list, check and resample market data.", rich_markup_mode=None
)
app.add_typer(download_app, name="download")


def _spread(symbol: str | None, pips: float | None) -> float | None:
    if pips is None:
        return None
    if symbol is None:
        raise UsageError("--spread-pips needs --symbol: the pip depends on it.")
    return pips * instrument(symbol).pip


@app.command("import")
def import_(
    files: Annotated[list[Path], typer.Argument(help="Vendor files of one symbol; several are joined.")],
    source: SourceOption = "import",
    symbol: Annotated[str | None, typer.Option(help="Symbol, where the file does not tell.")] = None,
    timeframe: Annotated[str | None, typer.Option("--timeframe", "-t", help="Length of the file's bars.")] = None,
    format_: Annotated[str | None, typer.Option("--format", help="Format; sniffed when omitted.")] = None,
    clock: Annotated[
        str | None, typer.Option(help="The vendor's clock: Europe/Athens, America/New_York+7h, UTC-5.")
    ] = None,
    detect_clock: Annotated[bool, typer.Option("--detect-clock", help="Find the clock from weekly opens.")] = False,
    trust_clock: Annotated[bool, typer.Option("--trust-clock", help="Do not test the clock on the data.")] = False,
    side: Annotated[str | None, typer.Option(help="Price side of the file: bid, ask, mid, trade.")] = None,
    spread_pips: Annotated[
        float | None, typer.Option(help="Spread to make ask or mid prices a bid, or to fill in.")
    ] = None,
    ask: Annotated[list[Path] | None, typer.Option("--ask", help="File with the ask side of the same bars.")] = None,
    label: Annotated[str, typer.Option(help="What the file's times are: open or close of a bar.")] = "open",
    tick: Annotated[float | None, typer.Option(help="Price of one point, for spreads or prices in points.")] = None,
    price_scale: Annotated[float, typer.Option(help="Factor of all prices, such as 0.001.")] = 1.0,
    column: Annotated[list[str] | None, typer.Option(help="Column map of a plain table: time=Date.")] = None,
    time_format: Annotated[str | None, typer.Option(help="strptime pattern of a plain table's times.")] = None,
    newest_first: Annotated[bool, typer.Option("--newest-first", help="The file is sorted backwards.")] = False,
    bars_of: Annotated[str | None, typer.Option("--bars", help="Also build bars of this timeframe from ticks.")] = None,
    repair: Annotated[bool, typer.Option("--repair", help="Drop rows at fault instead of refusing.")] = False,
    accept_stuck: Annotated[bool, typer.Option("--accept-stuck", help="Keep a feed that is stuck for days.")] = False,
    licence: Annotated[str, typer.Option(help="Licence or terms to note with the data.")] = "",
    replace_: ReplaceOption = False,
    from_: FromOption = None,
    to: ToOption = None,
    catalog: CatalogOption = None,
    as_json: JsonOption = False,
) -> None:
    """Import vendor files into the catalog, or refuse them with the line and the reason."""
    from tradesentry.core.market.importers import ImportOptions, ReadHints, import_files

    if label not in ("open", "close"):
        raise UsageError(f"Unknown label {label!r}. {nearest(label, ('open', 'close'))}")
    hints = ReadHints(columns=_column_map(column or []), time_format=time_format, tick=tick)
    options = ImportOptions(
        source=source, symbol=symbol, timeframe=timeframe, format=format_, detect_clock=detect_clock,
        clock=SourceClock.parse(clock) if clock else None, trust_clock=trust_clock, side=side,
        spread=_spread(symbol, spread_pips), ask_paths=tuple(ask or ()), label=label, price_scale=price_scale,
        newest_first=newest_first, repair=repair, accept_stuck=accept_stuck, licence=licence, hints=hints,
        from_ns=to_ns(from_), to_ns=to_ns(to),
    )  # fmt: skip
    imported = import_files(files, options)
    say(f"format {imported.format}")
    for note in imported.notes:
        say(note)
    stored: list[BarSeries | TickSeries] = [imported.series]
    if bars_of is not None:
        stored.append(_bars_of(imported.series, bars_of))
    store(stored, catalog_at(catalog), replace_existing=replace_, as_json=as_json)


def _bars_of(series: BarSeries | TickSeries, timeframe: str) -> BarSeries:
    from tradesentry.core.market.resample import bars_from_ticks

    if not isinstance(series, TickSeries):
        raise UsageError("--bars builds bars from ticks; these are bars. Use `tradesentry data resample`.")
    return bars_from_ticks(series, timeframe)


def _column_map(pairs: Sequence[str]) -> dict[str, str]:
    for pair in pairs:
        if "=" not in pair:
            raise UsageError(f"--column wants OURS=THEIRS, such as time=Date; got {pair!r}.")
    return {ours.strip(): theirs.strip() for ours, theirs in (pair.split("=", 1) for pair in pairs)}


@app.command("list")
def list_(catalog: CatalogOption = None, as_json: JsonOption = False) -> None:
    """List the series of the catalog."""
    chosen = catalog_at(catalog)
    frame = chosen.list()
    rows = [
        {
            "source": row["source"], "symbol": row["symbol"], "timeframe": row["timeframe"], "rows": row["rows"],
            "from (UTC)": f"{row['from']:%Y-%m-%d %H:%M}" if row["from"] else "",
            "to (UTC)": f"{row['to']:%Y-%m-%d %H:%M}" if row["to"] else "",
            "side": row["side"], "clock": row["clock"], "vendor": row["vendor"],
            "data": "SYNTHETIC" if row["is_synthetic"] else "real",
        }
        for row in frame.iter_rows(named=True)
    ]  # fmt: skip
    if not rows:
        say(f"{chosen.root} is empty; import data with `tradesentry data import`, or make some with `data synth`")
    show(frame.to_dicts(), rows, as_json=as_json)


@app.command()
def check(
    symbol: SymbolArgument,
    timeframe: TimeframeOption,
    source: SourceOption,
    repair: Annotated[bool, typer.Option("--repair", help="Write a repaired copy to SOURCE_repaired.")] = False,
    catalog: CatalogOption = None,
    as_json: JsonOption = False,
) -> None:
    """Report gaps, spikes, spreads and stuck stretches of a series; refuse what cannot be used."""
    from tradesentry.core.market.validation import describe, refuse_faults, refuse_implausible_prices
    from tradesentry.core.market.validation import repair as repaired

    chosen = catalog_at(catalog)
    series = chosen.read(source, symbol, timeframe)
    where = f"{source} {series.symbol} {series.timeframe}"
    if repair:
        bars, changes = repaired(series.bars, series.timeframe, series.symbol)
        if not changes:
            say(f"{where}: nothing to repair")
        else:
            provenance = {**series.provenance, "repaired_from": source, "repaired_checksum": series.checksum}
            provenance["repairs"] = changes
            series = replace(
                series, bars=bars, source=f"{source}_repaired", provenance=provenance, checksum=checksum_of(bars)
            )
            for change in changes:
                say(change)
            say(f"written to {chosen.write(series)}")
    refuse_faults(series.bars, series.timeframe, where=where)
    refuse_implausible_prices(series.bars, series.symbol, where=where)
    report = describe(series.bars, series.timeframe, series.symbol).as_dict()
    rows = [{"check": name, "value": _shown(name, value)} for name, value in report.items()]
    show(
        {"source": series.source, "symbol": series.symbol, "timeframe": series.timeframe, **report},
        rows,
        as_json=as_json,
    )


def _shown(name: str, value: Any) -> str:
    if name.endswith("_ns"):
        return utc_text(value) if value else "-"
    return f"{value:.2%}" if name.endswith("_fraction") else f"{value:,}"


@app.command()
def resample(
    symbol: SymbolArgument,
    timeframe: TimeframeOption,
    source: SourceOption,
    from_timeframe: Annotated[
        str | None, typer.Option("--from-timeframe", help="Start from this one; TICK for ticks.")
    ] = None,
    anchor: Annotated[str, typer.Option(help="Where H2 to H12 count from: fx_day or utc.")] = "fx_day",
    replace_: ReplaceOption = False,
    catalog: CatalogOption = None,
    as_json: JsonOption = False,
) -> None:
    """Build a higher timeframe from a finer series and store it beside it."""
    from tradesentry.core.market.resample import bars_from_ticks, resample_series

    chosen = catalog_at(catalog)
    wanted = normalize_timeframe(timeframe)
    finer = normalize_timeframe(from_timeframe) if from_timeframe else chosen.finer(source, symbol, wanted)
    if anchor not in ("fx_day", "utc"):
        raise UsageError(f"Unknown anchor {anchor!r}. Known: fx_day, utc.")
    if finer == "TICK":
        series = bars_from_ticks(chosen.read_ticks(source, symbol), wanted)
    else:
        base = chosen.read(source, symbol, finer or wanted)
        series = resample_series(base, wanted, anchor="utc" if anchor == "utc" else "fx_day")
    store([series], chosen, replace_existing=replace_, as_json=as_json)


@app.command()
def synth(
    symbols: Annotated[list[str], typer.Argument(help="Symbols, as EURUSD GBPUSD; they are correlated.")],
    timeframe: TimeframeOption = "M15",
    seed: Annotated[int, typer.Option(help="The same seed gives the same market.")] = 0,
    variant: Annotated[str, typer.Option(help="plain, random_walk, trend, mean_revert or teaching.")] = "plain",
    gaps: Annotated[float, typer.Option(help="Share of minutes without data, 0 to 0.5.")] = 0.0,
    jumps: Annotated[float, typer.Option(help="Expected jumps per week and currency.")] = 0.0,
    source: Annotated[str | None, typer.Option(help="Name of the source; from the variant when omitted.")] = None,
    from_: Annotated[str, typer.Option("--from", help="First open, ISO date (UTC).")] = "2022-01-03",
    to: Annotated[str, typer.Option("--to", help="End, ISO date (UTC).")] = "2024-01-01",
    replace_: ReplaceOption = False,
    catalog: CatalogOption = None,
    as_json: JsonOption = False,
) -> None:
    """Write a synthetic market, labelled as such."""
    from tradesentry.core.market.synthetic import synthetic_bars

    made = synthetic_bars(
        symbols, timeframe=timeframe, start=from_, end=to, seed=seed, variant=variant, gaps=gaps, jumps=jumps
    )
    say("SYNTHETIC data: good for learning the tools, no evidence about any market")
    name = source or ("synthetic" if variant == "plain" else f"synthetic_{variant}")
    renamed = [replace(series, source=name) for series in made.values()]
    store(renamed, catalog_at(catalog), replace_existing=replace_, as_json=as_json)
