"""What Action Scheduler's own runner leaves in the tables and what the
program leaves, compared column by column."""

import datetime
import re
import unittest

import beside
from beside import NEVER, OURS, BesideCase, moved, neutral, now, time_in

load_tests = beside.load_tests
tearDownModule = beside.close_site
UTC = datetime.timezone.utc

# Every kind of action, made by the plugin's own functions; $t is past.
KINDS = """
$long = array( str_repeat( 'é', 60 ), array( 'k' => 'a/b', 'f' => 1.5 ) );
as_schedule_single_action( $t, 'beside_ok', array( 'single' ) );
as_schedule_single_action( $t, 'beside_ok', array( 'grouped' ), 'beside' );
as_schedule_single_action( $t, 'beside_ok', array( 'urgent' ), '', false, 3 );
as_schedule_single_action( $t, 'beside_ok', array( 'unique' ), 'u', true );
as_schedule_single_action( $t, 'beside_ok', array( 'a' => 1, 'b' => null ) );
as_schedule_single_action( $t, 'beside_ok', $long );
as_schedule_single_action( $t + 86400, 'beside_ok', array( 'tomorrow' ) );
as_enqueue_async_action( 'beside_ok', array( 'async' ) );
as_schedule_recurring_action( $t, 3600, 'beside_ok', array( 'hourly' ) );
as_schedule_recurring_action( $t - 300000, 900, 'beside_ok',
    array( 'late' ), 'beside', false, 0 );
as_schedule_recurring_action( $t, 86400, 'beside_ok',
    array_merge( $long, array( 'daily' ) ) );
as_schedule_cron_action( $t - 200000, $twenty, 'beside_ok',
    array( 'cron' ), 'beside' );
as_schedule_cron_action( $t - 700000, $weekdays, 'beside_ok',
    array( 'weekdays' ) );
as_schedule_cron_action( $t - 40000000, '@yearly', 'beside_ok',
    array( 'yearly' ) );
as_schedule_single_action( $t, 'beside_fail', array( 'single' ) );
as_schedule_recurring_action( $t, 3600, 'beside_fail', array( 'hourly' ) );
as_schedule_single_action( $t, 'beside_nobody', array( 'single' ) );
as_schedule_recurring_action( $t, 3600, 'beside_nobody', array( 'hourly' ) );
"""
EVERY = {"hourly": 3600, "late": 900, "daily": 86400}
# What $twenty and $weekdays may be: of each, one is ten minutes away.
TWENTY = (("*/20 * * * *", (set(range(0, 60, 20)), None, None, None)),
          ("10-59/20 * * * *", (set(range(10, 60, 20)), None, None, None)))
WEEKDAYS = (("30 2 * * 1-5", ({30}, {2}, None, {1, 2, 3, 4, 5})),
            ("30 14 * * 1-5", ({30}, {14}, None, {1, 2, 3, 4, 5})))
YEARLY = ({0}, {0}, (1, 1), None)
SLOW_S = 20  # of a busy machine, from one statement to the next
COLUMNS = ("hook", "status", "priority", "args", "extended_args", "group_id",
           "attempts")


def unix(when):
    return None if when == NEVER else int(
        when.replace(tzinfo=UTC).timestamp())


def shift(row, column):
    """How far the local time of a column is from UTC, in seconds."""
    gmt, local = unix(row[column + "_gmt"]), unix(row[column + "_local"])
    return None if gmt is None or local is None else local - gmt


def next_match(after, minutes, hours, date, weekdays):
    """The first fitting minute after `after`, by trying each."""
    t = (after // 60 + 1) * 60
    while True:
        d = datetime.datetime.fromtimestamp(t, UTC)
        if date is not None and (d.month, d.day) != date:
            t = (t // 86400 + 1) * 86400
        elif d.minute in minutes and (hours is None or d.hour in hours) and (
                weekdays is None or d.isoweekday() % 7 in weekdays):
            return t
        else:
            t += 60


def not_soon(choices):
    """The expression that is due last: a row whose next time comes while a
    test still runs would run once more."""
    return max(choices, key=lambda choice: next_match(now(), *choice[1]))


class Times:
    """What the PHP code of a test is given."""

    def __init__(self):
        self.base = now() - 600
        twenty, weekdays = not_soon(TWENTY), not_soon(WEEKDAYS)
        self.php = "$t = %d; $twenty = '%s'; $weekdays = '%s';" % (
            self.base, twenty[0], weekdays[0])
        self.crons = {"cron": twenty[1], "weekdays": weekdays[1],
                      "yearly": YEARLY}


def kind_of(row):
    """The word in a row's arguments that names its kind."""
    words = re.findall(r'"([a-z]+)"', row["extended_args"] or row["args"])
    return words[-1] if words else ""


class Run:
    """The rows of one runner, before and after."""

    def __init__(self, site, begun, last):
        self.begun, self.ended = begun, now()
        self.last = last  # id of the last row that was there before
        self.rows = {r["action_id"]: r for r in site.rows()}
        self.logs = site.log_rows()

    def first_rows(self):
        return {(r["hook"], r["args"]): r for i, r in self.rows.items()
                if i <= self.last}

    def next_rows(self):
        rows = {}
        for i, r in self.rows.items():
            if i > self.last:
                key = (r["hook"], r["args"])
                assert key not in rows, key
                rows[key] = r
        return rows

    def messages(self, row):
        return [neutral(log["message"])
                for log in self.logs.get(row["action_id"], [])]


class CompareTest(BesideCase):
    """The same rows, run by PHP's runner, by the program natively, and by
    the program through PHP."""

    def record(self, run):
        """Rows of every kind, before and after run()."""
        self.site.empty()
        begun = now()
        self.s.wp_eval(self.times.php + KINDS)
        last = self.s.value("SELECT MAX(action_id) FROM"
                            " wp_actionscheduler_actions")
        run()
        self.site.stop_daemons()
        result = Run(self.site, begun, last)
        self.assertEqual(self.site.unfetchable(), [])
        return result

    def by_program(self, rest):
        self.site.start(rest=rest)
        self.site.drain()

    def in_zone(self, zone, offset):
        self.site.set_option("timezone_string", zone)
        self.site.set_option("gmt_offset", offset)
        self.times = Times()
        routes = self.site.routes(beside_ok="/ok", beside_fail="/status/400",
                                  beside_nobody="/status/410")
        php = self.record(self.site.run_php)
        plugin = self.record(lambda: self.by_program(""))
        native = self.record(lambda: self.by_program(routes))
        self.same(php, plugin, "plugin")
        self.same(php, native, "native")

    def same(self, want, got, how):
        self.assertEqual(sorted(want.first_rows()), sorted(got.first_rows()))
        for key, row in want.first_rows().items():
            with self.subTest(how=how, key=key):
                self.same_first(want, row, got, got.first_rows()[key], how)
        self.assertEqual(sorted(want.next_rows()), sorted(got.next_rows()))
        for key, row in want.next_rows().items():
            with self.subTest(how=how, next=key):
                self.same_next(want, row, got, got.next_rows()[key])

    def same_first(self, want, w, got, g, how):
        for column in COLUMNS + ("schedule",):
            self.assertEqual(g[column], w[column], column)
        if kind_of(w) != "async":
            self.assertEqual(g["scheduled_date_gmt"], w["scheduled_date_gmt"])
        for column in ("scheduled_date", "last_attempt"):
            self.assertEqual(shift(g, column), shift(w, column), column)
        self.assertEqual(g["last_attempt_gmt"] == NEVER,
                         w["last_attempt_gmt"] == NEVER)
        if g["last_attempt_gmt"] != NEVER:
            # A worker's taking a row moves the date on by a second at least.
            self.assertLessEqual(got.begun, unix(g["last_attempt_gmt"]))
            self.assertLessEqual(unix(g["last_attempt_gmt"]), got.ended + 2)
        self.same_logs(want, w, got, g, native_failure=(
            how == "native" and w["status"] == "failed"))

    def same_logs(self, want, w, got, g, native_failure=False):
        messages, wanted = got.messages(g), want.messages(w)
        if native_failure:
            self.assertEqual(messages[:-1], wanted[:-1])
            self.assertTrue(messages[-1].startswith("action failed via C: "))
        else:
            self.assertEqual(messages, wanted)
        for ours, theirs in zip(got.logs[g["action_id"]],
                                want.logs[w["action_id"]]):
            self.assertEqual(shift(ours, "log_date"),
                             shift(theirs, "log_date"))
            self.assertLessEqual(got.begun, unix(ours["log_date_gmt"]))
            self.assertLessEqual(unix(ours["log_date_gmt"]), got.ended)

    def same_next(self, want, w, got, g):
        for column in COLUMNS:
            self.assertEqual(g[column], w[column], column)
        self.assertEqual(g["last_attempt_gmt"], NEVER)
        self.assertEqual(g["last_attempt_local"], NEVER)
        self.assertEqual(g["claim_id"], 0)
        when = unix(g["scheduled_date_gmt"])
        self.assertEqual(g["schedule"], moved(w["schedule"], when))
        kind = kind_of(g)
        if kind in EVERY:
            ran = got.first_rows()[(g["hook"], g["args"])]
            ended = unix(ran["last_attempt_gmt"])
            # From then on, not from its time, which was minutes earlier.
            self.assertIn(when - ended - EVERY[kind], range(-1, SLOW_S))
        else:
            self.assertIn(when, {next_match(t, *self.times.crons[kind])
                                 for t in (got.begun, got.ended)})
        self.assertEqual(shift(g, "scheduled_date"),
                         shift(w, "scheduled_date"))
        self.same_logs(want, w, got, g)

    def test_rows_equal_phps_in_a_zone_with_a_name(self):
        self.in_zone("America/St_Johns", "")

    def test_rows_equal_phps_in_a_zone_with_an_offset(self):
        self.in_zone("", -9.5)

    def test_rows_equal_phps_in_utc(self):
        self.in_zone("", 0)


class ChainTest(BesideCase):
    """Ten generations of recurring rows. Every other one is run before its
    time, so that its successor has the same time again."""

    GENERATIONS = 10
    MAKE = """
as_schedule_recurring_action( $t, 900, 'beside_ok', array( 'late' ), 'g' );
as_schedule_recurring_action( $t, 3600, 'beside_ok', array( 'hourly' ), '',
    false, 7 );
as_schedule_cron_action( $t - 100000, $twenty, 'beside_ok',
    array( 'cron' ) );
as_schedule_cron_action( $t - 700000, $weekdays, 'beside_ok',
    array( 'weekdays' ) );
as_schedule_recurring_action( $t, 3600, 'beside_fail', array( 'hourly' ) );
"""

    def bring_forward(self, generation):
        """Make what waits due: its time too, or only its column."""
        past = now() - 30
        for row in self.s.actions(OURS + " AND status = 'pending'"):
            schedule = row["schedule"]
            if row["action_id"] not in self.made:
                self.made[row["action_id"]] = schedule
            if generation % 2:
                schedule = moved(schedule, past)
            self.ran[row["action_id"]] = schedule
            self.s.mysql(
                "UPDATE wp_actionscheduler_actions SET schedule = %s,"
                " scheduled_date_gmt = FROM_UNIXTIME(%s)"
                " WHERE action_id = %s",
                (schedule, past, row["action_id"]))

    def chains(self, run):
        """{(hook, args): its rows} after all generations."""
        self.site.empty()
        self.made, self.ran = {}, {}  # schedules as stored, and as run
        self.s.wp_eval(self.times.php + self.MAKE)
        for generation in range(self.GENERATIONS):
            self.bring_forward(generation)
            run()
        chains = {}
        logs = self.site.log_rows()
        for row in self.site.rows():
            row["made"] = self.made.get(row["action_id"], row["schedule"])
            row["ran"] = self.ran.get(row["action_id"])
            row["created"] = logs[row["action_id"]][0]["log_date_gmt"]
            row["messages"] = [
                neutral(log["message"]).partition(":")[0]
                for log in logs[row["action_id"]]]
            chains.setdefault((row["hook"], row["args"]), []).append(row)
        self.assertEqual(self.site.unfetchable(), [])
        self.site.stop_daemons()
        return chains

    def by_program(self, rest):
        started = []

        def run():
            if not started:
                started.append(self.site.start(rest=rest))
            self.site.drain()
        return self.chains(run)

    def test_chains_equal_phps(self):
        self.times = Times()
        php = self.chains(self.site.run_php)
        routes = self.site.routes(beside_ok="/ok", beside_fail="/status/400")
        for how, rest in (("plugin", ""), ("native", routes)):
            got = self.by_program(rest)
            self.assertEqual(sorted(got), sorted(php))
            for key, want in php.items():
                with self.subTest(how=how, key=key):
                    self.same_chain(want, got[key])
        for key, chain in php.items():
            self.assertEqual(len(chain), 5 if key[0] == "beside_fail"
                             else self.GENERATIONS + 1)

    def same_chain(self, want, got):
        self.assertEqual(len(got), len(want))
        for w, g in zip(want, got):
            for column in COLUMNS + ("messages",):
                self.assertEqual(g[column], w[column], column)
            self.assertEqual(g["schedule"], moved(
                w["schedule"], time_in(g["schedule"])))
            self.assertEqual(time_in(g["schedule"], "first_timestamp"),
                             time_in(w["schedule"], "first_timestamp"))
        for old, new in zip(got, got[1:]):
            self.follows(old, new)

    def follows(self, old, new):
        """The new row's time as stored, from the one the old ran with."""
        made, kind = unix(new["created"]), kind_of(new)
        was, when = time_in(old["ran"]), time_in(new["made"])
        if was > made:
            self.assertEqual(when, was)
        elif kind in EVERY:
            self.assertIn(when - made - EVERY[kind], range(-SLOW_S, 2))
        else:
            self.assertIn(when, {next_match(made + d, *self.times.crons[kind])
                                 for d in (-SLOW_S, 0)})


if __name__ == "__main__":
    unittest.main()
