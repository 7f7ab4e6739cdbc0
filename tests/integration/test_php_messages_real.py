"""The real Event Espresso in place of its stand-in, where EVENT_ESPRESSO_DIR
names a checkout: what our own tests take for granted of it."""

import os
import time
import unittest

import espresso
from newspack import set_option
from test_php_messages import ask, site

# What a visitor's orders leave: a payment and a registration each.
ORDERS = """
add_filter( 'pre_http_request', function () {
    return array( 'headers' => array(), 'body' => '', 'cookies' => array(),
        'response' => array( 'code' => 200, 'message' => 'OK' ),
        'filename' => null );
} );
add_filter( 'FHEE__EED_Messages___maybe_registration__deliver_notifications',
    '__return_true' );
wp_set_current_user( 1 );
$event = EE_Event::new_instance( array( 'EVT_name' => 'Concert',
    'status' => 'publish', 'EVT_wp_user' => 1 ) );
$event->save();
$day = EE_Datetime::new_instance( array( 'EVT_ID' => $event->ID(),
    'DTT_EVT_start' => time() + 86400, 'DTT_EVT_end' => time() + 90000 ) );
$day->save();
$ticket = EE_Ticket::new_instance( array( 'TKT_name' => 'Seat',
    'TKT_price' => 10, 'TKT_start_date' => time() - 86400,
    'TKT_end_date' => time() + 86400, 'TKT_qty' => 100 ) );
$ticket->save();
$ticket->_add_relation_to( $day, 'Datetime' );
for ( $i = 0; $i < %d; $i++ ) {
    $attendee = EE_Attendee::new_instance( array( 'ATT_fname' => 'Ada',
        'ATT_lname' => "L$i", 'ATT_email' => "ada$i@example.org" ) );
    $attendee->save();
    $txn = EE_Transaction::new_instance( array( 'TXN_total' => 10,
        'TXN_paid' => 10, 'STS_ID' => 'TCM', 'TXN_timestamp' => time() ) );
    $txn->save();
    $total = EEH_Line_Item::create_total_line_item( $txn );
    $total->save_this_and_descendants_to_txn( $txn->ID() );
    EEH_Line_Item::add_ticket_purchase( $total, $ticket, 1 );
    $total->recalculate_total_including_taxes();
    $total->save_this_and_descendants_to_txn( $txn->ID() );
    $reg = EE_Registration::new_instance( array( 'EVT_ID' => $event->ID(),
        'ATT_ID' => $attendee->ID(), 'TXN_ID' => $txn->ID(),
        'TKT_ID' => $ticket->ID(), 'STS_ID' => 'RAP', 'REG_date' => time(),
        'REG_final_price' => 10, 'REG_paid' => 10, 'REG_session' => 's',
        'REG_code' => uniqid(), 'REG_url_link' => uniqid( '', true ),
        'REG_count' => 1, 'REG_group_size' => 1 ) );
    $reg->save();
    $payment = EE_Payment::new_instance( array( 'TXN_ID' => $txn->ID(),
        'STS_ID' => 'PAP', 'PAY_timestamp' => time(), 'PAY_amount' => 10,
        'PAY_source' => 'ADMIN' ) );
    $payment->save();
    EED_Messages::payment( $txn, $payment );
    EED_Messages::maybe_registration( $reg, array( 'finalized' => true,
        'old_reg_status' => 'RIC', 'new_reg_status' => 'RAP',
        'status_updates' => true, 'reg_status_updated' => true,
        'last_reg_step_completed' => true,
        'reg_steps_completed' => true ) );
}
"""
# PHP ends at the query behind one that matches, in the worker alone.
KILL = """<?php
add_filter( 'query', function ( $sql ) {
    static $now = false;
    if ( $now && isset( $_SERVER['HTTP_USER_AGENT'] )
        && 'wp-cron-fcgi' === $_SERVER['HTTP_USER_AGENT'] ) {
        posix_kill( getmypid(), 9 );
    }
    $now = (bool) preg_match( '%s', $sql );
    return $sql;
} );
"""


@unittest.skipUnless(espresso.REAL, "EVENT_ESPRESSO_DIR is not set")
class RealTest(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.s = site(cls, real=True)

    def setUp(self):
        espresso.forget(self.s)

    def ask(self, op, ids=(), **options):
        return ask(self.s, op, [(i,) for i in ids] or [()], **options)

    def orders(self, n=1):
        """{"payment": [ids], "registration": [ids]} of rows MIC."""
        self.s.php(espresso.BOOT % self.s.root + ORDERS % n, check=False)
        rows = espresso.rows(self.s, "STS_ID = 'MIC'")
        self.assertEqual(len(rows), 2 * n)
        return {kind: [r["MSG_ID"] for r in rows
                       if r["MSG_message_type"] == kind]
                for kind in ("payment", "registration")}

    def kill_behind(self, pattern):
        path = os.path.join(self.s.root, "wp-content", "mu-plugins")
        os.makedirs(path, exist_ok=True)
        with open(os.path.join(path, "kill.php"), "w") as f:
            f.write(KILL % pattern)
        self.s.give_to_web_user(path)
        self.addCleanup(os.unlink, os.path.join(path, "kill.php"))

    def test_it_describes_itself(self):
        reply = self.ask("describe")
        self.assertEqual(reply.rc, "ok", reply)
        told = reply.entries[0]
        self.assertRegex(told["version"], r"^4\.|^5\.")
        self.assertIn(["email", "payment"], told["installed"])
        self.assertEqual(told["stati"], {
            "generate": ["MIC"], "send": ["MID", "MRS"], "sent": ["MSN"],
            "failed": ["MFL", "MRT", "MEX"]})
        self.assertEqual(
            (told["lock_format"], told["batch"], told["rate"],
             told["interval_s"], told["same_request"], told["maintenance"]),
            ("option", 50, {"default": 200, "window_s": 3600}, 300, False, 0))

    def test_rows_become_messages_and_those_mails(self):
        s = self.s
        orders = self.orders(3)
        ids = orders["payment"] + orders["registration"]
        reply = self.ask("generate", ids)
        self.assertEqual(reply.rc, "ok", reply)
        self.assertEqual(reply.of("ok", "status", "kick"), [
            (True, "", True)] * 3 + [(True, "", False)] * 3)
        self.assertEqual(set(espresso.statuses(s).values()), {"MID"})
        self.assertEqual(espresso.locks(s), {})
        ready = list(espresso.statuses(s))
        reply = ask(s, "send", [(i, "message:%d:1" % i) for i in ready],
                    outbox=1)
        self.assertEqual(reply.of("ok", "status", "mails"),
                         [(True, "MSN", 1)] * len(ready), reply)
        self.assertEqual(s.value("SELECT COUNT(*) FROM wp_wpcron_outbox"
                                 " WHERE state='ready'"), len(ready))
        self.assertEqual(espresso.locks(s), {})
        self.assertIsNone(espresso.window(s))

    def test_its_lock_is_respected_and_survives(self):
        s = self.s
        ids = self.orders()["payment"]
        for task in "generate", "send":
            espresso.lock(s, task, 600)
        held = espresso.locks(s)
        ready = espresso.message(s)
        for op, i in (("generate", ids), ("send", [ready])):
            self.assertEqual(self.ask(op, i).of("ok", "locked"),
                             [(False, True)])
        self.assertEqual(espresso.locks(s), held)
        for task in "generate", "send":
            espresso.lock(s, task, -1)
        self.assertEqual(self.ask("generate", ids).of("ok"), [True])

    def test_only_what_is_named_is_sent(self):
        s = self.s
        self.ask("generate", self.orders(2)["registration"])
        ready = [i for i, x in espresso.statuses(s).items() if x == "MID"]
        self.assertEqual(self.ask("send", ready[1:2]).of("ok"), [True])
        left = espresso.statuses(s)
        self.assertEqual([left[i] for i in ready],
                         ["MID", "MSN"] + ["MID"] * (len(ready) - 2))

    def test_what_it_does_not_wait_for_is_left_alone(self):
        s = self.s
        stati = ("MIC", "MEX", "MSN", "MRT", "MFL", "MDO")
        ids = [espresso.message(s, x) for x in stati]
        reply = self.ask("send", ids)
        self.assertEqual(reply.of("status"), list(stati))
        self.assertEqual(reply.of("ok"), [x == "MSN" for x in stati])
        reply = self.ask("generate", ids[1:])
        self.assertEqual(reply.of("ok"), [True] * 5)
        self.assertEqual(list(espresso.statuses(s).values()), list(stati))

    def test_what_is_not_installed_stays_and_says_why(self):
        s = self.s
        ids = [espresso.message(s, message_type="of_an_addon"),
               espresso.message(s, messenger="pigeon")]
        reply = self.ask("send", ids)
        self.assertEqual(reply.of("ok", "status"), [(False, "MID")] * 2)
        for entry, word in zip(reply.entries, ("of_an_addon", "pigeon")):
            self.assertIn(word, entry["message"])

    def test_a_row_without_data_fails_and_says_why(self):
        reply = self.ask("generate", [espresso.mic(self.s, data={})])
        self.assertEqual(reply.of("ok", "status"), [(True, "MFL")])
        self.assertIn("no generation data", reply.entries[0]["message"])

    def test_php_dies_when_the_row_is_deleted(self):
        """The messages are lost, but for unfinished rows without data."""
        s = self.s
        row, = self.orders()["registration"]
        self.kill_behind("/DELETE.*esp_message/s")
        reply = self.ask("generate", [row])
        self.assertEqual(reply.of("answered", "begun"), [(False, True)])
        self.assertNotIn(row, espresso.statuses(s))
        left = espresso.rows(s, "MSG_message_type = 'registration'")
        self.assertEqual({r["STS_ID"] for r in left}, {"MIC"})
        for r in left:
            self.assertNotIn("MSG_generation_data",
                             espresso.meta(s, r["MSG_ID"]))
        held = espresso.locks(s)["generate"] - time.time()
        self.assertTrue(850 < held <= 900, held)

    def test_php_dies_when_the_messenger_is_called(self):
        s = self.s
        self.ask("generate", self.orders()["payment"])
        ready = [i for i, x in espresso.statuses(s).items() if x == "MID"]
        self.kill_behind("/UPDATE.*esp_message.*MEX/s")
        reply = self.ask("send", ready[:1])
        self.assertEqual(reply.of("answered", "begun"), [(False, True)])
        self.assertEqual(espresso.statuses(s)[ready[0]], "MEX")

    def test_same_request_mode_and_maintenance_refuse_all(self):
        s = self.s
        s.php(espresso.BOOT % s.root + """
            EE_Registry::instance()->NET_CFG->core
                ->do_messages_on_same_request = true;
            EE_Registry::instance()->NET_CFG->update_config( false, false );
            """, check=False)
        reply = self.ask("send", [espresso.message(s)])
        self.assertEqual(reply.rc, "reject", reply)
        self.assertIn("same request", reply.error)
        espresso.forget(s)
        set_option(s, "ee_maintenance_mode", "2")
        self.assertEqual(self.ask("generate", [1]).rc, "reject")


if __name__ == "__main__":
    unittest.main()
