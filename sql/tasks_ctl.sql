-- What an administrator sees of queues of tasks; see ctl.sql. What working
-- them off needs is in tasks.sql.

-- name: tasks_ctl.list
-- in: blog:u64, queue:bytes, any_state:text, state:text, max:u64, skip:u64
-- rows: tasks of a queue that are or were in our table, in order of arrival
-- explain: exempt the filters and the page decide
SELECT t.task_id, t.state, t.type, t.attempts, t.max_attempts, t.backoff_ms,
       t.available_at, t.taken_at, t.started_at, t.ended_at, t.expired_inbox,
       t.error, t.element, t.queue, t.blog_id
  FROM {base}wpcron_tasks t
 WHERE t.blog_id = ?
   AND t.queue = ?
   AND (? = '' OR t.state = ?)
 ORDER BY t.task_id
 LIMIT ? OFFSET ?

-- name: tasks_ctl.task
-- in: task:u64
-- rows: one: as tasks_ctl.list
SELECT t.task_id, t.state, t.type, t.attempts, t.max_attempts, t.backoff_ms,
       t.available_at, t.taken_at, t.started_at, t.ended_at, t.expired_inbox,
       t.error, t.element, t.queue, t.blog_id
  FROM {base}wpcron_tasks t
 WHERE t.task_id = ?
 LIMIT 1

-- name: tasks_ctl.unfinished
-- in: blog:u64
-- rows: queues with tasks that wait or run, and how many
-- explain: rows 30000 all that wait, sorted
SELECT t.queue, COUNT(*)
  FROM {base}wpcron_tasks AS t FORCE INDEX (ended)
 WHERE t.blog_id = ?
   AND t.state IN ('claimed', 'delayed', 'list', 'pending', 'ready', 'running')
 GROUP BY t.queue

-- A transient is a value and, mostly, a row that says when it ends.
-- name: tasks_ctl.transient
-- in: value:text=_transient_queue, timeout:text=_transient_timeout_queue
-- rows: one: its value and Unix time of its end; NULL: there is no such row
SELECT (SELECT v.option_value FROM {p}options v WHERE v.option_name = ?),
       (SELECT e.option_value FROM {p}options e WHERE e.option_name = ?)
