"""The same random schedules through WordPress' own wp-cron.php and through the
daemon: the same hooks with the same bytes of arguments, in the same order
within a timestamp, and the same bytes left in the option.

DIFFERENTIAL_SCHEDULES (2000), DIFFERENTIAL_SEED choose them. They come in
groups, each one value of the option. Every phase is far enough from a boundary
that it does not matter when within ten minutes either runner comes to it.
"""

import base64
import json
import os
import random
import shutil
import time
import unittest

import cronrow
from stack import FIXTURES, Stack

SCHEDULES = int(os.environ.get("DIFFERENTIAL_SCHEDULES", "2000"))
SEED = int(os.environ.get("DIFFERENTIAL_SEED") or random.randrange(1 << 30))
PER_GROUP = 50
HOOKS = 10
# What the phases allow (wpcron_record_event()).
GOOD_FOR_S = 600


class Record:
    """What one runner fired: [(hook, serialized arguments)]."""

    def __init__(self, path):
        self.path = path
        self.clear()

    def clear(self):
        with open(self.path, "w"):
            os.chmod(self.path, 0o666)

    def fired(self):
        with open(self.path) as f:
            return [tuple(map(base64.b64decode, line.split()))
                    for line in f if line.endswith("\n")]


def by_timestamp(due, fired):
    """{timestamp: [what was fired, in order]}: each firing is that of the
    earliest due event that it can be."""
    times = {}
    for when, what in due:
        times.setdefault(what, []).append(when)
    out = {}
    for what in fired:
        left = times.get(what)
        out.setdefault(left.pop(0) if left else None, []).append(what)
    return out


class DifferentialTest(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.s = s = Stack()
        cls.addClassCleanup(s.close)
        s.start_mariadb(innodb_flush_log_at_trx_commit=0)
        s.record = Record(s.path("record.txt"))
        s.install_wordpress(config_extra="define( 'WPCRON_RECORD_LOG', '%s' );"
                            % s.record.path, plugins=())
        to = os.path.join(s.root, "wp-content", "mu-plugins")
        os.makedirs(to, exist_ok=True)
        shutil.copy(os.path.join(FIXTURES, "plugins", "wpcron-record",
                                 "wpcron-record.php"), to)
        s.give_to_web_user(to)
        s.start_php_fpm(children=2)
        # Core's own events, far away: where they miss, a boot adds them.
        cls.idle = cronrow.value(s)

    def setUp(self):
        self.put(self.idle)

    def make_groups(self):
        """[(option, [(timestamp, (hook, args)) of each due event])]"""
        out = self.s.wp_eval("""
            mt_srand( %d );
            $now = time();
            $groups = array();
            for ( $first = 1; $first <= %d; $first += %d ) {
                $option = wpcron_record_option( $first, %d, $now,
                    get_option( 'cron' ) );
                $due = array();
                foreach ( unserialize( $option ) as $when => $hooks ) {
                    if ( ! is_numeric( $when ) || $when > $now ) {
                        continue;
                    }
                    foreach ( $hooks as $hook => $events ) {
                        foreach ( $events as $event ) {
                            $due[] = array( (string) $when,
                                base64_encode( $hook ),
                                base64_encode( serialize( $event['args'] ) ),
                                ! empty( $event['schedule'] ) );
                        }
                    }
                }
                $groups[] = array( base64_encode( $option ), $due );
            }
            echo json_encode( $groups );
            """ % (SEED, SCHEDULES, PER_GROUP, PER_GROUP))
        return [(base64.b64decode(option),
                 [(when, (base64.b64decode(hook), base64.b64decode(args)))
                  for when, hook, args, _ in due],
                 sum(recurring for *_, recurring in due))
                for option, due in json.loads(out)]

    def put(self, option):
        table = self.s.table("options")
        self.s.record.clear()
        with self.s.connect(autocommit=False) as db, db.cursor() as c:
            # Of no character set: texts of it hold NUL and four-byte letters.
            c.execute("UPDATE %s SET option_value = CONVERT(%%s USING"
                      " utf8mb4) WHERE option_name = 'cron'" % table,
                      (option,))
            c.execute("SELECT CAST(option_value AS BINARY) FROM %s"
                      " WHERE option_name = 'cron'" % table)
            stored, = c.fetchone()
            # From here on a daemon may change it.
            db.commit()
        self.assertEqual(stored, option)

    def by_wordpress(self, groups):
        """[(fired, option)] of wp-cron.php, a process a group."""
        out = []
        for option, *_ in groups:
            cronrow.drop_lock(self.s)
            self.put(option)
            self.s.php("require %r;" % os.path.join(
                self.s.root, "wp-cron.php"))
            out.append((self.s.record.fired(), cronrow.value(self.s)))
        return out

    def make_known(self):
        """An option with each hook once, one of them recurring. A hook whose
        duration the daemon does not know yet runs alone, out of its turn."""
        return base64.b64decode(self.s.wp_eval("""
            $crons = get_option( 'cron' );
            foreach ( wpcron_record_hooks() as $i => $hook ) {
                $crons[ time() - 100 ][ $hook ][ md5( 'a:0:{}' ) ] = $i
                    ? array( 'schedule' => false, 'args' => array() )
                    : array( 'schedule' => 'hourly', 'args' => array(),
                        'interval' => 3600 );
            }
            uksort( $crons, 'strnatcasecmp' );
            echo base64_encode( serialize( $crons ) );
            """))

    def run_group(self, option, events=None):
        """Let the daemon run what is due in it, and nothing else."""
        # One group's event may be another's: it is no resurrection.
        cronrow.forget(self.s)
        self.put(option)
        self.s.get("/wp-cron.php?doing_wp_cron")
        events = events or HOOKS
        self.s.wait_until(
            lambda: sum(cronrow.states(
                self.s, "ended_at IS NOT NULL").values()) >= events, 30,
            what="%d events end" % events)
        self.assertEqual(cronrow.states(self.s), {"done": events})

    def by_daemon(self, groups):
        """The same of the daemon, which goes on from group to group."""
        out = []
        cronrow.drop_lock(self.s)
        self.put(self.idle)
        daemon = self.s.start_daemon(
            name="d", daemon="workers = 2\nphp_children = 1")
        self.s.wait_until(lambda: "site.ready" in daemon.log_text(), 30)
        if not self.s.nginx:
            self.s.start_nginx(daemon=daemon)
        self.run_group(self.make_known())
        for option, due, _ in groups:
            self.run_group(option, len(due))
            out.append((self.s.record.fired(), cronrow.value(self.s)))
        daemon.stop()
        return out

    def test_both_leave_and_fire_the_same(self):
        begun = time.monotonic()
        groups = self.make_groups()
        stock = self.by_wordpress(groups)
        between = time.monotonic()
        ours = self.by_daemon(groups)
        end = time.monotonic()
        self.assertLess(end - begun, GOOD_FOR_S, "the phases are over")
        total = 0
        for i, (option, due, _) in enumerate(groups):
            what = "group %d of seed %d" % (i, SEED)
            self.assertEqual(len(stock[i][0]), len(due), what)
            self.assertEqual(sorted(ours[i][0]), sorted(stock[i][0]), what)
            mine, theirs = (by_timestamp(due, x[i][0])
                            for x in (ours, stock))
            for when in theirs:
                self.assertEqual(mine.get(when), theirs[when],
                                 "%s, timestamp %s" % (what, when))
            self.assertEqual(ours[i][1], stock[i][1], what)
            self.assertNotEqual(ours[i][1], option, what)
            total += len(due)
        in_order = sum(a[0] == b[0] for a, b in zip(ours, stock))
        print("       %d schedules in %d groups (seed %d): %d events fired by"
              " each, %d of them recurring, %d groups in the same order"
              " throughout; %.0f s by wp-cron.php, %.0f s by the daemon" % (
                  SCHEDULES, len(groups), SEED, total,
                  sum(n for *_, n in groups), in_order, between - begun,
                  end - between), flush=True)

    def test_slot_under_another_key_than_its_arguments_have_is_not_stuck(self):
        option = base64.b64decode(self.s.wp_eval("""
            $crons = get_option( 'cron' );
            $one = array( 'schedule' => false, 'args' => array( 1 ) );
            $two = array( 'schedule' => 'hourly', 'args' => array( 2 ),
                'interval' => 3600 );
            $right = md5( serialize( array( 1 ) ) );
            $crons[ time() - 1000 ] = array(
                'rec_plain' => array( 'stale' => $one, 5 => $one ),
                'rec_two' => array( md5( 'stale' ) => $two, $right => $one ),
            );
            uksort( $crons, 'strnatcasecmp' );
            echo base64_encode( serialize( $crons ) );
            """))
        group = (option, [None] * 4, None)
        (fired, left), = self.by_wordpress([group])
        (our_fired, our_left), = self.by_daemon([group])
        self.assertEqual(our_fired, fired)
        self.assertEqual(len(fired), 4)
        # Core leaves the three where they are, and runs them again and again.
        self.assertIn(b"stale", left)
        self.assertNotIn(b"stale", our_left)
        stuck = cronrow.unserialize(left)
        gone = [when for when, hooks in stuck.items()
                if isinstance(when, int) and when < time.time()]
        self.assertEqual([list(stuck[x]) for x in gone],
                         [[b"rec_plain", b"rec_two"]])
        for when in gone:
            del stuck[when]
        self.assertEqual(our_left, cronrow.serialize(stuck))


if __name__ == "__main__":
    unittest.main()
