-- What wp-cronctl reads and an administrator changes. Counts and lists are
-- asked for by a person, now and then; what they may read is what the filters
-- leave, never more than one walk along an index.

-- name: ctl.count_by_status
-- in: none
-- rows: status and how many actions have it
-- explain: exempt counts every row, along an index that begins with status
SELECT a.status, COUNT(*)
  FROM {p}actionscheduler_actions AS a
 GROUP BY a.status

-- name: ctl.count_due
-- in: now:time
-- rows: one: how many unclaimed pending rows are due by then
-- explain: exempt counts every due row, along the index of the claim
SELECT COUNT(*)
  FROM {p}actionscheduler_actions AS a FORCE INDEX ({due_index})
 WHERE a.claim_id = 0
   AND a.status = 'pending'
   AND a.scheduled_date_gmt <= ?

-- name: ctl.nodes
-- in: blog:u64
-- rows: every process: id, host, pid, version, microseconds since its
--       heartbeat, seconds since its start, claims it holds
SELECT n.node_id, n.host, n.pid, n.version,
       TIMESTAMPDIFF(MICROSECOND, n.heartbeat_at, UTC_TIMESTAMP(6)),
       TIMESTAMPDIFF(SECOND, n.started_at, UTC_TIMESTAMP(6)),
       (SELECT COUNT(*)
          FROM {base}wpcron_claims AS c
         WHERE c.node_id = n.node_id
           AND c.blog_id = ?)
  FROM {base}wpcron_nodes AS n
 ORDER BY n.node_id
 LIMIT 100

-- name: ctl.claims
-- in: blog:u64
-- rows: of every node that holds claims: id, executor, how many claims,
--       seconds since the oldest
SELECT c.node_id, c.executor, COUNT(*),
       TIMESTAMPDIFF(SECOND, MIN(c.claimed_at), UTC_TIMESTAMP(6))
  FROM {base}wpcron_claims AS c
 WHERE c.blog_id = ?
 GROUP BY c.node_id, c.executor

-- name: ctl.foreign_claims
-- in: blog:u64
-- rows: one: claims of other runners, seconds since the newest and the oldest
-- explain: exempt reads the live claims
SELECT COUNT(*),
       TIMESTAMPDIFF(SECOND, MAX(c.date_created_gmt), UTC_TIMESTAMP()),
       TIMESTAMPDIFF(SECOND, MIN(c.date_created_gmt), UTC_TIMESTAMP())
  FROM {p}actionscheduler_claims AS c
  LEFT JOIN {base}wpcron_claims AS o
    ON o.blog_id = ? AND o.claim_id = c.claim_id
 WHERE o.claim_id IS NULL

-- An empty text or 0 is no filter; the server drops the conditions that are
-- constant before it looks for an index.
-- name: ctl.list_by_id
-- in: any_status:text, status:text, any_hook:text, hook:text, any_group:u64, group:u64, max:u64, skip:u64
-- rows: actions, newest first
-- explain: exempt the filters and the page decide
SELECT a.action_id, a.hook, a.status, a.scheduled_date_gmt, g.slug,
       {?priority a.priority}{!priority 10 AS priority},
       a.attempts, a.claim_id, a.last_attempt_gmt, a.args,
       {?extended_args a.extended_args}{!extended_args NULL AS extended_args}
  FROM {p}actionscheduler_actions AS a
  LEFT JOIN {p}actionscheduler_groups AS g ON g.group_id = a.group_id
 WHERE (? = '' OR a.status = ?)
   AND (? = '' OR a.hook = ?)
   AND (? = 0 OR a.group_id = ?)
 ORDER BY a.action_id DESC
 LIMIT ? OFFSET ?

-- name: ctl.list_by_date
-- in: any_status:text, status:text, any_hook:text, hook:text, any_group:u64, group:u64, max:u64, skip:u64
-- rows: actions, soonest first
-- explain: exempt the filters and the page decide
SELECT a.action_id, a.hook, a.status, a.scheduled_date_gmt, g.slug,
       {?priority a.priority}{!priority 10 AS priority},
       a.attempts, a.claim_id, a.last_attempt_gmt, a.args,
       {?extended_args a.extended_args}{!extended_args NULL AS extended_args}
  FROM {p}actionscheduler_actions AS a
  LEFT JOIN {p}actionscheduler_groups AS g ON g.group_id = a.group_id
 WHERE (? = '' OR a.status = ?)
   AND (? = '' OR a.hook = ?)
   AND (? = 0 OR a.group_id = ?)
 ORDER BY a.scheduled_date_gmt, a.action_id
 LIMIT ? OFFSET ?

-- name: ctl.group_of_slug
-- in: slug:text
-- rows: the id of the group; none: there is no such group
SELECT g.group_id
  FROM {p}actionscheduler_groups AS g
 WHERE g.slug = ?
 LIMIT 1

-- name: ctl.action
-- in: blog:u64, tries_blog:u64, id:u64
-- rows: one with everything that is known of an action
SELECT a.action_id, a.hook, a.status, a.scheduled_date_gmt,
       a.scheduled_date_local, g.slug,
       {?priority a.priority}{!priority 10 AS priority},
       a.attempts, a.last_attempt_gmt, a.claim_id, a.args,
       {?extended_args a.extended_args}{!extended_args NULL AS extended_args},
       a.schedule, c.node_id, c.executor, t.origin_id, t.try, t.strikes,
       {?unique_key a.unique_key}{!unique_key NULL AS unique_key}
  FROM {p}actionscheduler_actions AS a
  LEFT JOIN {p}actionscheduler_groups AS g ON g.group_id = a.group_id
  LEFT JOIN {base}wpcron_claims AS c
    ON c.blog_id = ? AND c.claim_id = a.claim_id
  LEFT JOIN {base}wpcron_tries AS t
    ON t.blog_id = ? AND t.action_id = a.action_id
 WHERE a.action_id = ?

-- name: ctl.action_logs
-- in: id:u64
-- rows: date and message of an action's log lines, in order
SELECT l.log_date_gmt, l.message
  FROM {p}actionscheduler_logs AS l
 WHERE l.action_id = ?
 ORDER BY l.log_id
 LIMIT 1000

-- name: ctl.retry_source
-- in: blog:u64, id:u64
-- rows: one, locked: what a fresh row for an ended action needs
SELECT a.status, a.hook, a.group_id,
       {?priority a.priority}{!priority 10 AS priority}, a.args,
       {?extended_args a.extended_args}{!extended_args NULL AS extended_args},
       t.origin_id, t.try
  FROM {p}actionscheduler_actions AS a
  LEFT JOIN {base}wpcron_tries AS t
    ON t.blog_id = ? AND t.action_id = a.action_id
 WHERE a.action_id = ?
   FOR UPDATE

-- name: ctl.newest_try
-- in: blog:u64, origin:u64
-- rows: action and try of the newest try of an action
SELECT t.action_id, t.try
  FROM {base}wpcron_tries AS t
 WHERE t.blog_id = ?
   AND t.origin_id = ?
 ORDER BY t.try DESC
 LIMIT 1

-- name: ctl.of_hook
-- in: hook:text, status:text, after:u64, max:u64
-- rows: ids of a hook's actions in a status behind the cursor, by id
-- explain: exempt reads the hook's rows in that status, and no others
SELECT a.action_id
  FROM {p}actionscheduler_actions AS a
 WHERE a.hook = ?
   AND a.status = ?
   AND a.action_id > ?
 ORDER BY a.action_id
 LIMIT ?

-- name: ctl.cancel
-- in: ids
-- rows: how many; the rows are locked, pending and claimed by nobody
UPDATE {p}actionscheduler_actions FORCE INDEX (PRIMARY)
   SET status = 'canceled' {?unique_key , unique_key = NULL}
 WHERE action_id IN ({ids})
   AND claim_id = 0
   AND status = 'pending'

-- name: ctl.claimable
-- in: id:u64
-- rows: one: what decides whether and where an action may run
SELECT a.status, a.claim_id, a.hook, a.group_id,
       {?priority a.priority}{!priority 10 AS priority}, a.scheduled_date_gmt
  FROM {p}actionscheduler_actions AS a
 WHERE a.action_id = ?

-- name: ctl.clock
-- in: none
-- rows: one: the database's Unix time in microseconds
-- explain: exempt reads no table
SELECT TIMESTAMPDIFF(MICROSECOND, '1970-01-01 00:00:00', UTC_TIMESTAMP(6))

-- name: ctl.server
-- in: none
-- rows: one: how the server is set up for everybody
-- explain: exempt reads no table
SELECT @@GLOBAL.sql_mode, @@GLOBAL.max_allowed_packet, @@GLOBAL.time_zone

-- name: ctl.options
-- in: none
-- rows: name and value of options that tell about other runners and schemas
SELECT o.option_name, o.option_value
  FROM {p}options AS o
 WHERE o.option_name IN ('schema-ActionScheduler_StoreSchema',
       'schema-ActionScheduler_LoggerSchema',
       'action_scheduler_migration_status')

-- name: ctl.rivals
-- in: none
-- rows: names of tables in which other cron runners keep their work
-- explain: exempt information_schema
SELECT t.TABLE_NAME
  FROM information_schema.TABLES t
 WHERE t.TABLE_SCHEMA = DATABASE()
   AND t.TABLE_NAME IN ('{base}cavalcade_jobs', '{base}a8c_cron_control_jobs',
       '{p}a8c_cron_control_jobs')

-- Matches no row: only the right to do it is of interest.
-- name: ctl.may_write
-- in: none
-- rows: 0
UPDATE {p}actionscheduler_actions FORCE INDEX (PRIMARY)
   SET claim_id = claim_id
 WHERE action_id = 0

-- name: ctl.site_record
-- in: blog:u64
-- rows: what `install` recorded: home, siteurl, when
SELECT s.home, s.siteurl, s.recorded_at
  FROM {base}wpcron_site AS s
 WHERE s.blog_id = ?
