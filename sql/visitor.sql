-- Whose a log-in cookie is: how it is named and signed, and users by login
-- with those of their usermeta that say whether they are logged in and staged.
-- {base}users and {base}usermeta are the network's; only the key of the
-- capabilities bears the blog's prefix.

-- name: visitor.options
-- in:   none
-- rows: name and value, those that are set
SELECT option_name, option_value
  FROM {p}options
 WHERE option_name IN ('siteurl', 'logged_in_key', 'logged_in_salt')

-- name: visitor.network_options
-- in:   blog:u64
-- rows: the same of the network the blog belongs to, the first one first
-- explain: rows 500 the options of one network, once a minute
SELECT m.meta_key, m.meta_value
  FROM {base}sitemeta m
 WHERE m.site_id = (SELECT b.site_id FROM {base}blogs b WHERE b.blog_id = ?)
   AND m.meta_key IN ('siteurl', 'logged_in_key', 'logged_in_salt')
 ORDER BY m.meta_id

-- The comparisons go by the columns' collation, which takes a user for others
-- that are spelt alike: the caller compares the bytes.
-- name: visitor.by_login
-- in:   rows(login:text=user77)
-- rows: id, login, hash of the password, then number, key and value of a row
--       of usermeta, NULL for none; a value over 1 MiB is NULL
-- explain: rows 1000 all rows of 10 users
SELECT u.ID, u.user_login, u.user_pass, m.umeta_id, m.meta_key,
       IF(LENGTH(m.meta_value) > 1048576, NULL, m.meta_value)
  FROM {base}users u
  LEFT JOIN {base}usermeta m
    ON m.user_id = u.ID
   AND m.meta_key IN ('session_tokens', '{p}capabilities', 'np_reader',
       'newspack_contact_cron_last_enqueue',
       'newspack_contact_cron_pull_pending',
       'newspack_contact_cron_push_pending')
 WHERE u.user_login IN ({rows 1})
