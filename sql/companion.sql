-- The lock under which the companion plugin reads and writes the option `cron`
-- of a blog. fcgi/php/companion.php, name(), has the very same expression: at
-- most 64 characters, made of the database and the blog's table, since these
-- names are the whole server's.

-- Belongs to the connection. Asked for by the one that holds it, it is granted
-- once more, and must be given back as often.
-- name: companion.lock
-- in:   timeout_s:u64
-- rows: one: 1 had, 0 not within the time, NULL an error
-- explain: exempt no table
SELECT GET_LOCK(CONCAT('wp-cron-fcgi/', LEFT(SHA2(CONCAT(DATABASE(),
       '/{p}options'), 256), 40)), ?)

-- name: companion.unlock
-- in:   none
-- rows: one: 1 given back, 0 it is another connection's, NULL nobody's
-- explain: exempt no table
SELECT RELEASE_LOCK(CONCAT('wp-cron-fcgi/', LEFT(SHA2(CONCAT(DATABASE(),
       '/{p}options'), 256), 40)))
