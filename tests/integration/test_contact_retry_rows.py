"""Rows of retries that the program inserts, beside those of Action Scheduler's
own as_schedule_single_action()."""

import base64
import json
import subprocess
import unittest

import beside

load_tests = beside.load_tests
tearDownModule = beside.close_site

HOOKS = {"push": "newspack_contact_sync_retry",
         "pull": "newspack_contact_pull_retry"}
DELAYS = {1: 30, 2: 120, 3: 480, 4: 1800, 5: 7200}
# What two rows cannot have in common.
OWN = ("action_id",)
NOW = 1700000000

SHORT = {"user": 7, "integration": "esp", "count": 1, "reason": ""}
RETRIES = [
    dict(SHORT, direction="pull"),
    dict(SHORT, direction="pull", user=8, reason="x" * 107),
    dict(SHORT, direction="pull", user=9, reason="x" * 108),
    dict(SHORT, direction="push", context="Recurring sync routine"),
    dict(SHORT, direction="push", user=8, count=5, context="C" * 53,
         reason="no", previous_email="old+tag@example.test"),
    dict(SHORT, direction="push", user=9, integration="my/list é",
         context='quotes " and \\ and /', count=2,
         reason="é 你 😀 <b>&amp;</b>\n\t\r\b\f\x01\x7f 'so'"),
    dict(SHORT, direction="pull", user=10, count=3, integration="42",
         reason="a" * 500),
    dict(SHORT, direction="pull", user=2 ** 53 + 1, count=4, reason="é" * 250),
]


def encoded(text):
    return base64.b64encode(text.encode()).decode()


class RetryRowsTest(beside.BesideCase):
    def setUp(self):
        super().setUp()
        self.s.ctl("install", check=True)

    def write(self, retries, together=False):
        binary = self.s.binary("drivers/contact_rows")
        r = subprocess.run(
            self.s.as_web_user([binary, "root=" + self.s.root,
                                "now=%d" % NOW]),
            input=json.dumps({"retries": retries, "together": together}),
            text=True,
            capture_output=True, env=self.s.sanitizer_env())
        self.assertEqual(r.returncode, 0, r.stderr)
        return r.stdout.split()

    def write_php(self, retries):
        """The calls of Newspack's own scheduling, with its order of keys."""
        for r in retries:
            data = {"integration_id": r["integration"], "user_id": r["user"]}
            if r["direction"] == "push":
                data["context"] = r["context"]
            data.update(retry_count=r["count"], max_retries=5,
                        reason=r["reason"])
            if r["direction"] == "push":
                data["previous_email"] = r.get("previous_email", "")
            args = "json_decode( base64_decode( '%s' ), true )" % (
                encoded(json.dumps([data])))
            self.s.wp_eval(
                "as_schedule_single_action( %d, '%s', %s, %s );" % (
                    NOW + DELAYS[r["count"]], HOOKS[r["direction"]], args,
                    "'newspack-integration-' . base64_decode( '%s' )"
                    % encoded(r["integration"])))

    def rows(self):
        return self.s.mysql("SELECT * FROM wp_actionscheduler_actions"
                            " ORDER BY action_id")

    def compare(self, retries=RETRIES):
        ours, theirs = self.rows()[:len(retries)], self.rows()[len(retries):]
        self.assertEqual(len(theirs), len(retries))
        for retry, a, b in zip(retries, ours, theirs):
            for column in a:
                if column not in OWN:
                    self.assertEqual(a[column], b[column],
                                     "%s of %r" % (column, retry))
        logs = self.site.log_rows()
        for a, b in zip(ours, theirs):
            lines = [[x["message"] for x in logs[r["action_id"]]]
                     for r in (a, b)]
            self.assertEqual(lines[0], lines[1])

    def test_every_column_is_as_the_plugin_writes_it(self):
        self.assertEqual(self.write(RETRIES), ["ok"] * len(RETRIES))
        self.write_php(RETRIES)
        self.compare()
        self.assertEqual(self.site.unfetchable(), [])
        # The group of each is one row, whoever was first.
        self.assertEqual(
            self.s.value("SELECT COUNT(*) FROM wp_actionscheduler_groups"
                         " WHERE slug <> ''"),
            len({r["integration"] for r in RETRIES}))
        extended = [r for r in self.rows() if r["extended_args"]]
        self.assertTrue(extended and len(extended) < len(self.rows()))

    def test_rows_that_are_added_together_are_the_same(self):
        pulls_first = sorted(RETRIES, key=lambda r: r["direction"])
        self.assertEqual(self.write(pulls_first, together=True),
                         ["ok"] * len(RETRIES))
        self.write_php(pulls_first)
        self.compare(pulls_first)

    def test_local_times_follow_the_sites_zone(self):
        zone = self.s.option("timezone_string")
        self.addCleanup(self.s.wp_eval,
                        "update_option( 'timezone_string', %r );" % zone)
        self.s.wp_eval("update_option( 'timezone_string',"
                       " 'America/St_Johns' );")
        self.write(RETRIES)
        self.write_php(RETRIES)
        self.compare()
        self.assertEqual(
            self.s.value("SELECT TIMESTAMPDIFF(SECOND, scheduled_date_gmt,"
                         " scheduled_date_local) FROM"
                         " wp_actionscheduler_actions LIMIT 1"), -12600)

    def test_groups_of_the_plugin_are_used(self):
        self.write_php(RETRIES)
        theirs = self.rows()
        self.s.mysql("DELETE FROM wp_actionscheduler_actions")
        self.write(RETRIES)
        self.assertEqual([r["group_id"] for r in self.rows()],
                         [r["group_id"] for r in theirs])

    def test_what_the_plugin_scheduled_is_not_added_again(self):
        self.write_php(RETRIES)
        self.assertEqual(self.write(RETRIES), ["none"] * len(RETRIES))
        self.assertEqual(len(self.rows()), len(RETRIES))

    def test_the_plugin_finds_and_runs_our_rows(self):
        self.write(RETRIES[:4])
        found = json.loads(self.s.wp_eval("""
            $out = array();
            foreach ( as_get_scheduled_actions( array(
                'group' => 'newspack-integration-esp',
                'status' => 'pending', 'per_page' => -1 ) ) as $a ) {
                $out[] = $a->get_args()[0];
            }
            echo json_encode( $out );"""))
        self.assertEqual(sorted(f["user_id"] for f in found), [7, 7, 8, 9])
        self.s.wp_eval("""
            foreach ( array( 'pull', 'sync' ) as $d ) {
                add_action( "newspack_contact_{$d}_retry",
                    function ( $data ) {
                        update_option( 'ran_' . $data['user_id'],
                            $data['integration_id'] );
                    } );
            }
            ActionScheduler_QueueRunner::instance()->run( 'WP Cron' );""")
        self.assertEqual(self.s.statuses("hook LIKE 'newspack%%'"),
                         {"complete": 4})
        self.assertEqual(self.s.option("ran_9"), "esp")


if __name__ == "__main__":
    unittest.main()
