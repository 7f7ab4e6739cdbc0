-- What every connection says first, and transactions.

-- name: session.look
-- in:   none
-- rows: one: the server's sql_mode, whether it is read-only for most users,
--       whether InnoDB is read-only for everybody
-- explain: exempt reads no table
SELECT @@SESSION.sql_mode, @@GLOBAL.read_only, @@GLOBAL.innodb_read_only

-- name: session.set
-- in:   sql_mode:text, lock_wait_s:u64, metadata_lock_wait_s:u64
-- rows: none
-- explain: exempt reads no table
SET SESSION sql_mode = ?,
    SESSION autocommit = 1,
    SESSION innodb_lock_wait_timeout = ?,
    SESSION lock_wait_timeout = ?

-- Under READ COMMITTED a claim does not stop web requests from inserting due
-- rows. As a statement of its own: the variable is called tx_isolation on some
-- servers and transaction_isolation on others.
-- name: session.isolate
-- in:   none
-- rows: none
-- explain: exempt reads no table
SET SESSION TRANSACTION ISOLATION LEVEL READ COMMITTED

-- name: session.begin
-- in:   none
-- rows: none
-- explain: exempt reads no table
START TRANSACTION

-- Error 1290 when the server is read-only and this user may not write anyway.
-- name: session.begin_write
-- in:   none
-- rows: none
-- explain: exempt reads no table
START TRANSACTION READ WRITE

-- name: session.commit
-- in:   none
-- rows: none
-- explain: exempt reads no table
COMMIT

-- name: session.rollback
-- in:   none
-- rows: none
-- explain: exempt reads no table
ROLLBACK
