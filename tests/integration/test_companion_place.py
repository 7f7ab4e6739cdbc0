"""The companion plugin in its surroundings: rows, caches, locks, networks."""

import os
import re
import shutil
import subprocess

import cronrow
from companion import SOURCE, T, CompanionTest
from cronrow import Event
from stack import REPO, tool


class RowTest(CompanionTest):
    """Rows, caches and blogs."""

    def test_autoload_stays_as_it_is(self):
        for autoload in ("yes", "no", "on", "auto"):
            self.put([])
            self.s.mysql("UPDATE wp_options SET autoload = %s WHERE"
                         " option_name = 'cron'", (autoload,))
            self.addCleanup(
                self.s.mysql, "UPDATE wp_options SET autoload = 'yes' WHERE"
                " option_name = 'cron'")
            self.assertEqual(self.php("""
                out( wp_next_scheduled( 'theirs' ) );
                other( "wp_schedule_single_event( T, 'theirs' );" );
                out( wp_schedule_single_event( T + 1, 'ours' ) );
                out( wp_schedule_single_event( T + 2, 'more' ) );
                out( wp_next_scheduled( 'theirs' ) );
                """), [False, True, True, False], autoload)
            self.assertEqual(self.events(), [
                (0, "theirs"), (1, "ours"), (2, "more")])
            self.assertEqual(self.s.value(
                "SELECT autoload FROM wp_options WHERE option_name = 'cron'"),
                autoload)

    def test_the_first_event_of_all(self):
        """add_option(); nothing else is in the row's place."""
        self.both("""
            $GLOBALS['wpdb']->delete( $GLOBALS['wpdb']->options,
                array( 'option_name' => 'cron' ) );
            wp_cache_flush();
            out( _get_cron_array() );
            other( "_set_cron_array( array() );
                wp_schedule_single_event( T, 'theirs' );" );
            out( wp_schedule_single_event( T + 1, 'ours' ) );
            out( lock_is_free() );
            """, [(1, "ours")], [(0, "theirs"), (1, "ours")],
            answers=[[], True, True])

    def test_the_first_event_without_company(self):
        self.both("""
            $GLOBALS['wpdb']->delete( $GLOBALS['wpdb']->options,
                array( 'option_name' => 'cron' ) );
            wp_cache_flush();
            out( wp_schedule_single_event( T + 1, 'ours' ) );
            out( wp_schedule_single_event( T + 2, 'ours', array( 1 ) ) );
            out( lock_is_free() );
            """, [(1, "ours"), (2, "ours", 1)],
            [(1, "ours"), (2, "ours", 1)], answers=[True, True, True])

    def test_a_row_that_was_deleted_meanwhile_is_wordpress_matter(self):
        self.both("""
            aside( "DELETE FROM wp_options WHERE option_name = 'cron'" );
            out( wp_schedule_single_event( T + 1, 'ours' ) );
            aside( "INSERT INTO wp_options (option_name, option_value)
                VALUES ('cron', '" . serialize( array( 'version' => 2 ) )
                . "')" );
            """, [], [], answers=[False])

    def test_values_that_are_no_list_pass(self):
        for value in ("''", "'text'", "array()", "array( 1, 2 )", "0",
                      "false", "new ArrayObject()",
                      "array( 5 => 6, 'version' => 2 )",
                      "array( 5 => array( 'h' => 1 ), 'version' => 2 )"):
            code = """
                out( update_option( 'cron', %s ) );
                out( lock_is_free() );
                """ % value
            after = []
            for install in (self.remove, self.install):
                install()
                self.put([Event(T, "a")])
                after.append((self.php(code), cronrow.value(self.s)))
            self.assertEqual(after[0], after[1], value)
        self.put([])

    def test_what_is_malformed_stays(self):
        """In the list that another process made of it."""
        self.php("""
            $list = get_option( 'cron' );
            aside( "UPDATE wp_options SET option_value = '" . serialize(
                array( 'junk' => 'x', 5 => 6, 7 => array( 'h' => 'i' ),
                    9 => array(), T => array( 'a' => array( 'k' => 'v' ) ) )
                + $list ) . "' WHERE option_name = 'cron'" );
            out( wp_schedule_single_event( T, 'ours' ) );
            """)
        value = cronrow.value(self.s)
        for part in (b's:4:"junk";s:1:"x";', b"i:5;i:6;", b"i:9;a:0:{}",
                     b'i:7;a:1:{s:1:"h";s:1:"i";}',
                     b's:1:"a";a:1:{s:1:"k";s:1:"v";}', b's:4:"ours"'):
            self.assertIn(part, value)

    def test_a_list_of_before_version_2_is_wordpress_matter(self):
        code = """
            aside( "UPDATE wp_options SET option_value = '" . serialize(
                array( T => array( 'old' => array( 'schedule' => false,
                'args' => array() ) ) ) ) . "' WHERE option_name = 'cron'" );
            %s
            out( wp_schedule_single_event( T + 1, 'ours' ) );
            """
        self.both(code % "wp_cache_flush();", [(0, "old"), (1, "ours")],
                  [(0, "old"), (1, "ours")], answers=[True])
        self.both(code % "", [(1, "ours")], [(1, "ours")], answers=[True])

    def test_only_the_option_cron_is_looked_at(self):
        """Anything else of it would wait for the lock."""
        self.assertEqual(self.php("""
            aside( 'SELECT GET_LOCK(' . lock_name() . ', 0)' );
            $t = microtime( true );
            update_option( 'other', 1 );
            update_option( 'crons', array( 1 ) );
            set_transient( 'doing_cron', 5 );
            delete_transient( 'doing_cron' );
            out( microtime( true ) - $t < 10 );
            // Who had waited in vain would not do so again.
            $t = microtime( true );
            wp_schedule_single_event( T, 'a' );
            out( microtime( true ) - $t > 1.5 );
            """), [True, True])


class LockTest(CompanionTest):
    def test_the_program_computes_the_same_name(self):
        with open(os.path.join(REPO, "sql", "companion.sql")) as f:
            text = f.read()
        names = set(re.findall(r"_LOCK\((CONCAT\(.*?40\)\))", text, re.S))
        names = {re.sub(r"\s+", " ", n).replace("{p}", "wp_") for n in names}
        got = self.php("""
            $name = new ReflectionMethod( 'WPCron_FCGI_Companion', 'name' );
            $name->setAccessible( true );
            $sql = $name->invoke( null );
            out( $sql );
            out( $GLOBALS['wpdb']->get_var( "SELECT $sql" ) );
            """)
        self.assertEqual(names, {got[0]})
        self.assertLessEqual(len(got[1]), 64)

    def test_it_is_held_while_wordpress_writes_and_not_after(self):
        self.assertEqual(self.php("""
            add_action( 'update_option', function ( $name ) {
                'cron' === $name && out( lock_is_free() );
            } );
            wp_schedule_single_event( T, 'a' );
            out( lock_is_free() );
            out( _set_cron_array( _get_cron_array() ) );
            out( lock_is_free() );
            """), [False, True, False, True])

    def test_without_it_the_change_is_merged_and_waited_for_once(self):
        got = self.php("""
            out( aside( 'SELECT GET_LOCK(' . lock_name() . ', 0)' ) );
            other( "out( wp_schedule_single_event( T, 'theirs' ) );" );
            $t = microtime( true );
            out( wp_schedule_single_event( T, 'a' ) );
            $waited = microtime( true ) - $t;
            out( 1.5 < $waited && $waited < 10 );
            $took = array();
            foreach ( array( 'b', 'c', 'd' ) as $hook ) {
                $t = microtime( true );
                out( wp_schedule_single_event( T, $hook ) );
                $took[] = microtime( true ) - $t;
            }
            sort( $took );
            out( $took[1] < 0.5 ); // The machine may make one wait.
            """)
        self.assertEqual(got, ["1", True, True, True, True, True, True])
        self.assertEqual(self.events(), [
            (0, hook) for hook in ("a", "b", "c", "d", "theirs")])

    def test_a_failed_update_does_not_keep_it(self):
        self.assertEqual(self.php("""
            global $wpdb;
            $wpdb->suppress_errors();
            $spoil = function ( $sql ) {
                return 0 === strpos( $sql, 'UPDATE' )
                    ? str_replace( 'SET', 'SETT', $sql ) : $sql;
            };
            // After the plugin's, which is to see the statement as it was.
            add_action( 'update_option', function () use ( $spoil ) {
                add_filter( 'query', $spoil, 99 );
            } );
            out( wp_schedule_single_event( T, 'a' ) );
            remove_filter( 'query', $spoil, 99 );
            $wpdb->get_var( 'SELECT 1' );
            out( lock_is_free() );
            """), [False, True])

    def test_the_end_of_the_request_ends_it(self):
        self.assertEqual(self.php("""
            add_action( 'update_option', function ( $name ) {
                if ( 'cron' === $name ) {
                    exit( 0 );
                }
            } );
            register_shutdown_function( function () {
                out( lock_is_free() );
            } );
            wp_schedule_single_event( T, 'a' );
            """), [True])

    def test_a_lost_connection_is_made_again(self):
        self.put([Event(T, "a")])
        self.assertEqual(self.php("""
            global $wpdb;
            $id = $wpdb->get_var( 'SELECT CONNECTION_ID()' );
            aside( "KILL $id" );
            other( "wp_schedule_single_event( T, 'theirs' );" );
            out( wp_schedule_single_event( T, 'ours' ) );
            out( lock_is_free() );
            """), [True, True])
        self.assertEqual(self.events(), [
            (0, "a"), (0, "ours"), (0, "theirs")])

    def test_a_database_that_throws_does_so_as_without(self):
        """mysqli_report() is a setting of the process; anybody may have it."""
        self.both("""
            global $wpdb;
            aside( 'KILL ' . $wpdb->get_var( 'SELECT CONNECTION_ID()' ) );
            mysqli_report( MYSQLI_REPORT_ERROR | MYSQLI_REPORT_STRICT );
            try {
                wp_schedule_single_event( T, 'ours' );
            } catch ( mysqli_sql_exception $e ) {
                out( $e->getCode() );
            }
            mysqli_report( MYSQLI_REPORT_OFF );
            """, [], [], answers=[2006])

    def test_a_closed_connection_stays_closed(self):
        code = """
            $GLOBALS['wpdb']->close();
            out( wp_schedule_single_event( T, 'ours' ) );
            """
        self.both(code, [], [], answers=[False])

    def test_a_transaction_does_not_see_the_past(self):
        self.both("""
            global $wpdb;
            $wpdb->query( 'START TRANSACTION' );
            $wpdb->get_var( "SELECT 1 FROM $wpdb->options LIMIT 1" );
            other( "wp_schedule_single_event( T, 'theirs' );" );
            out( wp_schedule_single_event( T, 'ours' ) );
            out( wp_schedule_single_event( T, 'more' ) );
            $wpdb->query( 'COMMIT' );
            """, [(0, "more"), (0, "ours")],
            [(0, "more"), (0, "ours"), (0, "theirs")], answers=[True, True])

    def test_what_is_written_before_a_commit_is_waited_for(self):
        """The lock is free by then; the row is not."""
        self.php("""
            global $wpdb;
            $wpdb->query( 'START TRANSACTION' );
            out( wp_schedule_single_event( T, 'ours' ) );
            $pipes = array();
            $p = proc_open( array( PHP_BINARY, '-r', getenv( 'WPC_HEAD' )
                . "wp_schedule_single_event( T, 'theirs' );" ), array(),
                $pipes );
            for ( $i = 0; $i < 500 && lock_is_free(); $i++ ) {
                usleep( 10000 );
            }
            out( ! lock_is_free() );
            // It waits for us; we for it, but not for ever.
            out( wp_schedule_single_event( T, 'more' ) );
            $wpdb->query( 'COMMIT' );
            out( proc_close( $p ) );
            """)
        self.assertEqual(self.events(), [
            (0, "more"), (0, "ours"), (0, "theirs")])


class ObjectCacheTest(CompanionTest):
    """The row is read from the database, whatever the cache has."""

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.s.start_redis()
        cls.s.install_object_cache()

    def setUp(self):
        super().setUp()
        self.flush()

    def flush(self):
        self.php("wp_cache_flush();")

    def test_what_both_add_is_there(self):
        code = """
            _get_cron_array();
            other( "wp_schedule_single_event( T, 'theirs' );" );
            out( wp_schedule_single_event( T + 5, 'ours', array(), true ) );
            """
        for install, want in (
                (self.remove, [(5, "ours")]),
                (self.install, [(0, "theirs"), (5, "ours")])):
            install()
            self.put([])
            self.flush()
            self.assertEqual(self.php(code), [True])
            self.assertEqual(self.events(), want)
            # The cache that all share says the same.
            self.assertEqual(self.php("""
                out( array_keys( array( (bool) wp_next_scheduled( 'theirs' ),
                    (bool) wp_next_scheduled( 'ours' ) ), true ) );
                """), [[i for i, hook in enumerate(("theirs", "ours"))
                        if hook in dict(x[::-1] for x in want)]])

    def test_a_cache_that_is_behind_is_put_right(self):
        self.php("_get_cron_array();")
        self.put([Event(T, "theirs")])
        self.assertEqual(self.php("""
            out( wp_next_scheduled( 'theirs' ) );
            out( wp_schedule_single_event( T + 5, 'ours' ) );
            """), [False, True])
        self.assertEqual(self.events(), [(0, "theirs"), (5, "ours")])
        self.assertEqual(self.php("out( wp_next_scheduled( 'theirs' ) );"),
                         [T])


class PlaceTest(CompanionTest):
    def test_it_says_that_it_is_there(self):
        with open(SOURCE) as f:
            version = re.search(r"Version: (\S+)", f.read()).group(1)
        self.assertEqual(self.php("out( WPCRON_FCGI_COMPANION );"), [version])

    def test_it_is_not_loaded_twice(self):
        shutil.copyfile(SOURCE, os.path.join(self.mu, "again.php"))
        self.addCleanup(os.unlink, os.path.join(self.mu, "again.php"))
        self.php("out( wp_schedule_single_event( T, 'a' ) );")
        self.assertEqual(self.events(), [(0, "a")])

    def test_it_stays_away_from_databases_of_several_servers(self):
        drop_in = os.path.join(self.s.root, "wp-content", "db.php")
        with open(drop_in, "w") as f:
            f.write("""<?php class Many extends wpdb {
                function add_database() {} }
                $wpdb = new Many( DB_USER, DB_PASSWORD, DB_NAME, DB_HOST );
                """)
        self.addCleanup(os.unlink, drop_in)
        self.assertEqual(self.php("""
            out( defined( 'WPCRON_FCGI_COMPANION' ) );
            out( wp_schedule_single_event( T, 'a' ) );
            """), [False, True])

    def test_called_directly_it_says_nothing(self):
        r = subprocess.run([tool("php"), SOURCE], capture_output=True)
        self.assertEqual((r.returncode, r.stdout, r.stderr), (0, b"", b""))

    def test_cost(self):
        """Printed: milliseconds of scheduling or unscheduling an event. What
        PHP itself spends is held, since that does not depend on others."""
        code = r"""
            $list = array();
            for ( $i = 0; $i < %d; $i++ ) {
                $list[ T + $i ]["hook_$i"][ md5( serialize( array() ) ) ] =
                    array( 'schedule' => 'hourly', 'args' => array(),
                    'interval' => 3600 );
            }
            _set_cron_array( $list );
            function spent() {
                $r = getrusage();
                return 1000 * ( $r['ru_utime.tv_sec'] + $r['ru_stime.tv_sec'] )
                    + ( $r['ru_utime.tv_usec'] + $r['ru_stime.tv_usec'] )
                    / 1000;
            }
            $t   = microtime( true );
            $cpu = spent();
            for ( $i = 0; $i < %d; $i++ ) {
                wp_schedule_single_event( T, 'a' );
                wp_unschedule_event( T, 'a' );
            }
            out( 500 * ( microtime( true ) - $t ) / $i );
            out( ( spent() - $cpu ) / $i / 2 );
            """
        for events, times in ((30, 100), (1000, 10), (10000, 2)):
            runs = [], []
            # By turns: others' load is then that of both.
            for _ in range(3):
                for i, install in enumerate((self.remove, self.install)):
                    install()
                    self.put([])
                    runs[i].append(self.php(code % (events, times)))
            ms = [min(wall for wall, _ in r) for r in runs]
            cpu = [min(spent for _, spent in r) for r in runs]
            print("companion: %5d events, a write %.2f ms, with it %.2f ms"
                  " (of PHP %.2f and %.2f)" % (events, *ms, *cpu))
            self.assertLess(cpu[1], 2 * cpu[0] + 0.3)


class NetworkTest(CompanionTest):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.two, = cls.s.make_network(1)

    def test_the_blog_is_the_one_that_is_switched_to(self):
        code = """
            $two = %d;
            _get_cron_array();
            other( "wp_schedule_single_event( T, 'theirs' );
                switch_to_blog( $two );
                wp_schedule_single_event( T, 'theirs_two' );" );
            switch_to_blog( $two );
            add_action( 'update_option', function ( $name ) {
                'cron' === $name && out( lock_is_free() );
            } );
            out( wp_schedule_single_event( T, 'ours_two' ) );
            restore_current_blog();
            out( wp_schedule_single_event( T, 'ours' ) );
            switch_to_blog( $two );
            out( lock_is_free() );
            out( (bool) wp_next_scheduled( 'ours_two' ) );
            out( (bool) wp_next_scheduled( 'ours' ) );
            """ % self.two
        self.assertEqual(self.php(code), [
            False, True, False, True, True, True, False])
        self.assertEqual(self.events(), [(0, "ours"), (0, "theirs")])
        hooks = {h for _, h, *_ in self.events(self.two)}
        self.assertLessEqual({"ours_two", "theirs_two"}, hooks)
        self.assertNotIn("ours", hooks)
