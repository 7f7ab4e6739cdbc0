-- Counters among the program's own values, for doctor.

-- name: counts.add
-- in:   name:text, n:text
-- rows: 1 or 2
-- explain: exempt single-row insert
INSERT INTO {base}wpcron_meta (name, value)
VALUES (?, ?)
ON DUPLICATE KEY UPDATE value = CAST(value AS UNSIGNED)
       + CAST(VALUES(value) AS UNSIGNED)

-- name: counts.get
-- in:   name:text
-- rows: one when there was anything to count: how many
SELECT m.value
  FROM {base}wpcron_meta AS m
 WHERE m.name = ?
