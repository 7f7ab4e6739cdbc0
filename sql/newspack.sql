-- What the Newspack plugins keep in the options of a blog.

-- One range of the unique index an OR; every option of an integration has the
-- prefix.
-- name: newspack.options
-- in:   none
-- rows: name and value, those that are set
SELECT option_name, option_value
  FROM {p}options
 WHERE option_name IN ('active_plugins', 'newspack_reader_activation_enabled',
       'newspack_reader_activation_enabled_integrations',
       'newspack_reader_activation_sync_esp',
       'newspack_reader_activation_mailchimp_audience_id',
       'newspack_reader_activation_mailchimp_reader_default_status',
       'newspack_reader_activation_active_campaign_master_list',
       'newspack_reader_activation_constant_contact_list_id',
       'newspack_newsletters_service_provider', 'newspack_mailchimp_api_key',
       'newspack_newsletters_mailchimp_api_key',
       'newspack_newsletters_active_campaign_url',
       'newspack_newsletters_active_campaign_key',
       'newspack_newsletters_constant_contact_api_key',
       'newspack_newsletters_constant_contact_api_secret',
       'newspack_newsletters_constant_contact_api_access_token',
       'newspack_newsletters_constant_contact_api_refresh_token',
       '_newspack_metadata_prefix', '_newspack_metadata_fields',
       'wc_subscriptions_siteurl')
    OR option_name LIKE 'newspack_integration_%'

-- name: newspack.sitewide
-- in:   none
-- rows: one: the plugins that are active in the whole network
SELECT meta_value
  FROM {base}sitemeta
 WHERE meta_key = 'active_sitewide_plugins'
 ORDER BY site_id
 LIMIT 1

-- The event stands in the array as its quoted name.
-- name: newspack.scheduled
-- in:   none
-- rows: one, if PHP has the batch among its cron events
SELECT 1
  FROM {p}options
 WHERE option_name = 'cron'
   AND INSTR(option_value, '"newspack_contact_cron_batch"') > 0

-- Both tokens at once: PHP never sees one without the other.
-- name: newspack.tokens_write
-- in:   access:text, refresh:text
-- rows: how many of the two changed
UPDATE {p}options
   SET option_value = CASE option_name
       WHEN 'newspack_newsletters_constant_contact_api_access_token' THEN ?
       ELSE ? END
 WHERE option_name IN
       ('newspack_newsletters_constant_contact_api_access_token',
        'newspack_newsletters_constant_contact_api_refresh_token')

-- name: newspack.tokens_read
-- in:   none
-- rows: name and value of the two tokens
SELECT option_name, option_value
  FROM {p}options
 WHERE option_name IN
       ('newspack_newsletters_constant_contact_api_access_token',
        'newspack_newsletters_constant_contact_api_refresh_token')
