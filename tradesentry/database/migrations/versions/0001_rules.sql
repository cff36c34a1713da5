-- Rules of the live-trading tables that table definitions cannot say: partitions, append-only, fence, tenancy, grants.
-- SQLSTATEs: TS001 stale epoch, TS002 rewriting the journal, TS003 going back, TS004 sending an order twice.

CREATE TABLE venue_events_default PARTITION OF venue_events DEFAULT;
CREATE TABLE equity_points_default PARTITION OF equity_points DEFAULT;
CREATE TABLE outbox_default PARTITION OF outbox DEFAULT;
ALTER SEQUENCE outbox_id_seq OWNED BY outbox.id;

-- Append-only: rows of the journal are never changed or removed, not even by the owner's own programs.
CREATE FUNCTION refuse_rewrite() RETURNS trigger LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    RAISE EXCEPTION 'The journal is never rewritten: % on % is refused. Repair it by new rows.', TG_OP, TG_TABLE_NAME
        USING ERRCODE = 'TS002';
END $$;

-- Fence: a row must carry the newest epoch of its account. One check per statement, over its new rows.
CREATE FUNCTION refuse_stale_epoch() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, pg_temp AS $$
DECLARE stale record;
BEGIN
    SELECT n.account_id, n.epoch, l.epoch AS newest INTO stale
      FROM (SELECT DISTINCT account_id, epoch FROM new_rows) n LEFT JOIN public.account_leases l USING (account_id)
     WHERE l.epoch IS DISTINCT FROM n.epoch LIMIT 1;
    IF FOUND THEN
        RAISE EXCEPTION 'Account % is at epoch %; a write to % of epoch % is refused.',
            stale.account_id, stale.newest, TG_TABLE_NAME, stale.epoch USING ERRCODE = 'TS001';
    END IF;
    RETURN NULL;
END $$;

CREATE FUNCTION refuse_going_back() RETURNS trigger LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    was numeric := (to_jsonb(OLD) ->> TG_ARGV[0])::numeric;
    becomes numeric := (to_jsonb(NEW) ->> TG_ARGV[0])::numeric;
BEGIN
    IF becomes < was THEN
        RAISE EXCEPTION '% of % never goes back: % after %.', TG_ARGV[0], TG_TABLE_NAME, becomes, was
            USING ERRCODE = 'TS003';
    END IF;
    RETURN NEW;
END $$;

-- An order may be placed only while its newest transition is NEW: it was never sent, or was proven not executed.
CREATE FUNCTION refuse_second_placement() RETURNS trigger LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE newest text;
BEGIN
    SELECT to_status INTO newest FROM public.order_transitions
     WHERE account_id = NEW.account_id AND seq = NEW.seq ORDER BY n DESC LIMIT 1;
    IF newest IS DISTINCT FROM 'new' THEN
        RAISE EXCEPTION 'Order % of account % is %, not new: it may have reached the venue and is not sent again.',
            NEW.seq, NEW.account_id, coalesce(newest, 'without a transition') USING ERRCODE = 'TS004';
    END IF;
    RETURN NEW;
END $$;

-- (account_id, log_id, seq) is unique over all partitions, whatever time a repeated event claims.
CREATE FUNCTION ignore_known_event() RETURNS trigger LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    IF EXISTS (SELECT 1 FROM public.venue_events
                WHERE account_id = NEW.account_id AND log_id = NEW.log_id AND seq = NEW.seq) THEN
        RETURN NULL;
    END IF;
    RETURN NEW;
END $$;

CREATE FUNCTION keep_state_history() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    INSERT INTO public.account_state_history (account_id, user_id, epoch, trading_state, return_state, reason, balance,
                                              equity, high_water_mark, day_start_equity, flows, as_of_ns)
    VALUES (NEW.account_id, NEW.user_id, NEW.epoch, NEW.trading_state, NEW.return_state, NEW.reason, NEW.balance,
            NEW.equity, NEW.high_water_mark, NEW.day_start_equity, NEW.flows, NEW.as_of_ns);
    RETURN NULL;
END $$;

-- The relay numbers a row once; nothing else of it ever changes (column grants see to the rest).
CREATE FUNCTION number_once() RETURNS trigger LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    IF OLD.seq IS NOT NULL THEN
        RAISE EXCEPTION 'Outbox row % has number % already.', OLD.id, OLD.seq USING ERRCODE = 'TS003';
    END IF;
    RETURN NEW;
END $$;

-- Linking an account makes its lease row. `instance` is drawn, and drawn again where it is taken.
CREATE FUNCTION make_lease() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, pg_temp AS $$
DECLARE drawn bigint;
BEGIN
    FOR i IN 1..50 LOOP
        drawn := 1 + floor(random() * 32767)::bigint;
        EXIT WHEN NOT EXISTS (SELECT 1 FROM public.account_leases WHERE instance = drawn);
    END LOOP;
    INSERT INTO public.account_leases (account_id, user_id, broker, environment, instance)
    VALUES (NEW.id, NEW.user_id, NEW.broker, NEW.environment, drawn);
    RETURN NULL;
END $$;

-- An account is wanted while a run wants to be live, an order or trade is open, or a validation was asked for.
CREATE FUNCTION refresh_wanted(account uuid) RETURNS void LANGUAGE sql SECURITY DEFINER
SET search_path = pg_catalog, pg_temp AS $$
    UPDATE public.account_leases l SET wanted = w.wanted
      FROM (SELECT EXISTS (SELECT 1 FROM public.live_runs
                            WHERE account_id = account AND (desired <> 'stopped' OR actual IN ('running', 'paused')))
                OR EXISTS (SELECT 1 FROM public.orders
                            WHERE account_id = account AND status NOT IN
                                  ('denied', 'filled', 'canceled', 'expired', 'rejected', 'not_placed'))
                OR EXISTS (SELECT 1 FROM public.positions WHERE account_id = account AND units > 0)
                OR EXISTS (SELECT 1 FROM public.broker_links
                            WHERE id = account AND validation_requested_at > coalesce(validated_at, '-infinity'))
                   AS wanted) w
     WHERE l.account_id = account AND l.wanted IS DISTINCT FROM w.wanted
$$;

CREATE FUNCTION account_changed() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    PERFORM public.refresh_wanted(NEW.account_id);
    RETURN NULL;
END $$;

CREATE FUNCTION link_changed() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    PERFORM public.refresh_wanted(NEW.id);
    RETURN NULL;
END $$;

-- The API takes the lease row first, as agents do, before it changes a run; it can do nothing else with it.
CREATE FUNCTION lock_account(account uuid) RETURNS boolean LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    PERFORM 1 FROM public.account_leases
      WHERE account_id = account AND user_id = nullif(current_setting('app.user_id', true), '')::uuid FOR UPDATE;
    RETURN FOUND;
END $$;

-- Partitions for the coming time. A range whose rows lie in the default partition already stays there.
CREATE FUNCTION make_partition(parent text, suffix text, low text, high text) RETURNS void LANGUAGE plpgsql
SECURITY DEFINER SET search_path = pg_catalog, pg_temp SET lock_timeout = '3s' AS $$
BEGIN
    IF to_regclass(format('public.%I', parent || '_' || suffix)) IS NULL THEN
        EXECUTE format('CREATE TABLE public.%I PARTITION OF public.%I FOR VALUES FROM (%L) TO (%L)',
                       parent || '_' || suffix, parent, low, high);
    END IF;
EXCEPTION WHEN check_violation OR duplicate_table OR lock_not_available THEN
    RAISE WARNING 'Partition %_% was not made: %', parent, suffix, SQLERRM;
END $$;

CREATE FUNCTION ensure_partitions(at timestamptz DEFAULT now(), n_months int DEFAULT 3, n_days int DEFAULT 3)
RETURNS void LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, pg_temp SET timezone = 'UTC' AS $$
DECLARE
    month timestamptz := date_trunc('month', at);
    day timestamptz := date_trunc('day', at);
    low text;
    high text;
BEGIN
    PERFORM pg_advisory_xact_lock(hashtext('tradesentry.partitions'));
    FOR i IN 0..n_months - 1 LOOP
        low := (extract(epoch FROM month + make_interval(months => i))::bigint * 1000000000)::text;
        high := (extract(epoch FROM month + make_interval(months => i + 1))::bigint * 1000000000)::text;
        PERFORM public.make_partition('venue_events', to_char(month + make_interval(months => i), 'YYYY_MM'), low, high);
        PERFORM public.make_partition('equity_points', to_char(month + make_interval(months => i), 'YYYY_MM'), low, high);
    END LOOP;
    FOR i IN 0..n_days - 1 LOOP
        PERFORM public.make_partition('outbox', to_char(day + make_interval(days => i), 'YYYY_MM_DD'),
                                      (day + make_interval(days => i))::text, (day + make_interval(days => i + 1))::text);
    END LOOP;
END $$;

-- Remove delivered outbox rows of days that are over: whole partitions, and what fell into the default one.
CREATE FUNCTION prune_outbox(keep interval DEFAULT '7 days') RETURNS int LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, pg_temp SET timezone = 'UTC' SET lock_timeout = '3s' AS $$
DECLARE
    partition record;
    is_done boolean;
    n_dropped int := 0;
BEGIN
    FOR partition IN
        SELECT c.relname AS name FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid
         WHERE i.inhparent = 'public.outbox'::regclass AND c.relname ~ '^outbox_\d{4}_\d{2}_\d{2}$'
           AND to_date(right(c.relname, 10), 'YYYY_MM_DD') + 1 < now() - keep
    LOOP
        EXECUTE format('SELECT NOT EXISTS (SELECT 1 FROM public.%I WHERE seq IS NULL)', partition.name) INTO is_done;
        IF is_done THEN
            EXECUTE format('DROP TABLE public.%I', partition.name);
            n_dropped := n_dropped + 1;
        END IF;
    END LOOP;
    DELETE FROM public.outbox_default WHERE seq IS NOT NULL AND at < now() - keep;
    RETURN n_dropped;
END $$;

DO $$
DECLARE
    name text;
BEGIN
    FOREACH name IN ARRAY ARRAY['order_intents', 'order_attempts', 'order_transitions', 'venue_events', 'fills',
                                'account_state_history', 'equity_points', 'paper_transactions'] LOOP
        EXECUTE format('CREATE TRIGGER append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON %I
                        FOR EACH STATEMENT EXECUTE FUNCTION refuse_rewrite()', name);
    END LOOP;
    -- Statement triggers of a parent do not fire for its partitions; row triggers are copied to them.
    FOREACH name IN ARRAY ARRAY['venue_events', 'equity_points'] LOOP
        EXECUTE format('CREATE TRIGGER append_only_rows BEFORE UPDATE OR DELETE ON %I
                        FOR EACH ROW EXECUTE FUNCTION refuse_rewrite()', name);
    END LOOP;
    FOREACH name IN ARRAY ARRAY['run_states', 'order_intents', 'order_attempts', 'order_transitions', 'venue_events',
                                'event_cursors', 'account_states', 'exposure_reservations', 'orders', 'fills',
                                'positions', 'equity_points', 'paper_transactions'] LOOP
        EXECUTE format('CREATE TRIGGER fence_insert AFTER INSERT ON %I REFERENCING NEW TABLE AS new_rows
                        FOR EACH STATEMENT EXECUTE FUNCTION refuse_stale_epoch()', name);
    END LOOP;
    FOREACH name IN ARRAY ARRAY['run_states', 'event_cursors', 'account_states', 'exposure_reservations', 'orders',
                                'positions'] LOOP
        EXECUTE format('CREATE TRIGGER fence_update AFTER UPDATE ON %I REFERENCING NEW TABLE AS new_rows
                        FOR EACH STATEMENT EXECUTE FUNCTION refuse_stale_epoch()', name);
    END LOOP;
END $$;

CREATE TRIGGER forward_epoch BEFORE UPDATE ON account_leases FOR EACH ROW EXECUTE FUNCTION refuse_going_back('epoch');
CREATE TRIGGER forward_seq BEFORE UPDATE ON account_leases FOR EACH ROW EXECUTE FUNCTION refuse_going_back('seq');
CREATE TRIGGER forward_cursor BEFORE UPDATE ON event_cursors
    FOR EACH ROW EXECUTE FUNCTION refuse_going_back('contiguous_seq');
CREATE TRIGGER forward_mark BEFORE UPDATE ON account_states
    FOR EACH ROW EXECUTE FUNCTION refuse_going_back('high_water_mark');
CREATE TRIGGER forward_bar BEFORE UPDATE ON run_states FOR EACH ROW EXECUTE FUNCTION refuse_going_back('bar_close_ns');
CREATE TRIGGER history AFTER INSERT OR UPDATE ON account_states FOR EACH ROW EXECUTE FUNCTION keep_state_history();
CREATE TRIGGER placed_once BEFORE INSERT ON order_attempts
    FOR EACH ROW WHEN (NEW.kind = 'place') EXECUTE FUNCTION refuse_second_placement();
CREATE TRIGGER known_once BEFORE INSERT ON venue_events FOR EACH ROW EXECUTE FUNCTION ignore_known_event();
CREATE TRIGGER numbered_once BEFORE UPDATE ON outbox FOR EACH ROW EXECUTE FUNCTION number_once();
CREATE TRIGGER make_lease AFTER INSERT ON broker_links FOR EACH ROW EXECUTE FUNCTION make_lease();
CREATE TRIGGER wanted_insert AFTER INSERT ON live_runs FOR EACH ROW EXECUTE FUNCTION account_changed();
CREATE TRIGGER wanted_update AFTER UPDATE OF desired, actual ON live_runs
    FOR EACH ROW WHEN (OLD.desired IS DISTINCT FROM NEW.desired OR OLD.actual IS DISTINCT FROM NEW.actual)
    EXECUTE FUNCTION account_changed();
CREATE TRIGGER wanted_insert AFTER INSERT ON orders FOR EACH ROW EXECUTE FUNCTION account_changed();
CREATE TRIGGER wanted_update AFTER UPDATE OF status ON orders
    FOR EACH ROW WHEN (OLD.status IS DISTINCT FROM NEW.status) EXECUTE FUNCTION account_changed();
CREATE TRIGGER wanted_insert AFTER INSERT ON positions FOR EACH ROW EXECUTE FUNCTION account_changed();
CREATE TRIGGER wanted_update AFTER UPDATE OF units ON positions
    FOR EACH ROW WHEN ((OLD.units > 0) IS DISTINCT FROM (NEW.units > 0)) EXECUTE FUNCTION account_changed();
CREATE TRIGGER wanted_update AFTER UPDATE OF validation_requested_at, validated_at ON broker_links
    FOR EACH ROW EXECUTE FUNCTION link_changed();

CREATE VIEW net_positions WITH (security_invoker = true) AS
    SELECT user_id, account_id, instrument, sum(side * units) AS units FROM positions GROUP BY 1, 2, 3;

-- Tenancy: every role sees the rows of `app.user_id` only; without that setting none. The sub-select is evaluated once.
DO $$
DECLARE
    name text;
    is_mine text := '(SELECT nullif(current_setting(''app.user_id'', true), '''')::uuid)';
    mine text;
BEGIN
    FOREACH name IN ARRAY ARRAY['users', 'broker_links', 'live_runs', 'run_states', 'account_leases', 'order_intents',
                                'order_attempts', 'order_transitions', 'venue_events', 'event_cursors',
                                'account_states', 'account_state_history', 'exposure_books', 'exposure_reservations',
                                'orders', 'fills', 'positions', 'equity_points', 'outbox', 'paper_transactions'] LOOP
        mine := CASE name WHEN 'users' THEN 'id' ELSE 'user_id' END || ' = ' || is_mine;
        EXECUTE format('ALTER TABLE %I ENABLE ROW LEVEL SECURITY', name);
        EXECUTE format('ALTER TABLE %I FORCE ROW LEVEL SECURITY', name);
        EXECUTE format('CREATE POLICY tenant ON %I TO ts_app, ts_agent, ts_worker, ts_readonly
                        USING (%s) WITH CHECK (%s)', name, mine, mine);
        EXECUTE format('CREATE POLICY owner ON %I TO ts_owner USING (true) WITH CHECK (true)', name);
        EXECUTE format('GRANT SELECT ON %I TO ts_readonly', name);
    END LOOP;
END $$;
CREATE POLICY all_accounts ON account_leases TO ts_agent USING (true) WITH CHECK (true);
CREATE POLICY relayed ON outbox TO ts_relay USING (true) WITH CHECK (true);
CREATE POLICY numbered ON outbox FOR SELECT TO ts_events USING (seq IS NOT NULL);

GRANT USAGE ON SCHEMA public TO ts_app, ts_worker, ts_agent, ts_relay, ts_events, ts_readonly;

GRANT SELECT, INSERT ON users, broker_links, live_runs TO ts_app;
GRANT UPDATE (desired_trading, settings, scopes, validation_requested_at) ON broker_links TO ts_app;
GRANT UPDATE (desired, config, limits, updated_at) ON live_runs TO ts_app;
GRANT SELECT ON account_leases, order_intents, order_attempts, order_transitions, venue_events, event_cursors,
                account_states, account_state_history, exposure_reservations, orders, fills, positions, net_positions,
                equity_points TO ts_app;
GRANT SELECT, INSERT ON outbox TO ts_app;
GRANT USAGE ON SEQUENCE outbox_id_seq TO ts_app, ts_agent, ts_worker;

GRANT SELECT, INSERT, UPDATE, DELETE ON agents TO ts_agent;
GRANT SELECT ON broker_links, live_runs TO ts_agent;
GRANT UPDATE (validated_at, settings) ON broker_links TO ts_agent;
GRANT UPDATE (actual, last_error, updated_at) ON live_runs TO ts_agent;
GRANT SELECT ON account_leases TO ts_agent;
GRANT UPDATE (owner, epoch, lease_until, seq, log_id) ON account_leases TO ts_agent;
GRANT SELECT, INSERT ON order_intents, order_attempts, order_transitions, venue_events, fills, equity_points,
                        paper_transactions TO ts_agent;
GRANT SELECT, INSERT, UPDATE ON run_states, event_cursors, account_states, exposure_books, exposure_reservations,
                                orders, positions TO ts_agent;
GRANT SELECT ON account_state_history, net_positions TO ts_agent;
GRANT INSERT ON outbox TO ts_agent, ts_worker;

GRANT SELECT ON outbox TO ts_relay, ts_events;
GRANT UPDATE (seq) ON outbox TO ts_relay;
GRANT USAGE ON SEQUENCE outbox_seq TO ts_relay;
GRANT SELECT ON net_positions TO ts_readonly;

REVOKE EXECUTE ON ALL FUNCTIONS IN SCHEMA public FROM PUBLIC;
GRANT EXECUTE ON FUNCTION lock_account(uuid) TO ts_app;
GRANT EXECUTE ON FUNCTION ensure_partitions(timestamptz, int, int) TO ts_agent, ts_relay;
GRANT EXECUTE ON FUNCTION prune_outbox(interval) TO ts_relay;
