"""The companion plugin: what several processes change in the option `cron` at
once is all kept, and a process that is alone sees no difference."""

import os
import subprocess
import time

import cronrow
from companion import T, CompanionTest
from cronrow import Event
from stack import tool


class LostUpdateTest(CompanionTest):
    """A runner of WordPress' own, and somebody else while a hook runs."""

    def run_cron(self, meanwhile):
        """wp-cron.php with two events due; `meanwhile` during the first."""
        go = self.s.path("go")
        begun = self.s.path("begun")
        for path in (go, begun):
            if os.path.exists(path):
                os.unlink(path)
        hold = os.path.join(self.mu, "hold.php")
        with open(hold, "w") as f:
            f.write("""<?php
            add_action( 'hold', function () {
                touch( %r );
                for ( $i = 0; $i < 2000 && ! file_exists( %r ); $i++ ) {
                    usleep( 10000 );
                    clearstatcache();
                }
            } );""" % (begun, go))
        os.chmod(self.s.dir, 0o777)
        self.s.ticks.clear()
        cronrow.drop_lock(self.s)
        self.put([Event(T - 1200000000, "hold"),
                  Event(T - 1199999999, "tick_a"),
                  Event(T - 1199999998, "tick_b")])
        log = self.s.path("runner.log")
        try:
            with open(log, "w") as f:
                runner = subprocess.Popen(
                    self.s.as_web_user([
                        tool("php"), "-d", "log_errors=1", "-d",
                        "error_log=", os.path.join(self.s.root,
                                                   "wp-cron.php")]),
                    stdin=subprocess.DEVNULL, stdout=f, stderr=f)
            self.s.wait_until(lambda: os.path.exists(begun))
            meanwhile()
            with open(go, "w"):
                pass
            self.assertEqual(runner.wait(30), 0)
        finally:
            if runner.poll() is None:
                runner.kill()
                runner.wait()
            os.unlink(hold)
        with open(log) as f:
            self.log = f.read()
        self.assertEqual(self.s.ticks.names(), ["tick_a", "tick_b"])

    def schedule(self):
        self.assertEqual(self.php("""
            out( wp_schedule_single_event( T, 'new', array( 1 ) ) );
            """), [True])

    def test_an_event_scheduled_during_a_hook_is_erased_without(self):
        self.remove()
        self.run_cron(self.schedule)
        self.assertEqual(self.events(), [])

    def test_an_event_scheduled_during_a_hook_is_kept(self):
        self.run_cron(self.schedule)
        self.assertEqual(self.events(), [(0, "new", 1)])
        self.assertEqual(self.log, "")

    def empty(self):
        self.s.mysql("UPDATE wp_options SET option_value = %s WHERE"
                     " option_name = 'cron'", (cronrow.EMPTY.decode(),))

    def test_events_removed_during_a_hook_come_back_without(self):
        self.remove()
        self.run_cron(self.empty)
        self.assertGreater(len(cronrow.parse(cronrow.value(self.s))), 1)

    def test_events_removed_during_a_hook_stay_away(self):
        self.run_cron(self.empty)
        self.assertEqual(cronrow.parse(cronrow.value(self.s)), [])
        # And WordPress has nothing to complain of.
        self.assertEqual(self.log, "")


class MergeTest(CompanionTest):
    def test_what_both_add_is_there(self):
        self.both("""
            other( "wp_schedule_single_event( T, 'theirs', array( 1 ) );" );
            out( wp_schedule_single_event( T + 5, 'ours', array( 2 ), true ) );
            """, [(5, "ours", 2)], [(0, "theirs", 1), (5, "ours", 2)],
            answers=[True])

    def test_what_both_add_to_one_second_and_one_hook_is_there(self):
        self.both("""
            other( "wp_schedule_single_event( T, 'h', array( 1 ) );" );
            out( wp_schedule_single_event( T, 'h', array( 2 ) ) );
            """, [(0, "h", 2)], [(0, "h", 1), (0, "h", 2)], answers=[True])

    def test_what_both_remove_is_gone(self):
        self.both("""
            other( "wp_unschedule_event( T, 'a' );" );
            out( wp_unschedule_event( T + 1, 'b', array(), true ) );
            """, [(0, "a"), (2, "c")], [(2, "c")], before=[
                Event(T, "a"), Event(T + 1, "b"), Event(T + 2, "c")],
            answers=[True])

    def test_one_removes_and_one_adds(self):
        self.both("""
            other( "wp_clear_scheduled_hook( 'a' );" );
            out( wp_schedule_event( T + 7, 'hourly', 'ours' ) );
            """, [(0, "a"), (7, "ours")], [(7, "ours")],
            before=[Event(T, "a")], answers=[True])

    def test_one_changes_what_is_in_a_slot(self):
        self.both("""
            other( "wp_schedule_single_event( T, 'theirs' );" );
            out( wp_schedule_event( T, 'daily', 'a' ) );
            out( wp_get_schedule( 'a' ) );
            """, [(0, "a")], [(0, "a"), (0, "theirs")],
            before=[Event(T, "a", [], 3600, "hourly")],
            answers=[True, "daily"])
        self.assertEqual([e.schedule for e in cronrow.events(self.s)
                          if e.hook == "a"], ["daily"])

    def test_hooks_are_unscheduled_as_a_whole(self):
        self.both("""
            other( "wp_schedule_single_event( T + 5000, 'a', array( 3 ) );" );
            out( wp_unschedule_hook( 'a' ) );
            """, [(9, "b")], [(9, "b"), (5000, "a", 3)],
            before=[Event(T, "a", [1]), Event(T, "a", [2]),
                    Event(T + 9, "b")], answers=[2])

    def test_several_changes_in_a_request(self):
        self.both("""
            out( wp_schedule_single_event( T, 'ours', array( 0 ) ) );
            other( "wp_schedule_single_event( T, 'theirs', array( 0 ) );" );
            out( wp_schedule_single_event( T, 'ours', array( 1 ) ) );
            other( "wp_unschedule_event( T, 'ours', array( 0 ) );
                wp_schedule_single_event( T, 'theirs', array( 1 ) );" );
            out( wp_schedule_single_event( T, 'ours', array( 2 ) ) );
            out( wp_unschedule_event( T, 'ours', array( 1 ) ) );
            other( "wp_schedule_single_event( T, 'theirs', array( 2 ) );" );
            out( wp_unschedule_event( T, 'a', array(), true ) );
            out( wp_next_scheduled( 'theirs', array( 0 ) ) );
            out( wp_next_scheduled( 'ours', array( 0 ) ) );
            """, [(0, "ours", 0), (0, "ours", 2)],
            [(0, "ours", 2), (0, "theirs", 0), (0, "theirs", 1),
             (0, "theirs", 2)], before=[Event(T, "a")],
            answers=[True, True, True, True, True, False, T])

    def test_the_list_is_in_order_and_the_version_is_last(self):
        self.php("""
            other( "wp_schedule_single_event( T + 3, 'x', array( 1 ) );
                wp_schedule_single_event( 999999999, 'x', array( 2 ) );" );
            wp_schedule_single_event( T + 1, 'y', array( 1 ) );
            wp_schedule_single_event( T + 5, 'y', array( 2 ) );
            """)
        value = cronrow.value(self.s)
        times = [e.ts for e in cronrow.parse(value)]
        self.assertEqual(times, sorted(times))
        self.assertIn(999999999, times)
        self.assertTrue(value.endswith(b's:7:"version";i:2;}'), value)

    def test_bytes_of_others_are_what_php_makes_of_them(self):
        self.php(r"""
            class Thing { private $x = "\0\xc3\xa9"; protected $y = 1.1; }
            $args = array( new Thing(), "\u{1F600}", -0.1, NAN, null,
                array( 'k' => array( true ) ) );
            // As seen by the code that made them.
            wp_schedule_single_event( T, 'object', $args );
            _get_cron_array();
            other( "wp_schedule_single_event( T + 1, 'theirs',
                array( 1 => new ArrayObject( array( 5 ) ) ) );" );
            wp_schedule_single_event( T + 2, 'ours' );
            out( (bool) wp_next_scheduled( 'object', $args ) );
            """)
        value = cronrow.value(self.s)
        self.assertIn(b'O:5:"Thing":2:{s:8:"\0Thing\0x";s:3:"\0\xc3\xa9";'
                      b's:4:"\0*\0y";d:1.1;}', value)
        self.assertIn("😀".encode(), value)
        self.assertIn(b'O:11:"ArrayObject"', value)
        self.assertIn(b'"ours"', value)

    def test_an_unchanged_event_with_an_object_does_not_come_back(self):
        """Objects are new ones at each reading, so === says they changed."""
        got = self.php("""
            wp_schedule_single_event( T, 'o', array( new ArrayObject() ) );
            other( "wp_unschedule_hook( 'o' );" );
            out( wp_schedule_single_event( T + 2, 'ours', array( 2 ) ) );
            """)
        self.assertEqual(got, [True])
        self.assertEqual(self.events(), [(2, "ours", 2)])


class SeriesTest(CompanionTest):
    """Events of one hook and the same arguments."""

    def test_two_that_find_no_series_make_one(self):
        self.both("""
            other( "wp_next_scheduled( 'a' )
                || wp_schedule_event( T, 'hourly', 'a' );" );
            out( wp_next_scheduled( 'a' )
                || wp_schedule_event( T + 1, 'hourly', 'a' ) );
            """, [(1, "a")], [(1, "a")], answers=[True])

    def test_series_with_other_arguments_are_others(self):
        self.both("""
            other( "wp_schedule_event( T, 'hourly', 'a', array( 1 ) );" );
            out( wp_schedule_event( T + 1, 'hourly', 'a', array( 2 ) ) );
            """, [(1, "a", 2)], [(0, "a", 1), (1, "a", 2)], answers=[True])

    def test_a_series_made_of_several_events_is_kept(self):
        """Twice a day: both processes find nothing and make both."""
        code = """
            other( "wp_schedule_event( T, 'daily', 'a' );
                wp_schedule_event( T + 40000, 'daily', 'a' );" );
            out( wp_schedule_event( T, 'daily', 'a' ) );
            out( wp_schedule_event( T + 40000, 'daily', 'a' ) );
            """
        self.put([])
        self.assertEqual(self.php(code), [True, True])
        self.assertEqual(self.events(), [(0, "a"), (40000, "a")])

    def test_clearing_a_series_takes_its_next_run_too(self):
        """It was rescheduled while this process ran."""
        self.both("""
            other( "wp_reschedule_event( T, 'hourly', 'a' );
                wp_unschedule_event( T, 'a' );" );
            out( wp_clear_scheduled_hook( 'a' ) );
            """, [], [], before=[Event(T, "a", [], 3600, "hourly")],
            answers=[1])

    def test_a_runner_reschedules_beside_others(self):
        ago = int(time.time()) - 5
        self.both("""
            $ts = %d;
            other( "wp_schedule_single_event( T, 'theirs' );" );
            out( wp_reschedule_event( $ts, 'hourly', 'a', array(), true ) );
            out( wp_unschedule_event( $ts, 'a', array(), true ) );
            """ % ago, [(ago + 3600 - T, "a")],
            [(ago + 3600 - T, "a"), (0, "theirs")],
            before=[Event(ago, "a", [], 3600, "hourly")],
            answers=[True, True])

    def test_a_runner_brings_no_series_back_that_was_cleared(self):
        """Its list is that of its beginning; the event runs once more."""
        ago = int(time.time()) - 5
        self.both("""
            $ts = %d;
            other( "wp_clear_scheduled_hook( 'a' );" );
            out( wp_reschedule_event( $ts, 'hourly', 'a', array(), true ) );
            out( wp_unschedule_event( $ts, 'a', array(), true ) );
            """ % ago, [(ago + 3600 - T, "a")], [],
            before=[Event(ago, "a", [], 3600, "hourly")],
            answers=[True, True])

    def test_a_runner_brings_no_series_back_to_its_old_time(self):
        ago = int(time.time()) - 5
        self.both("""
            $ts = %d;
            other( "wp_clear_scheduled_hook( 'a' );
                wp_schedule_event( T, 'hourly', 'a' );" );
            out( wp_reschedule_event( $ts, 'hourly', 'a', array(), true ) );
            out( wp_unschedule_event( $ts, 'a', array(), true ) );
            """ % ago, [(ago + 3600 - T, "a")], [(0, "a")],
            before=[Event(ago, "a", [], 3600, "hourly")],
            answers=[True, True])

    def test_a_series_moved_to_another_time_is_not_two(self):
        self.both("""
            other( "wp_schedule_event( T + 3600, 'hourly', 'a' );
                wp_unschedule_event( T, 'a' );" );
            out( wp_clear_scheduled_hook( 'a' ) );
            out( wp_schedule_event( T + 77, 'hourly', 'a' ) );
            """, [(77, "a")], [(77, "a")],
            before=[Event(T, "a", [], 3600, "hourly")], answers=[1, True])

    def test_an_event_that_is_there_already_ends_no_other(self):
        self.both("""
            other( "wp_schedule_event( T, 'daily', 'a' );
                wp_schedule_event( T + 40000, 'daily', 'a' );" );
            out( wp_schedule_event( T, 'daily', 'a' ) );
            """, [(0, "a")], [(0, "a"), (40000, "a")], answers=[True])

    def test_one_shots_that_were_known_stay(self):
        self.both("""
            other( "wp_schedule_single_event( T, 'theirs' );" );
            $list = _get_cron_array();
            $list[ T + 60 ]['a'] = $list[ T ]['a'];
            uksort( $list, 'strnatcasecmp' );
            out( _set_cron_array( $list ) );
            """, [(0, "a"), (60, "a")], [(0, "a"), (0, "theirs"), (60, "a")],
            before=[Event(T, "a")], answers=[True])

    def test_another_event_of_a_series_does_not_end_the_first(self):
        self.both("""
            other( "wp_schedule_event( T + 3600, 'hourly', 'a' );
                wp_unschedule_event( T, 'a' );" );
            out( wp_schedule_event( T + 77, 'hourly', 'a' ) );
            """, [(0, "a"), (77, "a")], [(77, "a"), (3600, "a")],
            before=[Event(T, "a", [], 3600, "hourly")], answers=[True])

    def test_one_shots_near_each_other_are_one(self):
        """wp_schedule_single_event() had refused the second."""
        self.both("""
            other( "wp_schedule_single_event( T, 'a' );" );
            out( wp_schedule_single_event( T + 600, 'a' ) );
            """, [(600, "a")], [(600, "a")], answers=[True])

    def test_one_shots_far_from_each_other_are_two(self):
        self.both("""
            other( "wp_schedule_single_event( T, 'a' );" );
            out( wp_schedule_single_event( T + 601, 'a' ) );
            """, [(601, "a")], [(0, "a"), (601, "a")], answers=[True])

    def test_clearing_leaves_one_shots_it_did_not_know(self):
        self.both("""
            other( "wp_schedule_single_event( T + 5000, 'a' );" );
            out( wp_clear_scheduled_hook( 'a' ) );
            """, [], [(5000, "a")], before=[Event(T, "a")], answers=[1])


class AnswerTest(CompanionTest):
    """What WordPress' functions return is what they return without."""

    def test_removing_what_is_gone_already(self):
        self.both("""
            other( "wp_unschedule_event( T, 'a' );
                wp_schedule_single_event( T + 9, 'theirs' );" );
            out( wp_unschedule_event( T, 'a', array(), true ) );
            out( wp_next_scheduled( 'a' ) );
            """, [(1, "b")], [(1, "b"), (9, "theirs")],
            before=[Event(T, "a"), Event(T + 1, "b")], answers=[True, False])

    def test_the_next_write_ends_the_odd_version(self):
        self.put([Event(T, "a"), Event(T + 1, "b"), Event(T + 2, "c")])
        self.assertEqual(self.php("""
            other( "wp_unschedule_event( T, 'a' );
                wp_unschedule_event( T + 1, 'b' );" );
            out( wp_unschedule_event( T, 'a', array(), true ) );
            out( wp_unschedule_event( T + 1, 'b', array(), true ) );
            """), [True, True])
        value = cronrow.value(self.s)
        self.assertRegex(value, rb's:7:"version";(i:2|s:1:"2");}$')
        self.assertEqual(self.events(), [(2, "c")])
        self.assertEqual(self.php("""
            out( wp_next_scheduled( 'c' ) );
            out( wp_schedule_single_event( T + 3, 'd' ) );
            """), [T + 2, True])
        self.assertTrue(cronrow.value(self.s).endswith(
            b's:7:"version";i:2;}'))
        self.assertEqual(self.events(), [(2, "c"), (3, "d")])

    def test_adding_what_is_there_already(self):
        self.both("""
            other( "wp_schedule_single_event( T, 'a' );
                wp_schedule_single_event( T + 9, 'theirs' );" );
            out( wp_schedule_single_event( T, 'a', array(), true ) );
            """, [(0, "a")], [(0, "a"), (9, "theirs")], answers=[True])

    def test_a_cleared_hook_counts_what_the_process_knew(self):
        self.both("""
            other( "wp_unschedule_event( T + 5000, 'a' );
                wp_schedule_single_event( T, 'theirs' );" );
            out( wp_clear_scheduled_hook( 'a', array(), true ) );
            """, [], [(0, "theirs")],
            before=[Event(T, "a"), Event(T + 5000, "a"),
                    Event(T + 9000, "a")], answers=[3])

    def test_refusals_stay_refusals(self):
        self.both("""
            out( wp_unschedule_event( T, 'none', array(), true ) );
            out( wp_schedule_single_event( T + 5, 'a', array(), true ) );
            out( wp_schedule_event( T, 'never', 'a', array(), true ) );
            out( _set_cron_array( _get_cron_array(), true ) );
            out( wp_clear_scheduled_hook( 'none' ) );
            """, [(0, "a")], [(0, "a")], before=[Event(T, "a")],
            answers=["could_not_set", "duplicate_event", "invalid_schedule",
                     "could_not_set", 0])

    def test_actions_come_with_the_value_that_was_written(self):
        self.assertEqual(self.php("""
            other( "wp_schedule_single_event( T, 'theirs' );" );
            $seen = array();
            add_action( 'update_option_cron', function ( $old, $new ) {
                out( array( isset( $old[ T ] ), isset( $new[ T ]['theirs'] ),
                    isset( $new[ T ]['ours'] ), end( $new ) ) );
                out( lock_is_free() );
            }, 10, 2 );
            wp_schedule_single_event( T, 'ours' );
            """), [[False, True, True, 2], True])

    def test_wpdb_looks_as_after_its_own_update(self):
        code = """
            global $wpdb;
            other( "wp_schedule_single_event( T, 'theirs' );" );
            $n = $wpdb->num_queries;
            wp_schedule_single_event( T, 'ours' );
            out( array( $wpdb->num_queries - $n, $wpdb->rows_affected,
                $wpdb->last_error, $wpdb->num_rows, $wpdb->last_result,
                substr( $wpdb->last_query, 0, 30 ) ) );
            """
        self.both(code, [(0, "ours")], [(0, "ours"), (0, "theirs")])

    def test_two_hundred_random_operations_write_the_same_bytes(self):
        code = r"""
            mt_srand( 42 );
            $pick = function ( array $from ) {
                return $from[ mt_rand( 0, count( $from ) - 1 ) ];
            };
            $args = array( array(), array( 1 ), array( 'a' => null ),
                array( "\u{e9}", 1.5, new ArrayObject( array( 1 ) ) ) );
            $sum = '';
            for ( $i = 0; $i < 200; $i++ ) {
                $hook = $pick( array( 'a', 'b', 'B', '7' ) );
                $when = T + 400 * mt_rand( 0, 9 );
                $with = $pick( $args );
                switch ( mt_rand( 0, 6 ) ) {
                    case 0:
                    case 1:
                        $r = wp_schedule_single_event( $when, $hook, $with,
                            true );
                        break;
                    case 2:
                        $r = wp_schedule_event( $when, $pick( array( 'hourly',
                            'daily', 'never' ) ), $hook, $with, true );
                        break;
                    case 3:
                        $r = wp_unschedule_event( $when, $hook, $with, true );
                        break;
                    case 4:
                        $r = wp_clear_scheduled_hook( $hook, $with, true );
                        break;
                    case 5:
                        // Overdue by days, so that seconds do not matter.
                        $r = wp_reschedule_event( 1600000000, 'weekly',
                            $hook, $with, true );
                        break;
                    default:
                        $r = mt_rand( 0, 4 ) ? _get_cron_array()
                            : wp_unschedule_hook( $hook, true );
                }
                if ( 0 === $i % 20 ) {
                    wp_cache_flush();
                }
                $r    = is_wp_error( $r ) ? $r->get_error_code() : $r;
                $sum .= serialize( $r ) . $GLOBALS['wpdb']->get_var( 'SELECT
                    option_value FROM ' . $GLOBALS['wpdb']->options . "
                    WHERE option_name = 'cron'" );
            }
            out( array( md5( $sum ), strlen( $sum ) ) );
            """
        values = []
        for install in (self.remove, self.install):
            install()
            self.put([])
            values.append((self.php(code), cronrow.value(self.s)))
        self.assertEqual(values[0], values[1])
        self.assertGreater(values[0][0][0][1], 100000)
