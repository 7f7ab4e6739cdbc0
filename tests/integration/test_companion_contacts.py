"""The companion plugin and contacts: what PHP pushed or deleted is not
remembered any more, and readers are staged by PHP unless it is told not to."""

import os
import shutil
import unittest

import newspack
from companion import NAME, SOURCE
from stack import REPO, Stack

# One row of this blog for each: reader, integration, state.
ROW = ("INSERT INTO wp_wpcron_fingerprints (blog_id, user_id, integration,"
       " state, payload, address, accepted_at) VALUES (%s, %s, %s, %s,"
       " REPEAT('p', 32), REPEAT('a', 32), UTC_TIMESTAMP(6))")


def create_fingerprints(s):
    """The table as sql/schema.sql makes it."""
    with open(os.path.join(REPO, "sql", "schema.sql")) as f:
        text = f.read()
    start = text.index("CREATE TABLE IF NOT EXISTS {base}wpcron_fingerprints")
    s.mysql(text[start:].split("\n\n")[0].replace("{base}", s.prefix))


class CompanionContactsTest(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        s = cls.s = Stack()
        cls.addClassCleanup(s.close)
        s.start_mariadb()
        s.install_wordpress()
        s.install_action_scheduler()
        newspack.install(s, incoming={"esp": ["K"]})
        create_fingerprints(s)
        mu = os.path.join(s.root, "wp-content", "mu-plugins")
        os.makedirs(mu, exist_ok=True)
        cls.file = os.path.join(mu, NAME)

    def setUp(self):
        self.s.mysql("DELETE FROM wp_wpcron_fingerprints")
        newspack.forget_calls(self.s)
        newspack.knobs(self.s)
        shutil.copyfile(SOURCE, self.file)
        self.users = newspack.users(self.s, 2)
        for user in self.users:
            for integration, state in (("esp", "accepted"),
                                       ("crm", "accepted"),
                                       ("old", "barred")):
                self.s.mysql(ROW, (1, user, integration, state))
        self.s.mysql(ROW, (2, self.users[0], "esp", "accepted"))

    def left(self, user, blog=1):
        return [r["i"] for r in self.s.mysql(
            "SELECT CONVERT(integration USING utf8mb4) AS i FROM"
            " wp_wpcron_fingerprints WHERE blog_id = %s AND user_id = %s"
            " ORDER BY i", (blog, user))]

    def check_forgotten(self):
        """Of the first reader all but the refusal, of nobody else."""
        self.assertEqual(self.left(self.users[0]), ["old"])
        self.assertEqual(self.left(self.users[0], 2), ["esp"])
        self.assertEqual(self.left(self.users[1]), ["crm", "esp", "old"])

    def test_a_push_by_php_ends_what_is_remembered(self):
        newspack.stage(self.s, self.users[:1], ("push",))
        newspack.run_batch(self.s)
        self.assertEqual(len(newspack.calls(self.s, "push")), 1)
        self.check_forgotten()

    def test_so_does_one_that_failed(self):
        newspack.knobs(self.s, {"on": "push", "do": "error", "with": ["no"]})
        newspack.stage(self.s, self.users[:1], ("push",))
        newspack.run_batch(self.s)
        self.check_forgotten()

    def test_without_the_companion_it_is_kept(self):
        os.unlink(self.file)
        newspack.stage(self.s, self.users[:1], ("push",))
        newspack.run_batch(self.s)
        self.assertEqual(self.left(self.users[0]), ["crm", "esp", "old"])

    def test_an_address_that_is_nobodys_is_passed_over(self):
        self.s.wp_eval("""
            do_action( 'newspack_newsletters_upsert', 'mailchimp', array(
                'email' => 'nobody@example.net' ), false, true, false, '' );
            do_action( 'newspack_newsletters_upsert', 'mailchimp', array(),
                false, true, false, '' );
            do_action( 'newspack_sync_contact_failed', array() );""")
        for user in self.users:
            self.assertEqual(self.left(user), ["crm", "esp", "old"])

    def test_a_deleted_reader_leaves_nothing(self):
        self.s.wp_eval("""
            require_once ABSPATH . 'wp-admin/includes/user.php';
            wp_delete_user( %d );""" % self.users[0])
        self.assertEqual(self.left(self.users[0]), [])
        self.assertEqual(self.left(self.users[1]), ["crm", "esp", "old"])

    def test_without_the_table_nothing_is_said(self):
        self.s.mysql("RENAME TABLE wp_wpcron_fingerprints TO wp_away")
        self.addCleanup(self.s.mysql, "RENAME TABLE wp_away TO"
                        " wp_wpcron_fingerprints")
        out = self.s.wp_eval("""
            $GLOBALS['wpdb']->show_errors();
            do_action( 'newspack_newsletters_upsert', 'mailchimp', array(
                'email' => '%s' ), false, true, false, '' );
            echo $GLOBALS['wpdb']->last_error;""" % newspack.email(
                self.s, self.users[0]))
        self.assertEqual(out, "")

    def staged_by_php(self, config=""):
        self.s.write_config(self.s.config_extra + config)
        self.addCleanup(self.s.write_config, self.s.config_extra)
        newspack.visit(self.s, self.users[0])
        return sorted(newspack.flags(self.s).get(self.users[0], {}))

    def test_php_stages_readers_unless_it_is_told_not_to(self):
        self.assertEqual(self.staged_by_php(), ["pull", "push"])
        self.s.mysql("DELETE FROM wp_usermeta WHERE user_id = %s",
                     (self.users[0],))
        self.assertEqual(self.staged_by_php(
            "define( 'WPCRON_FCGI_STAGES_READERS', true );"), [])
        self.assertEqual(newspack.meta(
            self.s, self.users[0], newspack.LAST_ENQUEUE), None)
        self.assertEqual(self.staged_by_php(
            "define( 'WPCRON_FCGI_STAGES_READERS', false );"),
            ["pull", "push"])

    def test_the_constant_of_the_batch_leaves_staging_to_php(self):
        self.assertEqual(self.staged_by_php(newspack.CRON_DISABLE),
                         ["pull", "push"])

    def test_without_the_companion_the_constant_does_nothing(self):
        os.unlink(self.file)
        self.assertEqual(self.staged_by_php(
            "define( 'WPCRON_FCGI_STAGES_READERS', true );"),
            ["pull", "push"])


class NetworkTest(unittest.TestCase):
    def test_a_reader_of_a_network_is_forgotten_where_he_is_deleted(self):
        with Stack() as s:
            s.start_mariadb()
            s.install_wordpress()
            create_fingerprints(s)
            blog, = s.make_network(1)
            mu = os.path.join(s.root, "wp-content", "mu-plugins")
            os.makedirs(mu, exist_ok=True)
            shutil.copyfile(SOURCE, os.path.join(mu, NAME))
            one, both, = newspack.users(s, 2, role=None)
            for user in one, both:
                for b in 1, blog:
                    s.mysql(ROW, (b, user, "esp", "accepted"))
            s.wp_eval("""
                foreach ( array( 1, %(blog)d ) as $b ) {
                    add_user_to_blog( $b, %(one)d, 'subscriber' );
                    add_user_to_blog( $b, %(both)d, 'subscriber' );
                }
                remove_user_from_blog( %(one)d, %(blog)d );
                require_once ABSPATH . 'wp-admin/includes/ms.php';
                require_once ABSPATH . 'wp-admin/includes/user.php';
                wpmu_delete_user( %(both)d );
                """ % {"blog": blog, "one": one, "both": both})
            rows = s.mysql("SELECT blog_id, user_id FROM"
                           " wp_wpcron_fingerprints")
            self.assertEqual(rows, [{"blog_id": 1, "user_id": one}])


if __name__ == "__main__":
    unittest.main()
