"""The demo behind tools/demo; see there."""

import argparse
import os
import subprocess
import sys
import time

REPO = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
sys.path.insert(0, os.path.join(REPO, "tests", "integration"))
from mail_server import MailServer  # noqa: E402
from stack import ADMIN_PASSWORD, Stack, StackError  # noqa: E402

NATIVE, PHP, MAIL = "demo_webhook", "demo_option", "mailer_one"
TIMEOUT = 600
MAILS = 100
RELAY = """[route]
%s = webhook %s
[smtp relay]
host = 127.0.0.1
port = %d
security = none
[policy %s]
mail = outbox
"""


def say(text):
    print(text, flush=True)


class Progress:
    """One line that moves on a terminal, a line a second elsewhere."""

    def __init__(self, what, total):
        self.what, self.total = what, total
        self.terminal = sys.stdout.isatty()
        self.begun = time.monotonic()
        self.shown = 0.0

    def show(self, done, more="", last=False):
        now = time.monotonic()
        if not last and now - self.shown < (0.1 if self.terminal else 1):
            return
        self.shown = now
        took = now - self.begun
        filled = 24 * done // max(self.total, 1)
        line = "%-12s [%s%s] %5d/%d %6.1f s %6.0f/s %s" % (
            self.what, "#" * filled, "." * (24 - filled), done, self.total,
            took, done / took if took else 0, more)
        if self.terminal:
            print("\r\033[K" + line, end="\n" if last else "", flush=True)
        else:
            say(line)


class Demo:
    def __init__(self, stack, n):
        self.s, self.n = stack, n
        self.receiver = None
        self.mails = MailServer()
        self.problems = []

    def build_site(self):
        s = self.s
        say("MariaDB, php-fpm, nginx and WordPress in %s" % s.dir)
        self.receiver = s.start_receiver()
        s.start_site(children=4, config_extra=(
            "define( 'WPCRON_DEMO_WEBHOOK', '%s' );" % self.receiver.url()))
        s.install_action_scheduler()
        s.add_plugin(os.path.join(REPO, "tests", "fixtures", "plugins",
                                  "wpcron-mailer"))
        self.mails.start(s.path("mail"))

    def rows_by_php(self):
        return self.s.value("SELECT COUNT(*) FROM %s" %
                            self.s.table("wpcron_demo"))

    def forget(self):
        self.s.mysql("TRUNCATE " + self.s.table("wpcron_demo"))
        self.receiver.forget()

    # ---- stock -----------------------------------------------------------

    def schedule_events(self):
        """The same callbacks as cron events, the way core stores them."""
        self.s.wp_eval("""
            $cron = _get_cron_array();
            for ( $i = 1; $i <= %d; $i++ ) {
                $hook = $i %% 2 ? %r : %r;
                $args = array( $i );
                $when = time() - 60 + $i %% 60;
                $cron[ $when ][ $hook ][ md5( serialize( $args ) ) ] = array(
                    'schedule' => false, 'args' => $args );
            }
            uksort( $cron, 'strnatcasecmp' );
            _set_cron_array( $cron );
            """ % (self.n, NATIVE, PHP))

    def events_left(self):
        return self.s.value(
            "SELECT (LENGTH(option_value) - LENGTH(REPLACE(option_value,"
            " 's:4:\"args\";a:1:', ''))) DIV LENGTH('s:4:\"args\";a:1:')"
            " FROM %s WHERE option_name = 'cron'" % self.s.table("options"))

    def run_stock(self):
        s = self.s
        say("\nstock wp-cron.php: %d events, one ping a second" % self.n)
        self.schedule_events()
        self.forget()
        s.start_nginx(stock_cron=True)
        s.get("/wp-login.php")  # PHP has compiled WordPress
        progress = Progress("wp-cron.php", self.n)
        begun = next_ping = time.monotonic()
        while True:
            now = time.monotonic()
            if now >= next_ping:
                s.get("/wp-cron.php")
                next_ping = now + 1
            left = self.events_left()
            if left == 0 or now - begun > TIMEOUT:
                break
            progress.show(self.n - left)
            time.sleep(0.1)
        # An event is unscheduled before it runs: wait for the last to end.
        s.wait_until(lambda: s.option("_transient_doing_cron") is None, 60,
                     what="wp-cron.php ended")
        took = time.monotonic() - begun
        progress.show(self.n - left, last=True)
        s.nginx.stop()
        s.servers.remove(s.nginx)
        posted = self.receiver.report()["requests"]
        php = posted + self.rows_by_php()
        return {"native": 0, "php": php, "failed": self.n - php,
                "seconds": took}

    # ---- wp-cron-fcgi ------------------------------------------------------

    def run_ours(self):
        s, half = self.s, self.n // 2
        say("\nwp-cron-fcgi: %d due actions, half with a native route"
            % self.n)
        self.forget()
        s.insert_actions(self.n - half, NATIVE, logs=True, group="demo")
        s.insert_actions(half, PHP, logs=True, group="demo")
        s.wp_eval("wp_schedule_single_event( time() - 1, 'demo_nothing' );")
        conf = s.config_text(site="smtp = relay\n", rest=RELAY % (
            NATIVE, self.receiver.url(), self.mails.port, MAIL))
        with open(s.path("demo.conf"), "w") as f:
            f.write(conf)
        made = s.ctl("install", config=s.path("demo.conf"))
        if made.returncode != 0:
            raise StackError("wp-cronctl install: " + made.stdout
                             + made.stderr)
        progress = Progress("wp-cron-fcgi", self.n)
        begun = time.monotonic()
        daemon = s.start_daemon(config=conf)
        s.start_nginx(daemon=daemon)
        page = s.get("/")[0]
        curl = subprocess.run(
            ["curl", "-sS", "-o", "/dev/null", "-D", "-", s.url(
                "/wp-cron.php")], capture_output=True, text=True)
        if page != 200 or curl.returncode != 0:
            raise StackError("page load: %d; curl: %s" % (page, curl.stderr))
        answer = [line.strip() for line in curl.stdout.splitlines()
                  if line.startswith(("HTTP/", "X-WP-Cron"))]
        counts = {}
        while True:
            counts = s.statuses()
            ended = sum(n for status, n in counts.items()
                        if status not in ("pending", "in-progress"))
            left = counts.get("pending", 0) + counts.get("in-progress", 0)
            if left == 0 or time.monotonic() - begun > TIMEOUT:
                break
            progress.show(ended, "%d running" % counts.get("in-progress", 0))
            time.sleep(0.05)
        took = time.monotonic() - begun
        progress.show(ended, last=True)
        say("page load: 200; curl /wp-cron.php: %s" % ", ".join(answer))
        self.check_cron_event()
        native = s.count("hook = %s AND status = 'complete'", (NATIVE,))
        php = s.count("hook = %s AND status = 'complete'", (PHP,))
        self.problems = self.disagreements(native, php)
        return {"native": native, "php": php,
                "failed": counts.get("failed", 0), "seconds": took}

    def run_mails(self):
        """Mails of jobs: stored when they are made, sent from there."""
        s = self.s
        say("\n%d actions that send a mail each, to a mail server of Debian's"
            % MAILS)
        begun = time.monotonic()
        s.insert_actions(MAILS, MAIL, args='["reader{i}@example.org","Hello"]')
        s.wait_until(lambda: len(self.mails.messages()) >= MAILS, TIMEOUT,
                     what="all mails are at the mail server")
        got = self.mails.messages()
        if len({tuple(m[1]) for m in got}) != MAILS or len(got) != MAILS:
            self.problems.append("%d mails for %d readers" % (
                len(got), len({tuple(m[1]) for m in got})))
        say("%d mails there after %.1f s; nothing waits in the outbox: %s" % (
            len(got), time.monotonic() - begun, self.outbox_is_empty()))

    def outbox_is_empty(self):
        s = self.s
        waits = ("SELECT COUNT(*) FROM %s WHERE state <> 'sent'" %
                 s.table("wpcron_outbox"))
        s.wait_until(lambda: s.value(waits) == 0, 30,
                     what="the outbox is empty")
        return "true"

    def check_cron_event(self):
        """What core itself had scheduled was not forgotten."""
        self.s.wait_until(
            lambda: "demo_nothing" not in (self.s.option("cron") or ""), 30,
            what="core's own due event was run")
        say("core's own due cron event: run")

    def disagreements(self, native, php):
        """The tables' word against that of those who got the work."""
        got, rows = self.receiver.report(), self.rows_by_php()
        found = []
        if got["distinct"] != native or got["requests"] != native:
            found.append("%d webhooks complete, the receiver got %d requests,"
                         " %d distinct" % (native, got["requests"],
                                           got["distinct"]))
        if rows != php:
            found.append("%d PHP actions complete, the plugin wrote %d rows"
                         % (php, rows))
        if native + php != self.n:
            found.append("%d of %d actions complete" % (native + php, self.n))
        return found

    def table(self, ours, stock):
        say("\n%-22s %10s %10s %8s %9s %9s" % (
            "%d callbacks" % self.n, "natively", "in PHP", "failed",
            "seconds", "a second"))
        for name, r in (("wp-cron-fcgi", ours), ("stock wp-cron.php", stock)):
            say("%-22s %10d %10d %8d %9.1f %9.0f" % (
                name, r["native"], r["php"], r["failed"], r["seconds"],
                (r["native"] + r["php"]) / r["seconds"]))
        say("seconds: ours from the start of the daemon to the last row"
            " settled;\nstock from the first ping to the end of the run")


def main():
    parser = argparse.ArgumentParser(prog="tools/demo")
    parser.add_argument("--keep", action="store_true",
                        help="leave it running and print the URLs")
    parser.add_argument("--actions", type=int, default=2000)
    options = parser.parse_args()
    s = Stack(variant="release")
    demo = Demo(s, options.actions)
    try:
        demo.build_site()
        stock = demo.run_stock()
        ours = demo.run_ours()
        demo.table(ours, stock)
        demo.run_mails()
        # What --keep leaves running has no mail server.
        demo.mails.stop()
    except StackError as e:
        demo.mails.stop()
        s.dump_logs()
        s.close()
        sys.exit("demo: %s" % e)
    except KeyboardInterrupt:
        demo.mails.stop()
        s.close()
        sys.exit(130)
    for problem in demo.problems:
        say("WRONG: " + problem)
    if options.keep:
        say("\nsite      %s\nlog in    %s as admin, %s" % (
            s.url("/"), s.url("/wp-login.php"), ADMIN_PASSWORD))
        say("ping      %s\nhealth    %s" % (
            s.url("/wp-cron.php"), s.url("/wp-cron-fcgi/healthz")))
        say("stop      %s" % s.detach())
    else:
        s.close()
    return 1 if demo.problems else 0


if __name__ == "__main__":
    sys.exit(main())
