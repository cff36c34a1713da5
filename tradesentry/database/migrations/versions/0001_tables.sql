-- The tables of live trading, generated from models.py, then read.

CREATE SEQUENCE outbox_id_seq;
CREATE SEQUENCE outbox_seq;

CREATE TABLE users (
    id UUID NOT NULL,
    email TEXT NOT NULL,
    role TEXT DEFAULT 'user' NOT NULL,
    status TEXT DEFAULT 'active' NOT NULL,
    created_at TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL,
    CONSTRAINT pk_users PRIMARY KEY (id),
    CONSTRAINT ck_users_role CHECK (role IN ('user', 'provider', 'admin', 'auditor')),
    CONSTRAINT ck_users_status CHECK (status IN ('active', 'suspended', 'deleted'))
);
CREATE UNIQUE INDEX uq_users_email ON users (lower(email));

CREATE TABLE agents (
    id UUID NOT NULL,
    host TEXT NOT NULL,
    slot BIGINT NOT NULL,
    brokers TEXT[] NOT NULL,
    max_accounts BIGINT DEFAULT 50 NOT NULL,
    heartbeat_at TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL,
    created_at TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL,
    CONSTRAINT pk_agents PRIMARY KEY (id),
    CONSTRAINT uq_agents_host_slot UNIQUE (host, slot),
    CONSTRAINT ck_agents_max_accounts CHECK (max_accounts > 0)
);

CREATE TABLE broker_links (
    id UUID NOT NULL,
    user_id UUID NOT NULL,
    broker TEXT NOT NULL,
    account_ref TEXT NOT NULL,
    environment TEXT NOT NULL,
    desired_trading TEXT DEFAULT 'normal' NOT NULL,
    settings JSONB DEFAULT '{}' NOT NULL,
    scopes TEXT[] DEFAULT '{}' NOT NULL,
    validation_requested_at TIMESTAMP WITH TIME ZONE,
    validated_at TIMESTAMP WITH TIME ZONE,
    created_at TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL,
    CONSTRAINT pk_broker_links PRIMARY KEY (id),
    CONSTRAINT uq_broker_links_user_id_broker_account_ref UNIQUE (user_id, broker, account_ref),
    CONSTRAINT uq_broker_links_user_id_id UNIQUE (user_id, id),
    CONSTRAINT fk_broker_links_user_id FOREIGN KEY(user_id) REFERENCES users (id),
    CONSTRAINT ck_broker_links_broker CHECK (broker IN ('paper', 'oanda', 'mt5')),
    CONSTRAINT ck_broker_links_environment CHECK (environment IN ('paper', 'demo', 'real')),
    CONSTRAINT ck_broker_links_desired_trading CHECK (desired_trading IN ('normal', 'halted'))
);

CREATE TABLE outbox (
    id BIGINT DEFAULT nextval('outbox_id_seq') NOT NULL,
    at TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL,
    user_id UUID NOT NULL,
    account_id UUID,
    topic TEXT NOT NULL,
    subject TEXT NOT NULL,
    dedupe_key TEXT,
    payload JSONB NOT NULL,
    seq BIGINT,
    CONSTRAINT pk_outbox PRIMARY KEY (id, at),
    CONSTRAINT fk_outbox_user_id FOREIGN KEY(user_id) REFERENCES users (id)
)
 PARTITION BY RANGE (at);
CREATE INDEX ix_outbox_seq ON outbox (seq);
CREATE INDEX ix_outbox_id_unnumbered ON outbox (id) WHERE seq IS NULL;
CREATE INDEX ix_outbox_user_id_seq ON outbox (user_id, seq);

CREATE TABLE exposure_books (
    user_id UUID NOT NULL,
    environment TEXT NOT NULL,
    updated_at TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL,
    CONSTRAINT pk_exposure_books PRIMARY KEY (user_id, environment),
    CONSTRAINT fk_exposure_books_user_id FOREIGN KEY(user_id) REFERENCES users (id),
    CONSTRAINT ck_exposure_books_environment CHECK (environment IN ('paper', 'demo', 'real'))
);

CREATE TABLE live_runs (
    id UUID NOT NULL,
    user_id UUID NOT NULL,
    account_id UUID NOT NULL,
    strategy TEXT NOT NULL,
    code_digest TEXT NOT NULL,
    variant TEXT DEFAULT 'main' NOT NULL,
    config JSONB NOT NULL,
    limits JSONB DEFAULT '{}' NOT NULL,
    desired TEXT DEFAULT 'running' NOT NULL,
    actual TEXT DEFAULT 'pending' NOT NULL,
    last_error TEXT,
    created_at TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL,
    updated_at TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL,
    CONSTRAINT pk_live_runs PRIMARY KEY (id),
    CONSTRAINT uq_live_runs_user_id_id UNIQUE (user_id, id),
    CONSTRAINT fk_live_runs_user_id_account_id FOREIGN KEY(user_id, account_id) REFERENCES broker_links (user_id, id),
    CONSTRAINT ck_live_runs_desired CHECK (desired IN ('running', 'paused', 'stopped', 'flatten')),
    CONSTRAINT ck_live_runs_actual CHECK (actual IN ('pending', 'running', 'paused', 'stopped', 'failed'))
);
CREATE INDEX ix_live_runs_user_id_account_id ON live_runs (user_id, account_id);
CREATE UNIQUE INDEX uq_live_runs_account_id_strategy_variant ON live_runs (account_id, strategy, variant) WHERE desired <> 'stopped';

CREATE TABLE orders (
    account_id UUID NOT NULL,
    order_key TEXT NOT NULL,
    seq BIGINT,
    user_id UUID NOT NULL,
    epoch BIGINT NOT NULL,
    instrument TEXT NOT NULL,
    side SMALLINT NOT NULL,
    effect TEXT NOT NULL,
    status TEXT NOT NULL,
    units NUMERIC(24, 8) NOT NULL,
    filled_units NUMERIC(24, 8) DEFAULT 0 NOT NULL,
    average_price NUMERIC(18, 8),
    venue_order_ids TEXT[] DEFAULT '{}' NOT NULL,
    terms JSONB NOT NULL,
    is_external BOOLEAN DEFAULT false NOT NULL,
    evidence TEXT NOT NULL,
    last_ts_ns BIGINT NOT NULL,
    updated_at TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL,
    CONSTRAINT pk_orders PRIMARY KEY (account_id, order_key),
    CONSTRAINT fk_orders_user_id_account_id FOREIGN KEY(user_id, account_id) REFERENCES broker_links (user_id, id),
    CONSTRAINT ck_orders_status CHECK (status IN ('new', 'sending', 'unknown', 'accepted', 'partly_filled', 'replacing', 'canceling', 'denied', 'filled', 'canceled', 'expired', 'rejected', 'not_placed')),
    CONSTRAINT ck_orders_evidence CHECK (evidence IN ('reply', 'stream', 'poll', 'inferred', 'local')),
    CONSTRAINT ck_orders_effect CHECK (effect IN ('open', 'reduce')),
    CONSTRAINT ck_orders_side CHECK (side IN (-1, 1)),
    CONSTRAINT ck_orders_external CHECK (is_external = (seq IS NULL))
);
CREATE UNIQUE INDEX uq_orders_account_id_seq ON orders (account_id, seq);
CREATE INDEX ix_orders_user_id_account_id_status ON orders (user_id, account_id, status);

CREATE TABLE fills (
    account_id UUID NOT NULL,
    fill_id TEXT NOT NULL,
    leg BIGINT NOT NULL,
    user_id UUID NOT NULL,
    epoch BIGINT NOT NULL,
    venue_order_id TEXT,
    client_order_id TEXT,
    trade_ref TEXT NOT NULL,
    instrument TEXT NOT NULL,
    side SMALLINT NOT NULL,
    units NUMERIC(24, 8) NOT NULL,
    price NUMERIC(18, 8) NOT NULL,
    commission NUMERIC(24, 8) NOT NULL,
    swap NUMERIC(24, 8) NOT NULL,
    realized NUMERIC(24, 8) NOT NULL,
    effect TEXT NOT NULL,
    ts_ns BIGINT NOT NULL,
    CONSTRAINT pk_fills PRIMARY KEY (account_id, fill_id, leg),
    CONSTRAINT fk_fills_user_id_account_id FOREIGN KEY(user_id, account_id) REFERENCES broker_links (user_id, id),
    CONSTRAINT ck_fills_effect CHECK (effect IN ('open', 'reduce')),
    CONSTRAINT ck_fills_side CHECK (side IN (-1, 1)),
    CONSTRAINT ck_fills_units CHECK (units > 0)
);
CREATE INDEX ix_fills_user_id_account_id_ts_ns ON fills (user_id, account_id, ts_ns);
CREATE INDEX ix_fills_account_id_client_order_id ON fills (account_id, client_order_id);

CREATE TABLE positions (
    account_id UUID NOT NULL,
    trade_ref TEXT NOT NULL,
    user_id UUID NOT NULL,
    epoch BIGINT NOT NULL,
    seq BIGINT,
    instrument TEXT NOT NULL,
    side SMALLINT NOT NULL,
    units NUMERIC(24, 8) NOT NULL,
    entry_price NUMERIC(18, 8) NOT NULL,
    stop_loss NUMERIC(18, 8),
    take_profit NUMERIC(18, 8),
    initial_risk NUMERIC(24, 8),
    opened_ns BIGINT NOT NULL,
    last_ts_ns BIGINT NOT NULL,
    updated_at TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL,
    CONSTRAINT pk_positions PRIMARY KEY (account_id, trade_ref),
    CONSTRAINT fk_positions_user_id_account_id FOREIGN KEY(user_id, account_id) REFERENCES broker_links (user_id, id),
    CONSTRAINT ck_positions_side CHECK (side IN (-1, 1)),
    CONSTRAINT ck_positions_units CHECK (units >= 0)
);
CREATE INDEX ix_positions_user_id_account_id_instrument ON positions (user_id, account_id, instrument);

CREATE TABLE equity_points (
    account_id UUID NOT NULL,
    ts_ns BIGINT NOT NULL,
    user_id UUID NOT NULL,
    epoch BIGINT NOT NULL,
    balance NUMERIC(24, 8) NOT NULL,
    equity NUMERIC(24, 8) NOT NULL,
    margin_used NUMERIC(24, 8) NOT NULL,
    CONSTRAINT pk_equity_points PRIMARY KEY (account_id, ts_ns),
    CONSTRAINT fk_equity_points_user_id_account_id FOREIGN KEY(user_id, account_id) REFERENCES broker_links (user_id, id)
)
 PARTITION BY RANGE (ts_ns);
CREATE INDEX ix_equity_points_user_id_account_id_ts_ns ON equity_points (user_id, account_id, ts_ns);

CREATE TABLE account_leases (
    account_id UUID NOT NULL,
    user_id UUID NOT NULL,
    broker TEXT NOT NULL,
    environment TEXT NOT NULL,
    owner TEXT,
    epoch BIGINT DEFAULT 0 NOT NULL,
    lease_until TIMESTAMP WITH TIME ZONE,
    seq BIGINT DEFAULT 0 NOT NULL,
    instance BIGINT NOT NULL,
    log_id TEXT,
    wanted BOOLEAN DEFAULT false NOT NULL,
    CONSTRAINT pk_account_leases PRIMARY KEY (account_id),
    CONSTRAINT fk_account_leases_user_id_account_id FOREIGN KEY(user_id, account_id) REFERENCES broker_links (user_id, id),
    CONSTRAINT ck_account_leases_environment CHECK (environment IN ('paper', 'demo', 'real')),
    CONSTRAINT ck_account_leases_seq CHECK (seq BETWEEN 0 AND 281474976710655),
    CONSTRAINT ck_account_leases_instance CHECK (instance BETWEEN 0 AND 32767),
    CONSTRAINT ck_account_leases_epoch CHECK (epoch >= 0)
);
CREATE INDEX ix_account_leases_user_id ON account_leases (user_id);
CREATE INDEX ix_account_leases_wanted ON account_leases (account_id) WHERE wanted;
CREATE INDEX ix_account_leases_owner ON account_leases (owner);

CREATE TABLE venue_events (
    account_id UUID NOT NULL,
    log_id TEXT NOT NULL,
    seq BIGINT NOT NULL,
    ts_ns BIGINT NOT NULL,
    user_id UUID NOT NULL,
    epoch BIGINT NOT NULL,
    kind TEXT NOT NULL,
    raw JSONB NOT NULL,
    received_ns BIGINT NOT NULL,
    CONSTRAINT pk_venue_events PRIMARY KEY (account_id, log_id, seq, ts_ns),
    CONSTRAINT fk_venue_events_user_id_account_id FOREIGN KEY(user_id, account_id) REFERENCES broker_links (user_id, id)
)
 PARTITION BY RANGE (ts_ns);
CREATE INDEX ix_venue_events_user_id_account_id_ts_ns ON venue_events (user_id, account_id, ts_ns);

CREATE TABLE event_cursors (
    account_id UUID NOT NULL,
    log_id TEXT NOT NULL,
    user_id UUID NOT NULL,
    epoch BIGINT NOT NULL,
    contiguous_seq BIGINT NOT NULL,
    updated_at TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL,
    CONSTRAINT pk_event_cursors PRIMARY KEY (account_id, log_id),
    CONSTRAINT fk_event_cursors_user_id_account_id FOREIGN KEY(user_id, account_id) REFERENCES broker_links (user_id, id)
);
CREATE INDEX ix_event_cursors_user_id_account_id ON event_cursors (user_id, account_id);

CREATE TABLE account_states (
    account_id UUID NOT NULL,
    user_id UUID NOT NULL,
    epoch BIGINT NOT NULL,
    trading_state TEXT NOT NULL,
    return_state TEXT,
    reason TEXT NOT NULL,
    balance NUMERIC(24, 8) NOT NULL,
    equity NUMERIC(24, 8) NOT NULL,
    high_water_mark NUMERIC(24, 8) NOT NULL,
    day_start_equity NUMERIC(24, 8) NOT NULL,
    flows NUMERIC(24, 8) DEFAULT 0 NOT NULL,
    as_of_ns BIGINT NOT NULL,
    updated_at TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL,
    CONSTRAINT pk_account_states PRIMARY KEY (account_id),
    CONSTRAINT fk_account_states_user_id_account_id FOREIGN KEY(user_id, account_id) REFERENCES broker_links (user_id, id),
    CONSTRAINT ck_account_states_trading_state CHECK (trading_state IN ('reconciling', 'active', 'reducing', 'halted')),
    CONSTRAINT ck_account_states_return_state CHECK (return_state IN ('reconciling', 'active', 'reducing', 'halted'))
);
CREATE INDEX ix_account_states_user_id ON account_states (user_id);

CREATE TABLE account_state_history (
    account_id UUID NOT NULL,
    n BIGINT GENERATED ALWAYS AS IDENTITY,
    user_id UUID NOT NULL,
    epoch BIGINT NOT NULL,
    trading_state TEXT NOT NULL,
    return_state TEXT,
    reason TEXT NOT NULL,
    balance NUMERIC(24, 8) NOT NULL,
    equity NUMERIC(24, 8) NOT NULL,
    high_water_mark NUMERIC(24, 8) NOT NULL,
    day_start_equity NUMERIC(24, 8) NOT NULL,
    flows NUMERIC(24, 8) NOT NULL,
    as_of_ns BIGINT NOT NULL,
    at TIMESTAMP WITH TIME ZONE DEFAULT clock_timestamp() NOT NULL,
    CONSTRAINT pk_account_state_history PRIMARY KEY (account_id, n),
    CONSTRAINT fk_account_state_history_user_id_account_id FOREIGN KEY(user_id, account_id) REFERENCES broker_links (user_id, id)
);
CREATE INDEX ix_account_state_history_user_id_account_id_n ON account_state_history (user_id, account_id, n);

CREATE TABLE paper_transactions (
    account_id UUID NOT NULL,
    seq BIGINT NOT NULL,
    user_id UUID NOT NULL,
    epoch BIGINT NOT NULL,
    kind TEXT NOT NULL,
    payload JSONB NOT NULL,
    snapshot BYTEA,
    ts_ns BIGINT NOT NULL,
    CONSTRAINT pk_paper_transactions PRIMARY KEY (account_id, seq),
    CONSTRAINT fk_paper_transactions_user_id_account_id FOREIGN KEY(user_id, account_id) REFERENCES broker_links (user_id, id)
);
CREATE INDEX ix_paper_transactions_user_id_account_id_seq ON paper_transactions (user_id, account_id, seq);
CREATE INDEX ix_paper_transactions_snapshots ON paper_transactions (account_id, seq) WHERE snapshot IS NOT NULL;

CREATE TABLE run_states (
    run_id UUID NOT NULL,
    market TEXT NOT NULL,
    user_id UUID NOT NULL,
    account_id UUID NOT NULL,
    epoch BIGINT NOT NULL,
    bar_close_ns BIGINT NOT NULL,
    dtype_digest TEXT NOT NULL,
    snapshot BYTEA NOT NULL,
    updated_at TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL,
    CONSTRAINT pk_run_states PRIMARY KEY (run_id, market),
    CONSTRAINT fk_run_states_user_id_account_id FOREIGN KEY(user_id, account_id) REFERENCES broker_links (user_id, id),
    CONSTRAINT fk_run_states_user_id_run_id FOREIGN KEY(user_id, run_id) REFERENCES live_runs (user_id, id)
);
CREATE INDEX ix_run_states_user_id_account_id ON run_states (user_id, account_id);

CREATE TABLE order_intents (
    account_id UUID NOT NULL,
    seq BIGINT NOT NULL,
    user_id UUID NOT NULL,
    epoch BIGINT NOT NULL,
    client_order_id TEXT NOT NULL,
    run_id UUID,
    bar_close_ns BIGINT,
    intent_index BIGINT,
    instrument TEXT NOT NULL,
    effect TEXT NOT NULL,
    group_id TEXT,
    intent JSONB NOT NULL,
    risk JSONB NOT NULL,
    created_at TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL,
    CONSTRAINT pk_order_intents PRIMARY KEY (account_id, seq),
    CONSTRAINT fk_order_intents_user_id_account_id FOREIGN KEY(user_id, account_id) REFERENCES broker_links (user_id, id),
    CONSTRAINT fk_order_intents_user_id_run_id FOREIGN KEY(user_id, run_id) REFERENCES live_runs (user_id, id),
    CONSTRAINT uq_order_intents_account_id_client_order_id UNIQUE (account_id, client_order_id),
    CONSTRAINT uq_order_intents_run_id_bar_close_ns_intent_index UNIQUE (run_id, bar_close_ns, intent_index),
    CONSTRAINT uq_order_intents_user_id_account_id_seq UNIQUE (user_id, account_id, seq),
    CONSTRAINT ck_order_intents_decided_by_a_bar CHECK ((bar_close_ns IS NULL) = (intent_index IS NULL) AND (bar_close_ns IS NULL OR run_id IS NOT NULL)),
    CONSTRAINT ck_order_intents_effect CHECK (effect IN ('open', 'reduce'))
);

CREATE TABLE order_attempts (
    account_id UUID NOT NULL,
    seq BIGINT NOT NULL,
    attempt BIGINT NOT NULL,
    user_id UUID NOT NULL,
    epoch BIGINT NOT NULL,
    kind TEXT NOT NULL,
    request JSONB NOT NULL,
    sending_at TIMESTAMP WITH TIME ZONE DEFAULT clock_timestamp() NOT NULL,
    CONSTRAINT pk_order_attempts PRIMARY KEY (account_id, seq, attempt),
    CONSTRAINT fk_order_attempts_user_id_account_id FOREIGN KEY(user_id, account_id) REFERENCES broker_links (user_id, id),
    CONSTRAINT fk_order_attempts_user_id_account_id_seq FOREIGN KEY(user_id, account_id, seq) REFERENCES order_intents (user_id, account_id, seq),
    CONSTRAINT ck_order_attempts_kind CHECK (kind IN ('place', 'replace', 'cancel', 'close', 'protect'))
);
CREATE INDEX ix_order_attempts_user_id_account_id_seq ON order_attempts (user_id, account_id, seq);

CREATE TABLE order_transitions (
    account_id UUID NOT NULL,
    seq BIGINT NOT NULL,
    n BIGINT NOT NULL,
    user_id UUID NOT NULL,
    epoch BIGINT NOT NULL,
    from_status TEXT,
    to_status TEXT NOT NULL,
    cause TEXT NOT NULL,
    evidence TEXT NOT NULL,
    log_id TEXT,
    event_seq BIGINT,
    at TIMESTAMP WITH TIME ZONE DEFAULT clock_timestamp() NOT NULL,
    CONSTRAINT pk_order_transitions PRIMARY KEY (account_id, seq, n),
    CONSTRAINT fk_order_transitions_user_id_account_id FOREIGN KEY(user_id, account_id) REFERENCES broker_links (user_id, id),
    CONSTRAINT fk_order_transitions_user_id_account_id_seq FOREIGN KEY(user_id, account_id, seq) REFERENCES order_intents (user_id, account_id, seq),
    CONSTRAINT ck_order_transitions_from_status CHECK (from_status IN ('new', 'sending', 'unknown', 'accepted', 'partly_filled', 'replacing', 'canceling', 'denied', 'filled', 'canceled', 'expired', 'rejected', 'not_placed')),
    CONSTRAINT ck_order_transitions_to_status CHECK (to_status IN ('new', 'sending', 'unknown', 'accepted', 'partly_filled', 'replacing', 'canceling', 'denied', 'filled', 'canceled', 'expired', 'rejected', 'not_placed')),
    CONSTRAINT ck_order_transitions_evidence CHECK (evidence IN ('reply', 'stream', 'poll', 'inferred', 'local'))
);
CREATE INDEX ix_order_transitions_user_id_account_id_seq ON order_transitions (user_id, account_id, seq);

CREATE TABLE exposure_reservations (
    account_id UUID NOT NULL,
    seq BIGINT NOT NULL,
    user_id UUID NOT NULL,
    environment TEXT NOT NULL,
    epoch BIGINT NOT NULL,
    instrument TEXT NOT NULL,
    legs JSONB NOT NULL,
    risk NUMERIC(24, 8) NOT NULL,
    released_at TIMESTAMP WITH TIME ZONE,
    CONSTRAINT pk_exposure_reservations PRIMARY KEY (account_id, seq),
    CONSTRAINT fk_exposure_reservations_user_id_account_id FOREIGN KEY(user_id, account_id) REFERENCES broker_links (user_id, id),
    CONSTRAINT fk_exposure_reservations_user_id_account_id_seq FOREIGN KEY(user_id, account_id, seq) REFERENCES order_intents (user_id, account_id, seq),
    CONSTRAINT fk_exposure_reservations_user_id_environment FOREIGN KEY(user_id, environment) REFERENCES exposure_books (user_id, environment),
    CONSTRAINT ck_exposure_reservations_risk CHECK (risk >= 0)
);
CREATE INDEX ix_exposure_reservations_user_id_account_id_seq ON exposure_reservations (user_id, account_id, seq);
CREATE INDEX ix_exposure_reservations_open ON exposure_reservations (user_id, environment) WHERE released_at IS NULL;
