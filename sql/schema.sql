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

-- A mail as PHP's mailer made it, from the moment it is whole ('ready') until the
-- relay has said yes to it, or no for good. `job` says whose it is
-- ("action:12", "event:7", "message:5:1", "task:9"), `ordinal` which of its
-- mails, `digest` SHA-256 of envelope, subject and body before MIME: a job that
-- runs again stores nothing twice. State: writing, ready, later (ready at
-- not_before), sending (begun = 1: its bytes may have left), sent, dead, held.
-- `recipients` is JSON: [{"to", "state": open|sent|dead, "code", "words"}].
-- name: schema.create_outbox
-- in:   none
-- rows: none; a row a mail
-- explain: exempt DDL
CREATE TABLE IF NOT EXISTS {base}wpcron_outbox (
  blog_id INT UNSIGNED NOT NULL,
  mail_id BIGINT UNSIGNED NOT NULL AUTO_INCREMENT,
  state VARCHAR(8) NOT NULL,
  priority TINYINT UNSIGNED NOT NULL DEFAULT 20,
  job VARBINARY(64) NOT NULL,
  ordinal SMALLINT UNSIGNED NOT NULL,
  digest BINARY(32) NOT NULL,
  message_id VARBINARY(255) NOT NULL DEFAULT '',
  sender VARBINARY(254) NOT NULL,
  recipients MEDIUMBLOB NOT NULL,
  subject VARBINARY(255) NOT NULL DEFAULT '',
  size BIGINT UNSIGNED NOT NULL DEFAULT 0,
  sealed TINYINT UNSIGNED NOT NULL DEFAULT 0,
  created_at DATETIME(6) NOT NULL,
  not_before DATETIME(6) NOT NULL,
  tries SMALLINT UNSIGNED NOT NULL DEFAULT 0,
  unknown SMALLINT UNSIGNED NOT NULL DEFAULT 0,
  claim_id BIGINT UNSIGNED NOT NULL DEFAULT 0,
  claimed_until DATETIME(6) NULL,
  begun TINYINT UNSIGNED NOT NULL DEFAULT 0,
  ended_at DATETIME(6) NULL,
  told TINYINT UNSIGNED NOT NULL DEFAULT 0,
  reply VARBINARY(500) NOT NULL DEFAULT '',
  PRIMARY KEY (blog_id, mail_id),
  KEY mail_id (mail_id),
  UNIQUE KEY job (blog_id, job, ordinal, digest),
  KEY ready (state, priority, mail_id),
  KEY later (state, not_before),
  KEY ended (state, ended_at),
  KEY told (told, state)
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_bin

-- name: schema.create_outbox_chunks
-- in:   none
-- rows: none; a mail's bytes, at most 512 KiB a row, sealed if the mail is
-- explain: exempt DDL
CREATE TABLE IF NOT EXISTS {base}wpcron_outbox_chunks (
  blog_id INT UNSIGNED NOT NULL,
  mail_id BIGINT UNSIGNED NOT NULL,
  chunk INT UNSIGNED NOT NULL,
  bytes MEDIUMBLOB NOT NULL,
  PRIMARY KEY (blog_id, mail_id, chunk)
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_bin

-- A message of Event Espresso's that is being worked on. Lane 'generate' keeps
-- the row and its extra meta (`copy`, JSON) until what PHP made of it is stored:
-- the plugin deletes the one before it saves the other. Lane 'send' remembers
-- which sending of it this is, and what it was before it became MEX. State:
-- claimed, running, done, passed (it waits), failed (likewise, to be sent once
-- more), refused (for good).
-- name: schema.create_messages
-- in:   none
-- rows: none; a row a message on the way
-- explain: exempt DDL
CREATE TABLE IF NOT EXISTS {base}wpcron_messages (
  blog_id INT UNSIGNED NOT NULL,
  message_id BIGINT UNSIGNED NOT NULL,
  lane VARCHAR(8) NOT NULL,
  state VARCHAR(8) NOT NULL,
  was VARCHAR(3) NOT NULL DEFAULT '',
  claim_id BIGINT UNSIGNED NOT NULL,
  sending INT UNSIGNED NOT NULL DEFAULT 1,
  tries SMALLINT UNSIGNED NOT NULL DEFAULT 0,
  not_before DATETIME(6) NOT NULL,
  deadline DATETIME(6) NULL,
  ended_at DATETIME(6) NULL,
  copy LONGBLOB NOT NULL,
  reason VARBINARY(500) NOT NULL DEFAULT '',
  PRIMARY KEY (blog_id, message_id, lane),
  KEY state (blog_id, state, deadline),
  KEY ended (blog_id, ended_at)
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_bin

-- A task that was moved out of a plugin's transient. `element` is its bytes as
-- they stood in the list. State: ready, running, done.
-- name: schema.create_tasks
-- in:   none
-- rows: none; a row a task
-- explain: exempt DDL
CREATE TABLE IF NOT EXISTS {base}wpcron_tasks (
  blog_id INT UNSIGNED NOT NULL,
  task_id BIGINT UNSIGNED NOT NULL AUTO_INCREMENT,
  queue VARBINARY(172) NOT NULL,
  state VARCHAR(8) NOT NULL,
  type VARBINARY(191) NOT NULL DEFAULT '',
  attempts INT UNSIGNED NOT NULL DEFAULT 0,
  max_attempts INT UNSIGNED NOT NULL DEFAULT 3,
  backoff_ms BIGINT UNSIGNED NOT NULL DEFAULT 5000,
  available_at DATETIME(6) NOT NULL,
  expired_inbox TINYINT UNSIGNED NOT NULL DEFAULT 0,
  snapshot BINARY(32) NOT NULL,
  place INT UNSIGNED NOT NULL DEFAULT 0,
  claim_id BIGINT UNSIGNED NOT NULL DEFAULT 0,
  claimed_until DATETIME(6) NULL,
  taken_at DATETIME(6) NOT NULL,
  started_at DATETIME(6) NULL,
  ended_at DATETIME(6) NULL,
  element LONGBLOB NOT NULL,
  error VARBINARY(500) NOT NULL DEFAULT '',
  PRIMARY KEY (blog_id, task_id),
  KEY task_id (task_id),
  UNIQUE KEY snapshot (blog_id, queue, snapshot, place),
  KEY ready (blog_id, queue, state, available_at),
  KEY claim (claim_id),
  KEY ended (blog_id, state, ended_at)
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_bin

-- Lists as they were observed in a transient, by which one that a stale writer
-- puts back is known: `elements` is the SHA-256 of each, in order.
-- name: schema.create_task_snapshots
-- in:   none
-- rows: none; a row a list that was taken
-- explain: exempt DDL
CREATE TABLE IF NOT EXISTS {base}wpcron_task_snapshots (
  blog_id INT UNSIGNED NOT NULL,
  queue VARBINARY(172) NOT NULL,
  snapshot_id BIGINT UNSIGNED NOT NULL AUTO_INCREMENT,
  seen_at DATETIME(6) NOT NULL,
  elements LONGBLOB NOT NULL,
  PRIMARY KEY (blog_id, queue, snapshot_id),
  KEY snapshot_id (snapshot_id),
  KEY first (blog_id, queue, elements(32)),
  KEY seen (seen_at)
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_bin

-- What failed for good, of every queue. kind: mail, message, task, action,
-- event, contact; `source` is its id there; `payload` what a retry needs that
-- is nowhere else (a task's element), else ''.
-- name: schema.create_dead_letters
-- in:   none
-- rows: none; a row a failure
-- explain: exempt DDL
CREATE TABLE IF NOT EXISTS {base}wpcron_dead_letters (
  blog_id INT UNSIGNED NOT NULL,
  letter_id BIGINT UNSIGNED NOT NULL AUTO_INCREMENT,
  kind VARCHAR(8) NOT NULL,
  queue VARBINARY(191) NOT NULL DEFAULT '',
  source BIGINT UNSIGNED NOT NULL DEFAULT 0,
  title VARBINARY(255) NOT NULL DEFAULT '',
  reason VARBINARY(500) NOT NULL DEFAULT '',
  attempts INT UNSIGNED NOT NULL DEFAULT 0,
  created_at DATETIME(6) NOT NULL,
  died_at DATETIME(6) NOT NULL,
  payload LONGBLOB NOT NULL,
  PRIMARY KEY (blog_id, letter_id),
  KEY letter_id (letter_id),
  UNIQUE KEY source (blog_id, kind, queue, source),
  KEY died (died_at)
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
       '{base}wpcron_fingerprints', '{base}wpcron_outbox',
       '{base}wpcron_outbox_chunks', '{base}wpcron_messages',
       '{base}wpcron_tasks', '{base}wpcron_task_snapshots',
       '{base}wpcron_dead_letters')

-- name: schema.drop
-- in:   none
-- rows: none
-- explain: exempt DDL
DROP TABLE IF EXISTS {base}wpcron_nodes, {base}wpcron_claims,
    {base}wpcron_tries, {base}wpcron_leases, {base}wpcron_buckets,
    {base}wpcron_site, {base}wpcron_meta, {base}wpcron_events,
    {base}wpcron_policies, {base}wpcron_batches, {base}wpcron_fingerprints,
    {base}wpcron_outbox, {base}wpcron_outbox_chunks, {base}wpcron_messages,
    {base}wpcron_tasks, {base}wpcron_task_snapshots, {base}wpcron_dead_letters
