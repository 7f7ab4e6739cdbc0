"""A scheduled post whose event was lost is published all the same."""

import time
import unittest

import cronrow


class MissedPostsTest(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.s = cronrow.tick_site(cls)

    def schedule(self, late, lose):
        """A post that is `late` s late, as a site has it whose option was
        overwritten by somebody who did not know its event."""
        post = int(self.s.wp_eval("""
            $id = wp_insert_post( array( 'post_title' => 'Later',
                'post_content' => 'x', 'post_status' => 'future',
                'post_date_gmt' => gmdate( 'Y-m-d H:i:s', time() + 3600 ) ) );
            echo $id;
            """))
        self.s.mysql(
            "UPDATE wp_posts SET post_date = UTC_TIMESTAMP() - INTERVAL %s"
            " SECOND, post_date_gmt = post_date WHERE ID = %s", (late, post))
        if lose:
            cronrow.put(self.s, [])
        return post

    def status(self, post):
        return self.s.value("SELECT post_status FROM wp_posts WHERE ID = %s",
                            (post,))

    def test_it_is_published_by_core_and_one_with_an_event_is_left(self):
        begun = time.time()
        lost = [self.schedule(600, True) for _ in range(3)]
        # Its event is there, an hour away.
        kept = self.schedule(600, False)
        young = self.schedule(30, False)
        event = [e for e in cronrow.events(self.s)
                 if e.hook == "publish_future_post"]
        self.assertEqual([e.args for e in event], [[kept], [young]])
        daemon = self.s.start_daemon()
        self.s.wait_until(lambda: all(
            self.status(p) == "publish" for p in lost), 30)
        self.s.wait_until(lambda: cronrow.unfinished(self.s) == 0, 30)
        self.assertEqual(self.status(kept), "future")
        self.assertEqual(self.status(young), "future")
        # WordPress schedules do_pings for what it publishes.
        rows = [r for r in cronrow.ledger(self.s)
                if r["hook"] == "publish_future_post"]
        self.assertEqual(
            [(r["hook"], r["state"], r["woken_by"]) for r in rows],
            [("publish_future_post", "done", "missed")] * 3)
        for r in rows:
            self.assertGreaterEqual(r["scheduled_at"], begun - 602)
            self.assertLessEqual(r["scheduled_at"], time.time() - 598)
        # Said after the rows are there.
        self.s.wait_until(lambda: "posts.missed" in daemon.log_text())
        daemon.stop()

    def test_it_can_be_switched_off(self):
        post = self.schedule(600, True)
        daemon = self.s.start_daemon(site="missed_posts = no", name="off")
        self.s.wait_until(lambda: "site.ready" in daemon.log_text(), 30)
        time.sleep(3)
        self.assertEqual(self.status(post), "future")
        daemon.stop()
        self.s.mysql("DELETE FROM wp_posts WHERE ID = %s", (post,))


if __name__ == "__main__":
    unittest.main()
