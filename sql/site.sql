-- What the options table says about the site, and which site the tables of
-- ours were set up for.

-- name: site.options
-- in:   none
-- rows: name and value, those that are set
SELECT option_name, option_value
  FROM {p}options
 WHERE option_name IN ('home', 'siteurl', 'timezone_string', 'gmt_offset',
       'action_scheduler_migration_status')

-- name: site.identity_read
-- in:   blog_id:u64
-- rows: the recorded identity; none: nothing is recorded
SELECT identity FROM {base}wpcron_site WHERE blog_id = ?

-- name: site.identity_write
-- in:   blog_id:u64, identity:text, home:text, siteurl:text
-- rows: 1 or 2
-- explain: exempt single-row insert
INSERT INTO {base}wpcron_site
       (blog_id, identity, home, siteurl, recorded_at)
VALUES (?, ?, ?, ?, UTC_TIMESTAMP(6))
    ON DUPLICATE KEY UPDATE identity = VALUES(identity), home = VALUES(home),
       siteurl = VALUES(siteurl), recorded_at = VALUES(recorded_at)
