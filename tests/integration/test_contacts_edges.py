"""Where a reader could be lost, sent twice, or sent though nobody wants it."""

import unittest

import newspack
from contacts import DONE, FAILED, ContactCase

TOGGLE = "newspack_integration_settings_esp_outgoing_sync_enabled"


class EdgeTest(ContactCase):
    def in_bulk(self, n):
        """Readers whose bulk call the provider does not finish."""
        self.esp.batch_s = None
        self.addCleanup(setattr, self.esp, "batch_s", 0.0)
        ids = self.readers(n)
        self.stage(ids, ["push"])
        self.tick("--push", code=(DONE, FAILED))
        self.assertEqual(self.s.value(
            "SELECT COUNT(*) FROM wp_wpcron_batches"), 1)
        return ids

    def asked(self):
        return [c for c in self.esp.calls
                if c.method == "GET" and "/batches/" in c.path]

    def ask_now(self):
        self.s.mysql("UPDATE wp_wpcron_batches SET ask_at ="
                     " UTC_TIMESTAMP(6)")

    def test_who_failed_stays_staged_where_no_retry_can_be_written(self):
        user, = self.readers()
        self.s.mysql("CREATE TRIGGER no_retries BEFORE INSERT ON"
                     " wp_actionscheduler_actions FOR EACH ROW SIGNAL"
                     " SQLSTATE '45000' SET MESSAGE_TEXT = 'no'")
        self.addCleanup(self.s.mysql, "DROP TRIGGER no_retries")
        self.esp.fail(503, times=1, where=lambda c: c.method == "PUT")
        self.stage([user], ["push"])
        self.tick("--push", code=(DONE, FAILED))
        self.assertEqual(self.waiting("push"), [])
        self.assertEqual(list(self.flags("push")), [user])

    def test_a_bulk_call_is_not_asked_for_while_the_push_is_off(self):
        ids = self.in_bulk(40)
        self.esp.finish()
        newspack.set_option(self.s, TOGGLE, "0")
        self.addCleanup(newspack.delete_option, self.s, TOGGLE)
        self.esp.forget()
        self.ask_now()
        self.tick("--push", code=(DONE, FAILED))
        self.assertEqual(self.asked(), [])
        self.assertEqual(sorted(self.flags("push")), ids)
        newspack.delete_option(self.s, TOGGLE)
        self.ask_now()
        self.ticks()
        self.assertEqual(self.flags(), {})

    def test_a_retry_of_a_reader_who_is_in_a_bulk_call_sends_nothing(self):
        ids = self.in_bulk(40)
        self.esp.forget()
        newspack.add_retry(self.s, "push", ids[0])
        self.run_retries()
        self.assertEqual(self.esp.calls, [])
        self.assertEqual(self.waiting("push"), [])
        self.esp.finish()
        self.ask_now()
        self.ticks()
        self.assertEqual(self.flags(), {})

    def test_a_bulk_call_that_cannot_be_read_is_given_up_alone(self):
        ids = self.in_bulk(40)
        self.s.mysql("UPDATE wp_wpcron_batches SET members = '[{', ask_at ="
                     " UTC_TIMESTAMP(6)")
        self.esp.batch_s = 0.0
        self.ticks()
        self.ticks()
        self.assertEqual(self.flags(), {})
        self.assertEqual(set(self.sent()),
                         set(self.addresses(ids)))

    def test_a_value_that_is_changed_back_is_sent_again(self):
        user, = self.readers()
        for name in ("One", "Two", "One"):
            self.s.mysql("UPDATE wp_users SET display_name = %s WHERE ID ="
                         " %s", (name, user))
            self.esp.forget()
            self.stage([user], ["push"])
            self.tick("--push", code=(DONE, FAILED))
            self.assertEqual(self.sent(), [self.address(user)])


class AllowedStagingTest(ContactCase):
    """A site that is not production, which the constant allows to send."""

    CONSTANTS = (newspack.CRON_DISABLE +
                 "define( 'WP_ENVIRONMENT_TYPE', 'staging' );"
                 "define( 'NEWSPACK_ALLOW_READER_SYNC', true );")

    def test_its_retries_run_too(self):
        user, = self.readers()
        self.esp.fail(503, times=1, where=lambda c: c.method == "PUT")
        self.stage([user], ["push"])
        self.tick("--push", code=(DONE, FAILED))
        self.assertEqual(len(self.waiting("push")), 1)
        self.run_retries()
        self.assertEqual(self.waiting("push"), [])
        self.assertIn(self.address(user), self.esp.members)


if __name__ == "__main__":
    unittest.main()
