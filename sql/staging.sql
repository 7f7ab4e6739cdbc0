-- Readers put into the contacts queue by page loads: three usermeta rows a
-- reader (queues/staging.h). The tables belong to the network, not to a blog.

-- Locked in the order of their ids, so that two nodes do not wait for each
-- other. Nothing is written to these rows; they stand for the readers.
-- name: staging.lock
-- in:   ids
-- rows: ids of the users that exist
SELECT ID
  FROM {base}users
 WHERE ID IN ({ids})
 ORDER BY ID
   FOR UPDATE

-- By user: of a key there may be a million rows, of a user there are dozens.
-- name: staging.rows
-- in:   ids
-- rows: umeta_id, user, key and value; keys by the column's collation
-- explain: rows 5000 all usermeta of these users
SELECT umeta_id, user_id, meta_key, meta_value
  FROM {base}usermeta FORCE INDEX (user_id)
 WHERE user_id IN ({ids})
   AND meta_key IN ('newspack_contact_cron_last_enqueue',
       'newspack_contact_cron_push_pending',
       'newspack_contact_cron_pull_pending')

-- name: staging.touch
-- in:   value:text, ids
-- rows: how many there were
UPDATE {base}usermeta
   SET meta_value = ?
 WHERE umeta_id IN ({ids})

-- name: staging.add
-- in:   rows(user:u64, key:text, value:text)
-- rows: as many
-- explain: exempt insert of given rows
INSERT INTO {base}usermeta (user_id, meta_key, meta_value)
VALUES {rows 3}
