"""A site whose plugin (fixtures/plugins/wpcron-task-queue) keeps its tasks in a
transient, and tests/drivers/tasks_run.c, which works them off.

    class SomeTest(TasksCase):
        def test_x(self):
            self.put(task("note", {"n": 1}))
            self.assertEqual(self.run_tasks()["done"], 1)
            self.assertEqual(self.log(), ['note {"n":1}'])
"""

import http.server
import json
import os
import subprocess
import threading
import time
import unittest

from cronrow import serialize, unserialize
from stack import FIXTURES, Stack

QUEUE = "myplugin_task_queue"
HOOK = "myplugin_process_queue"
HANDLERS = """
handler note = php:myplugin_note
handler fail = php:myplugin_fail
handler throw = php:myplugin_throw
handler error = php:myplugin_error
handler kill = php:myplugin_kill
handler sleep = php:myplugin_sleep
handler method = php:Myplugin_Tasks::note
handler absent = php:myplugin_absent
handler exit = php:tasks_exit
handler hooks = php:tasks_hooks
handler later = php:tasks_later
handler mail = php:myplugin_send_email
handler http_request = webhook
"""
# What only some tests need, beside the plugin.
MORE_PHP = """<?php
/* Plugin Name: tasks-more */
function tasks_exit( $p ) { myplugin_log( 'exit', $p ); exit; }
function tasks_hooks( $p ) {
	myplugin_log( has_filter( 'tasks_left' ) ? 'coloured' : 'plain', $p );
	add_filter( 'tasks_left', '__return_true' );
	wp_set_current_user( 1 );
	ini_set( 'precision', '3' );
	echo 'noise';
	ob_start();
	return get_current_user_id();
}
function tasks_later( $p ) {
	add_action( 'shutdown', function () use ( $p ) {
		myplugin_log( 'shutdown', $p );
		if ( 'kill' === $p ) {
			posix_kill( getmypid(), 9 );
		}
		if ( 'throw' === $p ) {
			throw new Exception( 'thrown at shutdown' );
		}
	} );
	myplugin_log( 'later', $p );
	return 'yes';
}
"""


def task(kind, payload=None, **more):
    """As the plugin enqueues it."""
    now = int(time.time())
    made = {"type": kind, "payload": payload, "created": now, "attempts": 0,
            "max_attempts": 3, "backoff": 5}
    made.update(more)
    return made


class Server:
    """Somebody's HTTP server on loopback: notes what it gets. `answer` is a
    function of a call, (status, headers, body)."""

    def __init__(self):
        self.calls, self.lock = [], threading.Lock()
        self.answer = lambda call: (200, {}, b"ok")
        owner = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def serve(self):
                n = int(self.headers.get("Content-Length") or 0)
                call = {"method": self.command, "path": self.path,
                        "headers": dict(self.headers.items()),
                        "body": self.rfile.read(n), "at": time.time()}
                with owner.lock:
                    owner.calls.append(call)
                status, headers, body = owner.answer(call)
                try:
                    self.send_response(status)
                    for name, value in headers.items():
                        self.send_header(name, value)
                    self.send_header("Content-Length", str(len(body)))
                    self.end_headers()
                    self.wfile.write(body)
                except OSError:
                    pass

            do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = serve

            def log_message(self, *args):
                pass

        class Quiet(http.server.ThreadingHTTPServer):
            # Who finds the queue full comes again after a second.
            request_queue_size = 256

            def handle_error(self, *args):
                pass  # Clients may hang up.

        self.http = Quiet(("127.0.0.1", 0), Handler)
        self.http.daemon_threads = True
        self.port = self.http.server_address[1]
        self.thread = threading.Thread(target=self.http.serve_forever,
                                       daemon=True)
        self.thread.start()

    def url(self, path="/"):
        return "http://127.0.0.1:%d%s" % (self.port, path)

    def paths(self):
        with self.lock:
            return [c["path"] for c in self.calls]

    def close(self):
        self.http.shutdown()
        self.http.server_close()


class TasksCase(unittest.TestCase):
    config = ""           # more lines of [tasks]
    site = ""             # of [site]
    rest = ""             # other sections
    handlers = HANDLERS
    config_extra = ""     # of wp-config.php

    @classmethod
    def setUpClass(cls):
        cls.s = Stack()
        cls.addClassCleanup(cls.s.close)
        cls.start()

    @classmethod
    def start(cls):
        s = cls.s
        cls.notes = s.path("notes.log")
        s.start_site(config_extra="define( 'MYPLUGIN_LOG', '%s' );\n%s" % (
            cls.notes, cls.config_extra))
        with open(cls.notes, "w"):
            os.chmod(cls.notes, 0o666)
        s.add_plugin(os.path.join(FIXTURES, "plugins", "wpcron-task-queue"))
        more = s.path("tasks-more")
        os.makedirs(more)
        with open(os.path.join(more, "tasks-more.php"), "w") as f:
            f.write(MORE_PHP)
        s.add_plugin(more)
        cls.conf = s.path("tasks.conf")
        cls.configure()
        r = s.ctl("install", config=cls.conf)
        assert r.returncode == 0, r.stdout + r.stderr

    @classmethod
    def configure(cls, config=None, handlers=None, site=None, rest=None,
                  daemon=""):
        def of(value, default):
            return default if value is None else value
        text = cls.s.config_text(daemon=daemon, site=of(site, cls.site),
                                 rest="%s\n%s" % (
            of(rest, cls.rest), "[tasks default/%s]\nhook = %s\n%s\n%s" % (
                QUEUE, HOOK, of(config, cls.config),
                of(handlers, cls.handlers))))
        with open(cls.conf, "w") as f:
            f.write(text)

    def setUp(self):
        s = self.s
        s.mysql("DELETE FROM wp_options WHERE option_name LIKE %s",
                ("%\\_transient\\_%myplugin%",))
        for table in ("tasks", "task_snapshots", "dead_letters", "leases",
                      "outbox", "outbox_chunks"):
            s.mysql("DELETE FROM wp_wpcron_" + table)
        with open(self.notes, "w"):
            pass
        self.server = Server()
        self.addCleanup(self.server.close)
        self.configure()

    # ---- the transient -------------------------------------------------

    def set_option(self, name, value):
        self.s.mysql(
            "INSERT INTO wp_options (option_name, option_value, autoload)"
            " VALUES (%s, %s, 'no') ON DUPLICATE KEY UPDATE"
            " option_value = VALUES(option_value)", (name, value))

    def put(self, *tasks, ttl=86400):
        """The transient becomes this list."""
        self.set_option("_transient_timeout_" + QUEUE,
                        str(int(time.time()) + ttl))
        self.set_option("_transient_" + QUEUE, serialize(list(tasks)))

    def stored(self):
        """What the transient's row holds, or None."""
        value = self.s.option("_transient_" + QUEUE)
        if value is None:
            return None
        return unserialize(value if isinstance(value, bytes)
                           else value.encode())

    def lock(self):
        return self.s.option("_transient_%s_lock" % QUEUE)

    # ---- running -------------------------------------------------------

    def argv(self, **options):
        return self.s.as_web_user(
            [self.s.binary("drivers/tasks_run"), "config=" + self.conf] +
            ["%s=%s" % item for item in options.items()])

    def begin_tasks(self, **options):
        return subprocess.Popen(
            self.argv(**options), env=self.s.sanitizer_env(),
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
            stderr=subprocess.PIPE, text=True)

    def end_tasks(self, process, timeout=120):
        out, self.said = process.communicate(timeout=timeout)
        self.assertEqual(process.returncode, 0, self.said)
        return json.loads(out)

    def run_tasks(self, **options):
        """The report of one look."""
        return self.end_tasks(self.begin_tasks(**options))

    def log(self):
        """Lines that the plugin's functions wrote."""
        with open(self.notes) as f:
            return f.read().splitlines()

    def rows(self):
        return self.s.mysql(
            "SELECT task_id, type, state, attempts, available_at, error"
            " FROM wp_wpcron_tasks ORDER BY task_id")

    def states(self):
        return [r["state"] for r in self.rows()]

    def dead(self):
        rows = self.s.mysql(
            "SELECT queue, title, reason, attempts, payload"
            " FROM wp_wpcron_dead_letters ORDER BY letter_id")
        for row in rows:
            for name in ("queue", "title", "reason"):
                if isinstance(row[name], bytes):
                    row[name] = row[name].decode()
        return rows

    def make_due(self):
        """Delayed tasks have waited long enough."""
        self.s.mysql("UPDATE wp_wpcron_tasks SET available_at ="
                     " UTC_TIMESTAMP(6) - INTERVAL 1 SECOND"
                     " WHERE state = 'delayed'")

