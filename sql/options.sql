-- Rows of {p}options that are read while looking for work.

-- name: options.cron_head
-- in: none
-- rows: the beginning of the serialized `cron` array; its first key is the
--       earliest timestamp, since core keeps the array sorted
SELECT LEFT(option_value, 64)
  FROM {p}options
 WHERE option_name = 'cron'
