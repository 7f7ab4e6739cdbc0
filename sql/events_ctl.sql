-- What an administrator sees and changes of cron events, pauses and blogs; see
-- ctl.sql. Microseconds are since 1970.

-- name: events_ctl.option
-- in: none
-- rows: the option `cron`; none: there is none
SELECT o.option_value
  FROM {p}options o
 WHERE o.option_name = 'cron'

-- `yes` means autoloaded to every version of WordPress.
-- name: events_ctl.option_insert
-- in: value:text
-- rows: 1
-- explain: exempt single-row insert
INSERT INTO {p}options (option_name, option_value, autoload)
VALUES ('cron', ?, 'yes')

-- name: events_ctl.options_engine
-- in: none
-- rows: the storage engine of the options
-- explain: exempt information_schema
SELECT t.ENGINE
  FROM information_schema.TABLES t
 WHERE t.TABLE_SCHEMA = DATABASE()
   AND t.TABLE_NAME = '{p}options'

-- name: events_ctl.lock_owner
-- in: name:text
-- rows: the node on record for a lock's value, and its host where it lives
SELECT l.node, n.host, n.pid
  FROM {base}wpcron_leases l
  LEFT JOIN {base}wpcron_nodes n ON n.node_id = l.node
 WHERE l.name = ?

-- name: events_ctl.live
-- in: blog:u64
-- rows: events that wait or run: id, state, hook, key, timestamp, recurrence,
--       bytes, claim, node, its earliest begin, when it began, try
-- explain: exempt the events in hand
SELECT e.event_id, e.state, e.hook, e.event_key, e.scheduled_at,
       e.recurrence, e.event, e.claim_id, e.node_id,
       TIMESTAMPDIFF(MICROSECOND, '1970-01-01', e.not_before),
       TIMESTAMPDIFF(MICROSECOND, '1970-01-01', e.started_at), e.try
  FROM {base}wpcron_events e
 WHERE e.state IN ('taken', 'running')
   AND e.blog_id = ?
 ORDER BY e.scheduled_at, e.event_id

-- An empty text is no filter.
-- name: events_ctl.history
-- in: blog:u64, any_hook:bytes, hook:bytes, any_state:text, state:text, max:u64, skip:u64
-- rows: events that left the option, newest first: id, state, hook,
--       timestamp, recurrence, taken, started and ended at, duration,
--       executor, who asked, try, node, next timestamp, message, key
-- explain: exempt the filters and the page decide
SELECT e.event_id, e.state, e.hook, e.scheduled_at, e.recurrence,
       TIMESTAMPDIFF(MICROSECOND, '1970-01-01', e.taken_at),
       TIMESTAMPDIFF(MICROSECOND, '1970-01-01', e.started_at),
       TIMESTAMPDIFF(MICROSECOND, '1970-01-01', e.ended_at),
       e.duration_ms, e.executor, e.woken_by, e.try, e.node_id, e.next_at,
       e.message, e.event_key
  FROM {base}wpcron_events e
 WHERE e.blog_id = ?
   AND (? = '' OR e.hook = ?)
   AND (? = '' OR e.state = ?)
 ORDER BY e.event_id DESC
 LIMIT ? OFFSET ?

-- name: events_ctl.of_ids
-- in: blog:u64, ids
-- rows: id, state, hook, duration, message, node and claim of events, and
--       whether they may begin now
SELECT e.event_id, e.state, e.hook, e.duration_ms, e.message, e.node_id,
       e.claim_id, e.not_before <= UTC_TIMESTAMP(6)
  FROM {base}wpcron_events e
 WHERE e.blog_id = ?
   AND e.event_id IN ({ids})
 ORDER BY e.event_id

-- name: events_ctl.newest
-- in: blog:u64
-- rows: one: the greatest id of the blog's events, NULL for none
SELECT MAX(e.event_id)
  FROM {base}wpcron_events e
 WHERE e.blog_id = ?

-- name: events_ctl.newer
-- in: blog:u64, after:u64, max:u64
-- rows: id and hook of the events after an id
SELECT e.event_id, e.hook
  FROM {base}wpcron_events e
 WHERE e.blog_id = ?
   AND e.event_id > ?
 ORDER BY e.event_id
 LIMIT ?

-- name: events_ctl.failed_of_hook
-- in: blog:u64, hook:bytes
-- rows: ids of a hook's failed events
-- explain: exempt the events of a hook
SELECT e.event_id
  FROM {base}wpcron_events e
 WHERE e.blog_id = ?
   AND e.hook = ?
   AND e.state = 'failed'
 ORDER BY e.event_id

-- name: events_ctl.retry
-- in: blog:u64, id:u64
-- rows: 1: waits again; 0: it has not failed
UPDATE {base}wpcron_events
   SET state = 'taken', claim_id = 0, node_id = 0,
       not_before = UTC_TIMESTAMP(6), woken_by = 'ctl', try = 1, strikes = 0,
       started_at = NULL, deadline = NULL, ended_at = NULL,
       duration_ms = NULL, message = ''
 WHERE blog_id = ?
   AND event_id = ?
   AND state = 'failed'

-- name: events_ctl.in_hand
-- in: none
-- rows: one: how many events of all blogs are claimed or run
-- explain: exempt the events in hand
SELECT COUNT(*)
  FROM {base}wpcron_events e
 WHERE e.state IN ('taken', 'running')
   AND e.claim_id > 0

-- name: events_ctl.waiting_blogs
-- in: none
-- rows: blogs with events that were taken and not begun, and how many
-- explain: exempt the events in hand
SELECT e.blog_id, COUNT(*)
  FROM {base}wpcron_events e
 WHERE e.state = 'taken'
 GROUP BY e.blog_id

-- name: events_ctl.unclaim
-- in: blog:u64
-- rows: how many had a claim; no node lives that could begin them
-- explain: exempt the events in hand
UPDATE {base}wpcron_events
   SET claim_id = 0, node_id = 0
 WHERE state = 'taken'
   AND claim_id > 0
   AND blog_id = ?

-- name: events_ctl.drop
-- in: blog:u64, ids
-- rows: how many of the waiting events will not run
UPDATE {base}wpcron_events
   SET state = 'skipped', ended_at = UTC_TIMESTAMP(6),
       message = 'unscheduled by wp-cronctl'
 WHERE blog_id = ?
   AND event_id IN ({ids})
   AND state = 'taken'
   AND claim_id = 0

-- name: events_ctl.take
-- in: blog:u64, scheduled:i64, hook:bytes, key:bytes, slot:bytes, recurrence:bytes, event:bytes, next:i64
-- rows: 1; it waits for a worker from now on
-- explain: exempt single-row insert
INSERT INTO {base}wpcron_events
       (blog_id, state, scheduled_at, hook, event_key, slot, recurrence,
        event, next_at, not_before, woken_by, taken_at)
VALUES (?, 'taken', ?, ?, ?, ?, ?, ?, ?, UTC_TIMESTAMP(6), 'ctl',
       UTC_TIMESTAMP(6))

-- name: events_ctl.pauses
-- in: none
-- rows: every pause: blog (0: all), kind, pattern, since when
-- explain: exempt a row a pause
SELECT p.blog_id, p.kind, p.pattern, p.paused_at
  FROM {base}wpcron_policies p
 ORDER BY p.kind, p.pattern, p.blog_id

-- name: events_ctl.pause
-- in: blog:u64, kind:text, pattern:bytes
-- rows: 1: new; 0: it was there
-- explain: exempt single-row insert
INSERT IGNORE INTO {base}wpcron_policies (blog_id, kind, pattern, paused_at)
VALUES (?, ?, ?, UTC_TIMESTAMP(6))

-- name: events_ctl.resume
-- in: blog:u64, kind:text, pattern:bytes
-- rows: 1: it was paused
DELETE FROM {base}wpcron_policies
 WHERE blog_id = ?
   AND kind = ?
   AND pattern = ?

-- name: events_ctl.sites
-- in: none
-- rows: every blog of the network, as wp_blogs has it
-- explain: exempt the list of blogs
SELECT b.blog_id, b.site_id, b.domain, b.path, b.registered, b.last_updated,
       b.public, b.archived, b.mature, b.spam, b.deleted
  FROM {base}blogs b
 ORDER BY b.blog_id

-- name: events_ctl.observed
-- in: blog:u64
-- rows: of each hook: how many events would have run, how many of them
--       WordPress ran, its mean and greatest lateness in microseconds, the
--       first and last timestamp
-- explain: exempt the rows of a trial
SELECT e.hook, COUNT(*), SUM(e.state = 'gone'),
       CAST(AVG(IF(e.state = 'gone', TIMESTAMPDIFF(MICROSECOND, '1970-01-01',
         e.ended_at) - e.scheduled_at * 1000000, NULL)) AS SIGNED),
       MAX(IF(e.state = 'gone', TIMESTAMPDIFF(MICROSECOND, '1970-01-01',
         e.ended_at) - e.scheduled_at * 1000000, NULL)),
       MIN(e.scheduled_at), MAX(e.scheduled_at)
  FROM {base}wpcron_events e
 WHERE e.blog_id = ?
   AND e.state IN ('observed', 'gone')
 GROUP BY e.hook
 ORDER BY e.hook

-- name: events_ctl.observing_since
-- in: blog:u64
-- rows: one: when the first event was observed, NULL for none
-- explain: exempt the rows of a trial
SELECT MIN(e.taken_at)
  FROM {base}wpcron_events e
 WHERE e.blog_id = ?
   AND e.state IN ('observed', 'gone')

-- name: events_ctl.completed
-- in: since:time
-- rows: of each hook: actions that ended since then, mean and greatest
--       lateness in seconds
-- explain: exempt the actions since then, by the index of retention
SELECT a.hook, COUNT(*),
       CAST(AVG(TIMESTAMPDIFF(SECOND, a.scheduled_date_gmt,
         a.last_attempt_gmt)) AS SIGNED),
       MAX(TIMESTAMPDIFF(SECOND, a.scheduled_date_gmt, a.last_attempt_gmt))
  FROM {p}actionscheduler_actions a FORCE INDEX ({retention_index})
 WHERE a.status = 'complete'
   AND a.last_attempt_gmt >= ?
   AND a.scheduled_date_gmt >= '1970-01-02'
 GROUP BY a.hook
 ORDER BY a.hook

-- name: events_ctl.overdue
-- in: now:time
-- rows: of each hook: actions that are due and were not begun
-- explain: exempt the due actions, along the index of the claim
SELECT a.hook, COUNT(*)
  FROM {p}actionscheduler_actions a FORCE INDEX ({due_index})
 WHERE a.claim_id = 0
   AND a.status = 'pending'
   AND a.scheduled_date_gmt <= ?
 GROUP BY a.hook
 ORDER BY a.hook

-- name: events_ctl.fleet
-- in: none
-- rows: one: how many nodes live, microseconds since the latest heartbeat
SELECT COUNT(*), MIN(TIMESTAMPDIFF(MICROSECOND, n.heartbeat_at,
       UTC_TIMESTAMP(6)))
  FROM {base}wpcron_nodes n
