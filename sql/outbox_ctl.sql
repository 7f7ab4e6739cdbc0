-- What an administrator sees and changes of the outbox; see ctl.sql. What
-- sending needs is in outbox.sql.

-- name: outbox_ctl.list
-- in: any_state:text, state:text, any_job:bytes, job:bytes, job_of:bytes, any_blog:u64, blog:u64, max:u64, skip:u64
-- rows: mails, newest first
-- explain: exempt the filters and the page decide
SELECT o.blog_id, o.mail_id, o.state, o.priority, o.job, o.ordinal, o.sender,
       o.recipients, o.subject, o.size, o.sealed, o.created_at, o.not_before,
       o.tries, o.unknown, o.ended_at, o.reply, o.message_id, o.begun
  FROM {base}wpcron_outbox o
 WHERE (? = '' OR o.state = ?)
   AND (? = '' OR o.job = ? OR o.job LIKE CONCAT(?, ':%'))
   AND (? = 0 OR o.blog_id = ?)
 ORDER BY o.mail_id DESC
 LIMIT ? OFFSET ?

-- name: outbox_ctl.mail
-- in: mail:u64
-- rows: one: as outbox_ctl.list
SELECT o.blog_id, o.mail_id, o.state, o.priority, o.job, o.ordinal, o.sender,
       o.recipients, o.subject, o.size, o.sealed, o.created_at, o.not_before,
       o.tries, o.unknown, o.ended_at, o.reply, o.message_id, o.begun
  FROM {base}wpcron_outbox o
 WHERE o.mail_id = ?
 LIMIT 1

-- name: outbox_ctl.chunk_count
-- in: blog:u64, mail:u64
-- rows: one: how many chunks of a mail there are
SELECT COUNT(*)
  FROM {base}wpcron_outbox_chunks k
 WHERE k.blog_id = ?
   AND k.mail_id = ?

-- name: outbox_ctl.lock
-- in: blog:u64, mail:u64
-- rows: one, locked: what decides whether a mail may be sent again, or goes
SELECT o.state, o.begun, o.claim_id, o.recipients
  FROM {base}wpcron_outbox o
 WHERE o.blog_id = ?
   AND o.mail_id = ?
   FOR UPDATE

-- Its age is counted anew, or it would be given up at the first "later".
-- name: outbox_ctl.revive
-- in: recipients:bytes, blog:u64, mail:u64
-- rows: 1; the row is locked
UPDATE {base}wpcron_outbox
   SET state = 'ready', recipients = ?, created_at = UTC_TIMESTAMP(6),
       not_before = UTC_TIMESTAMP(6), tries = 0, unknown = 0, claim_id = 0,
       claimed_until = NULL, begun = 0, ended_at = NULL, told = 0, reply = ''
 WHERE blog_id = ?
   AND mail_id = ?

-- name: outbox_ctl.set_recipients
-- in: recipients:bytes, blog:u64, mail:u64
-- rows: 1; the row is locked
UPDATE {base}wpcron_outbox
   SET recipients = ?
 WHERE blog_id = ?
   AND mail_id = ?

-- name: outbox_ctl.delete
-- in: blog:u64, mail:u64
-- rows: 1; the row is locked
DELETE FROM {base}wpcron_outbox
 WHERE blog_id = ?
   AND mail_id = ?

-- name: outbox_ctl.delete_chunks
-- in: blog:u64, mail:u64
-- rows: how many
DELETE FROM {base}wpcron_outbox_chunks
 WHERE blog_id = ?
   AND mail_id = ?

-- name: outbox_ctl.delete_letter
-- in: blog:u64, mail:u64
-- rows: how many dead letters were about the mail
-- explain: exempt along the unique key of sources, whose queue is any
DELETE FROM {base}wpcron_dead_letters
 WHERE blog_id = ?
   AND kind = 'mail'
   AND source = ?

-- Addresses stand in JSON; what looks like one is compared exactly elsewhere.
-- name: outbox_ctl.of_person
-- in: pattern:text, sender:text
-- rows: mails that may be to or from an address, as outbox_ctl.list
-- explain: exempt reads all mails, for one person's question
SELECT o.blog_id, o.mail_id, o.state, o.priority, o.job, o.ordinal, o.sender,
       o.recipients, o.subject, o.size, o.sealed, o.created_at, o.not_before,
       o.tries, o.unknown, o.ended_at, o.reply, o.message_id, o.begun
  FROM {base}wpcron_outbox o
 WHERE LOWER(CONVERT(o.recipients USING utf8mb4)) LIKE ?
    OR LOWER(CONVERT(o.sender USING utf8mb4)) = ?
 ORDER BY o.mail_id

-- name: outbox_ctl.counts
-- in: none
-- rows: of each state: how many mails, seconds since the oldest was stored
-- explain: exempt counts every row, along the index of what is ready
SELECT o.state, COUNT(*),
       TIMESTAMPDIFF(SECOND, MIN(o.created_at), UTC_TIMESTAMP(6))
  FROM {base}wpcron_outbox o
 GROUP BY o.state

-- name: outbox_ctl.dead_counts
-- in: none
-- rows: of each kind of dead letters: how many, seconds since the newest
-- explain: exempt counts every row
SELECT d.kind, COUNT(*),
       TIMESTAMPDIFF(SECOND, MAX(d.died_at), UTC_TIMESTAMP(6))
  FROM {base}wpcron_dead_letters d
 GROUP BY d.kind

-- name: outbox_ctl.paused
-- in: relay:bytes
-- rows: one when the relay, or every one, is paused
SELECT 1
  FROM {base}wpcron_policies p
 WHERE p.blog_id = 0
   AND p.kind = 'smtp'
   AND p.pattern IN (?, '*')
 LIMIT 1

-- name: outbox_ctl.senders
-- in: none
-- rows: domains of the senders of the newest mails, and how many of each
-- explain: exempt a bounded read of the newest mails
SELECT SUBSTRING_INDEX(LOWER(CONVERT(n.sender USING utf8mb4)), '@', -1),
       COUNT(*)
  FROM (SELECT o.sender
          FROM {base}wpcron_outbox o
         WHERE o.sender <> ''
         ORDER BY o.mail_id DESC
         LIMIT 1000) n
 GROUP BY 1
 ORDER BY 2 DESC
 LIMIT 50

-- name: outbox_ctl.oldest_ready
-- in: none
-- rows: one: seconds since the oldest ready mail was stored or became ready;
--       NULL: none is
SELECT TIMESTAMPDIFF(SECOND, MIN(o.not_before), UTC_TIMESTAMP(6))
  FROM {base}wpcron_outbox o
 WHERE o.state = 'ready'
