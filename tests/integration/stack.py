"""A real site in a private directory: MariaDB, php-fpm, nginx, WordPress,
and the daemon.

    with Stack() as s:
        s.start_site()                  # MariaDB, WordPress, php-fpm
        s.install_action_scheduler()    # its tables; the plugin is not needed
        d = s.start_daemon()
        s.start_nginx()
        s.insert_actions(100, "demo_option")
        s.get("/wp-cron.php")
        s.wait_until(lambda: s.count("status='pending'") == 0)

Every server belongs to the stack and is stopped by its pid, in reverse order,
when the stack is closed. Nothing outside the directory is touched. As root the
servers run as the users Debian gives them (mysql, www-data); as anybody else
they run as the caller.

Environment: VARIANT (release, asan, tsan) chooses the build, KEEP=1 leaves the
directory behind.
"""

import atexit
import glob
import fcntl
import hashlib
import http.client
import json
import os
import pwd
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import weakref

import pymysql

REPO = os.path.dirname(os.path.dirname(os.path.dirname(
    os.path.abspath(__file__))))
FIXTURES = os.path.join(REPO, "tests", "fixtures")
CACHE = os.path.join(REPO, "build", "cache")
CORE = os.environ.get("WORDPRESS_DIR") or next(
    (d for d in ("/usr/share/wordpress",
                 os.path.join(CACHE, "wordpress", "usr/share/wordpress"))
     if os.path.exists(os.path.join(d, "wp-load.php"))),
    "/usr/share/wordpress")
ROOT = os.geteuid() == 0
WEB_USER = "www-data"
SUN_PATH_MAX = 107
SENDMAIL = """#!/bin/sh
cat > {dir}/.$$ && mv {dir}/.$$ {dir}/$(date +%s.%N)
"""

ADMIN_PASSWORD = "admin-of-a-test"
DB_PASSWORD = "wp"
# Literal, so that the program can read them; a test's secrets only.
SALTS = ("AUTH_KEY", "SECURE_AUTH_KEY", "LOGGED_IN_KEY", "NONCE_KEY",
         "AUTH_SALT", "SECURE_AUTH_SALT", "LOGGED_IN_SALT", "NONCE_SALT")

SANITIZER_SPOKE = re.compile(
    r"ERROR: (Address|Leak)Sanitizer|WARNING: ThreadSanitizer|runtime error:")

_open_stacks = weakref.WeakSet()
_held_ports = []


class StackError(Exception):
    """A server did not come up, or a tool of the harness failed."""


def tool(name, *patterns):
    """Path of a program, also where a user's PATH has no sbin."""
    path = os.environ.get("PATH", "") + ":/usr/local/sbin:/usr/sbin:/sbin"
    found = shutil.which(name, path=path)
    for pattern in patterns:
        found = found or next(iter(sorted(glob.glob(pattern))), None)
    if not found:
        raise StackError("%s is not installed; run tools/deps" % name)
    return found


def free_port():
    """A TCP port that nobody listens on. It stays bound here, so that nobody
    is given it by chance before it is used, or while its server restarts; a
    server that sets SO_REUSEADDR, as all do, may listen there."""
    s = socket.socket()
    s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    s.bind(("127.0.0.1", 0))
    _held_ports.append(s)
    return s.getsockname()[1]


def wait_until(predicate, timeout=30.0, interval=0.02, what=None):
    """The first true value of predicate(); StackError after `timeout` s."""
    end = time.monotonic() + timeout
    while True:
        value = predicate()
        if value:
            return value
        if time.monotonic() > end:
            raise StackError("not within %g s: %s" % (
                timeout, what or "what was waited for"))
        time.sleep(interval)


def connectable(address):
    """Whether somebody accepts on ("unix path") or (host, port)."""
    family = socket.AF_UNIX if isinstance(address, str) else socket.AF_INET
    with socket.socket(family) as s:
        s.settimeout(1)
        try:
            s.connect(address)
            return True
        except OSError:
            return False


def rss_anon_kib(pid):
    """RssAnon of a process, in KiB."""
    with open("/proc/%d/status" % pid) as f:
        return int(re.search(r"RssAnon:\s+(\d+)", f.read()).group(1))


class Server:
    """A process of the stack. `stack` starts it; the rest is for tests."""

    stop_signal = signal.SIGTERM

    def __init__(self, stack, name, argv, env=None, cwd=None, stdin=None,
                 pass_fds=()):
        self.stack, self.name = stack, name
        self.log = os.path.join(stack.dir, name + ".log")
        self.argv = argv
        # Appended, so that a restarted server's first life can be read too.
        with open(self.log, "ab") as log:
            self.process = subprocess.Popen(
                argv, stdin=stdin or subprocess.DEVNULL, stdout=log,
                stderr=log, env=env, cwd=cwd or stack.dir,
                start_new_session=True, pass_fds=pass_fds)
        stack.servers.append(self)

    @property
    def pid(self):
        return self.process.pid

    @property
    def alive(self):
        return self.process.poll() is None

    def log_text(self):
        with open(self.log, errors="replace") as f:
            return f.read()

    def send_signal(self, number):
        self.process.send_signal(number)

    def kill(self):
        """SIGKILL, and wait for the end."""
        if self.alive:
            self.process.kill()
        self.process.wait()
        return self.process.returncode

    def stop(self, timeout=40.0, number=None):
        """Ask, wait, and only then kill; twice shutdown_grace's default.
        Returns the exit status."""
        if self.alive:
            self.process.send_signal(number or self.stop_signal)
            try:
                self.process.wait(timeout)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()
                raise StackError("%s did not stop within %g s"
                                 % (self.name, timeout)) from None
        return self.process.returncode

    def wait_ready(self, ready, timeout=60.0):
        def check():
            if not self.alive:
                raise StackError("%s ended with %s before it was ready\n%s" % (
                    self.name, self.process.returncode, self.tail()))
            return ready()
        wait_until(check, timeout, what="%s is ready\n%s" % (
            self.name, self.tail()))
        return self

    def tail(self, lines=40):
        try:
            return "".join(self.log_text().splitlines(True)[-lines:])
        except OSError:
            return ""


class Daemon(Server):
    """A running wp-cron-fcgi; `sock` is its socket."""

    sock = None
    config = None


class Receiver(Server):
    """A running tests/drivers/receiver.c."""

    port = None

    def url(self, path="/ok"):
        return "http://127.0.0.1:%d%s" % (self.port, path)

    def _ask(self, method, path):
        c = http.client.HTTPConnection("127.0.0.1", self.port, timeout=10)
        try:
            c.request(method, path)
            return c.getresponse().read()
        finally:
            c.close()

    def report(self, keys=False):
        """Counts: requests, distinct keys, max of one key, ..."""
        return json.loads(self._ask(
            "GET", "/report" + ("?keys=1" if keys else "")))

    def forget(self):
        self._ask("POST", "/forget")


class Stack:
    def __init__(self, directory=None, variant=None, keep=None):
        self.variant = variant or os.environ.get("VARIANT", "release")
        self.keep = (os.environ.get("KEEP") == "1") if keep is None else keep
        self.dir = directory or tempfile.mkdtemp(prefix="wpc-", dir="/tmp")
        os.chmod(self.dir, 0o755)
        self.servers = []
        self.root = os.path.join(self.dir, "wp")
        self.prefix = "wp_"
        self.db_name = "wp"
        self.db_socket = self.path("db.sock")
        self.php_socket = self.path("php.sock")
        self.db_port = None
        self.http_port = None
        self.network_domain = None  # its name, unless it has a port
        self.redis_socket = None
        self.mariadb = self.php_fpm = self.nginx = self.redis = None
        self.config_extra = ""
        self._daemons = 0
        self._catch_mails()
        _open_stacks.add(self)

    # ---- life ----------------------------------------------------------

    def __enter__(self):
        return self

    def __exit__(self, *exc):
        self.close()

    def path(self, *names):
        """A path in the stack's directory; sockets must fit sun_path."""
        path = os.path.join(self.dir, *names)
        if path.endswith(".sock") and len(path) > SUN_PATH_MAX:
            raise StackError("socket path is too long: " + path)
        return path

    def _catch_mails(self):
        """What PHP hands to its sendmail is a file each in mailed, in its
        order, and never goes to this machine's own mail server."""
        self.mailed = self.path("mailed")
        os.makedirs(self.mailed, exist_ok=True)
        os.chmod(self.mailed, 0o777)
        self.sendmail = self.path("sendmail")
        with open(self.sendmail, "w") as f:
            f.write(SENDMAIL.format(dir=self.mailed))
        os.chmod(self.sendmail, 0o755)

    def close(self):
        """Stop everything in reverse and remove the directory. StackError
        when a sanitizer has spoken, be it at the very end of a process."""
        for server in reversed(self.servers):
            try:
                server.stop(timeout=15)
            except StackError as e:
                print("stack: %s" % e, file=sys.stderr)
        found = self.sanitizer_reports()
        self.servers.clear()
        _open_stacks.discard(self)
        if self.keep:
            print("stack: kept %s" % self.dir, file=sys.stderr)
        else:
            shutil.rmtree(self.dir, ignore_errors=True)
        if found:
            raise StackError(found)

    def sanitizer_reports(self):
        """What ASan, UBSan, LSan or TSan wrote to any log; "" is good."""
        found = []
        for name in sorted(glob.glob(self.path("*.log"))):
            with open(name, errors="replace") as f:
                text = f.read()
            at = SANITIZER_SPOKE.search(text)
            if at:
                found.append("%s:\n%s" % (
                    os.path.basename(name),
                    text[at.start():at.start() + 6000]))
        return "\n".join(found)

    def dump_logs(self, out=sys.stderr, lines=25):
        """The end of every log: what a failed test shows."""
        for name in sorted(glob.glob(self.path("*.log"))):
            with open(name, errors="replace") as f:
                tail = [line for line in f.read().splitlines()
                        if "[Note]" not in line][-lines:]
            if tail:
                print("---- %s" % name, file=out)
                print("\n".join(line[:400] for line in tail), file=out)

    def wait_until(self, predicate, timeout=30.0, interval=0.02, what=None):
        return wait_until(predicate, timeout, interval, what)

    def as_web_user(self, argv):
        """argv so that it runs as the user of the web server."""
        if not ROOT:
            return list(argv)
        return [tool("setpriv"), "--reuid=" + WEB_USER, "--regid=" + WEB_USER,
                "--init-groups", "--"] + list(argv)

    def give_to_web_user(self, path):
        if ROOT:
            user = pwd.getpwnam(WEB_USER)
            for base, dirs, files in os.walk(path):
                for name in [base] + [os.path.join(base, n) for n in files]:
                    os.chown(name, user.pw_uid, user.pw_gid)

    def start_site(self, children=4, http_port=None, config_extra=""):
        """MariaDB, php-fpm and an installed WordPress."""
        self.start_mariadb()
        self.install_wordpress(http_port=http_port, config_extra=config_extra)
        self.start_php_fpm(children=children)

    # ---- MariaDB -------------------------------------------------------

    def start_mariadb(self, **options):
        """A fresh server. options: buffer_pool="256M" -> --buffer-pool=256M.

        Called again after mariadb.stop() or .kill(): the same data.
        """
        data = self.path("db")
        if not os.path.exists(data):
            self._unpack_datadir(data)
        self.db_port = self.db_port or free_port()
        settings = {
            "datadir": data, "socket": self.db_socket,
            "pid-file": self.path("db.pid"), "tmpdir": self.dir,
            "bind-address": "127.0.0.1", "port": self.db_port,
            "innodb-buffer-pool-size": "256M", "max-connections": 300,
            "character-set-server": "utf8mb4",
            "collation-server": "utf8mb4_unicode_520_ci",
        }
        settings.update((k.replace("_", "-"), v) for k, v in options.items())
        argv = [tool("mariadbd", "/usr/sbin/mysqld"), "--no-defaults",
                "--skip-name-resolve", "--skip-log-bin"]
        if ROOT:
            argv.append("--user=mysql")
            settings["tmpdir"] = self._mysql_dir("tmp")
            settings["pid-file"] = os.path.join(settings["tmpdir"], "db.pid")
            settings["socket"] = self.db_socket = os.path.join(
                settings["tmpdir"], "db.sock")
            assert len(self.db_socket) <= SUN_PATH_MAX
        argv += ["--%s=%s" % item for item in settings.items()]
        self.mariadb = Server(self, "mariadb", argv)
        if not self.keep:
            # At the end its files go in a moment; mariadb.stop(number=15)
            # is the orderly way for a test that starts it again.
            self.mariadb.stop_signal = signal.SIGKILL
        self.mariadb.wait_ready(self._db_answers)
        with self.connect(db=None) as db, db.cursor() as c:
            c.execute("CREATE DATABASE IF NOT EXISTS `%s`" % self.db_name)
            for host in ("localhost", "127.0.0.1"):
                c.execute("CREATE USER IF NOT EXISTS wp@%s IDENTIFIED BY %s",
                          (host, DB_PASSWORD))
                c.execute("GRANT ALL ON *.* TO wp@%s", (host,))
        return self.mariadb

    def _mysql_dir(self, name):
        path = self.path(name)
        os.makedirs(path, exist_ok=True)
        os.chmod(path, 0o755)
        shutil.chown(path, "mysql", "mysql")
        return path

    def _db_answers(self):
        try:
            self.connect(db=None).close()
            return True
        except (pymysql.MySQLError, OSError):
            return False

    def _unpack_datadir(self, data):
        """mariadb-install-db takes seconds: keep what it made."""
        version = subprocess.run(
            [tool("mariadbd", "/usr/sbin/mysqld"), "--version"],
            capture_output=True, text=True, check=True).stdout
        key = hashlib.sha256(("%s %s" % (version, ROOT)).encode())
        cached = os.path.join(CACHE, "mariadb-%s.tar" % key.hexdigest()[:12])
        os.makedirs(CACHE, exist_ok=True)
        # Two at once, in test classes side by side, disturb each other.
        with open(cached + ".lock", "w", encoding="ascii") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            if not os.path.exists(cached):
                self._make_datadir(cached)
        os.mkdir(data)
        self._run(["tar", "-C", data, "-xpf", cached], "tar")
        if ROOT:
            shutil.chown(data, "mysql", "mysql")

    def _make_datadir(self, cached):
        fresh = self.path("db-init")
        argv = [tool("mariadb-install-db"), "--no-defaults",
                "--datadir=" + fresh, "--skip-test-db",
                "--auth-root-authentication-method=normal"]
        if ROOT:
            argv.append("--user=mysql")
        self._run(argv, "mariadb-install-db")
        self._run(["tar", "-C", fresh, "-cf", cached + ".new", "."], "tar")
        os.rename(cached + ".new", cached)
        shutil.rmtree(fresh)

    def _run(self, argv, what, **kwargs):
        r = subprocess.run(argv, stdin=subprocess.DEVNULL, text=True,
                           capture_output=True, **kwargs)
        if r.returncode != 0:
            raise StackError("%s: status %d\n%s%s" % (
                what, r.returncode, r.stdout[-2000:], r.stderr[-2000:]))
        return r.stdout

    def connect(self, db="", **kwargs):
        """A connection of its own, autocommit, as the database's root."""
        kwargs.setdefault("user", "root")
        kwargs.setdefault("password", "")
        kwargs.setdefault("autocommit", True)
        return pymysql.connect(
            unix_socket=self.db_socket, charset="utf8mb4",
            database=self.db_name if db == "" else db, **kwargs)

    def mysql(self, sql, args=None):
        """Run one statement; its rows as a list of dicts."""
        with self.connect(cursorclass=pymysql.cursors.DictCursor) as db, \
                db.cursor() as c:
            c.execute(sql, args)
            return list(c.fetchall())

    def value(self, sql, args=None):
        """First column of the first row, None without a row."""
        rows = self.mysql(sql, args)
        return next(iter(rows[0].values())) if rows else None

    def load_sql(self, path):
        """Run a file through the server's own client, `wp_` renamed."""
        with open(path, encoding="utf-8") as f:
            text = f.read()
        if self.prefix != "wp_":
            text = text.replace("`wp_", "`" + self.prefix)
        r = subprocess.run(
            [tool("mariadb", "/usr/bin/mysql"), "--no-defaults", "-uroot",
             "--socket=" + self.db_socket, "--default-character-set=utf8mb4",
             "--binary-mode", self.db_name],
            input=text.encode(), capture_output=True)
        if r.returncode != 0:
            raise StackError("%s: %s" % (path, r.stderr.decode()))

    # ---- WordPress -----------------------------------------------------

    def url(self, path="/"):
        return "http://127.0.0.1:%d%s" % (self.http_port, path)

    def write_config(self, extra="", db_host=None):
        """wp-config.php as an installation writes it: literals only."""
        lines = ["<?php"]
        define = "define( '%s', '%s' );"
        for name, value in (
                ("DB_NAME", self.db_name), ("DB_USER", "wp"),
                ("DB_PASSWORD", DB_PASSWORD),
                ("DB_HOST", db_host or "localhost:" + self.db_socket),
                ("DB_CHARSET", "utf8mb4"), ("DB_COLLATE", "")):
            lines.append(define % (name, value))
        for name in SALTS:
            digest = hashlib.sha256((self.dir + name).encode()).hexdigest()
            lines.append(define % (name, digest))
        lines += [
            "$table_prefix = '%s';" % self.prefix,
            "define( 'WP_HTTP_BLOCK_EXTERNAL', true );",
            "define( 'WP_ACCESSIBLE_HOSTS', '127.0.0.1,localhost' );",
            "define( 'AUTOMATIC_UPDATER_DISABLED', true );",
            extra,
            "if ( ! defined( 'ABSPATH' ) ) {",
            "\tdefine( 'ABSPATH', __DIR__ . '/' );",
            "}",
            "require_once ABSPATH . 'wp-settings.php';",
            ""]
        with open(os.path.join(self.root, "wp-config.php"), "w") as f:
            f.write("\n".join(lines))

    def copy_core(self):
        """Core's files, copied with links followed."""
        if not os.path.exists(os.path.join(CORE, "wp-load.php")):
            raise StackError("no WordPress in %s; run tools/deps" % CORE)
        self._run(["cp", "-rL", "--reflink=auto", "--no-preserve=ownership",
                   CORE, self.root], "copy of WordPress")
        for name in ("wp-config.php", ".htaccess"):
            if os.path.lexists(os.path.join(self.root, name)):
                os.unlink(os.path.join(self.root, name))
        content = os.path.join(self.root, "wp-content")
        shutil.rmtree(os.path.join(content, "plugins", "akismet"),
                      ignore_errors=True)
        for kind in ("plugins", "themes"):
            shutil.copytree(os.path.join(FIXTURES, kind),
                            os.path.join(content, kind), dirs_exist_ok=True)
        self.give_to_web_user(content)

    def install_wordpress(self, http_port=None, config_extra="",
                          db_host=None, plugins=("wpcron-demo",)):
        """Copy core, write wp-config.php, create the tables."""
        self.http_port = http_port or self.http_port or free_port()
        self.config_extra = config_extra
        self.copy_core()
        self.write_config(config_extra, db_host)
        self.php("""
            define( 'WP_INSTALLING', true );
            function wp_mail() { return true; }
            require %r;
            require ABSPATH . 'wp-admin/includes/upgrade.php';
            define( 'WP_DEFAULT_THEME', 'wpcron-plain' );
            wp_install( 'Test site', 'admin', 'admin@example.com', true, '',
                %r );
            update_option( 'siteurl', %r );
            update_option( 'home', %r );
            update_option( 'template', 'wpcron-plain' );
            update_option( 'stylesheet', 'wpcron-plain' );
            update_option( 'active_plugins', json_decode( %r, true ) );
            """ % (os.path.join(self.root, "wp-load.php"), ADMIN_PASSWORD,
                   self.url("").rstrip("/"), self.url("").rstrip("/"),
                   json.dumps(["%s/%s.php" % (p, p) for p in plugins])))
        # Core schedules its own events, due at once, on the first request.
        # Let it, and put them off, so that no test meets them by surprise.
        self.wp_eval("""
            $later = array();
            foreach ( _get_cron_array() as $when => $events ) {
                $later[ $when + DAY_IN_SECONDS ] = $events;
            }
            _set_cron_array( $later );
            foreach ( array( 'wpcron_demo_create_table' ) as $create ) {
                function_exists( $create ) && $create();
            }
            """)

    def php_argv(self, *args):
        """The command line of PHP's CLI as the web user."""
        return self.as_web_user([
            tool("php"), "-d", "display_errors=stderr", "-d", "log_errors=0",
            "-d", "sendmail_path=%s -t -i" % self.sendmail] + list(args))

    def php(self, code, *args, check=True):
        """Run PHP code in the CLI as the web user; its standard output."""
        argv = self.php_argv("-r", code, *args)
        # With this URI core does not spawn its cron at the end of the boot.
        host = self.network_domain or "127.0.0.1:%s" % self.http_port
        env = dict(os.environ, HTTP_HOST=host,
                   SERVER_NAME="127.0.0.1", REQUEST_URI="/wp-cron.php",
                   REQUEST_METHOD="GET", SERVER_PROTOCOL="HTTP/1.1")
        prelude = ("foreach (['HTTP_HOST','SERVER_NAME','REQUEST_URI',"
                   "'REQUEST_METHOD','SERVER_PROTOCOL'] as $k)"
                   " $_SERVER[$k] = getenv($k);")
        argv[argv.index("-r") + 1] = prelude + code
        r = subprocess.run(argv, env=env, cwd=self.dir, text=True,
                           stdin=subprocess.DEVNULL, capture_output=True)
        if check and r.returncode != 0:
            raise StackError("php: status %d\n%s\n%s" % (
                r.returncode, r.stdout[-2000:], r.stderr[-4000:]))
        return r.stdout

    def wp_eval(self, code):
        """PHP code after WordPress' boot."""
        return self.php("require %r; %s" % (
            os.path.join(self.root, "wp-load.php"), code))

    def add_plugin(self, directory, name=None):
        """Copy a plugin's directory into wp-content and activate it; its main
        file is named as the directory."""
        name = name or os.path.basename(directory.rstrip("/"))
        to = os.path.join(self.root, "wp-content", "plugins", name)
        shutil.copytree(directory, to, dirs_exist_ok=True,
                        ignore=shutil.ignore_patterns(".git", "tests"))
        self.give_to_web_user(to)
        self.wp_eval("""
            require_once ABSPATH . 'wp-admin/includes/plugin.php';
            $error = activate_plugin( %r );
            if ( is_wp_error( $error ) ) {
                fwrite( STDERR, $error->get_error_message() );
                exit( 1 );
            }
            """ % ("%s/%s.php" % (name, name)))

    def make_network(self, blogs=1, name=None, subdomains=False):
        """Turn the site into a network with `blogs` more sites, in
        sub-directories (/b1) or in sub-domains of a name (b1.NAME); returns
        their ids. Without a name its domain is 127.0.0.1 and the port: core
        takes a port through DOMAIN_CURRENT_SITE only, so it is set."""
        domain = name or "127.0.0.1:%d" % self.http_port
        self.wp_eval("""
            foreach ( $GLOBALS['wpdb']->tables( 'ms_global' ) as $k => $t ) {
                $GLOBALS['wpdb']->$k = $t;
            }
            require_once ABSPATH . 'wp-admin/includes/upgrade.php';
            install_network();
            $done = populate_network( 1, %r, 'admin@example.com', 'Network',
                '/', %s );
            if ( is_wp_error( $done ) && 'no_wildcard_dns'
                !== $done->get_error_code() ) {
                fwrite( STDERR, $done->get_error_message() );
                exit( 1 );
            }
            """ % (domain, "true" if subdomains else "false"))
        self.write_config(self.config_extra + """
define( 'MULTISITE', true );
define( 'SUBDOMAIN_INSTALL', %s );
define( 'DOMAIN_CURRENT_SITE', '%s' );
define( 'PATH_CURRENT_SITE', '/' );
define( 'SITE_ID_CURRENT_SITE', 1 );
define( 'BLOG_ID_CURRENT_SITE', 1 );
""" % ("true" if subdomains else "false", domain))
        self.network_domain = name
        where = [("b%d.%s" % (i, domain), "/") if subdomains else
                 (domain, "/b%d/" % i) for i in range(1, blogs + 1)]
        if name:
            self.mysql("UPDATE %soptions SET option_value = %%s WHERE"
                       " option_name IN ('home', 'siteurl')" % self.prefix,
                       ("http://" + domain,))
        out = self.wp_eval("""
            foreach ( json_decode( %r ) as $i => $w ) {
                $id = wp_insert_site( array( 'domain' => $w[0], 'path' =>
                    $w[1], 'title' => "Site $i", 'user_id' => 1 ) );
                echo is_wp_error( $id ) ? $id->get_error_message() : $id, ' ';
            }
            """ % json.dumps(where))
        ids = [int(word) for word in out.split()]
        # wp_insert_site() drops the colon of a port.
        for blog, (host, path) in zip(ids, where):
            self.mysql("UPDATE %sblogs SET domain = %%s WHERE blog_id = %%s"
                       % self.prefix, (host, blog))
            self.mysql("UPDATE %s%d_options SET option_value = %%s WHERE"
                       " option_name IN ('home', 'siteurl')"
                       % (self.prefix, blog),
                       ("http://" + (host + path).rstrip("/"),))
        return ids

    def table(self, name):
        return self.prefix + name

    def option(self, name):
        return self.value("SELECT option_value FROM %s WHERE option_name=%%s"
                          % self.table("options"), (name,))

    # ---- Action Scheduler's tables -------------------------------------

    def install_action_scheduler(self, data=None):
        """The plugin's tables (schema 7); data: "before" or "after" rows."""
        base = os.path.join(FIXTURES, "action-scheduler")
        self.load_sql(os.path.join(base, "schema-7.sql"))
        if data:
            self.load_sql(os.path.join(base, data + ".sql"))

    def group_id(self, slug):
        """Id of a group, made when it is not there; 0 for ''."""
        if not slug:
            return 0
        t = self.table("actionscheduler_groups")
        found = self.value("SELECT group_id FROM %s WHERE slug=%%s" % t,
                           (slug,))
        if found:
            return found
        self.mysql("INSERT INTO %s (slug) VALUES (%%s)" % t, (slug,))
        return self.group_id(slug)

    def insert_actions(self, n, hook, args='[{i}]', due_in=-60, spread=0,
                       group="", priority=10, status="pending", logs=False,
                       first=1):
        """n single actions in one statement; returns the first id.

        args is the JSON text; `{i}` in it counts from `first`. due_in: seconds
        from now; spread: seconds over which they are laid out after that.
        """
        head, mark, rest = args.partition("{i}")
        counter = "CONCAT(%s, seq, %s)" if mark else "CONCAT(%s, %s)"
        actions = self.table("actionscheduler_actions")
        group_id = self.group_id(group)
        due = int(time.time()) + due_in
        step = spread / n if n else 0
        when = "FROM_UNIXTIME(%s + FLOOR((seq - %s) * %s))"
        name = "O:30:\"ActionScheduler_SimpleSchedule\":2:{s:22:\"\0*\0"
        with self.connect() as db, db.cursor() as c:
            c.execute("SET time_zone = '+00:00'")
            c.execute("SET sql_mode = ''")
            c.execute(
                "INSERT INTO " + actions + " (hook, status,"
                " scheduled_date_gmt, scheduled_date_local, priority, args,"
                " schedule, group_id)"
                " SELECT %s, %s, d, d, %s, " + counter + ","
                " CONCAT(%s, UNIX_TIMESTAMP(d), %s, UNIX_TIMESTAMP(d), ';}'),"
                " %s FROM (SELECT seq, " + when + " AS d"
                "  FROM seq_%d_to_%d) AS s" % (first, first + n - 1),
                (hook, status, priority, head, rest,
                 name + "scheduled_timestamp\";i:",
                 ";s:41:\"\0ActionScheduler_SimpleSchedule\0timestamp\";i:",
                 group_id, due, first, step))
            first_id = c.lastrowid
            if logs:
                c.execute(
                    "INSERT INTO " + self.table("actionscheduler_logs") +
                    " (action_id, message, log_date_gmt, log_date_local)"
                    " SELECT action_id, 'action created', UTC_TIMESTAMP(),"
                    " UTC_TIMESTAMP() FROM " + actions +
                    " WHERE action_id >= %s", (first_id,))
        return first_id

    def actions(self, where="1=1", args=None):
        """Rows of the actions table, by id."""
        return self.mysql("SELECT * FROM %s WHERE %s ORDER BY action_id" % (
            self.table("actionscheduler_actions"), where), args)

    def count(self, where="1=1", args=None):
        """Number of actions."""
        return self.value("SELECT COUNT(*) FROM %s WHERE %s" % (
            self.table("actionscheduler_actions"), where), args)

    def statuses(self, where="1=1", args=None):
        """{status: number of actions}."""
        return {r["status"]: r["n"] for r in self.mysql(
            "SELECT status, COUNT(*) AS n FROM %s WHERE %s GROUP BY status" % (
                self.table("actionscheduler_actions"), where), args)}

    def logs(self, action_id):
        """Log messages of an action, in order."""
        return [r["message"] for r in self.mysql(
            "SELECT message FROM %s WHERE action_id=%%s ORDER BY log_id" %
            self.table("actionscheduler_logs"), (action_id,))]

    # ---- php-fpm -------------------------------------------------------

    def start_php_fpm(self, children=4, extra="", name="php-fpm",
                      sock=None):
        """A pool of `children` static processes; extra: lines of the pool."""
        sock = sock or self.php_socket
        conf = self.path(name + ".conf")
        lines = [
            "[global]", "daemonize = no", "error_log = /dev/stderr",
            "[www]", "listen = " + sock, "listen.mode = 0666",
            "pm = static", "pm.max_children = %d" % children,
            "catch_workers_output = yes",
            "php_admin_value[error_log] = " + self.path("php-errors.log"),
            "php_admin_value[sendmail_path] = %s -t -i" % self.sendmail,
            "php_admin_flag[log_errors] = on",
            "php_admin_flag[display_errors] = off",
            # A file that a test changes holds at once, not after 2 s.
            "php_admin_value[opcache.revalidate_freq] = 0", extra, ""]
        if ROOT:
            lines.insert(5, "user = %s\ngroup = %s" % (WEB_USER, WEB_USER))
        errors = self.path("php-errors.log")
        if not os.path.exists(errors):
            with open(errors, "w"):
                os.chmod(errors, 0o666)
        with open(conf, "w") as f:
            f.write("\n".join(lines))
        if os.path.exists(sock):
            os.unlink(sock)
        server = Server(self, name, [
            tool("php-fpm", "/usr/sbin/php-fpm*"), "--nodaemonize",
            "--force-stderr", "--fpm-config", conf])
        self.php_fpm = server
        return server.wait_ready(lambda: connectable(sock))

    # ---- a persistent object cache -------------------------------------

    def start_redis(self, name="redis"):
        """A Redis server that keeps nothing on disk, on a socket of ours."""
        directory = self.path(name)
        os.makedirs(directory, exist_ok=True)
        self.give_to_web_user(directory)
        self.redis_socket = self.path(name, "r.sock")
        self.redis = Server(self, name, self.as_web_user([
            tool("redis-server"), "--port", "0", "--save", "",
            "--unixsocket", self.redis_socket, "--unixsocketperm", "777",
            "--dir", directory]))
        return self.redis.wait_ready(lambda: connectable(self.redis_socket))

    def install_object_cache(self):
        """The fixture's drop-in, on start_redis()'s server."""
        with open(os.path.join(FIXTURES, "object-cache",
                               "object-cache.php")) as f:
            text = f.read()
        where = "<?php\ndefine( 'WPCRON_TEST_REDIS', '%s' );\n" % (
            self.redis_socket)
        with open(os.path.join(self.root, "wp-content",
                               "object-cache.php"), "w") as f:
            f.write(text.replace("<?php\n", where, 1))

    # ---- nginx ---------------------------------------------------------

    def start_nginx(self, daemon=None, stock_cron=False, extra="",
                    http_extra="", snippet="wp-cron-fcgi.conf", edit=None):
        """The site on http_port: WordPress through php-fpm and, unless
        stock_cron, the repository's nginx snippet in front of `daemon`.
        edit: a function that changes the snippet's text."""
        self.http_port = self.http_port or free_port()
        include = ""
        if not stock_cron:
            with open(os.path.join(REPO, "nginx", snippet)) as f:
                text = f.read()
            sock = daemon.sock if daemon else self.path("run", "d1.sock")
            text = re.sub(r"unix:/run/wp-cron-fcgi/[^;\s]+",
                          "unix:" + sock, text)
            text = re.sub(r"unix:/run/php/[^;\s]+",
                          "unix:" + self.php_socket, text)
            text = edit(text) if edit else text
            include = self.path("nginx-" + snippet)
            with open(include, "w") as f:
                f.write(text)
            include = "include %s;" % include
        conf = self.path("nginx.conf")
        shutil.copy("/etc/nginx/fastcgi_params", self.path("fastcgi_params"))
        with open(conf, "w") as f:
            f.write(NGINX_CONF % {
                "user": "user %s;" % WEB_USER if ROOT else "",
                "dir": self.dir, "port": self.http_port, "root": self.root,
                "php": self.php_socket,
                "include": include, "extra": extra, "http": http_extra})
        os.makedirs(self.path("ngx"), exist_ok=True)
        self.give_to_web_user(self.path("ngx"))
        self.nginx = Server(self, "nginx", [
            tool("nginx"), "-c", conf, "-p", self.dir, "-e", "stderr"])
        return self.nginx.wait_ready(
            lambda: connectable(("127.0.0.1", self.http_port)))

    def request(self, method, path, body=None, headers=None, timeout=30):
        """(status, headers, body) through nginx."""
        c = http.client.HTTPConnection("127.0.0.1", self.http_port,
                                       timeout=timeout)
        try:
            c.request(method, path, body, headers or {})
            r = c.getresponse()
            return r.status, r.headers, r.read()
        finally:
            c.close()

    def get(self, path="/", headers=None, timeout=30):
        return self.request("GET", path, None, headers, timeout)

    # ---- the daemon ----------------------------------------------------

    def binary(self, name="wp-cron-fcgi"):
        """A copy the web user can read, wherever the checkout is."""
        source = os.path.join(REPO, "build", self.variant, name)
        if not os.path.exists(source):
            raise StackError("%s is not built: make VARIANT=%s" % (
                source, self.variant))
        copy = self.path("bin", name)
        if not os.path.exists(copy):
            os.makedirs(os.path.dirname(copy), exist_ok=True)
            shutil.copy2(source, copy)
            os.chmod(copy, 0o755)
        return copy

    def worker_script(self):
        """The PHP worker, copied where php-fpm can read it."""
        copy = self.path("worker.php")
        if not os.path.exists(copy):
            php = os.path.join(REPO, "fcgi", "php")
            for name in os.listdir(php):
                shutil.copy(os.path.join(php, name), self.path(name))
                os.chmod(self.path(name), 0o644)
        return copy

    def config_text(self, daemon="", site="", rest="", worker=True):
        """A configuration file for this site; arguments are INI lines."""
        lines = ["[daemon]", daemon, "[site default]", "root = " + self.root,
                 "php_fpm = unix:" + self.php_socket]
        if worker:
            lines.append("worker_script = " + self.worker_script())
        return "\n".join(lines + [site, rest, ""])

    def sanitizer_env(self):
        """What a sanitizer finds ends the process with status 99."""
        options = "exitcode=99:abort_on_error=0:"
        env = dict(os.environ)
        env["ASAN_OPTIONS"] = options + "detect_leaks=1:" + os.environ.get(
            "ASAN_OPTIONS", "")
        env["UBSAN_OPTIONS"] = options + "print_stacktrace=1:halt_on_error=1"
        supp = os.path.join(REPO, "tests", "tsan.supp")
        env["TSAN_OPTIONS"] = options + "halt_on_error=1:" + (
            "suppressions=%s:" % supp if os.path.exists(supp) else "")
        return env

    def start_daemon(self, args=(), config=None, daemon="", site="", rest="",
                     name=None, ready=True, as_web_user=True, env=None):
        """wp-cron-fcgi of this variant; returns a Daemon with .sock.

        config: the whole file as text (default: config_text() of the
        arguments). More than one may run.
        """
        self._daemons += 1
        name = name or "d%d" % self._daemons
        if config is None:
            config = self.config_text(daemon, site, rest)
        conf = self.path(name + ".conf")
        with open(conf, "w") as f:
            f.write(config)
        os.makedirs(self.path("run"), exist_ok=True)
        os.chmod(self.path("run"), 0o777)
        sock = self.path("run", name + ".sock")
        if os.path.exists(sock):
            os.unlink(sock)
        argv = [self.binary(), "--root", self.root, "--listen",
                "unix:" + sock, "-c", conf, "--foreground"] + list(args)
        if as_web_user:
            argv = self.as_web_user(argv)
        if self.variant == "tsan":
            argv = [tool("setarch"), "-R"] + argv
        server = Daemon(self, name, argv, env=dict(
            self.sanitizer_env(), **(env or {})))
        server.sock, server.config = sock, conf
        if ready:
            server.wait_ready(lambda: connectable(sock))
        return server

    def ctl(self, *args, config=None, check=False, timeout=120):
        """Run wp-cronctl; the CompletedProcess."""
        argv = self.as_web_user([self.binary("wp-cronctl")] + list(args) + [
            "--root", self.root] + (["-c", config] if config else []))
        if self.variant == "tsan":
            argv = [tool("setarch"), "-R"] + argv
        r = subprocess.run(
            argv, text=True, capture_output=True, check=check,
            stdin=subprocess.DEVNULL, timeout=timeout,
            env=self.sanitizer_env(), cwd=self.dir)
        if SANITIZER_SPOKE.search(r.stderr):
            raise StackError("wp-cronctl %s:\n%s" % (
                " ".join(args), r.stderr[-6000:]))
        return r

    def start_receiver(self, *args, name="receiver", variant=None):
        """tests/drivers/receiver.c: a webhook's other end."""
        path = os.path.join(REPO, "build", variant or self.variant,
                            "drivers", "receiver")
        if not os.path.exists(path):
            raise StackError("%s is not built: make VARIANT=%s drivers" % (
                path, self.variant))
        argv = [path] + list(args)
        if self.variant == "tsan" and variant is None:
            argv = [tool("setarch"), "-R"] + argv
        log = self.path(name + ".log")
        begun = os.path.getsize(log) if os.path.exists(log) else 0
        server = Receiver(self, name, argv, env=self.sanitizer_env())

        def port():
            # Its first line, when the line is whole.
            found = re.match(r"(\d+)\n", server.log_text()[begun:])
            return found and int(found.group(1))
        server.wait_ready(port)
        server.port = port()
        return server

    def spawn(self, name, argv, **kwargs):
        """Any other program as a server of this stack."""
        return Server(self, name, argv, **kwargs)

    def detach(self):
        """Leave everything running; returns a script that ends it."""
        script = self.path("stop")
        with open(script, "w") as f:
            f.write("#!/bin/sh\n# Stops this site's servers and removes it.\n")
            for server in reversed(self.servers):
                f.write("kill %d # %s\n" % (server.pid, server.name))
                f.write("while kill -0 %d 2>/dev/null; do sleep 0.1; done\n"
                        % server.pid)
            f.write("rm -rf %s\n" % self.dir)
        os.chmod(script, 0o755)
        self.servers.clear()
        _open_stacks.discard(self)
        return script


NGINX_CONF = """\
%(user)s
worker_processes 1;
daemon off;
pid %(dir)s/nginx.pid;
error_log stderr warn;
events { worker_connections 2048; }
http {
	access_log off;
	client_body_temp_path %(dir)s/ngx/body;
	fastcgi_temp_path %(dir)s/ngx/fastcgi;
	proxy_temp_path %(dir)s/ngx/proxy;
	uwsgi_temp_path %(dir)s/ngx/uwsgi;
	scgi_temp_path %(dir)s/ngx/scgi;
	default_type text/plain;
	keepalive_requests 1000000;
%(http)s
	server {
		listen 127.0.0.1:%(port)d;
		server_name 127.0.0.1;
		root %(root)s;
		index index.php;
%(include)s
%(extra)s
		location / { try_files $uri $uri/ /index.php?$args; }
		location ~ \\.php$ {
			include fastcgi_params;
			# Debian's file says $host, which has no port.
			fastcgi_param HTTP_HOST $http_host;
			fastcgi_param SCRIPT_FILENAME $document_root$fastcgi_script_name;
			fastcgi_pass unix:%(php)s;
			fastcgi_read_timeout 600s;
		}
	}
}
"""


def close_all():
    """Stop every open stack; for atexit and signals."""
    for stack in list(_open_stacks):
        try:
            stack.close()
        except StackError as e:
            print("stack: %s" % e, file=sys.stderr)


def _on_signal(number, _frame):
    close_all()
    os._exit(128 + number)


def open_stacks():
    return list(_open_stacks)


atexit.register(close_all)
for _number in (signal.SIGTERM, signal.SIGHUP):
    signal.signal(_number, _on_signal)
