-- What an administrator sees and changes of Event Espresso's messages
-- (queues/messages.h): the filters of the plugin's Message Activity.

-- An empty text, or 0, is no filter; `any_transaction` 0: of `ids` alone.
-- name: messages_admin.list
-- in: blog:u64, any_status:text, status:text, any_messenger:text,
--     messenger:text, any_type:text, type:text, any_context:text,
--     context:text, any_contact:u64, contact:u64, any_user:u64, user:u64,
--     any_since:u64, since:time, any_until:u64, until:time, any_search:text,
--     pattern:text, same_pattern:text, pattern_again:text, last_pattern:text,
--     any_transaction:u64, ids, max:u64, skip:u64
-- rows: id, group, transaction, recipient and its type, messenger, type,
--     context, to, from, subject, priority, status, created, modified; of the
--     journal: state, reason, tries, not before
-- explain: exempt the filters and the page decide
SELECT m.MSG_ID, m.GRP_ID, m.TXN_ID, m.MSG_recipient_ID,
       m.MSG_recipient_type, m.MSG_messenger, m.MSG_message_type,
       m.MSG_context, m.MSG_to, m.MSG_from, m.MSG_subject, m.MSG_priority,
       m.STS_ID, m.MSG_created, m.MSG_modified, j.state, j.reason, j.tries,
       TIMESTAMPDIFF(SECOND, '1970-01-01', j.not_before)
  FROM {p}esp_message m
  LEFT JOIN {base}wpcron_messages j
    ON j.blog_id = ?
   AND j.message_id = m.MSG_ID
   AND j.lane = IF(m.STS_ID = 'MIC', 'generate', 'send')
 WHERE (? = '' OR m.STS_ID = ?)
   AND (? = '' OR m.MSG_messenger = ?)
   AND (? = '' OR m.MSG_message_type = ?)
   AND (? = '' OR FIND_IN_SET(m.MSG_context, ?) > 0)
   AND (? = 0 OR (m.MSG_recipient_type = 'Attendee'
                  AND m.MSG_recipient_ID = ?))
   AND (? = 0 OR (m.MSG_recipient_type = 'WP_User'
                  AND m.MSG_recipient_ID = ?))
   AND (? = 0 OR m.MSG_modified >= ?)
   AND (? = 0 OR m.MSG_modified <= ?)
   AND (? = '' OR m.MSG_to LIKE ? OR m.MSG_from LIKE ? OR m.MSG_subject LIKE ?
        OR m.MSG_content LIKE ?)
   AND (? <> 0 OR m.TXN_ID IN ({ids}))
 ORDER BY m.MSG_modified DESC, m.MSG_ID DESC
 LIMIT ? OFFSET ?

-- name: messages_admin.get
-- in: blog:u64, message:u64
-- rows: as messages_admin.list, and the content
SELECT m.MSG_ID, m.GRP_ID, m.TXN_ID, m.MSG_recipient_ID,
       m.MSG_recipient_type, m.MSG_messenger, m.MSG_message_type,
       m.MSG_context, m.MSG_to, m.MSG_from, m.MSG_subject, m.MSG_priority,
       m.STS_ID, m.MSG_created, m.MSG_modified, j.state, j.reason, j.tries,
       TIMESTAMPDIFF(SECOND, '1970-01-01', j.not_before), m.MSG_content
  FROM {p}esp_message m
  LEFT JOIN {base}wpcron_messages j
    ON j.blog_id = ?
   AND j.message_id = m.MSG_ID
   AND j.lane = IF(m.STS_ID = 'MIC', 'generate', 'send')
 WHERE m.MSG_ID = ?

-- name: messages_admin.transactions
-- in: any_registration:u64, registration:u64, any_event:u64, event:u64
-- rows: transactions that have this registration, or one for this event
-- explain: exempt the filters decide
SELECT DISTINCT r.TXN_ID
  FROM {p}esp_registration r
 WHERE (? = 0 OR r.REG_ID = ?)
   AND (? = 0 OR r.EVT_ID = ?)

-- name: messages_admin.counts
-- in: none
-- rows: status, how many
-- explain: exempt counts all rows in the index
SELECT m.STS_ID, COUNT(*)
  FROM {p}esp_message m
 GROUP BY m.STS_ID

-- name: messages_admin.foreign
-- in: blog:u64
-- rows: one: how many are said to be on the way, and not by us
-- explain: rows 4000 all that are on the way
SELECT COUNT(*)
  FROM {p}esp_message m
  LEFT JOIN {base}wpcron_messages j
    ON j.blog_id = ?
   AND j.message_id = m.MSG_ID
   AND j.lane = 'send'
   AND j.state IN ('claimed', 'running')
 WHERE m.STS_ID = 'MEX'
   AND j.message_id IS NULL

-- name: messages_admin.oldest
-- in: none
-- rows: one: Unix time of what has waited for longest
-- explain: exempt reads all that waits
SELECT TIMESTAMPDIFF(SECOND, '1970-01-01', MIN(m.MSG_modified))
  FROM {p}esp_message m
 WHERE m.STS_ID IN ('MIC', 'MID', 'MRS')

-- name: messages_admin.resend
-- in: ids
-- rows: how many were sent, or refused
UPDATE {p}esp_message
   SET STS_ID = 'MRS'
 WHERE MSG_ID IN ({ids})
   AND STS_ID IN ('MSN', 'MRT')

-- name: messages_admin.free
-- in: ids, blog:u64
-- rows: those that are there and not in our hand, locked
SELECT m.MSG_ID
  FROM {p}esp_message m
 WHERE m.MSG_ID IN ({ids})
   AND NOT EXISTS (SELECT 1 FROM {base}wpcron_messages j
                    WHERE j.blog_id = ?
                      AND j.message_id = m.MSG_ID
                      AND j.state IN ('claimed', 'running'))
   FOR UPDATE

-- name: messages_admin.delete
-- in: ids
-- rows: how many there were
DELETE FROM {p}esp_message WHERE MSG_ID IN ({ids})
