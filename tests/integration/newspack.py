"""A publisher's site: the fixture plugin of contacts with its settings, its
readers, and what became of them.

    newspack.install(s, provider="mailchimp", incoming={"esp": ["FAVOURITE"]})
    ids = newspack.users(s, 100)
    newspack.stage(s, ids)
    ...
    newspack.flags(s)           # {user: {"push": "1700000000", ...}}
    newspack.calls(s, "push")   # what reached PHP's own classes

`s` is a Stack with an installed site (php-fpm may be off). Everything below
writes and reads the database, so an object cache of the site does not see it.
"""

import hashlib
import json
import os
import shutil
import time

import cronrow
from stack import FIXTURES

PLUGIN = "newspack-plugin/newspack.php"
SOURCE = os.path.join(FIXTURES, "plugins", "wpcron-newspack")

BATCH = "newspack_contact_cron_batch"
LAST_ENQUEUE = "newspack_contact_cron_last_enqueue"
PENDING = {"pull": "newspack_contact_cron_pull_pending",
           "push": "newspack_contact_cron_push_pending"}
RETRY = {"pull": "newspack_contact_pull_retry",
         "push": "newspack_contact_sync_retry"}
CONTEXT = "Recurring sync routine"

# The constant by which PHP leaves the batch to others.
CRON_DISABLE = "define( 'NEWSPACK_CRON_DISABLE', [ '%s' ] );" % BATCH

LIST = {"mailchimp": "mailchimp_audience_id",
        "active_campaign": "active_campaign_master_list",
        "constant_contact": "constant_contact_list_id"}
CREDENTIALS = {
    "mailchimp": {"newspack_mailchimp_api_key": "0123456789abcdef-us1"},
    "active_campaign": {
        "newspack_newsletters_active_campaign_url":
            "https://example.api-us1.com",
        "newspack_newsletters_active_campaign_key": "key-of-a-test"},
    "constant_contact": {
        "newspack_newsletters_constant_contact_api_key": "client-of-a-test",
        "newspack_newsletters_constant_contact_api_secret": "secret",
        "newspack_newsletters_constant_contact_api_access_token": "access",
        "newspack_newsletters_constant_contact_api_refresh_token": "refresh"},
}

CALLS_TABLE = """CREATE TABLE IF NOT EXISTS %swpcron_newspack_calls (
  id BIGINT UNSIGNED NOT NULL AUTO_INCREMENT PRIMARY KEY,
  at DECIMAL(20,6) NOT NULL, what VARCHAR(64) NOT NULL,
  integration VARCHAR(64) NOT NULL, user_id BIGINT UNSIGNED NOT NULL,
  email VARCHAR(200) NOT NULL, context VARCHAR(200) NOT NULL,
  body LONGTEXT, pid INT NOT NULL
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4"""


def install(s, provider="mailchimp", generation="g1", list_id="list1",
            integrations=("esp",), incoming=None, outgoing=None, settings=None,
            prefix=None, status=None, credentials=None, schema="legacy",
            metadata=False, enabled=True, activate=True):
    """The fixture plugin with its options, as a publisher leaves them.

    incoming: {integration: [key, ...]}; outgoing: {integration: [label, ...]};
    settings: {integration: {key: value}}; status: Mailchimp's for new readers.
    integrations: ids that are enabled ("crm" is PHP's own); None: no option.
    """
    files = os.path.join(s.root, "wp-content", "plugins", "newspack-plugin")
    shutil.copytree(SOURCE, files, dirs_exist_ok=True)
    s.give_to_web_user(files)
    s.mysql(CALLS_TABLE % s.prefix)
    if activate:
        plugins = cronrow.unserialize(s.option("active_plugins").encode())
        names = [v.decode() for v in plugins.values()]
        if PLUGIN not in names:
            set_option(s, "active_plugins", names + [PLUGIN])
    options = {
        "newspack_reader_activation_enabled": "1" if enabled else "",
        "newspack_newsletters_service_provider": provider or "",
        "wpcron_newspack_generation": generation,
        "wpcron_newspack_schema": schema,
        "wpcron_newspack_metadata": "1" if metadata else "",
    }
    if integrations is not None:
        options["newspack_reader_activation_enabled_integrations"] = list(
            integrations)
        if "crm" in integrations:
            options["wpcron_newspack_crm"] = "1"
    if provider in LIST and list_id:
        options["newspack_integration_settings_esp_" + LIST[provider]] = (
            list_id)
    if status:
        options["newspack_integration_settings_esp_"
                "mailchimp_reader_default_status"] = status
    if prefix:
        options["newspack_integration_metadata_prefix_esp"] = prefix
    options.update(CREDENTIALS.get(provider, {}) if credentials is None
                   else credentials)
    for name, values in (settings or {}).items():
        for key, value in values.items():
            options["newspack_integration_settings_%s_%s" % (name, key)] = (
                value)
    for name, keys in (incoming or {}).items():
        options["newspack_integration_incoming_fields_" + name] = {
            key: {"name": key} for key in keys}
    for name, labels in (outgoing or {}).items():
        options["newspack_integration_outgoing_fields_" + name] = list(labels)
    for name, value in options.items():
        set_option(s, name, value)


def set_option(s, name, value, blog=1):
    """Text as it is, lists and dicts serialized as PHP does."""
    stored = value if isinstance(value, str) else cronrow.serialize(value)
    s.mysql("INSERT INTO %soptions (option_name, option_value, autoload)"
            " VALUES (%%s, %%s, 'yes') ON DUPLICATE KEY UPDATE"
            " option_value = VALUES(option_value)" % blog_prefix(s, blog),
            (name, stored))


def delete_option(s, name, blog=1):
    s.mysql("DELETE FROM %soptions WHERE option_name = %%s"
            % blog_prefix(s, blog), (name,))


def blog_prefix(s, blog):
    return s.prefix if blog == 1 else "%s%d_" % (s.prefix, blog)


def knobs(s, *rules):
    """Rules by which PHP's integrations misbehave: dicts of on, id, users,
    do, with (newspack.php: knob()); none: they behave."""
    set_option(s, "wpcron_newspack_knobs", [
        dict({"id": "*"}, **rule) for rule in rules])


def remote(s, data):
    """{address: {key: value}}: what PHP's integrations find at a pull."""
    set_option(s, "wpcron_newspack_remote", data)


# ---- readers ---------------------------------------------------------------

def users(s, n, first=None, name="reader", domain="example.org",
          role="subscriber", blog=1, meta=None):
    """n new readers; their ids. Address NAME<i>@DOMAIN, display name "Name
    <i>"; meta: {key: value} of each; role None: members of no blog."""
    t = s.prefix + "users"
    first = first or 1 + (s.value("SELECT MAX(ID) FROM " + t) or 0)
    last = first + n - 1
    with s.connect() as db, db.cursor() as c:
        c.execute(
            "INSERT INTO " + t + " (ID, user_login, user_pass, user_nicename,"
            " user_email, user_registered, display_name)"
            " SELECT seq, CONCAT(%s, seq), '*', CONCAT(%s, seq),"
            " CONCAT(%s, seq, '@', %s), '2026-01-02 03:04:05',"
            " CONCAT(%s, ' ', seq) FROM seq_%d_to_%d" % (
                "%s", "%s", "%s", "%s", "%s", first, last),
            (name, name, name, domain, name.title()))
        rows = dict(meta or {})
        if role:
            rows[blog_prefix(s, blog) + "capabilities"] = (
                cronrow.serialize({role: True}))
        for key, value in rows.items():
            c.execute("INSERT INTO " + s.prefix + "usermeta (user_id,"
                      " meta_key, meta_value) SELECT seq, %s, %s FROM"
                      " seq_" + "%d_to_%d" % (first, last), (key, value))
    return list(range(first, last + 1))


def email(s, user):
    return s.value("SELECT user_email FROM %susers WHERE ID = %%s"
                   % s.prefix, (user,))


def stage(s, ids, directions=("push", "pull"), at=None, last_enqueue=None):
    """Write the flags as PHP does; last_enqueue: that row too."""
    at = int(time.time()) if at is None else at
    rows = [(u, PENDING[d], str(at)) for u in ids for d in directions]
    if last_enqueue is not None:
        rows += [(u, LAST_ENQUEUE, str(last_enqueue)) for u in ids]
    with s.connect() as db, db.cursor() as c:
        c.executemany("INSERT INTO %susermeta (user_id, meta_key, meta_value)"
                      " VALUES (%%s, %%s, %%s)" % s.prefix, rows)


def flags(s, direction=None):
    """{user: {direction: value}}, of one direction {user: value}."""
    found = {}
    for d, key in PENDING.items():
        for row in s.mysql("SELECT user_id, meta_value FROM %susermeta WHERE"
                           " meta_key = %%s" % s.prefix, (key,)):
            found.setdefault(row["user_id"], {})[d] = row["meta_value"]
    if direction:
        return {u: v[direction] for u, v in found.items() if direction in v}
    return found


def meta(s, user, key):
    """The value of a reader's first row of that key; None: no row."""
    return s.value("SELECT meta_value FROM %susermeta WHERE user_id = %%s AND"
                   " meta_key = %%s ORDER BY umeta_id LIMIT 1" % s.prefix,
                   (user, key))


def set_meta(s, user, key, value):
    """One row, as update_user_meta() leaves it."""
    s.mysql("DELETE FROM %susermeta WHERE user_id = %%s AND meta_key = %%s"
            % s.prefix, (user, key))
    s.mysql("INSERT INTO %susermeta (user_id, meta_key, meta_value)"
            " VALUES (%%s, %%s, %%s)" % s.prefix, (user, key, value))


def reader_data(s, user):
    """{key: JSON text} as readers of it see them: listed keys alone."""
    keys = meta(s, user, "newspack_reader_data_keys")
    listed = cronrow.unserialize(keys.encode()).values() if keys else ()
    names = [k.decode() if isinstance(k, bytes) else str(k) for k in listed]
    return {k: meta(s, user, "newspack_reader_data_item_" + k)
            for k in names}


# ---- what happened ---------------------------------------------------------

def calls(s, what=None, integration=None):
    """Notes of PHP's integrations, oldest first: push, pull, or the name of
    an action; `body` parsed."""
    rows = s.mysql("SELECT * FROM %swpcron_newspack_calls ORDER BY id"
                   % s.prefix)
    for row in rows:
        row["body"] = json.loads(row["body"]) if row["body"] else None
    return [r for r in rows if (what is None or r["what"] == what) and
            (integration is None or r["integration"] == integration)]


def forget_calls(s):
    s.mysql("TRUNCATE %swpcron_newspack_calls" % s.prefix)


def retries(s, direction, status="pending"):
    """Retry rows with their arguments in `data`, oldest first."""
    rows = s.actions("hook = %s AND status = %s", (RETRY[direction], status))
    for row in rows:
        row["data"] = json.loads(row["extended_args"] or row["args"])[0]
        row["group"] = s.value(
            "SELECT slug FROM %s WHERE group_id = %%s"
            % s.table("actionscheduler_groups"), (row["group_id"],))
    return rows


def add_retry(s, direction, user, integration="esp", count=1, reason="why",
              due_in=-10, previous="", context=CONTEXT):
    """A retry's row as PHP schedules it; its id."""
    args = {"integration_id": integration, "user_id": user}
    if direction == "push":
        args["context"] = context
    args.update({"retry_count": count, "max_retries": 5, "reason": reason})
    if direction == "push":
        args["previous_email"] = previous
    text = json.dumps([args], separators=(",", ":")).replace("/", "\\/")
    due = int(time.time()) + due_in
    schedule = ('O:30:"ActionScheduler_SimpleSchedule":2:{s:22:"\0*\0'
                'scheduled_timestamp";i:%d;s:41:"\0ActionScheduler_'
                'SimpleSchedule\0timestamp";i:%d;}' % (due, due))
    is_long = len(text) > 191
    group = s.group_id("newspack-integration-" + integration)
    with s.connect() as db, db.cursor() as c:
        c.execute("SET time_zone = '+00:00'")
        c.execute(
            "INSERT INTO %s (hook, status, scheduled_date_gmt,"
            " scheduled_date_local, priority, args, extended_args, schedule,"
            " group_id) SELECT %%s, 'pending', d, d, 10, %%s, %%s, %%s, %%s"
            " FROM (SELECT FROM_UNIXTIME(%%s) AS d) AS t"
            % s.table("actionscheduler_actions"),
            (RETRY[direction],
             hashlib.md5(text.encode()).hexdigest() if is_long else text,
             text if is_long else None, schedule, group, due))
        action = c.lastrowid
        c.execute("INSERT INTO %s (action_id, message, log_date_gmt,"
                  " log_date_local) VALUES (%%s, 'action created',"
                  " UTC_TIMESTAMP(), UTC_TIMESTAMP())"
                  % s.table("actionscheduler_logs"), (action,))
    return action


def run_batch(s):
    """PHP's own batch, as its cron event runs it."""
    return s.wp_eval("do_action( '%s' );" % BATCH)


def visit(s, user):
    """A page load of that reader, without a server: PHP's own staging."""
    return s.php("""
        $wp_filter = array( 'determine_current_user' => array( 99 => array(
            'test' => array( 'accepted_args' => 0, 'function' => function () {
                return %d; } ) ) ) );
        require %r;""" % (user, os.path.join(s.root, "wp-load.php")))
