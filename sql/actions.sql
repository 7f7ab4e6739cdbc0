-- The Action Scheduler tables: {p}actionscheduler_actions, _claims, _logs,
-- and beside them {base}wpcron_claims (whose a claim is) and {base}wpcron_tries
-- (which try of which action a row is). Rows are always taken, written and
-- given back by primary key; the only reads by anything else use the indexes
-- that {due_index} and the hints name.

-- name: actions.next_due
-- in: date:time, same_date:time, after:u64
-- rows: scheduled_date_gmt of the first unclaimed pending row behind the cursor
SELECT a.scheduled_date_gmt
  FROM {p}actionscheduler_actions AS a FORCE INDEX ({due_index})
 WHERE a.claim_id = 0
   AND a.status = 'pending'
   AND (a.scheduled_date_gmt > ?
        OR (a.scheduled_date_gmt = ? AND a.action_id > ?))
 ORDER BY a.scheduled_date_gmt, a.action_id
 LIMIT 1

-- name: actions.window
-- in: date:time, same_date:time, after:u64, now:time, max:u64
-- rows: due unclaimed rows behind the cursor, soonest first
SELECT a.action_id, a.hook, a.group_id,
       {?priority a.priority}{!priority 10 AS priority},
       a.scheduled_date_gmt
  FROM {p}actionscheduler_actions AS a FORCE INDEX ({due_index})
 WHERE a.claim_id = 0
   AND a.status = 'pending'
   AND (a.scheduled_date_gmt > ?
        OR (a.scheduled_date_gmt = ? AND a.action_id > ?))
   AND a.scheduled_date_gmt <= ?
 ORDER BY a.scheduled_date_gmt, a.action_id
 LIMIT ?

-- A bound below 0 would be no way to say "all": MariaDB's MIN() then passes
-- over the rows of priority 0, the column being unsigned.
-- name: actions.priority_from
-- in: priority:u64
-- rows: the least priority from that on among unclaimed pending rows, or NULL
-- needs: priority_index
SELECT MIN(a.priority)
  FROM {p}actionscheduler_actions AS a
       FORCE INDEX (claim_id_status_priority_scheduled_date_gmt)
 WHERE a.claim_id = 0
   AND a.status = 'pending'
   AND a.priority >= ?

-- name: actions.window_of_priority
-- in: priority:u64, date:time, same_date:time, after:u64, now:time, max:u64
-- rows: due unclaimed rows of one priority behind its cursor, soonest first
-- needs: priority_index
SELECT a.action_id, a.hook, a.group_id, a.priority, a.scheduled_date_gmt
  FROM {p}actionscheduler_actions AS a
       FORCE INDEX (claim_id_status_priority_scheduled_date_gmt)
 WHERE a.claim_id = 0
   AND a.status = 'pending'
   AND a.priority = ?
   AND (a.scheduled_date_gmt > ?
        OR (a.scheduled_date_gmt = ? AND a.action_id > ?))
   AND a.scheduled_date_gmt <= ?
 ORDER BY a.scheduled_date_gmt, a.action_id
 LIMIT ?

-- name: actions.fetch
-- in: blog:u64, ids
-- rows: what an executor needs of rows that are still free, by action_id
SELECT a.action_id, a.hook, a.group_id,
       {?priority a.priority}{!priority 10 AS priority},
       a.scheduled_date_gmt, a.args,
       {?extended_args a.extended_args}{!extended_args NULL AS extended_args},
       a.schedule, t.origin_id, t.try, t.strikes
  FROM {p}actionscheduler_actions AS a
  LEFT JOIN {base}wpcron_tries AS t
    ON t.blog_id = ? AND t.action_id = a.action_id
 WHERE a.action_id IN ({ids})
   AND a.claim_id = 0
   AND a.status = 'pending'
 ORDER BY a.action_id

-- name: actions.group_slugs
-- in: ids
-- rows: group_id and slug
SELECT g.group_id, g.slug
  FROM {p}actionscheduler_groups AS g
 WHERE g.group_id IN ({ids})

-- name: actions.claim_new
-- in: now:time
-- rows: 1; the claim is the insert id
-- explain: exempt single-row insert
INSERT INTO {p}actionscheduler_claims (date_created_gmt) VALUES (?)

-- name: actions.claim_own
-- in: blog:u64, claim:u64, node:u64, executor:text
-- rows: 1
-- explain: exempt single-row insert
INSERT INTO {base}wpcron_claims
       (blog_id, claim_id, node_id, executor, claimed_at, deadline)
VALUES (?, ?, ?, ?, UTC_TIMESTAMP(6), NULL)

-- name: actions.claim_deadline
-- in: microseconds:i64, blog:u64, claim:u64
-- rows: 1; how long rows of this claim may run in PHP after its owner died
UPDATE {base}wpcron_claims
   SET deadline = UTC_TIMESTAMP(6) + INTERVAL ? MICROSECOND
 WHERE blog_id = ?
   AND claim_id = ?

-- name: actions.take
-- in: claim:u64, now:time, local:time, ids
-- rows: how many were free and are ours now (compare-and-swap by primary key)
UPDATE {p}actionscheduler_actions FORCE INDEX (PRIMARY)
   SET claim_id = ?, last_attempt_gmt = ?, last_attempt_local = ?
 WHERE action_id IN ({ids})
   AND claim_id = 0
   AND status = 'pending'

-- name: actions.taken
-- in: claim:u64, ids
-- rows: the ids that the claim holds
SELECT action_id
  FROM {p}actionscheduler_actions
 WHERE claim_id = ?
   AND action_id IN ({ids})

-- name: actions.start
-- in: now:time, local:time, claim:u64, ids
-- rows: how many are running now
UPDATE {p}actionscheduler_actions FORCE INDEX (PRIMARY)
   SET status = 'in-progress', attempts = attempts + 1,
       last_attempt_gmt = ?, last_attempt_local = ?
 WHERE claim_id = ?
   AND status = 'pending'
   AND action_id IN ({ids})

-- name: actions.startable
-- in: claim:u64, ids
-- rows: what of a claim waits or runs: id, whether it runs, since when; locked
SELECT action_id, status = 'in-progress', last_attempt_gmt
  FROM {p}actionscheduler_actions FORCE INDEX (PRIMARY)
 WHERE claim_id = ?
   AND status IN ('pending', 'in-progress')
   AND action_id IN ({ids})
 ORDER BY action_id
   FOR UPDATE

-- name: actions.php_own
-- in: offset:i64, id:u64, claim:u64
-- rows: 1 when the row is still ours; run by worker.php directly before the
--       plugin runs the row, so that a rescuer sees that it moved
UPDATE {p}actionscheduler_actions FORCE INDEX (PRIMARY)
   SET last_attempt_gmt = GREATEST(UTC_TIMESTAMP(),
           last_attempt_gmt + INTERVAL 1 SECOND),
       last_attempt_local = last_attempt_gmt + INTERVAL ? SECOND
 WHERE action_id = ?
   AND claim_id = ?
   AND status = 'pending'

-- name: actions.php_start
-- in: offset:i64, id:u64, claim:u64
-- rows: 1 when the row is still ours and runs now; run by worker.php directly
--       before it fires the hook itself
UPDATE {p}actionscheduler_actions FORCE INDEX (PRIMARY)
   SET status = 'in-progress', attempts = attempts + 1,
       last_attempt_gmt = GREATEST(UTC_TIMESTAMP(),
           last_attempt_gmt + INTERVAL 1 SECOND),
       last_attempt_local = last_attempt_gmt + INTERVAL ? SECOND
 WHERE action_id = ?
   AND claim_id = ?
   AND status = 'pending'

-- name: actions.php_running
-- in: id:u64, claim:u64
-- rows: one when the row runs under our claim; run by worker.php when the
--       answer to actions.php_start was lost with its connection
SELECT 1
  FROM {p}actionscheduler_actions
 WHERE action_id = ?
   AND claim_id = ?
   AND status = 'in-progress'

-- name: actions.php_started_log
-- in: id:u64, message:text, offset:i64
-- rows: 1; run by worker.php after actions.php_start
-- explain: exempt single-row insert
INSERT INTO {p}actionscheduler_logs
       (action_id, message, log_date_gmt, log_date_local)
VALUES (?, ?, UTC_TIMESTAMP(), UTC_TIMESTAMP() + INTERVAL ? SECOND)

-- name: actions.lock
-- in: ids
-- rows: status, claim and last attempt of rows about to be settled, locked
SELECT action_id, status, claim_id, last_attempt_gmt
  FROM {p}actionscheduler_actions
 WHERE action_id IN ({ids})
 ORDER BY action_id
   FOR UPDATE

-- name: actions.complete
-- in: now:time, local:time, ids
-- rows: how many; the rows are locked and known to be ours
UPDATE {p}actionscheduler_actions FORCE INDEX (PRIMARY)
   SET status = 'complete', last_attempt_gmt = ?, last_attempt_local = ?
       {?unique_key , unique_key = NULL}
 WHERE action_id IN ({ids})

-- name: actions.fail
-- in: ids
-- rows: how many; the rows are locked and known to be ours
UPDATE {p}actionscheduler_actions FORCE INDEX (PRIMARY)
   SET status = 'failed' {?unique_key , unique_key = NULL}
 WHERE action_id IN ({ids})

-- name: actions.fail_orphan
-- in: id:u64, claim:u64, seen:time
-- rows: 1 when its owner died while it ran and nobody touched it since
UPDATE {p}actionscheduler_actions FORCE INDEX (PRIMARY)
   SET status = 'failed', claim_id = 0 {?unique_key , unique_key = NULL}
 WHERE action_id = ?
   AND claim_id = ?
   AND status = 'in-progress'
   AND last_attempt_gmt = ?

-- name: actions.reset_orphan
-- in: id:u64, claim:u64, seen:time
-- rows: 1 when its owner died before it started and nobody touched it since
UPDATE {p}actionscheduler_actions FORCE INDEX (PRIMARY)
   SET claim_id = 0
 WHERE action_id = ?
   AND claim_id = ?
   AND status = 'pending'
   AND last_attempt_gmt = ?

-- name: actions.release
-- in: claim:u64, ids
-- rows: how many never started and are free again
UPDATE {p}actionscheduler_actions FORCE INDEX (PRIMARY)
   SET claim_id = 0
 WHERE claim_id = ?
   AND status = 'pending'
   AND action_id IN ({ids})

-- name: actions.unstart
-- in: claim:u64, ids
-- rows: how many were marked running, but never begun, and are free again
UPDATE {p}actionscheduler_actions FORCE INDEX (PRIMARY)
   SET status = 'pending', claim_id = 0
 WHERE claim_id = ?
   AND status = 'in-progress'
   AND action_id IN ({ids})

-- name: actions.claim_drop
-- in: ids
-- rows: how many claims ended
DELETE FROM {p}actionscheduler_claims
 WHERE claim_id IN ({ids})

-- name: actions.claim_disown
-- in: blog:u64, ids
-- rows: how many claims ended
DELETE FROM {base}wpcron_claims
 WHERE blog_id = ?
   AND claim_id IN ({ids})

-- name: actions.insert
-- in: hook:text, scheduled:time, local:time, schedule:text, group:u64, priority:u64, args:text, extended:text
-- rows: 1; the action is the insert id
-- explain: exempt single-row insert
INSERT INTO {p}actionscheduler_actions
       (hook, status, scheduled_date_gmt, scheduled_date_local, schedule,
        group_id, {?priority priority,} args {?extended_args , extended_args})
VALUES (?, 'pending', ?, ?, ?, ?, {?priority ?,} ? {?extended_args , ?})

-- name: actions.delete
-- in: ids
-- rows: how many
DELETE FROM {p}actionscheduler_actions
 WHERE action_id IN ({ids})

-- name: actions.log
-- in: rows(id:u64 message:text date:time local:time)
-- rows: one a message
-- explain: exempt insert of given rows
INSERT INTO {p}actionscheduler_logs
       (action_id, message, log_date_gmt, log_date_local)
VALUES {rows 4}

-- name: actions.delete_logs
-- in: ids
-- rows: how many
DELETE FROM {p}actionscheduler_logs
 WHERE action_id IN ({ids})

-- name: actions.try_new
-- in: blog:u64, id:u64, origin:u64, try:u64, strikes:u64
-- rows: 1; a duplicate means that this try is there already
-- explain: exempt single-row insert
INSERT INTO {base}wpcron_tries
       (blog_id, action_id, origin_id, try, strikes, created_at)
VALUES (?, ?, ?, ?, ?, UTC_TIMESTAMP(6))

-- name: actions.oldest_failed
-- in: hook:text, nth:u64
-- rows: scheduled_date_gmt of the nth oldest failed row of a hook, from 0
-- explain: exempt sorts the failed rows of one hook, as PHP's rule does, and only after a failure of a series
SELECT a.scheduled_date_gmt
  FROM {p}actionscheduler_actions AS a
 WHERE a.hook = ?
   AND a.status = 'failed'
 ORDER BY a.scheduled_date_gmt
 LIMIT ?, 1

-- name: actions.older_not_failed
-- in: hook:text, date:time, status:text
-- rows: one if a row of the hook in that status is older
SELECT 1
  FROM {p}actionscheduler_actions AS a
 WHERE a.hook = ?
   AND a.scheduled_date_gmt < ?
   AND a.status = ?
 LIMIT 1

-- name: actions.of_claim
-- in: blog:u64, claim:u64
-- rows: pending and running rows of a claim, with what a fresh try needs
SELECT a.action_id, a.status, a.last_attempt_gmt, a.hook, a.group_id,
       {?priority a.priority}{!priority 10 AS priority}, a.args,
       {?extended_args a.extended_args}{!extended_args NULL AS extended_args},
       a.schedule, t.origin_id, t.try, t.strikes, a.scheduled_date_gmt
  FROM {p}actionscheduler_actions AS a
  LEFT JOIN {base}wpcron_tries AS t
    ON t.blog_id = ? AND t.action_id = a.action_id
 WHERE a.claim_id = ?
   AND a.status IN ('pending', 'in-progress')
 ORDER BY a.action_id
 LIMIT 1000

-- name: actions.heartbeat
-- in: now:time, local:time, claim:u64, ids
-- rows: how many are still ours
UPDATE {p}actionscheduler_actions FORCE INDEX (PRIMARY)
   SET last_attempt_gmt = ?, last_attempt_local = ?
 WHERE claim_id = ?
   AND status IN ('pending', 'in-progress')
   AND action_id IN ({ids})

-- name: actions.orphan_claims
-- in: blog:u64, node:u64, max:u64
-- rows: claims whose node is gone, then our own that are not fresh: id, node,
--       executor, whether its deadline is over
-- explain: exempt reads the live claims only, a few rows a node
SELECT c.claim_id, c.node_id, c.executor,
       c.deadline IS NULL OR c.deadline <= UTC_TIMESTAMP(6)
  FROM {base}wpcron_claims AS c
  LEFT JOIN {base}wpcron_nodes AS n ON n.node_id = c.node_id
 WHERE c.blog_id = ?
   AND (n.node_id IS NULL
        OR (c.node_id = ?
            AND c.claimed_at < UTC_TIMESTAMP(6) - INTERVAL 15 SECOND))
 ORDER BY n.node_id IS NOT NULL, c.claim_id
 LIMIT ?

-- name: actions.claim_lock
-- in: blog:u64, claim:u64, node:u64
-- rows: one while nobody has settled or adopted the claim, locked
SELECT claim_id
  FROM {base}wpcron_claims
 WHERE blog_id = ?
   AND claim_id = ?
   AND node_id = ?
   FOR UPDATE

-- name: actions.claim_adopt
-- in: node:u64, blog:u64, ids
-- rows: how many claims of our former node are ours again
UPDATE {base}wpcron_claims
   SET node_id = ?
 WHERE blog_id = ?
   AND claim_id IN ({ids})

-- name: actions.foreign_claims
-- in: blog:u64, after:u64, before:time
-- rows: claims of other runners made before that time, by id
SELECT c.claim_id
  FROM {p}actionscheduler_claims AS c
  LEFT JOIN {base}wpcron_claims AS o
    ON o.blog_id = ? AND o.claim_id = c.claim_id
 WHERE c.claim_id > ?
   AND c.date_created_gmt <= ?
   AND o.claim_id IS NULL
 ORDER BY c.claim_id
 LIMIT 100

-- name: actions.stale_of_claim
-- in: any_claim:u64, pending_before:time, running_before:time
-- rows: rows of a foreign claim past PHP's own time-outs; of claim 0 those that
--       run at most, for what is pending there is the backlog
SELECT a.action_id, a.status, a.last_attempt_gmt
  FROM {p}actionscheduler_actions AS a
 WHERE a.claim_id = ?
   AND ((a.status = 'pending' AND a.claim_id <> 0 AND a.last_attempt_gmt <= ?)
        OR (a.status = 'in-progress' AND a.last_attempt_gmt <= ?))
 ORDER BY a.action_id
 LIMIT 100

-- name: actions.stale_running
-- in: blog:u64, before:time
-- rows: what runs past PHP's own time-out under no claim of ours; the claim may
--       be gone, or 0 (an administrator's "Run")
-- explain: exempt reads the rows that run, a few a runner
SELECT a.action_id, a.claim_id, a.last_attempt_gmt
  FROM {p}actionscheduler_actions AS a
  LEFT JOIN {base}wpcron_claims AS o
    ON o.blog_id = ? AND o.claim_id = a.claim_id
 WHERE a.status = 'in-progress'
   AND a.last_attempt_gmt <= ?
   AND o.claim_id IS NULL
 LIMIT 100

-- name: actions.fail_foreign
-- in: id:u64, claim:u64, seen:time
-- rows: 1 when nobody touched it since it was seen
UPDATE {p}actionscheduler_actions FORCE INDEX (PRIMARY)
   SET status = 'failed' {?unique_key , unique_key = NULL}
 WHERE action_id = ?
   AND claim_id = ?
   AND status = 'in-progress'
   AND last_attempt_gmt = ?

-- name: actions.expired
-- in: status:text, before:time, max:u64
-- rows: finished rows past their retention, oldest first. An index that begins
--       with the date has the whole backlog at its head, with zero dates:
--       there actions.expired_untried finds the finished ones
SELECT a.action_id
  FROM {p}actionscheduler_actions AS a FORCE INDEX ({retention_index})
 WHERE a.status = ?
   AND a.last_attempt_gmt <= ?
   {!attempt_index AND a.last_attempt_gmt > '0000-00-00 00:00:00'}
 ORDER BY a.last_attempt_gmt
 LIMIT ?

-- name: actions.expired_untried
-- in: status:text=canceled, max:u64
-- rows: rows of a status that were never tried; such are past any retention.
--       YEAR() keeps off the date's index, which has the backlog there
SELECT a.action_id
  FROM {p}actionscheduler_actions AS a
 WHERE a.status = ?
   AND YEAR(a.last_attempt_gmt) = 0
 LIMIT ?

-- name: actions.delete_finished
-- in: status:text, ids
-- rows: how many were still in that status
DELETE a
  FROM {p}actionscheduler_actions AS a FORCE INDEX (PRIMARY)
 WHERE a.status = ?
   AND a.action_id IN ({ids})
