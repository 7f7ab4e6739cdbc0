-- Nodes: the running processes. A node is dead when its heartbeat is older than
-- the expiry by the server's clock; its id is never used again.

-- name: nodes.register
-- in:   host:text, pid:u64, version:text
-- rows: 1; the node is the insert id
-- explain: exempt single-row insert
INSERT INTO {base}wpcron_nodes (host, pid, version, started_at, heartbeat_at)
VALUES (?, ?, ?, UTC_TIMESTAMP(6), UTC_TIMESTAMP(6))

-- name: nodes.heartbeat
-- in:   node:u64
-- rows: 1; 0 when we were taken for dead
UPDATE {base}wpcron_nodes
   SET heartbeat_at = UTC_TIMESTAMP(6)
 WHERE node_id = ?

-- name: nodes.expired
-- in:   expiry_us:u64
-- rows: ids of dead nodes
-- explain: exempt a row a process
SELECT node_id
  FROM {base}wpcron_nodes
 WHERE heartbeat_at < UTC_TIMESTAMP(6) - INTERVAL ? MICROSECOND
 ORDER BY node_id
 LIMIT 1000

-- name: nodes.expire
-- in:   node:u64, expiry_us:u64
-- rows: 1 removed, 0 it is gone or lives
DELETE FROM {base}wpcron_nodes
 WHERE node_id = ?
   AND heartbeat_at < UTC_TIMESTAMP(6) - INTERVAL ? MICROSECOND

-- name: nodes.remove
-- in:   node:u64
-- rows: 1 removed, 0 it was gone
DELETE FROM {base}wpcron_nodes WHERE node_id = ?

-- name: nodes.others
-- in:   node:u64
-- rows: one: how many other nodes there are
-- explain: exempt a row a node
SELECT COUNT(*) FROM {base}wpcron_nodes WHERE node_id <> ?
