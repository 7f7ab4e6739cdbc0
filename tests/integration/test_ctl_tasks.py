"""wp-cronctl tasks: queues that a plugin keeps in a transient."""

import os
import time
import unittest

from cronrow import serialize, unserialize
from ctl_mail import CONFIG, FAILED, UNAVAILABLE, USAGE, MailCtl
from newspack import set_option
from stack import FIXTURES
from tasks_case import HOOK, QUEUE, task

PRE = "_transient_"


class TasksCtl(MailCtl):
    REST = """
[tasks default/mine]
queue = %s
hook = %s
handler note = php:myplugin_note
""" % (QUEUE, HOOK)

    @classmethod
    def prepare(cls):
        cls.s.add_plugin(os.path.join(
            FIXTURES, "plugins", "wpcron-task-queue"))

    def setUp(self):
        super().setUp()
        self.s.mysql("DELETE FROM wp_options WHERE option_name LIKE"
                     " '%%myplugin%%'", ())
        self.s.wp_eval("wp_clear_scheduled_hook( '%s' );" % HOOK)

    def put(self, *tasks, ttl=3600):
        """The transient as the plugin writes it."""
        set_option(self.s, PRE + "timeout_" + QUEUE,
                   str(int(time.time()) + ttl))
        set_option(self.s, PRE + QUEUE, list(tasks))

    def lock(self, age=10, ttl=60):
        now = int(time.time())
        if ttl is not None:
            set_option(self.s, PRE + "timeout_" + QUEUE + "_lock",
                       str(now - age + ttl))
        set_option(self.s, PRE + QUEUE + "_lock", str(now - age))

    def row(self, element, state="ready", attempts=0, wait=0, place=0,
            queue=QUEUE):
        """A task in our table; its id."""
        with self.s.connect() as db, db.cursor() as cursor:
            cursor.execute(
                "INSERT INTO wp_wpcron_tasks (blog_id, queue, state, type,"
                " attempts, available_at, snapshot, place, taken_at, element,"
                " error) VALUES (1, %s, %s, %s, %s, UTC_TIMESTAMP(6) +"
                " INTERVAL %s SECOND, '', %s, UTC_TIMESTAMP(6), %s, '')",
                (queue, state, element["type"], attempts, wait, place,
                 serialize(element)))
            db.commit()
            return cursor.lastrowid

    def queue(self):
        row, = self.json("tasks", "list", "--fields=queue,inbox,ready,delayed,"
                         "running,dead,lock,next_event,location,types,"
                         "unmapped,expired,oldest,expires,transient,url")
        return row


class ListTest(TasksCtl):
    def test_an_empty_queue(self):
        row = self.queue()
        self.assertEqual((row["queue"], row["transient"], row["inbox"],
                          row["ready"], row["dead"], row["location"],
                          row["lock"], row["next_event"]),
                         ("mine", QUEUE, 0, 0, 0, "database", None, None))

    def test_counts_of_inbox_table_and_dead_letters(self):
        made = int(time.time()) - 100
        self.put(task("note", 1, created=made), task("other", 2))
        self.row(task("note", 3))
        self.row(task("note", 4), state="delayed", wait=600, place=1)
        self.row(task("note", 5), state="running", place=2)
        self.letter("task", 9, QUEUE)
        row = self.queue()
        self.assertEqual((row["inbox"], row["ready"], row["delayed"],
                          row["running"], row["dead"]), (2, 1, 1, 1, 1))
        self.assertIn("other", row["unmapped"])
        self.assertNotIn("note", row["unmapped"])
        self.assertEqual(row["oldest"], time.strftime(
            "%Y-%m-%d %H:%M:%S", time.gmtime(made)))

    def test_the_lock_and_the_event(self):
        self.lock(age=20)
        self.s.wp_eval("wp_schedule_single_event( time() + 500, '%s' );"
                       % HOOK)
        row = self.queue()
        self.assertRegex(row["lock"], r"held for 2\d s, ends in [34]\d s")
        self.assertIsNotNone(row["next_event"])
        self.s.mysql("DELETE FROM wp_options WHERE option_name LIKE"
                     " '%%timeout%%lock'", ())
        self.assertIn("orphan", self.queue()["lock"])

    def test_the_tasks_of_a_queue_without_their_values(self):
        one = self.row(task("note", {"to": "secret@example.org", "n": 7}))
        two = self.row(task("note", "secret"), state="done", place=1)
        three = self.row(task("note", None), place=2)
        rows = self.json("tasks", "list", "mine")
        self.assertEqual([(r["id"], r["state"], r["payload"]) for r in rows],
                         [(one, "ready", "to, n"), (two, "done", "text"),
                          (three, "ready", "null")])
        self.assertNotIn("secret", self.call("tasks", "list", QUEUE))
        ids = self.call("tasks", "list", "mine", "--status=done",
                        "--format=ids")
        self.assertEqual(ids.strip(), str(two))

    def test_columns_are_those_of_what_is_listed(self):
        self.call("tasks", "list", "--fields=payload", code=USAGE)
        self.call("tasks", "list", "mine", "--fields=inbox", code=USAGE)
        self.call("tasks", "list", "--status=ready", code=USAGE)
        self.call("tasks", "list", "mine", "--status=gone", code=USAGE)
        self.call("tasks", "list", "nothing", code=CONFIG)

    def test_one_task(self):
        one = str(self.row(task("note", {"to": "secret"}), attempts=2))
        row = self.json("tasks", "show", one)
        self.assertEqual((row["queue"], row["attempts"], row["payload"]),
                         (QUEUE, 2, "to"))
        row = self.json("tasks", "show", one, "--body")
        self.assertEqual(row["payload"], {"to": "secret"})
        self.call("tasks", "show", "999999", code=FAILED)

    def test_json_elements_and_what_nobody_can_read(self):
        self.row({"type": "x"})
        for element, shown in ((b's:30:"{"type":"a","payload":{"k":1}}";',
                                "k"),
                               (b's:24:"{"type":"a","payload":9}";',
                                "number"),
                               (b'{"type":"a","payload":{"k":1,"l":2}}',
                                "k, l"), (b"nonsense", "unreadable"),
                               (b"", "")):
            self.s.mysql("UPDATE wp_wpcron_tasks SET element = %s",
                         (element,))
            row, = self.json("tasks", "list", "mine")
            self.assertEqual(row["payload"], shown)
        self.s.mysql("UPDATE wp_wpcron_tasks SET element = %s",
                     (b'{"type":"a","payload":{"k":1}}',))
        row = self.json("tasks", "show", str(row["id"]), "--body")
        self.assertEqual(row["payload"], {"k": 1})


class ChangeTest(TasksCtl):
    def test_clearing_throws_away_inbox_and_table(self):
        self.put(task("note", 1), task("note", 2))
        self.row(task("note", 3))
        self.call("tasks", "clear", "mine", code=USAGE)
        row, = self.json("tasks", "clear", "mine", "--yes")
        self.assertEqual((row["queue"], row["tasks"]), ("mine", 3))
        after = self.queue()
        self.assertEqual((after["inbox"], after["ready"]), (0, 0))

    def test_handing_back_puts_tasks_before_the_inbox(self):
        self.put(task("note", "late"))
        self.row(task("note", "early"))
        self.call("tasks", "hand-back", "mine", code=USAGE)
        row, = self.json("tasks", "hand-back", "mine", "--yes")
        self.assertEqual(row["tasks"], 1)
        stored = unserialize(self.s.option(PRE + QUEUE).encode())
        self.assertEqual([stored[i][b"payload"] for i in range(len(stored))],
                         [b"early", b"late"])

    def test_uninstall_names_what_it_cannot_give_back(self):
        states = ("claimed", "delayed", "list", "pending", "ready", "running",
                  "done", "dead")
        for i, state in enumerate(states):
            self.row(task("note", "mine"), state=state, place=i,
                     queue="former_queue")
        self.call("uninstall", code=USAGE)
        self.assertIn("6 tasks of queues that no [tasks] names", self.stderr)

    def test_uninstall_gives_them_back(self):
        self.addCleanup(self.call, "install")
        self.row(task("note", "mine"))
        self.row(task("note", "late"), state="delayed", wait=600, place=1)
        self.call("uninstall", "--yes", "--format=json")
        self.assertIn("2 tasks went back", self.stderr)
        stored = unserialize(self.s.option(PRE + QUEUE).encode())
        self.assertEqual([stored[i][b"payload"] for i in range(2)],
                         [b"mine", b"late"])
        self.assertGreater(stored[1][b"available_after"], time.time() + 500)

    def test_uninstall_drops_nothing_that_arrives_meanwhile(self):
        self.addCleanup(self.call, "install")
        self.put(task("note", 1))
        self.row(task("note", 2))
        self.s.mysql(
            "CREATE TRIGGER appender AFTER UPDATE ON wp_options FOR EACH ROW"
            " INSERT INTO wp_wpcron_tasks (blog_id, queue, state, snapshot,"
            " available_at, taken_at, element) SELECT 1, %s, 'list',"
            " UNHEX(SHA2(UUID(), 256)), UTC_TIMESTAMP(6), UTC_TIMESTAMP(6), %s WHERE"
            " NEW.option_name = %s",
            (QUEUE, serialize([task("note", 3)]), PRE + QUEUE))
        try:
            self.call("uninstall", "--yes", code=UNAVAILABLE)
            self.assertIn("1 tasks were stored meanwhile", self.stderr)
        finally:
            self.s.mysql("DROP TRIGGER appender")
        self.call("uninstall", "--yes")
        stored = unserialize(self.s.option(PRE + QUEUE).encode())
        self.assertEqual(sorted(t[b"payload"] for t in stored.values()),
                         [1, 2, 3])


class NetworkTest(TasksCtl):
    @classmethod
    def prepare(cls):
        super().prepare()
        cls.s.make_network(1)

    def test_uninstall_gives_queues_of_the_main_blog_back(self):
        self.addCleanup(self.call, "install")
        self.row(task("note", "mine"))
        self.call("uninstall", "--yes")
        self.assertIsNotNone(self.s.option(PRE + QUEUE))
        self.assertEqual(self.s.value(
            "SELECT COUNT(*) FROM wp_2_options WHERE option_name LIKE"
            " '%%myplugin%%' OR option_value LIKE '%%myplugin%%'", ()), 0)


class CacheTest(TasksCtl):
    @classmethod
    def prepare(cls):
        super().prepare()
        cls.s.start_redis()
        cls.s.install_object_cache()

    def test_uninstall_refuses_only_while_tasks_wait(self):
        self.addCleanup(self.call, "install")
        self.row(task("note", "mine"), state="delayed", wait=600)
        self.call("uninstall", "--yes", code=CONFIG)
        self.assertIn("the 1 tasks that were taken stay here", self.stderr)
        self.s.mysql("DELETE FROM wp_wpcron_tasks")
        self.call("uninstall", "--yes")


class NoQueueTest(MailCtl):
    def test_a_site_without_a_queue(self):
        self.assertEqual(self.json("tasks", "list"), [])
        self.assertIn("[tasks default/NAME]", self.stderr)


if __name__ == "__main__":
    unittest.main()
