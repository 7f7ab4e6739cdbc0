"""Mails to one real mail server: out of the outbox, through the whole program,
and by PHP's own wp_mail() in a loop; tasks of a transient queue likewise."""

import json
import os
import statistics
import time

from mail_server import MailServer
from stack import REPO

SMTP = """
[smtp relay]
host = 127.0.0.1
port = %d
security = none
ehlo = shop.test
concurrency = 4
[policy mailer_one]
mail = outbox
[tasks default/myplugin_task_queue]
hook = myplugin_process_queue
batch = 100
handler note = php:myplugin_note
"""
LOOP = """
add_action( 'phpmailer_init', function ( $m ) {
    $m->isSMTP(); $m->Host = '127.0.0.1'; $m->Port = %d;
    $m->SMTPAutoTLS = false; $m->SMTPKeepAlive = %s;
} );
$begun = microtime( true );
for ( $i = 0; $i < %d; $i++ ) {
    wp_mail( "reader$i@example.org", "mail $i", str_repeat( "text\n", 20 ) )
        || exit( 'wp_mail' );
}
echo microtime( true ) - $begun;
"""
RENDER = """
require ABSPATH . WPINC . '/PHPMailer/PHPMailer.php';
require ABSPATH . WPINC . '/PHPMailer/Exception.php';
$begun = microtime( true );
for ( $i = 0; $i < %d; $i++ ) {
    $m = new PHPMailer\\PHPMailer\\PHPMailer( true );
    $m->Mailer = 'smtp';
    $m->setFrom( 'shop@example.org' ); $m->addAddress( "reader$i@example.org" );
    $m->Subject = "mail $i"; $m->Body = str_repeat( "text\n", 20 );
    $m->preSend();
}
echo microtime( true ) - $begun;
"""


def fill(s, n):
    """n mails into the outbox, copies of those that PHP has stored there."""
    s.mysql(
        "INSERT INTO wp_wpcron_outbox (blog_id, state, job, ordinal, digest,"
        " sender, recipients, subject, size, created_at, not_before)"
        " SELECT 1, 'writing', CONCAT('bench:', q.seq), 1, o.digest, o.sender,"
        " o.recipients, o.subject, o.size, o.created_at, o.not_before FROM"
        " wp_wpcron_outbox o JOIN seq_1_to_%d q WHERE o.mail_id ="
        " (SELECT MIN(mail_id) FROM wp_wpcron_outbox WHERE state = 'ready')"
        % n)
    s.mysql(
        "INSERT INTO wp_wpcron_outbox_chunks (blog_id, mail_id, chunk, bytes)"
        " SELECT 1, o.mail_id, 0, c.bytes FROM wp_wpcron_outbox o JOIN"
        " wp_wpcron_outbox_chunks c ON c.mail_id = (SELECT MIN(mail_id) FROM"
        " wp_wpcron_outbox_chunks) WHERE o.state = 'writing'")
    s.mysql("UPDATE wp_wpcron_outbox SET state = 'ready'"
            " WHERE state IN ('writing', 'held')")


def waiting(s):
    return s.value("SELECT COUNT(*) FROM wp_wpcron_outbox"
                   " WHERE state IN ('ready', 'later', 'sending')")


def from_outbox(site, rest, n):
    """Mails a second that leave the outbox; pausing is stopping the daemon."""
    s = site.s
    dead = s.start_daemon(site="smtp = relay\n",
                          rest=rest.replace("port = ", "port = 1 ;"))
    s.wait_until(lambda: s.value(
        "SELECT COUNT(*) FROM information_schema.TABLES WHERE TABLE_NAME ="
        " 'wp_wpcron_meta' AND TABLE_SCHEMA = DATABASE()"), 60)
    s.wait_until(lambda: s.value(
        "SELECT COUNT(*) FROM wp_wpcron_meta WHERE name = 'schema'"), 60)
    s.insert_actions(1, "mailer_one", args=json.dumps(
        ["reader@example.org", "mail", "text\n" * 20]))
    s.wait_until(lambda: s.value(
        "SELECT COUNT(*) FROM wp_wpcron_outbox") == 1, 60)
    dead.stop()
    s.servers.remove(dead)
    s.mysql("UPDATE wp_wpcron_outbox SET state = 'ready', tries = 0")
    s.mysql("DELETE FROM wp_wpcron_leases WHERE name LIKE 'smtp/%'")
    fill(s, n)
    daemon = s.start_daemon(site="smtp = relay\n", rest=rest)
    begun = time.monotonic()
    s.wait_until(lambda: waiting(s) == 0, 600, 0.05)
    took = time.monotonic() - begun
    daemon.stop()
    s.servers.remove(daemon)
    s.mysql("DELETE FROM wp_wpcron_outbox")
    return n / took


def whole_way(site, rest, n):
    """Jobs in PHP that send a mail each: to the relay's yes."""
    s = site.s
    s.insert_actions(n, "mailer_one", args=json.dumps(
        ["reader@example.org", "mail {i}", "text\n" * 20]))
    daemon = s.start_daemon(site="smtp = relay\n", rest=rest)
    begun = time.monotonic()
    s.wait_until(lambda: not site.left() and waiting(s) == 0, 600, 0.05)
    took = time.monotonic() - begun
    daemon.stop()
    s.servers.remove(daemon)
    return n / took


def tasks(site, rest, n):
    s = site.s
    s.wp_eval("""
        $q = array();
        for ( $i = 0; $i < %d; $i++ ) {
            $q[] = array( 'type' => 'note', 'payload' => array( 'n' => $i ),
                'created' => time(), 'attempts' => 0, 'max_attempts' => 3,
                'backoff' => 5 );
        }
        set_transient( 'myplugin_task_queue', $q, 86400 );""" % n)
    daemon = s.start_daemon(site="smtp = relay\n", rest=rest)
    begun = time.monotonic()
    s.wait_until(lambda: s.value(
        "SELECT COUNT(*) FROM wp_wpcron_tasks WHERE state = 'done'") == n,
        600, 0.05)
    took = time.monotonic() - begun
    daemon.stop()
    s.servers.remove(daemon)
    s.mysql("DELETE FROM wp_wpcron_tasks")
    return n / took


def tutorial(s, n):
    """The plugin's own processor, called without waiting between runs."""
    return n / float(s.wp_eval("""
        for ( $i = 0; $i < %d; $i++ ) {
            myplugin_enqueue_task( array( 'type' => 'note',
                'payload' => array( 'n' => $i ) ) );
        }
        $begun = microtime( true );
        while ( get_transient( 'myplugin_task_queue' ) ) {
            do_action( 'myplugin_process_queue' );
        }
        echo microtime( true ) - $begun;""" % n))


def measure(site, row, rounds, quick):
    s, n = site.s, 500 if quick else 2000
    for plugin in ("wpcron-mailer", "wpcron-task-queue"):
        s.add_plugin(os.path.join(REPO, "tests", "fixtures", "plugins",
                                  plugin))
    server = MailServer()
    server.start(s.path("bench-mail"))
    rest = SMTP % server.port
    try:
        loop = statistics.median(
            n / 4 / float(s.wp_eval(LOOP % (server.port, "false", n // 4)))
            for _ in range(rounds))
        kept = statistics.median(
            n / 4 / float(s.wp_eval(LOOP % (server.port, "true", n // 4)))
            for _ in range(rounds))
        out = statistics.median(
            from_outbox(site, rest, n) for _ in range(rounds))
        row("mails out of the outbox", out, "/s", "wp_mail() in a loop", loop,
            remark="%.0f /s with PHPMailer's SMTPKeepAlive" % kept)
        row("mails of jobs in PHP", statistics.median(
            whole_way(site, rest, n // 4) for _ in range(rounds)), "/s",
            "wp_mail() in a loop", loop)
        render = float(s.wp_eval(RENDER % n)) / n
        row("PHPMailer makes a mail", 1 / render, "/s")
        row("tasks of a transient queue", statistics.median(
            tasks(site, rest, n) for _ in range(rounds)), "/s",
            "the plugin's own processor", tutorial(s, n))
    finally:
        server.stop()
