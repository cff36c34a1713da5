"""Send one command to a terminal at most once, and know it again when it comes a second time.

The outcome log is on disk before the permit is taken and before `order_send` is called; afterwards the outcome is. A
repeated command is a question: it is answered from the log, and for entries by their magic number. Only the filling
mode may be tried a second time, because its refusal is certain.
"""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from tradesentry.core.broker import mt5_constants as mt5
from tradesentry.core.broker.base_broker import (
    Accepted,
    CommandStamp,
    NotSent,
    Outcome,
    RefusalClass,
    Refused,
    Rounding,
    Unknown,
)
from tradesentry.core.broker.mt5_logs import CommandKey
from tradesentry.core.broker.mt5_messages import Symbol
from tradesentry.core.broker.mt5_reading import Mt5Reader
from tradesentry.core.broker.mt5_rules import precondition
from tradesentry.core.broker.mt5_terminal import Mt5Terminal
from tradesentry.core.broker.mt5_thread import Permit
from tradesentry.core.broker.mt5_words import NO_FILLING, Kind, filling_candidates, meaning_of_error, meaning_of_retcode
from tradesentry.core.domain.clock import Clock
from tradesentry.core.domain.errors import BrokerError
from tradesentry.core.domain.events import BrokerEvent


class Mt5Sender:
    """Sends the commands of one account.

    Args:
        terminal: The terminal.
        reader: What it shows.
        clock: Time.
    """

    def __init__(self, terminal: Mt5Terminal, reader: Mt5Reader, clock: Clock) -> None:
        self._terminal, self._reader, self._clock = terminal, reader, clock

    def known(self, key: CommandKey, stamp: CommandStamp) -> Outcome | None:
        """Return why a command is not to be sent: it was sent before, another owner rules, the terminal forbids it."""
        outcomes = self._terminal.outcomes
        if stamp.epoch < outcomes.epoch:
            text = f"Epoch {stamp.epoch} is older than {outcomes.epoch}; another process owns the account."
            return Refused("STALE_EPOCH", text, RefusalClass.HALT)
        outcomes.saw_epoch(stamp.epoch, at_ns=self._clock.now_ns())
        outcome = outcomes.outcome(key)
        if outcome is None and key.kind == "place":
            # Another attempt of an entry is allowed only when every earlier one was refused for certain.
            earlier = outcomes.open_placements(key.client_order_id)
            outcome = outcomes.outcome(earlier[-1]) if earlier else None
            key = earlier[-1] if earlier else key
        if isinstance(outcome, Unknown) and key.kind == "place":
            return self._resolved(key, outcome)
        return outcome or precondition(self._terminal)

    def _resolved(self, key: CommandKey, outcome: Unknown) -> Outcome:
        """Return what became of an entry whose outcome is not known, by its magic number."""
        report = self._reader.find_order(key.client_order_id)
        if report is None:
            return outcome
        found = Accepted(report)
        self._terminal.outcomes.ended(key, found, at_ns=self._clock.now_ns())
        return found

    def _fillings(self, symbol: Symbol, body: Mapping[str, Any], *, allow_partial: bool) -> list[int] | NotSent:
        """Return the filling modes to try, the one that the terminal took last first; probed where none is known."""
        is_pending = body["action"] == mt5.TRADE_ACTION_PENDING
        name = (symbol.name, is_pending, allow_partial)
        candidates = filling_candidates(
            symbol.filling_mask,
            is_market_execution=symbol.is_market_execution,
            is_pending=is_pending,
            allow_partial=allow_partial,
        )
        known = self._terminal.filling.get(name)
        if known is not None:
            return [known, *(mode for mode in candidates if mode != known)]
        for mode in candidates:
            checked = self._terminal.call("order_check", {**body, "type_filling": mode})
            if checked.retcode != mt5.TRADE_RETCODE_INVALID_FILL:
                self._terminal.filling[name] = mode
                later = candidates[candidates.index(mode) + 1 :]
                return [mode, *later]
        return NO_FILLING

    def _margin_problem(self, body: Mapping[str, Any]) -> Refused | None:
        """Return the refusal that the terminal foresees for want of margin."""
        checked = self._terminal.call("order_check", body)
        if checked.retcode != mt5.TRADE_RETCODE_NO_MONEY and not checked.margin_free < 0:
            return None
        outcome = meaning_of_retcode(mt5.TRADE_RETCODE_NO_MONEY, "place", comment=str(checked.comment), sent_ts_ns=0)
        return outcome if isinstance(outcome, Refused) else None

    def send(
        self,
        key: CommandKey,
        body: Mapping[str, Any],
        permit: Permit,
        stamp: CommandStamp,
        *,
        symbol: Symbol,
        rounded: tuple[Rounding, ...] = (),
        allow_partial: bool = False,
    ) -> Outcome:
        """Send a request, with the next filling mode once more when the first is refused.

        Args:
            key: Names the command.
            body: The request, without a filling mode.
            permit: Leave to send it.
            stamp: On whose authority.
            symbol: What is traded.
            rounded: What was rounded, for the outcome.
            allow_partial: Part of it may stay unfilled.
        """
        if body["action"] not in (mt5.TRADE_ACTION_DEAL, mt5.TRADE_ACTION_PENDING):
            return self._send_once(key, body, permit, stamp, rounded=rounded)
        modes = self._fillings(symbol, body, allow_partial=allow_partial)
        if isinstance(modes, NotSent):
            return modes
        if key.kind == "place":
            problem = self._margin_problem({**body, "type_filling": modes[0]})
            if problem is not None:
                return problem
        outcome: Outcome = NO_FILLING
        for mode in modes[:2]:
            outcome = self._send_once(key, {**body, "type_filling": mode}, permit, stamp, rounded=rounded)
            if not (isinstance(outcome, Refused) and outcome.code == "INVALID_FILL"):
                break
            self._terminal.filling.pop((symbol.name, body["action"] == mt5.TRADE_ACTION_PENDING, allow_partial), None)
        return outcome

    def _send_once(
        self,
        key: CommandKey,
        body: Mapping[str, Any],
        permit: Permit,
        stamp: CommandStamp,
        *,
        rounded: tuple[Rounding, ...],
    ) -> Outcome:
        """Log, send, log; look at the account."""
        terminal = self._terminal
        terminal.outcomes.sending(key, dict(body), epoch=stamp.epoch, at_ns=self._clock.now_ns())
        if not permit.take():
            outcome: Outcome = NotSent("deadline", "The time was over before the terminal was free.")
            terminal.outcomes.ended(key, outcome, at_ns=self._clock.now_ns())
            return outcome
        sent_ts_ns = permit.sent_ts_ns or self._clock.now_ns()
        refusal: Outcome | None
        try:
            result = terminal.send(body)
        except Exception as error:  # noqa: BLE001 - whatever the extension raises, the request may have left
            result, refusal = None, Unknown(f"raised_{type(error).__name__}", sent_ts_ns)
            terminal.is_stale = True
        else:
            refusal = self._meaning(key.kind, result, sent_ts_ns)
        terminal.check_owner()
        events = self._events()
        outcome = refusal or self._accepted(key, result, events, rounded)
        if isinstance(outcome, Refused):
            outcome = replace(outcome, events=_about(events, str(getattr(result, "order", 0))))
        terminal.outcomes.ended(key, outcome, at_ns=self._clock.now_ns())
        return outcome

    def _meaning(self, kind: Kind, result: Any | None, sent_ts_ns: int) -> Outcome | None:
        """Return what the terminal's answer says; None when the command was done."""
        if result is None:
            return meaning_of_error(*self._terminal.last_error(), sent_ts_ns=sent_ts_ns)
        return meaning_of_retcode(int(result.retcode), kind, comment=str(result.comment), sent_ts_ns=sent_ts_ns)

    def _events(self) -> tuple[BrokerEvent, ...]:
        """Look at the account after a command; the poller looks again when this fails."""
        try:
            return self._terminal.refresh()
        except BrokerError:
            return ()

    def _accepted(
        self, key: CommandKey, result: Any, events: tuple[BrokerEvent, ...], rounded: tuple[Rounding, ...]
    ) -> Accepted:
        report = None
        if key.kind in ("place", "replace"):
            try:
                report = self._reader.find_order(key.client_order_id)
            except BrokerError:
                report = None
        ticket = str(result.order) if result.order else "" if report is None else report.venue_order_id
        return Accepted(report, _about(events, ticket) if ticket else events, rounded)


def _about(events: tuple[BrokerEvent, ...], ticket: str) -> tuple[BrokerEvent, ...]:
    """Return the events of one order and of the trades that it touched."""
    trades = {event.payload.get("trade_ref") for event in events if event.payload.get("order_id") == ticket} - {None}
    return tuple(
        event for event in events if event.payload.get("order_id") == ticket or event.payload.get("trade_ref") in trades
    )
