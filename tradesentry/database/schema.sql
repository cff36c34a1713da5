-- The schema that all migrations lead to. Written by `python scripts/init_db.py --write-schema`; do not edit.
SET check_function_bodies = off;
CREATE FUNCTION public.account_changed() RETURNS trigger
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
BEGIN
    PERFORM public.refresh_wanted(NEW.account_id);
    RETURN NULL;
END $$;
ALTER FUNCTION public.account_changed() OWNER TO ts_owner;
CREATE FUNCTION public.ensure_partitions(at timestamp with time zone DEFAULT now(), n_months integer DEFAULT 3, n_days integer DEFAULT 3) RETURNS void
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'pg_temp'
    SET "TimeZone" TO 'UTC'
    AS $$
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
ALTER FUNCTION public.ensure_partitions(at timestamp with time zone, n_months integer, n_days integer) OWNER TO ts_owner;
CREATE FUNCTION public.ignore_known_event() RETURNS trigger
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
BEGIN
    IF EXISTS (SELECT 1 FROM public.venue_events
                WHERE account_id = NEW.account_id AND log_id = NEW.log_id AND seq = NEW.seq) THEN
        RETURN NULL;
    END IF;
    RETURN NEW;
END $$;
ALTER FUNCTION public.ignore_known_event() OWNER TO ts_owner;
CREATE FUNCTION public.keep_state_history() RETURNS trigger
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
BEGIN
    INSERT INTO public.account_state_history (account_id, user_id, epoch, trading_state, return_state, reason, balance,
                                              equity, high_water_mark, day_start_equity, flows, as_of_ns)
    VALUES (NEW.account_id, NEW.user_id, NEW.epoch, NEW.trading_state, NEW.return_state, NEW.reason, NEW.balance,
            NEW.equity, NEW.high_water_mark, NEW.day_start_equity, NEW.flows, NEW.as_of_ns);
    RETURN NULL;
END $$;
ALTER FUNCTION public.keep_state_history() OWNER TO ts_owner;
CREATE FUNCTION public.link_changed() RETURNS trigger
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
BEGIN
    PERFORM public.refresh_wanted(NEW.id);
    RETURN NULL;
END $$;
ALTER FUNCTION public.link_changed() OWNER TO ts_owner;
CREATE FUNCTION public.lock_account(account uuid) RETURNS boolean
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
BEGIN
    PERFORM 1 FROM public.account_leases
      WHERE account_id = account AND user_id = nullif(current_setting('app.user_id', true), '')::uuid FOR UPDATE;
    RETURN FOUND;
END $$;
ALTER FUNCTION public.lock_account(account uuid) OWNER TO ts_owner;
CREATE FUNCTION public.make_lease() RETURNS trigger
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
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
ALTER FUNCTION public.make_lease() OWNER TO ts_owner;
CREATE FUNCTION public.make_partition(parent text, suffix text, low text, high text) RETURNS void
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'pg_temp'
    SET lock_timeout TO '3s'
    AS $$
BEGIN
    IF to_regclass(format('public.%I', parent || '_' || suffix)) IS NULL THEN
        EXECUTE format('CREATE TABLE public.%I PARTITION OF public.%I FOR VALUES FROM (%L) TO (%L)',
                       parent || '_' || suffix, parent, low, high);
    END IF;
EXCEPTION WHEN check_violation OR duplicate_table OR lock_not_available THEN
    RAISE WARNING 'Partition %_% was not made: %', parent, suffix, SQLERRM;
END $$;
ALTER FUNCTION public.make_partition(parent text, suffix text, low text, high text) OWNER TO ts_owner;
CREATE FUNCTION public.number_once() RETURNS trigger
    LANGUAGE plpgsql
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
BEGIN
    IF OLD.seq IS NOT NULL THEN
        RAISE EXCEPTION 'Outbox row % has number % already.', OLD.id, OLD.seq USING ERRCODE = 'TS003';
    END IF;
    RETURN NEW;
END $$;
ALTER FUNCTION public.number_once() OWNER TO ts_owner;
CREATE FUNCTION public.prune_outbox(keep interval DEFAULT '7 days'::interval) RETURNS integer
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'pg_temp'
    SET "TimeZone" TO 'UTC'
    SET lock_timeout TO '3s'
    AS $_$
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
END $_$;
ALTER FUNCTION public.prune_outbox(keep interval) OWNER TO ts_owner;
CREATE FUNCTION public.refresh_wanted(account uuid) RETURNS void
    LANGUAGE sql SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
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
ALTER FUNCTION public.refresh_wanted(account uuid) OWNER TO ts_owner;
CREATE FUNCTION public.refuse_going_back() RETURNS trigger
    LANGUAGE plpgsql
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
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
ALTER FUNCTION public.refuse_going_back() OWNER TO ts_owner;
CREATE FUNCTION public.refuse_rewrite() RETURNS trigger
    LANGUAGE plpgsql
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
BEGIN
    RAISE EXCEPTION 'The journal is never rewritten: % on % is refused. Repair it by new rows.', TG_OP, TG_TABLE_NAME
        USING ERRCODE = 'TS002';
END $$;
ALTER FUNCTION public.refuse_rewrite() OWNER TO ts_owner;
CREATE FUNCTION public.refuse_second_placement() RETURNS trigger
    LANGUAGE plpgsql
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
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
ALTER FUNCTION public.refuse_second_placement() OWNER TO ts_owner;
CREATE FUNCTION public.refuse_stale_epoch() RETURNS trigger
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
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
ALTER FUNCTION public.refuse_stale_epoch() OWNER TO ts_owner;
CREATE FUNCTION public.restrain_run(run uuid, wanted text) RETURNS boolean
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
        BEGIN
            UPDATE public.live_runs SET desired = wanted, updated_at = now()
             WHERE id = run AND user_id = nullif(current_setting('app.user_id', true), '')::uuid
               AND ((wanted = 'paused' AND desired = 'running')
                    OR (wanted = 'flatten' AND desired IN ('running', 'paused')));
            RETURN FOUND;
        END $$;
ALTER FUNCTION public.restrain_run(run uuid, wanted text) OWNER TO ts_owner;
CREATE TABLE public.account_leases (
    account_id uuid NOT NULL,
    user_id uuid NOT NULL,
    broker text NOT NULL,
    environment text NOT NULL,
    owner text,
    epoch bigint DEFAULT 0 NOT NULL,
    lease_until timestamp with time zone,
    seq bigint DEFAULT 0 NOT NULL,
    instance bigint NOT NULL,
    log_id text,
    wanted boolean DEFAULT false NOT NULL,
    CONSTRAINT ck_account_leases_environment CHECK ((environment = ANY (ARRAY['paper'::text, 'demo'::text, 'real'::text]))),
    CONSTRAINT ck_account_leases_epoch CHECK ((epoch >= 0)),
    CONSTRAINT ck_account_leases_instance CHECK (((instance >= 0) AND (instance <= 32767))),
    CONSTRAINT ck_account_leases_seq CHECK (((seq >= 0) AND (seq <= '281474976710655'::bigint)))
);
ALTER TABLE ONLY public.account_leases FORCE ROW LEVEL SECURITY;
ALTER TABLE public.account_leases OWNER TO ts_owner;
CREATE TABLE public.account_state_history (
    account_id uuid NOT NULL,
    n bigint NOT NULL,
    user_id uuid NOT NULL,
    epoch bigint NOT NULL,
    trading_state text NOT NULL,
    return_state text,
    reason text NOT NULL,
    balance numeric(24,8) NOT NULL,
    equity numeric(24,8) NOT NULL,
    high_water_mark numeric(24,8) NOT NULL,
    day_start_equity numeric(24,8) NOT NULL,
    flows numeric(24,8) NOT NULL,
    as_of_ns bigint NOT NULL,
    at timestamp with time zone DEFAULT clock_timestamp() NOT NULL
);
ALTER TABLE ONLY public.account_state_history FORCE ROW LEVEL SECURITY;
ALTER TABLE public.account_state_history OWNER TO ts_owner;
ALTER TABLE public.account_state_history ALTER COLUMN n ADD GENERATED ALWAYS AS IDENTITY (
    SEQUENCE NAME public.account_state_history_n_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1
);
CREATE TABLE public.account_states (
    account_id uuid NOT NULL,
    user_id uuid NOT NULL,
    epoch bigint NOT NULL,
    trading_state text NOT NULL,
    return_state text,
    reason text NOT NULL,
    balance numeric(24,8) NOT NULL,
    equity numeric(24,8) NOT NULL,
    high_water_mark numeric(24,8) NOT NULL,
    day_start_equity numeric(24,8) NOT NULL,
    flows numeric(24,8) DEFAULT 0 NOT NULL,
    as_of_ns bigint NOT NULL,
    updated_at timestamp with time zone DEFAULT now() NOT NULL,
    CONSTRAINT ck_account_states_return_state CHECK ((return_state = ANY (ARRAY['reconciling'::text, 'active'::text, 'reducing'::text, 'halted'::text]))),
    CONSTRAINT ck_account_states_trading_state CHECK ((trading_state = ANY (ARRAY['reconciling'::text, 'active'::text, 'reducing'::text, 'halted'::text])))
);
ALTER TABLE ONLY public.account_states FORCE ROW LEVEL SECURITY;
ALTER TABLE public.account_states OWNER TO ts_owner;
CREATE TABLE public.agents (
    id uuid NOT NULL,
    host text NOT NULL,
    slot bigint NOT NULL,
    brokers text[] NOT NULL,
    max_accounts bigint DEFAULT 50 NOT NULL,
    heartbeat_at timestamp with time zone DEFAULT now() NOT NULL,
    created_at timestamp with time zone DEFAULT now() NOT NULL,
    CONSTRAINT ck_agents_max_accounts CHECK ((max_accounts > 0))
);
ALTER TABLE public.agents OWNER TO ts_owner;
CREATE TABLE public.broker_links (
    id uuid NOT NULL,
    user_id uuid NOT NULL,
    broker text NOT NULL,
    account_ref text NOT NULL,
    environment text NOT NULL,
    desired_trading text DEFAULT 'normal'::text NOT NULL,
    settings jsonb DEFAULT '{}'::jsonb NOT NULL,
    scopes text[] DEFAULT '{}'::text[] NOT NULL,
    validation_requested_at timestamp with time zone,
    validated_at timestamp with time zone,
    created_at timestamp with time zone DEFAULT now() NOT NULL,
    CONSTRAINT ck_broker_links_broker CHECK ((broker = ANY (ARRAY['paper'::text, 'oanda'::text, 'mt5'::text]))),
    CONSTRAINT ck_broker_links_desired_trading CHECK ((desired_trading = ANY (ARRAY['normal'::text, 'halted'::text]))),
    CONSTRAINT ck_broker_links_environment CHECK ((environment = ANY (ARRAY['paper'::text, 'demo'::text, 'real'::text])))
);
ALTER TABLE ONLY public.broker_links FORCE ROW LEVEL SECURITY;
ALTER TABLE public.broker_links OWNER TO ts_owner;
CREATE TABLE public.equity_points (
    account_id uuid NOT NULL,
    ts_ns bigint NOT NULL,
    user_id uuid NOT NULL,
    epoch bigint NOT NULL,
    balance numeric(24,8) NOT NULL,
    equity numeric(24,8) NOT NULL,
    margin_used numeric(24,8) NOT NULL
)
PARTITION BY RANGE (ts_ns);
ALTER TABLE ONLY public.equity_points FORCE ROW LEVEL SECURITY;
ALTER TABLE public.equity_points OWNER TO ts_owner;
CREATE TABLE public.equity_points_default (
    account_id uuid NOT NULL,
    ts_ns bigint NOT NULL,
    user_id uuid NOT NULL,
    epoch bigint NOT NULL,
    balance numeric(24,8) NOT NULL,
    equity numeric(24,8) NOT NULL,
    margin_used numeric(24,8) NOT NULL
);
ALTER TABLE public.equity_points_default OWNER TO ts_owner;
CREATE TABLE public.event_cursors (
    account_id uuid NOT NULL,
    log_id text NOT NULL,
    user_id uuid NOT NULL,
    epoch bigint NOT NULL,
    contiguous_seq bigint NOT NULL,
    updated_at timestamp with time zone DEFAULT now() NOT NULL
);
ALTER TABLE ONLY public.event_cursors FORCE ROW LEVEL SECURITY;
ALTER TABLE public.event_cursors OWNER TO ts_owner;
CREATE TABLE public.exposure_books (
    user_id uuid NOT NULL,
    environment text NOT NULL,
    updated_at timestamp with time zone DEFAULT now() NOT NULL,
    CONSTRAINT ck_exposure_books_environment CHECK ((environment = ANY (ARRAY['paper'::text, 'demo'::text, 'real'::text])))
);
ALTER TABLE ONLY public.exposure_books FORCE ROW LEVEL SECURITY;
ALTER TABLE public.exposure_books OWNER TO ts_owner;
CREATE TABLE public.exposure_reservations (
    account_id uuid NOT NULL,
    seq bigint NOT NULL,
    user_id uuid NOT NULL,
    environment text NOT NULL,
    epoch bigint NOT NULL,
    instrument text NOT NULL,
    legs jsonb NOT NULL,
    risk numeric(24,8) NOT NULL,
    released_at timestamp with time zone,
    CONSTRAINT ck_exposure_reservations_risk CHECK ((risk >= (0)::numeric))
);
ALTER TABLE ONLY public.exposure_reservations FORCE ROW LEVEL SECURITY;
ALTER TABLE public.exposure_reservations OWNER TO ts_owner;
CREATE TABLE public.fills (
    account_id uuid NOT NULL,
    fill_id text NOT NULL,
    leg bigint NOT NULL,
    user_id uuid NOT NULL,
    epoch bigint NOT NULL,
    venue_order_id text,
    client_order_id text,
    trade_ref text NOT NULL,
    instrument text NOT NULL,
    side smallint NOT NULL,
    units numeric(24,8) NOT NULL,
    price numeric(18,8) NOT NULL,
    commission numeric(24,8) NOT NULL,
    swap numeric(24,8) NOT NULL,
    realized numeric(24,8) NOT NULL,
    effect text NOT NULL,
    ts_ns bigint NOT NULL,
    CONSTRAINT ck_fills_effect CHECK ((effect = ANY (ARRAY['open'::text, 'reduce'::text]))),
    CONSTRAINT ck_fills_side CHECK ((side = ANY (ARRAY['-1'::integer, 1]))),
    CONSTRAINT ck_fills_units CHECK ((units > (0)::numeric))
);
ALTER TABLE ONLY public.fills FORCE ROW LEVEL SECURITY;
ALTER TABLE public.fills OWNER TO ts_owner;
CREATE TABLE public.live_runs (
    id uuid NOT NULL,
    user_id uuid NOT NULL,
    account_id uuid NOT NULL,
    strategy text NOT NULL,
    code_digest text NOT NULL,
    variant text DEFAULT 'main'::text NOT NULL,
    config jsonb NOT NULL,
    limits jsonb DEFAULT '{}'::jsonb NOT NULL,
    desired text DEFAULT 'running'::text NOT NULL,
    actual text DEFAULT 'pending'::text NOT NULL,
    last_error text,
    created_at timestamp with time zone DEFAULT now() NOT NULL,
    updated_at timestamp with time zone DEFAULT now() NOT NULL,
    CONSTRAINT ck_live_runs_actual CHECK ((actual = ANY (ARRAY['pending'::text, 'running'::text, 'paused'::text, 'stopped'::text, 'failed'::text]))),
    CONSTRAINT ck_live_runs_desired CHECK ((desired = ANY (ARRAY['running'::text, 'paused'::text, 'stopped'::text, 'flatten'::text])))
);
ALTER TABLE ONLY public.live_runs FORCE ROW LEVEL SECURITY;
ALTER TABLE public.live_runs OWNER TO ts_owner;
CREATE TABLE public.positions (
    account_id uuid NOT NULL,
    trade_ref text NOT NULL,
    user_id uuid NOT NULL,
    epoch bigint NOT NULL,
    seq bigint,
    instrument text NOT NULL,
    side smallint NOT NULL,
    units numeric(24,8) NOT NULL,
    entry_price numeric(18,8) NOT NULL,
    stop_loss numeric(18,8),
    take_profit numeric(18,8),
    initial_risk numeric(24,8),
    opened_ns bigint NOT NULL,
    last_ts_ns bigint NOT NULL,
    updated_at timestamp with time zone DEFAULT now() NOT NULL,
    terms jsonb DEFAULT '{}'::jsonb NOT NULL,
    CONSTRAINT ck_positions_side CHECK ((side = ANY (ARRAY['-1'::integer, 1]))),
    CONSTRAINT ck_positions_units CHECK ((units >= (0)::numeric))
);
ALTER TABLE ONLY public.positions FORCE ROW LEVEL SECURITY;
ALTER TABLE public.positions OWNER TO ts_owner;
CREATE VIEW public.net_positions WITH (security_invoker='true') AS
 SELECT user_id,
    account_id,
    instrument,
    sum(((side)::numeric * units)) AS units
   FROM public.positions
  GROUP BY user_id, account_id, instrument;
ALTER VIEW public.net_positions OWNER TO ts_owner;
CREATE TABLE public.order_attempts (
    account_id uuid NOT NULL,
    seq bigint NOT NULL,
    attempt bigint NOT NULL,
    user_id uuid NOT NULL,
    epoch bigint NOT NULL,
    kind text NOT NULL,
    request jsonb NOT NULL,
    sending_at timestamp with time zone DEFAULT clock_timestamp() NOT NULL,
    CONSTRAINT ck_order_attempts_kind CHECK ((kind = ANY (ARRAY['place'::text, 'replace'::text, 'cancel'::text, 'close'::text, 'protect'::text])))
);
ALTER TABLE ONLY public.order_attempts FORCE ROW LEVEL SECURITY;
ALTER TABLE public.order_attempts OWNER TO ts_owner;
CREATE TABLE public.order_intents (
    account_id uuid NOT NULL,
    seq bigint NOT NULL,
    user_id uuid NOT NULL,
    epoch bigint NOT NULL,
    client_order_id text NOT NULL,
    run_id uuid,
    bar_close_ns bigint,
    intent_index bigint,
    instrument text NOT NULL,
    effect text NOT NULL,
    group_id text,
    intent jsonb NOT NULL,
    risk jsonb NOT NULL,
    created_at timestamp with time zone DEFAULT now() NOT NULL,
    CONSTRAINT ck_order_intents_decided_by_a_bar CHECK ((((bar_close_ns IS NULL) = (intent_index IS NULL)) AND ((bar_close_ns IS NULL) OR (run_id IS NOT NULL)))),
    CONSTRAINT ck_order_intents_effect CHECK ((effect = ANY (ARRAY['open'::text, 'reduce'::text])))
);
ALTER TABLE ONLY public.order_intents FORCE ROW LEVEL SECURITY;
ALTER TABLE public.order_intents OWNER TO ts_owner;
CREATE TABLE public.order_transitions (
    account_id uuid NOT NULL,
    seq bigint NOT NULL,
    n bigint NOT NULL,
    user_id uuid NOT NULL,
    epoch bigint NOT NULL,
    from_status text,
    to_status text NOT NULL,
    cause text NOT NULL,
    evidence text NOT NULL,
    log_id text,
    event_seq bigint,
    at timestamp with time zone DEFAULT clock_timestamp() NOT NULL,
    CONSTRAINT ck_order_transitions_evidence CHECK ((evidence = ANY (ARRAY['reply'::text, 'stream'::text, 'poll'::text, 'inferred'::text, 'local'::text]))),
    CONSTRAINT ck_order_transitions_from_status CHECK ((from_status = ANY (ARRAY['new'::text, 'sending'::text, 'unknown'::text, 'accepted'::text, 'partly_filled'::text, 'replacing'::text, 'canceling'::text, 'denied'::text, 'filled'::text, 'canceled'::text, 'expired'::text, 'rejected'::text, 'not_placed'::text]))),
    CONSTRAINT ck_order_transitions_to_status CHECK ((to_status = ANY (ARRAY['new'::text, 'sending'::text, 'unknown'::text, 'accepted'::text, 'partly_filled'::text, 'replacing'::text, 'canceling'::text, 'denied'::text, 'filled'::text, 'canceled'::text, 'expired'::text, 'rejected'::text, 'not_placed'::text])))
);
ALTER TABLE ONLY public.order_transitions FORCE ROW LEVEL SECURITY;
ALTER TABLE public.order_transitions OWNER TO ts_owner;
CREATE TABLE public.orders (
    account_id uuid NOT NULL,
    order_key text NOT NULL,
    seq bigint,
    user_id uuid NOT NULL,
    epoch bigint NOT NULL,
    instrument text NOT NULL,
    side smallint NOT NULL,
    effect text NOT NULL,
    status text NOT NULL,
    units numeric(24,8) NOT NULL,
    filled_units numeric(24,8) DEFAULT 0 NOT NULL,
    average_price numeric(18,8),
    venue_order_ids text[] DEFAULT '{}'::text[] NOT NULL,
    terms jsonb NOT NULL,
    is_external boolean DEFAULT false NOT NULL,
    evidence text NOT NULL,
    last_ts_ns bigint NOT NULL,
    updated_at timestamp with time zone DEFAULT now() NOT NULL,
    CONSTRAINT ck_orders_effect CHECK ((effect = ANY (ARRAY['open'::text, 'reduce'::text]))),
    CONSTRAINT ck_orders_evidence CHECK ((evidence = ANY (ARRAY['reply'::text, 'stream'::text, 'poll'::text, 'inferred'::text, 'local'::text]))),
    CONSTRAINT ck_orders_external CHECK ((is_external = (seq IS NULL))),
    CONSTRAINT ck_orders_side CHECK ((side = ANY (ARRAY['-1'::integer, 1]))),
    CONSTRAINT ck_orders_status CHECK ((status = ANY (ARRAY['new'::text, 'sending'::text, 'unknown'::text, 'accepted'::text, 'partly_filled'::text, 'replacing'::text, 'canceling'::text, 'denied'::text, 'filled'::text, 'canceled'::text, 'expired'::text, 'rejected'::text, 'not_placed'::text])))
);
ALTER TABLE ONLY public.orders FORCE ROW LEVEL SECURITY;
ALTER TABLE public.orders OWNER TO ts_owner;
CREATE TABLE public.outbox (
    id bigint NOT NULL,
    at timestamp with time zone DEFAULT now() NOT NULL,
    user_id uuid NOT NULL,
    account_id uuid,
    topic text NOT NULL,
    subject text NOT NULL,
    dedupe_key text,
    payload jsonb NOT NULL,
    seq bigint,
    delivered_at timestamp with time zone,
    escalated_at timestamp with time zone,
    acknowledged_at timestamp with time zone
)
PARTITION BY RANGE (at);
ALTER TABLE ONLY public.outbox FORCE ROW LEVEL SECURITY;
ALTER TABLE public.outbox OWNER TO ts_owner;
CREATE SEQUENCE public.outbox_id_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1;
ALTER SEQUENCE public.outbox_id_seq OWNER TO ts_owner;
ALTER SEQUENCE public.outbox_id_seq OWNED BY public.outbox.id;
CREATE TABLE public.outbox_default (
    id bigint DEFAULT nextval('public.outbox_id_seq'::regclass) NOT NULL,
    at timestamp with time zone DEFAULT now() NOT NULL,
    user_id uuid NOT NULL,
    account_id uuid,
    topic text NOT NULL,
    subject text NOT NULL,
    dedupe_key text,
    payload jsonb NOT NULL,
    seq bigint,
    delivered_at timestamp with time zone,
    escalated_at timestamp with time zone,
    acknowledged_at timestamp with time zone
);
ALTER TABLE public.outbox_default OWNER TO ts_owner;
CREATE SEQUENCE public.outbox_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1;
ALTER SEQUENCE public.outbox_seq OWNER TO ts_owner;
CREATE TABLE public.paper_transactions (
    account_id uuid NOT NULL,
    seq bigint NOT NULL,
    user_id uuid NOT NULL,
    epoch bigint NOT NULL,
    kind text NOT NULL,
    payload jsonb NOT NULL,
    snapshot bytea,
    ts_ns bigint NOT NULL
);
ALTER TABLE ONLY public.paper_transactions FORCE ROW LEVEL SECURITY;
ALTER TABLE public.paper_transactions OWNER TO ts_owner;
CREATE TABLE public.run_states (
    run_id uuid NOT NULL,
    market text NOT NULL,
    user_id uuid NOT NULL,
    account_id uuid NOT NULL,
    epoch bigint NOT NULL,
    bar_close_ns bigint NOT NULL,
    dtype_digest text NOT NULL,
    snapshot bytea NOT NULL,
    updated_at timestamp with time zone DEFAULT now() NOT NULL
);
ALTER TABLE ONLY public.run_states FORCE ROW LEVEL SECURITY;
ALTER TABLE public.run_states OWNER TO ts_owner;
CREATE TABLE public.users (
    id uuid NOT NULL,
    email text NOT NULL,
    role text DEFAULT 'user'::text NOT NULL,
    status text DEFAULT 'active'::text NOT NULL,
    created_at timestamp with time zone DEFAULT now() NOT NULL,
    CONSTRAINT ck_users_role CHECK ((role = ANY (ARRAY['user'::text, 'provider'::text, 'admin'::text, 'auditor'::text]))),
    CONSTRAINT ck_users_status CHECK ((status = ANY (ARRAY['active'::text, 'suspended'::text, 'deleted'::text])))
);
ALTER TABLE ONLY public.users FORCE ROW LEVEL SECURITY;
ALTER TABLE public.users OWNER TO ts_owner;
CREATE TABLE public.venue_events (
    account_id uuid NOT NULL,
    log_id text NOT NULL,
    seq bigint NOT NULL,
    ts_ns bigint NOT NULL,
    user_id uuid NOT NULL,
    epoch bigint NOT NULL,
    kind text NOT NULL,
    raw jsonb NOT NULL,
    received_ns bigint NOT NULL
)
PARTITION BY RANGE (ts_ns);
ALTER TABLE ONLY public.venue_events FORCE ROW LEVEL SECURITY;
ALTER TABLE public.venue_events OWNER TO ts_owner;
CREATE TABLE public.venue_events_default (
    account_id uuid NOT NULL,
    log_id text NOT NULL,
    seq bigint NOT NULL,
    ts_ns bigint NOT NULL,
    user_id uuid NOT NULL,
    epoch bigint NOT NULL,
    kind text NOT NULL,
    raw jsonb NOT NULL,
    received_ns bigint NOT NULL
);
ALTER TABLE public.venue_events_default OWNER TO ts_owner;
ALTER TABLE ONLY public.equity_points ATTACH PARTITION public.equity_points_default DEFAULT;
ALTER TABLE ONLY public.outbox ATTACH PARTITION public.outbox_default DEFAULT;
ALTER TABLE ONLY public.venue_events ATTACH PARTITION public.venue_events_default DEFAULT;
ALTER TABLE ONLY public.outbox ALTER COLUMN id SET DEFAULT nextval('public.outbox_id_seq'::regclass);
ALTER TABLE ONLY public.equity_points
    ADD CONSTRAINT pk_equity_points PRIMARY KEY (account_id, ts_ns);
ALTER TABLE ONLY public.equity_points_default
    ADD CONSTRAINT equity_points_default_pkey PRIMARY KEY (account_id, ts_ns);
ALTER TABLE ONLY public.outbox
    ADD CONSTRAINT pk_outbox PRIMARY KEY (id, at);
ALTER TABLE ONLY public.outbox_default
    ADD CONSTRAINT outbox_default_pkey PRIMARY KEY (id, at);
ALTER TABLE ONLY public.account_leases
    ADD CONSTRAINT pk_account_leases PRIMARY KEY (account_id);
ALTER TABLE ONLY public.account_state_history
    ADD CONSTRAINT pk_account_state_history PRIMARY KEY (account_id, n);
ALTER TABLE ONLY public.account_states
    ADD CONSTRAINT pk_account_states PRIMARY KEY (account_id);
ALTER TABLE ONLY public.agents
    ADD CONSTRAINT pk_agents PRIMARY KEY (id);
ALTER TABLE ONLY public.broker_links
    ADD CONSTRAINT pk_broker_links PRIMARY KEY (id);
ALTER TABLE ONLY public.event_cursors
    ADD CONSTRAINT pk_event_cursors PRIMARY KEY (account_id, log_id);
ALTER TABLE ONLY public.exposure_books
    ADD CONSTRAINT pk_exposure_books PRIMARY KEY (user_id, environment);
ALTER TABLE ONLY public.exposure_reservations
    ADD CONSTRAINT pk_exposure_reservations PRIMARY KEY (account_id, seq);
ALTER TABLE ONLY public.fills
    ADD CONSTRAINT pk_fills PRIMARY KEY (account_id, fill_id, leg);
ALTER TABLE ONLY public.live_runs
    ADD CONSTRAINT pk_live_runs PRIMARY KEY (id);
ALTER TABLE ONLY public.order_attempts
    ADD CONSTRAINT pk_order_attempts PRIMARY KEY (account_id, seq, attempt);
ALTER TABLE ONLY public.order_intents
    ADD CONSTRAINT pk_order_intents PRIMARY KEY (account_id, seq);
ALTER TABLE ONLY public.order_transitions
    ADD CONSTRAINT pk_order_transitions PRIMARY KEY (account_id, seq, n);
ALTER TABLE ONLY public.orders
    ADD CONSTRAINT pk_orders PRIMARY KEY (account_id, order_key);
ALTER TABLE ONLY public.paper_transactions
    ADD CONSTRAINT pk_paper_transactions PRIMARY KEY (account_id, seq);
ALTER TABLE ONLY public.positions
    ADD CONSTRAINT pk_positions PRIMARY KEY (account_id, trade_ref);
ALTER TABLE ONLY public.run_states
    ADD CONSTRAINT pk_run_states PRIMARY KEY (run_id, market);
ALTER TABLE ONLY public.users
    ADD CONSTRAINT pk_users PRIMARY KEY (id);
ALTER TABLE ONLY public.venue_events
    ADD CONSTRAINT pk_venue_events PRIMARY KEY (account_id, log_id, seq, ts_ns);
ALTER TABLE ONLY public.agents
    ADD CONSTRAINT uq_agents_host_slot UNIQUE (host, slot);
ALTER TABLE ONLY public.broker_links
    ADD CONSTRAINT uq_broker_links_user_id_broker_account_ref UNIQUE (user_id, broker, account_ref);
ALTER TABLE ONLY public.broker_links
    ADD CONSTRAINT uq_broker_links_user_id_id UNIQUE (user_id, id);
ALTER TABLE ONLY public.live_runs
    ADD CONSTRAINT uq_live_runs_user_id_id UNIQUE (user_id, id);
ALTER TABLE ONLY public.order_intents
    ADD CONSTRAINT uq_order_intents_account_id_client_order_id UNIQUE (account_id, client_order_id);
ALTER TABLE ONLY public.order_intents
    ADD CONSTRAINT uq_order_intents_run_id_bar_close_ns_intent_index UNIQUE (run_id, bar_close_ns, intent_index);
ALTER TABLE ONLY public.order_intents
    ADD CONSTRAINT uq_order_intents_user_id_account_id_seq UNIQUE (user_id, account_id, seq);
ALTER TABLE ONLY public.venue_events_default
    ADD CONSTRAINT venue_events_default_pkey PRIMARY KEY (account_id, log_id, seq, ts_ns);
CREATE INDEX ix_equity_points_user_id_account_id_ts_ns ON ONLY public.equity_points USING btree (user_id, account_id, ts_ns);
CREATE INDEX equity_points_default_user_id_account_id_ts_ns_idx ON public.equity_points_default USING btree (user_id, account_id, ts_ns);
CREATE INDEX ix_account_leases_owner ON public.account_leases USING btree (owner);
CREATE INDEX ix_account_leases_user_id ON public.account_leases USING btree (user_id);
CREATE INDEX ix_account_leases_wanted ON public.account_leases USING btree (account_id) WHERE wanted;
CREATE INDEX ix_account_state_history_user_id_account_id_n ON public.account_state_history USING btree (user_id, account_id, n);
CREATE INDEX ix_account_states_user_id ON public.account_states USING btree (user_id);
CREATE INDEX ix_event_cursors_user_id_account_id ON public.event_cursors USING btree (user_id, account_id);
CREATE INDEX ix_exposure_reservations_open ON public.exposure_reservations USING btree (user_id, environment) WHERE (released_at IS NULL);
CREATE INDEX ix_exposure_reservations_user_id_account_id_seq ON public.exposure_reservations USING btree (user_id, account_id, seq);
CREATE INDEX ix_fills_account_id_client_order_id ON public.fills USING btree (account_id, client_order_id);
CREATE INDEX ix_fills_user_id_account_id_ts_ns ON public.fills USING btree (user_id, account_id, ts_ns);
CREATE INDEX ix_live_runs_user_id_account_id ON public.live_runs USING btree (user_id, account_id);
CREATE INDEX ix_order_attempts_user_id_account_id_seq ON public.order_attempts USING btree (user_id, account_id, seq);
CREATE INDEX ix_order_transitions_user_id_account_id_seq ON public.order_transitions USING btree (user_id, account_id, seq);
CREATE INDEX ix_orders_user_id_account_id_status ON public.orders USING btree (user_id, account_id, status);
CREATE INDEX ix_outbox_id_alert ON ONLY public.outbox USING btree (id) WHERE starts_with(topic, 'alert.'::text);
CREATE INDEX ix_outbox_id_unnumbered ON ONLY public.outbox USING btree (id) WHERE (seq IS NULL);
CREATE INDEX ix_outbox_seq ON ONLY public.outbox USING btree (seq);
CREATE INDEX ix_outbox_user_id_seq ON ONLY public.outbox USING btree (user_id, seq);
CREATE INDEX ix_paper_transactions_snapshots ON public.paper_transactions USING btree (account_id, seq) WHERE (snapshot IS NOT NULL);
CREATE INDEX ix_paper_transactions_user_id_account_id_seq ON public.paper_transactions USING btree (user_id, account_id, seq);
CREATE INDEX ix_positions_user_id_account_id_instrument ON public.positions USING btree (user_id, account_id, instrument);
CREATE INDEX ix_run_states_user_id_account_id ON public.run_states USING btree (user_id, account_id);
CREATE INDEX ix_venue_events_user_id_account_id_ts_ns ON ONLY public.venue_events USING btree (user_id, account_id, ts_ns);
CREATE INDEX outbox_default_id_idx ON public.outbox_default USING btree (id) WHERE (seq IS NULL);
CREATE INDEX outbox_default_id_idx1 ON public.outbox_default USING btree (id) WHERE starts_with(topic, 'alert.'::text);
CREATE INDEX outbox_default_seq_idx ON public.outbox_default USING btree (seq);
CREATE INDEX outbox_default_user_id_seq_idx ON public.outbox_default USING btree (user_id, seq);
CREATE UNIQUE INDEX uq_live_runs_account_id_strategy_variant ON public.live_runs USING btree (account_id, strategy, variant) WHERE (desired <> 'stopped'::text);
CREATE UNIQUE INDEX uq_orders_account_id_seq ON public.orders USING btree (account_id, seq);
CREATE UNIQUE INDEX uq_users_email ON public.users USING btree (lower(email));
CREATE INDEX venue_events_default_user_id_account_id_ts_ns_idx ON public.venue_events_default USING btree (user_id, account_id, ts_ns);
ALTER INDEX public.pk_equity_points ATTACH PARTITION public.equity_points_default_pkey;
ALTER INDEX public.ix_equity_points_user_id_account_id_ts_ns ATTACH PARTITION public.equity_points_default_user_id_account_id_ts_ns_idx;
ALTER INDEX public.ix_outbox_id_unnumbered ATTACH PARTITION public.outbox_default_id_idx;
ALTER INDEX public.ix_outbox_id_alert ATTACH PARTITION public.outbox_default_id_idx1;
ALTER INDEX public.pk_outbox ATTACH PARTITION public.outbox_default_pkey;
ALTER INDEX public.ix_outbox_seq ATTACH PARTITION public.outbox_default_seq_idx;
ALTER INDEX public.ix_outbox_user_id_seq ATTACH PARTITION public.outbox_default_user_id_seq_idx;
ALTER INDEX public.pk_venue_events ATTACH PARTITION public.venue_events_default_pkey;
ALTER INDEX public.ix_venue_events_user_id_account_id_ts_ns ATTACH PARTITION public.venue_events_default_user_id_account_id_ts_ns_idx;
CREATE TRIGGER append_only BEFORE DELETE OR UPDATE OR TRUNCATE ON public.account_state_history FOR EACH STATEMENT EXECUTE FUNCTION public.refuse_rewrite();
CREATE TRIGGER append_only BEFORE DELETE OR UPDATE OR TRUNCATE ON public.equity_points FOR EACH STATEMENT EXECUTE FUNCTION public.refuse_rewrite();
CREATE TRIGGER append_only BEFORE DELETE OR UPDATE OR TRUNCATE ON public.fills FOR EACH STATEMENT EXECUTE FUNCTION public.refuse_rewrite();
CREATE TRIGGER append_only BEFORE DELETE OR UPDATE OR TRUNCATE ON public.order_attempts FOR EACH STATEMENT EXECUTE FUNCTION public.refuse_rewrite();
CREATE TRIGGER append_only BEFORE DELETE OR UPDATE OR TRUNCATE ON public.order_intents FOR EACH STATEMENT EXECUTE FUNCTION public.refuse_rewrite();
CREATE TRIGGER append_only BEFORE DELETE OR UPDATE OR TRUNCATE ON public.order_transitions FOR EACH STATEMENT EXECUTE FUNCTION public.refuse_rewrite();
CREATE TRIGGER append_only BEFORE DELETE OR UPDATE OR TRUNCATE ON public.paper_transactions FOR EACH STATEMENT EXECUTE FUNCTION public.refuse_rewrite();
CREATE TRIGGER append_only BEFORE DELETE OR UPDATE OR TRUNCATE ON public.venue_events FOR EACH STATEMENT EXECUTE FUNCTION public.refuse_rewrite();
CREATE TRIGGER append_only_rows BEFORE DELETE OR UPDATE ON public.equity_points FOR EACH ROW EXECUTE FUNCTION public.refuse_rewrite();
CREATE TRIGGER append_only_rows BEFORE DELETE OR UPDATE ON public.venue_events FOR EACH ROW EXECUTE FUNCTION public.refuse_rewrite();
CREATE TRIGGER fence_insert AFTER INSERT ON public.account_states REFERENCING NEW TABLE AS new_rows FOR EACH STATEMENT EXECUTE FUNCTION public.refuse_stale_epoch();
CREATE TRIGGER fence_insert AFTER INSERT ON public.equity_points REFERENCING NEW TABLE AS new_rows FOR EACH STATEMENT EXECUTE FUNCTION public.refuse_stale_epoch();
CREATE TRIGGER fence_insert AFTER INSERT ON public.event_cursors REFERENCING NEW TABLE AS new_rows FOR EACH STATEMENT EXECUTE FUNCTION public.refuse_stale_epoch();
CREATE TRIGGER fence_insert AFTER INSERT ON public.exposure_reservations REFERENCING NEW TABLE AS new_rows FOR EACH STATEMENT EXECUTE FUNCTION public.refuse_stale_epoch();
CREATE TRIGGER fence_insert AFTER INSERT ON public.fills REFERENCING NEW TABLE AS new_rows FOR EACH STATEMENT EXECUTE FUNCTION public.refuse_stale_epoch();
CREATE TRIGGER fence_insert AFTER INSERT ON public.order_attempts REFERENCING NEW TABLE AS new_rows FOR EACH STATEMENT EXECUTE FUNCTION public.refuse_stale_epoch();
CREATE TRIGGER fence_insert AFTER INSERT ON public.order_intents REFERENCING NEW TABLE AS new_rows FOR EACH STATEMENT EXECUTE FUNCTION public.refuse_stale_epoch();
CREATE TRIGGER fence_insert AFTER INSERT ON public.order_transitions REFERENCING NEW TABLE AS new_rows FOR EACH STATEMENT EXECUTE FUNCTION public.refuse_stale_epoch();
CREATE TRIGGER fence_insert AFTER INSERT ON public.orders REFERENCING NEW TABLE AS new_rows FOR EACH STATEMENT EXECUTE FUNCTION public.refuse_stale_epoch();
CREATE TRIGGER fence_insert AFTER INSERT ON public.paper_transactions REFERENCING NEW TABLE AS new_rows FOR EACH STATEMENT EXECUTE FUNCTION public.refuse_stale_epoch();
CREATE TRIGGER fence_insert AFTER INSERT ON public.positions REFERENCING NEW TABLE AS new_rows FOR EACH STATEMENT EXECUTE FUNCTION public.refuse_stale_epoch();
CREATE TRIGGER fence_insert AFTER INSERT ON public.run_states REFERENCING NEW TABLE AS new_rows FOR EACH STATEMENT EXECUTE FUNCTION public.refuse_stale_epoch();
CREATE TRIGGER fence_insert AFTER INSERT ON public.venue_events REFERENCING NEW TABLE AS new_rows FOR EACH STATEMENT EXECUTE FUNCTION public.refuse_stale_epoch();
CREATE TRIGGER fence_update AFTER UPDATE ON public.account_states REFERENCING NEW TABLE AS new_rows FOR EACH STATEMENT EXECUTE FUNCTION public.refuse_stale_epoch();
CREATE TRIGGER fence_update AFTER UPDATE ON public.event_cursors REFERENCING NEW TABLE AS new_rows FOR EACH STATEMENT EXECUTE FUNCTION public.refuse_stale_epoch();
CREATE TRIGGER fence_update AFTER UPDATE ON public.exposure_reservations REFERENCING NEW TABLE AS new_rows FOR EACH STATEMENT EXECUTE FUNCTION public.refuse_stale_epoch();
CREATE TRIGGER fence_update AFTER UPDATE ON public.orders REFERENCING NEW TABLE AS new_rows FOR EACH STATEMENT EXECUTE FUNCTION public.refuse_stale_epoch();
CREATE TRIGGER fence_update AFTER UPDATE ON public.positions REFERENCING NEW TABLE AS new_rows FOR EACH STATEMENT EXECUTE FUNCTION public.refuse_stale_epoch();
CREATE TRIGGER fence_update AFTER UPDATE ON public.run_states REFERENCING NEW TABLE AS new_rows FOR EACH STATEMENT EXECUTE FUNCTION public.refuse_stale_epoch();
CREATE TRIGGER forward_bar BEFORE UPDATE ON public.run_states FOR EACH ROW EXECUTE FUNCTION public.refuse_going_back('bar_close_ns');
CREATE TRIGGER forward_cursor BEFORE UPDATE ON public.event_cursors FOR EACH ROW EXECUTE FUNCTION public.refuse_going_back('contiguous_seq');
CREATE TRIGGER forward_epoch BEFORE UPDATE ON public.account_leases FOR EACH ROW EXECUTE FUNCTION public.refuse_going_back('epoch');
CREATE TRIGGER forward_mark BEFORE UPDATE ON public.account_states FOR EACH ROW EXECUTE FUNCTION public.refuse_going_back('high_water_mark');
CREATE TRIGGER forward_seq BEFORE UPDATE ON public.account_leases FOR EACH ROW EXECUTE FUNCTION public.refuse_going_back('seq');
CREATE TRIGGER history AFTER INSERT OR UPDATE ON public.account_states FOR EACH ROW EXECUTE FUNCTION public.keep_state_history();
CREATE TRIGGER known_once BEFORE INSERT ON public.venue_events FOR EACH ROW EXECUTE FUNCTION public.ignore_known_event();
CREATE TRIGGER make_lease AFTER INSERT ON public.broker_links FOR EACH ROW EXECUTE FUNCTION public.make_lease();
CREATE TRIGGER numbered_once BEFORE UPDATE OF seq ON public.outbox FOR EACH ROW EXECUTE FUNCTION public.number_once();
CREATE TRIGGER placed_once BEFORE INSERT ON public.order_attempts FOR EACH ROW WHEN ((new.kind = 'place'::text)) EXECUTE FUNCTION public.refuse_second_placement();
CREATE TRIGGER wanted_insert AFTER INSERT ON public.live_runs FOR EACH ROW EXECUTE FUNCTION public.account_changed();
CREATE TRIGGER wanted_insert AFTER INSERT ON public.orders FOR EACH ROW EXECUTE FUNCTION public.account_changed();
CREATE TRIGGER wanted_insert AFTER INSERT ON public.positions FOR EACH ROW EXECUTE FUNCTION public.account_changed();
CREATE TRIGGER wanted_update AFTER UPDATE OF validation_requested_at, validated_at ON public.broker_links FOR EACH ROW EXECUTE FUNCTION public.link_changed();
CREATE TRIGGER wanted_update AFTER UPDATE OF desired, actual ON public.live_runs FOR EACH ROW WHEN (((old.desired IS DISTINCT FROM new.desired) OR (old.actual IS DISTINCT FROM new.actual))) EXECUTE FUNCTION public.account_changed();
CREATE TRIGGER wanted_update AFTER UPDATE OF status ON public.orders FOR EACH ROW WHEN ((old.status IS DISTINCT FROM new.status)) EXECUTE FUNCTION public.account_changed();
CREATE TRIGGER wanted_update AFTER UPDATE OF units ON public.positions FOR EACH ROW WHEN (((old.units > (0)::numeric) IS DISTINCT FROM (new.units > (0)::numeric))) EXECUTE FUNCTION public.account_changed();
ALTER TABLE ONLY public.account_leases
    ADD CONSTRAINT fk_account_leases_user_id_account_id FOREIGN KEY (user_id, account_id) REFERENCES public.broker_links(user_id, id);
ALTER TABLE ONLY public.account_state_history
    ADD CONSTRAINT fk_account_state_history_user_id_account_id FOREIGN KEY (user_id, account_id) REFERENCES public.broker_links(user_id, id);
ALTER TABLE ONLY public.account_states
    ADD CONSTRAINT fk_account_states_user_id_account_id FOREIGN KEY (user_id, account_id) REFERENCES public.broker_links(user_id, id);
ALTER TABLE ONLY public.broker_links
    ADD CONSTRAINT fk_broker_links_user_id FOREIGN KEY (user_id) REFERENCES public.users(id);
ALTER TABLE public.equity_points
    ADD CONSTRAINT fk_equity_points_user_id_account_id FOREIGN KEY (user_id, account_id) REFERENCES public.broker_links(user_id, id);
ALTER TABLE ONLY public.event_cursors
    ADD CONSTRAINT fk_event_cursors_user_id_account_id FOREIGN KEY (user_id, account_id) REFERENCES public.broker_links(user_id, id);
ALTER TABLE ONLY public.exposure_books
    ADD CONSTRAINT fk_exposure_books_user_id FOREIGN KEY (user_id) REFERENCES public.users(id);
ALTER TABLE ONLY public.exposure_reservations
    ADD CONSTRAINT fk_exposure_reservations_user_id_account_id FOREIGN KEY (user_id, account_id) REFERENCES public.broker_links(user_id, id);
ALTER TABLE ONLY public.exposure_reservations
    ADD CONSTRAINT fk_exposure_reservations_user_id_account_id_seq FOREIGN KEY (user_id, account_id, seq) REFERENCES public.order_intents(user_id, account_id, seq);
ALTER TABLE ONLY public.exposure_reservations
    ADD CONSTRAINT fk_exposure_reservations_user_id_environment FOREIGN KEY (user_id, environment) REFERENCES public.exposure_books(user_id, environment);
ALTER TABLE ONLY public.fills
    ADD CONSTRAINT fk_fills_user_id_account_id FOREIGN KEY (user_id, account_id) REFERENCES public.broker_links(user_id, id);
ALTER TABLE ONLY public.live_runs
    ADD CONSTRAINT fk_live_runs_user_id_account_id FOREIGN KEY (user_id, account_id) REFERENCES public.broker_links(user_id, id);
ALTER TABLE ONLY public.order_attempts
    ADD CONSTRAINT fk_order_attempts_user_id_account_id FOREIGN KEY (user_id, account_id) REFERENCES public.broker_links(user_id, id);
ALTER TABLE ONLY public.order_attempts
    ADD CONSTRAINT fk_order_attempts_user_id_account_id_seq FOREIGN KEY (user_id, account_id, seq) REFERENCES public.order_intents(user_id, account_id, seq);
ALTER TABLE ONLY public.order_intents
    ADD CONSTRAINT fk_order_intents_user_id_account_id FOREIGN KEY (user_id, account_id) REFERENCES public.broker_links(user_id, id);
ALTER TABLE ONLY public.order_intents
    ADD CONSTRAINT fk_order_intents_user_id_run_id FOREIGN KEY (user_id, run_id) REFERENCES public.live_runs(user_id, id);
ALTER TABLE ONLY public.order_transitions
    ADD CONSTRAINT fk_order_transitions_user_id_account_id FOREIGN KEY (user_id, account_id) REFERENCES public.broker_links(user_id, id);
ALTER TABLE ONLY public.order_transitions
    ADD CONSTRAINT fk_order_transitions_user_id_account_id_seq FOREIGN KEY (user_id, account_id, seq) REFERENCES public.order_intents(user_id, account_id, seq);
ALTER TABLE ONLY public.orders
    ADD CONSTRAINT fk_orders_user_id_account_id FOREIGN KEY (user_id, account_id) REFERENCES public.broker_links(user_id, id);
ALTER TABLE public.outbox
    ADD CONSTRAINT fk_outbox_user_id FOREIGN KEY (user_id) REFERENCES public.users(id);
ALTER TABLE ONLY public.paper_transactions
    ADD CONSTRAINT fk_paper_transactions_user_id_account_id FOREIGN KEY (user_id, account_id) REFERENCES public.broker_links(user_id, id);
ALTER TABLE ONLY public.positions
    ADD CONSTRAINT fk_positions_user_id_account_id FOREIGN KEY (user_id, account_id) REFERENCES public.broker_links(user_id, id);
ALTER TABLE ONLY public.run_states
    ADD CONSTRAINT fk_run_states_user_id_account_id FOREIGN KEY (user_id, account_id) REFERENCES public.broker_links(user_id, id);
ALTER TABLE ONLY public.run_states
    ADD CONSTRAINT fk_run_states_user_id_run_id FOREIGN KEY (user_id, run_id) REFERENCES public.live_runs(user_id, id);
ALTER TABLE public.venue_events
    ADD CONSTRAINT fk_venue_events_user_id_account_id FOREIGN KEY (user_id, account_id) REFERENCES public.broker_links(user_id, id);
ALTER TABLE public.account_leases ENABLE ROW LEVEL SECURITY;
ALTER TABLE public.account_state_history ENABLE ROW LEVEL SECURITY;
ALTER TABLE public.account_states ENABLE ROW LEVEL SECURITY;
CREATE POLICY all_accounts ON public.account_leases TO ts_agent USING (true) WITH CHECK (true);
ALTER TABLE public.broker_links ENABLE ROW LEVEL SECURITY;
ALTER TABLE public.equity_points ENABLE ROW LEVEL SECURITY;
ALTER TABLE public.event_cursors ENABLE ROW LEVEL SECURITY;
ALTER TABLE public.exposure_books ENABLE ROW LEVEL SECURITY;
ALTER TABLE public.exposure_reservations ENABLE ROW LEVEL SECURITY;
ALTER TABLE public.fills ENABLE ROW LEVEL SECURITY;
ALTER TABLE public.live_runs ENABLE ROW LEVEL SECURITY;
CREATE POLICY numbered ON public.outbox FOR SELECT TO ts_events USING ((seq IS NOT NULL));
ALTER TABLE public.order_attempts ENABLE ROW LEVEL SECURITY;
ALTER TABLE public.order_intents ENABLE ROW LEVEL SECURITY;
ALTER TABLE public.order_transitions ENABLE ROW LEVEL SECURITY;
ALTER TABLE public.orders ENABLE ROW LEVEL SECURITY;
ALTER TABLE public.outbox ENABLE ROW LEVEL SECURITY;
CREATE POLICY owner ON public.account_leases TO ts_owner USING (true) WITH CHECK (true);
CREATE POLICY owner ON public.account_state_history TO ts_owner USING (true) WITH CHECK (true);
CREATE POLICY owner ON public.account_states TO ts_owner USING (true) WITH CHECK (true);
CREATE POLICY owner ON public.broker_links TO ts_owner USING (true) WITH CHECK (true);
CREATE POLICY owner ON public.equity_points TO ts_owner USING (true) WITH CHECK (true);
CREATE POLICY owner ON public.event_cursors TO ts_owner USING (true) WITH CHECK (true);
CREATE POLICY owner ON public.exposure_books TO ts_owner USING (true) WITH CHECK (true);
CREATE POLICY owner ON public.exposure_reservations TO ts_owner USING (true) WITH CHECK (true);
CREATE POLICY owner ON public.fills TO ts_owner USING (true) WITH CHECK (true);
CREATE POLICY owner ON public.live_runs TO ts_owner USING (true) WITH CHECK (true);
CREATE POLICY owner ON public.order_attempts TO ts_owner USING (true) WITH CHECK (true);
CREATE POLICY owner ON public.order_intents TO ts_owner USING (true) WITH CHECK (true);
CREATE POLICY owner ON public.order_transitions TO ts_owner USING (true) WITH CHECK (true);
CREATE POLICY owner ON public.orders TO ts_owner USING (true) WITH CHECK (true);
CREATE POLICY owner ON public.outbox TO ts_owner USING (true) WITH CHECK (true);
CREATE POLICY owner ON public.paper_transactions TO ts_owner USING (true) WITH CHECK (true);
CREATE POLICY owner ON public.positions TO ts_owner USING (true) WITH CHECK (true);
CREATE POLICY owner ON public.run_states TO ts_owner USING (true) WITH CHECK (true);
CREATE POLICY owner ON public.users TO ts_owner USING (true) WITH CHECK (true);
CREATE POLICY owner ON public.venue_events TO ts_owner USING (true) WITH CHECK (true);
ALTER TABLE public.paper_transactions ENABLE ROW LEVEL SECURITY;
ALTER TABLE public.positions ENABLE ROW LEVEL SECURITY;
CREATE POLICY relayed ON public.outbox TO ts_relay USING (true) WITH CHECK (true);
ALTER TABLE public.run_states ENABLE ROW LEVEL SECURITY;
CREATE POLICY tenant ON public.account_leases TO ts_app, ts_worker, ts_agent, ts_readonly USING ((user_id = ( SELECT (NULLIF(current_setting('app.user_id'::text, true), ''::text))::uuid AS "nullif"))) WITH CHECK ((user_id = ( SELECT (NULLIF(current_setting('app.user_id'::text, true), ''::text))::uuid AS "nullif")));
CREATE POLICY tenant ON public.account_state_history TO ts_app, ts_worker, ts_agent, ts_readonly USING ((user_id = ( SELECT (NULLIF(current_setting('app.user_id'::text, true), ''::text))::uuid AS "nullif"))) WITH CHECK ((user_id = ( SELECT (NULLIF(current_setting('app.user_id'::text, true), ''::text))::uuid AS "nullif")));
CREATE POLICY tenant ON public.account_states TO ts_app, ts_worker, ts_agent, ts_readonly USING ((user_id = ( SELECT (NULLIF(current_setting('app.user_id'::text, true), ''::text))::uuid AS "nullif"))) WITH CHECK ((user_id = ( SELECT (NULLIF(current_setting('app.user_id'::text, true), ''::text))::uuid AS "nullif")));
CREATE POLICY tenant ON public.broker_links TO ts_app, ts_worker, ts_agent, ts_readonly USING ((user_id = ( SELECT (NULLIF(current_setting('app.user_id'::text, true), ''::text))::uuid AS "nullif"))) WITH CHECK ((user_id = ( SELECT (NULLIF(current_setting('app.user_id'::text, true), ''::text))::uuid AS "nullif")));
CREATE POLICY tenant ON public.equity_points TO ts_app, ts_worker, ts_agent, ts_readonly USING ((user_id = ( SELECT (NULLIF(current_setting('app.user_id'::text, true), ''::text))::uuid AS "nullif"))) WITH CHECK ((user_id = ( SELECT (NULLIF(current_setting('app.user_id'::text, true), ''::text))::uuid AS "nullif")));
CREATE POLICY tenant ON public.event_cursors TO ts_app, ts_worker, ts_agent, ts_readonly USING ((user_id = ( SELECT (NULLIF(current_setting('app.user_id'::text, true), ''::text))::uuid AS "nullif"))) WITH CHECK ((user_id = ( SELECT (NULLIF(current_setting('app.user_id'::text, true), ''::text))::uuid AS "nullif")));
CREATE POLICY tenant ON public.exposure_books TO ts_app, ts_worker, ts_agent, ts_readonly USING ((user_id = ( SELECT (NULLIF(current_setting('app.user_id'::text, true), ''::text))::uuid AS "nullif"))) WITH CHECK ((user_id = ( SELECT (NULLIF(current_setting('app.user_id'::text, true), ''::text))::uuid AS "nullif")));
CREATE POLICY tenant ON public.exposure_reservations TO ts_app, ts_worker, ts_agent, ts_readonly USING ((user_id = ( SELECT (NULLIF(current_setting('app.user_id'::text, true), ''::text))::uuid AS "nullif"))) WITH CHECK ((user_id = ( SELECT (NULLIF(current_setting('app.user_id'::text, true), ''::text))::uuid AS "nullif")));
CREATE POLICY tenant ON public.fills TO ts_app, ts_worker, ts_agent, ts_readonly USING ((user_id = ( SELECT (NULLIF(current_setting('app.user_id'::text, true), ''::text))::uuid AS "nullif"))) WITH CHECK ((user_id = ( SELECT (NULLIF(current_setting('app.user_id'::text, true), ''::text))::uuid AS "nullif")));
CREATE POLICY tenant ON public.live_runs TO ts_app, ts_worker, ts_agent, ts_readonly USING ((user_id = ( SELECT (NULLIF(current_setting('app.user_id'::text, true), ''::text))::uuid AS "nullif"))) WITH CHECK ((user_id = ( SELECT (NULLIF(current_setting('app.user_id'::text, true), ''::text))::uuid AS "nullif")));
CREATE POLICY tenant ON public.order_attempts TO ts_app, ts_worker, ts_agent, ts_readonly USING ((user_id = ( SELECT (NULLIF(current_setting('app.user_id'::text, true), ''::text))::uuid AS "nullif"))) WITH CHECK ((user_id = ( SELECT (NULLIF(current_setting('app.user_id'::text, true), ''::text))::uuid AS "nullif")));
CREATE POLICY tenant ON public.order_intents TO ts_app, ts_worker, ts_agent, ts_readonly USING ((user_id = ( SELECT (NULLIF(current_setting('app.user_id'::text, true), ''::text))::uuid AS "nullif"))) WITH CHECK ((user_id = ( SELECT (NULLIF(current_setting('app.user_id'::text, true), ''::text))::uuid AS "nullif")));
CREATE POLICY tenant ON public.order_transitions TO ts_app, ts_worker, ts_agent, ts_readonly USING ((user_id = ( SELECT (NULLIF(current_setting('app.user_id'::text, true), ''::text))::uuid AS "nullif"))) WITH CHECK ((user_id = ( SELECT (NULLIF(current_setting('app.user_id'::text, true), ''::text))::uuid AS "nullif")));
CREATE POLICY tenant ON public.orders TO ts_app, ts_worker, ts_agent, ts_readonly USING ((user_id = ( SELECT (NULLIF(current_setting('app.user_id'::text, true), ''::text))::uuid AS "nullif"))) WITH CHECK ((user_id = ( SELECT (NULLIF(current_setting('app.user_id'::text, true), ''::text))::uuid AS "nullif")));
CREATE POLICY tenant ON public.outbox TO ts_app, ts_worker, ts_agent, ts_readonly USING ((user_id = ( SELECT (NULLIF(current_setting('app.user_id'::text, true), ''::text))::uuid AS "nullif"))) WITH CHECK ((user_id = ( SELECT (NULLIF(current_setting('app.user_id'::text, true), ''::text))::uuid AS "nullif")));
CREATE POLICY tenant ON public.paper_transactions TO ts_app, ts_worker, ts_agent, ts_readonly USING ((user_id = ( SELECT (NULLIF(current_setting('app.user_id'::text, true), ''::text))::uuid AS "nullif"))) WITH CHECK ((user_id = ( SELECT (NULLIF(current_setting('app.user_id'::text, true), ''::text))::uuid AS "nullif")));
CREATE POLICY tenant ON public.positions TO ts_app, ts_worker, ts_agent, ts_readonly USING ((user_id = ( SELECT (NULLIF(current_setting('app.user_id'::text, true), ''::text))::uuid AS "nullif"))) WITH CHECK ((user_id = ( SELECT (NULLIF(current_setting('app.user_id'::text, true), ''::text))::uuid AS "nullif")));
CREATE POLICY tenant ON public.run_states TO ts_app, ts_worker, ts_agent, ts_readonly USING ((user_id = ( SELECT (NULLIF(current_setting('app.user_id'::text, true), ''::text))::uuid AS "nullif"))) WITH CHECK ((user_id = ( SELECT (NULLIF(current_setting('app.user_id'::text, true), ''::text))::uuid AS "nullif")));
CREATE POLICY tenant ON public.users TO ts_app, ts_worker, ts_agent, ts_readonly USING ((id = ( SELECT (NULLIF(current_setting('app.user_id'::text, true), ''::text))::uuid AS "nullif"))) WITH CHECK ((id = ( SELECT (NULLIF(current_setting('app.user_id'::text, true), ''::text))::uuid AS "nullif")));
CREATE POLICY tenant ON public.venue_events TO ts_app, ts_worker, ts_agent, ts_readonly USING ((user_id = ( SELECT (NULLIF(current_setting('app.user_id'::text, true), ''::text))::uuid AS "nullif"))) WITH CHECK ((user_id = ( SELECT (NULLIF(current_setting('app.user_id'::text, true), ''::text))::uuid AS "nullif")));
ALTER TABLE public.users ENABLE ROW LEVEL SECURITY;
ALTER TABLE public.venue_events ENABLE ROW LEVEL SECURITY;
GRANT USAGE ON SCHEMA public TO ts_app;
GRANT USAGE ON SCHEMA public TO ts_worker;
GRANT USAGE ON SCHEMA public TO ts_agent;
GRANT USAGE ON SCHEMA public TO ts_relay;
GRANT USAGE ON SCHEMA public TO ts_events;
GRANT USAGE ON SCHEMA public TO ts_readonly;
REVOKE ALL ON FUNCTION public.account_changed() FROM PUBLIC;
REVOKE ALL ON FUNCTION public.ensure_partitions(at timestamp with time zone, n_months integer, n_days integer) FROM PUBLIC;
GRANT ALL ON FUNCTION public.ensure_partitions(at timestamp with time zone, n_months integer, n_days integer) TO ts_agent;
GRANT ALL ON FUNCTION public.ensure_partitions(at timestamp with time zone, n_months integer, n_days integer) TO ts_relay;
REVOKE ALL ON FUNCTION public.ignore_known_event() FROM PUBLIC;
REVOKE ALL ON FUNCTION public.keep_state_history() FROM PUBLIC;
REVOKE ALL ON FUNCTION public.link_changed() FROM PUBLIC;
REVOKE ALL ON FUNCTION public.lock_account(account uuid) FROM PUBLIC;
GRANT ALL ON FUNCTION public.lock_account(account uuid) TO ts_app;
REVOKE ALL ON FUNCTION public.make_lease() FROM PUBLIC;
REVOKE ALL ON FUNCTION public.make_partition(parent text, suffix text, low text, high text) FROM PUBLIC;
REVOKE ALL ON FUNCTION public.number_once() FROM PUBLIC;
REVOKE ALL ON FUNCTION public.prune_outbox(keep interval) FROM PUBLIC;
GRANT ALL ON FUNCTION public.prune_outbox(keep interval) TO ts_relay;
REVOKE ALL ON FUNCTION public.refresh_wanted(account uuid) FROM PUBLIC;
REVOKE ALL ON FUNCTION public.refuse_going_back() FROM PUBLIC;
REVOKE ALL ON FUNCTION public.refuse_rewrite() FROM PUBLIC;
REVOKE ALL ON FUNCTION public.refuse_second_placement() FROM PUBLIC;
REVOKE ALL ON FUNCTION public.refuse_stale_epoch() FROM PUBLIC;
REVOKE ALL ON FUNCTION public.restrain_run(run uuid, wanted text) FROM PUBLIC;
GRANT ALL ON FUNCTION public.restrain_run(run uuid, wanted text) TO ts_agent;
GRANT SELECT ON TABLE public.account_leases TO ts_readonly;
GRANT SELECT ON TABLE public.account_leases TO ts_app;
GRANT SELECT ON TABLE public.account_leases TO ts_agent;
GRANT UPDATE(owner) ON TABLE public.account_leases TO ts_agent;
GRANT UPDATE(epoch) ON TABLE public.account_leases TO ts_agent;
GRANT UPDATE(lease_until) ON TABLE public.account_leases TO ts_agent;
GRANT UPDATE(seq) ON TABLE public.account_leases TO ts_agent;
GRANT UPDATE(log_id) ON TABLE public.account_leases TO ts_agent;
GRANT SELECT ON TABLE public.account_state_history TO ts_readonly;
GRANT SELECT ON TABLE public.account_state_history TO ts_app;
GRANT SELECT ON TABLE public.account_state_history TO ts_agent;
GRANT SELECT ON TABLE public.account_states TO ts_readonly;
GRANT SELECT ON TABLE public.account_states TO ts_app;
GRANT SELECT,INSERT,UPDATE ON TABLE public.account_states TO ts_agent;
GRANT SELECT,INSERT,DELETE,UPDATE ON TABLE public.agents TO ts_agent;
GRANT SELECT ON TABLE public.broker_links TO ts_readonly;
GRANT SELECT,INSERT ON TABLE public.broker_links TO ts_app;
GRANT SELECT ON TABLE public.broker_links TO ts_agent;
GRANT UPDATE(desired_trading) ON TABLE public.broker_links TO ts_app;
GRANT UPDATE(settings) ON TABLE public.broker_links TO ts_app;
GRANT UPDATE(settings) ON TABLE public.broker_links TO ts_agent;
GRANT UPDATE(scopes) ON TABLE public.broker_links TO ts_app;
GRANT UPDATE(validation_requested_at) ON TABLE public.broker_links TO ts_app;
GRANT UPDATE(validated_at) ON TABLE public.broker_links TO ts_agent;
GRANT SELECT ON TABLE public.equity_points TO ts_readonly;
GRANT SELECT ON TABLE public.equity_points TO ts_app;
GRANT SELECT,INSERT ON TABLE public.equity_points TO ts_agent;
GRANT SELECT ON TABLE public.event_cursors TO ts_readonly;
GRANT SELECT ON TABLE public.event_cursors TO ts_app;
GRANT SELECT,INSERT,UPDATE ON TABLE public.event_cursors TO ts_agent;
GRANT SELECT ON TABLE public.exposure_books TO ts_readonly;
GRANT SELECT,INSERT,UPDATE ON TABLE public.exposure_books TO ts_agent;
GRANT SELECT ON TABLE public.exposure_reservations TO ts_readonly;
GRANT SELECT ON TABLE public.exposure_reservations TO ts_app;
GRANT SELECT,INSERT,UPDATE ON TABLE public.exposure_reservations TO ts_agent;
GRANT SELECT ON TABLE public.fills TO ts_readonly;
GRANT SELECT ON TABLE public.fills TO ts_app;
GRANT SELECT,INSERT ON TABLE public.fills TO ts_agent;
GRANT SELECT ON TABLE public.live_runs TO ts_readonly;
GRANT SELECT,INSERT ON TABLE public.live_runs TO ts_app;
GRANT SELECT ON TABLE public.live_runs TO ts_agent;
GRANT UPDATE(config) ON TABLE public.live_runs TO ts_app;
GRANT UPDATE(limits) ON TABLE public.live_runs TO ts_app;
GRANT UPDATE(desired) ON TABLE public.live_runs TO ts_app;
GRANT UPDATE(actual) ON TABLE public.live_runs TO ts_agent;
GRANT UPDATE(last_error) ON TABLE public.live_runs TO ts_agent;
GRANT UPDATE(updated_at) ON TABLE public.live_runs TO ts_app;
GRANT UPDATE(updated_at) ON TABLE public.live_runs TO ts_agent;
GRANT SELECT ON TABLE public.positions TO ts_readonly;
GRANT SELECT ON TABLE public.positions TO ts_app;
GRANT SELECT,INSERT,UPDATE ON TABLE public.positions TO ts_agent;
GRANT SELECT ON TABLE public.net_positions TO ts_app;
GRANT SELECT ON TABLE public.net_positions TO ts_agent;
GRANT SELECT ON TABLE public.net_positions TO ts_readonly;
GRANT SELECT ON TABLE public.order_attempts TO ts_readonly;
GRANT SELECT ON TABLE public.order_attempts TO ts_app;
GRANT SELECT,INSERT ON TABLE public.order_attempts TO ts_agent;
GRANT SELECT ON TABLE public.order_intents TO ts_readonly;
GRANT SELECT ON TABLE public.order_intents TO ts_app;
GRANT SELECT,INSERT ON TABLE public.order_intents TO ts_agent;
GRANT SELECT ON TABLE public.order_transitions TO ts_readonly;
GRANT SELECT ON TABLE public.order_transitions TO ts_app;
GRANT SELECT,INSERT ON TABLE public.order_transitions TO ts_agent;
GRANT SELECT ON TABLE public.orders TO ts_readonly;
GRANT SELECT ON TABLE public.orders TO ts_app;
GRANT SELECT,INSERT,UPDATE ON TABLE public.orders TO ts_agent;
GRANT SELECT ON TABLE public.outbox TO ts_readonly;
GRANT SELECT,INSERT ON TABLE public.outbox TO ts_app;
GRANT INSERT ON TABLE public.outbox TO ts_agent;
GRANT INSERT ON TABLE public.outbox TO ts_worker;
GRANT SELECT ON TABLE public.outbox TO ts_relay;
GRANT SELECT ON TABLE public.outbox TO ts_events;
GRANT UPDATE(seq) ON TABLE public.outbox TO ts_relay;
GRANT UPDATE(delivered_at) ON TABLE public.outbox TO ts_relay;
GRANT UPDATE(escalated_at) ON TABLE public.outbox TO ts_relay;
GRANT UPDATE(acknowledged_at) ON TABLE public.outbox TO ts_app;
GRANT USAGE ON SEQUENCE public.outbox_id_seq TO ts_app;
GRANT USAGE ON SEQUENCE public.outbox_id_seq TO ts_agent;
GRANT USAGE ON SEQUENCE public.outbox_id_seq TO ts_worker;
GRANT USAGE ON SEQUENCE public.outbox_seq TO ts_relay;
GRANT SELECT ON TABLE public.paper_transactions TO ts_readonly;
GRANT SELECT,INSERT ON TABLE public.paper_transactions TO ts_agent;
GRANT SELECT ON TABLE public.run_states TO ts_readonly;
GRANT SELECT,INSERT,UPDATE ON TABLE public.run_states TO ts_agent;
GRANT SELECT ON TABLE public.users TO ts_readonly;
GRANT SELECT,INSERT ON TABLE public.users TO ts_app;
GRANT SELECT ON TABLE public.venue_events TO ts_readonly;
GRANT SELECT ON TABLE public.venue_events TO ts_app;
GRANT SELECT,INSERT ON TABLE public.venue_events TO ts_agent;
