"""The longer statements of a journal transaction. What one of them stores together takes one round trip.

No statement both waits for a lock and reads what the lock guards: it would read what was there before it waited.
"""

import re
from collections.abc import Sequence
from typing import Final, TypeAlias

Part: TypeAlias = tuple[str, Sequence[object]]
"""A statement and its values."""
ORDERS: Final = ("orders", "account_id, order_key")
POSITIONS: Final = ("positions", "account_id, trade_ref")
"""Table and key."""
_MARK: Final = re.compile(r"\$(\d+)")
RELEASE: Final = """
UPDATE exposure_reservations SET released_at = now(), epoch = $3
 WHERE account_id = $1 AND seq = ANY($2::bigint[]) AND released_at IS NULL
"""
CURSOR: Final = """
WITH c AS (SELECT greatest($3::bigint, (SELECT contiguous_seq FROM event_cursors
                                         WHERE account_id = $1 AND log_id = $2), 0) AS since),
     e AS (SELECT seq, row_number() OVER (ORDER BY seq) AS n FROM venue_events
            WHERE account_id = $1 AND log_id = $2 AND seq > (SELECT since FROM c)),
     n AS (SELECT coalesce((SELECT max(e.seq) FROM e, c WHERE e.seq = c.since + e.n), (SELECT since FROM c)) AS seq),
     l AS (UPDATE account_leases SET log_id = $2 WHERE account_id = $1 AND log_id IS DISTINCT FROM $2)
INSERT INTO event_cursors (account_id, log_id, user_id, epoch, contiguous_seq) SELECT $1, $2, $4, $5, n.seq FROM n
    ON CONFLICT (account_id, log_id) DO UPDATE
       SET epoch = excluded.epoch, contiguous_seq = excluded.contiguous_seq, updated_at = now()
RETURNING contiguous_seq
"""
FILLS: Final = """
INSERT INTO fills (account_id, user_id, epoch, fill_id, leg, venue_order_id, client_order_id, trade_ref, instrument,
                   side, units, price, commission, swap, realized, effect, ts_ns)
SELECT $1, $2, $3, f.*
  FROM unnest($4::text[], $5::bigint[], $6::text[], $7::text[], $8::text[], $9::text[], $10::smallint[],
              $11::numeric[], $12::numeric[], $13::numeric[], $14::numeric[], $15::numeric[], $16::text[],
              $17::bigint[]) AS f
    ON CONFLICT (account_id, fill_id, leg) DO NOTHING RETURNING fill_id, leg
"""


TRANSITIONS: Final = """
INSERT INTO order_transitions (account_id, user_id, epoch, seq, n, from_status, to_status, cause, evidence, log_id,
                               event_seq)
SELECT $1, $2, $3, t.seq, t.place + coalesce((SELECT max(o.n) FROM order_transitions o
                                               WHERE o.account_id = $1 AND o.seq = t.seq), 0),
       t.from_status, t.to_status, t.cause, t.evidence, t.log_id, t.event_seq
  FROM unnest($4::bigint[], $5::bigint[], $6::text[], $7::text[], $8::text[], $9::text[], $10::text[], $11::bigint[])
    AS t (seq, place, from_status, to_status, cause, evidence, log_id, event_seq)
RETURNING seq, n
"""
BOOK: Final = """
SELECT b.id AS book_account, b.settings ->> 'currency' AS currency, s.equity, s.as_of_ns AS state_ns, p.*
  FROM broker_links b
  LEFT JOIN account_states s ON s.account_id = b.id
  LEFT JOIN positions p ON p.account_id = b.id AND p.user_id = b.user_id AND p.units > 0
 WHERE b.user_id = $1 AND b.environment = $2 AND b.id <> $3
 ORDER BY b.id, p.trade_ref
"""
INTENT: Final = """
WITH i AS (
INSERT INTO order_intents (account_id, user_id, epoch, seq, client_order_id, run_id, bar_close_ns, intent_index,
                           instrument, effect, group_id, intent, risk)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13) RETURNING seq)
INSERT INTO order_transitions (account_id, user_id, epoch, seq, n, from_status, to_status, cause, evidence)
SELECT $1, $2, $3, i.seq, 1, NULL, $14, $15, $16 FROM i
"""
"""An order's number is new, so its first step is the first."""


def together(parts: Sequence[Part]) -> tuple[str, list[object]]:
    """Return one statement that carries out several, and its values. They see nothing of one another.

    Args:
        parts: At least one; each changes rows of a table of its own, and begins without a WITH.
    """
    texts: list[str] = []
    values: list[object] = []
    for statement, own in parts:
        texts.append(_numbered(statement, len(values)))
        values += own
    *first, last = texts
    named = ", ".join(f"p{n} AS ({text})" for n, text in enumerate(first))
    return f"WITH {named} {last}" if first else last, values


def _numbered(statement: str, before: int) -> str:
    """Return a statement whose values follow `before` others."""
    return _MARK.sub(lambda mark: f"${int(mark[1]) + before}", statement)
