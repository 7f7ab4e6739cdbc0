"""The companion plugin and the outbox: WordPress' privacy tools find a person's
mails, and erase them."""

import json
import os
import shutil
import unittest

import events_table
from companion import NAME, SOURCE
from stack import Stack

CALL = """
wp_set_current_user( 1 );
$all = apply_filters( 'wp_privacy_personal_data_%ss', array() );
echo json_encode( call_user_func( $all['wp-cron-fcgi-mails']['callback'],
    %r, %d ) );
"""


class CompanionMailsTest(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        s = cls.s = Stack()
        cls.addClassCleanup(s.close)
        s.start_mariadb()
        s.install_wordpress()
        mu = os.path.join(s.root, "wp-content", "mu-plugins")
        os.makedirs(mu, exist_ok=True)
        shutil.copyfile(SOURCE, os.path.join(mu, NAME))

    def setUp(self):
        for table in ("outbox", "outbox_chunks", "dead_letters"):
            self.s.mysql(events_table.statement(self.s, "create_" + table))
            self.s.mysql("DELETE FROM wp_wpcron_" + table)

    def mail(self, to, state="ready", sender="shop@example.org", blog=1,
             claim=0, text="Hello", sealed=0, states=None):
        people = [{"to": t, "state": (states or {}).get(t, "open"),
                   "code": 0, "words": ""} for t in to]
        with self.s.connect() as db, db.cursor() as c:
            c.execute(
                "INSERT INTO wp_wpcron_outbox (blog_id, state, job, ordinal,"
                " digest, sender, recipients, subject, size, sealed,"
                " created_at, not_before, claim_id) SELECT %s, %s, 'action:1',"
                " COUNT(*) + 1, REPEAT('d', 32), %s, %s, 'Gr\u00fc\u00dfe', %s,"
                " %s, UTC_TIMESTAMP(6), UTC_TIMESTAMP(6), %s FROM"
                " wp_wpcron_outbox", (blog, state, sender, json.dumps(people),
                                      len(text), sealed, claim))
            mail = c.lastrowid
            c.execute("INSERT INTO wp_wpcron_outbox_chunks VALUES"
                      " (%s, %s, 0, %s)", (blog, mail, text))
            if state == "dead":
                c.execute(
                    "INSERT INTO wp_wpcron_dead_letters (blog_id, kind,"
                    " queue, source, title, created_at, died_at, payload)"
                    " VALUES (%s, 'mail', 'outbox', %s, 't',"
                    " UTC_TIMESTAMP(6), UTC_TIMESTAMP(6), '')", (blog, mail))
            db.commit()
        return mail

    def call(self, what, address, page=1):
        return json.loads(self.s.wp_eval(CALL % (what, address, page)))

    def left(self):
        return {r["mail_id"]: [p["to"] for p in json.loads(r["recipients"])]
                for r in self.s.mysql(
                    "SELECT mail_id, recipients FROM wp_wpcron_outbox")}

    def chunks(self):
        return [r["mail_id"] for r in self.s.mysql(
            "SELECT mail_id FROM wp_wpcron_outbox_chunks ORDER BY mail_id")]

    def test_a_persons_mails_are_exported(self):
        first = self.mail(["Ann@Example.com", "bob@example.com"],
                          text="<b>Dear</b> Ann")
        second = self.mail(["bob@example.com"], sender="ann@example.com",
                           state="sent", sealed=1)
        self.mail(["joann@example.com", "ann@example.com.au"])
        self.mail(["ann@example.com"], blog=2)
        told = self.call("exporter", "ann@example.com")
        self.assertTrue(told["done"])
        self.assertEqual([i["item_id"] for i in told["data"]], [
            "wp-cron-fcgi-mail-%d" % first, "wp-cron-fcgi-mail-%d" % second])
        one, two = [{d["name"]: d["value"] for d in i["data"]}
                    for i in told["data"]]
        self.assertEqual(
            (one["Subject"], one["State"], one["Recipient"], one["Message"]),
            ("Gr\u00fc\u00dfe", "ready", "Ann@Example.com",
             "&lt;b&gt;Dear&lt;/b&gt; Ann"))
        self.assertNotIn("bob", json.dumps(told))
        self.assertEqual((two["Sender"], "Message" in two),
                         ("ann@example.com", False))

    def test_an_address_is_no_pattern(self):
        self.mail(["annxb@example.com"])
        for address in ("ann_b@example.com", "%", "ann%", "'"):
            self.assertEqual(self.call("exporter", address)["data"], [])
            self.call("eraser", address)
        self.assertEqual(len(self.left()), 1)

    def test_mails_to_one_person_are_erased_whole(self):
        self.mail(["ann@example.com"])
        self.mail(["ann@example.com"], state="dead")
        kept = self.mail(["bob@example.com"])
        told = self.call("eraser", "ANN@example.com")
        self.assertEqual(
            (told["items_removed"], told["items_retained"], told["done"]),
            (True, False, True))
        self.assertEqual(self.left(), {kept: ["bob@example.com"]})
        self.assertEqual(self.chunks(), [kept])
        self.assertEqual(self.s.value(
            "SELECT COUNT(*) FROM wp_wpcron_dead_letters"), 0)

    def test_who_waits_for_the_same_mail_gets_it(self):
        waits = self.mail(["ann@example.com", "bob@example.com"])
        self.mail(["ann@example.com", "bob@example.com"], state="later",
                  states={"bob@example.com": "sent"})
        self.mail(["ann@example.com", "bob@example.com"], state="dead")
        self.call("eraser", "ann@example.com")
        self.assertEqual(self.left(), {waits: ["bob@example.com"]})
        self.assertEqual(self.chunks(), [waits])

    def test_and_so_does_who_waits_for_an_administrator(self):
        held = self.mail(["ann@example.com", "bob@example.com"], state="held")
        self.call("eraser", "ann@example.com")
        self.assertEqual(self.left(), {held: ["bob@example.com"]})
        self.assertEqual(self.chunks(), [held])

    def test_one_that_is_being_sent_is_retained(self):
        now = self.mail(["ann@example.com"], state="sending", claim=7)
        told = self.call("eraser", "ann@example.com")
        self.assertEqual(
            (told["items_removed"], told["items_retained"], told["done"]),
            (False, True, True))
        self.assertIn("being sent", told["messages"][0])
        self.assertEqual(list(self.left()), [now])

    def test_without_the_tables_nothing_is_there(self):
        for table in ("outbox", "outbox_chunks", "dead_letters"):
            self.s.mysql("DROP TABLE wp_wpcron_" + table)
        self.assertEqual(self.call("exporter", "ann@example.com"),
                         {"data": [], "done": True})
        self.assertTrue(self.call("eraser", "ann@example.com")["done"])


if __name__ == "__main__":
    unittest.main()
