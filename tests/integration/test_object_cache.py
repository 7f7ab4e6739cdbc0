"""Behind a persistent object cache the worker takes events out of the option
by core's functions: real Redis, real php-fpm, real WordPress."""

import hashlib
import json
import os
import threading
import time
import unittest

import cronrow
import events_table
from companion import copy_patient
from events_table import b64
from test_php_events import EventCase

LEFT = "SELECT COUNT(*) FROM wp_wpcron_events WHERE state='taken'"
HOOKS = ("ok", "throw", "bytes", "look", "sleep", "nobody", "exit")


class CacheCase(EventCase):
    """Slots of the option as core scheduled them, and requests to take them.
    Scheduled times lie in the past, so a recurring event is due again at the
    next multiple of its interval after them."""

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.cached()

    @classmethod
    def cached(cls):
        cls.s.start_redis()
        cls.s.install_object_cache()

    def setUp(self):
        super().setUp()
        self.s.wp_eval("delete_transient('doing_cron');" + "".join(
            "wp_unschedule_hook('misbehave_%s');" % h for h in HOOKS))

    # ---- the option ----------------------------------------------------

    def schedule(self, hook, ago, args=(), recurrence=None, blog=None):
        """Through core and the cache; the slot (ts, hook, key)."""
        ts, hook = int(time.time()) - ago, "misbehave_" + hook
        php_args = "json_decode(%s, true)" % php(json.dumps(list(args)))
        # Each of them, also ten minutes from one with the same arguments.
        self.s.wp_eval(
            ("switch_to_blog(%d);" % blog if blog else "") +
            "$all = _get_cron_array(); $args = %s;"
            "$event = array('schedule' => %s, 'args' => $args);"
            "%s $all[%d][%s][md5(serialize($args))] = $event;"
            "uksort($all, 'strnatcasecmp'); _set_cron_array($all);" % (
                php_args, php(recurrence) if recurrence else "false",
                "$event['interval'] = wp_get_schedules()['%s']['interval'];"
                % recurrence if recurrence else "", ts, php(hook)))
        return ts, hook, hashlib.md5(
            cronrow.serialize(list(args))).hexdigest()

    def cached_slots(self, blog=None):
        """Slots of the tests' hooks, as a new process has the option."""
        return slots(self.s.wp_eval(
            ("switch_to_blog(%d);" % blog if blog else "") +
            "echo serialize(_get_cron_array());").encode())

    def stored_slots(self, table="wp_options"):
        return slots(self.stored(table))

    def stored(self, table="wp_options"):
        return self.s.value(
            "SELECT CAST(option_value AS BINARY) FROM %s"
            " WHERE option_name='cron'" % table)

    def assertSlots(self, wanted):
        """In the cache and in the database alike."""
        self.assertEqual(self.cached_slots(), sorted(wanted))
        self.assertEqual(self.stored_slots(), sorted(wanted))

    # ---- the lock ------------------------------------------------------

    def lock(self):
        return json.loads(self.s.wp_eval(
            "echo json_encode(wp_cache_get('doing_cron', 'transient'));"))

    def set_lock(self, value):
        self.s.wp_eval("set_transient('doing_cron', '%s');" % value)

    # ---- taking --------------------------------------------------------

    def wish(self, slot, drop=False, insert=None, blog=1):
        ts, hook, key = slot
        insert = insert or events_table.insert_sql(
            self.s, ts, hook, key, "e",
            state="resurrected" if drop else "taken", blog=blog)
        return {"ts": ts, "hook": b64(hook), "key": b64(key), "drop": drop,
                "insert": insert}

    def start_take(self, events, value=None, ours=(), jobs=(), **options):
        path = self.s.path("take-%d.json" % time.monotonic_ns())
        with open(path, "w") as f:
            json.dump({"lock": {"value": value or now_key(),
                                "ours": list(ours), "stale_s": 60,
                                "left": LEFT},
                       "events": events}, f)
        return self.start_lines(jobs, take=path, **options)

    def take(self, events, **options):
        reply = self.finish(self.start_take(events, **options))
        self.assertEqual(len(reply.takes), 1, reply.text)
        self.last = reply
        return {k: v for k, v in reply.takes[0].items() if k != "frame"}

    def took(self, **counts):
        return dict({"taken": 0, "dropped": 0, "gone": 0, "held": False,
                     "why": ""}, **counts)

    def rows(self):
        return [(r["scheduled_at"], r["hook"].decode(),
                 r["event_key"].decode(), r["state"]) for r in self.s.mysql(
            "SELECT * FROM wp_wpcron_events ORDER BY event_id")]


def php(text):
    return "'%s'" % text.replace("\\", "\\\\").replace("'", "\\'")


def now_key(ago=0.0):
    return "%.22f" % (time.time() - ago)


def slots(data):
    """[(ts, hook, key)] of the tests' hooks, sorted."""
    found = []
    for ts, hooks in cronrow.unserialize(data).items():
        for hook, keys in (hooks.items() if isinstance(hooks, dict) else ()):
            found += [(ts if isinstance(ts, int) else ts.decode(),
                       hook.decode(), key.decode()) for key in keys
                      if hook.startswith(b"misbehave_")]
    return sorted(found)


class TakeTest(CacheCase):
    def test_due_events_move_into_the_table(self):
        one = self.schedule("ok", 100, [1, "two"])
        two = self.schedule("ok", 90, [1, "two"])
        other = self.schedule("ok", 80)
        self.assertSlots([one, two, other])
        value = now_key()
        self.assertEqual(self.take([self.wish(one), self.wish(two)],
                                   value=value), self.took(taken=2))
        self.assertSlots([other])
        self.assertEqual(self.rows(), [one + ("taken",), two + ("taken",)])
        self.assertEqual(self.lock(), value)

    def test_a_recurring_one_gets_its_next_slot_in_the_same_write(self):
        due = self.schedule("ok", 4000, recurrence="hourly")
        self.assertEqual(self.take([self.wish(due)]), self.took(taken=1))
        self.assertSlots([(due[0] + 7200,) + due[1:]])
        event = json.loads(self.s.wp_eval(
            "echo json_encode(_get_cron_array()[%d]['misbehave_ok']);"
            % (due[0] + 7200)))
        self.assertEqual(event[due[2]], {"schedule": "hourly", "args": [],
                                         "interval": 3600})

    def test_a_vanished_recurrence_is_taken_and_said_as_core_does(self):
        due = self.schedule("ok", 100, recurrence="hourly")
        self.s.wp_eval("$all = _get_cron_array();"
                       "$all[%d]['misbehave_ok']['%s']['schedule'] = 'gone';"
                       "_set_cron_array($all);" % (due[0], due[2]))
        self.assertEqual(self.take([self.wish(due)]), self.took(taken=1))
        self.assertSlots([])
        with open(self.s.path("php-errors.log")) as f:
            self.assertIn("Cron reschedule event error for hook: misbehave_ok,"
                          " Error code: invalid_schedule", f.read())

    def test_what_others_wrote_since_the_boot_is_kept(self):
        due = self.schedule("ok", 100)
        self.flag("pause")
        p = self.start_take([self.wish(due)])
        self.wait_note("paused")
        # Nor may these processes wait.
        other = self.schedule("ok", 50, [2])
        self.flag("")
        self.assertEqual(self.finish(p).takes[0]["taken"], 1)
        self.assertSlots([other])

    def test_an_event_that_was_cleared_meanwhile_is_gone(self):
        due, other = self.schedule("ok", 100), self.schedule("ok", 90, [2])
        self.flag("pause")
        p = self.start_take([self.wish(due), self.wish(other)])
        self.wait_note("paused")
        self.s.wp_eval("wp_clear_scheduled_hook('misbehave_ok');")
        self.flag("")
        answer = self.finish(p).takes[0]
        self.assertEqual((answer["taken"], answer["gone"]), (1, 1))
        self.assertSlots([])
        self.assertEqual(self.rows(), [other + ("taken",)])

    def test_two_takers_at_once_take_each_event_once(self):
        """Of two nodes, say, that both hold the lock for theirs."""
        due = [self.schedule("ok", 100, [i]) for i in range(8)]
        value = now_key()
        with self.s.connect(autocommit=False) as db, db.cursor() as c:
            c.execute("SELECT option_id FROM wp_options"
                      " WHERE option_name='cron' FOR UPDATE")
            takers = [self.start_take([self.wish(x) for x in due],
                                      value=value) for _ in range(2)]
            self.s.wait_until(lambda: self.s.value(
                "SELECT COUNT(*) FROM information_schema.PROCESSLIST"
                " WHERE INFO LIKE 'SELECT option_id%%FOR UPDATE'") == 2)
            db.rollback()
        answers = [self.finish(p).takes[0] for p in takers]
        self.assertEqual(sorted(a["taken"] for a in answers), [0, 8])
        self.assertEqual(sorted(a["gone"] for a in answers), [0, 8])
        self.assertEqual(sorted(r[:3] for r in self.rows()), sorted(due))
        self.assertSlots([])

    def test_an_event_under_a_wrong_key_goes_by_the_stored_one(self):
        due = self.schedule("ok", 100, [0.1])
        wrong = due[:2] + ("0" * 32,)
        self.s.wp_eval("$all = _get_cron_array(); $h = &$all[%d][%s];"
                       "$h['%s'] = $h['%s']; unset($h['%s'], $h);"
                       "_set_cron_array($all);" % (
                           due[0], php(due[1]), wrong[2], due[2], due[2]))
        self.assertSlots([wrong])
        self.assertEqual(self.take([self.wish(wrong)]), self.took(taken=1))
        self.assertSlots([])
        self.assertEqual(self.rows(), [wrong + ("taken",)])

    def test_an_odd_timestamp_is_found(self):
        due = self.schedule("ok", 100)
        self.s.wp_eval("$all = _get_cron_array();"
                       "$all['%d.5'] = $all[%d]; unset($all[%d]);"
                       "_set_cron_array($all);" % (due[0] - 1, due[0], due[0]))
        self.assertEqual(self.take([self.wish(due)]), self.took(taken=1))
        self.assertSlots([])

    def test_filters_of_core_s_functions_see_each_event(self):
        due = self.schedule("ok", 4000, recurrence="hourly")
        self.flag("tell")
        self.assertEqual(self.take([self.wish(due)]), self.took(taken=1))
        self.assertEqual(self.notes(), ["schedule_event misbehave_ok"])

    def test_a_thousand_events_are_taken_in_one_write(self):
        made = self.s.wp_eval(
            "$all = _get_cron_array(); $out = array();"
            "for ($i = 0; $i < 1000; $i++) {"
            "  $args = array($i); $key = md5(serialize($args));"
            "  $t = time() - 4000 - $i; $out[] = array($t, $key);"
            "  $all[$t]['misbehave_ok'][$key] = array('schedule' => $i % 10"
            "    ? false : 'hourly', 'args' => $args);"
            "  if (!($i % 10)) { $all[$t]['misbehave_ok'][$key]['interval']"
            "    = 3600; } }"
            "uksort($all, 'strnatcasecmp'); _set_cron_array($all);"
            "echo json_encode($out);")
        due = [(t, "misbehave_ok", key) for t, key in json.loads(made)]
        begun = time.monotonic()
        self.assertEqual(self.take([self.wish(x) for x in due]),
                         self.took(taken=1000))
        spent = time.monotonic() - begun
        print("1,000 events taken through the cache in %.2f s" % spent)
        self.assertLess(spent, 20)
        self.assertEqual(len(self.cached_slots()), 100)
        self.assertEqual(len(self.stored_slots()), 100)
        self.assertEqual(self.states(), {"taken": 1000})


class LedgerTest(CacheCase):
    """Slots that stale writers bring back."""

    def test_an_event_that_was_brought_back_is_only_removed(self):
        due = self.schedule("ok", 100)
        self.assertEqual(self.take([self.wish(due, drop=True)]),
                         self.took(dropped=1))
        self.assertSlots([])
        self.assertEqual(self.rows(), [due + ("resurrected",)])

    def test_a_recurring_one_gets_a_next_slot_if_it_has_none(self):
        due = self.schedule("ok", 4000, recurrence="hourly")
        later = (due[0] + 7200,) + due[1:]
        self.assertEqual(self.take([self.wish(due, drop=True)]),
                         self.took(dropped=1))
        self.assertSlots([later])
        self.s.wp_eval("wp_schedule_event(%d, 'hourly', 'misbehave_ok');"
                       % due[0])
        self.assertEqual(self.take([self.wish(due, drop=True)]),
                         self.took(dropped=1))
        self.assertSlots([later])

    def test_a_foreign_native_write_is_not_resurrected(self):
        due = self.schedule("ok", 100)
        stale, value = self.stored(), now_key()
        self.take([self.wish(due)], value=value)
        self.s.mysql("UPDATE wp_options SET option_value=%s"
                     " WHERE option_name='cron'", (stale,))
        self.assertEqual(self.stored_slots(), [due])
        self.assertEqual(self.take([self.wish(due)], ours=[value]),
                         self.took(gone=1))
        # The database says again what the cache does, or we would be asked
        # for it for ever.
        self.assertSlots([])
        self.assertEqual(self.rows(), [due + ("taken",)])

    def test_a_writer_between_its_two_steps_is_not_undone(self):
        # A taker gives it 0.25 s, which is enough but where the machine
        # pauses just then.
        for _ in range(5):
            due, answer, took = self.between_two_steps()
            if took < 0.25:
                break
            self.s.wp_eval("wp_cache_flush();")
            self.setUp()
        self.assertLess(took, 0.25)
        self.assertEqual(answer["taken"] + answer["gone"], 1)
        self.assertSlots([due] if answer["gone"] else [])

    def between_two_steps(self):
        """What a taker says whose look lies between them, and the seconds from
        before that look to the second step."""
        due = self.schedule("ok", 100)
        new = self.stored()
        self.s.wp_eval("wp_clear_scheduled_hook('misbehave_ok');")
        # The database has it, the cache not yet.
        self.s.mysql("UPDATE wp_options SET option_value=%s"
                     " WHERE option_name='cron'", (new,))
        go = self.s.path("go")
        if os.path.exists(go):
            os.unlink(go)
        writer = threading.Thread(target=self.s.wp_eval, args=(
            "$all = wp_load_alloptions(true); $all['cron'] ="
            " $GLOBALS['wpdb']->get_var(\"SELECT option_value FROM wp_options"
            " WHERE option_name='cron'\"); misbehave_note('ready');"
            "while (!is_file(%s)) { usleep(5000); clearstatcache(); }"
            "wp_cache_set('alloptions', $all, 'options');"
            "misbehave_note(sprintf('written %%.6f', microtime(true)));"
            % php(go),))
        writer.start()
        self.wait_note("ready")
        self.flag("pause")
        p = self.start_take([self.wish(due)])
        self.wait_note("paused")
        begun = time.time()
        self.flag("")
        time.sleep(0.1)
        with open(go, "w"):
            pass
        writer.join()
        answer = self.finish(p).takes[0]
        written = next(float(n[8:]) for n in self.notes()
                       if n.startswith("written "))
        return due, answer, written - begun


class FailureTest(CacheCase):
    """Whatever happens in the middle: all or nothing."""

    def broken(self, events, words, **options):
        before, lock = self.stored(), self.lock()
        rows = self.rows()
        answer = self.take(events, **options)
        self.assertEqual(answer, self.took(why=answer["why"]))
        self.assertIn(words, answer["why"])
        self.assertEqual(self.stored(), before)
        self.assertEqual(self.cached_slots(), slots(before))
        self.assertEqual(self.rows(), rows)
        self.assertEqual(self.lock(), lock)

    def two(self):
        return [self.schedule("ok", 4000, [1], "hourly"),
                self.schedule("ok", 3900, [2])]

    def test_a_row_that_cannot_be_inserted(self):
        one, two = self.two()
        self.broken([self.wish(one),
                     self.wish(two, insert="INSERT INTO nowhere VALUES (1)")],
                    "nowhere")

    def test_an_exception_in_somebody_s_filter(self):
        wishes = [self.wish(x) for x in self.two()]
        for what in ("throw at schedule", "throw at write", "throw at done"):
            with self.subTest(what):
                self.flag(what)
                self.broken(wishes, what)
                self.flag("")

    def test_php_ends_in_somebody_s_filter(self):
        wishes = [self.wish(x) for x in self.two()]
        for what, words in (("exit at schedule", "exit or die"),
                            ("exit at write", "exit or die"),
                            ("exit at done", "exit or die"),
                            ("fatal at done", "Allowed memory size")):
            with self.subTest(what):
                self.flag(what)
                self.broken(wishes, words)
                self.flag("")

    def test_a_connection_that_is_lost(self):
        wishes = [self.wish(x) for x in self.two()]
        for what in ("disconnect at schedule", "disconnect at write",
                     "disconnect at done"):
            with self.subTest(what):
                self.flag(what)
                self.broken(wishes, "")
                self.assertTrue(self.last.takes[0]["why"])
                self.flag("")

    def test_a_killed_child(self):
        wishes = [self.wish(x) for x in self.two()]
        before = self.stored()
        self.flag("kill at write")
        answer = self.take(wishes)
        self.assertEqual(answer,
                         self.took(why="PHP ended without an answer"))
        self.flag("")
        self.assertEqual(self.stored(), before)
        self.assertEqual(self.cached_slots(), slots(before))
        self.assertEqual(self.rows(), [])

    def test_jobs_of_the_same_request_still_run(self):
        self.flag("throw at write")
        reply = self.finish(self.start_take(
            [self.wish(self.two()[0])], jobs=[self.event("nobody")[1]]))
        self.assertTrue(reply.takes[0]["why"])
        self.assertEqual(reply.kinds(), ["done"])


class LockTest(CacheCase):
    def test_whose_lock_it_is_decides(self):
        mine = now_key(1)
        for what, age, taken in (
                ("none", None, True),
                ("a PHP runner's", 5, False),
                ("nearly stale", 45, False),
                ("stale", 61, True),
                ("a little ahead", -300, False),
                ("far ahead", -700, True),
                ("a ping's, or a sister's", mine, True)):
            with self.subTest(what):
                due = self.schedule("ok", 100)
                self.s.wp_eval("delete_transient('doing_cron');")
                held = age if age in (None, mine) else now_key(age)
                if held:
                    self.set_lock(held)
                value = now_key()
                answer = self.take([self.wish(due)], value=value, ours=[mine])
                if taken:
                    self.assertEqual(answer, self.took(taken=1))
                    self.assertEqual(self.lock(), value)
                    self.assertSlots([])
                else:
                    self.assertEqual(answer, self.took(held=True))
                    self.assertEqual(self.lock(), held)
                    self.assertSlots([due])
                    self.s.wp_eval("wp_clear_scheduled_hook('misbehave_ok');")

    def test_a_lock_for_nothing_is_given_back(self):
        gone = (int(time.time()) - 50, "misbehave_ok", "0" * 32)
        self.assertEqual(self.take([self.wish(gone)]), self.took(gone=1))
        self.assertIs(self.lock(), False)

    def test_one_for_what_will_not_run_is_given_back(self):
        due = self.schedule("ok", 4000, recurrence="hourly")
        insert = events_table.insert_sql(
            self.s, due[0], due[1], due[2], "e", state="skipped")
        self.assertEqual(self.take([self.wish(due, insert=insert)]),
                         self.took(taken=1))
        self.assertIs(self.lock(), False)

    def test_one_that_stands_for_events_taken_before_stays(self):
        mine = now_key(5)
        gone = (int(time.time()) - 50, "misbehave_ok", "0" * 32)
        for left in (False, True):
            with self.subTest(left):
                if left:
                    self.event("ok")
                self.set_lock(mine)
                value = now_key()
                self.take([self.wish(gone)], value=value, ours=[mine])
                self.assertEqual(self.lock(), value if left else False)

    def after_jobs(self, value, ours, hook="ok"):
        path = self.s.path("lock.json")
        with open(path, "w") as f:
            json.dump({"value": value, "ours": list(ours),
                       "left": LEFT}, f)
        return self.run_events([self.event(hook)], lock=path)

    def test_it_goes_when_nothing_is_left(self):
        for hook, kind in (("ok", "done"), ("throw", "failed"),
                           ("exit", "failed"), ("memory", "failed")):
            with self.subTest(hook):
                value = now_key()
                self.set_lock(value)
                reply = self.after_jobs(value, [], hook)
                self.assertEqual(reply.kinds(), [kind])
                self.assertIs(self.lock(), False)

    def test_it_stays_while_something_is_left(self):
        self.event("ok")
        held, value = now_key(10), now_key()
        self.set_lock(held)
        self.after_jobs(value, [held])
        self.assertEqual(self.lock(), held)

    def test_it_is_refreshed_when_it_grows_old(self):
        self.event("ok")
        held, value = now_key(40), now_key()
        self.set_lock(held)
        self.after_jobs(value, [held])
        self.assertEqual(self.lock(), value)

    def test_another_s_is_left_alone(self):
        theirs = now_key(40)
        for left in (False, True):
            with self.subTest(left):
                if left:
                    self.event("ok")
                self.set_lock(theirs)
                self.after_jobs(now_key(), [])
                self.assertEqual(self.lock(), theirs)

    def test_stock_runners_stand_aside_while_it_is_held(self):
        due = self.schedule("ok", 100)
        self.take([self.wish(due)])
        self.schedule("ok", 50, [1])
        self.s.php("$_GET['doing_wp_cron'] = ''; require %s;" % php(
            os.path.join(self.s.root, "wp-cron.php")))
        self.assertEqual(self.notes(), [])


class WholeTest(CacheCase):
    def test_taken_events_run_and_the_lock_goes(self):
        due = [self.schedule("ok", 100 - i, [i]) for i in range(3)]
        value = now_key()
        self.take([self.wish(x) for x in due], value=value)
        self.s.mysql("UPDATE wp_wpcron_events SET claim_id=77")
        lines = [events_table.job_line(
            self.s, r["event_id"], r["hook"].decode(),
            "a:1:{i:0;i:%d;}" % i) for i, r in enumerate(self.s.mysql(
                "SELECT * FROM wp_wpcron_events ORDER BY event_id"))]
        path = self.s.path("lock.json")
        with open(path, "w") as f:
            json.dump({"value": value, "ours": [], "left": LEFT}, f)
        reply = self.finish(self.start_lines(lines, lock=path))
        self.assertEqual(reply.kinds(), ["done"] * 3)
        self.assertEqual(self.notes(), ["ok [0]", "ok [1]", "ok [2]"])
        self.assertIs(self.lock(), False)
        self.assertSlots([])

    def test_a_take_goes_before_the_jobs_of_its_request(self):
        due = self.schedule("ok", 100)
        reply = self.finish(self.start_take(
            [self.wish(due)], jobs=[self.event("ok")[1]]))
        self.assertLess(reply.text.index("took "),
                        reply.text.index("outcome "))
        self.assertEqual(reply.kinds(), ["done"])
        self.assertEqual(reply.requests, 1)


class CompanionTest(CacheCase):
    """Beside the must-use plugin, which merges all writers' changes."""

    @classmethod
    def cached(cls):
        super().cached()
        directory = os.path.join(cls.s.root, "wp-content", "mu-plugins")
        os.makedirs(directory)
        # Its writers wait until the test has seen them do so.
        copy_patient(os.path.join(directory, "companion.php"), 30)

    def test_a_take_does_not_wait_for_it_nor_it_for_a_take(self):
        due = [self.schedule("ok", 100, [i]) for i in range(2)]
        with self.s.connect(autocommit=False) as db, db.cursor() as c:
            c.execute("SELECT option_id FROM wp_options"
                      " WHERE option_name='cron' FOR UPDATE")
            begun = time.monotonic()
            taker = self.start_take([self.wish(due[0])])
            self.s.wait_until(lambda: self.s.value(
                "SELECT COUNT(*) FROM information_schema.PROCESSLIST"
                " WHERE INFO LIKE 'SELECT option_id%%FOR UPDATE'"))
            writer = threading.Thread(target=self.schedule, args=(
                "ok", 90, [7]))
            writer.start()
            self.s.wait_until(lambda: self.s.value(
                "SELECT COUNT(*) FROM information_schema.PROCESSLIST"
                " WHERE INFO LIKE 'SELECT GET_LOCK%%'"))
            db.rollback()
        answer = self.finish(taker).takes[0]
        writer.join()
        self.assertLess(time.monotonic() - begun, 20)
        self.assertEqual(answer["taken"], 1)
        self.assertEqual(len(self.cached_slots()), 2)
        self.assertNotIn(due[0], self.cached_slots())
        self.assertEqual(self.cached_slots(), self.stored_slots())

    def test_a_failure_gives_its_lock_back(self):
        took = []
        for i in range(3):
            due = self.schedule("ok", 100, [i])
            for flag in ("throw at write", "disconnect at write"):
                with self.subTest(flag):
                    self.flag(flag)
                    self.assertTrue(self.take([self.wish(due)])["why"])
                    self.flag("")
                    self.assertSlots([due])
            begun = time.monotonic()
            self.assertEqual(self.take([self.wish(due)]), self.took(taken=1))
            took.append(time.monotonic() - begun)
            self.s.mysql("DELETE FROM wp_wpcron_events")
            self.s.wp_eval("delete_transient('doing_cron');")
        # Each would wait for 2 s; the machine may, too, but not each time.
        self.assertLess(min(took), 2)


class NetworkCacheTest(CacheCase):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.blog = cls.s.make_network(1)[0]

    def test_a_take_is_of_its_blog(self):
        here = self.schedule("ok", 100)
        there = self.schedule("ok", 100, blog=self.blog)
        for home in ("/b1", ""):
            with self.subTest(home):
                self.assertEqual(
                    self.take([self.wish(there, blog=self.blog)],
                              blog=self.blog, home=self.s.url(home)),
                    self.took(taken=1))
                self.assertSlots([here])
                self.assertEqual(self.cached_slots(self.blog), [])
                self.assertEqual(self.stored_slots("wp_2_options"), [])
                self.assertIs(self.lock(), False)
                there = self.schedule("ok", 100, blog=self.blog)
                self.s.wp_eval("switch_to_blog(%d);"
                               "delete_transient('doing_cron');" % self.blog)


class WithoutCacheTest(CacheCase):
    """The drop-in went, or turned itself off, after it was asked for."""

    @classmethod
    def cached(cls):
        pass

    def lock(self):
        return self.s.option("_transient_doing_cron") or False

    def test_events_are_taken_from_the_option_itself(self):
        due = self.schedule("ok", 4000, recurrence="hourly")
        value = now_key()
        self.assertEqual(self.take([self.wish(due)], value=value),
                         self.took(taken=1))
        self.assertSlots([(due[0] + 7200,) + due[1:]])
        self.assertEqual(self.lock(), value)
        self.assertEqual(self.take([self.wish(due)]), self.took(held=True))

    def test_a_failure_leaves_all_as_it_was(self):
        due = self.schedule("ok", 100)
        before = self.stored()
        answer = self.take([self.wish(due, insert="nonsense")])
        self.assertIn("nonsense", answer["why"])
        self.assertEqual(self.stored(), before)
        self.assertIs(self.lock(), False)


if __name__ == "__main__":
    unittest.main()
