-- Cron events: the option `cron` of a blog, and {base}wpcron_events, where due
-- ones are moved to. Rows are found by index, and written by primary key.

-- ---- the option ----------------------------------------------------------

-- name: events.option
-- in:   none
-- rows: the serialized array and its digest; none without the option
SELECT option_value, MD5(option_value)
  FROM {p}options
 WHERE option_name = 'cron'

-- name: events.option_head
-- in:   none
-- rows: its beginning, and the digest of all of it
SELECT LEFT(option_value, 64), MD5(option_value)
  FROM {p}options
 WHERE option_name = 'cron'

-- Core's own UPDATE waits for this row lock (unique key).
-- name: events.option_lock
-- in:   none
-- rows: the array, locked, and the server's time
SELECT option_value, UTC_TIMESTAMP(6)
  FROM {p}options
 WHERE option_name = 'cron'
   FOR UPDATE

-- name: events.option_write
-- in:   value:text
-- rows: 1; the row is locked
UPDATE {p}options
   SET option_value = ?
 WHERE option_name = 'cron'

-- name: events.options_engine
-- in:   none
-- rows: the storage engine of the options
-- explain: exempt information_schema
SELECT t.ENGINE
  FROM information_schema.TABLES t
 WHERE t.TABLE_SCHEMA = DATABASE()
   AND t.TABLE_NAME = '{p}options'

-- ---- taking --------------------------------------------------------------

-- What was never taken is no ledger: observed and gone rows.
-- name: events.ledger
-- in:   blog:u64, seconds:u64=3600, rows(slot:bytes)
-- rows: those slots that are in our hands or ended within so many seconds
-- explain: rows 200
SELECT DISTINCT e.slot
  FROM {base}wpcron_events AS e FORCE INDEX (slot)
 WHERE e.blog_id = ?
   AND (e.ended_at IS NULL
        OR e.ended_at > UTC_TIMESTAMP(6) - INTERVAL ? SECOND)
   AND e.state NOT IN ('observed', 'gone')
   AND e.slot IN ({rows 1})

-- `now` is when a row may begin at the earliest. worker.php runs it, too.
-- name: events.insert
-- in:   rows(blog:u64 state:text scheduled:i64 hook:bytes key:bytes slot:bytes recurrence:bytes event:bytes next:i64 not_before:text=2026-01-01 woken_by:text taken:text=2026-01-01 ended:text=2026-01-01 message:bytes)
-- rows: one an event
-- explain: exempt insert of given rows
INSERT INTO {base}wpcron_events
       (blog_id, state, scheduled_at, hook, event_key, slot, recurrence, event,
        next_at, not_before, woken_by, taken_at, ended_at, message)
VALUES {rows 14}

-- ---- claiming ------------------------------------------------------------

-- name: events.next_waiting
-- in:   blog:u64
-- rows: microseconds until the first waiting row may begin, or NULL
SELECT TIMESTAMPDIFF(MICROSECOND, UTC_TIMESTAMP(6), MIN(e.not_before))
  FROM {base}wpcron_events AS e
 WHERE e.state = 'taken'
   AND e.claim_id = 0
   AND e.blog_id = ?

-- The index gives the rows of one blog; there are not many more than
-- CRON_TAKE_MAX of them, so that they may be sorted.
-- name: events.waiting
-- in:   blog:u64, max:u64=10000
-- rows: id, hook and time of rows that may begin now, first due first
SELECT e.event_id, e.hook, e.scheduled_at
  FROM {base}wpcron_events AS e FORCE INDEX (waiting)
 WHERE e.state = 'taken'
   AND e.claim_id = 0
   AND e.blog_id = ?
   AND e.not_before <= UTC_TIMESTAMP(6)
 ORDER BY e.scheduled_at, e.event_id
 LIMIT ?

-- name: events.waiting_one
-- in:   blog:u64, id:u64
-- rows: hook and time of one row, if it waits, due or not
SELECT e.hook, e.scheduled_at
  FROM {base}wpcron_events AS e
 WHERE e.blog_id = ?
   AND e.event_id = ?
   AND e.state = 'taken'
   AND e.claim_id = 0

-- name: events.busy
-- in:   blog:u64
-- rows: hooks of rows that are claimed or run, some of them more than once
-- explain: rows 5000 what all nodes hold at one time, and not the history
SELECT e.hook
  FROM {base}wpcron_events AS e FORCE INDEX (waiting)
 WHERE e.state IN ('taken', 'running')
   AND e.claim_id > 0
   AND e.blog_id = ?

-- A lease that nobody holds: its row is what two nodes that claim events of
-- one blog wait for each other on.
-- name: events.mutex
-- in:   name:text
-- rows: one, locked; none before it was added
SELECT 1 FROM {base}wpcron_leases WHERE name = ? FOR UPDATE

-- name: events.fetch
-- in:   blog:u64, ids
-- rows: what an executor needs of rows that are still free
SELECT e.event_id, e.hook, e.scheduled_at, e.recurrence, e.event, e.try,
       e.strikes, e.woken_by
  FROM {base}wpcron_events AS e FORCE INDEX (PRIMARY)
 WHERE e.blog_id = ?
   AND e.event_id IN ({ids})
   AND e.state = 'taken'
   AND e.claim_id = 0

-- name: events.claim
-- in:   claim:u64, node:u64, executor:text, deadline_us:i64, blog:u64, ids
-- rows: how many were free and are ours now (compare-and-swap)
UPDATE {base}wpcron_events FORCE INDEX (PRIMARY)
   SET claim_id = ?, node_id = ?, executor = ?, claimed_at = UTC_TIMESTAMP(6),
       deadline = UTC_TIMESTAMP(6) + INTERVAL ? MICROSECOND,
       started_at = NULL
 WHERE blog_id = ?
   AND event_id IN ({ids})
   AND state = 'taken'
   AND claim_id = 0

-- name: events.of_claim
-- in:   blog:u64, claim:u64, ids
-- rows: ids of these rows that the claim holds, and whether each runs
SELECT e.event_id, e.state = 'running'
  FROM {base}wpcron_events AS e FORCE INDEX (PRIMARY)
 WHERE e.blog_id = ?
   AND e.claim_id = ?
   AND e.event_id IN ({ids})
   AND e.state IN ('taken', 'running')

-- name: events.woken_by
-- in:   word:text, blog:u64, id:u64
-- rows: 1
UPDATE {base}wpcron_events FORCE INDEX (PRIMARY)
   SET woken_by = ?
 WHERE blog_id = ?
   AND event_id = ?

-- ---- running and ending --------------------------------------------------

-- name: events.start
-- in:   blog:u64, claim:u64, ids
-- rows: how many run now
UPDATE {base}wpcron_events FORCE INDEX (PRIMARY)
   SET state = 'running', started_at = UTC_TIMESTAMP(6)
 WHERE blog_id = ?
   AND claim_id = ?
   AND event_id IN ({ids})
   AND state = 'taken'

-- name: events.php_start
-- in:   blog:u64, id:u64, claim:u64
-- rows: 1 when the row is still ours and runs now; run by worker.php directly
--       before it fires the hook
UPDATE {base}wpcron_events FORCE INDEX (PRIMARY)
   SET state = 'running', started_at = UTC_TIMESTAMP(6)
 WHERE blog_id = ?
   AND event_id = ?
   AND claim_id = ?
   AND state = 'taken'

-- name: events.php_running
-- in:   blog:u64, id:u64, claim:u64
-- rows: one when the row runs under our claim; run by worker.php when the
--       answer to events.php_start was lost with its connection
SELECT 1
  FROM {base}wpcron_events
 WHERE blog_id = ?
   AND event_id = ?
   AND claim_id = ?
   AND state = 'running'

-- name: events.php_end
-- in:   state:text, message:bytes, blog:u64, id:u64, claim:u64
-- rows: 1 when the row runs under our claim, and ends; run by worker.php when
--       the program that would settle it is gone
UPDATE {base}wpcron_events FORCE INDEX (PRIMARY)
   SET state = ?, message = ?,
       duration_ms = TIMESTAMPDIFF(MICROSECOND, started_at,
           UTC_TIMESTAMP(6)) DIV 1000,
       ended_at = UTC_TIMESTAMP(6)
 WHERE blog_id = ?
   AND event_id = ?
   AND claim_id = ?
   AND state = 'running'

-- name: events.php_again
-- in:   try:u64, wait_us:i64, message:bytes, blog:u64, id:u64, claim:u64
-- rows: 1 when the row runs under our claim, and waits for its next try; run
--       by worker.php in place of events.php_end
UPDATE {base}wpcron_events FORCE INDEX (PRIMARY)
   SET state = 'taken', claim_id = 0, node_id = 0, try = ?,
       not_before = UTC_TIMESTAMP(6) + INTERVAL ? MICROSECOND,
       claimed_at = NULL, started_at = NULL, deadline = NULL, message = ?
 WHERE blog_id = ?
   AND event_id = ?
   AND claim_id = ?
   AND state = 'running'

-- name: events.lock
-- in:   blog:u64, ids
-- rows: state and claim of rows about to be settled, locked
SELECT e.event_id, e.state, e.claim_id
  FROM {base}wpcron_events AS e FORCE INDEX (PRIMARY)
 WHERE e.blog_id = ?
   AND e.event_id IN ({ids})
 ORDER BY e.event_id
   FOR UPDATE

-- name: events.end
-- in:   state:text, duration_ms:u64, strikes:u64, message:bytes, blog:u64, id:u64
-- rows: 1; the row is locked and ours
UPDATE {base}wpcron_events FORCE INDEX (PRIMARY)
   SET state = ?,
       duration_ms = COALESCE(?, TIMESTAMPDIFF(MICROSECOND, started_at,
           UTC_TIMESTAMP(6)) DIV 1000),
       ended_at = UTC_TIMESTAMP(6), strikes = ?, message = ?
 WHERE blog_id = ?
   AND event_id = ?

-- name: events.again
-- in:   try:u64, strikes:u64, wait_us:i64, message:bytes, blog:u64, id:u64
-- rows: 1; the row is locked and ours, and waits for its next try
UPDATE {base}wpcron_events FORCE INDEX (PRIMARY)
   SET state = 'taken', claim_id = 0, node_id = 0, try = ?, strikes = ?,
       not_before = UTC_TIMESTAMP(6) + INTERVAL ? MICROSECOND,
       claimed_at = NULL, started_at = NULL, deadline = NULL, message = ?
 WHERE blog_id = ?
   AND event_id = ?

-- name: events.release
-- in:   blog:u64, ids
-- rows: how many wait again; the rows are locked and were never begun
UPDATE {base}wpcron_events FORCE INDEX (PRIMARY)
   SET state = 'taken', claim_id = 0, node_id = 0, claimed_at = NULL,
       started_at = NULL, deadline = NULL
 WHERE blog_id = ?
   AND event_id IN ({ids})

-- ---- dead owners ---------------------------------------------------------

-- name: events.orphans
-- in:   blog:u64, node:u64
-- rows: id, claim, whether it runs, hook, executor, try, strikes and whether
--       its deadline is over: rows whose node is gone, and those that our own
--       claimed a while ago
-- explain: rows 10000 what all nodes hold at one time, and not the history
SELECT e.event_id, e.claim_id, e.state = 'running', e.hook, e.executor, e.try,
       e.strikes, COALESCE(e.deadline < UTC_TIMESTAMP(6), 1)
  FROM {base}wpcron_events AS e FORCE INDEX (waiting)
  LEFT JOIN {base}wpcron_nodes AS n ON n.node_id = e.node_id
 WHERE e.state IN ('taken', 'running')
   AND e.claim_id > 0
   AND e.blog_id = ?
   AND (n.node_id IS NULL
        OR (e.node_id = ?
            AND e.claimed_at < UTC_TIMESTAMP(6) - INTERVAL 15 SECOND))
 LIMIT 5000

-- name: events.adopt
-- in:   node:u64, blog:u64, ids
-- rows: how many rows of these claims are this node's again
UPDATE {base}wpcron_events FORCE INDEX (waiting)
   SET node_id = ?
 WHERE state IN ('taken', 'running')
   AND blog_id = ?
   AND claim_id IN ({ids})

-- ---- looking after -------------------------------------------------------

-- name: events.in_hand
-- in:   blog:u64, same_blog:u64
-- rows: is something claimed, does something wait for its turn
-- explain: rows 5000 what all nodes hold at one time
SELECT EXISTS (SELECT 1
                 FROM {base}wpcron_events AS e FORCE INDEX (waiting)
                WHERE e.state IN ('taken', 'running')
                  AND e.claim_id > 0
                  AND e.blog_id = ?),
       EXISTS (SELECT 1
                 FROM {base}wpcron_events AS e FORCE INDEX (waiting)
                WHERE e.state = 'taken'
                  AND e.claim_id = 0
                  AND e.blog_id = ?
                  AND e.not_before < UTC_TIMESTAMP(6) + INTERVAL 60 SECOND)

-- name: events.php_left
-- in:   claim:u64, blog:u64, same_blog:u64
-- rows: 0 when only this claim's events are in our hands; run by worker.php
--       at the end of a batch, and, with claim 0, after it took events
-- explain: rows 5000 what all nodes hold at one time
SELECT EXISTS (SELECT 1
                 FROM {base}wpcron_events AS e FORCE INDEX (waiting)
                WHERE e.state IN ('taken', 'running')
                  AND e.claim_id > 0
                  AND e.claim_id <> ?
                  AND e.blog_id = ?)
     + EXISTS (SELECT 1
                 FROM {base}wpcron_events AS e FORCE INDEX (waiting)
                WHERE e.state = 'taken'
                  AND e.claim_id = 0
                  AND e.blog_id = ?
                  AND e.not_before < UTC_TIMESTAMP(6) + INTERVAL 60 SECOND)

-- name: events.durations
-- in:   blog:u64
-- rows: hook and duration of the newest rows that ran
-- explain: rows 2100
SELECT z.hook, z.duration_ms
  FROM (SELECT e.hook, e.duration_ms
          FROM {base}wpcron_events AS e FORCE INDEX (PRIMARY)
         WHERE e.blog_id = ?
         ORDER BY e.event_id DESC
         LIMIT 1000) AS z
 WHERE z.duration_ms IS NOT NULL

-- Of all blogs: whoever looks first does it.
-- name: events.expired
-- in:   seconds:u64=604800
-- rows: rows that ended longer ago, oldest first
SELECT e.event_id
  FROM {base}wpcron_events AS e FORCE INDEX (ended)
 WHERE e.ended_at < UTC_TIMESTAMP(6) - INTERVAL ? SECOND
 ORDER BY e.ended_at
 LIMIT 500

-- name: events.forget
-- in:   ids
-- rows: how many; nobody touches what ended so long ago
DELETE FROM {base}wpcron_events
 WHERE event_id IN ({ids})

-- name: events.unbegun
-- in:   blog:u64
-- rows: rows that wait and were never begun, in the order of the option
-- explain: rows 5000 not many more than CRON_TAKE_MAX
SELECT e.event_id, e.scheduled_at, e.hook, e.event_key, e.recurrence, e.event,
       e.next_at
  FROM {base}wpcron_events AS e FORCE INDEX (waiting)
 WHERE e.state = 'taken'
   AND e.claim_id = 0
   AND e.blog_id = ?
   AND e.try = 1
 ORDER BY e.event_id
 LIMIT 1000

-- name: events.drop
-- in:   blog:u64, ids
-- rows: how many; they are in the option again
DELETE FROM {base}wpcron_events
 WHERE blog_id = ?
   AND event_id IN ({ids})

-- ---- observing -----------------------------------------------------------

-- name: events.observed
-- in:   blog:u64
-- rows: id and slot of events that were seen due and are still in the option
-- explain: rows 20000 what is due and nobody runs
SELECT e.event_id, e.slot
  FROM {base}wpcron_events AS e FORCE INDEX (waiting)
 WHERE e.state = 'observed'
   AND e.claim_id = 0
   AND e.blog_id = ?

-- name: events.gone
-- in:   blog:u64, ids
-- rows: how many are not in the option any more
UPDATE {base}wpcron_events FORCE INDEX (PRIMARY)
   SET state = 'gone', ended_at = UTC_TIMESTAMP(6)
 WHERE blog_id = ?
   AND event_id IN ({ids})
   AND state = 'observed'

-- name: events.now
-- in:   none
-- rows: the server's time
-- explain: exempt no table
SELECT UTC_TIMESTAMP(6)
