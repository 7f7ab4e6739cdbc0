-- The queue of tasks that a plugin keeps in a transient (queues/tasks.h): its
-- rows in {p}options, which WordPress reads and writes, and our own tables.
-- States of a task: list (what the companion plugin stored, not yet cut into
-- tasks), pending (taken, but perhaps still in the inbox), delayed, ready,
-- claimed, running, done, dead. available_at of a ready one is taken_at, so
-- that the index `ready` is in order of arrival.

-- ---- the plugin's rows ----------------------------------------------------

-- name: tasks.options
-- in:   value:text=_transient_doing_cron, timeout:text, other:text
-- rows: name, value and autoload of those that are there, and Unix time
SELECT o.option_name, o.option_value, o.autoload, UNIX_TIMESTAMP()
  FROM {p}options AS o
 WHERE o.option_name IN (?, ?, ?)

-- PHP's statements wait for this row, and then overwrite it. A row that is not
-- there locks nothing under READ COMMITTED.
-- name: tasks.inbox_lock
-- in:   name:text=_transient_doing_cron
-- rows: the list, locked; Unix time and UTC
SELECT o.option_value, UNIX_TIMESTAMP(), UTC_TIMESTAMP(6)
  FROM {p}options AS o
 WHERE o.option_name = ?
   FOR UPDATE

-- name: tasks.option_write
-- in:   value:text, name:text
-- rows: 1
UPDATE {p}options
   SET option_value = ?
 WHERE option_name = ?

-- Byte by byte: the column's collation takes "a" for "A", and "x" for "x ".
-- name: tasks.option_swap
-- in:   value:text, name:text, old:text
-- rows: 1; 0 it changed meanwhile, or is gone
UPDATE {p}options
   SET option_value = ?
 WHERE option_name = ?
   AND CAST(option_value AS BINARY) = CAST(? AS BINARY)

-- name: tasks.option_add
-- in:   name:text, value:text, autoload:text
-- rows: 1; a duplicate means that somebody was faster
-- explain: exempt single-row insert
INSERT INTO {p}options (option_name, option_value, autoload)
VALUES (?, ?, ?)

-- name: tasks.option_put
-- in:   name:text, value:text, autoload:text
-- rows: 1 or 2
-- explain: exempt single-row insert
INSERT INTO {p}options (option_name, option_value, autoload)
VALUES (?, ?, ?)
ON DUPLICATE KEY UPDATE option_value = VALUES(option_value)

-- name: tasks.option_take
-- in:   name:text, value:text
-- rows: 1 removed, 0 it is gone or another's
DELETE FROM {p}options
 WHERE option_name = ?
   AND CAST(option_value AS BINARY) = CAST(? AS BINARY)

-- name: tasks.option_remove
-- in:   name:text
-- rows: 1 removed, 0 there was none
DELETE FROM {p}options
 WHERE option_name = ?

-- ---- what was seen --------------------------------------------------------

-- Lists that begin with the same task, of which `from` is the digest and `to`
-- the next number.
-- name: tasks.snapshots
-- in:   blog:u64, queue:bytes=queue_1, from:bytes=a, to:bytes=b, seconds:u64
-- rows: id and digests of the tasks, 32 bytes each
-- explain: rows 300 those of one first task
SELECT s.snapshot_id, s.elements
  FROM {base}wpcron_task_snapshots AS s FORCE INDEX (first)
 WHERE s.blog_id = ?
   AND s.queue = ?
   AND s.elements >= ?
   AND s.elements < ?
   AND s.seen_at > UTC_TIMESTAMP(6) - INTERVAL ? SECOND

-- name: tasks.snapshot_add
-- in:   blog:u64, queue:bytes, elements:bytes
-- rows: 1
-- explain: exempt single-row insert
INSERT INTO {base}wpcron_task_snapshots (blog_id, queue, seen_at, elements)
VALUES (?, ?, UTC_TIMESTAMP(6), ?)

-- name: tasks.snapshots_drop
-- in:   blog:u64, queue:bytes=queue_1, ids
-- rows: as many
DELETE FROM {base}wpcron_task_snapshots
 WHERE blog_id = ?
   AND queue = ?
   AND snapshot_id IN ({ids})

-- name: tasks.snapshots_old
-- in:   seconds:u64=3000000, blog:u64, queue:bytes=queue_1
-- rows: ids of a portion that nobody needs any more
-- explain: rows 6000 other queues' stand between
SELECT s.snapshot_id
  FROM {base}wpcron_task_snapshots AS s FORCE INDEX (seen)
 WHERE s.seen_at < UTC_TIMESTAMP(6) - INTERVAL ? SECOND
   AND s.blog_id = ?
   AND s.queue = ?
 ORDER BY s.seen_at
 LIMIT 500

-- name: tasks.snapshots_forget
-- in:   blog:u64, queue:bytes=queue_1
-- rows: all of the queue's
-- explain: rows 2000 a list each
DELETE FROM {base}wpcron_task_snapshots
 WHERE blog_id = ?
   AND queue = ?

-- ---- taking ---------------------------------------------------------------

-- name: tasks.now
-- in:   none
-- rows: Unix time and UTC
-- explain: exempt no table
SELECT UNIX_TIMESTAMP(), UTC_TIMESTAMP(6)

-- name: tasks.add
-- in:   rows(blog:u64, queue:bytes, state:text, type:bytes, attempts:u64,
--   max_attempts:u64, backoff_ms:u64, available_at:text, expired:u64,
--   snapshot:bytes, place:u64, taken_at:text, element:bytes)
-- rows: as many
-- explain: exempt insert of given rows
INSERT INTO {base}wpcron_tasks (blog_id, queue, state, type, attempts,
       max_attempts, backoff_ms, available_at, expired_inbox, snapshot, place,
       taken_at, element)
VALUES {rows 13}

-- name: tasks.lists
-- in:   blog:u64, queue:bytes=queue_1
-- rows: what the companion plugin stored, oldest first, locked
-- explain: rows 600
SELECT t.task_id, t.snapshot, t.taken_at, t.element
  FROM {base}wpcron_tasks AS t FORCE INDEX (ready)
 WHERE t.blog_id = ?
   AND t.queue = ?
   AND t.state = 'list'
 ORDER BY t.available_at, t.task_id
 LIMIT 100
   FOR UPDATE

-- name: tasks.drop
-- in:   blog:u64, ids
-- rows: as many
DELETE FROM {base}wpcron_tasks
 WHERE blog_id = ?
   AND task_id IN ({ids})

-- name: tasks.confirm
-- in:   blog:u64, queue:bytes=queue_1
-- rows: tasks that are in the inbox no more
-- explain: rows 3000 all that were just taken
UPDATE {base}wpcron_tasks FORCE INDEX (ready)
   SET state = IF(available_at > UTC_TIMESTAMP(6), 'delayed', 'ready')
 WHERE blog_id = ?
   AND queue = ?
   AND state = 'pending'

-- ---- looking --------------------------------------------------------------

-- name: tasks.due
-- in:   blog:u64, queue:bytes=queue_1, same_blog:u64=1,
--   same_queue:bytes=queue_1, its_blog:u64=1, its_queue:bytes=queue_1
-- rows: one: is something ready, has a delayed one come due, has one been
--   claimed by who is gone
-- explain: rows 1500 all that are claimed
SELECT EXISTS (
       SELECT 1 FROM {base}wpcron_tasks AS t
        WHERE t.blog_id = ? AND t.queue = ?
          AND t.state IN ('list', 'pending', 'ready')),
       EXISTS (
       SELECT 1 FROM {base}wpcron_tasks AS d
        WHERE d.blog_id = ? AND d.queue = ? AND d.state = 'delayed'
          AND d.available_at <= UTC_TIMESTAMP(6)),
       EXISTS (
       SELECT 1 FROM {base}wpcron_tasks AS c FORCE INDEX (ready)
        WHERE c.blog_id = ? AND c.queue = ?
          AND c.state IN ('claimed', 'running')
          AND c.claimed_until < UTC_TIMESTAMP(6))

-- name: tasks.types
-- in:   blog:u64, queue:bytes=queue_1
-- rows: each type that waits
-- explain: rows 12000 all that wait
SELECT DISTINCT t.type
  FROM {base}wpcron_tasks AS t FORCE INDEX (ready)
 WHERE t.blog_id = ?
   AND t.queue = ?
   AND t.state IN ('claimed', 'delayed', 'pending', 'ready', 'running')

-- name: tasks.states
-- in:   blog:u64, queue:bytes=queue_1
-- rows: state and how many
-- explain: rows 12000 all that wait
SELECT t.state, COUNT(*)
  FROM {base}wpcron_tasks AS t FORCE INDEX (ready)
 WHERE t.blog_id = ?
   AND t.queue = ?
   AND t.state IN ('claimed', 'delayed', 'list', 'pending', 'ready', 'running')
 GROUP BY t.state

-- name: tasks.done_count
-- in:   blog:u64, queue:bytes=queue_1
-- rows: one: done in the last hour, and in the last day
-- explain: rows 400000 a day of the blog's
SELECT COALESCE(SUM(t.ended_at > UTC_TIMESTAMP(6) - INTERVAL 1 HOUR), 0),
       COUNT(*)
  FROM {base}wpcron_tasks AS t FORCE INDEX (ended)
 WHERE t.blog_id = ?
   AND t.state = 'done'
   AND t.ended_at > UTC_TIMESTAMP(6) - INTERVAL 1 DAY
   AND t.queue = ?

-- name: tasks.dead_count
-- in:   blog:u64, queue:bytes=queue_1
-- rows: one: dead letters of the queue
-- explain: rows 5000 its letters
SELECT COUNT(*)
  FROM {base}wpcron_dead_letters AS d
 WHERE d.blog_id = ?
   AND d.kind = 'task'
   AND d.queue = ?

-- ---- running --------------------------------------------------------------

-- name: tasks.promote
-- in:   blog:u64, queue:bytes=queue_1
-- rows: tasks whose time has come
-- explain: rows 6000 as many
UPDATE {base}wpcron_tasks FORCE INDEX (ready)
   SET state = 'ready',
       available_at = taken_at
 WHERE blog_id = ?
   AND queue = ?
   AND state = 'delayed'
   AND available_at <= UTC_TIMESTAMP(6)

-- name: tasks.ready
-- in:   blog:u64, queue:bytes=queue_1, max:u64
-- rows: the first that arrived, locked
SELECT t.task_id, t.type, t.attempts, t.max_attempts, t.backoff_ms,
       t.expired_inbox, t.snapshot, t.place, t.element
  FROM {base}wpcron_tasks AS t FORCE INDEX (ready)
 WHERE t.blog_id = ?
   AND t.queue = ?
   AND t.state = 'ready'
 ORDER BY t.available_at, t.task_id
 LIMIT ?
   FOR UPDATE

-- name: tasks.ready_of
-- in:   blog:u64, queue:bytes=queue_1, rows(type:bytes), max:u64
-- rows: likewise, of these types
-- explain: rows 12000 others may stand before them
SELECT t.task_id, t.type, t.attempts, t.max_attempts, t.backoff_ms,
       t.expired_inbox, t.snapshot, t.place, t.element
  FROM {base}wpcron_tasks AS t FORCE INDEX (ready)
 WHERE t.blog_id = ?
   AND t.queue = ?
   AND t.state = 'ready'
   AND t.type IN ({rows 1})
 ORDER BY t.available_at, t.task_id
 LIMIT ?
   FOR UPDATE

-- name: tasks.claim
-- in:   claim:u64, term_us:u64, blog:u64, ids
-- rows: as many; they are locked
UPDATE {base}wpcron_tasks
   SET state = 'claimed',
       claim_id = ?,
       claimed_until = UTC_TIMESTAMP(6) + INTERVAL ? MICROSECOND
 WHERE blog_id = ?
   AND task_id IN ({ids})

-- name: tasks.extend
-- in:   term_us:u64, claim:u64=1000000002
-- rows: what is still claimed
-- explain: rows 400 the tasks of a claim
UPDATE {base}wpcron_tasks FORCE INDEX (claim)
   SET claimed_until = UTC_TIMESTAMP(6) + INTERVAL ? MICROSECOND
 WHERE claim_id = ?

-- Twice by one claim is once: the answer to the first may have been lost.
-- name: tasks.begin
-- in:   blog:u64, id:u64, claim:u64
-- rows: 1 begun, 0 not ours any more
UPDATE {base}wpcron_tasks
   SET state = 'running',
       started_at = UTC_TIMESTAMP(6)
 WHERE blog_id = ?
   AND task_id = ?
   AND claim_id = ?
   AND state IN ('claimed', 'running')

-- name: tasks.held
-- in:   blog:u64, id:u64, claim:u64
-- rows: one if it is ours, locked
SELECT t.type, t.attempts, t.max_attempts, t.backoff_ms, t.element
  FROM {base}wpcron_tasks AS t
 WHERE t.blog_id = ?
   AND t.task_id = ?
   AND t.claim_id = ?
   AND t.state IN ('claimed', 'running')
   FOR UPDATE

-- What it was about is kept for nobody.
-- name: tasks.end
-- in:   state:text, attempts:u64, error:bytes, blog:u64, id:u64
-- rows: 1; it is locked
UPDATE {base}wpcron_tasks
   SET state = ?,
       attempts = ?,
       error = ?,
       element = '',
       claim_id = 0,
       claimed_until = NULL,
       ended_at = UTC_TIMESTAMP(6)
 WHERE blog_id = ?
   AND task_id = ?

-- name: tasks.retry
-- in:   state:text, wait_us:u64, same_wait_us:u64, attempts:u64, error:bytes,
--   blog:u64, id:u64
-- rows: 1; it is locked
UPDATE {base}wpcron_tasks
   SET state = ?,
       available_at = IF(? = 0, taken_at,
           UTC_TIMESTAMP(6) + INTERVAL ? MICROSECOND),
       attempts = ?,
       error = ?,
       claim_id = 0,
       claimed_until = NULL,
       started_at = NULL
 WHERE blog_id = ?
   AND task_id = ?

-- name: tasks.release
-- in:   claim:u64=1000000002
-- rows: those that were not begun
-- explain: rows 400 the tasks of a claim
UPDATE {base}wpcron_tasks FORCE INDEX (claim)
   SET state = 'ready',
       available_at = taken_at,
       claim_id = 0,
       claimed_until = NULL
 WHERE claim_id = ?
   AND state = 'claimed'

-- ---- looking after --------------------------------------------------------

-- name: tasks.lost
-- in:   blog:u64, queue:bytes=queue_1
-- rows: tasks whose claim is over, and whether they were begun
-- explain: rows 1500 all that are claimed
SELECT t.task_id, t.claim_id, t.state = 'running'
  FROM {base}wpcron_tasks AS t FORCE INDEX (ready)
 WHERE t.blog_id = ?
   AND t.queue = ?
   AND t.state IN ('claimed', 'running')
   AND t.claimed_until < UTC_TIMESTAMP(6)
 LIMIT 100

-- name: tasks.ended
-- in:   blog:u64, seconds:u64=300000
-- rows: a portion of what ended so long ago
-- explain: rows 3000 two states are merged
SELECT t.task_id
  FROM {base}wpcron_tasks AS t FORCE INDEX (ended)
 WHERE t.blog_id = ?
   AND t.state IN ('dead', 'done')
   AND t.ended_at < UTC_TIMESTAMP(6) - INTERVAL ? SECOND
 LIMIT 500

-- ---- by hand --------------------------------------------------------------

-- The index of states, sorted by id: at most what an option holds.
-- name: tasks.waiting
-- in:   blog:u64, queue:bytes=queue_1
-- rows: id, attempts, when it may run (0: at once) and element of what is
--   unfinished, in order of arrival, locked
-- explain: rows 30000 all that wait, sorted
SELECT t.task_id, t.attempts,
       IF(t.state = 'delayed', TIMESTAMPDIFF(SECOND, '1970-01-01',
           t.available_at), 0), t.element
  FROM {base}wpcron_tasks AS t FORCE INDEX (ready)
 WHERE t.blog_id = ?
   AND t.queue = ?
   AND t.state IN ('claimed', 'delayed', 'pending', 'ready', 'running')
 ORDER BY t.taken_at, t.task_id
   FOR UPDATE

-- name: tasks.clear
-- in:   blog:u64, queue:bytes=queue_1
-- rows: what was unfinished
-- explain: rows 12000 all that wait
DELETE FROM {base}wpcron_tasks
 WHERE blog_id = ?
   AND queue = ?
   AND state IN ('claimed', 'delayed', 'list', 'pending', 'ready', 'running')
