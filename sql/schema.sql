-- The program's own tables, once a database and network prefix: nodes, leases
-- and buckets belong to all blogs, in the others blog_id leads the keys.
-- Times are UTC by the server's clock. Keys stay under 767 bytes (191
-- characters), which old row formats allow; names compare byte by byte.

-- name: schema.create_nodes
-- in:   none
-- rows: none; a row a running process, new at every start
-- explain: exempt DDL
CREATE TABLE IF NOT EXISTS {base}wpcron_nodes (
  node_id BIGINT UNSIGNED NOT NULL AUTO_INCREMENT,
  host VARCHAR(64) NOT NULL,
  pid INT UNSIGNED NOT NULL,
  version VARCHAR(32) NOT NULL,
  started_at DATETIME(6) NOT NULL,
  heartbeat_at DATETIME(6) NOT NULL,
  PRIMARY KEY (node_id)
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_bin

-- name: schema.create_claims
-- in:   none
-- rows: none; which node owns a claim of Action Scheduler's
-- explain: exempt DDL
CREATE TABLE IF NOT EXISTS {base}wpcron_claims (
  blog_id INT UNSIGNED NOT NULL,
  claim_id BIGINT UNSIGNED NOT NULL,
  node_id BIGINT UNSIGNED NOT NULL,
  executor VARCHAR(16) NOT NULL,
  claimed_at DATETIME(6) NOT NULL,
  deadline DATETIME(6) NULL,
  PRIMARY KEY (blog_id, claim_id),
  KEY node_id (node_id)
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_bin

-- The unique key is what keeps two rescuers from inserting one retry twice.
-- name: schema.create_tries
-- in:   none
-- rows: none; which try of which action a row is
-- explain: exempt DDL
CREATE TABLE IF NOT EXISTS {base}wpcron_tries (
  blog_id INT UNSIGNED NOT NULL,
  action_id BIGINT UNSIGNED NOT NULL,
  origin_id BIGINT UNSIGNED NOT NULL,
  try SMALLINT UNSIGNED NOT NULL,
  strikes SMALLINT UNSIGNED NOT NULL DEFAULT 0,
  created_at DATETIME(6) NOT NULL,
  PRIMARY KEY (blog_id, action_id),
  UNIQUE KEY origin_try (blog_id, origin_id, try)
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_bin

-- name: schema.create_leases
-- in:   none
-- rows: none; what only one node may do, until when, with a fencing token
-- explain: exempt DDL
CREATE TABLE IF NOT EXISTS {base}wpcron_leases (
  name VARCHAR(191) NOT NULL,
  node BIGINT UNSIGNED NOT NULL,
  token BIGINT UNSIGNED NOT NULL,
  expires_at DATETIME(6) NOT NULL,
  PRIMARY KEY (name)
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_bin

-- name: schema.create_buckets
-- in:   none
-- rows: none; starts counted in the current window of a rate
-- explain: exempt DDL
CREATE TABLE IF NOT EXISTS {base}wpcron_buckets (
  name VARCHAR(191) NOT NULL,
  window_start DATETIME(6) NOT NULL,
  used INT UNSIGNED NOT NULL,
  PRIMARY KEY (name)
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_bin

-- name: schema.create_site
-- in:   none
-- rows: none; which site this is, to know a copy
-- explain: exempt DDL
CREATE TABLE IF NOT EXISTS {base}wpcron_site (
  blog_id INT UNSIGNED NOT NULL,
  identity CHAR(64) NOT NULL,
  home VARCHAR(255) NOT NULL,
  siteurl VARCHAR(255) NOT NULL,
  recorded_at DATETIME(6) NOT NULL,
  PRIMARY KEY (blog_id)
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_bin

-- A cron event from the moment it leaves the option `cron`: what waits, what
-- runs, and the ledger of what was done, by which one that a stale writer
-- brings back is known. `slot` is the MD5 of "timestamp hook key", NUL between;
-- `event` the bytes of {schedule, args, interval} as they stood in the option.
-- State: taken (waits), running, done, failed, skipped (too late, by policy),
-- resurrected (was done already; removed again), observed, gone (observed,
-- and no longer in the option).
-- name: schema.create_events
-- in:   none
-- rows: none; a row a cron event that was taken out of the option
-- explain: exempt DDL
CREATE TABLE IF NOT EXISTS {base}wpcron_events (
  blog_id INT UNSIGNED NOT NULL,
  event_id BIGINT UNSIGNED NOT NULL AUTO_INCREMENT,
  state VARCHAR(12) NOT NULL,
  claim_id BIGINT UNSIGNED NOT NULL DEFAULT 0,
  node_id BIGINT UNSIGNED NOT NULL DEFAULT 0,
  scheduled_at BIGINT NOT NULL,
  hook VARBINARY(1000) NOT NULL,
  event_key VARBINARY(255) NOT NULL,
  slot BINARY(16) NOT NULL,
  recurrence VARBINARY(255) NOT NULL DEFAULT '',
  event LONGBLOB NOT NULL,
  next_at BIGINT NOT NULL DEFAULT 0,
  not_before DATETIME(6) NOT NULL,
  woken_by VARCHAR(8) NOT NULL DEFAULT '',
  executor VARCHAR(16) NOT NULL DEFAULT '',
  try SMALLINT UNSIGNED NOT NULL DEFAULT 1,
  strikes SMALLINT UNSIGNED NOT NULL DEFAULT 0,
  taken_at DATETIME(6) NOT NULL,
  claimed_at DATETIME(6) NULL,
  started_at DATETIME(6) NULL,
  deadline DATETIME(6) NULL,
  ended_at DATETIME(6) NULL,
  duration_ms INT UNSIGNED NULL,
  message VARBINARY(2000) NOT NULL DEFAULT '',
  PRIMARY KEY (blog_id, event_id),
  KEY event_id (event_id),
  KEY waiting (state, claim_id, blog_id, not_before),
  KEY slot (blog_id, slot),
  KEY hook (blog_id, hook(100), event_id),
  KEY ended (ended_at)
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_bin

-- name: schema.create_policies
-- in:   none
-- rows: none; a row a pause: blog_id 0 is every blog, kind is hook or group
-- explain: exempt DDL
CREATE TABLE IF NOT EXISTS {base}wpcron_policies (
  blog_id INT UNSIGNED NOT NULL,
  kind VARCHAR(8) NOT NULL,
  pattern VARBINARY(191) NOT NULL,
  paused_at DATETIME(6) NOT NULL,
  PRIMARY KEY (blog_id, kind, pattern)
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_bin

-- Bulk calls that a provider took and has not finished: asked again by whoever
-- looks next, never sent again. `members` is JSON: who was in it, which flags
-- are theirs, what the payload's fingerprint is; no addresses.
-- name: schema.create_batches
-- in:   none
-- rows: none; a row a bulk call under way at a provider
-- explain: exempt DDL
CREATE TABLE IF NOT EXISTS {base}wpcron_batches (
  blog_id INT UNSIGNED NOT NULL,
  batch_id BIGINT UNSIGNED NOT NULL AUTO_INCREMENT,
  integration VARBINARY(64) NOT NULL,
  provider VARCHAR(32) NOT NULL,
  token VARBINARY(512) NOT NULL,
  submitted_at DATETIME(6) NOT NULL,
  ask_at DATETIME(6) NOT NULL,
  asked INT UNSIGNED NOT NULL DEFAULT 0,
  members LONGBLOB NOT NULL,
  PRIMARY KEY (blog_id, batch_id),
  KEY batch_id (batch_id)
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_bin

-- What a provider has of a reader, as HMACs with a salt of the site's: state
-- accepted, or barred (the provider refuses this address for good).
-- name: schema.create_fingerprints
-- in:   none
-- rows: none; a row a reader and integration
-- explain: exempt DDL
CREATE TABLE IF NOT EXISTS {base}wpcron_fingerprints (
  blog_id INT UNSIGNED NOT NULL,
  user_id BIGINT UNSIGNED NOT NULL,
  integration VARBINARY(64) NOT NULL,
  state VARCHAR(8) NOT NULL,
  payload BINARY(32) NOT NULL,
  address BINARY(32) NOT NULL,
  accepted_at DATETIME(6) NOT NULL,
  reason VARBINARY(500) NOT NULL DEFAULT '',
  PRIMARY KEY (blog_id, user_id, integration),
  KEY accepted (state, accepted_at)
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_bin

-- name: schema.create_meta
-- in:   none
-- rows: none; `schema` is the version of these tables
-- explain: exempt DDL
CREATE TABLE IF NOT EXISTS {base}wpcron_meta (
  name VARCHAR(64) NOT NULL,
  value VARCHAR(255) NOT NULL,
  PRIMARY KEY (name)
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_bin

-- name: schema.set_version
-- in:   version:u64
-- rows: 1 or more
-- explain: exempt single-row insert
REPLACE INTO {base}wpcron_meta (name, value) VALUES ('schema', ?)

-- name: schema.version
-- in:   none
-- rows: the version, none before the tables were whole for the first time
SELECT value FROM {base}wpcron_meta WHERE name = 'schema'

-- name: schema.count
-- in:   none
-- rows: one: how many of the tables are there
-- explain: exempt information_schema
SELECT COUNT(*)
  FROM information_schema.TABLES t
 WHERE t.TABLE_SCHEMA = DATABASE()
   AND t.TABLE_NAME IN ('{base}wpcron_nodes', '{base}wpcron_claims',
       '{base}wpcron_tries', '{base}wpcron_leases', '{base}wpcron_buckets',
       '{base}wpcron_site', '{base}wpcron_meta', '{base}wpcron_events',
       '{base}wpcron_policies', '{base}wpcron_batches',
       '{base}wpcron_fingerprints')

-- name: schema.drop
-- in:   none
-- rows: none
-- explain: exempt DDL
DROP TABLE IF EXISTS {base}wpcron_nodes, {base}wpcron_claims,
    {base}wpcron_tries, {base}wpcron_leases, {base}wpcron_buckets,
    {base}wpcron_site, {base}wpcron_meta, {base}wpcron_events,
    {base}wpcron_policies, {base}wpcron_batches, {base}wpcron_fingerprints
