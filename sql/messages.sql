-- Event Espresso's messages (queues/messages.h): the plugin's tables
-- {p}esp_message and {p}esp_extra_meta, its options, and our journal.
-- The plugin has no key over status, priority and date: waiting rows are read
-- by STS_ID without an order and sorted here.

-- name: messages.present
-- in:   none
-- rows: one: how many of the two tables are there
-- explain: exempt information_schema
SELECT COUNT(*)
  FROM information_schema.TABLES t
 WHERE t.TABLE_SCHEMA = DATABASE()
   AND t.TABLE_NAME IN ('{p}esp_message', '{p}esp_extra_meta')

-- ---- options -------------------------------------------------------------

-- name: messages.options
-- in:   none
-- rows: name and value, those that are set
SELECT option_name, option_value
  FROM {p}options
 WHERE option_name IN ('_ee_lock_generation', '_ee_lock_sending',
       '_ee_rate_limit', '_transient__ee_lock_generation',
       '_transient_timeout__ee_lock_generation',
       '_transient__ee_lock_sending', '_transient_timeout__ee_lock_sending',
       '_transient__ee_rate_limit', '_transient_timeout__ee_rate_limit',
       'ee_maintenance_mode', 'ee_network_config',
       'ee_disabled_wp_cron_check')

-- name: messages.network_config
-- in:   none
-- rows: the setting of a network
SELECT meta_value
  FROM {base}sitemeta
 WHERE meta_key = 'ee_network_config'
 ORDER BY site_id
 LIMIT 1

-- The event stands in the array as its quoted name, and its interval soon
-- after it; the whole array may be long.
-- name: messages.event
-- in:   none
-- rows: the array from the event that sends on; empty: there is none
SELECT IF(LOCATE('"AHEE__EE_Messages_Scheduler__sending"', option_value) > 0,
          SUBSTRING(option_value, LOCATE(
              '"AHEE__EE_Messages_Scheduler__sending"', option_value), 400),
          '')
  FROM {p}options
 WHERE option_name = 'cron'

-- Autoload `no`: a PHP request that began before reads it when it asks.
-- name: messages.option_write
-- in:   name:text, value:text
-- rows: 1 or 2
-- explain: exempt single-row insert
INSERT INTO {p}options (option_name, option_value, autoload)
VALUES (?, ?, 'no')
    ON DUPLICATE KEY UPDATE option_value = VALUES(option_value),
       autoload = 'no'

-- name: messages.option_swap
-- in:   value:text, name:text=_ee_rate_limit, old:text
-- rows: 1, 0: it changed meanwhile
UPDATE {p}options
   SET option_value = ?
 WHERE option_name = ?
   AND CAST(option_value AS BINARY) = CAST(? AS BINARY)

-- name: messages.option_drop
-- in:   name:text=_ee_rate_limit, old:text
-- rows: 1, 0: it changed meanwhile
DELETE FROM {p}options
 WHERE option_name = ?
   AND CAST(option_value AS BINARY) = CAST(? AS BINARY)

-- ---- what waits ----------------------------------------------------------

-- name: messages.waiting
-- in:   status:text=MID, max:u64
-- rows: id, priority, modified; in no order
SELECT m.MSG_ID, m.MSG_priority, m.MSG_modified
  FROM {p}esp_message m FORCE INDEX (STS_ID)
 WHERE m.STS_ID = ?
 LIMIT ?

-- name: messages.in_hand
-- in:   blog:u64, lane:text=send
-- rows: messages that are in hand, or wait
-- explain: rows 2000 all of them
SELECT j.message_id
  FROM {base}wpcron_messages j
 WHERE j.blog_id = ?
   AND j.state IN ('claimed', 'running', 'passed')
   AND j.lane = ?
   AND j.not_before > UTC_TIMESTAMP(6)

-- What came last has the highest ids.
-- name: messages.due
-- in:   blog:u64
-- rows: one, if something does not wait for the plugin's schedule
-- explain: rows 2600 200 rows of three statuses, and the journal's of them
SELECT 1
  FROM ((SELECT g.MSG_ID AS id, g.MSG_priority AS priority, 20 AS lowest,
                'generate' AS lane
           FROM {p}esp_message g FORCE INDEX (STS_ID)
          WHERE g.STS_ID = 'MIC'
          ORDER BY g.MSG_ID DESC
          LIMIT 200)
        UNION ALL
        (SELECT s.MSG_ID, s.MSG_priority, 10, 'send'
           FROM {p}esp_message s FORCE INDEX (STS_ID)
          WHERE s.STS_ID = 'MID'
          ORDER BY s.MSG_ID DESC
          LIMIT 200)
        UNION ALL
        (SELECT r.MSG_ID, r.MSG_priority, 10, 'send'
           FROM {p}esp_message r FORCE INDEX (STS_ID)
          WHERE r.STS_ID = 'MRS'
          ORDER BY r.MSG_ID DESC
          LIMIT 200)) w
  LEFT JOIN {base}wpcron_messages j
    ON j.blog_id = ?
   AND j.message_id = w.id
   AND j.lane = w.lane
   AND j.state IN ('claimed', 'running', 'passed')
   AND j.not_before > UTC_TIMESTAMP(6)
 WHERE w.priority <= w.lowest
   AND j.message_id IS NULL
 LIMIT 1

-- name: messages.rate_option
-- in:   none
-- rows: value of the limit (or of its timeout), and the server's Unix time
SELECT option_name, option_value,
       TIMESTAMPDIFF(SECOND, '1970-01-01', UTC_TIMESTAMP())
  FROM {p}options
 WHERE option_name IN ('_ee_rate_limit', '_transient__ee_rate_limit',
       '_transient_timeout__ee_rate_limit')

-- ---- the journal ---------------------------------------------------------

-- name: messages.copy
-- in:   ids
-- rows: whole rows
SELECT m.MSG_ID, m.STS_ID, m.MSG_modified,
       m.MSG_modified > UTC_TIMESTAMP() - INTERVAL 600 SECOND,
       m.GRP_ID, m.MSG_token, m.TXN_ID, m.MSG_messenger, m.MSG_message_type,
       m.MSG_context, m.MSG_recipient_ID, m.MSG_recipient_type, m.MSG_content,
       m.MSG_to, m.MSG_from, m.MSG_subject, m.MSG_priority, m.MSG_created
  FROM {p}esp_message m
 WHERE m.MSG_ID IN ({ids})

-- name: messages.copy_meta
-- in:   ids
-- rows: message, key and value, as they were added
-- explain: rows 1000 all of these messages
SELECT e.OBJ_ID, e.EXM_key, e.EXM_value
  FROM {p}esp_extra_meta e
 WHERE e.EXM_type = 'Message'
   AND e.OBJ_ID IN ({ids})

-- What is in hand stays as it is. `state` comes last: the others are computed
-- from what it was.
-- name: messages.claim
-- in:   blog:u64, message:u64, lane:text=send, was:text=MID, claim:u64,
--       term_us:u64, same_term_us:u64, copy:bytes
-- rows: 1 or 2
-- explain: exempt single-row insert or update by its primary key
INSERT INTO {base}wpcron_messages
       (blog_id, message_id, lane, state, was, claim_id, not_before, deadline,
        copy)
VALUES (?, ?, ?, 'claimed', ?, ?, UTC_TIMESTAMP(6) + INTERVAL ? MICROSECOND,
        UTC_TIMESTAMP(6) + INTERVAL ? MICROSECOND, ?)
    ON DUPLICATE KEY UPDATE
       sending = sending + (state IN ('done', 'failed', 'again', 'refused')),
       tries = IF(state IN ('done', 'refused'), 0, tries),
       was = IF(state IN ('claimed', 'running'), was, VALUES(was)),
       claim_id = IF(state IN ('claimed', 'running'), claim_id,
                     VALUES(claim_id)),
       not_before = IF(state IN ('claimed', 'running'), not_before,
                       VALUES(not_before)),
       deadline = IF(state IN ('claimed', 'running'), deadline,
                     VALUES(deadline)),
       ended_at = IF(state IN ('claimed', 'running'), ended_at, NULL),
       copy = IF(state IN ('claimed', 'running'), copy, VALUES(copy)),
       reason = IF(state IN ('claimed', 'running'), reason, ''),
       state = IF(state IN ('claimed', 'running'), state, 'claimed')

-- name: messages.claimed
-- in:   blog:u64, lane:text=send, claim:u64, ids
-- rows: what is this claim's
SELECT j.message_id, j.sending, j.tries, j.was
  FROM {base}wpcron_messages j
 WHERE j.blog_id = ?
   AND j.lane = ?
   AND j.claim_id = ?
   AND j.state = 'claimed'
   AND j.message_id IN ({ids})

-- name: messages.begun
-- in:   blog:u64, lane:text=send, claim:u64
-- rows: how many
-- explain: rows 400 what is claimed on a blog, usually by this claim alone
UPDATE {base}wpcron_messages
   SET state = 'running'
 WHERE blog_id = ?
   AND lane = ?
   AND claim_id = ?
   AND state = 'claimed'

-- name: messages.done
-- in:   blog:u64, lane:text=send, claim:u64, ids
-- rows: how many; the others are not of this claim any more
UPDATE {base}wpcron_messages
   SET state = 'done', tries = 0, not_before = UTC_TIMESTAMP(6),
       ended_at = UTC_TIMESTAMP(6), copy = '', reason = ''
 WHERE blog_id = ?
   AND lane = ?
   AND claim_id = ?
   AND state IN ('claimed', 'running')
   AND message_id IN ({ids})

-- name: messages.end
-- in:   state:text=passed, strikes:u64, wait_us:u64, reason:bytes, blog:u64,
--       message:u64, lane:text=send, claim:u64
-- rows: 1, 0: it is not of this claim any more
UPDATE {base}wpcron_messages
   SET state = ?, tries = tries + ?,
       not_before = UTC_TIMESTAMP(6) + INTERVAL ? MICROSECOND,
       ended_at = UTC_TIMESTAMP(6), copy = '', reason = ?
 WHERE blog_id = ?
   AND message_id = ?
   AND lane = ?
   AND claim_id = ?
   AND state IN ('claimed', 'running')

-- name: messages.in_doubt
-- in:   blog:u64, message:u64, lane:text=send, claim:u64
-- rows: the entry, locked; none: it is not of this claim any more
SELECT j.state, j.was, j.tries, j.copy
  FROM {base}wpcron_messages j
 WHERE j.blog_id = ?
   AND j.message_id = ?
   AND j.lane = ?
   AND j.claim_id = ?
   AND j.state IN ('claimed', 'running')
   FOR UPDATE

-- name: messages.expired
-- in:   blog:u64, max:u64
-- rows: entries whose term is over
-- explain: rows 1200 a range for each of two states
SELECT j.message_id, j.lane, j.claim_id
  FROM {base}wpcron_messages j
 WHERE j.blog_id = ?
   AND j.state IN ('claimed', 'running')
   AND j.deadline <= UTC_TIMESTAMP(6)
 LIMIT ?

-- Their number of the sending is in the name of the job.
-- name: messages.refusals
-- in:   blog:u64, ids
-- rows: those of these whose mail no relay takes, and what it said
SELECT j.message_id, o.reply
  FROM {base}wpcron_messages j
  JOIN {base}wpcron_outbox o
    ON o.blog_id = j.blog_id
   AND o.job = CAST(CONCAT('message:', j.message_id, ':', j.sending) AS BINARY)
   AND o.state = 'dead'
 WHERE j.blog_id = ?
   AND j.lane = 'send'
   AND j.message_id IN ({ids})

-- name: messages.failed
-- in:   blog:u64, max:u64
-- rows: messages that may be sent once more
-- explain: rows 2000 those that wait for it
SELECT j.message_id
  FROM {base}wpcron_messages j
 WHERE j.blog_id = ?
   AND j.state = 'failed'
   AND j.lane = 'send'
   AND j.not_before <= UTC_TIMESTAMP(6)
 LIMIT ?

-- name: messages.again
-- in:   blog:u64, ids
-- rows: how many
UPDATE {base}wpcron_messages
   SET state = 'again'
 WHERE blog_id = ?
   AND lane = 'send'
   AND state = 'failed'
   AND message_id IN ({ids})

-- Whatever came of a sending by others: it is not retried by itself.
-- name: messages.bar
-- in:   reason:bytes, blog:u64, message:u64
-- rows: 1, 0: it was never sent here, or is in hand
UPDATE {base}wpcron_messages
   SET state = 'refused', ended_at = UTC_TIMESTAMP(6), reason = ?
 WHERE blog_id = ?
   AND message_id = ?
   AND lane = 'send'
   AND state NOT IN ('claimed', 'running')

-- As if it had never failed: somebody wants it sent again.
-- name: messages.pardon
-- in:   blog:u64, ids
-- rows: how many
UPDATE {base}wpcron_messages
   SET state = 'done', tries = 0, reason = ''
 WHERE blog_id = ?
   AND lane = 'send'
   AND state NOT IN ('claimed', 'running', 'passed')
   AND message_id IN ({ids})

-- What PHP left as it was, or ended under, has its turn at once.
-- name: messages.unpark
-- in:   blog:u64, message:u64
-- rows: entries that waited
UPDATE {base}wpcron_messages
   SET not_before = UTC_TIMESTAMP(6), tries = 0, reason = ''
 WHERE blog_id = ?
   AND message_id = ?
   AND state = 'passed'

-- An ORDER BY would sort all of them.
-- name: messages.expire
-- in:   blog:u64, days:u64=100, max:u64
-- rows: how many were old
DELETE FROM {base}wpcron_messages
 WHERE blog_id = ?
   AND ended_at < UTC_TIMESTAMP(6) - INTERVAL ? DAY
   AND state NOT IN ('claimed', 'running')
 LIMIT ?

-- ---- rows ----------------------------------------------------------------

-- name: messages.statuses
-- in:   ids
-- rows: of those that are there
SELECT m.MSG_ID, m.STS_ID
  FROM {p}esp_message m
 WHERE m.MSG_ID IN ({ids})

-- name: messages.status_lock
-- in:   message:u64
-- rows: its status, locked; none: it is gone
SELECT m.STS_ID FROM {p}esp_message m WHERE m.MSG_ID = ? FOR UPDATE

-- name: messages.kind
-- in:   message:u64
-- rows: messenger, type, context, when it was made
SELECT m.MSG_messenger, m.MSG_message_type, m.MSG_context,
       TIMESTAMPDIFF(SECOND, '1970-01-01', m.MSG_created)
  FROM {p}esp_message m
 WHERE m.MSG_ID = ?

-- Only from the status it had; the date of a sent row is when it was sent.
-- name: messages.move
-- in:   to:text=MRS, touch:u64, message:u64, from:text=MEX
-- rows: 1, 0: somebody else was faster
UPDATE {p}esp_message
   SET STS_ID = ?, MSG_modified = IF(?, UTC_TIMESTAMP(), MSG_modified)
 WHERE MSG_ID = ?
   AND STS_ID = ?

-- name: messages.move_failed
-- in:   ids
-- rows: how many are to be sent once more
UPDATE {p}esp_message
   SET STS_ID = 'MRS'
 WHERE MSG_ID IN ({ids})
   AND STS_ID = 'MRT'

-- name: messages.restore
-- in:   message:u64, group:text=1, token:text, transaction:text=1,
--       messenger:text, type:text, context:text, recipient:text=1,
--       recipient_type:text, content:text, to:text, from:text, subject:text,
--       priority:text=10, created:text=2020-01-01, modified:text=2020-01-01
-- rows: 1; a duplicate: it is there
-- explain: exempt single-row insert
INSERT INTO {p}esp_message
       (MSG_ID, GRP_ID, MSG_token, TXN_ID, MSG_messenger, MSG_message_type,
        MSG_context, MSG_recipient_ID, MSG_recipient_type, MSG_content, MSG_to,
        MSG_from, MSG_subject, MSG_priority, STS_ID, MSG_created,
        MSG_modified)
VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, 'MIC', ?, ?)

-- name: messages.meta_drop
-- in:   ids
-- rows: how many
-- explain: rows 1000 all of these messages
DELETE FROM {p}esp_extra_meta
 WHERE EXM_type = 'Message'
   AND OBJ_ID IN ({ids})

-- name: messages.meta_add
-- in:   rows(message:u64, type:text, key:text, value:text)
-- rows: one a row
-- explain: exempt insert of given rows
INSERT INTO {p}esp_extra_meta (OBJ_ID, EXM_type, EXM_key, EXM_value)
VALUES {rows 4}

-- name: messages.error_update
-- in:   error:text, message:u64
-- rows: how many there are
UPDATE {p}esp_extra_meta
   SET EXM_value = ?
 WHERE EXM_type = 'Message'
   AND OBJ_ID = ?
   AND EXM_key = 'MSG_error'

-- name: messages.error_add
-- in:   message:u64, error:text
-- rows: 1
-- explain: exempt single-row insert
INSERT INTO {p}esp_extra_meta (OBJ_ID, EXM_type, EXM_key, EXM_value)
VALUES (?, 'Message', 'MSG_error', ?)

-- name: messages.error
-- in:   message:u64
-- rows: what the plugin says about it
SELECT e.EXM_value
  FROM {p}esp_extra_meta e
 WHERE e.EXM_type = 'Message'
   AND e.OBJ_ID = ?
   AND e.EXM_key = 'MSG_error'
 LIMIT 1

-- name: messages.failures
-- in:   blog:u64, after:u64, since:time, max:u64
-- rows: rows that failed for good since then and have no letter, by id
-- explain: rows 4000 all that failed, at worst
SELECT m.MSG_ID
  FROM {p}esp_message m FORCE INDEX (STS_ID)
  LEFT JOIN {base}wpcron_dead_letters d
    ON d.blog_id = ?
   AND d.kind = 'message'
   AND d.queue = 'messages'
   AND d.source = m.MSG_ID
   AND d.died_at >= m.MSG_modified
 WHERE m.STS_ID = 'MFL'
   AND m.MSG_ID > ?
   AND m.MSG_modified > ?
   AND d.source IS NULL
 ORDER BY m.MSG_ID
 LIMIT ?

-- name: messages.clock
-- in:   none
-- rows: one: the server's Unix time
-- explain: exempt reads no table
SELECT TIMESTAMPDIFF(SECOND, '1970-01-01', UTC_TIMESTAMP())

-- name: messages.memo
-- in:   name:text
-- rows: what was noted
SELECT value FROM {base}wpcron_meta WHERE name = ?

-- name: messages.memo_write
-- in:   name:text, value:text
-- rows: 1 or 2
-- explain: exempt single-row insert
REPLACE INTO {base}wpcron_meta (name, value) VALUES (?, ?)
