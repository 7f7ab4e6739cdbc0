"""wp-cronctl's commands for cron events, on a real site and a network.

What it shows is held against WordPress' own functions in PHP, and what it
writes is read back by them: byte for byte where WordPress writes the same.
"""

import json
import os
import re
import socket
import threading
import time
import unittest

from cronrow import EMPTY, Event, serialize
from stack import Stack

CORE_HOOKS = [
    "wp_version_check", "wp_update_plugins", "wp_update_themes",
    "wp_privacy_delete_old_export_files", "recovery_mode_clean_expired_keys",
    "wp_scheduled_delete", "delete_expired_transients", "wp_update_user_counts",
    "wp_scheduled_auto_draft_delete", "wp_site_health_scheduled_check",
    "wp_https_detection", "update_network_counts"]
DONE, FAILED, USAGE, UNAVAILABLE, AGAIN, CONFIG = 0, 1, 64, 69, 75, 78

RULES = """
[route]
nat_* = queue:actions
hook_* = webhook http://127.0.0.1:9/closed
[policy nat_paused]
paused = yes
[policy php_late]
catch_up = skip
overlap = yes
"""


def row_of(events):
    """The option `cron` with these events, as WordPress orders them."""
    out = {}
    for e in events:
        data = {"schedule": e.schedule, "args": e.args}
        if e.interval:
            data["interval"] = e.interval
        out.setdefault(e.ts, {}).setdefault(e.hook, {})[e.key] = data
    out = dict(sorted(out.items()))
    out["version"] = 2
    return serialize(out)


class EventsTest(unittest.TestCase):
    """One site for a class; each test begins with an empty option."""

    NETWORK = 0

    @classmethod
    def setUpClass(cls):
        cls.s = s = Stack()
        cls.addClassCleanup(s.close)
        s.start_site(children=2)
        if cls.NETWORK:
            cls.blogs = s.make_network(cls.NETWORK)
        # WordPress schedules its own events whenever it boots.
        cls.mu_plugin("quiet", """
            add_filter( 'schedule_event', function ( $e ) {
                return $e && in_array( $e->hook, %s, true ) ? false : $e;
            } );""" % json.dumps(CORE_HOOKS))
        cls.conf = cls.write_conf("ctl.conf")
        cls.call("install")

    @classmethod
    def mu_plugin(cls, name, code):
        path = os.path.join(cls.s.root, "wp-content", "mu-plugins")
        os.makedirs(path, exist_ok=True)
        path = os.path.join(path, name + ".php")
        with open(path, "w") as f:
            f.write("<?php " + code)
        return path

    @classmethod
    def write_conf(cls, name, daemon="", site="", rest=RULES, **kwargs):
        path = cls.s.path(name)
        with open(path, "w") as f:
            f.write(cls.s.config_text(daemon, site, rest, **kwargs))
        return path

    @classmethod
    def call(cls, *args, code=DONE, config=None, timeout=120):
        r = cls.s.ctl(*args, config=config or cls.conf, timeout=timeout)
        cls.stderr = r.stderr
        if r.returncode != code:
            raise AssertionError("%s: exit %d, not %d\n%s%s" % (
                " ".join(args), r.returncode, code, r.stdout, r.stderr))
        return r.stdout

    @classmethod
    def json(cls, *args, **kwargs):
        return json.loads(cls.call(*args, "--format=json", **kwargs))

    def setUp(self):
        self.put([])
        for name in ("wpcron_events", "wpcron_policies", "wpcron_leases",
                     "wpcron_nodes"):
            self.s.mysql("DELETE FROM " + self.s.table(name))
        self.s.mysql("DELETE FROM wp_options WHERE option_name LIKE"
                     " '%%transient%%doing_cron'", ())

    def put(self, events, table="wp_options"):
        self.put_bytes(row_of(events) if events else EMPTY, table)

    def put_bytes(self, value, table="wp_options"):
        self.s.mysql("INSERT INTO %s (option_name, option_value) VALUES"
                     " ('cron', X'%s') ON DUPLICATE KEY UPDATE option_value ="
                     " VALUES(option_value)" % (table, value.hex()))

    def cron(self, table="wp_options"):
        got = self.s.value("SELECT HEX(option_value) FROM %s WHERE"
                           " option_name = 'cron'" % table)
        return bytes.fromhex(got)

    def insert(self, state="taken", hook="h", ts=None, args=(), blog=1,
               **columns):
        ts = int(time.time()) - 30 if ts is None else ts
        key = Event(ts, hook, args).key
        event = b"a:2:{s:8:\"schedule\";b:0;s:4:\"args\";%s}" % serialize(
            list(args))
        names = {"blog_id": blog, "state": state, "scheduled_at": ts}
        names.update(columns)
        sets = ", ".join("%s = %%s" % n for n in names)
        self.s.mysql(
            "INSERT INTO wp_wpcron_events SET " + sets +
            ", hook = %s, event_key = %s, slot = UNHEX(MD5(CONCAT(%s, X'00',"
            " %s, X'00', %s))), event = %s, recurrence = '', not_before ="
            " COALESCE(not_before, UTC_TIMESTAMP(6)), taken_at ="
            " UTC_TIMESTAMP(6)".replace(
                "not_before = COALESCE(not_before, UTC_TIMESTAMP(6))",
                "not_before = UTC_TIMESTAMP(6)"),
            tuple(names.values()) + (hook, key, str(ts), hook, key, event))
        return self.s.value("SELECT MAX(event_id) FROM wp_wpcron_events")

    def event(self, event_id):
        return self.s.mysql("SELECT * FROM wp_wpcron_events WHERE event_id ="
                            " %s", (event_id,))[0]

    def php(self, code):
        return json.loads(self.s.wp_eval(code))


PHP_LIST = """
$out = array();
foreach ( %s as $ts => $hooks ) {
    foreach ( $hooks as $hook => $keys ) {
        foreach ( $keys as $key => $e ) {
            $out[] = array( 'hook' => $hook, 'time' => $ts, 'sig' => $key,
                'args' => $e['args'], 'schedule' => $e['schedule'],
                'interval' => isset( $e['interval'] ) ? $e['interval'] : null,
                'next_run' => get_date_from_gmt( date( 'Y-m-d H:i:s', $ts ) ),
                'next_run_gmt' => date( 'Y-m-d H:i:s', $ts ) );
        }
    }
}
echo json_encode( $out );
"""
PHP_FIELDS = ("hook,time,sig,args,schedule,interval,next_run,next_run_gmt")


class ListTest(EventsTest):
    def several(self):
        now = int(time.time())
        return [
            Event(now - 400, "late", ["a", 1, True, None, 1.5]),
            Event(now - 1, "due", []),
            Event(now - 1, "due", [{"x": 1}]),
            Event(now + 100, "caf\u00e9", ["\u00e9\U0001f600"]),
            Event(now + 3600, "rec", [], 3600, "hourly"),
            Event(now + 90061, "rec", [7], 604800, "weekly"),
        ]

    def test_it_is_what_wordpress_has(self):
        self.put(self.several())
        got = self.json("event", "list", "--fields=" + PHP_FIELDS)
        want = self.php(PHP_LIST % "array_filter( _get_cron_array(),"
                        " 'is_int', ARRAY_FILTER_USE_KEY )")
        self.assertEqual(got, want)
        self.assertEqual(len(got), 6)

    def test_due_now_is_what_wordpress_calls_ready(self):
        self.put(self.several())
        got = self.json("event", "list", "--due-now", "--fields=" + PHP_FIELDS)
        self.assertEqual(got, self.php(PHP_LIST % "wp_get_ready_cron_jobs()"))
        self.assertEqual(len(got), 3)

    def test_the_local_time_follows_the_site(self):
        self.put(self.several())
        for name, value in (("timezone_string", "Asia/Kolkata"),
                            ("gmt_offset", "-3.5")):
            self.s.mysql("UPDATE wp_options SET option_value = %s WHERE"
                         " option_name = %s", (value, name))
            try:
                got = self.json("event", "list", "--fields=" + PHP_FIELDS)
                self.assertEqual(got, self.php(
                    PHP_LIST % "array_filter( _get_cron_array(), 'is_int',"
                    " ARRAY_FILTER_USE_KEY )"))
            finally:
                self.s.mysql("UPDATE wp_options SET option_value = '' WHERE"
                             " option_name IN ('timezone_string',"
                             " 'gmt_offset')")

    def test_the_columns_and_words_of_wp_cli(self):
        now = int(time.time())
        self.put([Event(now - 9, "a"),
                  Event(now + 2 * 86400 + 3 * 3600 + 30, "b", [], 43200,
                        "twicedaily")])
        lines = self.call("event", "list").splitlines()
        self.assertEqual(lines[0].split(), [
            "hook", "next_run_gmt", "next_run_relative", "recurrence"])
        self.assertRegex(lines[1], r"^a .* now +Non-repeating$")
        self.assertRegex(lines[2], r"^b .* 2 days 3 hours +12 hours$")
        self.assertEqual(self.call("event", "list", "--format=ids"), "a b\n")
        self.assertEqual(self.call("event", "list", "--field=hook"), "a\nb\n")
        self.assertEqual(self.call("event", "list", "--hook=b",
                                   "--format=count"), "1\n")

    def test_waiting_and_running_events_are_there_too(self):
        now = int(time.time())
        self.put([Event(now - 50, "in_option")])
        self.insert(hook="waits", ts=now - 100, args=["x"])
        self.insert("running", hook="runs", ts=now - 10, claim_id=5, node_id=1)
        self.insert("done", hook="done", ts=now - 10)
        got = self.json("event", "list",
                        "--fields=hook,state,args,id,claim,actions")
        self.assertEqual([(e["hook"], e["state"]) for e in got], [
            ("waits", "waiting"), ("in_option", "scheduled"),
            ("runs", "running")])
        self.assertEqual(got[0]["args"], ["x"])
        self.assertEqual(got[2]["claim"], 5)
        self.assertEqual(got[0]["actions"], "php")

    def test_what_is_no_event_is_said(self):
        now = int(time.time())
        value = row_of([Event(now, "good")])
        broken = value.replace(b"a:2:{", b'a:3:{s:7:"garbage";i:1;', 1)
        self.put_bytes(broken)
        self.assertEqual(self.call("event", "list", "--format=ids"), "good\n")
        self.assertIn("no events", self.stderr)
        self.put_bytes(b"a:1:{i:5")
        self.call("event", "list", code=CONFIG)
        self.put_bytes(b"")
        self.assertEqual(self.call("event", "list", "--format=count"), "0\n")


class WriteTest(EventsTest):
    def test_a_one_shot_is_what_wordpress_writes(self):
        when = int(time.time()) + 5000
        args = ["a", 1, True, None, 1.5, {"k": [2]}, "\u00e9"]
        out = self.call("event", "schedule", "my_hook", str(when),
                        json.dumps(args))
        self.assertRegex(out, r"^Success: Scheduled event with hook 'my_hook'"
                         r" for \d{4}-\d\d-\d\d \d\d:\d\d:\d\d GMT\.\n$")
        ours = self.cron()
        self.put([])
        self.s.wp_eval("wp_schedule_single_event( %d, 'my_hook', json_decode("
                       " %r, true ) );" % (when, json.dumps(args)))
        self.assertEqual(ours, self.cron())

    def test_a_recurring_one_is_what_wordpress_writes(self):
        when = int(time.time()) + 77
        self.call("event", "schedule", "rec", str(when), "twicedaily",
                  "--0=first", "--1=second")
        ours = self.cron()
        self.put([])
        self.s.wp_eval("wp_schedule_event( %d, 'twicedaily', 'rec', array("
                       " 'first', 'second' ) );" % when)
        self.assertEqual(ours, self.cron())

    def test_floats_are_serialized_as_php_does(self):
        when = int(time.time()) + 5000
        floats = [0.1, 100000.0, 1e15, 1e17, 1.5e-7, 0.0001, -2.5, 1 / 3,
                  123456789012345678.0, 0.0, 72057594037927952.0]
        args = json.dumps(floats)
        self.call("event", "schedule", "f", str(when), "--args", args)
        ours = self.cron()
        self.put([])
        self.s.wp_eval("wp_schedule_single_event( %d, 'f', json_decode( %r,"
                       " true ) );" % (when, args))
        self.assertEqual(ours, self.cron())

    def test_the_duplicate_rule_is_wordpress(self):
        now = int(time.time())
        seen = set()
        for have, new in ((1000, 1590), (1000, 1700), (1000, 300),
                          (1000, 500), (-5000, 580), (-5000, 700),
                          (-5000, -4500), (300, -50)):
            self.put([Event(now + have, "h")])
            php = self.s.wp_eval("echo wp_schedule_single_event( %d, 'h' ) ?"
                                 " 'yes' : 'no';" % (now + new))
            self.put([Event(now + have, "h")])
            self.call("event", "schedule", "h", str(now + new),
                      code=DONE if php == "yes" else FAILED)
            seen.add(php)
        self.assertEqual(seen, {"yes", "no"})

    def test_an_option_that_is_not_there_is_made(self):
        self.s.mysql("DELETE FROM wp_options WHERE option_name = 'cron'")
        when = int(time.time()) + 5000
        self.call("event", "schedule", "h", str(when))
        self.assertEqual(self.cron(), row_of([Event(when, "h")]))
        self.assertEqual(self.s.value(
            "SELECT autoload FROM wp_options WHERE option_name = 'cron'"),
            "yes")

    def test_times_are_read_as_strtotime_does(self):
        texts = ("+1 hour", "tomorrow", "tomorrow 12:30",
                 "2030-01-31 10:00", "2030-01-31T10:00:15Z", "+2 days 3"
                 " hours", "+1 month", "noon", "now", "+1 week 2 days")
        code = ("echo json_encode( array_map( 'strtotime', json_decode( %r )"
                " ) );" % json.dumps(texts))
        # PHP before and after: a second or midnight may come between.
        before, got = self.php(code), []
        for text in texts:
            got.append(self.json("event", "schedule", "h", text)["time"])
            self.put([])
        after = self.php(code)
        for text, low, ours, high in zip(texts, before, got, after):
            self.assertLessEqual(min(low, high), ours, text)
            self.assertLessEqual(ours, max(low, high), text)
        for text in ("never", "25:00", "+1 eon", "2030-13-01", "+"):
            self.call("event", "schedule", "h", text, code=USAGE)
        self.call("event", "schedule", "h", "now", "fortnightly", code=FAILED)
        self.assertIn("not a valid schedule name", self.stderr)
        self.call("event", "schedule", "h", "now", "", "{broken", code=USAGE)

    def test_a_recurrence_of_a_plugin_is_asked_of_php(self):
        path = self.mu_plugin("every", """
            add_filter( 'cron_schedules', function ( $s ) {
                $s['every_9'] = array( 'interval' => 9, 'display' => 'x' );
                return $s;
            } );""")
        try:
            self.call("event", "schedule", "h", "now", "every_9")
            self.assertIn(b's:8:"interval";i:9;', self.cron())
        finally:
            os.unlink(path)

    def test_unschedule_takes_all_of_a_hook(self):
        now = int(time.time())
        keep = [Event(now + 5, "keep"), Event(now + 50, "keep", [1])]
        self.put(keep + [Event(now + 5, "go"), Event(now + 50, "go", [1]),
                         Event(now + 99, "go", [], 3600, "hourly")])
        waits = self.insert(hook="go")
        runs = self.insert("running", hook="go", claim_id=3)
        other = self.insert(hook="keep")
        self.assertEqual(self.call("event", "unschedule", "go"),
                         "Success: Unscheduled 4 events for hook 'go'.\n")
        self.assertEqual(self.cron(), row_of(keep))
        self.assertEqual([self.event(i)["state"] for i in (waits, runs, other)],
                         ["skipped", "running", "taken"])
        self.call("event", "unschedule", "go", code=FAILED)
        self.assertIn("No events found for hook 'go'", self.stderr)

    def test_delete_selects_as_wp_cli_does(self):
        now = int(time.time())
        events = [Event(now - 5, "a"), Event(now - 5, "a", ["1"]),
                  Event(now + 5000, "a", [1]), Event(now + 5000, "b"),
                  Event(now - 9, "c")]

        def left(*args):
            self.put(events)
            self.call("event", "delete", *args)
            return [(e["hook"], e["args"]) for e in self.json(
                "event", "list", "--fields=hook,args")]
        self.assertEqual(left("a"), [("c", []), ("b", [])])
        self.assertEqual(left("a", "--due-now"),
                         [("c", []), ("a", [1]), ("b", [])])
        self.assertEqual(left("--all", "--exclude=b,c"),
                         [("c", []), ("b", [])])
        self.assertEqual(left("a", "--match-args=[1]"),
                         [("c", []), ("a", []), ("a", ["1"]), ("b", [])])
        self.assertEqual(left("a", "--match-args=1"),
                         [("c", []), ("a", []), ("a", [1]), ("b", [])])
        self.assertEqual(left("--all"), [])
        self.assertEqual(self.cron(), EMPTY)
        self.put(events)
        self.call("event", "delete", code=USAGE)
        self.call("event", "delete", "a", "--all", code=USAGE)
        self.call("event", "delete", "nothing", code=FAILED)
        self.assertIn("Invalid cron event 'nothing'", self.stderr)
        self.call("event", "delete", "a", "b", "--match-args=[]", code=USAGE)

    def test_where_it_must_not_write_it_says_so(self):
        now = int(time.time())
        self.put([Event(now + 5, "h")])
        before = self.cron()
        cache = os.path.join(self.s.root, "wp-content", "object-cache.php")
        with open(cache, "w") as f:
            f.write("<?php require_once ABSPATH . WPINC . '/cache.php';\n")
        try:
            for args in (("schedule", "x"), ("unschedule", "h"),
                         ("delete", "h")):
                self.call("event", *args, code=CONFIG)
                self.assertIn("WP-CLI", self.stderr)
        finally:
            os.unlink(cache)
        self.s.mysql("CREATE TABLE wp_cavalcade_jobs (id INT)")
        try:
            self.call("event", "schedule", "x", code=CONFIG)
            self.assertIn("wp_cavalcade_jobs", self.stderr)
        finally:
            self.s.mysql("DROP TABLE wp_cavalcade_jobs")
        self.s.mysql("ALTER TABLE wp_options ENGINE=MyISAM")
        try:
            self.call("event", "schedule", "x", code=CONFIG)
            self.assertIn("InnoDB", self.stderr)
        finally:
            self.s.mysql("ALTER TABLE wp_options ENGINE=InnoDB")
        self.assertEqual(self.cron(), before)

    def test_two_writers_at_once_lose_nothing(self):
        now = int(time.time()) + 9000
        threads = [threading.Thread(target=self.s.ctl, args=(
            "event", "schedule", "h%d" % i, str(now + i)),
            kwargs={"config": self.conf}) for i in range(12)]
        for t in threads:
            t.start()
        for t in threads:
            t.join()
        self.assertEqual(self.call("event", "list", "--format=count"), "12\n")


class UninstallTest(EventsTest):
    def tearDown(self):
        self.call("install")

    def test_what_waits_goes_back_into_the_option(self):
        now = int(time.time())
        self.put([Event(now + 5, "stays")])
        self.insert(hook="waits", ts=now - 10, args=["x"])
        self.insert(hook="claimed", ts=now - 20, claim_id=7, node_id=3)
        self.insert("done", hook="done", ts=now - 30)
        self.call("uninstall", "--yes")
        self.assertEqual(self.cron(), row_of([
            Event(now + 5, "stays"), Event(now - 10, "waits", ["x"]),
            Event(now - 20, "claimed")]))

    def test_what_only_php_can_put_back_is_not_lost(self):
        self.insert(hook="waits")
        cache = os.path.join(self.s.root, "wp-content", "object-cache.php")
        with open(cache, "w") as f:
            f.write("<?php require_once ABSPATH . WPINC . '/cache.php';\n")
        try:
            self.call("uninstall", "--yes", code=CONFIG)
            self.assertIn("1 cron events of blog 1", self.stderr)
        finally:
            os.unlink(cache)
        self.assertEqual(self.event(self.s.value(
            "SELECT MAX(event_id) FROM wp_wpcron_events"))["state"], "taken")


class HistoryTest(EventsTest):
    def ended(self, state, hook, late_ms, took_ms, **columns):
        ts = int(time.time()) - 500
        i = self.insert(state, hook=hook, ts=ts, **columns)
        self.s.mysql(
            "UPDATE wp_wpcron_events SET started_at ="
            " '1970-01-01' + INTERVAL %s SECOND + INTERVAL %s MICROSECOND,"
            " ended_at = '1970-01-01' + INTERVAL %s SECOND + INTERVAL %s"
            " MICROSECOND, duration_ms = %s, executor = 'php', woken_by ="
            " 'page' WHERE event_id = %s",
            (ts, late_ms * 1000, ts, (late_ms + took_ms) * 1000, took_ms, i))
        return i

    def test_it_tells_when_and_how(self):
        first = self.ended("done", "a", 1500, 250)
        second = self.ended("failed", "b", 3000, 10, message="boom")
        got = self.json("event", "history", "--fields=id,hook,state,late_by,"
                        "duration,executor,woken_by,message")
        self.assertEqual(got, [
            {"id": second, "hook": "b", "state": "failed", "late_by": 3.0,
             "duration": 0.01, "executor": "php", "woken_by": "page",
             "message": "boom"},
            {"id": first, "hook": "a", "state": "done", "late_by": 1.5,
             "duration": 0.25, "executor": "php", "woken_by": "page",
             "message": ""}])
        self.assertEqual(self.json("event", "history", "a")[0]["id"], first)
        self.assertEqual(self.call("event", "history", "--status=failed",
                                   "--format=ids"), "%d\n" % second)
        self.assertEqual(self.call("event", "history", "--per-page=1",
                                   "--page=2", "--format=ids"), "%d\n" % first)
        self.call("event", "history", "--status=lost", code=USAGE)

    def test_what_failed_waits_again(self):
        i = self.ended("failed", "b", 1, 1, message="boom", claim_id=9, try_=3)
        done = self.ended("done", "b", 1, 1)
        got = self.json("event", "retry", str(i), str(done), "999999",
                        code=FAILED)
        self.assertEqual([g["changed"] for g in got], [True, False, False])
        self.assertIn("is done", got[1]["why"])
        self.assertIn("no event", got[2]["why"])
        row = self.event(i)
        self.assertEqual(
            (row["state"], row["claim_id"], row["try"], row["ended_at"],
             row["woken_by"]), ("taken", 0, 1, None, "ctl"))
        self.ended("failed", "c", 1, 1)
        self.ended("failed", "c", 1, 1)
        self.call("event", "retry", "--hook=c", code=USAGE)
        self.assertEqual(len(self.json("event", "retry", "--hook=c",
                                       "--yes")), 2)
        self.assertEqual(self.s.value(
            "SELECT COUNT(*) FROM wp_wpcron_events WHERE state = 'taken'"), 3)

    def insert(self, state="taken", **kwargs):
        if "try_" in kwargs:
            kwargs["`try`"] = kwargs.pop("try_")
        return super().insert(state, **kwargs)

    def test_shadow_report_compares(self):
        ts = int(time.time()) - 500
        for late in (10, 30):
            i = self.insert("gone", hook="a", ts=ts, args=[late])
            self.s.mysql("UPDATE wp_wpcron_events SET ended_at ="
                         " '1970-01-01' + INTERVAL %s SECOND WHERE event_id ="
                         " %s", (ts + late, i))
        self.insert("observed", hook="a", ts=ts)
        self.insert("observed", hook="b", ts=ts)
        got = self.json("shadow", "report")
        self.assertEqual([(g["queue"], g["hook"], g["would_have_run"],
                           g["wordpress_ran"], g["not_yet"], g["mean_late_s"],
                           g["max_late_s"]) for g in got], [
            ("cron", "a", 3, 2, 1, 20.0, 30.0),
            ("cron", "b", 1, 0, 1, None, None)])
        self.s.install_action_scheduler()
        try:
            self.s.insert_actions(3, "act", due_in=-100, status="complete")
            self.s.mysql("UPDATE wp_actionscheduler_actions SET"
                         " last_attempt_gmt = scheduled_date_gmt + INTERVAL"
                         " action_id SECOND")
            self.s.insert_actions(2, "act", due_in=-50)
            got = self.json("shadow", "report", "--since=-1 day")
            self.assertEqual(
                (got[2]["queue"], got[2]["hook"], got[2]["wordpress_ran"],
                 got[2]["not_yet"], got[2]["max_late_s"]),
                ("actions", "act", 3, 2, 3))
        finally:
            for name in ("actions", "claims", "groups", "logs"):
                self.s.mysql("DROP TABLE wp_actionscheduler_" + name)


class HoldsTest(EventsTest):
    def why(self, hook, config=None):
        return {h["what"]: h["why"] for h in self.json(
            "event", "explain", hook, config=config)["held_by"]}

    def lock(self, value):
        self.s.mysql("REPLACE INTO wp_options (option_name, option_value,"
                     " autoload) VALUES ('_transient_doing_cron', %s, 'yes')",
                     (value,))

    def test_pauses_are_rows_that_all_nodes_read(self):
        self.assertEqual(self.json("pause", "slow_*")["changed"], True)
        self.assertEqual(self.json("pause", "slow_*")["changed"], False)
        self.call("pause", "--group", "mails")
        got = self.json("pause", "list")
        self.assertEqual([(g["kind"], g["pattern"], g["blog_id"])
                          for g in got], [("group", "mails", 0),
                                          ("hook", "slow_*", 0)])
        self.assertIn("paused since", self.why("slow_one")["pause"])
        self.assertNotIn("pause", self.why("fast_one"))
        self.assertEqual(self.json("resume", "slow_*")["changed"], True)
        self.assertEqual(self.json("resume", "slow_*")["changed"], False)
        self.assertNotIn("pause", self.why("slow_one"))
        self.call("pause", code=USAGE)
        self.call("pause", "a", "--group=b", code=USAGE)

    def test_explain_says_what_holds_it(self):
        now = int(time.time())
        self.put([Event(now + 100, "h", [], 3600, "hourly")])
        got = self.json("event", "explain", "h")
        self.assertEqual(
            (got["next_run_gmt"], got["scheduled"], got["recurrence"],
             got["where"]),
            (time.strftime("%Y-%m-%d %H:%M:%S", time.gmtime(now + 100)), 1,
             "1 hour", "the option `cron`"))
        self.assertEqual(set(self.why("h")), {"nodes"})
        self.assertIn("paused", self.why("nat_paused")["pause"])
        for line, what in (("cron = no", "cron = no"),
                           ("mode = observe", "observe"),
                           ("hooks = other", "hooks"),
                           ("except = h", "except")):
            conf = self.write_conf("held.conf", site=line)
            self.assertIn(what, self.why("h", conf)["config"])
        conf = self.write_conf("held.conf")
        with open(conf) as f:
            text = f.read()
        with open(conf, "w") as f:
            f.write(re.sub(r"php_fpm.*\n", "", text))
        self.assertIn("php_fpm", self.why("h", conf)["lane"])
        self.assertNotIn("lane", self.why("hook_x", conf))

    def test_explain_sees_files_rows_and_copies(self):
        path = os.path.join(self.s.root, ".maintenance")
        with open(path, "w") as f:
            f.write("<?php $upgrading = %d;" % time.time())
        try:
            self.assertIn("maintenance", self.why("h"))
            self.assertNotIn("maintenance", self.why("hook_x"))
        finally:
            os.unlink(path)
        self.insert("running", hook="h", claim_id=4, node_id=7)
        self.s.mysql("UPDATE wp_wpcron_events SET started_at ="
                     " UTC_TIMESTAMP(6) - INTERVAL 42 SECOND")
        self.assertRegex(self.why("h")["sibling"],
                         r"runs since (4[2-9]|5\d) s on node 7, and the hook")
        i = self.insert(hook="again", **{"`try`": 2})
        self.s.mysql("UPDATE wp_wpcron_events SET not_before ="
                     " UTC_TIMESTAMP(6) + INTERVAL 60 SECOND WHERE event_id ="
                     " %s", (i,))
        self.assertIn("tried again", self.why("again")["retry"])
        self.s.mysql("UPDATE wp_wpcron_site SET identity = REPEAT('0', 64)")
        try:
            self.assertIn("a copy", self.why("hook_x")["copy"])
            self.assertNotIn("copy", self.why("h"))
        finally:
            self.s.mysql("DELETE FROM wp_wpcron_site")
            self.call("install")

    def test_the_lock_says_whose_it_is(self):
        self.assertIsNone(self.json("cron", "lock")["value"])
        self.lock("%.22f" % time.time())
        got = self.json("cron", "lock")
        self.assertEqual((got["foreign"], got["node"]), (True, None))
        self.assertIn("PHP runner", got["whose"])
        self.assertIn("PHP runner", self.why("h")["lock"])
        self.lock("%.22f" % (time.time() - 61))
        got = self.json("cron", "lock")
        self.assertEqual((got["foreign"], got["age_s"] >= 61), (False, True))
        self.assertNotIn("lock", self.why("h"))
        self.lock("%.22f" % (time.time() + 5000))
        self.assertIn("future", self.json("cron", "lock")["whose"])
        value = "%.22f" % time.time()
        self.lock(value)
        self.s.mysql("INSERT INTO wp_wpcron_nodes (node_id, host, pid,"
                     " version, started_at, heartbeat_at) VALUES (77, 'web1',"
                     " 1, 'v', UTC_TIMESTAMP(), UTC_TIMESTAMP())")
        self.s.mysql("INSERT INTO wp_wpcron_leases (name, node, token,"
                     " expires_at) VALUES (%s, 77, 0, UTC_TIMESTAMP() +"
                     " INTERVAL 1 HOUR)", ("doing_cron/1/" + value,))
        got = self.json("cron", "lock")
        self.assertEqual((got["foreign"], got["node"], got["host"]),
                         (False, 77, "web1"))
        self.assertNotIn("lock", self.why("h"))

    def test_explain_tells_the_last_outcomes(self):
        ts = int(time.time()) - 100
        for state, message, woken in (("failed", "boom", "page"),
                                      ("done", "", "call")):
            i = self.insert(state, hook="h", ts=ts, message=message,
                            woken_by=woken, duration_ms=240, executor="php")
            self.s.mysql(
                "UPDATE wp_wpcron_events SET started_at = '1970-01-01' +"
                " INTERVAL %s SECOND, ended_at = '1970-01-01' + INTERVAL %s"
                " SECOND WHERE event_id = %s", (ts + 3, ts + 4, i))
        got = self.json("event", "explain", "h")
        self.assertRegex(got["last"], r"^event \d+ done, 3\.000 s late, took"
                         r" 0\.240 s, php, at ")
        self.assertIn("failed", got["last_failure"])
        self.assertTrue(got["last_failure"].endswith(": boom"))
        self.assertTrue(got["woken_by"].startswith("call"))


class TestTest(EventsTest):
    """`cron test`: who answers."""

    def setUp(self):
        super().setUp()
        self.addCleanup(self.siteurl, self.s.url("").rstrip("/"))

    def siteurl(self, url):
        self.s.mysql("UPDATE wp_options SET option_value = %s WHERE"
                     " option_name = 'siteurl'", (url,))

    def serve(self, answer):
        """A server with one answer; the request it got comes later."""
        listener = socket.create_server(("127.0.0.1", 0))
        got = []

        def run():
            c, _ = listener.accept()
            with c:
                got.append(c.recv(65536))
                c.sendall(answer)
        t = threading.Thread(target=run, daemon=True)
        t.start()
        self.addCleanup(listener.close)
        self.siteurl("http://127.0.0.1:%d" % listener.getsockname()[1])
        return got

    def test_ours_stock_and_nobody(self):
        got = self.serve(b"HTTP/1.1 200 OK\r\nX-WP-Cron: started\r\n"
                         b"Content-Length: 0\r\n\r\n")
        out = self.json("cron", "test")
        self.assertEqual((out["answered_by"], out["x_wp_cron"]),
                         ("wp-cron-fcgi", "started"))
        self.assertRegex(got[0].split(b"\r\n")[0],
                         rb"^POST /wp-cron\.php\?doing_wp_cron=\d{10}\.\d{22}"
                         rb" HTTP/1\.1$")
        self.serve(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
        self.assertEqual(self.json("cron", "test", code=FAILED)
                         ["answered_by"], "stock")
        self.serve(b"HTTP/1.1 301 x\r\nLocation: /\r\nContent-Length: 0\r\n"
                   b"\r\n")
        self.assertIn("redirection", self.call("cron", "test", code=FAILED))
        # Ours, so that nobody else listens there meanwhile.
        with socket.socket() as port:
            port.bind(("127.0.0.1", 0))
            self.siteurl("http://127.0.0.1:%d" % port.getsockname()[1])
            self.assertIn("nobody answers", self.call("cron", "test",
                                                      code=UNAVAILABLE))

    def test_constants_are_warned_of(self):
        self.s.write_config("define( 'DISABLE_WP_CRON', true );\n"
                            "define( 'ALTERNATE_WP_CRON', true );")
        try:
            self.serve(b"HTTP/1.1 200 OK\r\nX-WP-Cron: started\r\n"
                       b"Content-Length: 0\r\n\r\n")
            self.assertEqual(len(self.json("cron", "test")["warnings"]), 2)
            self.assertIn("ALTERNATE_WP_CRON", self.stderr)
        finally:
            self.s.write_config()


class DoctorTest(EventsTest):
    def finding(self, check, config=None):
        r = self.s.ctl("doctor", "--format=json", config=config or self.conf)
        return [(f["severity"], f["what"]) for f in json.loads(r.stdout)
                if f["check"] == check]

    def test_cron_is_judged(self):
        now = int(time.time())
        self.put([Event(now + 50, "a")])
        self.assertEqual(self.finding("cron storage")[0][0], "ok")
        self.assertEqual(self.finding("cron events")[0],
                         ("ok", "1 scheduled, 0 due now"))
        self.assertEqual(self.finding("companion")[0][0], "info")
        self.put([Event(now - 400, "a"), Event(now - 10, "b")])
        severity, what = self.finding("cron events")[0]
        self.assertEqual(severity, "warn")
        self.assertRegex(what, "^1 cron events are due for more than 5 min")
        self.put_bytes(b"a:1:{i:5")
        self.assertEqual(self.finding("cron events")[0][0], "error")
        conf = self.write_conf("off.conf", site="mode = observe")
        self.assertEqual(self.finding("cron", conf)[0][0], "warn")
        self.s.mysql("ALTER TABLE wp_options ENGINE=MyISAM")
        try:
            self.assertEqual(self.finding("cron storage")[0][0], "error")
        finally:
            self.s.mysql("ALTER TABLE wp_options ENGINE=InnoDB")

    def test_locks_are_judged(self):
        for age, severity in ((5, "warn"), (500, "info")):
            self.s.mysql("REPLACE INTO wp_options (option_name, option_value,"
                         " autoload) VALUES ('_transient_doing_cron', %s,"
                         " 'yes')", ("%.22f" % (time.time() - age),))
            self.assertEqual(self.finding("doing_cron")[0][0], severity)


class NetworkTest(EventsTest):
    NETWORK = 3

    def url(self, n):
        return "http://%s/b%d/" % (self.domain(), n)

    def domain(self):
        return "127.0.0.1:%d" % self.s.http_port

    def test_url_and_network_choose_blogs(self):
        now = int(time.time())
        self.put([Event(now + 50, "main")])
        for blog in self.blogs:
            self.put([Event(now + blog, "of_%d" % blog)],
                     "wp_%d_options" % blog)
        self.assertEqual(self.call("event", "list", "--format=ids"), "main\n")
        self.assertEqual(
            self.call("event", "list", "--format=ids", "--url",
                      self.url(2)), "of_%d\n" % self.blogs[1])
        self.assertEqual(
            self.call("event", "list", "--format=ids", "--network").split(),
            ["main"] + ["of_%d" % b for b in self.blogs])
        self.call("event", "list", "--url=http://nowhere.example/",
                  code=USAGE)
        self.s.mysql("UPDATE wp_blogs SET archived = 1 WHERE blog_id = %s",
                     (self.blogs[2],))
        try:
            self.assertEqual(self.call("event", "list", "--network",
                                       "--format=count"), "3\n")
        finally:
            self.s.mysql("UPDATE wp_blogs SET archived = 0")

    def test_writes_go_to_the_chosen_blog(self):
        for blog in self.blogs:
            self.put([], "wp_%d_options" % blog)
        when = int(time.time()) + 5000
        self.call("event", "schedule", "h", str(when), "--url", self.url(1))
        self.assertEqual(self.cron(), EMPTY)
        self.assertEqual(self.cron("wp_%d_options" % self.blogs[0]),
                         row_of([Event(when, "h")]))
        self.call("event", "unschedule", "h", "--network")
        self.assertEqual(self.cron("wp_%d_options" % self.blogs[0]), EMPTY)
        self.assertEqual(
            self.json("pause", "h", "--url", self.url(2))["blog_id"],
            self.blogs[1])

    def test_site_list_is_wordpress(self):
        now = int(time.time())
        for blog in self.blogs:
            self.put([], "wp_%d_options" % blog)
        self.put([Event(now + 50, "main")])
        self.put([Event(now + 500, "x")], "wp_%d_options" % self.blogs[1])
        self.insert(blog=self.blogs[0], hook="waits")
        got = self.json("site", "list")
        php = self.php("echo json_encode( array_map( function ( $s ) { return"
                       " array( 'blog_id' => (int) $s->blog_id, 'registered'"
                       " => $s->registered, 'last_updated' =>"
                       " $s->last_updated ); }, get_sites( array( 'number' =>"
                       " 0 ) ) ) );")
        for row in php:
            if row["last_updated"].startswith("0000"):
                row["last_updated"] = None
        self.assertEqual([{k: g[k] for k in php[0]} for g in got], php)
        self.assertEqual(got[1]["url"], self.url(1))

        def text(t):
            return time.strftime("%Y-%m-%d %H:%M:%S", time.gmtime(t))
        self.assertEqual(got[0]["next_due"], text(now + 50))
        self.assertLessEqual(got[1]["next_due"], text(now + 5))
        self.assertEqual((got[2]["next_due"], got[3]["next_due"]),
                         (text(now + 500), None))


if __name__ == "__main__":
    unittest.main()
