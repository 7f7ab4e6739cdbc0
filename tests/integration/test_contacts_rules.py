"""Rules of the batch at their edges: how much at once, which integrations,
which words mean what, whose blog, and where PHP keeps its copies."""

import time
import unittest

import newspack
from contacts import DONE, FAILED, LIST, ContactCase

CRON = "NEWSPACK-CONTACT-CRON"
LIST_OPTION = "newspack_integration_settings_esp_mailchimp_audience_id"
ENABLED = "newspack_reader_activation_enabled_integrations"


class AmountTest(ContactCase):
    def test_no_more_than_max_staged_at_once_and_the_rest_next(self):
        conf = self.write_conf("few.conf", site="max_staged = 10")
        users = self.readers(25)
        self.stage(users, ["push"])
        counts = self.tick("--push", config=conf)
        self.assertEqual(counts["push"]["readers"], 10)
        self.assertTrue(counts["push"]["more"])
        for _ in range(2):
            counts = self.tick("--push", config=conf)
        self.assertFalse(counts["push"]["more"])
        self.assertEqual(self.flags(), {})
        self.assertEqual(sorted(self.sent()), self.addresses(users))

    def test_two_readers_of_one_address_are_both_settled(self):
        one, two = self.readers(2)
        self.s.mysql("UPDATE wp_users SET user_email = 'Same@example.org'"
                     " WHERE ID = %s", (one,))
        self.s.mysql("UPDATE wp_users SET user_email = 'same@example.org'"
                     " WHERE ID = %s", (two,))
        self.stage([one, two], ["push"])
        for _ in range(3):
            self.tick("--push", code=(DONE, FAILED))
        self.assertEqual(self.flags(), {})

    def test_an_empty_address_is_no_contact(self):
        user, other = self.readers(2)
        self.s.mysql("UPDATE wp_users SET user_email = '' WHERE ID = %s",
                     (user,))
        self.stage([user, other], ["push"])
        self.tick("--push", code=(DONE, FAILED))
        self.assertEqual(self.sent(), [self.address(other)])
        self.assertEqual(self.flags(), {})
        self.assertEqual(self.waiting("push"), [])


class WordsTest(ContactCase):
    """Lines at NEWSPACK_LOG_LEVEL 1, as operators look for them."""

    CRM = True

    def said(self, header=CRON):
        return [text for h, text in self.lines if h == header]

    def test_a_reader_who_is_left_to_retries(self):
        user, = self.readers()
        newspack.set_option(self.s, ENABLED, ["crm"])
        self.addCleanup(newspack.set_option, self.s, ENABLED, ["esp", "crm"])
        newspack.knobs(self.s,
                       {"on": "push", "do": "error", "with": ["away"]},
                       {"on": "pull", "do": "error", "with": ["away"]})
        self.stage([user])
        self.tick(code=FAILED)
        self.assertIn("Batch pull failed for user %d: [crm] away" % user,
                      self.said())
        self.assertIn("Batch push failed for user %d: [crm] away" % user,
                      self.said())
        self.assertIn('Scheduled retry 1/5 for integration "crm" sync of user'
                      " %d in 30s. Error: away" % user,
                      self.said("NEWSPACK-SYNC"))
        self.assertIn('Scheduled pull retry 1/5 for integration "crm" of user'
                      " %d in 30s. Error: away" % user,
                      self.said("NEWSPACK-CONTACT-PULL"))
        self.stage([user])
        self.tick(code=(DONE, FAILED))
        self.assertEqual(self.said(), [
            "Batch pull started for 1 user(s).",
            "Batch pull skipping user %d: pending pull retries." % user,
            "Batch pull completed.", "Batch push started for 1 user(s).",
            "Batch push skipping user %d: pending sync retries." % user,
            "Batch push completed."])

    def test_words_of_an_error_say_whether_it_is_tried_again(self):
        rows = (("The contact was permanently deleted.", False),
                ("a@b looks FAKE or invalid, please", False),
                ("Your merge fields were invalid.", False),
                ("Please provide a valid email address.", False),
                ("Contact email address is not valid.", False),
                ("API access has been disabled", False),
                ("402 Payment Required", False),
                ("Member exists", False),
                ("x is already a list member.", False),
                ("Something else", True))
        users = self.readers(len(rows))
        newspack.set_option(self.s, ENABLED, ["crm"])
        self.addCleanup(newspack.set_option, self.s, ENABLED, ["esp", "crm"])
        newspack.knobs(self.s, *[
            {"on": "push", "id": "crm", "do": "error", "users": [user],
             "with": ["first of two", words]}
            for user, (words, _) in zip(users, rows)])
        self.stage(users, ["push"])
        counts = self.tick("--push", code=FAILED)
        waiting = [r["data"]["user_id"] for r in self.waiting("push")]
        self.assertEqual(waiting, [
            user for user, (_, again) in zip(users, rows) if again])
        self.assertEqual(counts["push"]["done"], 2)
        self.assertEqual(counts["push"]["refused"], 7)
        self.assertEqual(self.flags(), {})


class ChainTest(ContactCase):
    """What ends a chain of retries quietly."""

    CRM = True

    def fail(self, direction):
        user, = self.readers()
        part = self.esp.hash_of(self.address(user))
        self.esp.fail(500, times=999, where=lambda c: part in c.path)
        self.stage([user], [direction])
        newspack.set_option(self.s, ENABLED, ["esp"])
        self.tick("--" + direction, code=FAILED)
        self.assertEqual(len(self.waiting(direction)), 1)
        self.esp.forget()
        return user

    def ended(self, direction):
        self.run_retries(direction)
        self.assertEqual(self.waiting(direction), [])
        self.assertEqual([r["status"] for r in self.s.actions()],
                         ["complete"])
        self.assertEqual(self.sent(), [])

    def test_an_integration_that_is_not_set_up_any_more(self):
        for direction in ("push", "pull"):
            with self.subTest(direction):
                self.clean()
                self.fail(direction)
                newspack.delete_option(self.s, LIST_OPTION)
                try:
                    self.ended(direction)
                finally:
                    newspack.set_option(self.s, LIST_OPTION, LIST)

    def test_an_integration_that_is_disabled(self):
        for direction in ("push", "pull"):
            with self.subTest(direction):
                self.clean()
                self.fail(direction)
                newspack.set_option(self.s, ENABLED, ["crm"])
                try:
                    self.ended(direction)
                finally:
                    newspack.set_option(self.s, ENABLED, ["esp"])

    def test_a_direction_that_is_switched_off(self):
        for direction, name in (("push", "outgoing"), ("pull", "incoming")):
            with self.subTest(direction):
                self.clean()
                self.fail(direction)
                option = ("newspack_integration_settings_esp_%s_sync_enabled"
                          % name)
                newspack.set_option(self.s, option, "")
                try:
                    self.ended(direction)
                finally:
                    newspack.delete_option(self.s, option)


class OlderPluginTest(ContactCase):
    """As merged at first: integrations without toggles of their own."""

    GENERATION = "g1"
    CRM = True

    def test_both_kinds_of_integration_get_every_reader(self):
        users = self.readers(2)
        for user in users:
            self.member(user, COLOR="blue")
        self.stage(users)
        self.tick()
        self.assertEqual(sorted(self.sent()), self.addresses(users))
        self.assertEqual(sorted(c["user_id"] for c in newspack.calls(
            self.s, "push", "crm")), users)
        self.assertEqual(self.data(users[1]), {"COLOR": '"blue"'})
        self.assertEqual(self.flags(), {})
        self.assertEqual(
            self.esp.values(self.address(users[0]))["NP_Account"], users[0])


class NetworkTest(ContactCase):
    """Keys of usermeta have no prefix: each blog takes its own members."""

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.blog, = cls.s.make_network(1)
        for row in cls.s.mysql(
                "SELECT option_name, option_value FROM wp_options WHERE"
                " option_name LIKE '%%newspack%%' OR option_name ="
                " 'active_plugins'", ()):
            newspack.set_option(cls.s, row["option_name"],
                                row["option_value"], cls.blog)
        # A blog was made of the site: it is another one.
        cls.call("install")
        cls.call("site", "adopt")

    def tick_of_blog(self):
        url = self.s.value("SELECT option_value FROM wp_%d_options WHERE"
                           " option_name = 'home'" % self.blog)
        return self.tick("--url", url, code=(DONE, FAILED))

    def test_a_reader_of_another_blog_stays_staged(self):
        here, = self.readers()
        there, = self.readers(blog=self.blog)
        self.stage([here, there], ["push"])
        self.tick("--push", code=(DONE, FAILED))
        self.assertEqual(self.sent(), [self.address(here)])
        self.assertEqual(list(self.flags()), [there])

    def test_a_reader_of_two_blogs_is_pushed_by_the_one_that_comes_first(
            self):
        user, = self.readers(meta={
            "wp_%d_capabilities" % self.blog: 'a:1:{s:10:"subscriber";b:1;}'})
        self.stage([user], ["push"])
        self.tick("--push", code=(DONE, FAILED))
        self.assertEqual(self.sent(), [self.address(user)])
        self.assertEqual(self.flags(), {})


class CacheTest(ContactCase):
    """Behind a persistent object cache PHP sees what was pulled."""

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.s.start_redis()
        cls.s.install_object_cache()
        cls.s.wp_eval("wp_cache_flush();")

    def seen(self, user):
        return self.s.wp_eval(
            "echo get_user_meta( %d, 'newspack_reader_data_item_COLOR', true"
            " );" % user)

    def test_php_sees_a_pulled_value_at_once(self):
        user, = self.readers()
        self.assertEqual(self.seen(user), "")
        self.member(user, COLOR="blue")
        self.stage([user], ["pull"])
        self.tick("--pull")
        self.assertEqual(self.seen(user), '"blue"')
        self.assertEqual(self.data(user), {"COLOR": '"blue"'})

    def test_a_page_load_stages_anew_what_the_batch_has_removed(self):
        user, = self.readers()
        self.s.wp_eval("update_user_meta( %d, '%s', time() );" % (
            user, newspack.PENDING["push"]))
        self.tick("--push")
        self.assertEqual(self.flags(), {})
        time.sleep(1.1)
        self.s.wp_eval("update_user_meta( %d, '%s', time() );" % (
            user, newspack.PENDING["push"]))
        self.assertEqual(list(self.flags("push")), [user])


if __name__ == "__main__":
    unittest.main()
