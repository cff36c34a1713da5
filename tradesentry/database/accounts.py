"""Link accounts and launch runs from a shell, as the API does for its users: as `ts_app`, for one tenant.

A shell has one user, the installation's own. Linking an account that is linked already returns it; launching a run that
is there already goes on with it. Nothing here touches a lease: an agent learns of a run by its poll.
"""

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Final
from uuid import NAMESPACE_URL, UUID, uuid4, uuid5

import psycopg

from tradesentry.core.domain.errors import UsageError, nearest
from tradesentry.database.session import connect

LOCAL_USER: Final = uuid5(NAMESPACE_URL, "tradesentry:local-user")
LOCAL_EMAIL: Final = "local@example.com"


@dataclass(frozen=True, slots=True)
class AccountRow:
    """A linked account with its lease and trading state."""

    account_id: UUID
    broker: str
    account_ref: str
    environment: str
    settings: Mapping[str, Any]
    owner: str | None
    """Who trades it now; None nobody."""
    is_leased: bool
    """Whether that lease has not run out."""
    epoch: int
    desired_trading: str
    trading_state: str | None
    reason: str | None


@dataclass(frozen=True, slots=True)
class RunRow:
    """A run of an account."""

    run_id: UUID
    account_id: UUID
    strategy: str
    variant: str
    config: Mapping[str, Any]
    desired: str
    actual: str
    last_error: str | None


@dataclass(frozen=True, slots=True)
class Gap:
    """A time in which nobody traded an account that should have been traded."""

    since_ns: int
    until_ns: int
    text: str


class Accounts:
    """Accounts and runs of one tenant.

    Args:
        url: Address for `ts_app`.
        user_id: The tenant.
    """

    def __init__(self, url: str, *, user_id: UUID = LOCAL_USER) -> None:
        self._url, self._user_id = url, user_id

    @contextmanager
    def _tenant(self) -> "Iterator[psycopg.Connection[Any]]":
        with connect(self._url) as connection, connection.transaction():
            connection.execute("SELECT set_config('app.user_id', %s, true)", [str(self._user_id)])
            yield connection

    def link(self, *, broker: str, account_ref: str, environment: str, settings: Mapping[str, Any]) -> UUID:
        """Link an account, or return the one that is linked; its settings are brought up to date.

        Args:
            broker: paper, oanda or mt5.
            account_ref: As the venue names it.
            environment: paper, demo or real.
            settings: What is stored with it.

        Raises:
            UsageError: It is linked as another environment.
        """
        with self._tenant() as connection:
            connection.execute(
                "INSERT INTO users (id, email) VALUES (%s, %s) ON CONFLICT DO NOTHING", [self._user_id, LOCAL_EMAIL]
            )
            connection.execute(
                "INSERT INTO broker_links (id, user_id, broker, account_ref, environment, settings)"
                " VALUES (%s, %s, %s, %s, %s, %s) ON CONFLICT DO NOTHING",
                [uuid4(), self._user_id, broker, account_ref, environment, json.dumps(dict(settings))],
            )
            row = connection.execute(
                "SELECT id, environment FROM broker_links WHERE broker = %s AND account_ref = %s", [broker, account_ref]
            ).fetchone()
            if row is None or row[1] != environment:
                raise UsageError(
                    f"Account …{account_ref[-3:]} at {broker} is linked as {row and row[1]} and was now given as "
                    f"{environment}. An account never changes its kind; check which account is meant.",
                    code="wrong_environment",
                )
            connection.execute(
                "UPDATE broker_links SET settings = %s WHERE id = %s", [json.dumps(dict(settings)), row[0]]
            )
            return UUID(str(row[0]))

    def launch(
        self,
        account_id: UUID,
        *,
        strategy: str,
        variant: str,
        config: Mapping[str, Any],
        code_digest: str,
        limits: Mapping[str, Any] | None = None,
    ) -> UUID:
        """Want a run to be live; one that is there already with the same configuration goes on.

        Args:
            account_id: The account.
            strategy: Its name.
            variant: Tells two configurations of one strategy apart.
            config: Resolved configuration.
            code_digest: Of the strategy's sources.
            limits: Of this run alone: `locks` holds the rules that pause it after losses.

        Raises:
            UsageError: That run is there with another configuration or other limits.
        """
        with self._tenant() as connection:
            connection.execute("SELECT lock_account(%s)", [account_id])
            found = connection.execute(
                "SELECT id, config, limits FROM live_runs WHERE account_id = %s AND strategy = %s AND variant = %s"
                " AND desired <> 'stopped'",
                [account_id, strategy, variant],
            ).fetchone()
            wanted, allowed = (json.loads(json.dumps(dict(values or {}))) for values in (config, limits))
            if found is None:
                run_id = uuid4()
                connection.execute(
                    "INSERT INTO live_runs (id, user_id, account_id, strategy, variant, code_digest, config, limits)"
                    " VALUES (%s, %s, %s, %s, %s, %s, %s, %s)",
                    [
                        run_id,
                        self._user_id,
                        account_id,
                        strategy,
                        variant,
                        code_digest,
                        json.dumps(wanted),
                        json.dumps(allowed),
                    ],
                )
                return run_id
            if found[1:] != (wanted, allowed):
                changed = sorted(_changed(found[1], wanted) | _changed(found[2], allowed))
                raise UsageError(
                    f"{strategy} ({variant}) trades this account with another configuration: {', '.join(changed)} "
                    "differ. Stop it first with `tradesentry live stop`, or name yours with --variant.",
                    code="run_differs",
                )
            connection.execute("UPDATE live_runs SET desired = 'running', updated_at = now() WHERE id = %s", [found[0]])
            return UUID(str(found[0]))

    def all(self) -> list[AccountRow]:
        """Return the linked accounts, oldest first."""
        with self._tenant() as connection:
            rows = connection.execute(
                "SELECT b.id, b.broker, b.account_ref, b.environment, b.settings, l.owner,"
                " coalesce(l.lease_until > now(), false), l.epoch, b.desired_trading, s.trading_state, s.reason"
                " FROM broker_links b JOIN account_leases l ON l.account_id = b.id"
                " LEFT JOIN account_states s ON s.account_id = b.id ORDER BY b.created_at, b.id"
            ).fetchall()
        return [AccountRow(*row) for row in rows]

    def runs(self, account_id: UUID) -> list[RunRow]:
        """Return the runs of an account, oldest first."""
        with self._tenant() as connection:
            rows = connection.execute(
                "SELECT id, account_id, strategy, variant, config, desired, actual, last_error FROM live_runs"
                " WHERE account_id = %s ORDER BY created_at, id",
                [account_id],
            ).fetchall()
        return [RunRow(*row) for row in rows]

    def last_gaps(self) -> dict[UUID, Gap]:
        """Return the newest gap of each account, as long as the outbox remembers it (seven days)."""
        with self._tenant() as connection:
            rows = connection.execute(
                "SELECT DISTINCT ON (account_id) account_id, (payload->>'since_ns')::bigint,"
                " (payload->>'until_ns')::bigint, payload->>'text' FROM outbox WHERE topic = 'alert.agent_lost'"
                " ORDER BY account_id, id DESC"
            ).fetchall()
        return {row[0]: Gap(*row[1:]) for row in rows}

    def find(self, account: str) -> AccountRow:
        """Return an account by the venue's name of it, `broker:name`, or its id.

        Raises:
            UsageError: No account is linked by that name, or several are.
        """
        rows = self.all()
        names = {f"{row.broker}:{row.account_ref}": row for row in rows}
        hits = [
            row for row in rows if account in (row.account_ref, f"{row.broker}:{row.account_ref}", str(row.account_id))
        ]
        if len(hits) == 1:
            return hits[0]
        if hits:
            raise UsageError(f"{account!r} names {len(hits)} accounts. Write one of {', '.join(sorted(names))}.")
        raise UsageError(f"No account {account!r} is linked. {nearest(account, names)}", code="unknown_account")

    def command(self, account_id: UUID, desired: str, *, strategy: str | None = None) -> list[RunRow]:
        """Say what the runs of an account should do; return those that it concerns.

        Args:
            account_id: The account.
            desired: running, paused, stopped or flatten.
            strategy: Only runs of that strategy.

        Raises:
            UsageError: There is no such run.
        """
        concerned = [
            run for run in self.runs(account_id)
            if run.desired != "stopped" and strategy in (None, run.strategy)
        ]  # fmt: skip
        if not concerned:
            what = "No run" if strategy is None else f"No run of {strategy}"
            raise UsageError(f"{what} is wanted on this account, so there is nothing to be {desired}.", code="no_run")
        with self._tenant() as connection:
            connection.execute("SELECT lock_account(%s)", [account_id])
            connection.execute(
                "UPDATE live_runs SET desired = %s, updated_at = now() WHERE id = ANY(%s)",
                [desired, [run.run_id for run in concerned]],
            )
        return concerned

    def halt(self, account_id: UUID, *, is_halted: bool) -> None:
        """Say whether an account may trade at all."""
        with self._tenant() as connection:
            connection.execute(
                "UPDATE broker_links SET desired_trading = %s WHERE id = %s",
                ["halted" if is_halted else "normal", account_id],
            )


def _changed(old: Mapping[str, Any], new: Mapping[str, Any]) -> set[str]:
    """Return the keys whose values differ."""
    return {key for key in {*old, *new} if old.get(key) != new.get(key)}
