"""Turn the record arrays of a run into tables: names for codes, datetimes beside nanoseconds."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from tradesentry.core.domain.orders import ExitReason, RejectCode

if TYPE_CHECKING:
    import polars as pl

Records = np.ndarray[Any, Any]


def _columns(records: Records, *, without: Sequence[str] = ()) -> dict[str, Any]:
    """Return the plain fields of records as contiguous arrays."""
    names = records.dtype.names or ()
    return {n: np.ascontiguousarray(records[n]) for n in names if n not in without and records.dtype[n].shape == ()}


def _names(codes: Records, names: Mapping[int, str]) -> list[str]:
    known = {int(code): names.get(int(code), str(int(code))) for code in np.unique(codes)}
    return [known[int(code)] for code in codes]


def _utc(values: Records) -> "pl.Series":
    import polars as pl

    return pl.Series(values).cast(pl.Datetime("ns", "UTC"))


def trade_table(trades: Records, symbols: Sequence[str], tags: Mapping[int, str]) -> "pl.DataFrame":
    """Return closed round trips as a table.

    Args:
        trades: TRADE array.
        symbols: Symbol by market row.
        tags: Meaning of the tag codes.
    """
    import polars as pl

    columns = _columns(trades, without=("market", "exit_reason", "tag"))
    reasons = {int(reason): reason.name.lower() for reason in ExitReason}
    table = pl.DataFrame(columns).with_columns(
        symbol=pl.Series(_names(trades["market"], dict(enumerate(symbols))), dtype=pl.String),
        exit_reason=pl.Series(_names(trades["exit_reason"], reasons), dtype=pl.String),
        tag=pl.Series(_names(trades["tag"], tags), dtype=pl.String),
        cause=pl.Series(trades["cause"].tolist(), dtype=pl.List(pl.Int64)),
        entry_time=_utc(columns["entry_ns"]),
        exit_time=_utc(columns["exit_ns"]),
    )
    first = ["symbol", "side", "entry_time", "exit_time"]
    return table.select(*first, pl.exclude(*first))


def equity_table(equity: Records) -> "pl.DataFrame":
    """Return equity points as a table; `equity` is an EQUITY array."""
    import polars as pl

    columns = _columns(equity)
    return pl.DataFrame(columns).with_columns(time=_utc(columns["ts_ns"]))


def reject_table(rejects: Records, symbols: Sequence[str], tags: Mapping[int, str]) -> "pl.DataFrame":
    """Return refusals and cancellations as a table.

    Args:
        rejects: REJECT array.
        symbols: Symbol by market row.
        tags: Meaning of the tag codes.
    """
    import polars as pl

    columns = _columns(rejects, without=("market", "code", "tag"))
    codes = {int(code): code.name.lower() for code in RejectCode}
    return pl.DataFrame(columns).with_columns(
        symbol=pl.Series(_names(rejects["market"], dict(enumerate(symbols))), dtype=pl.String),
        code=pl.Series(_names(rejects["code"], codes), dtype=pl.String),
        tag=pl.Series(_names(rejects["tag"], tags), dtype=pl.String),
        time=_utc(columns["ts_ns"]),
    )
