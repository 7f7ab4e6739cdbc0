-- Buckets: how many starts of a rate are used in the current window, over all
-- nodes. Windows are aligned to 1970 and the server's clock decides which one
-- it is.

-- The row's window never goes back: a statement that waited for the row's lock
-- still has the time at which it began, and takes from the later window. Only
-- a window far in the future (the clock was wrong) is given up. `used` comes
-- first, for it is computed from the window as it was.
-- name: buckets.take
-- in:   name:text, per_s:u64, same_per_s:u64, want:u64, count:u64, same_want:u64, same_count:u64, cap:u64
-- rows: 1 or 2; the insert id is how many of `want` were granted
-- explain: exempt single-row insert or update by its primary key
INSERT INTO {base}wpcron_buckets (name, window_start, used)
VALUES (?, TIMESTAMP('1970-01-01 00:00:00') + INTERVAL
           TIMESTAMPDIFF(SECOND, TIMESTAMP('1970-01-01 00:00:00'),
               UTC_TIMESTAMP()) DIV ? * ? SECOND,
        LAST_INSERT_ID(LEAST(?, ?)))
ON DUPLICATE KEY UPDATE
  used = IF(window_start >= VALUES(window_start)
          AND window_start <= UTC_TIMESTAMP() + INTERVAL 60 SECOND, used, 0)
      + LAST_INSERT_ID(LEAST(?, ? -
          LEAST(?, IF(window_start >= VALUES(window_start)
          AND window_start <= UTC_TIMESTAMP() + INTERVAL 60 SECOND, used, 0)))),
  window_start = IF(window_start >= VALUES(window_start)
          AND window_start <= UTC_TIMESTAMP() + INTERVAL 60 SECOND,
          window_start, VALUES(window_start))

-- Only of the window they were taken from; a later one has its own.
-- name: buckets.give
-- in:   unused:u64, name:text, per_s:u64, same_per_s:u64
-- rows: 1 given back, 0 the window is over
UPDATE {base}wpcron_buckets
   SET used = used - LEAST(used, ?)
 WHERE name = ?
   AND window_start = TIMESTAMP('1970-01-01 00:00:00') + INTERVAL
           TIMESTAMPDIFF(SECOND, TIMESTAMP('1970-01-01 00:00:00'),
               UTC_TIMESTAMP()) DIV ? * ? SECOND

-- A window that opens with what is first taken in it, and lasts for per_s from
-- then on. `used` is computed from the window as it was.
-- name: buckets.open
-- in:   name:text, want:u64, count:u64, per_s:u64, same_want:u64, same_count:u64, cap:u64, per_s_again:u64, last_per_s:u64
-- rows: 1 or 2; the insert id is how many of `want` were granted
-- explain: exempt single-row insert or update by its primary key
INSERT INTO {base}wpcron_buckets (name, window_start, used)
VALUES (?, UTC_TIMESTAMP(6), LAST_INSERT_ID(LEAST(?, ?)))
ON DUPLICATE KEY UPDATE
  used = IF(window_start > UTC_TIMESTAMP(6) - INTERVAL ? SECOND
          AND window_start <= UTC_TIMESTAMP(6) + INTERVAL 60 SECOND, used, 0)
      + LAST_INSERT_ID(LEAST(?, ? -
          LEAST(?, IF(window_start > UTC_TIMESTAMP(6) - INTERVAL ? SECOND
          AND window_start <= UTC_TIMESTAMP(6) + INTERVAL 60 SECOND, used,
          0)))),
  window_start = IF(window_start > UTC_TIMESTAMP(6) - INTERVAL ? SECOND
          AND window_start <= UTC_TIMESTAMP(6) + INTERVAL 60 SECOND,
          window_start, UTC_TIMESTAMP(6))

-- name: buckets.left
-- in:   per_s:u64, name:text, same_per_s:u64
-- rows: used, microseconds to the end of the window; none: no window is open
SELECT used, TIMESTAMPDIFF(MICROSECOND, UTC_TIMESTAMP(6),
           window_start + INTERVAL ? SECOND)
  FROM {base}wpcron_buckets
 WHERE name = ?
   AND window_start > UTC_TIMESTAMP(6) - INTERVAL ? SECOND

-- A window that opened since then is another one.
-- name: buckets.give_open
-- in:   unused:u64, name:text, taken_us:u64
-- rows: 1 given back, 0 the window is over
UPDATE {base}wpcron_buckets
   SET used = used - LEAST(used, ?)
 WHERE name = ?
   AND window_start <= UTC_TIMESTAMP(6) - INTERVAL ? MICROSECOND

-- Somebody else's window, that goes on here. Where one is open that began
-- earlier, both count until the later one ends; within 2 seconds (those of PHP
-- are whole) it is the same one.
-- name: buckets.adopt
-- in:   name:text, ago_us:u64, used:u64, per_s:u64, same_per_s:u64
-- rows: 1 or 2
-- explain: exempt single-row insert or update by its primary key
INSERT INTO {base}wpcron_buckets (name, window_start, used)
VALUES (?, UTC_TIMESTAMP(6) - INTERVAL ? MICROSECOND, ?)
ON DUPLICATE KEY UPDATE
  used = IF(window_start <= UTC_TIMESTAMP(6) - INTERVAL ? SECOND, VALUES(used),
      IF(VALUES(window_start) > window_start + INTERVAL 2 SECOND,
          used + VALUES(used), GREATEST(used, VALUES(used)))),
  window_start = IF(window_start > UTC_TIMESTAMP(6) - INTERVAL ? SECOND
          AND VALUES(window_start) <= window_start + INTERVAL 2 SECOND,
      window_start, VALUES(window_start))
