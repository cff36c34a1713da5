"""Show a live account while it trades: a table that renews itself on a terminal, plain lines in a pipe, JSON on demand.

Shows what was decided and what is open; it decides nothing and reads no clock of its own.
"""

import json
import sys
from collections.abc import Mapping
from types import TracebackType
from typing import Any, Self

from rich.console import Console as RichConsole
from rich.console import Group
from rich.live import Live
from rich.table import Table
from rich.text import Text

from tradesentry.bootstrap.paper import Figures
from tradesentry.core.market.bars import utc_text
from tradesentry.core.strategy.live_status import LiveStatus


def status_document(status: LiveStatus) -> dict[str, Any]:
    """Return an account's state as JSON values; money as text, shares as fractions."""
    return {
        "state": status.state.value,
        "as_of": utc_text(status.as_of_ns) if status.as_of_ns else None,
        "balance": f"{status.balance:.2f}",
        "equity": f"{status.equity:.2f}",
        "drawdown_fraction": round(status.drawdown, 6),
        "open_risk_fraction": round(status.open_risk, 6),
        "trades": [
            {
                "symbol": trade.symbol,
                "side": trade.side.name.lower(),
                "units": f"{trade.units:f}",
                "entry_price": trade.entry_price,
                "stop_loss": trade.stop_loss,
                "take_profit": trade.take_profit,
                "tag": trade.tag,
            }
            for trade in status.trades
        ],
        "orders": [
            {"symbol": order.symbol, "side": order.side.name.lower(), "units": f"{order.units:f}", "price": order.price,
             "status": order.status.value}
            for order in status.orders
        ],
        "lanes": [
            {
                "app": lane.app,
                "symbol": lane.symbol,
                "is_paused": lane.is_paused,
                "bars": lane.n_bars,
                "wishes": list(lane.last.wishes) if lane.last else [],
                "refused": list(lane.last.refused) if lane.last else [],
            }
            for lane in status.lanes
        ],
    }  # fmt: skip


def status_line(status: LiveStatus) -> str:
    """Return an account's state in one line."""
    decided = [(lane.symbol, lane.last) for lane in status.lanes if lane.last is not None]
    wishes = [f"{symbol}: {', '.join(last.wishes)}" for symbol, last in decided if last.wishes]
    refused = [f"{symbol}: {', '.join(last.refused)}" for symbol, last in decided if last.refused]
    parts = [
        utc_text(status.as_of_ns) if status.as_of_ns else "no bar yet",
        status.state.value,
        f"equity {status.equity:,.2f}",
        f"risk {100 * status.open_risk:.2f} %",
        f"{len(status.trades)} trades",
        f"{len(status.orders)} orders",
    ]
    if wishes:
        parts.append("wants " + "; ".join(wishes))
    if refused:
        parts.append("refused " + "; ".join(refused))
    return "  ".join(parts)


def status_view(status: LiveStatus, title: str) -> Group:
    """Return an account's state as tables for a terminal."""
    head = Text.assemble(
        (f"{title}  ", "bold"),
        (status.state.value, "green" if status.state.value == "active" else "yellow"),
        f"  {utc_text(status.as_of_ns) if status.as_of_ns else 'no bar yet'}  equity {status.equity:,.2f}  balance "
        f"{status.balance:,.2f}  drawdown {100 * status.drawdown:.2f} %  open risk {100 * status.open_risk:.2f} %",
    )
    trades = Table(box=None, header_style="bold", pad_edge=False)
    for name in ("trade", "side", "units", "entry", "stop", "target"):
        trades.add_column(name, justify="left" if name in ("trade", "side") else "right")
    for trade in status.trades:
        prices = (trade.entry_price, trade.stop_loss, trade.take_profit)
        shown = ["-" if price is None else f"{price:g}" for price in prices]
        trades.add_row(trade.symbol, trade.side.name.lower(), f"{trade.units:,f}", *shown)
    for order in status.orders:
        price = "market" if order.price is None else f"{order.price:g}"
        trades.add_row(f"{order.symbol} (order)", order.side.name.lower(), f"{order.units:,f}", price, "", "")
    lanes = Table(box=None, header_style="bold", pad_edge=False)
    for name in ("strategy", "market", "bars", "last decision", "refused"):
        lanes.add_column(name, justify="right" if name == "bars" else "left", overflow="fold")
    for lane in status.lanes:
        last = lane.last
        wanted = "paused" if lane.is_paused else ", ".join(last.wishes) if last and last.wishes else "-"
        lanes.add_row(lane.app, lane.symbol, f"{lane.n_bars:,}", wanted, ", ".join(last.refused) if last else "")
    return Group(head, trades, lanes)


class LiveConsole:
    """Shows a live account in the form that the output asks for; use it as a block.

    Args:
        title: What trades.
        as_json: One JSON document a line.
    """

    def __init__(self, title: str, *, as_json: bool) -> None:
        self._title, self._as_json = title, as_json
        self._live: Live | None = None
        self._last = ""

    def __enter__(self) -> Self:
        if not self._as_json and sys.stdout.isatty():
            self._live = Live(console=RichConsole(), refresh_per_second=4, transient=True)
            self._live.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        if self._live is not None:
            self._live.stop()

    def show(self, status: LiveStatus) -> None:
        """Show how the account stands; lines that say nothing new are left out."""
        if self._live is not None:
            self._live.update(status_view(status, self._title))
            return
        text = json.dumps(status_document(status)) if self._as_json else status_line(status)
        if text != self._last:
            self._last = text
            sys.stdout.write(text + "\n")
            sys.stdout.flush()


def figures_document(figures: Figures, currency: str) -> Mapping[str, Any]:
    """Return what a replay came to as JSON values."""
    return {
        "trades": figures.n_trades,
        "net": round(figures.net, 10),
        "total_r": round(figures.total_r, 10),
        "equity": round(figures.equity, 10),
        "open_at_the_end": figures.n_open,
        "currency": currency,
    }


def show_figures(figures: Figures, currency: str, *, as_json: bool) -> None:
    """Print what a replay came to."""
    if as_json:
        sys.stdout.write(json.dumps({"summary": figures_document(figures, currency)}) + "\n")
        return
    mean_r = figures.total_r / figures.n_trades if figures.n_trades else 0.0
    sys.stdout.write(
        f"trades {figures.n_trades:,}  net {figures.net:,.2f} {currency}  total {figures.total_r:,.2f} R  "
        f"mean {mean_r:,.3f} R  equity {figures.equity:,.2f} {currency}\n"
    )
    if figures.n_open:
        said = "of them were open at the end and count at the last prices, as in a back-test"
        sys.stdout.write(f"{figures.n_open} {said}\n")
