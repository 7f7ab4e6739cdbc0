-- The outbox (queues/outbox.h): mails that are whole, until a relay has taken
-- them. A row a mail, its bytes in portions beside it.

-- ---- storing; php/mail.php runs these as prepared statements -------------

-- A second one of the same job, ordinal and digest fails by the key `job`
-- (1062): outbox.find tells what became of the first.
-- name: outbox.insert
-- in:   blog:u64, priority:u64=20, job:bytes=action:9, ordinal:u64,
--       digest:bytes, message_id:bytes, sender:bytes, recipients:bytes,
--       subject:bytes, sealed:u64=0
-- rows: 1; the insert id is the mail's
-- explain: exempt single-row insert
INSERT INTO {base}wpcron_outbox (blog_id, state, priority, job, ordinal,
    digest, message_id, sender, recipients, subject, sealed, created_at,
    not_before)
VALUES (?, 'writing', ?, ?, ?, ?, ?, ?, ?, ?, ?, UTC_TIMESTAMP(6),
    UTC_TIMESTAMP(6))

-- `stale`: nobody has been writing to it for a while; a writer is not slower.
-- name: outbox.find
-- in:   blog:u64, job:bytes=action:9, ordinal:u64, digest:bytes
-- rows: mail_id, state, stale; none: it is not stored
SELECT mail_id, state,
       created_at < UTC_TIMESTAMP(6) - INTERVAL 120 SECOND AS stale
  FROM {base}wpcron_outbox
 WHERE blog_id = ?
   AND job = ?
   AND ordinal = ?
   AND digest = ?

-- Only while it is being written: a writer that was taken for dead adds nothing
-- to what another one stored in its place. Chunks count from 0.
-- name: outbox.insert_chunk
-- in:   chunk:u64=0, bytes:bytes, blog:u64, mail:u64
-- rows: 1; 0: the mail is not being written any more
-- explain: exempt single-row insert by primary key
INSERT INTO {base}wpcron_outbox_chunks (blog_id, mail_id, chunk, bytes)
SELECT blog_id, mail_id, ?, ?
  FROM {base}wpcron_outbox
 WHERE blog_id = ?
   AND mail_id = ?
   AND state = 'writing'

-- `size` is that of the mail, before sealing.
-- name: outbox.ready
-- in:   size:u64, blog:u64, mail:u64
-- rows: 1 it is stored and may be sent; 0 it is not being written any more
UPDATE {base}wpcron_outbox
   SET state = 'ready', size = ?, not_before = UTC_TIMESTAMP(6)
 WHERE blog_id = ?
   AND mail_id = ?
   AND state = 'writing'

-- name: outbox.forget
-- in:   blog:u64, mail:u64
-- rows: 1 and its chunks; 0 it is whole, or gone
-- explain: exempt delete by primary keys
DELETE m, c
  FROM {base}wpcron_outbox m
  LEFT JOIN {base}wpcron_outbox_chunks c
    ON c.blog_id = m.blog_id
   AND c.mail_id = m.mail_id
 WHERE m.blog_id = ?
   AND m.mail_id = ?
   AND m.state = 'writing'
