-- What Action Scheduler's tables of a blog look like: sites are upgraded by
-- dbDelta, which never drops an index and sometimes may not add a column.

-- name: probe.tables
-- in:   none
-- rows: name without the prefix, and engine, of those of the four tables that
--       are there
-- explain: exempt information_schema
SELECT SUBSTRING(t.TABLE_NAME, CHAR_LENGTH('{p}actionscheduler_') + 1), t.ENGINE
  FROM information_schema.TABLES t
 WHERE t.TABLE_SCHEMA = DATABASE()
   AND t.TABLE_NAME IN ('{p}actionscheduler_actions',
       '{p}actionscheduler_claims', '{p}actionscheduler_groups',
       '{p}actionscheduler_logs')

-- name: probe.columns
-- in:   none
-- rows: the names of the actions table's columns
-- explain: exempt information_schema
SELECT c.COLUMN_NAME
  FROM information_schema.COLUMNS c
 WHERE c.TABLE_SCHEMA = DATABASE()
   AND c.TABLE_NAME = '{p}actionscheduler_actions'

-- name: probe.indexes
-- in:   none
-- rows: name and columns ("claim_id,status") of each of its indexes
-- explain: exempt information_schema
SELECT s.INDEX_NAME,
       GROUP_CONCAT(s.COLUMN_NAME ORDER BY s.SEQ_IN_INDEX SEPARATOR ',')
  FROM information_schema.STATISTICS s
 WHERE s.TABLE_SCHEMA = DATABASE()
   AND s.TABLE_NAME = '{p}actionscheduler_actions'
 GROUP BY s.INDEX_NAME
