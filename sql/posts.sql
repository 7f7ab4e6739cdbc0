-- Posts that were to be published by a cron event. The index type_status_date
-- (post_type, post_status, post_date, ID) is as old as WordPress 2.5; it knows
-- the site's own time, not UTC.

-- name: posts.next_type
-- in:   after:text=page
-- rows: the next type there is; none after the last
SELECT post_type
  FROM {p}posts FORCE INDEX (type_status_date)
 WHERE post_type > ?
 ORDER BY post_type
 LIMIT 1

-- No zone is more than 14 hours from UTC. Within these, what is not due yet
-- is read, too.
-- name: posts.missed
-- in:   type:text=post, after:text=1971-01-01, same:text=1971-01-01, id:u64, late_s:u64=120
-- rows: id, when it was due, its local date and the time, oldest first
-- explain: rows 2500 what is to be published within a day
SELECT ID, post_date_gmt, post_date, UTC_TIMESTAMP(6)
  FROM {p}posts FORCE INDEX (type_status_date)
 WHERE post_type = ?
   AND post_status = 'future'
   AND post_date <= UTC_TIMESTAMP() + INTERVAL 14 HOUR
   AND (post_date > ? OR (post_date = ? AND ID > ?))
   AND post_date_gmt > '1971-01-01'
   AND post_date_gmt < UTC_TIMESTAMP() - INTERVAL ? SECOND
 ORDER BY post_date, ID
 LIMIT 100

-- name: posts.publishing
-- in:   blog:u64
-- rows: keys of events that publish a post and are not over
-- explain: rows 5000 what all nodes hold at one time, and not the history
SELECT e.event_key
  FROM {base}wpcron_events AS e FORCE INDEX (waiting)
 WHERE e.state IN ('taken', 'running')
   AND e.blog_id = ?
   AND e.hook = 'publish_future_post'
