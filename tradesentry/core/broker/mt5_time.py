"""The clock of a MetaTrader server: wall time of its own zone, written as if it were UTC.

Converts both ways and watches for a zone that is configured wrongly, which shows as fresh ticks that are whole or half
hours off. Separate because every time of the terminal passes through here, and because an unverified clock forbids new
risk.
"""

from datetime import UTC, datetime
from functools import lru_cache
from typing import Final
from zoneinfo import ZoneInfo

from tradesentry.core.domain.clock import NS_PER_SECOND
from tradesentry.core.market.source_clock import SourceClock

HALF_HOUR_NS: Final = 1_800 * NS_PER_SECOND
FRESH_NS: Final = 5 * NS_PER_SECOND
"""A tick that changed between two looks no further apart is as old as the time between them at most."""
NS_PER_MS: Final = 1_000_000


class ServerClock:
    """Translates server time.

    Args:
        zone: IANA zone with an optional shift: Europe/Athens, America/New_York+7h.

    Raises:
        ClockError: No such zone.
    """

    def __init__(self, zone: str) -> None:
        self.zone = SourceClock.parse(zone)
        self._info, self._shift_s = ZoneInfo(self.zone.zone), self.zone.shift_minutes * 60
        self._looks: dict[str, tuple[int, int]] = {}
        self.offset_ns: int | None = None
        """Server minus us by the last fresh tick."""
        self.problem = ""
        """Why no new risk may be taken on this clock; empty when nothing is wrong."""

    def to_utc_ns(self, server_msc: int, *, near_ns: int | None = None) -> int:
        """Return ns UTC of a time that the terminal shows in milliseconds.

        Args:
            server_msc: Milliseconds of server time.
            near_ns: When the time happened, roughly, ns UTC; decides an hour that happens twice.
        """
        first, second = (
            server_msc * NS_PER_MS - self._offset_s(server_msc // 1_000, fold) * NS_PER_SECOND for fold in (0, 1)
        )
        if near_ns is None or first == second:
            return first
        return min(first, second, key=lambda ts_ns: abs(ts_ns - near_ns))

    def to_server_s(self, utc_ns: int) -> int:
        """Return the seconds that the server's clock shows at an instant."""
        moment = datetime.fromtimestamp(utc_ns // NS_PER_SECOND, UTC).astimezone(self._info)
        offset = moment.utcoffset()
        seconds = 0 if offset is None else int(offset.total_seconds())
        return utc_ns // NS_PER_SECOND + seconds + self._shift_s

    def look(self, symbol: str, server_msc: int, *, now_ns: int) -> None:
        """Note the time of a symbol's newest tick, and judge the zone by it when the tick is fresh.

        Args:
            symbol: Whose tick.
            server_msc: Its time.
            now_ns: Our time.
        """
        seen_msc, seen_ns = self._looks.get(symbol, (server_msc, 0))
        self._looks[symbol] = (server_msc, now_ns)
        ahead_ns = self.to_utc_ns(server_msc, near_ns=now_ns) - now_ns
        is_fresh = server_msc > seen_msc and now_ns - seen_ns <= FRESH_NS
        # A tick from the future needs no second look: no stale tick can look like that.
        if is_fresh or ahead_ns > HALF_HOUR_NS // 2:
            self._judge(ahead_ns)

    def newest_ns(self) -> int | None:
        """Return the time of the newest tick that was looked at, ns UTC."""
        newest = max((seen for seen, _ in self._looks.values()), default=None)
        return None if newest is None else self.to_utc_ns(newest)

    def _judge(self, ahead_ns: int) -> None:
        self.offset_ns = ahead_ns
        halves = round(ahead_ns / HALF_HOUR_NS)
        self.problem = (
            ""
            if halves == 0
            else f"Fresh ticks are {halves / 2:+g} h off on the server clock {self.zone}. Set server_tz to the zone of "
            "the broker's server; nothing new is opened until then."
        )

    def _offset_s(self, server_s: int, fold: int) -> int:
        """Return server time minus UTC, seconds."""
        return _zone_offset_s(self._info, (server_s - self._shift_s) // 900, fold) + self._shift_s


@lru_cache(maxsize=65_536)
def _zone_offset_s(zone: ZoneInfo, quarter: int, fold: int) -> int:
    """Return local time minus UTC in a quarter of an hour of local time, seconds; zones change on quarters only."""
    offset = datetime.fromtimestamp(quarter * 900, UTC).replace(tzinfo=zone, fold=fold).utcoffset()
    return 0 if offset is None else int(offset.total_seconds())
