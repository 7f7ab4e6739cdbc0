"""Readers staged by the ping: who, when, what is written, and what it costs.
nginx' ways to it are test_reader_ping_nginx.py's."""

import threading
import time
import unittest

import readers
from readers import Statements, Visitor, flags, wait_staged

SETTLED = 0.5  # s in which a ping that does something has done it


class Case(unittest.TestCase):
    site = ""

    @classmethod
    def setUpClass(cls):
        cls.s = readers.reader_site(cls, ())
        cls.daemon = cls.s.start_daemon(site=cls.site)
        readers.start_nginx(cls.s, cls.daemon)
        cls.serial = 0

    def login(self, role="subscriber"):
        """A new user; nothing is remembered of them."""
        Case.serial = getattr(Case, "serial", 0) + 1
        name = "reader%d" % Case.serial
        readers.add_user(self.s, name, role)
        return name

    def visitor(self, login, **kwargs):
        return Visitor(self.s, readers.make_cookies(
            self.s, [login], **kwargs)[login])

    def assert_answer(self, answer):
        status, headers, body, _took = answer
        self.assertEqual((status, body), (204, b""))
        self.assertEqual(headers["Cache-Control"], "private, no-store")

    def assert_nobody(self, login, what=""):
        time.sleep(SETTLED)
        self.assertEqual(flags(self.s, login),
                         {"last": [], "push": [], "pull": []}, what)


class StagingTest(Case):
    def test_anonymous_no_flags(self):
        for cookies in ("", "a=b", "wordpress_logged_in_=x",
                        "wordpress_logged_in_%s=admin|1|2|3" % ("0" * 32)):
            self.assert_answer(Visitor(self.s, cookies).ping())
        self.assert_nobody("admin")

    def test_a_first_visit_writes_throttle_and_both_flags(self):
        jane = self.login()
        before = int(time.time())
        self.assert_answer(self.visitor(jane).ping())
        wait_staged(self.s, jane)
        found = flags(self.s, jane)
        self.assertEqual([len(v) for v in found.values()], [1, 1, 1])
        self.assertEqual(found["last"], found["push"])
        self.assertEqual(found["last"], found["pull"])
        self.assertLessEqual(before, int(found["last"][0]))
        self.assertLessEqual(int(found["last"][0]), time.time())

    def test_a_recent_throttle_stops_all(self):
        jane = self.login()
        value = readers.put_last(self.s, jane, 200)
        self.visitor(jane).ping()
        time.sleep(SETTLED)
        self.assertEqual(flags(self.s, jane),
                         {"last": [value], "push": [], "pull": []})

    def test_a_throttle_in_the_future_stops_all(self):
        jane = self.login()
        value = readers.put_last(self.s, jane, -1000)
        self.visitor(jane).ping()
        time.sleep(SETTLED)
        self.assertEqual(flags(self.s, jane)["last"], [value])
        self.assertEqual(flags(self.s, jane)["push"], [])

    def test_exactly_five_minutes_proceed(self):
        jane, joan = self.login(), self.login()
        visitors = self.visitor(jane), self.visitor(joan)
        # Half a second into one, so that both are asked within it.
        time.sleep(1.3 - time.time() % 1)
        readers.put_last(self.s, jane, 300)
        value = readers.put_last(self.s, joan, 285)
        for v in visitors:
            v.ping()
        wait_staged(self.s, jane)
        self.assertEqual(flags(self.s, joan),
                         {"last": [value], "push": [], "pull": []})

    def test_ten_minutes_old_is_flagged_for_pull_and_not_pulled(self):
        jane = self.login()
        readers.put_last(self.s, jane, 600)
        before = readers.counts(self.s, self.daemon)
        self.visitor(jane).ping()
        wait_staged(self.s, jane)
        found = flags(self.s, jane)
        self.assertEqual(found["pull"], found["last"])
        self.assertEqual(
            readers.counts(self.s, self.daemon)["stale"], before["stale"])

    def test_rows_that_are_there_are_updated(self):
        jane = self.login()
        readers.put_last(self.s, jane, 5000)
        readers.put_last(self.s, jane, 4000)
        v = self.visitor(jane)
        v.ping()
        wait_staged(self.s, jane)
        found = flags(self.s, jane)
        self.assertEqual(len(found["last"]), 2)
        self.assertEqual(set(found["last"]), set(found["push"]))

    def test_whoever_is_logged_in_is_staged_by_default(self):
        for role in ("administrator", "editor", "author", "subscriber"):
            name = self.login(role)
            self.visitor(name).ping()
            wait_staged(self.s, name)

    def test_a_session_that_ended_stages_nobody(self):
        jane, joan = self.login(), self.login()
        v, w = self.visitor(jane), self.visitor(joan)
        self.s.mysql("DELETE FROM wp_usermeta WHERE meta_key='session_tokens'"
                     " AND user_id = (SELECT ID FROM wp_users WHERE"
                     " user_login = %s)", (jane,))
        self.s.mysql("UPDATE wp_users SET user_pass = MD5('other') WHERE"
                     " user_login = %s", (joan,))
        self.assert_answer(v.ping())
        self.assert_answer(w.ping())
        self.assert_nobody(jane)
        self.assert_nobody(joan)

    def test_an_expired_cookie_costs_no_look_up(self):
        jane = self.login()
        v = self.visitor(jane, seconds=1)
        time.sleep(2.1)
        with Statements(self.s) as seen:
            self.assert_answer(v.ping())
            self.assert_nobody(jane)
        self.assertEqual(seen.look_ups(), [])

    def test_head_and_get_stage_too(self):
        for method in ("HEAD", "GET"):
            jane = self.login()
            self.assert_answer(self.visitor(jane).ping(method=method))
            wait_staged(self.s, jane)

    def test_two_devices_of_a_reader_at_once_write_one_row_of_each(self):
        jane = self.login()
        devices = [self.visitor(jane) for _ in range(6)]
        threads = [threading.Thread(target=v.ping) for v in devices]
        for t in threads:
            t.start()
        for t in threads:
            t.join()
        wait_staged(self.s, jane)
        time.sleep(SETTLED)
        self.assertEqual([len(v) for v in flags(self.s, jane).values()],
                         [1, 1, 1])

    def test_a_user_deleted_meanwhile_leaves_no_orphans(self):
        jane = self.login()
        v = self.visitor(jane)
        self.s.mysql("DELETE FROM wp_users WHERE user_login = %s", (jane,))
        self.assert_answer(v.ping())
        time.sleep(SETTLED)
        self.assertEqual(self.s.value(
            "SELECT COUNT(*) FROM wp_usermeta m LEFT JOIN wp_users u ON"
            " u.ID = m.user_id WHERE u.ID IS NULL AND m.meta_key LIKE"
            " 'newspack%%'"), 0)


class CostTest(Case):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        # Until the cookie's name is known all that may hold it is looked at.
        readers.add_user(cls.s, "first")
        Visitor(cls.s, readers.make_cookies(cls.s, ["first"])["first"]).ping()
        wait_staged(cls.s, "first")

    def test_a_busy_reader_is_read_once_a_window(self):
        jane = self.login()
        v, other = self.visitor(jane), self.visitor(jane)
        with Statements(self.s) as seen:
            v.ping()
            wait_staged(self.s, jane)
            for _ in range(50):
                v.ping()
            # Another device was never seen: once.
            other.ping()
            self.s.wait_until(lambda: len(seen.look_ups()) > 1, 10)
            time.sleep(SETTLED)
            for _ in range(50):
                other.ping()
            time.sleep(SETTLED)
        self.assertEqual(seen.look_ups(), [jane, jane])
        self.assertEqual(len(seen.of("INSERT INTO%usermeta%last_enqueue%")), 1)

    def test_of_pings_at_once_one_looks(self):
        jane = self.login()
        v = self.visitor(jane)
        with Statements(self.s) as seen:
            threads = [threading.Thread(
                target=Visitor(self.s, v.cookies).ping) for _ in range(20)]
            for t in threads:
                t.start()
            for t in threads:
                t.join()
            wait_staged(self.s, jane)
        self.assertEqual(seen.look_ups(), [jane])

    def test_the_window_over_a_proven_cookie_is_looked_at_again(self):
        jane = self.login()
        v = self.visitor(jane)
        first = readers.put_last(self.s, jane, 298)
        v.ping()

        def again():
            v.ping()
            return flags(self.s, jane)["last"] != [first]
        self.s.wait_until(again, 10, 0.2)
        self.assertEqual(len(flags(self.s, jane)["push"]), 1)


class BudgetTest(Case):
    site = "unproven_cookies = 5/s\n"

    def forged(self, n):
        base = self.visitor(self.login()).cookies
        name = base.split("=", 1)[0]
        till = int(time.time()) + 3600
        return ["%s=nobody%d%%7C%d%%7C%s%%7C%064x" % (
            name, i, till, "t" * 43, i) for i in range(n)]

    def test_forged_cookies_share_the_budget(self):
        known = self.login()
        proven = self.visitor(known)
        first = readers.put_last(self.s, known, 297)
        proven.ping()
        time.sleep(SETTLED)
        forged = self.forged(300)
        v = Visitor(self.s)
        with Statements(self.s) as seen:
            begun = time.monotonic()
            for cookies in forged:
                v.cookies = cookies
                self.assert_answer(v.ping())
            took = time.monotonic() - begun
            # Still, a reader who was proven is looked at.
            while flags(self.s, known)["last"] == [first]:
                v.cookies = forged[0]
                v.ping()
                proven.ping()
                self.assertLess(time.monotonic() - begun, 30)
            total = time.monotonic() - begun
            time.sleep(SETTLED)
        looked = [x for x in seen.look_ups() if x.startswith("nobody")]
        self.assertGreaterEqual(len(looked), 4)
        self.assertLessEqual(len(looked), 5 + 5 * (total + SETTLED) + 1,
                             "in %.1f s" % took)

    def test_a_repeated_forgery_is_budgeted_like_any(self):
        v = Visitor(self.s, self.forged(1)[0])
        with Statements(self.s) as seen:
            begun = time.monotonic()
            for _ in range(100):
                v.ping()
            took = time.monotonic() - begun
            time.sleep(SETTLED)
        self.assertLessEqual(len(seen.look_ups()), max(
            30, 5 + 5 * (took + SETTLED) + 1), "in %.1f s" % took)


class ReadersOnlyTest(Case):
    site = "stage = readers\n"

    def test_staff_is_left_out(self):
        for role, wanted in (("subscriber", True), ("administrator", False),
                             ("editor", False), ("author", False)):
            name = self.login(role)
            v = self.visitor(name)
            before = readers.counts(self.s, self.daemon)["looked"]
            v.ping()
            self.s.wait_until(lambda: readers.counts(
                self.s, self.daemon)["looked"] > before, 10, 0.1)
            if wanted:
                wait_staged(self.s, name)
            else:
                self.assert_nobody(name, role)
            with Statements(self.s) as seen:
                for _ in range(10):
                    v.ping()
                time.sleep(0.2)
            self.assertEqual(seen.look_ups(), [], role)

    def test_np_reader_makes_an_author_a_reader(self):
        author, editor = self.login("author"), self.login("editor")
        for name in (author, editor):
            self.s.mysql("INSERT INTO wp_usermeta (user_id, meta_key,"
                         " meta_value) SELECT ID, 'np_reader', '1' FROM"
                         " wp_users WHERE user_login = %s", (name,))
            self.visitor(name).ping()
        wait_staged(self.s, author)
        self.assert_nobody(editor)


class NobodyTest(Case):
    site = "stage = nobody\n"

    def test_nobody_is_staged_until_a_reload_says_so(self):
        jane = self.login()
        v = self.visitor(jane)
        self.assert_answer(v.ping())
        self.assert_nobody(jane)
        with open(self.daemon.config, encoding="ascii") as f:
            text = f.read()
        with open(self.daemon.config, "w", encoding="ascii") as f:
            f.write(text.replace("stage = nobody", "stage = everyone"))
        self.daemon.send_signal(1)

        def now():
            v.ping()
            return readers.staged(self.s) == [jane]
        self.s.wait_until(now, 20, 0.2)


class WithoutPluginTest(Case):
    @classmethod
    def setUpClass(cls):
        cls.s = readers.reader_site(cls, (), plugin=False)
        cls.daemon = cls.s.start_daemon(daemon="log_level = debug")
        readers.start_nginx(cls.s, cls.daemon)

    def test_nobody_is_staged_and_nothing_is_read_for_it(self):
        jane = self.login()
        v = self.visitor(jane)
        v.ping()
        self.assert_nobody(jane)
        # Until then it may be asked for that ping, or for the batch, whether
        # the plugin is there.
        self.s.wait_until(
            lambda: "contacts.held" in self.daemon.log_text(), 30)
        time.sleep(2)
        with Statements(self.s) as seen:
            for _ in range(50):
                self.assert_answer(v.ping())
            time.sleep(SETTLED)
        self.assertEqual(seen.look_ups(), [])
        self.assertEqual(seen.of("%newspack%"), [])


class AwayTest(Case):
    def test_a_database_that_is_away_keeps_no_page(self):
        jane = self.login()
        v = self.visitor(jane)
        self.s.mariadb.kill()
        for _ in range(20):
            *answer, took = v.ping()
            self.assert_answer(tuple(answer) + (took,))
            self.assertLess(took, 5)
        self.s.start_mariadb()

        def now():
            v.ping()
            return readers.staged(self.s) == [jane]
        # What was not looked at rests for ten seconds.
        self.s.wait_until(now, 40, 0.5)


if __name__ == "__main__":
    unittest.main()
