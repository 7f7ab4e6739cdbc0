-- What WooCommerce before 10.8 left of its deferred mails: a row an HTTP
-- request, wp_BLOG_wc_emailer_batch_HASH, in the options of a site or the site
-- meta of a network.

-- name: woocommerce.batches
-- in: pattern:text=wp\_1\_wc\_emailer\_batch\_%
-- rows: id, name and value, oldest first
-- explain: exempt a range of names, for a person's question
SELECT o.option_id, o.option_name, o.option_value
  FROM {p}options o
 WHERE o.option_name LIKE ?
 ORDER BY o.option_id

-- name: woocommerce.network_batches
-- in: pattern:text=wp\_1\_wc\_emailer\_batch\_%
-- rows: as woocommerce.batches, of all networks of the database
-- explain: exempt reads the site meta, for a person's question
SELECT m.meta_id, m.meta_key, m.meta_value
  FROM {base}sitemeta m
 WHERE m.meta_key LIKE ?
 ORDER BY m.meta_id

-- name: woocommerce.lock_batch
-- in: id:u64
-- rows: one, locked: the value
SELECT o.option_value
  FROM {p}options o
 WHERE o.option_id = ?
   FOR UPDATE

-- name: woocommerce.lock_network_batch
-- in: id:u64
-- rows: one, locked: the value
-- explain: exempt by the primary key of a table that only networks have
SELECT m.meta_value
  FROM {base}sitemeta m
 WHERE m.meta_id = ?
   FOR UPDATE

-- name: woocommerce.delete_batch
-- in: id:u64
-- rows: 1; the row is locked
DELETE FROM {p}options
 WHERE option_id = ?

-- name: woocommerce.delete_network_batch
-- in: id:u64
-- rows: 1; the row is locked
-- explain: exempt by the primary key of a table that only networks have
DELETE FROM {base}sitemeta
 WHERE meta_id = ?

-- name: woocommerce.shorten_batch
-- in: value:text, id:u64
-- rows: 1; the row is locked
UPDATE {p}options
   SET option_value = ?
 WHERE option_id = ?

-- name: woocommerce.shorten_network_batch
-- in: value:text, id:u64
-- rows: 1; the row is locked
-- explain: exempt by the primary key of a table that only networks have
UPDATE {base}sitemeta
   SET meta_value = ?
 WHERE meta_id = ?

-- An order is a post, or has a row of its own since WooCommerce 8.2.
-- name: woocommerce.post_date
-- in: id:u64
-- rows: when a post was made, UTC
SELECT p.post_date_gmt
  FROM {p}posts p
 WHERE p.ID = ?

-- name: woocommerce.order_date
-- in: id:u64
-- rows: when an order was made, UTC; the table need not be there
-- explain: exempt by the primary key of a table that is WooCommerce's
SELECT o.date_created_gmt
  FROM {p}wc_orders o
 WHERE o.id = ?

-- name: woocommerce.orders_table
-- in: none
-- rows: one when there is a table of orders
-- explain: exempt information_schema
SELECT t.TABLE_NAME
  FROM information_schema.TABLES t
 WHERE t.TABLE_SCHEMA = DATABASE()
   AND t.TABLE_NAME = '{p}wc_orders'

-- name: woocommerce.options
-- in: none
-- rows: name and value: its version, and whether mails are deferred
SELECT o.option_name, o.option_value
  FROM {p}options o
 WHERE o.option_name IN ('woocommerce_version',
       'woocommerce_feature_deferred_transactional_emails_enabled')

-- name: woocommerce.user_date
-- in: id:u64
-- rows: when a user registered, UTC
SELECT u.user_registered
  FROM {base}users u
 WHERE u.ID = ?
