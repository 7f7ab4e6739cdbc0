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
       '{base}wpcron_site', '{base}wpcron_meta')

-- name: schema.drop
-- in:   none
-- rows: none
-- explain: exempt DDL
DROP TABLE IF EXISTS {base}wpcron_nodes, {base}wpcron_claims,
    {base}wpcron_tries, {base}wpcron_leases, {base}wpcron_buckets,
    {base}wpcron_site, {base}wpcron_meta
