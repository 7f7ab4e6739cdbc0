-- Readers that wait for a pull or a push, what is known of them, and what a
-- provider has of them. WordPress' tables {base}users and {base}usermeta (their
-- keys bear no prefix, but for the capabilities of a blog), Action Scheduler's
-- {p}actionscheduler_actions for retries, and our own.
--
-- Keys of usermeta compare without regard to case, accents and blanks at the
-- end: such a comparison leads to the index, CAST() to the very key. No index
-- is named, for some sites have others on these tables than WordPress makes.

-- An ORDER BY would sort all of them: the index on meta_key is of a prefix.
-- What is no number is nobody's flag, but waits all the same: only its
-- beginning is read and compared.
-- name: contacts.flags
-- in:   key:text=newspack_contact_cron_push_pending,
--       same_key:bytes=newspack_contact_cron_push_pending, max:u64
-- rows: row, user and value of those that wait
SELECT umeta_id, user_id, CAST(LEFT(IFNULL(meta_value, ''), 64) AS BINARY)
  FROM {base}usermeta
 WHERE meta_key = ?
   AND CAST(meta_key AS BINARY) = ?
 LIMIT ?

-- name: contacts.flags_of
-- in:   user:u64, key:text=newspack_contact_cron_push_pending,
--       same_key:bytes=newspack_contact_cron_push_pending
-- rows: as contacts.flags, of one reader
SELECT umeta_id, user_id, CAST(LEFT(IFNULL(meta_value, ''), 64) AS BINARY)
  FROM {base}usermeta
 WHERE user_id = ?
   AND meta_key = ?
   AND CAST(meta_key AS BINARY) = ?

-- The key is looked at, too: a number of a row that is gone may be given to
-- another one when the server starts anew.
-- name: contacts.flags_remove
-- in:   ids, rows(row:u64, user:u64, value:bytes)
-- rows: how many were as they were read
DELETE FROM {base}usermeta
 WHERE umeta_id IN ({ids})
   AND CAST(meta_key AS BINARY) IN ('newspack_contact_cron_pull_pending',
       'newspack_contact_cron_push_pending')
   AND (umeta_id, user_id, CAST(LEFT(IFNULL(meta_value, ''), 64) AS BINARY))
       IN ({rows 3})

-- name: contacts.meta_update
-- in:   value:text, ids
-- rows: how many are there
UPDATE {base}usermeta
   SET meta_value = ?
 WHERE umeta_id IN ({ids})

-- name: contacts.meta_insert
-- in:   rows(user:u64, key:text, value:text)
-- rows: one a row
-- explain: exempt insert of given rows
INSERT INTO {base}usermeta (user_id, meta_key, meta_value) VALUES {rows 3}

-- name: contacts.users
-- in:   ids
-- rows: those that exist
SELECT ID, user_login, user_email, display_name, user_nicename, user_url,
       user_registered
  FROM {base}users
 WHERE ID IN ({ids})

-- name: contacts.capabilities
-- in:   ids
-- rows: row, user and what they may do on this blog
-- explain: rows 1200 all rows of 50 users
SELECT umeta_id, user_id, meta_value
  FROM {base}usermeta
 WHERE user_id IN ({ids})
   AND meta_key = '{p}capabilities'
   AND CAST(meta_key AS BINARY) = '{p}capabilities'

-- name: contacts.user_by_email
-- in:   email:text=user77@example.test
-- rows: the id of the first one
SELECT ID FROM {base}users WHERE user_email = ? ORDER BY ID LIMIT 1

-- name: contacts.user_by_login
-- in:   login:text=user77
-- rows: the id
SELECT ID FROM {base}users WHERE user_login = ? ORDER BY ID LIMIT 1

-- name: contacts.meta
-- in:   ids, rows(key:text=nickname)
-- rows: row, user, key and value
-- explain: rows 1200 all rows of 50 users
SELECT umeta_id, user_id, meta_key, meta_value
  FROM {base}usermeta
 WHERE user_id IN ({ids})
   AND meta_key IN ({rows 1})

-- Whose retry a row is stands in its arguments alone. `%` as the pattern: all
-- of them.
-- name: contacts.retries
-- in:   hook:text=newspack_contact_sync_retry,
--       same_hook:bytes=newspack_contact_sync_retry, pattern:text=%
-- rows: id, whether it runs, arguments
-- explain: rows 12000 the retries that wait; by an index on hook alone, those
--       that are over, too
SELECT a.action_id, a.status = 'in-progress',
       {?extended_args COALESCE(NULLIF(a.extended_args, ''), a.args)}
       {!extended_args a.args}
  FROM {p}actionscheduler_actions AS a
 WHERE a.hook = ?
   AND CAST(a.hook AS BINARY) = ?
   AND a.status IN ('pending', 'in-progress')
   AND {?extended_args COALESCE(NULLIF(a.extended_args, ''), a.args)}
       {!extended_args a.args} LIKE ?

-- The row is held until the transaction ends: who adds retries of a blog waits
-- for who adds others, and sees them.
-- name: contacts.retry_lock
-- in:   name:text
-- rows: 1 locked; 0 there is no such row yet
UPDATE {base}wpcron_leases
   SET token = token + 1
 WHERE name = ?

-- name: contacts.group
-- in:   slug:text=group-77
-- rows: the id of the first group of that slug
SELECT group_id
  FROM {p}actionscheduler_groups
 WHERE slug = ?
 ORDER BY group_id
 LIMIT 1

-- The plugin adds groups without a lock, so two rows of a slug may come to be;
-- either is right.
-- name: contacts.group_add
-- in:   slug:text=group-77, same:text=group-77
-- rows: 1 added, 0 it is there
-- explain: exempt reads the rows of one slug
INSERT INTO {p}actionscheduler_groups (slug)
SELECT ?
  FROM DUAL
 WHERE NOT EXISTS (SELECT 1 FROM {p}actionscheduler_groups AS g
                    WHERE g.slug = ?)

-- name: contacts.fingerprints
-- in:   blog:u64, integration:bytes=esp, ids
-- rows: user, hashes, whether barred, why, since when
SELECT f.user_id, f.payload, f.address, f.state = 'barred', f.reason,
       TIMESTAMPDIFF(SECOND, '1970-01-01', f.accepted_at)
  FROM {base}wpcron_fingerprints AS f
 WHERE f.blog_id = ?
   AND f.integration = ?
   AND f.user_id IN ({ids})
   AND (f.state = 'barred'
        OR f.accepted_at > UTC_TIMESTAMP(6) - INTERVAL 7 DAY)

-- name: contacts.fingerprints_write
-- in:   rows(blog:u64, user:u64, integration:bytes, state:text, payload:bytes, address:bytes, accepted_at:time, reason:bytes)
-- rows: 1 or 2 a row
-- explain: exempt insert of given rows
INSERT INTO {base}wpcron_fingerprints
       (blog_id, user_id, integration, state, payload, address, accepted_at,
        reason)
VALUES {rows 8}
    ON DUPLICATE KEY UPDATE state = VALUES(state), payload = VALUES(payload),
       address = VALUES(address), accepted_at = VALUES(accepted_at),
       reason = VALUES(reason)

-- name: contacts.fingerprints_drop
-- in:   blog:u64, integration:bytes=esp, ids
-- rows: how many were there
DELETE FROM {base}wpcron_fingerprints
 WHERE blog_id = ?
   AND integration = ?
   AND user_id IN ({ids})

-- name: contacts.fingerprints_drop_all
-- in:   blog:u64, ids
-- rows: how many were there, of all integrations
DELETE FROM {base}wpcron_fingerprints
 WHERE blog_id = ?
   AND user_id IN ({ids})

-- An ORDER BY would read and sort all of them, though they come by the index.
-- name: contacts.fingerprints_old
-- in:   max:u64
-- rows: how many ended, of any blog
DELETE FROM {base}wpcron_fingerprints
 WHERE state = 'accepted'
   AND accepted_at <= UTC_TIMESTAMP(6) - INTERVAL 7 DAY
 LIMIT ?

-- One step of a walk over all readers of a blog.
-- name: contacts.fingerprints_walk
-- in:   blog:u64, after:u64, max:u64
-- rows: user, and whether there still is one, by user
SELECT f.user_id, u.ID IS NOT NULL
  FROM {base}wpcron_fingerprints AS f
  LEFT JOIN {base}users AS u ON u.ID = f.user_id
 WHERE f.blog_id = ?
   AND f.user_id > ?
 ORDER BY f.user_id
 LIMIT ?

-- name: contacts.cursor
-- in:   name:text
-- rows: how far the walk is; none: at its beginning
SELECT value FROM {base}wpcron_meta WHERE name = ?

-- name: contacts.cursor_write
-- in:   name:text, value:text
-- rows: 1 or 2
-- explain: exempt single-row insert
REPLACE INTO {base}wpcron_meta (name, value) VALUES (?, ?)

-- name: contacts.batch_store
-- in:   blog:u64, integration:bytes, provider:text, token:bytes, submitted_at:time, ask_at:time, asked:u64, members:bytes
-- rows: 1; the batch is the insert id
-- explain: exempt single-row insert
INSERT INTO {base}wpcron_batches
       (blog_id, integration, provider, token, submitted_at, ask_at, asked,
        members)
VALUES (?, ?, ?, ?, ?, ?, ?, ?)

-- name: contacts.batches
-- in:   blog:u64
-- rows: the bulk calls that a blog waits for
-- explain: rows 1000 all of them
SELECT b.batch_id, b.integration, b.provider, b.token,
       TIMESTAMPDIFF(SECOND, '1970-01-01', b.submitted_at),
       TIMESTAMPDIFF(SECOND, '1970-01-01', b.ask_at), b.asked, b.members
  FROM {base}wpcron_batches AS b
 WHERE b.blog_id = ?
 ORDER BY b.batch_id

-- name: contacts.batch_update
-- in:   ask_at:time, asked:u64, members:bytes, blog:u64, batch:u64
-- rows: 1, 0: it has ended
UPDATE {base}wpcron_batches
   SET ask_at = ?, asked = ?, members = ?
 WHERE blog_id = ?
   AND batch_id = ?

-- name: contacts.batch_end
-- in:   blog:u64, batch:u64
-- rows: 1, 0: it had ended
DELETE FROM {base}wpcron_batches
 WHERE blog_id = ?
   AND batch_id = ?

-- Who writes reader data of a user waits here for who else does, also where
-- there is no list of keys yet to be locked.
-- name: contacts.user_lock
-- in:   user:u64
-- rows: one while the user exists, locked
SELECT ID FROM {base}users WHERE ID = ? FOR UPDATE

-- name: contacts.data
-- in:   user:u64, rows(key:text=newspack_reader_data_keys)
-- rows: row, key and value
SELECT umeta_id, meta_key, meta_value
  FROM {base}usermeta
 WHERE user_id = ?
   AND meta_key IN ({rows 1})

-- By the index on user_id, as WordPress' own UPDATE of a row: both lock a
-- user's rows in one order.
-- name: contacts.data_lock
-- in:   user:u64, rows(key:text=newspack_reader_data_keys)
-- rows: row, key and value, locked
SELECT umeta_id, meta_key, meta_value
  FROM {base}usermeta
 WHERE user_id = ?
   AND meta_key IN ({rows 1})
   FOR UPDATE
