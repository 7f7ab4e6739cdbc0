"""Readers staged beside PHP, in networks, and on sites with an object cache."""

import os
import time
import unittest

import newspack
import readers
from networks import rewritten
from readers import Statements, Visitor, flags, log_in, wait_staged
from stack import Stack

SETTLED = 0.5
NAME = "net.test"


class BesidePhpTest(unittest.TestCase):
    """PHP stages on its pages, too: both go by the same throttle."""

    @classmethod
    def setUpClass(cls):
        cls.s = s = Stack()
        cls.addClassCleanup(s.close)
        s.start_mariadb()
        s.install_wordpress()
        s.start_php_fpm(children=6)
        s.install_action_scheduler()
        newspack.install(s, provider=None, integrations=("crm",),
                         incoming={"crm": ["FAVOURITE"]})
        cls.daemon = s.start_daemon(
            site="contacts_every = 1h\n" + readers.NO_BATCH)
        readers.start_nginx(s, cls.daemon, sync=True)

    def pulls_of(self, user):
        return [c for c in newspack.calls(self.s, "pull")
                if c["user_id"] == user]

    def test_whoever_php_staged_rests(self):
        user = readers.add_user(self.s, "php_first")
        newspack.visit(self.s, user)
        before = flags(self.s, "php_first")
        self.assertEqual(len(before["push"]), 1)
        v = Visitor(self.s, readers.make_cookies(
            self.s, ["php_first"])["php_first"])
        time.sleep(1.1)
        with Statements(self.s) as seen:
            for _ in range(10):
                v.ping()
            self.s.wait_until(seen.look_ups, 20)
            time.sleep(SETTLED)
        self.assertEqual(seen.look_ups(), ["php_first"])
        self.assertEqual(flags(self.s, "php_first"), before)

    def test_whom_we_staged_php_lets_rest(self):
        user = readers.add_user(self.s, "ours_first")
        newspack.remote(self.s, {
            newspack.email(self.s, user): {"FAVOURITE": "blue"}})
        v = Visitor(self.s, readers.make_cookies(
            self.s, ["ours_first"])["ours_first"])
        # Its data comes before PHP renders the page; PHP asks no loopback.
        self.assertEqual(v.get("/?p=1")[0], 200)
        wait_staged(self.s, "ours_first")
        self.s.wait_until(lambda: newspack.reader_data(self.s, user), 20)
        first = flags(self.s, "ours_first")["last"]
        time.sleep(1.1)
        self.assertEqual(v.get("/?p=1")[0], 200)
        newspack.visit(self.s, user)
        time.sleep(SETTLED)
        found = flags(self.s, "ours_first")
        self.assertEqual((found["last"], found["push"]), (first, first))
        self.assertEqual(len(self.pulls_of(user)), 1)

    def test_the_window_over_php_stages_whom_we_staged(self):
        user = readers.add_user(self.s, "in_turn")
        v = Visitor(self.s, readers.make_cookies(
            self.s, ["in_turn"])["in_turn"])
        v.ping()
        wait_staged(self.s, "in_turn")
        # Whom nobody ever staged is pulled at once. PHP's UPDATE and our
        # DELETE of that flag at one time would be a deadlock of InnoDB's.
        self.s.wait_until(lambda: not flags(self.s, "in_turn")["pull"], 20)
        for key in readers.KEYS.values():
            self.s.mysql("UPDATE wp_usermeta SET meta_value = meta_value - 301"
                         " WHERE user_id = %s AND meta_key = %s", (user, key))
        newspack.visit(self.s, user)
        found = flags(self.s, "in_turn")
        self.assertEqual([len(x) for x in found.values()], [1, 1, 1])
        self.assertLess(time.time() - int(found["push"][0]), 60)


class NetworkTest(unittest.TestCase):
    """Sub-directories: jane is of the second blog, joan of the main one."""

    @classmethod
    def setUpClass(cls):
        cls.s = s = readers.reader_site(cls, ("joan",))
        cls.blogs = s.make_network(2, NAME)
        for blog in cls.blogs:
            s.mysql("UPDATE wp_%d_options SET option_value = (SELECT"
                    " option_value FROM wp_options WHERE option_name ="
                    " 'active_plugins') WHERE option_name = 'active_plugins'"
                    % blog)
        readers.add_user(s, "jane", blog=cls.blogs[0])
        os.makedirs(os.path.join(s.root, "static"))
        with open(os.path.join(s.root, "static/page.html"), "w",
                  encoding="ascii") as f:
            f.write("static")
        cls.daemon = s.start_daemon()
        readers.start_nginx(s, cls.daemon, edit=rewritten, extra="""
            if (!-e $request_filename) {
                rewrite ^(/[^/]+)?(/wp-.*) $2 last;
            }""")
        # Until the daemon has read the list of blogs.
        s.wait_until(lambda: "network.blogs" in cls.daemon.log_text(), 20)
        cls.cookies = readers.make_cookies(s, ["jane", "joan"])

    def setUp(self):
        self.daemon.send_signal(15)
        self.daemon.stop()
        self.s.servers.remove(self.daemon)
        readers.forget(self.s)
        begun = (os.path.getsize(self.daemon.log)
                 if os.path.exists(self.daemon.log) else 0)
        type(self).daemon = self.s.start_daemon(name="d1")
        self.s.wait_until(
            lambda: "network.blogs" in self.daemon.log_text()[begun:], 20)

    def visitor(self, login):
        return Visitor(self.s, self.cookies[login], NAME)

    def assert_not_staged(self, login):
        time.sleep(SETTLED)
        self.assertEqual(flags(self.s, login)["push"], [])

    def test_members_of_the_blog_alone_are_staged(self):
        jane = self.visitor("jane")
        for path in ("/", "/b2/", "/static/page.html"):
            jane.get(path)
        self.assert_not_staged("jane")
        jane.get("/b1/2024/a-post/?utm_source=x")
        wait_staged(self.s, "jane")
        joan = self.visitor("joan")
        joan.get("/b1/")
        self.assert_not_staged("joan")
        joan.get("/static/page.html")
        wait_staged(self.s, "joan")

    def test_the_beacon_of_a_blog(self):
        jane = self.visitor("jane")
        self.assertEqual(jane.ping()[0], 204)
        self.assertEqual(jane.ping(base="/b2")[0], 204)
        self.assert_not_staged("jane")
        self.assertEqual(jane.ping(base="/b1")[0], 204)
        wait_staged(self.s, "jane")

    def test_a_log_in_on_a_blog(self):
        jane = log_in(self.s, "jane", host=NAME, base="/b1")
        jane.get("/b1/wp-admin/profile.php")
        wait_staged(self.s, "jane")
        self.assertEqual([len(x) for x in flags(self.s, "jane").values()],
                         [1, 1, 1])

    def test_a_plugin_that_is_not_active_on_the_blog(self):
        s, blog = self.s, self.blogs[0]
        options = "wp_%d_options" % blog
        kept = s.value("SELECT option_value FROM %s WHERE option_name ="
                       " 'active_plugins'" % options)
        s.mysql("UPDATE %s SET option_value = 'a:0:{}' WHERE option_name ="
                " 'active_plugins'" % options)
        try:
            self.visitor("jane").get("/b1/")
            self.assert_not_staged("jane")
        finally:
            s.mysql("UPDATE %s SET option_value = %%s WHERE option_name ="
                    " 'active_plugins'" % options, (kept,))


class ObjectCacheTest(unittest.TestCase):
    """PHP does not see what we write until its cache forgets: it stages once
    more than needed, and never less."""

    @classmethod
    def setUpClass(cls):
        cls.s = s = Stack()
        cls.addClassCleanup(s.close)
        s.start_mariadb()
        s.install_wordpress()
        s.install_action_scheduler()
        newspack.install(s, provider=None, integrations=())
        s.start_redis()
        s.install_object_cache()
        s.start_php_fpm(children=4)
        cls.daemon = s.start_daemon()
        readers.start_nginx(s, cls.daemon)

    def test_staged_by_both_in_turn_there_is_one_row_of_each(self):
        s = self.s
        user = readers.add_user(s, "jane")
        # PHP's cache holds her usermeta: no flags.
        v = Visitor(s, readers.make_cookies(s, ["jane"])["jane"])
        s.wp_eval("get_user_meta( %d );" % user)
        v.ping()
        wait_staged(s, "jane")
        time.sleep(1.1)
        newspack.visit(s, user)
        found = flags(s, "jane")
        self.assertEqual((len(found["last"]), len(found["push"])), (1, 1))
        # Another visit rests again, by the cache's own time.
        newspack.visit(s, user)
        self.assertEqual(flags(s, "jane")["last"], found["last"])
        self.assertEqual(flags(s, "jane")["push"], found["push"])

    def test_a_flag_we_removed_is_staged_again_by_php(self):
        s = self.s
        user = readers.add_user(s, "joan")
        newspack.visit(s, user)
        self.assertEqual(len(flags(s, "joan")["push"]), 1)
        s.mysql("DELETE FROM wp_usermeta WHERE user_id = %s AND meta_key ="
                " %s", (user, readers.KEYS["push"]))
        time.sleep(1.1)
        s.wp_eval("\\Newspack\\Reader_Activation\\Integrations\\Contact_Cron"
                  "::enqueue_for_push( %d );" % user)
        self.assertEqual(len(flags(s, "joan")["push"]), 1)


class OwnNameTest(unittest.TestCase):
    """A log-in cookie that is not named as usual."""

    @classmethod
    def setUpClass(cls):
        cls.s = s = Stack()
        cls.addClassCleanup(s.close)
        s.start_mariadb()
        s.install_wordpress(
            config_extra="define( 'LOGGED_IN_COOKIE', 'our_reader' );\n")
        s.start_php_fpm(children=4)
        readers.put_plugin(s)
        readers.add_user(s, "jane")
        cls.daemon = s.start_daemon()
        readers.start_nginx(s, cls.daemon)

    def test_the_name_is_learned_from_the_first_cookies(self):
        cookies = readers.make_cookies(self.s, ["jane"])["jane"]
        self.assertTrue(cookies.startswith("our_reader="))
        v = Visitor(self.s, "_ga=1; " + cookies)

        def now():
            v.ping()
            return flags(self.s, "jane")["push"]
        self.s.wait_until(now, 20, 0.1)


if __name__ == "__main__":
    unittest.main()
