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

-- ---- sending -------------------------------------------------------------

-- What waits for its time, and what a dead sender left, becomes ready.
-- name: outbox.due
-- in:   none
-- rows: one when something is ready or can be made so
SELECT 1
  FROM (SELECT 1) one
 WHERE EXISTS (SELECT 1
          FROM {base}wpcron_outbox FORCE INDEX (ready)
         WHERE state = 'ready')
    OR EXISTS (SELECT 1
          FROM {base}wpcron_outbox FORCE INDEX (later)
         WHERE state = 'later'
           AND not_before <= UTC_TIMESTAMP(6))
    OR EXISTS (SELECT 1
          FROM {base}wpcron_outbox FORCE INDEX (later)
         WHERE state = 'sending'
           AND claimed_until < UTC_TIMESTAMP(6))

-- The key `ready` has this very order.
-- name: outbox.first
-- in:   lowest:u64=20, max:u64
-- rows: mail_id, most urgent first, then oldest
SELECT mail_id
  FROM {base}wpcron_outbox FORCE INDEX (ready)
 WHERE state = 'ready'
   AND priority <= ?
 ORDER BY priority, mail_id
 LIMIT ?

-- name: outbox.claim
-- in:   claim:u64, term_us:u64, ids
-- rows: how many of them are ours
UPDATE {base}wpcron_outbox
   SET state = 'sending', claim_id = ?, begun = 0,
       claimed_until = UTC_TIMESTAMP(6) + INTERVAL ? MICROSECOND
 WHERE mail_id IN ({ids})
   AND state = 'ready'

-- name: outbox.claimed
-- in:   claim:u64, ids
-- rows: what is needed to send them
SELECT blog_id, mail_id, priority, job, ordinal, message_id, sender, subject,
       recipients, size, sealed,
       TIMESTAMPDIFF(SECOND, TIMESTAMP('1970-01-01 00:00:00'), created_at),
       tries, unknown
  FROM {base}wpcron_outbox
 WHERE claim_id = ?
   AND state = 'sending'
   AND mail_id IN ({ids})
 ORDER BY priority, mail_id

-- name: outbox.claim_ids
-- in:   claim:u64
-- rows: mail_id of all that the claim still has
SELECT mail_id
  FROM {base}wpcron_outbox
 WHERE state = 'sending'
   AND claim_id = ?

-- A later term stays: that of a mail that was begun is long.
-- name: outbox.extend
-- in:   term_us:u64, claim:u64, ids
-- rows: how many of them are still ours
UPDATE {base}wpcron_outbox
   SET claimed_until = GREATEST(claimed_until,
           UTC_TIMESTAMP(6) + INTERVAL ? MICROSECOND)
 WHERE mail_id IN ({ids})
   AND claim_id = ?
   AND state = 'sending'

-- name: outbox.release
-- in:   claim:u64, ids
-- rows: how many went back
UPDATE {base}wpcron_outbox
   SET state = 'ready', claim_id = 0, claimed_until = NULL
 WHERE mail_id IN ({ids})
   AND claim_id = ?
   AND state = 'sending'
   AND begun = 0

-- name: outbox.chunk
-- in:   blog:u64, mail:u64, chunk:u64=0
-- rows: its bytes
SELECT bytes
  FROM {base}wpcron_outbox_chunks
 WHERE blog_id = ?
   AND mail_id = ?
   AND chunk = ?

-- The bytes of a mail begun may leave from now on. Past its term somebody else
-- may be about to take it back.
-- name: outbox.begin
-- in:   term_us:u64, blog:u64, mail:u64, claim:u64
-- rows: 1; 0 it is not ours any more
UPDATE {base}wpcron_outbox
   SET begun = 1,
       claimed_until = UTC_TIMESTAMP(6) + INTERVAL ? MICROSECOND
 WHERE blog_id = ?
   AND mail_id = ?
   AND claim_id = ?
   AND state = 'sending'
   AND claimed_until > UTC_TIMESTAMP(6)

-- name: outbox.settle
-- in:   state:bytes=sent, recipients:bytes, reply:bytes, tries:u64, unknown:u64,
--       wait_s:u64, ended:u64, told:u64, blog:u64, mail:u64, claim:u64
-- rows: 1; 0 somebody took it back
UPDATE {base}wpcron_outbox
   SET state = ?, recipients = ?, reply = ?, tries = tries + ?,
       unknown = unknown + ?,
       not_before = UTC_TIMESTAMP(6) + INTERVAL ? SECOND,
       ended_at = IF(? = 1, UTC_TIMESTAMP(6), NULL), told = ?,
       claim_id = 0, claimed_until = NULL, begun = 0
 WHERE blog_id = ?
   AND mail_id = ?
   AND claim_id = ?
   AND state = 'sending'

-- name: outbox.drop_chunks
-- in:   blog:u64, mail:u64
-- rows: how many there were
DELETE FROM {base}wpcron_outbox_chunks
 WHERE blog_id = ?
   AND mail_id = ?

-- ---- verdicts ------------------------------------------------------------

-- name: outbox.verdicts
-- in:   max:u64
-- rows: mails that ended and whose jobs do not know
SELECT blog_id, mail_id, job, state, reply, subject, tries, recipients
  FROM {base}wpcron_outbox FORCE INDEX (told)
 WHERE told = 0
   AND state IN ('sent', 'dead', 'held', 'dropped')
 LIMIT ?

-- name: outbox.told
-- in:   ids
-- rows: how many
UPDATE {base}wpcron_outbox
   SET told = 1
 WHERE mail_id IN ({ids})
   AND state IN ('sent', 'dead', 'held', 'dropped')

-- The newest try of an action has the log that is looked at, if it is still
-- there.
-- name: outbox.log_action
-- in:   message:text, offset:i64=3600, blog:u64, origin:u64, id:u64
-- rows: 1; 0 the action is gone
-- explain: exempt single-row insert by primary key
INSERT INTO {p}actionscheduler_logs (action_id, message, log_date_gmt,
    log_date_local)
SELECT a.action_id, ?, UTC_TIMESTAMP(), UTC_TIMESTAMP() + INTERVAL ? SECOND
  FROM {p}actionscheduler_actions a
 WHERE a.action_id = COALESCE((SELECT MAX(t.action_id)
           FROM {base}wpcron_tries t
          WHERE t.blog_id = ?
            AND t.origin_id = ?), ?)

-- ---- upkeep --------------------------------------------------------------

-- name: outbox.later
-- in:   max:u64
-- rows: mail_id of those whose time has come
SELECT mail_id
  FROM {base}wpcron_outbox FORCE INDEX (later)
 WHERE state = 'later'
   AND not_before <= UTC_TIMESTAMP(6)
 ORDER BY not_before
 LIMIT ?

-- name: outbox.make_ready
-- in:   ids
-- rows: how many
UPDATE {base}wpcron_outbox
   SET state = 'ready'
 WHERE mail_id IN ({ids})
   AND state = 'later'

-- name: outbox.overdue
-- in:   max:u64
-- rows: mails whose sender let its term pass
SELECT blog_id, mail_id, begun, unknown, tries, subject, job, claim_id,
       TIMESTAMPDIFF(SECOND, TIMESTAMP('1970-01-01 00:00:00'), created_at)
  FROM {base}wpcron_outbox
 WHERE state = 'sending'
   AND claimed_until < UTC_TIMESTAMP(6)
 LIMIT ?

-- name: outbox.take_back
-- in:   ids
-- rows: how many
UPDATE {base}wpcron_outbox
   SET state = 'ready', claim_id = 0, claimed_until = NULL
 WHERE mail_id IN ({ids})
   AND state = 'sending'
   AND begun = 0
   AND claimed_until < UTC_TIMESTAMP(6)

-- What its sender knew is lost; recipients stay as they were before.
-- name: outbox.lose
-- in:   state:bytes=later, reply:bytes, wait_s:u64, ended:u64, told:u64,
--       blog:u64, mail:u64, claim:u64
-- rows: 1; 0 its sender came back
UPDATE {base}wpcron_outbox
   SET state = ?, reply = ?, tries = tries + 1, unknown = unknown + 1,
       not_before = UTC_TIMESTAMP(6) + INTERVAL ? SECOND,
       ended_at = IF(? = 1, UTC_TIMESTAMP(6), NULL), told = ?,
       claim_id = 0, claimed_until = NULL, begun = 0
 WHERE blog_id = ?
   AND mail_id = ?
   AND claim_id = ?
   AND state = 'sending'
   AND begun = 1
   AND claimed_until < UTC_TIMESTAMP(6)

-- Of a mail that has ended, not_before is since when its bytes are kept for
-- nothing; without bytes it never is.
-- name: outbox.bodies
-- in:   days:u64=7, max:u64
-- rows: mail_id of dead ones whose bytes nobody wanted
SELECT mail_id
  FROM {base}wpcron_outbox FORCE INDEX (later)
 WHERE state = 'dead'
   AND not_before < UTC_TIMESTAMP(6) - INTERVAL ? DAY
 LIMIT ?

-- In one transaction with the next: an administrator may send one again.
-- name: outbox.mark_bodies
-- in:   ids
-- rows: how many
UPDATE {base}wpcron_outbox
   SET size = 0, not_before = '9999-12-31 00:00:00'
 WHERE mail_id IN ({ids})
   AND state = 'dead'

-- name: outbox.drop_bodies
-- in:   ids
-- rows: how many chunks
-- explain: exempt delete by keys
DELETE c
  FROM {base}wpcron_outbox m
  JOIN {base}wpcron_outbox_chunks c
    ON c.blog_id = m.blog_id
   AND c.mail_id = m.mail_id
 WHERE m.mail_id IN ({ids})
   AND m.state = 'dead'
   AND m.size = 0

-- name: outbox.old
-- in:   state:bytes=sent, days:u64=90, max:u64
-- rows: mail_id of those that ended so long ago
SELECT mail_id
  FROM {base}wpcron_outbox FORCE INDEX (ended)
 WHERE state = ?
   AND ended_at < UTC_TIMESTAMP(6) - INTERVAL ? DAY
 LIMIT ?

-- name: outbox.half_written
-- in:   seconds:u64=3600, max:u64
-- rows: mail_id of those whose writer is dead
SELECT mail_id
  FROM {base}wpcron_outbox FORCE INDEX (later)
 WHERE state = 'writing'
   AND not_before < UTC_TIMESTAMP(6) - INTERVAL ? SECOND
 LIMIT ?

-- name: outbox.delete
-- in:   state:bytes=sent, ids
-- rows: mails and chunks
-- explain: exempt delete by keys
DELETE m, c
  FROM {base}wpcron_outbox m
  LEFT JOIN {base}wpcron_outbox_chunks c
    ON c.blog_id = m.blog_id
   AND c.mail_id = m.mail_id
 WHERE m.state = ?
   AND m.mail_id IN ({ids})

-- ---- relays at rest ------------------------------------------------------

-- A relay that is away or refuses us rests for all nodes: a lease while it
-- does, and a row with how long and why until it works again.
-- name: outbox.rest
-- in:   lease:text, name:text
-- rows: one: its row or NULL; ms that it rests still, 0 or less: not any more
-- explain: exempt two reads by primary key
SELECT (SELECT m.value
          FROM {base}wpcron_meta m
         WHERE m.name = w.name),
       COALESCE((SELECT TIMESTAMPDIFF(MICROSECOND, UTC_TIMESTAMP(6),
                     l.expires_at) DIV 1000
          FROM {base}wpcron_leases l
         WHERE l.name = w.lease), 0)
  FROM (SELECT ? AS lease, ? AS name) w

-- name: outbox.set_rest
-- in:   name:text, value:text
-- rows: 1 or 2
-- explain: exempt single-row insert
REPLACE INTO {base}wpcron_meta (name, value) VALUES (?, ?)

-- name: outbox.end_rest
-- in:   name:text
-- rows: 1 it works again; 0 somebody else knew
DELETE FROM {base}wpcron_meta WHERE name = ?

-- Windows of rates are the server's.
-- name: outbox.now
-- in:   none
-- rows: one: Unix time in microseconds
-- explain: exempt no table
SELECT TIMESTAMPDIFF(MICROSECOND, TIMESTAMP('1970-01-01 00:00:00'),
    UTC_TIMESTAMP(6))
