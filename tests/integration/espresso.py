"""A site with Event Espresso's queue of messages: the fixture plugin with its
tables, rows of every status, and what became of them.

    espresso.install(s)
    ids = [espresso.mic(s, priority=10, many=3) for _ in range(5)]
    one = espresso.message(s, "MID", priority=20, age_s=60)
    ...
    espresso.statuses(s)        # {id: "MSN", ...}
    espresso.calls(s, "send")   # [(msg_id, text), ...] in their order

`s` is a Stack with an installed site (php-fpm may be off). Everything below
writes and reads the database, so an object cache of the site does not see it.
With EVENT_ESPRESSO_DIR a checkout of the real plugin can take the fixture's
place, see install_real().
"""

import hashlib
import os
import shutil
import time

import cronrow
from newspack import set_option
from stack import FIXTURES

REAL = os.environ.get("EVENT_ESPRESSO_DIR")
PLUGIN = "event-espresso-core/espresso.php"
SOURCE = os.path.join(FIXTURES, "plugins", "wpcron-espresso")
SCHEMA = os.path.join(FIXTURES, "event-espresso", "schema.sql")

HANDLER = "EE_Messages_Gateways_incoming_data"
HOOKS = {"generate": "AHEE__EE_Messages_Scheduler__generation",
         "send": "AHEE__EE_Messages_Scheduler__sending",
         "cleanup": "AHEE__EE_Messages_Scheduler__cleanup"}
LOCKS = {"generate": "_ee_lock_generation", "send": "_ee_lock_sending"}
RATE = "_ee_rate_limit"
FROM = "Box Office <box@example.org>"

CALLS = """CREATE TABLE IF NOT EXISTS %swpcron_espresso_calls (
  id BIGINT UNSIGNED NOT NULL AUTO_INCREMENT PRIMARY KEY,
  at DECIMAL(20,6) NOT NULL, what VARCHAR(64) NOT NULL,
  msg_id BIGINT UNSIGNED NOT NULL, text VARCHAR(255) NOT NULL, pid INT NOT NULL
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4"""


def tables(s, prefix=None):
    """The plugin's tables, empty, as version 4.10 makes them."""
    with open(SCHEMA) as f:
        text = f.read().replace("`wp_", "`" + (prefix or s.prefix))
    for statement in text.split(";\n"):
        if statement.strip():
            s.mysql(statement.replace("%", "%%"))


def place(s):
    return os.path.join(s.root, "wp-content", "plugins",
                        PLUGIN.split("/", 1)[0])


def activate_plugin(s):
    names = [v.decode() for v in cronrow.unserialize(
        s.option("active_plugins").encode()).values()]
    if PLUGIN not in names:
        set_option(s, "active_plugins", names + [PLUGIN])


def install(s, version="4.10.11.p", types=None, addressees=2, activate=True):
    """The plugin active, its tables empty, nothing locked."""
    shutil.copytree(SOURCE, place(s), dirs_exist_ok=True)
    s.give_to_web_user(place(s))
    tables(s)
    s.mysql(CALLS % s.prefix)
    forget(s)
    if activate:
        activate_plugin(s)
    options = {"wpcron_espresso_version": version,
               "wpcron_espresso_addressees": str(addressees)}
    if types is not None:
        options["wpcron_espresso_types"] = ",".join(types)
    for name, value in options.items():
        set_option(s, name, value)


def install_real(s):
    """The real plugin, linked into the site, with the tables it makes. 4.10.4
    boots with PHP 8.2 once it lets a return URL and a map that are null
    through, and generates once EE_Message_Repository::current() is null behind
    its last message."""
    os.symlink(os.path.realpath(REAL), place(s))
    s.mysql(CALLS % s.prefix)
    activate_plugin(s)
    # Its activation is the business of an administrator's page.
    s.php("define( 'WP_ADMIN', true );" + BOOT % s.root + """
        require_once ABSPATH . 'wp-admin/includes/admin.php';
        wp_set_current_user( 1 );
        do_action( 'admin_init' );
        """, check=False)


# It was written before PHP 8, and says so at length.
BOOT = """
    error_reporting( E_ALL & ~E_DEPRECATED & ~E_WARNING & ~E_NOTICE );
    require '%s/wp-load.php';
    """


def forget(s):
    """As after its activation: no rows, locks, knobs; nothing was called."""
    for table in "esp_message", "esp_extra_meta", "wpcron_espresso_calls":
        s.mysql("DELETE FROM %s%s" % (s.prefix, table))
    s.mysql("DELETE FROM %soptions WHERE option_name LIKE 'wpcron\\_espresso"
            "\\_%%' OR option_name LIKE '%%\\_ee\\_lock\\_%%' OR option_name"
            " LIKE '%%\\_ee\\_rate\\_limit' OR option_name LIKE"
            " '%%\\_ee\\_trans\\_%%' OR option_name IN"
            " ('ee_network_config', 'ee_maintenance_mode',"
            " 'ee_disabled_wp_cron_check')" % s.prefix)


def knobs(s, *rules):
    """Rules by which the plugin misbehaves: dicts of on, ids, do, with, times
    (espresso.php: wpcron_espresso_knob()); none: it behaves."""
    set_option(s, "wpcron_espresso_knobs", list(rules))


def same_request(s, on=True):
    """The setting by which messages are done in the request that makes them,
    stored as the plugin does."""
    core = cronrow.serialize({"site_license_key": "",
                              "do_messages_on_same_request": on})
    set_option(s, "ee_network_config", (
        'O:17:"EE_Network_Config":2:{s:4:"core";O:22:"EE_Network_Core_Config"'
        '%ss:6:"addons";O:8:"stdClass":0:{}}' % text_of(core)[1:]))


def text_of(serialized):
    return (serialized if isinstance(serialized, str)
            else serialized.decode())


# ---- rows -------------------------------------------------------------------

def message(s, status="MID", priority=20, messenger="email",
            message_type="registration", age_s=0, meta=None, **columns):
    """A row as the plugin writes it, `age_s` seconds old; its id. Columns by
    their names without MSG_: to, from_, subject, content, context; GRP_ID,
    TXN_ID, recipient_ID, recipient_type."""
    when = time.strftime("%Y-%m-%d %H:%M:%S", time.gmtime(time.time() - age_s))
    row = {"GRP_ID": 1, "TXN_ID": 7, "MSG_context": "primary_attendee",
           "MSG_recipient_ID": 3, "MSG_recipient_type": "Attendee",
           "MSG_content": "<p>You are expected.</p>", "MSG_from": FROM,
           "MSG_to": "Visitor <visitor@example.org>",
           "MSG_subject": "You are registered"}
    row.update((k if k in ("GRP_ID", "TXN_ID") else "MSG_" + k.rstrip("_"), v)
               for k, v in columns.items())
    row.update(STS_ID=status, MSG_priority=priority, MSG_messenger=messenger,
               MSG_message_type=message_type, MSG_created=when,
               MSG_modified=when)
    token = os.urandom(8)
    row["MSG_token"] = hashlib.md5(token).hexdigest()
    s.mysql("INSERT INTO %sesp_message (%s) VALUES (%s)" % (
        s.prefix, ", ".join(row), ", ".join(["%s"] * len(row))),
        tuple(row.values()))
    found = s.value("SELECT MSG_ID FROM %sesp_message WHERE MSG_token = %%s"
                    % s.prefix, (row["MSG_token"],))
    for key, value in (meta or {}).items():
        set_meta(s, found, key, value)
    return found


def set_meta(s, msg_id, key, value):
    stored = value if isinstance(value, str) else text_of(
        cronrow.serialize(value))
    s.mysql("INSERT INTO %sesp_extra_meta (OBJ_ID, EXM_type, EXM_key,"
            " EXM_value) VALUES (%%s, 'Message', %%s, %%s)" % s.prefix,
            (msg_id, key, stored))


def mic(s, priority=20, message_type="registration", many=None, age_s=0,
        transaction=7, data=None, handler=HANDLER, **columns):
    """A row that waits for generation, with its two rows of extra meta; `many`
    messages come of it."""
    if data is None:
        data = {"Transaction": transaction}
        if many is not None:
            data["Addressees"] = many
    meta = {"MSG_generation_data": data}
    if handler:
        meta["data_handler_class_name"] = handler
    empty = dict(GRP_ID=0, TXN_ID=0, context="", recipient_ID=None,
                 recipient_type=None, content="", to=None, from_=None,
                 subject="")
    empty.update(columns)
    return message(s, "MIC", priority, message_type=message_type, age_s=age_s,
                   meta=meta if data else None, **empty)


def rows(s, where="1=1", args=None):
    """[{column: value}] by id."""
    return s.mysql("SELECT * FROM %sesp_message WHERE %s ORDER BY MSG_ID"
                   % (s.prefix, where), args)


def statuses(s):
    return {r["MSG_ID"]: r["STS_ID"] for r in rows(s)}


def count(s, *stati):
    return s.value(
        "SELECT COUNT(*) FROM %sesp_message WHERE STS_ID IN (%s)" % (
            s.prefix, ", ".join(["%s"] * len(stati))), stati)


def meta(s, msg_id):
    """{key: stored text}"""
    return {r["EXM_key"]: r["EXM_value"] for r in s.mysql(
        "SELECT EXM_key, EXM_value FROM %sesp_extra_meta WHERE OBJ_ID = %%s"
        " AND EXM_type = 'Message' ORDER BY EXM_ID DESC" % s.prefix,
        (msg_id,))}


def calls(s, what):
    """What the fixture plugin did of a kind: [(msg_id, text)]."""
    return [(r["msg_id"], r["text"]) for r in s.mysql(
        "SELECT msg_id, text FROM %swpcron_espresso_calls WHERE what = %%s"
        " ORDER BY id" % s.prefix, (what,))]


# ---- options ----------------------------------------------------------------

def lock(s, task, seconds=3600):
    """PHP holds the lock of generate or send; for a negative time: held it."""
    set_option(s, LOCKS[task], str(int(time.time()) + seconds))


def locks(s):
    """{task: expiry} of the locks that are there."""
    found = {task: s.option(name) for task, name in LOCKS.items()}
    return {task: int(value) for task, value in found.items()
            if value is not None}


def window(s):
    """(left, expiry) of the plugin's own limit; None: none is stored."""
    stored = s.option(RATE)
    if stored is None:
        return None
    value = cronrow.unserialize(stored.encode())
    return int(value[0]), int(value[1])


def schedule(s, task, next_in=0, interval=300):
    """The plugin's event of a task, in the option `cron`."""
    s.wp_eval("""
        wp_clear_scheduled_hook( %r );
        $cron = _get_cron_array();
        $cron[ time() + %d ][ %r ][ md5( serialize( array() ) ) ] = array(
            'schedule' => 'ee_message_cron', 'args' => array(),
            'interval' => %d );
        ksort( $cron );
        _set_cron_array( $cron );
        """ % (HOOKS[task], next_in, HOOKS[task], interval))


def order(s, message_type="payment", many=1, check=True):
    """What the plugin does when a visitor has paid, in a process of its own;
    the id of the row."""
    out = s.wp_eval("echo EED_Messages::order( %r, array( 'Transaction' => 7,"
                    " 'Addressees' => %d ) );" % (message_type, many))
    return int(out.split()[-1]) if check else out
