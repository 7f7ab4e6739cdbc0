"""A node of Event Espresso's messages, driven by tests/drivers/messages_run.c.

    s = messages.site(case, site="messages_rate = 50/3s")
    messages.run(s, tick=1)     # [report] of each look
    n = messages.start(s, tick=1, for_ms=5000)
    messages.finish(n)
"""

import json
import os
import subprocess

import espresso
from stack import Stack

# How long a lock holds that a killed PHP leaves behind, the window, and
# something else that works the queue off; then where its mails go.
MU_PLUGIN = """<?php
add_filter( 'FHEE__EE_Messages_Queue__lock_expiry', function ( $s ) {
    return (int) get_option( 'wpcron_test_lock_s', $s );
}, 100 );
add_filter( 'FHEE__EE_Messages_Queue__rate_limit_expiry', function ( $s ) {
    return (int) get_option( 'wpcron_test_window_s', $s );
} );
if ( get_option( 'wpcron_test_replaced' ) ) {
    add_filter( 'FHEE__EED_Messages__run_cron__use_wp_cron', '__return_false' );
    add_action( 'FHEE__EED_Messages__run_cron__end', function () {
        wpcron_espresso_note( 'instead', 0 );
    } );
}
"""


def site(case, daemon="node_expiry = 5s\n", site="", rest="", children=4,
         config_extra=""):
    s = Stack()
    case.addClassCleanup(s.close)
    s.start_mariadb()
    s.install_wordpress(plugins=("wpcron-demo",), config_extra=config_extra)
    plugins = os.path.join(s.root, "wp-content", "mu-plugins")
    os.makedirs(plugins, exist_ok=True)
    with open(os.path.join(plugins, "lock.php"), "w") as f:
        f.write(MU_PLUGIN)
    s.give_to_web_user(plugins)
    espresso.install(s)
    s.start_php_fpm(children=children,
                    extra="php_admin_value[memory_limit] = 256M")
    s.daemon_lines = daemon
    configure(s, site, rest)
    ask(s, "install")
    return s


def configure(s, site="", rest=""):
    s.node_config = s.path("node.conf")
    with open(s.node_config, "w") as f:
        f.write(s.config_text(s.daemon_lines, site, rest))
    os.chmod(s.node_config, 0o644)


def forget(s):
    """As after the installation."""
    espresso.forget(s)
    for table in ("messages", "buckets", "meta", "dead_letters", "outbox",
                  "outbox_chunks", "leases"):
        s.mysql("DELETE FROM %swpcron_%s%s" % (
            s.prefix, table, " WHERE name <> 'schema'"
            if table == "meta" else ""))
    s.mysql("DELETE FROM %soptions WHERE option_name LIKE"
            " 'wpcron\\_test\\_%%'" % s.prefix)
    for name in os.listdir(s.mailed):
        os.unlink(os.path.join(s.mailed, name))


def start(s, op="run", **options):
    options.setdefault("config", s.node_config)
    argv = s.as_web_user([s.binary("drivers/messages_run"), op] + [
        "%s=%s" % i for i in options.items()])
    return subprocess.Popen(argv, text=True, stdout=subprocess.PIPE,
                            stderr=subprocess.PIPE, env=s.sanitizer_env(),
                            cwd=s.dir)


def finish(p, timeout=240):
    """(exit status, [report of each look], what was logged)"""
    out, err = p.communicate(timeout=timeout)
    return p.returncode, [json.loads(line) for line in out.splitlines()], err


def ask(s, op="run", **options):
    status, reports, err = finish(start(s, op, **options))
    if status or any(r["rc"] not in ("ok", "none") for r in reports):
        raise AssertionError("%d %s\n%s" % (status, reports, err))
    return reports


def waiting(s):
    """How many wait or are on the way; rows that a killed PHP left half
    written have nothing that they could be generated from."""
    return espresso.count(s, "MID", "MRS", "MEX") + s.value(
        "SELECT COUNT(*) FROM %sesp_message m JOIN %sesp_extra_meta e ON"
        " e.OBJ_ID = m.MSG_ID AND e.EXM_key = 'MSG_generation_data'"
        " WHERE m.STS_ID = 'MIC'" % (s.prefix, s.prefix))


def journal(s, lane="send"):
    """{message: {column: value}}"""
    return {r["message_id"]: r for r in s.mysql(
        "SELECT message_id, state, was, sending, tries, reason, not_before >"
        " UTC_TIMESTAMP(6) AS waits FROM %swpcron_messages WHERE lane = %%s"
        % s.prefix, (lane,))}


def letters(s):
    """{source: reason}"""
    return {r["source"]: r["reason"].decode() for r in s.mysql(
        "SELECT source, reason FROM %swpcron_dead_letters WHERE kind ="
        " 'message'" % s.prefix)}
