"""The publisher's real plugin: how it stages readers, builds contacts, and
reads the rows of retries, beside what this program makes of the same.

The plugin is no part of this project: NEWSPACK_PLUGIN_DIR names a checkout
with its dependencies (newspack.php and vendor/ are in it). Without one
nothing here runs, and that is said.
"""

import calendar
import json
import os
import shutil
import time
import unittest

import newspack
from newspack import CONTEXT
from test_php_contacts import ContactsCase

DIR = os.environ.get("NEWSPACK_PLUGIN_DIR")

# An integration that notes its calls as the fixture's do, and a publisher's
# filter; it takes the place of a provider.
PROBE = r"""<?php
namespace WPCron_Probe;

function note( $what, $user, $email, $context, $body ) {
	global $wpdb;
	$wpdb->insert( $wpdb->prefix . 'wpcron_newspack_calls', array(
		'at' => microtime( true ), 'what' => $what, 'integration' => 'probe',
		'user_id' => $user, 'email' => $email, 'context' => $context,
		'body' => wp_json_encode( $body ), 'pid' => getmypid() ) );
}

function said( $name ) {
	$text = get_option( 'wpcron_probe_' . $name );
	return $text ? new \WP_Error( 'probe', $text ) : null;
}

add_action( 'newspack_reader_activation_register_integrations', function () {
	class_alias( get_class( new class( 'probe', 'Probe' ) extends
		\Newspack\Reader_Activation\Integration {
		public function register_settings_fields() {
			return array();
		}
		public function can_sync( $return_errors = false ) {
			return $return_errors ? new \WP_Error() : true;
		}
		public function push_contact_data( $contact, $context = '',
			$existing_contact = null, $options = array() ) {
			$user = get_user_by( 'email', $contact['email'] );
			note( 'push', $user ? $user->ID : 0, $contact['email'], $context,
				array( $contact, false, $existing_contact ) );
			$error = said( 'push' );
			return $error ? $error : true;
		}
		public function pull_contact_data( $user_id ) {
			note( 'pull', $user_id, '', '', null );
			$error = said( 'pull' );
			return $error ? $error : get_option( 'wpcron_probe_data' );
		}
	} ), 'WPCron_Probe' );
	\Newspack\Reader_Activation\Integrations::register(
		new \WPCron_Probe( 'probe', 'Probe' ) );
} );

add_filter( 'newspack_esp_sync_contact', function ( $contact ) {
	$user = get_user_by( 'email', $contact['email'] );
	$contact['metadata'] += array( 'NP_Account' => $user->ID,
		'NP_Registration Date' => $user->user_registered,
		'NP_Note' => 'a "quoted" é', 'status_if_new' => 'transactional' );
	return $contact;
} );
"""


def load_tests(_loader, tests, _pattern):
    if DIR:
        return tests
    print("note: the publisher's plugin was not there: set"
          " NEWSPACK_PLUGIN_DIR", flush=True)
    return unittest.TestSuite()


class RealCase(ContactsCase):
    config_extra = "define( 'NEWSPACK_ALLOW_READER_SYNC', true );"

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        s = cls.s
        to = os.path.join(s.root, "wp-content", "plugins", "newspack-plugin")
        shutil.rmtree(to)
        shutil.copytree(DIR, to, ignore=shutil.ignore_patterns(
            ".git", "node_modules", "tests"))
        mu = os.path.join(s.root, "wp-content", "mu-plugins")
        os.makedirs(mu, exist_ok=True)
        with open(os.path.join(mu, "probe.php"), "w") as f:
            f.write(PROBE)
        s.give_to_web_user(os.path.join(s.root, "wp-content"))
        newspack.set_option(s, "active_plugins", [newspack.PLUGIN])
        cls.options(s)
        s.wp_eval("")  # the first boot makes tables and options
        print("note: Newspack %s" % s.wp_eval(
            "echo NEWSPACK_PLUGIN_VERSION;"), flush=True)

    @staticmethod
    def options(s):
        for name, value in (
                ("newspack_reader_activation_enabled", "1"),
                ("newspack_reader_activation_enabled_integrations",
                 ["probe"]),
                ("newspack_integration_incoming_fields_probe",
                 {"color": {"name": "Color", "value_type": "string"},
                  "text": {"name": "Text", "value_type": "string"}}),
                ("newspack_integration_outgoing_fields_probe",
                 ["Account", "Registration Date"]),
                ("wpcron_probe_data",
                 {"color": "blue", "text": "a \"b\" \\ é", "other": 1}),
                ("wpcron_probe_push", ""), ("wpcron_probe_pull", "")):
            newspack.set_option(s, name, value)

    def setUp(self):
        s = self.s
        s.mysql("DELETE FROM wp_users WHERE ID > 1")
        s.mysql("DELETE FROM wp_usermeta WHERE user_id > 1")
        s.mysql("DELETE FROM wp_actionscheduler_actions")
        s.mysql("DELETE FROM wp_actionscheduler_logs")
        newspack.forget_calls(s)
        self.options(s)

    def install(self, **settings):
        raise AssertionError("the fixture is not in place here")


class StagingTest(RealCase):
    def test_php_stages_as_it_is_specified(self):
        user, = newspack.users(self.s, 1)
        before = int(time.time())
        newspack.visit(self.s, user)
        flags = newspack.flags(self.s)[user]
        last = newspack.meta(self.s, user, newspack.LAST_ENQUEUE)
        # The first visit pulls at once; nobody answers, so it is staged.
        self.assertEqual(sorted(flags), ["pull", "push"])
        for value in list(flags.values()) + [last]:
            self.assertTrue(before <= int(value) <= time.time(), value)

    def test_the_throttle_is_300_seconds_by_the_row(self):
        early, due, new = newspack.users(self.s, 3)
        now = int(time.time())
        newspack.set_meta(self.s, early, newspack.LAST_ENQUEUE, now - 250)
        newspack.set_meta(self.s, due, newspack.LAST_ENQUEUE, now - 300)
        newspack.set_meta(self.s, new, newspack.LAST_ENQUEUE, now + 1000)
        for user in early, due, new:
            newspack.visit(self.s, user)
        self.assertEqual({u: sorted(f) for u, f in
                          newspack.flags(self.s).items()},
                         {due: ["pull", "push"]})

    def test_its_event_goes_with_the_constant(self):
        def is_scheduled():
            return newspack.BATCH in self.s.option("cron")
        self.s.wp_eval("")
        self.assertTrue(is_scheduled())
        self.s.write_config(self.config_extra + newspack.CRON_DISABLE)
        self.addCleanup(self.s.write_config, self.config_extra)
        self.s.wp_eval("")
        self.assertFalse(is_scheduled())


class ClassesTest(RealCase):
    def test_contacts_are_those_that_it_pushes(self):
        users = newspack.users(self.s, 5)
        reply = self.contacts("prepare", users, "probe")
        self.assertEqual((reply.rc, reply.oks()), ("ok", [True] * 5), reply)
        newspack.stage(self.s, users, ("push",))
        newspack.run_batch(self.s)
        pushed = {c["user_id"]: c for c in newspack.calls(self.s, "push")}
        self.assertEqual(sorted(pushed), users)
        for entry in reply.entries:
            call = pushed[entry["user"]]
            contact = call["body"][0]
            self.assertEqual(call["context"], CONTEXT)
            metadata = {n: int(v) if number else v
                        for n, v, number in entry["fields"]}
            if entry["status_if_new"]:
                metadata["status_if_new"] = entry["status_if_new"]
            self.assertEqual((entry["email"], entry["name"], metadata),
                             (contact["email"], contact.get("name", ""),
                              contact["metadata"] or {}))
            self.assertIn("NP_Account", metadata)

    def test_it_is_pushed_and_pulled_by_its_class(self):
        users = newspack.users(self.s, 3)
        reply = self.contacts("push", users, "probe", previous="old@x.org")
        self.assertEqual((reply.rc, reply.oks()), ("ok", [True] * 3), reply)
        self.assertEqual([c["body"][2]["email"] for c in
                          newspack.calls(self.s, "push")], ["old@x.org"] * 3)
        reply = self.contacts("pull", users, "probe")
        self.assertEqual((reply.rc, reply.oks()), ("ok", [True] * 3), reply)
        data = newspack.reader_data(self.s, users[0])
        self.assertEqual({k: json.loads(v) for k, v in data.items()},
                         {"color": "blue", "text": "a \"b\" \\ é"})
        newspack.set_option(self.s, "wpcron_probe_pull", "provider is down")
        entry = self.contacts("pull", users[:1], "probe").entries[0]
        self.assertEqual((entry["code"], entry["message"]),
                         ("probe", "provider is down"))

    def test_what_we_store_is_read_by_its_class(self):
        user, = newspack.users(self.s, 1)
        reply = self.ask("store", [[user, "k", '"a \\"b\\""', "n", "0"]])
        self.assertEqual(reply.oks(), [True], reply)
        out = self.s.wp_eval("echo json_encode( \\Newspack\\Reader_Data::"
                             "get_data( %d ) );" % user)
        self.assertEqual(json.loads(out), {"k": '"a \\"b\\""', "n": "0"})

    def test_without_leave_nothing_is_pushed(self):
        self.s.write_config("")
        self.addCleanup(self.s.write_config, self.config_extra)
        user = newspack.users(self.s, 1)
        entry = self.contacts("push", user, "probe").entries[0]
        self.assertEqual((entry["answered"], entry["code"]), (False, "held"))
        self.assertEqual(newspack.calls(self.s), [])

    def test_it_is_described(self):
        told = self.ask("describe").entries[0]
        found = {i["id"]: i for i in told["integrations"]}
        self.assertIn("esp", found)
        probe = found["probe"]
        self.assertTrue(probe["enabled"] and probe["set_up"]
                        and probe["push"] and probe["pull"])
        self.assertEqual(probe["incoming"], ["color", "text"])
        self.assertTrue(told["can_sync"]["ok"], told["can_sync"])

    def test_alerts_reach_its_handlers(self):
        user, = newspack.users(self.s, 1)
        reply = self.ask("alert", [
            ("newspack_sync_contact_failed", "probe", user, CONTEXT, "no", 0),
            ("newspack_sync_retry_exhausted", "probe", user, CONTEXT, "no",
             5)])
        self.assertEqual(reply.rc, "ok", reply)
        log = self.s.option("newspack_alert_failure_log")
        if log is not None:
            self.assertIn(newspack.email(self.s, user), log)


class RetryTest(RealCase):
    def run_actions(self):
        return self.s.wp_eval(
            "ActionScheduler::runner()->run( 'test' );")

    def test_rows_of_both_are_the_same(self):
        user, = newspack.users(self.s, 1)
        newspack.set_option(self.s, "wpcron_probe_push", "no / é")
        newspack.set_option(self.s, "wpcron_probe_pull", "down")
        newspack.stage(self.s, [user])
        newspack.run_batch(self.s)
        for direction, reason in (("push", "no / é"), ("pull", "down")):
            theirs, = newspack.retries(self.s, direction)
            newspack.add_retry(self.s, direction, user, "probe",
                               reason=reason, due_in=30)
            ours = newspack.retries(self.s, direction)[-1]
            for column in ("hook", "args", "extended_args", "group_id",
                           "priority", "claim_id", "attempts", "data"):
                self.assertEqual(ours[column], theirs[column], column)
            self.assertEqual(theirs["group"], "newspack-integration-probe")
            schedules = [row["schedule"].replace(str(calendar.timegm(
                row["scheduled_date_gmt"].timetuple())), "WHEN")
                for row in (ours, theirs)]
            self.assertEqual(schedules[0].count("WHEN"), 2)
            self.assertEqual(schedules[0], schedules[1])
            self.assertEqual(self.s.logs(theirs["action_id"]),
                             ["action created"])

    def test_its_batch_sees_our_rows_and_skips_their_readers(self):
        for direction in "push", "pull":
            with self.subTest(direction):
                self.setUp()
                one, two = newspack.users(self.s, 2)
                newspack.add_retry(self.s, direction, one, "probe",
                                   due_in=1000)
                newspack.stage(self.s, [one, two], (direction,))
                newspack.run_batch(self.s)
                self.assertEqual([c["user_id"] for c in
                                  newspack.calls(self.s, direction)], [two])

    def test_our_rows_are_executed_by_its_classes(self):
        user, = newspack.users(self.s, 1)
        push = newspack.add_retry(self.s, "push", user, "probe", count=2,
                                  previous="old@x.org", reason="x" * 300)
        pull = newspack.add_retry(self.s, "pull", user, "probe")
        self.run_actions()
        self.assertEqual(self.s.statuses("action_id IN (%d, %d)" % (
            push, pull)), {"complete": 2})
        calls = {c["what"]: c for c in newspack.calls(self.s)}
        self.assertEqual(calls["push"]["body"][2]["email"], "old@x.org")
        self.assertEqual(calls["pull"]["user_id"], user)
        self.assertIn("Retry 2/5 succeeded", " ".join(self.s.logs(push)))

    def test_the_fifth_ends_the_chain(self):
        user, = newspack.users(self.s, 1)
        newspack.set_option(self.s, "wpcron_probe_push", "still no")
        last = newspack.add_retry(self.s, "push", user, "probe", count=5)
        self.run_actions()
        self.assertEqual(self.s.statuses("action_id = %d" % last),
                         {"failed": 1})
        self.assertEqual(newspack.retries(self.s, "push"), [])
        self.assertIn("Max retries exhausted.", self.s.logs(last))


class BatchTest(RealCase):
    """PHP's staging and our batch on one database."""

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.conf = cls.s.path("real.conf")
        with open(cls.conf, "w", encoding="utf-8") as f:
            f.write(cls.s.config_text())
        cls.ctl("install")

    @classmethod
    def ctl(cls, *args, code=(0,)):
        r = cls.s.ctl(*args, config=cls.conf)
        if r.returncode not in code:
            raise AssertionError("%s: exit %d\n%s%s" % (
                " ".join(args), r.returncode, r.stdout, r.stderr))
        return r.stdout + r.stderr

    def setUp(self):
        super().setUp()
        self.s.write_config(self.config_extra + newspack.CRON_DISABLE)
        self.addCleanup(self.s.write_config, self.config_extra)
        for name in "wpcron_fingerprints", "wpcron_leases":
            self.s.mysql("DELETE FROM wp_" + name)

    def columns(self, direction):
        row, = newspack.retries(self.s, direction)
        self.s.mysql("DELETE FROM wp_actionscheduler_actions WHERE"
                     " action_id = %s", (row["action_id"],))
        return {k: row[k] for k in (
            "hook", "status", "args", "extended_args", "group", "priority",
            "claim_id", "attempts", "data")}

    def test_whom_php_stages_we_pull_and_push(self):
        users = newspack.users(self.s, 4)
        for user in users:
            newspack.visit(self.s, user)
        self.assertEqual(sorted(newspack.flags(self.s)), users)
        self.ctl("contacts", "run")
        self.assertEqual(newspack.flags(self.s), {})
        calls = newspack.calls(self.s)
        self.assertEqual([(c["what"], c["user_id"]) for c in calls],
                         [(w, u) for w in ("pull", "push") for u in users])
        self.assertEqual({c["context"] for c in calls if c["what"] == "push"},
                         {CONTEXT})
        self.assertEqual(json.loads(newspack.reader_data(
            self.s, users[0])["text"]), "a \"b\" \\ é")

    def test_our_retries_are_as_its_own_and_run_by_it(self):
        user, = newspack.users(self.s, 1)
        for direction in "push", "pull":
            with self.subTest(direction):
                newspack.set_option(self.s, "wpcron_probe_" + direction,
                                    "not now / é")
                newspack.stage(self.s, [user], (direction,))
                newspack.run_batch(self.s)
                theirs = self.columns(direction)
                newspack.stage(self.s, [user], (direction,))
                self.ctl("contacts", "run", code=(0, 1))
                row, = newspack.retries(self.s, direction)
                newspack.set_option(self.s, "wpcron_probe_" + direction, "")
                newspack.forget_calls(self.s)
                self.s.mysql("UPDATE wp_actionscheduler_actions SET"
                             " scheduled_date_gmt = UTC_TIMESTAMP() - INTERVAL"
                             " 5 SECOND WHERE action_id = %s",
                             (row["action_id"],))
                self.s.wp_eval("ActionScheduler::runner()->run( 'test' );")
                self.assertEqual(self.s.statuses(
                    "action_id = %d" % row["action_id"]), {"complete": 1})
                self.assertEqual([c["what"] for c in
                                  newspack.calls(self.s)], [direction])
                self.s.mysql("UPDATE wp_actionscheduler_actions SET status ="
                             " 'pending', attempts = 0, claim_id = 0 WHERE"
                             " action_id = %s", (row["action_id"],))
                self.assertEqual(self.columns(direction), theirs)

    def test_what_its_guard_holds_stays_staged(self):
        self.s.write_config(newspack.CRON_DISABLE)
        users = newspack.users(self.s, 2)
        newspack.stage(self.s, users, ("push",))
        self.ctl("contacts", "run", code=(0, 1, 75))
        self.assertEqual(newspack.calls(self.s), [])
        self.assertEqual(sorted(newspack.flags(self.s, "push")), users)
        self.assertEqual(newspack.retries(self.s, "push"), [])


if __name__ == "__main__":
    unittest.main()
