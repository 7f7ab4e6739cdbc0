"""What is left to the plugin's own processor, what is held, and how a queue is
given back."""

import json
import os
import shutil
import time
import unittest

from companion import NAME, SOURCE
from cronrow import serialize
from tasks_case import HOOK, QUEUE, TasksCase, task


def install_companion(s):
    directory = os.path.join(s.root, "wp-content", "mu-plugins")
    os.makedirs(directory, exist_ok=True)
    path = os.path.join(directory, NAME)
    shutil.copyfile(SOURCE, path)
    # It counts once no process runs that does not know it.
    os.utime(path, (time.time() - 3600,) * 2)
    s.mysql("REPLACE INTO wp_wpcron_nodes (node_id, host, pid, version,"
            " started_at, heartbeat_at) VALUES (1, 'h', 1, '1',"
            " UTC_TIMESTAMP(6), UTC_TIMESTAMP(6))")


class Gates(TasksCase):
    def test_a_type_without_a_handler_leaves_all_to_the_plugin(self):
        self.put(task("strange", 1), *[task("note", i) for i in range(12)])
        report = self.run_tasks()
        self.assertEqual((report["taken"], report["done"]), (0, 0))
        self.assertIn("strange", report["held"])
        self.assertGreater(report["wait_ms"], 0)
        self.assertIn("tasks.unmapped", self.said)
        # The plugin's processor: ten, of which it drops what it knows not.
        self.assertEqual(self.log(), ["note %d" % i for i in range(9)])
        self.assertEqual(len(self.stored()), 3)
        self.assertEqual(self.rows(), [])
        # Now that nothing is strange it is ours.
        self.assertEqual(self.run_tasks()["done"], 3)
        self.assertEqual(self.log(), ["note %d" % i for i in range(12)])

    def test_it_is_said_once(self):
        self.put(*[task("strange", i) for i in range(40)])
        report = self.end_tasks(self.begin_tasks(**{"for": 1000}))
        self.assertIn("strange", report["held"])
        self.assertEqual(self.said.count("tasks.unmapped"), 1)

    def test_what_was_taken_before_goes_back_to_the_plugin(self):
        self.put(task("note", 1, available_after=4000000000), task("note", 2))
        self.assertEqual(self.run_tasks()["done"], 1)
        self.put(task("strange", 3), task("note", 4))
        self.run_tasks()
        self.assertEqual(self.states(), ["done"])
        self.assertEqual(self.log(), ["note 2", "note 4"])
        first = self.stored()[0]
        self.assertEqual((first[b"payload"], first[b"available_after"]),
                         (1, 4000000000))

    def test_nothing_goes_back_while_the_plugins_processor_works(self):
        self.put(task("note", 1, available_after=4000000000))
        self.run_tasks()
        self.set_option("_transient_timeout_%s_lock" % QUEUE,
                        str(int(time.time()) + 60))
        self.set_option("_transient_%s_lock" % QUEUE, str(int(time.time())))
        self.put(task("strange", 2))
        self.assertIn("_lock", self.run_tasks()["held"])
        self.assertEqual(self.run_tasks(op="hand_back")["rc"], "none")
        self.assertEqual((self.states(), len(self.stored())), (["delayed"], 1))
        self.set_option("_transient_%s_lock" % QUEUE,
                        str(int(time.time()) - 61))
        self.assertEqual(self.run_tasks(op="hand_back")["taken"], 1)
        self.assertEqual((self.states(), len(self.stored())), ([], 2))

    def test_what_arrives_amid_a_turn_waits_for_a_handler(self):
        self.configure(handlers="handler send_email = native")
        process = self.begin_a_turn()
        self.put(task("send_email", {"to": "a@example.org"}))
        self.assertEqual(self.end_tasks(process)["done"], 0)
        self.assertIn("native needs smtp", self.run_tasks()["held"])

    def begin_a_turn(self):
        """A process that has just taken the lock, which it keeps for a second
        at least."""
        for _ in range(10):
            process = self.begin_tasks()
            self.s.wait_until(lambda: self.lock() is not None or
                              process.poll() is not None)
            if process.poll() is None:
                break
            # It was over before we saw it.
            self.end_tasks(process)
        return process

    def test_handlers_that_cannot_work_here_are_none(self):
        self.configure(handlers="handler send_email = native\n"
                                "handler note = php:myplugin_note")
        self.put(task("send_email", {"to": "a@example.org"}), task("note"))
        report = self.run_tasks()
        self.assertIn("native needs smtp", report["held"])
        self.assertEqual(report["done"], 0)
        # And none can be native but the one that is known.
        self.configure(handlers="handler note = native")
        self.put(task("note"))
        self.assertIn("only send_email", self.run_tasks()["held"])

    def test_an_expired_inbox_is_processed_and_said(self):
        self.put(task("note", 1), ttl=-10)
        self.assertEqual(self.run_tasks()["done"], 1)
        self.assertIn("tasks.expired_inbox", self.said)
        self.configure(config="expired = discard")
        self.put(task("note", 2), ttl=-10)
        self.assertEqual(self.run_tasks()["done"], 0)
        self.assertEqual(self.log(), ["note 1"])

    def test_what_a_writer_puts_back_runs_again_if_it_is_to(self):
        first = task("note", 1)
        self.put(first)
        self.assertEqual(self.run_tasks()["done"], 1)
        self.put(first, task("note", 2))
        self.assertEqual(self.run_tasks()["done"], 1)
        self.assertIn("done=dropped", self.said)
        self.configure(config="stale = run")
        self.put(first)
        self.assertEqual(self.run_tasks()["done"], 1)
        self.assertIn("done=run", self.said)
        self.assertEqual(self.log(), ["note 1", "note 2", "note 1"])

    def test_what_is_no_list_is_left_alone(self):
        value = serialize("just text")
        self.set_option("_transient_" + QUEUE, value)
        report = self.run_tasks()
        self.assertIn(QUEUE, report["held"])
        self.assertIn("tasks.unreadable", self.said)
        self.assertEqual(self.s.option("_transient_" + QUEUE).encode(), value)

    def test_json_is_a_form_of_it(self):
        as_json = json.dumps([task("note", {"n": 1}), task("note", 2)])
        self.set_option("_transient_" + QUEUE, as_json)
        self.assertEqual(self.run_tasks()["done"], 2, self.said)
        self.put(json.dumps(task("note", 3)))
        self.assertEqual(self.run_tasks()["done"], 1, self.said)
        self.assertEqual(self.log(), ['note {"n":1}', "note 2", "note 3"])

    def test_observe_and_copies_do_nothing(self):
        self.put(task("note", 1))
        self.configure(site="mode = observe")
        self.assertIn("observe", self.run_tasks()["held"])
        self.configure()
        home = self.s.option("home")
        self.s.mysql("UPDATE wp_options SET option_value = %s"
                     " WHERE option_name = 'home'", ("http://copy.test",))
        self.addCleanup(
            self.s.mysql, "UPDATE wp_options SET option_value = %s"
            " WHERE option_name = 'home'", (home,))
        self.assertIn("copy", self.run_tasks()["held"])
        rows = self.s.mysql("SELECT * FROM wp_wpcron_site")
        self.s.mysql("DELETE FROM wp_wpcron_site")
        self.assertIn("install", self.run_tasks()["held"])
        for row in rows:
            self.s.mysql("INSERT INTO wp_wpcron_site (%s) VALUES (%s)" % (
                ", ".join("`%s`" % n for n in row),
                ", ".join(["%s"] * len(row))), tuple(row.values()))
        self.assertEqual((self.log(), len(self.stored())), ([], 1))

    def test_without_php_fpm_nothing_is_lost(self):
        self.put(task("note", 1), task("note", 2))
        text = open(self.conf).read()
        with open(self.conf, "w") as f:
            f.write(text.replace("php.sock", "nobody.sock"))
        report = self.run_tasks()
        self.assertEqual((report["done"], report["failed"]), (0, 0))
        self.assertNotEqual(report["held"], "")
        self.assertEqual(self.states(), ["ready"] * 2)
        self.configure()
        self.assertEqual(self.run_tasks()["done"], 2)

    # ---- events, and giving back ---------------------------------------

    def event_times(self):
        return json.loads(self.s.wp_eval("""
            $t = array();
            foreach ( _get_cron_array() as $ts => $hooks ) {
                isset( $hooks['%s'] ) && $t[] = $ts;
            }
            echo wp_json_encode( $t );""" % HOOK))

    def test_the_event_is_kept_ahead_while_we_live(self):
        self.s.wp_eval("wp_clear_scheduled_hook( '%s' );"
                       "myplugin_enqueue_task( array( 'type' => 'note' ) );"
                       % HOOK)
        at, = self.event_times()
        self.assertLess(at, time.time() + 10)
        self.assertEqual(self.run_tasks()["done"], 1)
        at, = self.event_times()
        self.assertTrue(290 < at - time.time() <= 300, at)

    def test_what_is_given_back_is_worked_off_by_the_plugin(self):
        self.put(task("fail", 1, backoff=600),
                 task("note", 2, available_after=4000000000),
                 task("note", 3))
        self.run_tasks()
        self.put(task("note", 4))
        report = self.run_tasks(op="hand_back")
        self.assertEqual((report["rc"], report["taken"]), ("ok", 2))
        tasks = list(self.stored().values())
        self.assertEqual([t[b"payload"] for t in tasks], [1, 2, 4])
        self.assertEqual(tasks[0][b"attempts"], 1)
        self.assertGreater(tasks[0][b"available_after"], time.time())
        at, = self.event_times()
        self.assertLessEqual(at - time.time(), 10)
        self.assertIsNone(self.lock())
        self.s.wp_eval("do_action( '%s' );" % HOOK)
        self.assertEqual(self.log(), ["fail 1", "note 3", "note 4"])

    def test_appenders_beside_us_lose_nothing_that_one_writes(self):
        process = self.begin_tasks(**{"for": 12000})
        self.s.wp_eval("""
            for ( $i = 0; $i < 300; $i++ ) {
                foreach ( array( '', 'timeout_' ) as $k ) {
                    wp_cache_delete( "_transient_$k" . MYPLUGIN_QUEUE,
                        'options' );
                }
                wp_cache_delete( 'notoptions', 'options' );
                myplugin_enqueue_task( array( 'type' => 'note',
                    'payload' => $i ) );
                usleep( 5000 );
            }""")
        report = self.end_tasks(process)
        more = self.run_tasks()
        self.assertEqual(report["done"] + more["done"], 300, self.said)
        self.assertEqual(sorted(self.log(), key=lambda x: int(x[5:])),
                         ["note %d" % i for i in range(300)])


class WithCompanion(TasksCase):
    def test_the_plugins_processor_sees_what_has_no_handler_here(self):
        install_companion(self.s)
        for kind, n in (("note", 1), ("strange", 2), ("note", 3)):
            self.s.wp_eval("myplugin_enqueue_task( array( 'type' => '%s',"
                           " 'payload' => %d ) );" % (kind, n))
            report = self.run_tasks()
        self.assertEqual(report["done"], 1, report)
        self.assertEqual(self.log(), ["note 1", "note 3"])
        self.assertEqual(self.states(), ["done"] * 2)


if __name__ == "__main__":
    unittest.main()
