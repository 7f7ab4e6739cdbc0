-- What an administrator sees and changes of readers and integrations; see
-- ctl.sql. Readers' own rows are in contacts.sql.

-- name: contacts_ctl.compare_write
-- in: name:text, value:text
-- rows: 1 or 2
-- explain: exempt single-row insert
REPLACE INTO {base}wpcron_meta (name, value) VALUES (?, ?)

-- name: contacts_ctl.compare_read
-- in: name:text
-- rows: what was found, none when nobody looked
SELECT m.value
  FROM {base}wpcron_meta m
 WHERE m.name = ?

-- Pending and running retries of one hook, whose arguments may name a reader;
-- who they are of, only the arguments say.
-- name: contacts_ctl.retries
-- in: hook:text=newspack_contact_sync_retry, pattern:text, max:u64
-- rows: id, status, due at, arguments
-- explain: exempt the retries of a hook that wait
SELECT a.action_id, a.status, a.scheduled_date_gmt,
       {?extended_args COALESCE(NULLIF(a.extended_args, ''), a.args)}
       {!extended_args a.args}
  FROM {p}actionscheduler_actions AS a
 WHERE a.hook = ?
   AND a.status IN ('pending', 'in-progress')
   AND {?extended_args COALESCE(NULLIF(a.extended_args, ''), a.args)}
       {!extended_args a.args} LIKE ?
 ORDER BY a.scheduled_date_gmt
 LIMIT ?

-- name: contacts_ctl.fingerprints
-- in: blog:u64, user:u64
-- rows: of one reader: integration, state, accepted at, reason, payload,
--       address
SELECT f.integration, f.state,
       TIMESTAMPDIFF(SECOND, '1970-01-01', f.accepted_at), f.reason,
       HEX(f.payload), HEX(f.address)
  FROM {base}wpcron_fingerprints f
 WHERE f.blog_id = ?
   AND f.user_id = ?
 ORDER BY f.integration

-- name: contacts_ctl.newest_readers
-- in: key:text=wp_capabilities, max:u64
-- rows: ids of the newest members of the blog
-- explain: exempt as many users as are asked for, from the end
SELECT u.ID
  FROM {base}users u
 WHERE EXISTS (SELECT 1 FROM {base}usermeta m
                WHERE m.user_id = u.ID AND m.meta_key = ?)
 ORDER BY u.ID DESC
 LIMIT ?

-- name: contacts_ctl.last_enqueue
-- in: none
-- rows: one: readers whom anybody ever staged, at most 1000 counted; the
--       newest time among them
-- explain: exempt a bounded read along the index of keys
SELECT COUNT(*), MAX(CAST(m.meta_value AS UNSIGNED))
  FROM (SELECT x.meta_value
          FROM {base}usermeta x
         WHERE x.meta_key = 'newspack_contact_cron_last_enqueue'
         LIMIT 1000) m
