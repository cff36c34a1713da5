"""Let an agent make a run do less on the strategy's own word: pause it, or close it; never the other way round."""

from alembic import op

revision = "0005"
down_revision = "0004"

FUNCTION = "restrain_run(uuid, text)"


def upgrade() -> None:
    """Make the one function through which an agent changes what is wanted of a run."""
    op.execute("""
        CREATE FUNCTION restrain_run(run uuid, wanted text) RETURNS boolean LANGUAGE plpgsql SECURITY DEFINER
        SET search_path = pg_catalog, pg_temp AS $$
        BEGIN
            UPDATE public.live_runs SET desired = wanted, updated_at = now()
             WHERE id = run AND user_id = nullif(current_setting('app.user_id', true), '')::uuid
               AND ((wanted = 'paused' AND desired = 'running')
                    OR (wanted = 'flatten' AND desired IN ('running', 'paused')));
            RETURN FOUND;
        END $$""")
    op.execute(f"REVOKE ALL ON FUNCTION {FUNCTION} FROM PUBLIC")
    op.execute(f"GRANT EXECUTE ON FUNCTION {FUNCTION} TO ts_agent")


def downgrade() -> None:
    """Take it away."""
    op.execute(f"DROP FUNCTION {FUNCTION}")
