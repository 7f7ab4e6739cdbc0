-- Event Espresso's settings as far as an administrator changes them from here;
-- its messages are in messages.sql.

-- name: messages_ctl.config
-- in: none
-- rows: one, locked: the settings of a site that is no network
SELECT o.option_value
  FROM {p}options o
 WHERE o.option_name = 'ee_network_config'
   FOR UPDATE

-- name: messages_ctl.network_config
-- in: none
-- rows: the settings of a network, locked; of each network of the database
-- explain: exempt the rows of one key of the site meta
SELECT m.meta_value
  FROM {base}sitemeta m
 WHERE m.meta_key = 'ee_network_config'
   FOR UPDATE

-- name: messages_ctl.set_config
-- in: value:text
-- rows: 1
UPDATE {p}options
   SET option_value = ?
 WHERE option_name = 'ee_network_config'

-- name: messages_ctl.set_network_config
-- in: value:text
-- rows: 1
-- explain: exempt the row of one key of the site meta
UPDATE {base}sitemeta
   SET meta_value = ?
 WHERE meta_key = 'ee_network_config'

-- The plugin looks at DISABLE_WP_CRON once, and remembers here that it did.
-- name: messages_ctl.mark_checked
-- in: none
-- rows: 0 or 1
-- explain: exempt single-row insert
INSERT IGNORE INTO {p}options (option_name, option_value, autoload)
VALUES ('ee_disabled_wp_cron_check', '1', 'no')
