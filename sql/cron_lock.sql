-- The lock `doing_cron` of a blog (queues/cron_lock.h), which WordPress' own
-- runners look at, and {base}wpcron_leases, where each value that we wrote is
-- on record. Values compare byte by byte: the column's collation does not.

-- name: cron_lock.read
-- in:   none
-- rows: name and value of the lock, and of its timeout where there is one
SELECT option_name, option_value
  FROM {p}options
 WHERE option_name IN ('_transient_doing_cron', '_transient_timeout_doing_cron')

-- `yes` means autoloaded to every version of WordPress.
-- name: cron_lock.add
-- in:   value:text
-- rows: 1; a duplicate means that somebody was faster
-- explain: exempt single-row insert
INSERT INTO {p}options (option_name, option_value, autoload)
VALUES ('_transient_doing_cron', ?, 'yes')

-- name: cron_lock.swap
-- in:   value:text, old:text
-- rows: 1 ours, 0 it changed meanwhile
UPDATE {p}options
   SET option_value = ?
 WHERE option_name = '_transient_doing_cron'
   AND CAST(option_value AS BINARY) = CAST(? AS BINARY)

-- name: cron_lock.remove
-- in:   value:text
-- rows: 1 removed, 0 it is gone or another's
DELETE FROM {p}options
 WHERE option_name = '_transient_doing_cron'
   AND CAST(option_value AS BINARY) = CAST(? AS BINARY)

-- An orphan would make the next lock of a PHP runner expired at birth.
-- name: cron_lock.remove_timeout
-- in:   none
-- rows: 1 removed, 0 there was none, as usual
DELETE FROM {p}options
 WHERE option_name = '_transient_timeout_doing_cron'

-- name: cron_lock.record
-- in:   name:text, node:u64
-- rows: 1 added, 0 it is there already
-- explain: exempt single-row insert
INSERT IGNORE INTO {base}wpcron_leases (name, node, token, expires_at)
VALUES (?, ?, 0, UTC_TIMESTAMP(6) + INTERVAL 1 HOUR)

-- name: cron_lock.record_of
-- in:   name:text
-- rows: one when the value is on record
SELECT 1
  FROM {base}wpcron_leases
 WHERE name = ?
   AND expires_at > UTC_TIMESTAMP(6)

-- name: cron_lock.recorded
-- in:   pattern:text=doing_cron/1/%
-- rows: names of the values of one blog that are on record, newest first
-- explain: rows 1000 a value in 30 seconds of an hour
SELECT name
  FROM {base}wpcron_leases
 WHERE name LIKE ?
   AND expires_at > UTC_TIMESTAMP(6)
 ORDER BY name DESC
 LIMIT 200

-- name: cron_lock.forget
-- in:   none
-- rows: how many records nobody needs any more
-- explain: rows 6000 what was recorded since the last time
DELETE FROM {base}wpcron_leases
 WHERE name LIKE 'doing_cron/%'
   AND expires_at < UTC_TIMESTAMP(6)
