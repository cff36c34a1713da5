"""The writes of one journal transaction, each one statement; the lease row is locked already."""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, Final
from uuid import UUID

import asyncpg

from tradesentry.core.domain.events import BrokerEvent, Fill
from tradesentry.core.domain.live_orders import OrderIntent, OrderStatus, client_order_id
from tradesentry.core.execution.journal_messages import already_sent, duplicate_decision, unknown_order
from tradesentry.core.execution.journal_rows import (
    AccountRecord,
    AttemptKind,
    BookAccount,
    EquityRecord,
    Lease,
    OrderRecord,
    PositionRecord,
    Reservation,
    SavedState,
    Transition,
    intent_json,
    json_text,
)
from tradesentry.database.repositories.journal_columns import order_columns, position_columns, price_column
from tradesentry.database.repositories.journal_reads import position_of, reservation_of
from tradesentry.database.repositories.journal_statements import (
    BOOK,
    CURSOR,
    FILLS,
    INTENT,
    ORDERS,
    POSITIONS,
    RELEASE,
    TRANSITIONS,
    Part,
    together,
)

_DECIDED_TWICE: Final = "uq_order_intents_run_id_bar_close_ns_intent_index"
_SENT_TWICE: Final = "TS004"


class PostgresTransaction:
    """Writes that become facts together.

    Args:
        connection: Inside a transaction that holds the lease row and names the tenant.
        lease: Proven by it.
        seq: Allocated or last number.
        timeout_seconds: Longest wait for one statement.
    """

    def __init__(
        self,
        connection: "asyncpg.pool.PoolConnectionProxy[Any]",
        lease: Lease,
        seq: int,
        *,
        timeout_seconds: float,
    ) -> None:
        self._connection = connection
        self._lease = lease
        self._seq = seq
        self._timeout_seconds = timeout_seconds
        self._has_book = False
        """The book is locked, therefore it is there."""

    @property
    def lease(self) -> Lease:
        """Whose transaction this is."""
        return self._lease

    @property
    def seq(self) -> int:
        """The number allocated, or the last one given."""
        return self._seq

    @property
    def client_order_id(self) -> str:
        """The id of the order `seq`."""
        return client_order_id(self._lease.instance, self._seq)

    @property
    def _who(self) -> tuple[UUID, UUID, int]:
        return self._lease.account_id, self._lease.user_id, self._lease.epoch

    async def fetch(self, statement: str, *values: object) -> list[Any]:
        """Run one statement of a repository and return its rows."""
        async with asyncio.timeout(self._timeout_seconds):
            return list(await self._connection.fetch(statement, *values))

    async def insert(self, table: str, ending: str = "", /, **columns: object) -> list[Any]:
        """Insert one row for this account and epoch; table and column names are ours, values are bound."""
        account_id, user_id, epoch = self._who
        row: dict[str, object] = {"account_id": account_id, "user_id": user_id, "epoch": epoch, **columns}
        marks = ", ".join(f"${n}" for n in range(1, len(row) + 1))
        statement = f"INSERT INTO {table} ({', '.join(row)}) VALUES ({marks}) {ending}"  # noqa: S608
        return await self.fetch(statement, *row.values())

    def _upsert(self, table: str, key: str, /, columns: Mapping[str, object]) -> Part:
        """Return what inserts or updates one row of this account and epoch."""
        names = ["account_id", "user_id", "epoch", *columns]
        keys = [name.strip() for name in key.split(",")]
        changed = ", ".join(f"{name} = excluded.{name}" for name in names[2:] if name not in keys)
        marks = ", ".join(f"${n}" for n in range(1, len(names) + 1))
        statement = (
            f"INSERT INTO {table} ({', '.join(names)}) VALUES ({marks})"  # noqa: S608
            f" ON CONFLICT ({key}) DO UPDATE SET {changed}, updated_at = now()"
        )
        return statement, [*self._who, *columns.values()]

    async def _run(self, parts: Sequence[Part]) -> None:
        """Carry parts out, those of different tables in one round trip, many rows of one table in another."""
        by_text: dict[str, list[Sequence[object]]] = {}
        for statement, values in parts:
            by_text.setdefault(statement, []).append(values)
        single = [(statement, rows[0]) for statement, rows in by_text.items() if len(rows) == 1]
        if single:
            statement, values = together(single)
            await self.fetch(statement, *values)
        for statement, rows in by_text.items():
            if len(rows) > 1:
                async with asyncio.timeout(self._timeout_seconds):
                    await self._connection.executemany(statement, rows)

    async def allocate(self) -> str:
        """Take the number after `seq` for a further order of this transaction; return its client order id."""
        await self.raise_seq(self._seq + 1)
        self._seq += 1
        return self.client_order_id

    async def raise_seq(self, least: int) -> None:
        """Let the next order's number be above `least`; the lease row is locked already."""
        await self.fetch(
            "UPDATE account_leases SET seq = greatest(seq, $2) WHERE account_id = $1", self._lease.account_id, least
        )

    async def lock_book(self) -> Sequence[Reservation]:
        """Lock the exposure book of the user and environment; return its open reservations, all accounts."""
        who = (self._lease.user_id, self._lease.environment)
        await self.fetch(
            "INSERT INTO exposure_books (user_id, environment) VALUES ($1, $2)"
            " ON CONFLICT (user_id, environment) DO UPDATE SET updated_at = now()",
            *who,
        )
        self._has_book = True
        rows = await self.fetch(
            "SELECT account_id, seq, instrument, legs, risk FROM exposure_reservations"
            " WHERE user_id = $1 AND environment = $2 AND released_at IS NULL ORDER BY account_id, seq",
            *who,
        )
        return [reservation_of(row) for row in rows]

    async def read_book(self) -> Sequence[BookAccount]:
        """Return the other accounts of the book; call `lock_book` first."""
        who = (self._lease.user_id, self._lease.environment, self._lease.account_id)
        rows = await self.fetch(BOOK, *who)
        accounts = {row["book_account"]: row for row in rows}
        held: dict[UUID, list[PositionRecord]] = {}
        for row in rows:
            if row["trade_ref"] is not None:
                held.setdefault(row["book_account"], []).append(position_of(row))
        return [
            BookAccount(
                account, row["currency"] or "", row["equity"], row["state_ns"] or 0, tuple(held.get(account, ()))
            )
            for account, row in accounts.items()
        ]

    async def add_intent(self, intent: OrderIntent, *, risk: Mapping[str, Any]) -> str:
        """Store an intent with its first transition, to NEW; return its client order id."""
        is_of_bar = intent.run is not None and bool(intent.bar_close_ns)
        first = Transition(None, OrderStatus.NEW, "decided")
        try:
            await self.fetch(
                INTENT, *self._who, self._seq, self.client_order_id,
                None if intent.run is None else UUID(intent.run),
                intent.bar_close_ns if is_of_bar else None, intent.intent_index if is_of_bar else None,
                intent.symbol, intent.effect.value, intent.group_id, intent_json(replace(intent, seq=self._seq)),
                dict(risk), first.to_status.value, first.cause, first.evidence,
            )  # fmt: skip
        except asyncpg.UniqueViolationError as error:
            if error.constraint_name == _DECIDED_TWICE:
                raise duplicate_decision(intent) from error
            raise
        return self.client_order_id

    async def add_attempt(self, seq: int, kind: AttemptKind, request: Mapping[str, Any]) -> int:
        """Store a request about to be sent; return its number, from 1."""
        account_id, user_id, epoch = self._who
        try:
            rows = await self.fetch(
                "INSERT INTO order_attempts (account_id, user_id, epoch, seq, attempt, kind, request)"
                " SELECT $1, $2, $3, $4, 1 + coalesce(max(attempt), 0), $5, $6 FROM order_attempts"
                " WHERE account_id = $1 AND seq = $4 RETURNING attempt",
                account_id, user_id, epoch, seq, kind.value, dict(request),
            )  # fmt: skip
        except asyncpg.ForeignKeyViolationError as error:
            raise unknown_order(seq) from error
        except asyncpg.PostgresError as error:
            if error.sqlstate == _SENT_TWICE:
                # The transaction is lost already, so the server's words must do.
                is_known = "without a transition" not in str(error)
                raise (already_sent(seq) if is_known else unknown_order(seq)) from error
            raise
        return int(rows[0]["attempt"])

    async def add_transition(self, seq: int, transition: Transition) -> int:
        """Store a step of an order; return its number, from 1."""
        try:
            rows = await self.fetch(TRANSITIONS, *self._step_values([(seq, transition)]))
        except asyncpg.ForeignKeyViolationError as error:
            raise unknown_order(seq) from error
        return int(rows[0]["n"])

    def _step_values(self, steps: Sequence[tuple[int, Transition]]) -> list[object]:
        """Return the values of `TRANSITIONS`; steps of one order get numbers in the order given."""
        columns = [
            (seq, 1 + sum(other == seq for other, _ in steps[:at]),
             None if step.from_status is None else step.from_status.value, step.to_status.value, step.cause,
             step.evidence, step.log_id, step.event_seq)
            for at, (seq, step) in enumerate(steps)
        ]  # fmt: skip
        return [*self._who, *map(list, zip(*columns, strict=True))]

    async def add_events(self, events: Sequence[BrokerEvent]) -> list[BrokerEvent]:
        """Store what the venue said, ignoring what is known; return the new ones in the order given."""
        if not events:
            return []
        rows = await self.fetch(
            "INSERT INTO venue_events (account_id, user_id, epoch, log_id, seq, kind, raw, ts_ns, received_ns)"
            " SELECT $1, $2, $3, e.log_id, e.seq, e.kind, e.raw::jsonb, e.ts_ns, e.received_ns"
            " FROM unnest($4::text[], $5::bigint[], $6::text[], $7::text[], $8::bigint[], $9::bigint[])"
            " AS e (log_id, seq, kind, raw, ts_ns, received_ns) RETURNING log_id, seq",
            *self._who,
            [event.log_id for event in events],
            [event.seq for event in events],
            [event.kind.value for event in events],
            [json_text(event.payload) for event in events],
            [event.ts_ns for event in events],
            [event.received_ts_ns for event in events],
        )
        stored = {(row["log_id"], row["seq"]) for row in rows}
        new: dict[tuple[str, int], BrokerEvent] = {}
        for event in events:  # of twins in one batch the first was stored
            if (event.log_id, event.seq) in stored:
                new.setdefault((event.log_id, event.seq), event)
        return list(new.values())

    async def advance_cursor(self, log_id: str, *, start: int = 0) -> int:
        """Move the cursor over contiguous events and return it; `start` is where a new log begins."""
        account_id, user_id, epoch = self._who
        rows = await self.fetch(CURSOR, account_id, log_id, start, user_id, epoch)
        return int(rows[0]["contiguous_seq"])

    async def add_fills(self, fills: Sequence[Fill]) -> list[Fill]:
        """Store fills, ignoring known ones; return the new ones."""
        if not fills:
            return []
        columns = zip(
            *(
                (f.fill_id, f.leg, f.venue_order_id, f.client_order_id, f.trade_ref, f.symbol, int(f.side), f.units,
                 price_column(f.price), f.commission, f.swap, f.realized, f.effect.value, f.ts_ns)
                for f in fills
            ),
            strict=True,
        )  # fmt: skip
        rows = await self.fetch(FILLS, *self._who, *(list(column) for column in columns))
        stored = {(row["fill_id"], row["leg"]) for row in rows}
        new = {(fill.fill_id, fill.leg): fill for fill in reversed(fills) if (fill.fill_id, fill.leg) in stored}
        return [fill for fill in fills if new.get((fill.fill_id, fill.leg)) is fill]

    async def put_order(self, order: OrderRecord) -> None:
        """Store what an order is now."""
        await self._run([self._upsert(*ORDERS, order_columns(order))])

    async def put_position(self, position: PositionRecord) -> None:
        """Store what a trade is now."""
        await self._run([self._upsert(*POSITIONS, position_columns(position))])

    async def put_changes(
        self,
        steps: Sequence[tuple[int, Transition]],
        *,
        orders: Sequence[OrderRecord],
        positions: Sequence[PositionRecord],
        released: Sequence[int],
    ) -> None:
        """Store what follows from a change, in as few round trips as it takes."""
        parts: list[Part] = [(TRANSITIONS, self._step_values(steps))] if steps else []
        parts += [self._upsert(*ORDERS, order_columns(order)) for order in orders]
        parts += [self._upsert(*POSITIONS, position_columns(position)) for position in positions]
        if released:
            parts.append((RELEASE, (self._lease.account_id, list(released), self._lease.epoch)))
        try:
            await self._run(parts)
        except asyncpg.ForeignKeyViolationError as error:
            raise unknown_order(steps[0][0] if steps else 0) from error

    async def reserve(self, reservation: Reservation) -> None:
        """Take headroom for an intent, anew when it was given back."""
        if not self._has_book:
            await self.fetch(
                "INSERT INTO exposure_books (user_id, environment) VALUES ($1, $2) ON CONFLICT DO NOTHING",
                self._lease.user_id, self._lease.environment,
            )  # fmt: skip
        try:
            await self.insert(
                "exposure_reservations",
                "ON CONFLICT (account_id, seq) DO UPDATE SET epoch = excluded.epoch, legs = excluded.legs,"
                " risk = excluded.risk, released_at = NULL",
                seq=reservation.seq,
                environment=self._lease.environment,
                instrument=reservation.instrument,
                legs=dict(reservation.legs),
                risk=reservation.risk,
            )
        except asyncpg.ForeignKeyViolationError as error:
            raise unknown_order(reservation.seq) from error

    async def release_reservation(self, seq: int) -> None:
        """Give the headroom of a terminal intent back; twice is no error."""
        await self.fetch(RELEASE, self._lease.account_id, [seq], self._lease.epoch)

    async def put_account(self, account: AccountRecord) -> None:
        """Store trading state and marks, with a row of history."""
        columns: dict[str, object] = {
            "trading_state": account.state.value,
            "return_state": None if account.return_state is None else account.return_state.value,
            "reason": account.reason,
            "balance": account.balance,
            "equity": account.equity,
            "high_water_mark": account.high_water_mark,
            "day_start_equity": account.day_start_equity,
            "flows": account.flows,
            "as_of_ns": account.as_of_ns,
        }
        await self._run([self._upsert("account_states", "account_id", columns)])

    async def save_state(self, state: SavedState) -> None:
        """Store a strategy's memory."""
        columns: dict[str, object] = {
            "run_id": state.run_id,
            "market": state.market,
            "bar_close_ns": state.bar_close_ns,
            "dtype_digest": state.dtype_digest,
            "snapshot": state.snapshot,
        }
        await self._run([self._upsert("run_states", "run_id, market", columns)])

    async def add_equity(self, point: EquityRecord) -> None:
        """Store an equity point, ignoring a known instant."""
        await self.insert(
            "equity_points",
            "ON CONFLICT (account_id, ts_ns) DO NOTHING",
            ts_ns=point.ts_ns,
            balance=point.balance,
            equity=point.equity,
            margin_used=point.margin_used,
        )

    async def announce(
        self, topic: str, subject: str, payload: Mapping[str, Any], *, dedupe_key: str | None = None
    ) -> None:
        """Put an event or alert into the outbox."""
        await self.fetch(
            "INSERT INTO outbox (user_id, account_id, topic, subject, payload, dedupe_key)"
            " VALUES ($1, $2, $3, $4, $5, $6)",
            self._lease.user_id, self._lease.account_id, topic, subject, dict(payload), dedupe_key,
        )  # fmt: skip
