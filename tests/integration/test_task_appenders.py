"""Real PHP processes append to a transient queue while it is worked off: by
us, with and without the companion plugin, and by the plugin's own processor.

TASKS=10000 makes it so many tasks (1500).
"""

import collections
import json
import os
import re
import shutil
import subprocess
import threading
import unittest

import events_table
from companion import NAME, SOURCE
from stack import FIXTURES, Stack

TASKS = int(os.environ.get("TASKS", 1500))
QUEUE = "myplugin_task_queue"
PLUGIN = os.path.join(FIXTURES, "plugins", "wpcron-task-queue")
DAEMON_USER, DAEMON_PASSWORD = "wpdaemon", "d"
ID = re.compile(rb's:7:"payload";s:[0-9]+:"([^"]*)"')
DEADLOCK = re.compile("^WordPress database error Deadlock found .*\n",
                      re.MULTILINE)
ANNOUNCED = 'a:1:{i:0;s:%d:"%s";}' % (len(QUEUE), QUEUE)


class AppendersCase(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.s = s = Stack()
        cls.addClassCleanup(s.close)
        s.start_mariadb()
        cls.log = s.path("tasks.log")
        s.install_wordpress(config_extra="define( 'MYPLUGIN_LOG', '%s' );\n"
                            "define( 'DISABLE_WP_CRON', true );\n" % cls.log)
        s.add_plugin(PLUGIN)
        for name in ("append.php", "process.php"):
            shutil.copyfile(os.path.join(FIXTURES, "tasks", name),
                            os.path.join(s.root, name))
        for table in ("tasks", "task_snapshots", "dead_letters", "meta",
                      "nodes"):
            s.mysql(events_table.statement(s, "create_" + table))
        cls.mu = os.path.join(s.root, "wp-content", "mu-plugins")
        os.makedirs(cls.mu, exist_ok=True)
        for host in ("localhost", "127.0.0.1"):
            s.mysql("CREATE USER %s@%s IDENTIFIED BY %s",
                    (DAEMON_USER, host, DAEMON_PASSWORD))
            s.mysql("GRANT ALL ON *.* TO %s@%s", (DAEMON_USER, host))
        # Each value of the inbox, and who wrote it.
        s.mysql("CREATE TABLE task_writes (id BIGINT PRIMARY KEY"
                " AUTO_INCREMENT, author VARCHAR(100), value LONGBLOB)")
        for event in ("INSERT", "UPDATE"):
            s.mysql("CREATE TRIGGER task_%s AFTER %s ON wp_options FOR EACH"
                    " ROW IF NEW.option_name = '_transient_%s' THEN INSERT"
                    " INTO task_writes (author, value) VALUES (USER(),"
                    " NEW.option_value); END IF" % (event, event, QUEUE))

    def setUp(self):
        self.s.mysql("DELETE FROM wp_options WHERE option_name LIKE %s",
                     ("\\_transient%%%s%%" % QUEUE,))
        for table in ("wp_wpcron_tasks", "wp_wpcron_task_snapshots",
                      "task_writes"):
            self.s.mysql("TRUNCATE " + table)
        self.stop = self.s.path("stop-tasks")
        if os.path.exists(self.stop):
            os.unlink(self.stop)
        with open(self.log, "w"):
            os.chmod(self.log, 0o666)
        self.companion(False)

    def heartbeat(self, ago_s):
        """The last sign of life of any of our processes."""
        self.s.mysql("REPLACE INTO wp_wpcron_nodes (node_id, host, pid,"
                     " version, started_at, heartbeat_at) VALUES (1, 'h', 1,"
                     " '1', UTC_TIMESTAMP(6), UTC_TIMESTAMP(6)"
                     " - INTERVAL %s SECOND)", (ago_s,))

    def companion(self, there):
        self.heartbeat(0)
        self.s.mysql("DELETE FROM wp_options WHERE option_name ="
                     " 'wpcron_fcgi_task_queues'")
        path = os.path.join(self.mu, NAME)
        if there:
            shutil.copyfile(SOURCE, path)
            self.s.mysql("INSERT INTO wp_options (option_name, option_value,"
                         " autoload) VALUES ('wpcron_fcgi_task_queues', %s,"
                         " 'yes')", (ANNOUNCED,))
        elif os.path.exists(path):
            os.unlink(path)

    # ---- processes -----------------------------------------------------

    def php(self, *args):
        argv = self.s.php_argv(os.path.join(self.s.root, args[0]),
                               *[str(a) for a in args[1:]])
        return subprocess.Popen(argv, stdout=subprocess.PIPE,
                                stderr=subprocess.PIPE, text=True,
                                stdin=subprocess.DEVNULL)

    def ended(self, process, deadlocks=False):
        """What it printed; `deadlocks`: it may have been chosen to end one."""
        out, errors = process.communicate(timeout=900)
        if deadlocks:
            errors = DEADLOCK.sub("", errors)
        self.assertEqual((process.returncode, errors), (0, ""), out)
        return out

    def append(self, appenders, tasks, delay_us, *more, deadlocks=False):
        """What was appended; each id once."""
        each = tasks // appenders
        all_of_them = [self.php("append.php", n, each, delay_us, *more)
                       for n in range(appenders)]
        said = [int(self.ended(p, deadlocks).split()[-1])
                for p in all_of_them]
        self.said = sum(said)
        return {"%d-%d" % (n, i) for n in range(appenders)
                for i in range(each)}

    def drained(self, appenders, tasks=None, delay_us=2000, more=(),
                pause_us=500):
        """Append while the driver works; (appended, {id: times it ran})."""
        driver = subprocess.Popen(
            [self.s.binary("drivers/task_drain"), "root=" + self.s.root,
             "queue=" + QUEUE, "stop=" + self.stop, "user=" + DAEMON_USER,
             "password=" + DAEMON_PASSWORD, "pause_us=%d" % pause_us],
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
            env=dict(os.environ, **self.s.sanitizer_env()))
        lines = []
        reader = threading.Thread(
            target=lambda: lines.extend(driver.stdout.read().splitlines()))
        reader.start()
        try:
            appended = self.append(appenders, tasks or TASKS, delay_us, *more)
        finally:
            open(self.stop, "w").close()
            reader.join(300)
            errors = driver.communicate(timeout=60)[1]
        self.assertEqual((driver.returncode, errors), (0, ""))
        self.words = lines.pop()
        ran = collections.Counter(
            line.split('"')[1] for line in lines)
        return appended, ran

    # ---- what became of them -------------------------------------------

    def versions(self):
        """[(is ours, {ids})] of the inbox, in order."""
        with self.s.connect() as db, db.cursor() as c:
            c.execute("SELECT author, value FROM task_writes ORDER BY id")
            return [(author.startswith(DAEMON_USER + "@"), {
                i.decode() for i in ID.findall(
                    value if isinstance(value, bytes) else value.encode())})
                for author, value in c]

    def who_lost(self, lost):
        """{id: "PHP" or "we"}: whose write it was after which a task that
        never ran was no longer there."""
        found = dict.fromkeys(lost, "PHP")  # it was never written at all
        before = set()
        for ours, ids in self.versions():
            for gone in (before - ids) & lost:
                found[gone] = "we" if ours else "PHP"
            before = ids
        return found

    def note(self, name, appended, ran, more=""):
        lost = appended - set(ran)
        twice = sum(n - 1 for n in ran.values())
        print("note: %-42s %5d appended, %5d ran, %d lost, %d ran twice%s" % (
            name, len(appended), len(set(ran)), len(lost), twice, more),
            flush=True)
        return lost, twice


class AppendersTest(AppendersCase):
    def test_of_one_appender_every_task_runs_once(self):
        appended, ran = self.drained(1)
        lost, twice = self.note("one appender", appended, ran,
                                "; " + self.words)
        self.assertEqual((lost, twice), (set(), 0))
        self.assertEqual(self.said, len(appended))

    def test_of_one_page_load_that_appends_all_every_task_runs_once(self):
        """It goes on with the list that it knows, however often we empty it."""
        appended, ran = self.drained(1, tasks=min(TASKS, 1000),
                                     more=("same",))
        lost, twice = self.note("one page load", appended, ran,
                                "; " + self.words)
        self.assertEqual((lost, twice), (set(), 0))

    def test_with_the_companion_eight_appenders_lose_nothing(self):
        self.companion(True)
        appended, ran = self.drained(8)
        lost, twice = self.note("8 appenders, companion", appended, ran)
        self.assertEqual((lost, twice), (set(), 0))
        # Each of them was told that it was stored.
        self.assertEqual(self.said, len(appended))

    def test_without_it_php_alone_loses_and_nothing_runs_twice(self):
        appended, ran = self.drained(8)
        lost, twice = self.note("8 appenders, no companion", appended, ran,
                                "; " + self.words)
        self.assertEqual(twice, 0)
        whose = collections.Counter(self.who_lost(lost).values())
        print("note: of these, lost by PHP's write over PHP's: %d, by us: %d"
              % (whose["PHP"], whose["we"]), flush=True)
        self.assertEqual(whose["we"], 0)
        self.assertEqual(set(ran) - appended, set())

    def test_without_transactions_it_is_the_same(self):
        self.s.mysql("ALTER TABLE wp_options ENGINE=MyISAM")
        try:
            appended, ran = self.drained(1, tasks=min(TASKS, 2000))
            lost, twice = self.note("one appender, MyISAM", appended, ran,
                                    "; " + self.words)
            self.assertEqual((lost, twice), (set(), 0))
        finally:
            self.s.mysql("ALTER TABLE wp_options ENGINE=InnoDB")

    def test_what_the_plugins_own_processor_makes_of_it(self):
        """It deletes the row that others insert, which InnoDB ends for one of
        them with a deadlock: that task is lost, too."""
        for appenders in (1, 8):
            with self.subTest(appenders):
                self.setUp()
                processor = self.php("process.php", self.stop)
                try:
                    appended = self.append(appenders, TASKS, 2000,
                                           deadlocks=True)
                finally:
                    open(self.stop, "w").close()
                    self.ended(processor, deadlocks=True)
                with open(self.log) as f:
                    ran = collections.Counter(
                        line.split('"')[1] for line in f)
                lost, twice = self.note(
                    "the plugin's own, %d appender(s)" % appenders,
                    appended, ran)
                self.assertGreater(len(lost), 0)


SEEN = """
$set = set_transient( 'myplugin_task_queue', %s, 86400 );
wp_cache_flush();
echo json_encode( array( $set, get_transient( 'myplugin_task_queue' ) ) );
"""
OBJECT = "$o = (object) array( 'k' => 1 );"


class HandOverTest(AppendersCase):
    """What the companion plugin makes of a single write."""

    def setUp(self):
        super().setUp()
        self.companion(True)

    def seen(self, value, before=""):
        """(what set_transient() said, what is then read, what was stored)."""
        said, read = json.loads(self.s.wp_eval(before + SEEN % value))
        return said, read, self.s.value(
            "SELECT option_value FROM wp_options WHERE option_name ="
            " '_transient_myplugin_task_queue'")

    def lists(self):
        with self.s.connect() as db, db.cursor() as c:
            c.execute("SELECT element FROM wp_wpcron_tasks WHERE state ="
                      " 'list' AND blog_id = 1 AND queue = %s"
                      " ORDER BY task_id", (QUEUE,))
            return [element for element, in c]

    def test_lists_in_any_form_are_handed_over_and_read_as_empty(self):
        task, text = b'a:1:{s:4:"type";s:1:"x";}', b's:12:"{"type":"x"}";'
        one = b"a:1:{i:0;%s}"
        for value, read, form, lists in (
                ("array( array( 'type' => 'x' ) )", [], "a", [one % task]),
                ("array( array( 'type' => 'x' ), '{\"type\":\"x\"}' )", [],
                 "a", [one % task, one % text]),
                ("' [{\"type\":\"x\"}]'", "[]", "j",
                 [b' [{"type":"x"}]']),
                ("serialize( array( array( 'type' => 'x' ) ) )", "a:0:{}",
                 "sa", [b's:35:"%s";' % (one % task)]),
                ("array()", [], "a", [])):
            with self.subTest(value):
                self.s.mysql("TRUNCATE wp_wpcron_tasks")
                said, got, stored = self.seen(value)
                self.assertEqual((said, got), (True, read))
                self.assertRegex(stored, "^wpcron-fcgi:%s:" % form)
                self.assertEqual(self.lists(), lists)

    def test_tasks_that_share_an_object_are_each_whole(self):
        self.seen("array( array( 'type' => 'x', 'payload' => $o ),"
                  " array( 'type' => 'y', 'payload' => $o ) )", OBJECT)
        found = self.lists()
        self.assertEqual(len(found), 2)
        for element in found:
            self.assertIn(b'O:8:"stdClass":1:{s:1:"k";i:1;}', element)

    def test_what_is_no_list_of_tasks_stays_the_plugins(self):
        for value, read in (("array( 1, 2 )", [1, 2]), ("'text'", "text"),
                            ("array( 'k' => array( 'type' => 'x' ) )",
                             {"k": {"type": "x"}}), ("5", "5"),
                            ("'[1]'", "[1]")):
            with self.subTest(value):
                said, got, stored = self.seen(value)
                self.assertEqual((said, got), (True, read))
                self.assertNotIn("wpcron-fcgi:", stored)
                self.assertEqual(self.lists(), [])

    def test_what_is_added_to_what_is_no_list_overwrites_nothing(self):
        x, y = ('a:1:{s:4:"type";s:1:"%s";}' % name for name in "xy")
        add = "get_transient( 'myplugin_task_queue' ) + array( '%s' =>" \
            " array( 'type' => 'y' ) )"
        for stored, key, want in (
                ('a:1:{s:5:"job_7";%s}' % x, "job_8",
                 'a:2:{s:5:"job_7";%ss:5:"job_8";%s}' % (x, y)),
                ("a:2:{i:0;i:1;i:1;%s}" % x, "2",
                 "a:3:{i:0;i:1;i:1;%si:2;%s}" % (x, y))):
            with self.subTest(stored):
                self.store(stored)
                said, _, now = self.seen(add % key)
                self.assertEqual((said, now, self.lists()), (True, want, []))
        # The plugin has seen what it leaves out.
        self.store("a:1:{i:0;i:1;}")
        _, _, now = self.seen("array( array( 'type' => 'y' ) )")
        self.assertEqual((now, self.lists()), ("a:1:{i:0;%s}" % y, []))

    def test_without_our_table_nothing_is_lost(self):
        self.s.mysql("RENAME TABLE wp_wpcron_tasks TO wp_away")
        try:
            for name in "xy":
                said, _, stored = self.seen(
                    "array( array( 'type' => '%s' ) )" % name)
                self.assertTrue(said)
            self.assertEqual(
                stored, 'a:2:{i:0;a:1:{s:4:"type";s:1:"x";}'
                'i:1;a:1:{s:4:"type";s:1:"y";}}')
        finally:
            self.s.mysql("RENAME TABLE wp_away TO wp_wpcron_tasks")

    def store(self, value):
        """As a process does that was started before the queue was ours."""
        self.s.mysql("REPLACE INTO wp_options (option_name, option_value,"
                     " autoload) VALUES ('_transient_%s', %%s, 'no')" % QUEUE,
                     (value,))

    def test_a_list_of_processes_that_do_not_know_is_kept(self):
        x, y = ('a:1:{s:4:"type";s:1:"%s";}' % name for name in "xy")
        both = "a:2:{i:0;%si:1;%s}" % (x, y)
        for stored, value, want, read in (
                ("a:1:{i:0;%s}" % x, "array( array( 'type' => 'y' ) )", both,
                 []),
                ('[{"type":"x"}]', "' [ {\"type\": \"y\"} ] '",
                 '[{"type":"x"},{"type": "y"}]', "[]"),
                ('s:35:"a:1:{i:0;%s}";' % x,
                 "serialize( array( array( 'type' => 'y' ) ) )",
                 's:%d:"%s";' % (len(both), both), "a:0:{}")):
            with self.subTest(stored):
                self.store(stored)
                said, got, now = self.seen(value)
                self.assertEqual((said, got, now), (True, read, want))
                self.assertEqual(self.lists(), [])

    def test_who_adds_to_it_waits_for_who_is_adding(self):
        x, y, z = ('a:1:{s:4:"type";s:1:"%s";}' % name for name in "xyz")
        add = "set_transient( 'myplugin_task_queue'," \
            " array( array( 'type' => '%s' ) ) );"
        self.store("a:1:{i:0;%s}" % x)
        slow = threading.Thread(target=self.s.wp_eval, args=("""
            add_filter( 'pre_update_option__transient_myplugin_task_queue',
                function ( $v ) {
                    file_put_contents( MYPLUGIN_LOG, 'about to write' );
                    sleep( 1 );
                    return $v;
                } );""" + add % "y",))
        slow.start()
        self.s.wait_until(lambda: os.path.getsize(self.log))
        self.s.wp_eval(add % "z")
        slow.join()
        self.assertEqual(self.s.value(
            "SELECT option_value FROM wp_options WHERE option_name ="
            " '_transient_myplugin_task_queue'"),
            "a:3:{i:0;%si:1;%si:2;%s}" % (x, y, z))

    def test_where_nobody_lives_it_is_the_plugins_own_again(self):
        enqueue = "myplugin_enqueue_task( array( 'type' => 'note' ) );"
        self.s.wp_eval(enqueue)
        self.assertEqual(len(self.lists()), 1)
        self.heartbeat(800)
        self.s.wp_eval(enqueue)
        self.assertEqual(len(self.lists()), 2)
        self.heartbeat(1000)
        self.s.wp_eval(enqueue + enqueue)
        self.assertEqual(len(self.lists()), 2)
        self.assertEqual(json.loads(self.s.wp_eval(
            "echo count( get_transient( MYPLUGIN_QUEUE ) );"
            "do_action( MYPLUGIN_HOOK );")), 2)
        with open(self.log) as f:
            self.assertEqual(f.read(), "note null\n" * 2)
        # And when it is back, what stands there is not overwritten.
        self.s.wp_eval(enqueue)
        self.heartbeat(0)
        self.s.wp_eval(enqueue)
        self.assertEqual(len(self.lists()), 2)

    def test_a_transient_that_is_not_announced_is_left_alone(self):
        self.s.mysql("DELETE FROM wp_options WHERE option_name ="
                     " 'wpcron_fcgi_task_queues'")
        _, read, stored = self.seen("array( array( 'type' => 'x' ) )")
        self.assertEqual(read, [{"type": "x"}])
        self.assertEqual(stored, 'a:1:{i:0;a:1:{s:4:"type";s:1:"x";}}')


class CachedAppendersTest(AppendersCase):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.s.start_redis()
        cls.s.install_object_cache()

    def test_behind_an_object_cache_the_companion_is_exact(self):
        self.companion(True)
        appended, ran = self.drained(8, tasks=min(TASKS, 4000))
        lost, twice = self.note("8 appenders, companion, Redis", appended,
                                ran)
        self.assertEqual((lost, twice), (set(), 0))
        self.assertEqual(self.said, len(appended))
        self.assertEqual(self.versions(), [])
