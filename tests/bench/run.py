"""The benchmark: ratios measured in one run, medians of five.

    tests/bench/run.py [ROW ...]        through `make bench`

Rows: the functions named bench_* below. Prints a table and writes
build/bench/bench.json. Nothing here passes or fails; where a budget is
missed the table says so, and what cannot be measured says "not measured".
QUICK=1: shorter and three instead of five.
"""

import json
import os
import re
import resource
import signal
import statistics
import subprocess
import sys
import time

HERE = os.path.dirname(os.path.abspath(__file__))
REPO = os.path.dirname(os.path.dirname(HERE))
sys.dont_write_bytecode = True
sys.path.insert(0, os.path.join(REPO, "tests", "integration"))
sys.path.insert(1, HERE)
import cronrow  # noqa: E402
import flags  # noqa: E402
import handover  # noqa: E402
import outbox  # noqa: E402
import reader_pings  # noqa: E402
import visitors  # noqa: E402
from stack import Stack, rss_anon_kib, tool, wait_until  # noqa: E402

QUICK = bool(os.environ.get("QUICK"))
ROUNDS = 3 if QUICK else 5
SECONDS = 1 if QUICK else 3
NATIVE, PHP, NOTHING = "bench_webhook", "demo_nothing", "bench_nothing"
rows = []


def note(text):
    print("  " + text, file=sys.stderr, flush=True)


def row(name, ours, unit, against=None, other=None, budget=None,
        at_least=True, remark=""):
    """One line of the table; budget is what ours/other should reach."""
    ratio = ours / other if other else None
    met = None
    if budget is not None and ratio is not None:
        met = ratio >= budget if at_least else ratio <= budget
    rows.append({"name": name, "ours": ours, "unit": unit,
                 "against": against, "other": other, "ratio": ratio,
                 "budget": budget, "met": met, "remark": remark})


def not_measured(name, why):
    rows.append({"name": name, "ours": None, "remark": "not measured: " + why})


def wrk(url, seconds=SECONDS, connections=16):
    """Requests a second; a run with errors is an error."""
    out = subprocess.run(
        [tool("wrk"), "-t1", "-c%d" % connections, "-d%ds" % seconds, url],
        capture_output=True, text=True, check=True).stdout
    # nginx gives every connection up after so many requests: read errors.
    if "Non-2xx" in out or re.search(r"timeout [1-9]", out):
        raise RuntimeError("wrk %s:\n%s" % (url, out))
    return float(re.search(r"Requests/sec:\s+([\d.]+)", out).group(1))


class Site:
    """The servers all rows share; the daemon is started by whoever needs it."""

    def __init__(self):
        self.s = Stack(variant=os.environ.get("VARIANT", "release"))
        self.receiver = self.s.start_receiver()
        self.s.start_site(children=4)
        self.s.install_action_scheduler()
        self.daemon = None
        self.start_ok()

    def start_ok(self):
        s = self.s
        sock = s.path("ok.sock")
        program = s.path("ok")
        with open(os.path.join(REPO, "build", s.variant, "drivers", "ok"),
                  "rb") as f, open(program, "wb") as to:
            to.write(f.read())
        os.chmod(program, 0o755)
        server = s.spawn("ok", [tool("spawn-fcgi"), "-n", "-s", sock, "-M",
                                "0666", "--", program])
        server.stop_signal = signal.SIGKILL  # libfcgi swallows SIGTERM
        server.wait_ready(lambda: os.path.exists(sock))

    def start(self, daemon="", stock=False):
        """nginx and the daemon; /ok and /stock/ stand beside the product."""
        self.stop()
        s = self.s
        self.daemon = s.start_daemon(
            daemon=daemon + "\nlog_level = warn\n",
            rest="[route]\n%s = webhook %s\n%s = queue:actions\n" % (
                NATIVE, self.receiver.url(), NOTHING))
        s.start_nginx(daemon=self.daemon, extra="""
            location = /ok { include fastcgi_params;
                fastcgi_pass unix:%s; }
            location = /stock { include fastcgi_params;
                fastcgi_param HTTP_HOST $http_host;
                fastcgi_param SCRIPT_FILENAME $document_root/wp-cron.php;
                fastcgi_pass unix:%s; }
            """ % (s.path("ok.sock"), s.php_socket))

    def stop(self):
        for server in (self.s.nginx, self.daemon):
            if server and server.alive:
                server.stop()
                self.s.servers.remove(server)
        self.daemon = self.s.nginx = None

    def empty(self):
        for table in ("actions", "claims", "logs"):
            self.s.mysql("TRUNCATE " + self.s.table("actionscheduler_" + table))

    def left(self):
        return self.s.count("status IN ('pending', 'in-progress')")


def bench_ping_idle(site):
    """Pings a second through nginx, nothing due."""
    site.empty()
    site.start()
    url = site.s.url
    site.s.get("/stock")
    found = {"/wp-cron.php": [], "/ok": [], "/stock": []}
    for _ in range(ROUNDS):
        for path, values in found.items():
            values.append(wrk(url(path), connections=4 if path == "/stock"
                              else 16))
    ours, ok, stock = (statistics.median(v) for v in found.values())
    row("pings/s, nothing due", ours, "/s", "stock wp-cron.php", stock, 100)
    row("pings/s, nothing due", ours, "/s", 'libfcgi "ok"', ok, 0.85)


def bench_ping_busy(site):
    """Pings a second while a cycle runs; "ok" under the same load."""
    site.empty()
    site.start()
    s = site.s
    s.insert_actions(20000 if QUICK else 100000, NATIVE)
    wait_until(lambda: s.count("status='complete'") > 100, 30)
    ours, ok = [], []
    for _ in range(ROUNDS):
        ours.append(wrk(s.url("/wp-cron.php"), 1))
        ok.append(wrk(s.url("/ok"), 1))
    if not site.left():
        not_measured("pings/s while a cycle runs",
                     "the queue was empty before the end")
        return
    row("pings/s, a cycle runs", statistics.median(ours), "/s",
        '"ok" under the same load', statistics.median(ok), 0.85)
    site.stop()


def bare_sql(s, n, batch):
    """The durable statements of n actions, and nothing else: rows a second."""
    actions, logs = (s.table("actionscheduler_" + t)
                     for t in ("actions", "logs"))
    first = s.insert_actions(n, "bare")
    with s.connect(autocommit=False) as db, db.cursor() as c:
        begun = time.monotonic()
        for at in range(first, first + n, batch):
            ids = ",".join(str(i) for i in range(at, min(at + batch,
                                                        first + n)))
            c.execute("UPDATE %s SET claim_id = 1, last_attempt_gmt ="
                      " UTC_TIMESTAMP() WHERE action_id IN (%s) AND claim_id"
                      " = 0 AND status = 'pending'" % (actions, ids))
            db.commit()
            c.execute("UPDATE %s SET status = 'in-progress', attempts ="
                      " attempts + 1, last_attempt_gmt = UTC_TIMESTAMP()"
                      " WHERE action_id IN (%s)" % (actions, ids))
            c.execute("INSERT INTO %s (action_id, message, log_date_gmt)"
                      " SELECT action_id, 'action started via WP Cron FCGI',"
                      " UTC_TIMESTAMP() FROM %s WHERE action_id IN (%s)"
                      % (logs, actions, ids))
            db.commit()
            c.execute("SELECT action_id FROM %s WHERE action_id IN (%s) FOR"
                      " UPDATE" % (actions, ids))
            c.execute("UPDATE %s SET status = 'complete' WHERE action_id IN"
                      " (%s)" % (actions, ids))
            c.execute("INSERT INTO %s (action_id, message, log_date_gmt)"
                      " SELECT action_id, 'action complete via WP Cron FCGI',"
                      " UTC_TIMESTAMP() FROM %s WHERE action_id IN (%s)"
                      % (logs, actions, ids))
            db.commit()
        return n / (time.monotonic() - begun)


def drain(site, hook, n):
    """Actions a second, from the first settled to the last."""
    s = site.s
    site.empty()
    s.insert_actions(n, hook)
    s.get("/wp-cron.php")
    first = wait_until(lambda: s.count("status='complete'"), 30, 0.005,
                       "the first action is complete")
    begun = time.monotonic()
    wait_until(lambda: not site.left(), 300, 0.02, "the queue is empty")
    took = time.monotonic() - begun
    done = s.count("status='complete'")
    if done != n:
        raise RuntimeError("%d of %d complete" % (done, n))
    return (n - first) / took


def bench_native(site):
    """A handler that does nothing, claim to settled, beside the bare SQL at
    the same batch on one connection."""
    n = 4000 if QUICK else 20000
    for batch in (25, 100, 500):
        ours, bare = [], []
        for _ in range(ROUNDS):
            site.start("native_batch = %d" % batch)
            ours.append(drain(site, NOTHING, n))
            site.stop()
            site.empty()
            bare.append(bare_sql(site.s, n, batch))
        row("native actions/s, batches of %d" % batch,
            statistics.median(ours), "/s", "bare durable SQL, same batch",
            statistics.median(bare), 0.7)


def bench_backlog(site):
    """The same rows at the head of a long queue: what depth costs."""
    n, depth = (2000, 50000) if QUICK else (10000, 300000)
    short, deep = [], []
    for _ in range(ROUNDS):
        site.start()
        short.append(drain(site, NOTHING, n))
        site.stop()
        site.empty()
        site.s.insert_actions(depth, NOTHING, spread=3000, due_in=-4000)
        # What was just inserted is still being written back to disk.
        time.sleep(2 if QUICK else 10)
        site.start()
        deep.append(drain_first(site, n))
        site.stop()
    row("native actions/s, %d due" % depth, statistics.median(deep), "/s",
        "a queue of %d" % n, statistics.median(short), 1 / 1.3)


def drain_first(site, n):
    """Actions a second over the next n of a queue that stays long."""
    s = site.s
    done = "status='complete'"
    first = wait_until(lambda: s.count(done), 30, 0.02)
    begun = time.monotonic()
    last = wait_until(lambda: (s.count(done) >= first + n) and s.count(done),
                      300, 0.02)
    return (last - first) / (time.monotonic() - begun)


def bench_webhook(site):
    """Real HTTP requests to a receiver on the same machine."""
    n = 2000 if QUICK else 10000
    site.start()
    ours = [drain(site, NATIVE, n) for _ in range(ROUNDS)]
    row("webhooks/s, claim to settled", statistics.median(ours), "/s")
    not_measured("native against PHP's runner",
                 "Action Scheduler is not installed; see"
                 " tests/integration/test_beside_plugin.py")


def bench_php(site):
    """Actions a second through PHP."""
    n = 500 if QUICK else 2000
    site.start()
    ours = [drain(site, PHP, n) for _ in range(ROUNDS)]
    row("actions/s through PHP", statistics.median(ours), "/s",
        remark="empty callback, 2 PHP children")
    not_measured("PHP against one PHP runner",
                 "Action Scheduler is not installed")


def bench_start_delay(site):
    """From an insert, without any ping, to the job's own work."""
    site.empty()
    site.start()
    site.receiver.forget()
    delays = []
    for i in range(20 if QUICK else 60):
        time.sleep(0.013 * (i * 37 % 79))  # not in step with the clock
        before = site.receiver.report()["requests"]
        begun = time.monotonic()
        site.s.insert_actions(1, NATIVE, due_in=-1)
        wait_until(lambda n=before: site.receiver.report()["requests"] > n,
                   10, 0.002)
        delays.append(time.monotonic() - begun)
    delays.sort()
    row("start delay without a ping, p95",
        1000 * delays[int(0.95 * len(delays))], "ms", "budget", 1100, 1,
        at_least=False,
        remark="%d inserts, median %.0f ms" % (
            len(delays), 1000 * statistics.median(delays)))


def bench_ping_to_work(site):
    """From a ping to the first byte of the job's own work, when no look was
    made in the last second: the clock looks every 30 s here."""
    site.empty()
    site.start("look_interval = 30s")
    site.receiver.forget()
    delays = []
    for i in range(10 if QUICK else 100):
        site.s.insert_actions(1, NATIVE, due_in=-1)
        time.sleep(1.1)
        begun = time.monotonic()
        site.s.get("/wp-cron.php")
        wait_until(lambda n=i: site.receiver.report()["requests"] > n,
                   10, 0.0005)
        delays.append(time.monotonic() - begun)
    delays.sort()
    row("ping to the job's work, p99",
        1000 * delays[int(0.99 * len(delays))], "ms", "budget", 10, 1,
        at_least=False,
        remark="%d pings, median %.1f ms, the asking included" % (
            len(delays), 1000 * statistics.median(delays)))


def bench_memory(site):
    """RssAnon after many pings and jobs."""
    jobs, pings = (2000, 5) if QUICK else (20000, 30)
    site.empty()
    site.start()
    s = site.s
    wait_until(lambda: s.get("/wp-cron.php")[0] == 200)
    fresh = rss_anon_kib(site.daemon.pid)
    s.insert_actions(jobs, NATIVE)
    wait_until(lambda: not site.left(), 300)
    warm = rss_anon_kib(site.daemon.pid)
    rate = wrk(s.url("/wp-cron.php"), pings)
    s.insert_actions(jobs, NATIVE)
    wait_until(lambda: not site.left(), 300)
    row("RssAnon after the jobs", rss_anon_kib(site.daemon.pid) / 1024,
        "MB", "budget", 10, 1, at_least=False,
        remark="%d jobs, %d pings; %.1f MB fresh, %.1f MB after half the jobs"
               % (2 * jobs, rate * pings, fresh / 1024, warm / 1024))


def bench_idle(site):
    """What a second of idleness costs the database."""
    site.empty()
    site.start()
    s = site.s
    time.sleep(2)
    seconds = 5 if QUICK else 20
    with s.connect() as db, db.cursor() as c:
        def questions():
            c.execute("SHOW GLOBAL STATUS LIKE 'Questions'")
            return int(c.fetchone()[1])
        begun = questions()
        time.sleep(seconds)
        # Our own SHOW is one of them.
        asked = (questions() - begun - 1) / seconds
        c.execute("SELECT COUNT(*) FROM information_schema.PROCESSLIST"
                  " WHERE user = 'wp'")
        connections = c.fetchone()[0]
    row("statements/s when idle", asked, "/s",
        remark="%d connections" % connections)


def cpu_seconds(pid):
    """Processor time of one process."""
    with open("/proc/%d/schedstat" % pid) as f:
        return int(f.read().split()[0]) / 1e9


def pool_seconds(s):
    """Processor time of the pool's children; static ones do not go."""
    with open("/proc/%d/task/%d/children" % (s.php_fpm.pid,
                                             s.php_fpm.pid)) as f:
        return sum(cpu_seconds(int(pid)) for pid in f.read().split())


def cron_event(s, spend, n):
    """Processor ms of PHP for one due no-op event; spend() gets it run and
    says what it used beside the pool."""
    used = []
    for i in range(n):
        cronrow.put(s, [cronrow.Event(time.time() - 3, PHP,
                                      [i, time.monotonic()])])
        cronrow.drop_lock(s)
        before = pool_seconds(s)
        beside = spend()
        wait_until(lambda: not cronrow.events(s) and not cronrow.lock(s), 20,
                   0.005, "the event has run")
        time.sleep(0.05)
        used.append(1000 * (pool_seconds(s) - before + beside))
    return statistics.median(used)


def wp_cli(s, path):
    def spend():
        begun = resource.getrusage(resource.RUSAGE_CHILDREN)
        subprocess.run(
            s.as_web_user([tool("php"), path, "--path=" + s.root, "cron",
                           "event", "run", "--due-now", "--quiet"]),
            check=True, stdin=subprocess.DEVNULL, capture_output=True,
            cwd=s.dir)
        now = resource.getrusage(resource.RUSAGE_CHILDREN)
        return now.ru_utime + now.ru_stime - begun.ru_utime - begun.ru_stime
    return spend


def idle_ms(s, spend, seconds):
    """Processor ms of PHP in a minute without anything due; spend: what a
    crontab does once a minute, or None."""
    used = []
    for _ in range(ROUNDS if spend else 1):
        before = pool_seconds(s)
        beside = spend() if spend else 0
        time.sleep(0.5 if spend else seconds)
        used.append(1000 * (pool_seconds(s) - before + beside))
    return statistics.median(used) * (1 if spend else 60 / seconds)


def bench_cron(site):
    """One no-op cron event, and an idle minute, by everybody's runner."""
    s, n = site.s, 5 if QUICK else 25
    seconds = 10 if QUICK else 60
    event = "PHP for one cron event, CPU"
    idle = "PHP in an idle minute, CPU"
    s.core_events = cronrow.parse(cronrow.value(s))
    site.start()
    for _ in range(40):  # every child has served, and its caches are warm
        s.get("/")

    def ping(path):
        def spend():
            s.get(path)
            return 0
        return spend
    time.sleep(3)  # what PHP is asked once an hour is behind us
    ours = cron_event(s, lambda: 0, n)
    ours_idle = idle_ms(s, None, seconds)
    daemon = cpu_seconds_of_threads(site.daemon.pid)
    time.sleep(seconds)
    daemon = 60000 * (cpu_seconds_of_threads(site.daemon.pid) - daemon) \
        / seconds
    site.stop()
    s.start_nginx(stock_cron=True)
    row(event, ours, "ms", "stock wp-cron.php",
        cron_event(s, ping("/wp-cron.php"), n))
    row(idle, ours_idle, "ms", "stock, called once a minute",
        idle_ms(s, ping("/wp-cron.php"), seconds),
        remark="the daemon's own %.0f ms" % daemon)
    phar = os.environ.get("WP_CLI_PHAR")
    if not phar:
        not_measured("the same against WP-CLI", "WP_CLI_PHAR is not set")
        return
    cli = wp_cli(s, phar)
    row(event, ours, "ms", "wp cron event run --due-now",
        cron_event(s, cli, n))
    row(idle, ours_idle, "ms", "WP-CLI, called once a minute",
        idle_ms(s, cli, seconds))


def bench_contacts(site):
    del site  # the provider alone, through its driver
    handover.measure(row)


def bench_flags(site):
    """A tick's read of who waits, by the size of usermeta."""
    flags.measure(site.s, row, [10 ** 5, 10 ** 6] if QUICK
                  else [10 ** 6, 10 ** 7])


def bench_visitors(site):
    """Whose log-in cookies page loads bring."""
    visitors.measure(site.s, row, ROUNDS, QUICK)


def bench_reader_pings(site):
    """Page loads of logged-in readers, and the pings they make."""
    reader_pings.measure(site, row, ROUNDS, QUICK)


def bench_mails(site):
    """Mails to a mail server, and tasks of a plugin's queue."""
    site.stop()
    outbox.measure(site, row, ROUNDS, QUICK)


def cpu_seconds_of_threads(pid):
    return sum(cpu_seconds(int(t)) for t in os.listdir("/proc/%d/task" % pid))


def print_table():
    print("%-34s %12s  %-34s %10s %8s  %s" % (
        "", "ours", "against", "", "ratio", "budget"))
    for r in rows:
        if r["ours"] is None:
            print("%-34s %s" % (r["name"], r["remark"]))
            continue
        budget = ""
        if r["budget"] is not None:
            budget = "%g: %s" % (r["budget"], "met" if r["met"] else "MISSED")
        print("%-34s %9.1f %-2s  %-34s %10s %8s  %s" % (
            r["name"], r["ours"], r["unit"], r["against"] or "",
            "%.1f" % r["other"] if r["other"] else "",
            "%.2f" % r["ratio"] if r["ratio"] else "", budget))
        if r["remark"]:
            print("%-34s   %s" % ("", r["remark"]))


def main():
    wanted = sys.argv[1:] or [n[6:] for n in globals()
                              if n.startswith("bench_")]
    site = Site()
    failed = 0
    for name in wanted:
        note(name)
        try:
            globals()["bench_" + name](site)
        except Exception as e:  # one row's trouble is not the others'
            failed += 1
            not_measured(name, str(e).split("\n")[0])
            site.s.dump_logs()
        site.stop()
    site.s.close()
    print_table()
    out = os.path.join(REPO, "build", "bench")
    os.makedirs(out, exist_ok=True)
    with open(os.path.join(out, "bench.json"), "w") as f:
        json.dump(rows, f, indent=1)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
