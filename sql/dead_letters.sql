-- Dead letters (queues/dead_letters.h): what failed for good, of every queue.

-- LAST_INSERT_ID: the letter that was there keeps its number.
-- name: dead_letters.add
-- in:   blog:u64, kind:text=mail, queue:bytes, source:u64, title:bytes,
--       reason:bytes, attempts:u64, created:time, payload:bytes
-- rows: 1 added, 2 replaced
-- explain: exempt single-row insert or update by its key
INSERT INTO {base}wpcron_dead_letters (blog_id, kind, queue, source, title,
    reason, attempts, created_at, died_at, payload)
VALUES (?, ?, ?, ?, ?, ?, ?, COALESCE(?, UTC_TIMESTAMP(6)), UTC_TIMESTAMP(6),
    ?)
ON DUPLICATE KEY UPDATE
  title = VALUES(title), reason = VALUES(reason), attempts = VALUES(attempts),
  created_at = VALUES(created_at), died_at = VALUES(died_at),
  payload = VALUES(payload)

-- A filter that is '' or 0 lets everything through.
-- name: dead_letters.list
-- in:   before:u64=3000, blog:u64=0, same_blog:u64=0, kind:text=mail,
--       same_kind:text=mail, queue:bytes, same_queue:bytes, max:u64
-- rows: newest first, without payload
-- explain: rows 3000 read backwards along one key, ends at `max`
SELECT blog_id, letter_id, kind, queue, source, title, reason, attempts,
       TIMESTAMPDIFF(SECOND, TIMESTAMP('1970-01-01 00:00:00'), created_at),
       TIMESTAMPDIFF(SECOND, TIMESTAMP('1970-01-01 00:00:00'), died_at)
  FROM {base}wpcron_dead_letters FORCE INDEX (letter_id)
 WHERE letter_id < ?
   AND (? = 0 OR blog_id = ?)
   AND (? = '' OR kind = ?)
   AND (? = '' OR queue = ?)
 ORDER BY letter_id DESC
 LIMIT ?

-- name: dead_letters.get
-- in:   letter:u64
-- rows: it, with its payload
SELECT blog_id, letter_id, kind, queue, source, title, reason, attempts,
       TIMESTAMPDIFF(SECOND, TIMESTAMP('1970-01-01 00:00:00'), created_at),
       TIMESTAMPDIFF(SECOND, TIMESTAMP('1970-01-01 00:00:00'), died_at),
       payload
  FROM {base}wpcron_dead_letters
 WHERE letter_id = ?

-- name: dead_letters.delete
-- in:   letter:u64
-- rows: 1 deleted, 0 there was none
DELETE FROM {base}wpcron_dead_letters WHERE letter_id = ?

-- name: dead_letters.old
-- in:   days:u64=90, max:u64
-- rows: letter_id of those that died so long ago
SELECT letter_id
  FROM {base}wpcron_dead_letters FORCE INDEX (died)
 WHERE died_at < UTC_TIMESTAMP(6) - INTERVAL ? DAY
 ORDER BY died_at
 LIMIT ?

-- name: dead_letters.delete_old
-- in:   ids
-- rows: how many
DELETE FROM {base}wpcron_dead_letters WHERE letter_id IN ({ids})
