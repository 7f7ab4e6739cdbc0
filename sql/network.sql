-- Networks: their blogs, and which of them have something due.

-- name: network.blogs
-- in:   none
-- rows: id, domain and path of the blogs that run (core answers for others
--       before any event does)
-- explain: exempt the list of blogs, once a minute
SELECT blog_id, domain, path
  FROM {base}blogs
 WHERE archived = 0 AND spam = 0 AND deleted = 0
 ORDER BY blog_id

-- name: network.action_tables
-- in:   none
-- rows: names of the tables that may be Action Scheduler's, of any blog
-- explain: exempt information_schema
SELECT t.TABLE_NAME
  FROM information_schema.TABLES t
 WHERE t.TABLE_SCHEMA = DATABASE()
   AND t.TABLE_NAME LIKE '{base}%actionscheduler_actions'

-- name: network.cron_heads
-- in:   none
-- each: UNION ALL
-- rows: blog and the beginning of its `cron` array, whose first key is the
--       earliest timestamp, since core keeps the array sorted
SELECT {blog}, LEFT(o.option_value, 64)
  FROM {p}options o
 WHERE o.option_name = 'cron'

-- name: network.actions_due
-- in:   none
-- each: UNION ALL
-- rows: blog and the earliest date of an action that waits, NULL for none
SELECT {blog}, MIN(a.scheduled_date_gmt)
  FROM {p}actionscheduler_actions a
 WHERE a.claim_id = 0 AND a.status = 'pending'

-- name: network.events_due
-- in:   none
-- rows: blog and the earliest time of a taken event that waits for a worker
-- explain: exempt the events in hand
SELECT blog_id, MIN(not_before)
  FROM {base}wpcron_events
 WHERE state = 'taken' AND claim_id = 0
 GROUP BY blog_id

-- name: network.claiming
-- in:   none
-- rows: blogs of whose rows some are claimed by one of our nodes
-- explain: exempt the claims in hand
SELECT DISTINCT c.blog_id FROM {base}wpcron_claims c
 UNION
SELECT DISTINCT e.blog_id
  FROM {base}wpcron_events e
 WHERE e.state IN ('taken', 'running') AND e.claim_id > 0

-- name: network.pauses
-- in:   none
-- rows: blog (0: all), kind (hook or group) and pattern of every pause
-- explain: exempt a row a pause
SELECT blog_id, kind, pattern
  FROM {base}wpcron_policies
 WHERE kind IN ('hook', 'group')
