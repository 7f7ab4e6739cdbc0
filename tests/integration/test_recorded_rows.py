"""Rows that Action Scheduler itself wrote before and after one run, against
what the program makes of the same rows: column by column, dates relative to
the run."""

import datetime
import re
import time
import unittest

from stack import Stack

CONTEXT = "WP Cron FCGI"
# What is left out, and why: claim ids are kept on finished rows (as the plugin
# does since 3.9.3), last attempts are the run's own time.
COLUMNS = ("hook", "status", "priority", "args", "group_id", "attempts",
           "extended_args")
NEVER = "0000-00-00 00:00:00"
UTC = datetime.timezone.utc


def unix(when):
    return int(when.replace(tzinfo=UTC).timestamp()) if when else None


def next_match(after, minutes, hours=None, day=None):
    """First minute after `after` that fits; a minute-by-minute search."""
    t = (after // 60 + 1) * 60
    while True:
        d = datetime.datetime.fromtimestamp(t, UTC)
        if (d.minute in minutes and (hours is None or d.hour in hours)
                and (day is None or d.day == day)):
            return t
        t += 60


class RecordedRowsTest(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.s = s = Stack()
        cls.addClassCleanup(s.close)
        s.start_mariadb()
        s.install_wordpress(plugins=("wpcron-demo", "wpcron-golden"))
        s.start_php_fpm()
        s.install_action_scheduler("after")
        cls.want = {r["action_id"]: r for r in s.actions()}
        cls.want_logs = {i: s.logs(i) for i in cls.want}
        s.install_action_scheduler("before")
        # Not due in the recorded run, so not in this one either.
        s.mysql("UPDATE wp_actionscheduler_actions SET scheduled_date_gmt ="
                " UTC_TIMESTAMP() + INTERVAL 1 DAY WHERE action_id IN (1, 17)")
        cls.before = {r["action_id"]: r for r in s.actions()}
        # What comes every five minutes is not to come once more just now.
        left = 300 - time.time() % 300
        if left < 20:
            time.sleep(left)
        s.start_daemon(daemon="php_children = 1\nworkers = 2\n"
                       "log_level = debug\n")
        s.wait_until(lambda: s.count(
            "status IN ('pending', 'in-progress') AND action_id <= 17"
            " AND action_id NOT IN (1, 17)") == 0, 30)
        # The failing interval of a minute and the five-minute cron may not
        # have come round again yet.
        cls.got = {r["action_id"]: r for r in s.actions()}
        cls.read_at = int(time.time())
        cls.got_logs = {i: s.logs(i) for i in cls.got}

    def test_rows_end_as_php_ends_them(self):
        for i in range(1, 18):
            got, want = self.got[i], self.want[i]
            for column in COLUMNS:
                self.assertEqual(got[column], want[column], (i, column))
            self.assertEqual(got["schedule"], want["schedule"], i)
            if i not in (1, 17):
                self.assertEqual(got["scheduled_date_gmt"],
                                 want["scheduled_date_gmt"], i)

    def test_last_attempts_are_the_runs(self):
        now = time.time()
        for i in range(1, 18):
            got, want = self.got[i], self.want[i]
            if want["last_attempt_gmt"] == NEVER:
                self.assertEqual(got["last_attempt_gmt"], NEVER, i)
                continue
            self.assertLess(abs(unix(got["last_attempt_gmt"]) - now), 120, i)
            self.assertEqual(got["last_attempt_gmt"],
                             got["last_attempt_local"], i)

    def test_log_lines_are_phps_but_for_the_context(self):
        for i in range(1, 18):
            want = [re.sub(r"via WP Cron", "via " + CONTEXT, m)
                    for m in self.want_logs[i]]
            self.assertEqual(self.got_logs[i], want, i)

    def successors(self, rows, logs):
        """{(hook, args, first timestamp): row} of the instances made."""
        return {(r["hook"], r["args"]): (r, logs[i])
                for i, r in rows.items() if i > 17}

    def test_next_instances_are_phps_relative_to_the_run(self):
        want = self.successors(self.want, self.want_logs)
        got = self.successors(self.got, self.got_logs)
        self.assertEqual(sorted(got), sorted(want))
        for key, (w, wlogs) in want.items():
            g, glogs = got[key]
            with self.subTest(key):
                self.assertEqual(glogs, wlogs)
                for column in COLUMNS:
                    self.assertEqual(g[column], w[column], column)
                self.same_schedule(g, w)
                self.assertEqual(g["last_attempt_gmt"], NEVER)
                self.assertEqual(g["scheduled_date_gmt"],
                                 g["scheduled_date_local"])

    def same_schedule(self, got, want):
        """Byte for byte, with the scheduled time as the row's own date."""
        was, now = (str(unix(r["scheduled_date_gmt"])) for r in (want, got))
        moved = want["schedule"].replace(
            'scheduled_timestamp";i:' + was, 'scheduled_timestamp";i:' + now)
        moved = moved.replace('start_timestamp";i:' + was,
                              'start_timestamp";i:' + now)
        self.assertEqual(got["schedule"], moved)

    def test_next_times_follow_the_schedules(self):
        ended = {(r["hook"], r["args"]): unix(r["last_attempt_gmt"])
                 for i, r in self.got.items() if 8 <= i <= 13}
        expect = {
            ("g_ok", '["interval"]'): lambda t: t + 3600,
            ("g_ok", '["daily, late"]'): lambda t: t + 86400,
            ("g_fail", '["interval that fails"]'): lambda t: t + 60,
        }
        crons = {11: lambda t: next_match(t, {19}, {16}),
                 12: lambda t: next_match(t, set(range(0, 60, 5))),
                 13: lambda t: next_match(t, {0}, {0}, 1)}
        for i, rule in crons.items():
            row = self.before[i]
            expect[(row["hook"], row["args"])] = rule
        got = self.successors(self.got, self.got_logs)
        for key, rule in expect.items():
            when = unix(got[key][0]["scheduled_date_gmt"])
            # A start moves the last attempt on by a second at least; it ended
            # some time between that and our look.
            self.assertIn(when, [rule(t) for t in range(
                ended[key] - 1, max(ended[key] + 2, self.read_at) + 1)], key)


if __name__ == "__main__":
    unittest.main()
