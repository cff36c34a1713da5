"""TrueFX ticks and FXCM candles: small comma files of quote vendors, in UTC."""

import re
from typing import Final

from tradesentry.core.market.importers.base import Content, RawBars, RawTicks, ReadHints, symbol_in_name
from tradesentry.core.market.importers.table import ISO, read_table

_CLASSIC_LINE = re.compile(r"^[A-Z]{3}/[A-Z]{3},\d{8} \d\d:\d\d:\d\d\.\d+,")
_OFFSET_TIME = re.compile(r"^\d{4}-\d\d-\d\d[ T]\d\d:\d\d(:\d\d(\.\d+)?)?(Z|[+-]\d\d:?\d\d),")
_FXCM_SIDES: Final = "datetime,bidopen,bidhigh,bidlow,bidclose,askopen,askhigh,asklow,askclose"


class TrueFx:
    """TrueFX ticks, as downloaded or with ISO times."""

    name = "truefx"
    description = "TrueFX ticks: PAIR,YYYYMMDD HH:MM:SS.fff,bid,ask or timestamp (ISO with offset),bid,ask"

    def sniff(self, content: Content) -> bool:
        is_iso = content.first_line.lower() == "timestamp,bid,ask" and bool(_OFFSET_TIME.match(content.second_line))
        return is_iso or bool(_CLASSIC_LINE.match(content.first_line))

    def read(self, content: Content, _hints: ReadHints) -> RawTicks:
        if _CLASSIC_LINE.match(content.first_line):
            table = read_table(content, columns=["symbol", "time", "bid", "ask"])
            times = table.times("time", ["%Y%m%d %H:%M:%S%.f"])
            symbol: str | None = str(table.frame["symbol"][0]).replace("/", "")
        else:
            table = read_table(content)
            times, symbol = table.times("timestamp", ISO), symbol_in_name(content.name)
        return RawTicks(
            times, table.numbers("bid"), table.numbers("ask"),
            is_utc=True, vendor="TrueFX", lines=table.lines, symbol=symbol,
        )  # fmt: skip


class Fxcm:
    """FXCM candles: both sides in one file, or one side per file with ISO times."""

    name = "fxcm"
    description = "FXCM candles: DateTime,BidOpen..AskClose, or timestamp (ISO with offset),open,high,low,close"

    def sniff(self, content: Content) -> bool:
        header = content.first_line.lower()
        is_one_side = header == "timestamp,open,high,low,close" and bool(_OFFSET_TIME.match(content.second_line))
        return is_one_side or header.startswith(_FXCM_SIDES)

    def read(self, content: Content, _hints: ReadHints) -> RawBars:
        table = read_table(content)
        has_sides = table.has("bidopen")
        prefix = "bid" if has_sides else ""
        raw = RawBars(
            table.times("datetime", ["%m/%d/%Y %H:%M:%S%.f"]) if has_sides else table.times("timestamp", ISO),
            table.prices(prefix),
            is_utc=True,
            vendor="FXCM",
            lines=table.lines,
            price_side="ask" if re.search(r"(?i)(?<![a-z])ask(?![a-z])", content.name.replace("_", " ")) else "bid",
            symbol=symbol_in_name(content.name),
            timeframe=None,
        )
        if has_sides:
            raw.ask = table.prices("ask")
        return raw
