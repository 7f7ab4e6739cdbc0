-- Leases: what only one node may do at a time. Only the server's clock counts.

-- The same node may take its own lease again (its answer may have been lost);
-- the older token is then as good as expired.
-- name: leases.take
-- in:   node:u64, ttl_us:u64, name:text, same_node:u64
-- rows: 1 taken (the token is the insert id), 0 held by another node or no row
UPDATE {base}wpcron_leases
   SET token = LAST_INSERT_ID(token + 1), node = ?,
       expires_at = UTC_TIMESTAMP(6) + INTERVAL ? MICROSECOND
 WHERE name = ?
   AND (node = ? OR expires_at <= UTC_TIMESTAMP(6))

-- name: leases.find
-- in:   name:text
-- rows: one when there is a row
SELECT 1 FROM {base}wpcron_leases WHERE name = ?

-- name: leases.add
-- in:   name:text
-- rows: 1 added, expired; 0 somebody else did
-- explain: exempt single-row insert
INSERT IGNORE INTO {base}wpcron_leases (name, node, token, expires_at)
VALUES (?, 0, 0, '1970-01-01 00:00:01')

-- name: leases.renew
-- in:   ttl_us:u64, name:text, token:u64
-- rows: 1 renewed, 0 lost
UPDATE {base}wpcron_leases
   SET expires_at = UTC_TIMESTAMP(6) + INTERVAL ? MICROSECOND
 WHERE name = ?
   AND token = ?
   AND expires_at > UTC_TIMESTAMP(6)

-- The node goes too: it would otherwise be the one who may take it at once.
-- name: leases.give
-- in:   name:text, token:u64
-- rows: 1 given back, 0 it was lost before
UPDATE {base}wpcron_leases
   SET node = 0, expires_at = '1970-01-01 00:00:01'
 WHERE name = ?
   AND token = ?

-- name: leases.left
-- in:   name:text
-- rows: microseconds until it expires, less than 0 when it has; none: no row
SELECT TIMESTAMPDIFF(MICROSECOND, UTC_TIMESTAMP(6), expires_at)
  FROM {base}wpcron_leases
 WHERE name = ?

-- The token says that nobody has had it since, expired or not.
-- name: leases.extend
-- in:   ttl_us:u64, name:text, token:u64
-- rows: 1 ours again, 0 another took it
UPDATE {base}wpcron_leases
   SET expires_at = UTC_TIMESTAMP(6) + INTERVAL ? MICROSECOND
 WHERE name = ?
   AND token = ?
