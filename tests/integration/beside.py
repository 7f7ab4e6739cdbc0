"""A site with the real Action Scheduler active, and what its own runner does.

The plugin is no part of this project: ACTION_SCHEDULER_DIR names a checkout.
Tests that need it end with `load_tests = beside.load_tests`.
"""

import json
import os
import re
import shutil
import time
import unittest

from stack import Stack, StackError

DIR = os.environ.get("ACTION_SCHEDULER_DIR")
CONTEXT = "WP Cron FCGI"
PHP_CONTEXT = "WP Cron"
NEVER = "0000-00-00 00:00:00"
OURS = "hook REGEXP '^beside_'"
DUE = OURS + (" AND status IN ('pending', 'in-progress')"
              " AND scheduled_date_gmt <= UTC_TIMESTAMP()")
FLAG = "action_scheduler_migration_status"

_site = None
_noted = False


def load_tests(_loader, tests, _pattern):
    """No plugin, no tests: nothing is skipped, nothing counts as passed."""
    global _noted
    if DIR:
        return tests
    if not _noted:
        print("note: Action Scheduler was not there: set ACTION_SCHEDULER_DIR",
              flush=True)
    _noted = True
    return unittest.TestSuite()


class Site:
    """The stack, and PHP's side of the plugin. `s` is the Stack."""

    def __init__(self):
        if not DIR:
            raise StackError("set ACTION_SCHEDULER_DIR")
        self.s = s = Stack()
        self.receiver = s.start_receiver()
        self.notes_path = s.path("notes.txt")
        with open(self.notes_path, "w"):
            os.chmod(self.notes_path, 0o666)
        s.start_mariadb()
        s.install_wordpress(
            plugins=("wpcron-beside",),
            config_extra="define( 'WPCRON_BESIDE_LOG', '%s' );"
            % self.notes_path)
        s.start_php_fpm(children=4)
        self.add_action_scheduler()
        self.settle_migration()
        self.version = s.wp_eval(
            "echo ActionScheduler_Versions::instance()->latest_version();")
        print("note: Action Scheduler %s, schema %s" % (
            self.version, s.option("schema-ActionScheduler_StoreSchema")),
            flush=True)

    def add_action_scheduler(self):
        """Not activated as a user does: core would ask for its own newest
        version, which plugins that bundle a copy do not."""
        to = os.path.join(self.s.root, "wp-content", "plugins",
                          "action-scheduler")
        shutil.copytree(DIR, to, ignore=shutil.ignore_patterns(
            ".git", "tests"))
        self.s.give_to_web_user(to)
        self.s.wp_eval("update_option( 'active_plugins', array_merge("
                       " get_option( 'active_plugins' ),"
                       " array( 'action-scheduler/action-scheduler.php' ) ) );")
        self.s.wp_eval("")  # the first boot with it creates its tables

    def settle_migration(self):
        """As on a site that has had the plugin for a while."""
        self.s.wp_eval("update_option( '%s', 'complete' );" % FLAG)

    def set_option(self, name, value):
        if value is None:
            self.s.wp_eval("delete_option( '%s' );" % name)
        else:
            self.s.wp_eval("update_option( '%s', json_decode( %r, true ) );"
                           % (name, json.dumps(value)))

    def filters(self, **values):
        """Set filters of the plugin; none: back to its defaults."""
        self.set_option("wpcron_beside_filters", {
            "action_scheduler_" + k: v for k, v in values.items()} or None)

    def empty(self):
        self.stop_daemons()
        for table in ("actions", "claims", "logs", "groups"):
            self.s.mysql("TRUNCATE wp_actionscheduler_" + table)
        if self.s.mysql("SHOW TABLES LIKE 'wp_wpcron_tries'"):
            self.s.mysql("TRUNCATE wp_wpcron_claims")
            self.s.mysql("TRUNCATE wp_wpcron_tries")
        self.forget()

    def forget(self):
        self.receiver.forget()
        with open(self.notes_path, "w"):
            pass

    def stop_daemons(self):
        for server in list(self.s.servers):
            if server.name.startswith("d") and hasattr(server, "sock"):
                server.stop()
                self.s.servers.remove(server)

    def notes(self, what=None):
        """[[what, word, ...], ...] as the callbacks left them."""
        with open(self.notes_path) as f:
            lines = [line.split(" ", 1) for line in f]
        return [[w] + json.loads(rest) for w, rest in lines
                if what in (None, w)]

    def posted(self):
        """{action id: requests} at the webhook receiver."""
        keys = self.receiver.report(keys=True)["keys"]
        return {int(k.rsplit("_", 1)[1]): n for k, n in keys.items()}

    # ---- runners -------------------------------------------------------

    def left(self):
        return self.s.count(DUE)

    def run_php(self):
        """PHP's own runner, until nothing of ours is due."""
        while self.left():
            self.s.wp_eval("ActionScheduler_QueueRunner::instance()->run("
                           " '%s' );" % PHP_CONTEXT)

    def start(self, rest="", daemon="", **kwargs):
        return self.s.start_daemon(
            daemon="look_interval = 100ms\nlog_level = debug\n" + daemon,
            rest=rest, **kwargs)

    def drain(self, timeout=60):
        """Until nothing of ours is due, and every claim is given back."""
        self.s.wait_until(
            lambda: self.left() == 0 and not self.s.value(
                "SELECT COUNT(*) FROM wp_actionscheduler_claims"), timeout,
            what="nothing is due any more")

    def routes(self, **paths):
        """[route] lines to the receiver: beside_x="/ok"."""
        return "[route]\n" + "".join(
            "%s = webhook %s\n" % (hook, self.receiver.url(path))
            for hook, path in paths.items())

    # ---- rows ----------------------------------------------------------

    def rows(self):
        return self.s.actions(OURS)

    def log_rows(self):
        """{action id: its log rows, in order}"""
        logs = {}
        for row in self.s.mysql("SELECT * FROM wp_actionscheduler_logs"
                                " ORDER BY log_id"):
            logs.setdefault(row["action_id"], []).append(row)
        return logs

    def unfetchable(self):
        """What PHP itself cannot load, or sees another date in."""
        return json.loads(self.s.wp_eval("""
            $bad = array();
            foreach ( $GLOBALS['wpdb']->get_results( "SELECT * FROM
                {$GLOBALS['wpdb']->prefix}actionscheduler_actions" ) as $r ) {
                $a = ActionScheduler::store()->fetch_action( $r->action_id );
                $d = $a->get_schedule()->get_date();
                if ( is_a( $a, 'ActionScheduler_NullAction' )
                    || $a->get_hook() !== $r->hook
                    || $a->get_args() !== json_decode(
                        $r->extended_args ?: $r->args, true )
                    || ( $d && 'pending' === $r->status && $d->format(
                        'Y-m-d H:i:s' ) !== $r->scheduled_date_gmt ) ) {
                    $bad[] = $r;
                }
            }
            echo json_encode( $bad );"""))


def site():
    """The module's one site, made on first use."""
    global _site
    if _site is None:
        _site = Site()
    return _site


def close_site():
    global _site
    if _site is not None:
        _site.s.close()
    _site = None


class BesideCase(unittest.TestCase):
    def setUp(self):
        self.site = site()
        self.s = self.site.s
        self.site.empty()
        self.addCleanup(self.site.stop_daemons)

    def only(self, where, args=None):
        rows = self.s.actions(where, args)
        self.assertEqual(len(rows), 1, rows)
        return rows[0]

    def status(self, action_id):
        return self.only("action_id = %s", (action_id,))["status"]


def neutral(message):
    """A log line without whose it is."""
    return re.sub("via (?:%s|%s)(?=$|:)" % (CONTEXT, PHP_CONTEXT), "via C",
                  message)


def moved(schedule, when):
    """The stored schedule with another scheduled time."""
    return re.sub(r'(scheduled_timestamp|start_timestamp)";i:-?\d+',
                  lambda m: '%s";i:%d' % (m.group(1), when), schedule)


def time_in(schedule, name="scheduled_timestamp"):
    found = re.search(name + r'";i:(\d+)', schedule)
    return int(found.group(1)) if found else None


def now():
    return int(time.time())
