"""The batch: what Newspack's own tests assert of it, and that nothing leaves
from where nothing may."""

import json
import threading
import unittest

import newspack
from contacts import AGAIN, DONE, FAILED, KEY, LIST, ContactCase, now

CRON = "NEWSPACK-CONTACT-CRON"


class PullTest(ContactCase):
    def test_only_enabled_fields_are_stored(self):
        user, = self.readers()
        self.member(user, COLOR="blue", CITY="Rome", OTHER="no")
        self.stage([user], ["pull"])
        self.tick("--pull")
        data = newspack.reader_data(self.s, user)
        self.assertEqual(data, {"COLOR": '"blue"', "CITY": '"Rome"'})
        self.assertEqual(self.flags(), {})

    def test_one_reader_s_error_does_not_escape(self):
        bad, good = self.readers(2)
        for user in (bad, good):
            self.member(user, COLOR="red")
        hash_of = self.esp.hash_of(self.address(bad))
        self.esp.fail(500, times=99, where=lambda c: hash_of in c.path)
        self.stage([bad, good], ["pull"])
        counts = self.tick("--pull", code=FAILED)
        self.assertEqual(counts["pull"]["done"], 1)
        self.assertEqual(counts["pull"]["retried"], 1)
        self.assertEqual(self.data(good), {"COLOR": '"red"'})
        self.assertEqual([r["data"]["user_id"] for r in self.waiting("pull")],
                         [bad])

    def test_a_value_is_stored_as_json_in_utf_8(self):
        user, = self.readers()
        self.member(user, COLOR="Gr\u00fcn/Blau \"x\"", CITY=12)
        self.stage([user], ["pull"])
        self.tick("--pull")
        data = newspack.reader_data(self.s, user)
        self.assertEqual(json.loads(data["COLOR"]), "Gr\u00fcn/Blau \"x\"")
        self.assertNotIn("\\u", data["COLOR"])
        self.assertNotIn("\\/", data["COLOR"])
        self.assertEqual(json.loads(data["CITY"]), 12)

    def test_a_disabled_integration_is_skipped(self):
        user, = self.readers()
        self.stage([user])
        newspack.set_option(
            self.s, "newspack_reader_activation_enabled_integrations", [])
        try:
            self.tick()
        finally:
            newspack.set_option(
                self.s, "newspack_reader_activation_enabled_integrations",
                ["esp"])
        self.assertEqual(self.esp.calls, [])

    def test_incoming_fields_keep_their_order(self):
        rows = self.json("integration", "list", "--fields=id,incoming")
        self.assertEqual(rows, [{"id": "esp",
                                 "incoming": list(self.INCOMING)}])

    def test_what_the_provider_does_not_know_leaves_stored_data_alone(self):
        user, = self.readers()
        newspack.set_meta(self.s, user, "newspack_reader_data_item_COLOR",
                          '"old"')
        newspack.set_meta(self.s, user, "newspack_reader_data_keys",
                          'a:1:{i:0;s:5:"COLOR";}')
        self.stage([user], ["pull"])
        self.tick("--pull", code=(DONE, FAILED))
        self.assertEqual(self.data(user), {"COLOR": '"old"'})


class BatchTest(ContactCase):
    def test_a_staged_reader_is_pulled_then_pushed_and_not_staged_any_more(
            self):
        user, = self.readers()
        self.member(user, COLOR="blue")
        self.stage([user])
        counts = self.tick()
        self.assertEqual(self.flags(), {})
        self.assertEqual(self.data(user), {"COLOR": '"blue"'})
        self.assertEqual(self.sent(), [self.address(user)])
        self.assertEqual(counts["push"]["done"], 1)
        self.assertEqual(counts["pull"]["done"], 1)

    def test_its_lines_are_worded_as_newspack_has_them(self):
        users = self.readers(2)
        for user in users:
            self.member(user)
        self.stage(users)
        self.tick()
        said = [text for header, text in self.lines if header == CRON]
        self.assertEqual(said, [
            "Batch pull started for 2 user(s).", "Batch pull completed.",
            "Batch push started for 2 user(s).", "Batch push completed."])

    def test_nothing_staged_is_nothing_said(self):
        self.tick()
        self.assertEqual(self.lines, [])
        self.assertEqual(self.esp.calls, [])

    def test_two_flags_of_one_reader_are_one_push(self):
        user, = self.readers()
        self.stage([user], ["push"], at=now() - 5)
        self.stage([user], ["push"], at=now() - 5)
        self.stage([user], ["push"], at=now() - 3)
        counts = self.tick()
        self.assertEqual(counts["push"]["readers"], 1)
        self.assertEqual(self.sent(), [self.address(user)])
        self.assertEqual(self.flags(), {})

    def test_flags_of_users_that_are_gone_are_removed(self):
        user, = self.readers()
        self.stage([user, 900001, 900002])
        counts = self.tick(code=(DONE, FAILED))
        self.assertEqual(self.flags(), {})
        self.assertEqual(counts["push"]["orphans"], 2)
        self.assertEqual(self.sent(), [self.address(user)])
        self.assertEqual(self.waiting("push"), [])

    def test_a_flag_that_is_set_again_meanwhile_stays(self):
        user, = self.readers()
        self.stage([user], ["push"], at=now() - 400)
        again = str(now())

        def set_again(call):
            if call.method != "GET":
                newspack.set_meta(self.s, user, newspack.PENDING["push"],
                                  again)
        self.esp.before = set_again
        try:
            self.tick("--push")
        finally:
            self.esp.before = None
        self.assertEqual(self.flags("push"), {user: again})
        self.assertEqual(self.sent(), [self.address(user)])

    def test_a_page_load_that_updates_the_flag_in_place_keeps_it(self):
        user, = self.readers()
        self.stage([user], ["push"], at=now() - 400)
        again = str(now())

        def update(call):
            if call.method != "GET":
                self.s.mysql("UPDATE wp_usermeta SET meta_value = %s WHERE"
                             " user_id = %s AND meta_key = %s",
                             (again, user, newspack.PENDING["push"]))
        self.esp.before = update
        try:
            self.tick("--push")
        finally:
            self.esp.before = None
        self.assertEqual(self.flags("push"), {user: again})

    def test_an_unchanged_reader_is_not_sent_again(self):
        users = self.readers(3)
        self.stage(users, ["push"])
        self.assertEqual(self.tick()["push"]["done"], 3)
        self.stage(users, ["push"])
        self.esp.forget()
        counts = self.tick()
        self.assertEqual(counts["push"]["unchanged"], 3)
        self.assertEqual(self.sent(), [])
        self.assertEqual(self.flags(), {})

    def test_a_reader_who_changed_is_sent_again(self):
        one, two = self.readers(2)
        self.stage([one, two], ["push"])
        self.tick()
        newspack.set_meta(self.s, two, "np_reader_registration_method", "new")
        self.stage([one, two], ["push"])
        self.esp.forget()
        self.tick()
        self.assertEqual(self.sent(), [self.address(two)])

    def test_without_fingerprints_everybody_is_sent(self):
        conf = self.write_conf("plain.conf", extra=["fingerprints = no"])
        user, = self.readers()
        for _ in range(2):
            self.stage([user], ["push"])
            self.tick(config=conf)
        self.assertEqual(self.sent(), [self.address(user)] * 2)

    def test_a_push_that_is_switched_off_sends_nothing(self):
        conf = self.write_conf("no-push.conf", extra=["push = no"])
        user, = self.readers()
        self.member(user)
        self.stage([user])
        self.tick(config=conf)
        self.assertEqual(self.sent(), [])

    def test_no_address_is_in_any_line(self):
        users = self.readers(3, name="secretname")
        hash_of = self.esp.hash_of(self.address(users[0]))
        self.esp.fail(400, times=99, where=lambda c: hash_of in c.path,
                      body={"status": 400, "title": "Invalid Resource",
                            "detail": "%s looks fake or invalid" %
                            self.address(users[0])})
        self.stage(users)
        self.tick("--log-level=debug", code=(DONE, FAILED))
        self.assertNotIn("secretname", self.stderr)
        self.assertNotIn(KEY, self.stderr)

    def test_a_second_batch_beside_it_is_told_to_wait(self):
        user, = self.readers()
        self.stage([user], ["push"])
        go_on = threading.Event()
        self.esp.before = lambda _call: go_on.wait(25)
        first = threading.Thread(target=self.tick, args=("--push",))
        first.start()
        try:
            self.s.wait_until(lambda: self.esp.calls)
            self.call("contacts", "run", code=AGAIN)
        finally:
            go_on.set()
            first.join()
            self.esp.before = None
        self.assertEqual(self.sent(), [self.address(user)])

    def test_a_budget_that_is_used_up_leaves_the_rest_staged(self):
        users = self.readers(1200)
        self.stage(users, ["push"])
        self.esp.delay = 0.3
        try:
            counts = self.tick("--push", "--budget=100ms",
                               code=(DONE, FAILED))
        finally:
            self.esp.delay = 0
        self.assertTrue(counts["push"]["more"])
        self.assertGreater(len(self.flags()), 0)

    def test_many_readers_are_handed_over_in_bulk_and_settled(self):
        users = self.readers(1000)
        self.stage(users, ["push"])
        self.ticks()
        self.assertEqual(self.flags(), {})
        self.assertEqual(sorted(set(self.sent())), self.addresses(users))
        self.assertLess(len(self.esp.calls), 200)


class QuietTest(ContactCase):
    CONSTANTS = newspack.CRON_DISABLE

    def test_without_a_log_level_newspack_s_lines_are_not_written(self):
        user, = self.readers()
        self.stage([user])
        self.tick(code=(DONE, FAILED))
        self.assertEqual(self.lines, [])


class ConsentTest(ContactCase):
    def test_who_unsubscribed_stays_so(self):
        users = self.readers(3)
        for user in users:
            self.member(user, status="unsubscribed")
        self.stage(users, ["push"])
        self.tick(code=(DONE, FAILED))
        for user in users:
            self.assertEqual(self.esp.status(self.address(user)),
                             "unsubscribed")

    def test_who_unsubscribes_in_mid_run_stays_so(self):
        users = self.readers(40)
        for user in users:
            self.member(user, status="subscribed")
        gone = self.address(users[-1])

        def unsubscribe(_call):
            self.esp.put(gone, "unsubscribed")
        self.esp.before = unsubscribe
        self.stage(users, ["push"])
        try:
            self.ticks()
        finally:
            self.esp.before = None
        self.assertEqual(self.esp.status(gone),
                         "unsubscribed")

    def test_a_new_contact_gets_the_status_that_the_publisher_chose(self):
        user, = self.readers()
        self.stage([user], ["push"])
        self.tick()
        self.assertEqual(self.esp.status(self.address(user)),
                         "transactional")


class GuardTest(ContactCase):
    """Whether anything may leave."""

    def setUp(self):
        super().setUp()
        self.user, = self.readers()
        self.addCleanup(self.restore)

    def restore(self):
        self.s.write_config(self.CONSTANTS)
        self.move(self.s.url("").rstrip("/"))
        newspack.set_option(self.s, "newspack_reader_activation_enabled", "1")
        self.call("site", "adopt")

    def move(self, url):
        self.s.mysql("UPDATE wp_options SET option_value = %s WHERE"
                     " option_name IN ('home', 'siteurl')", (url,))

    def held(self, words):
        self.stage([self.user])
        counts = self.tick()
        self.assertTrue(counts["push"]["held_by"])
        self.assertIn(words, counts["push"]["held_by"])
        self.assertEqual(self.esp.calls, [])
        self.assertEqual(sorted(self.flags()[self.user]), ["pull", "push"])

    def sends(self):
        self.stage([self.user])
        self.tick(code=(DONE, FAILED))
        self.assertEqual(self.sent(), [self.address(self.user)])

    def test_a_copy_under_another_url_sends_nothing_until_it_is_adopted(self):
        self.move("http://copy.example.org")
        self.held("copy")
        self.call("site", "adopt")
        self.sends()

    def test_a_staging_host_sends_nothing(self):
        self.move("https://paper.newspackstaging.com")
        self.call("site", "adopt")
        self.held("staging")

    def test_a_staging_host_sends_when_the_constant_says_so(self):
        self.move("https://paper.newspackstaging.com")
        self.call("site", "adopt")
        self.s.write_config(
            self.CONSTANTS +
            "define( 'NEWSPACK_ALLOW_READER_SYNC', true );")
        self.sends()

    def test_an_environment_that_is_not_production_sends_nothing(self):
        self.s.write_config(self.CONSTANTS +
                            "define( 'WP_ENVIRONMENT_TYPE', 'staging' );")
        self.held("")

    def test_reader_activation_that_is_off_sends_nothing(self):
        newspack.set_option(self.s, "newspack_reader_activation_enabled", "")
        self.held("reader activation")

    def test_contacts_off_in_the_configuration_sends_nothing(self):
        conf = self.write_conf("off.conf", site="contacts = no")
        self.stage([self.user])
        self.tick(config=conf)
        self.assertEqual(self.esp.calls, [])
        self.assertEqual(len(self.flags()), 1)

    def test_a_site_without_the_plugin_sends_nothing(self):
        active = self.s.option("active_plugins")
        newspack.set_option(self.s, "active_plugins", [])
        try:
            self.held("newspack-plugin")
        finally:
            newspack.set_option(self.s, "active_plugins", active)

    def test_an_integration_that_is_not_set_up_is_skipped(self):
        name = "newspack_integration_settings_esp_mailchimp_audience_id"
        newspack.delete_option(self.s, name)
        self.stage([self.user])
        try:
            self.tick(code=(DONE, FAILED))
            rows = self.json("integration", "list", "--fields=id,set_up,why")
        finally:
            newspack.set_option(self.s, name, LIST)
        self.assertEqual(self.esp.calls, [])
        self.assertFalse(rows[0]["set_up"])
        self.assertTrue(rows[0]["why"])
        self.assertEqual(self.waiting("push"), [])


if __name__ == "__main__":
    unittest.main()
