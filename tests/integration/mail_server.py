"""A real mail server for tests: Debian's exim4 with a configuration, a spool
and a port of its own. It takes every mail for everybody and keeps each in one
file, byte for byte, with its envelope. The packaged service is not touched.

    server = MailServer()
    server.start(directory)              # -> server.port on 127.0.0.1
    server.messages()                    # [(sender, [recipient], bytes)]
    server.wait(3)                       # the same, as soon as there are three
    server.stop()

Options: user and password offer AUTH PLAIN and LOGIN (and demand them);
certificate and key (see smtp_stand_in.make_certificates) offer STARTTLS;
size_limit is what SIZE says.
"""

import os
import pwd
import shutil
import socket
import subprocess
import time

from stack import free_port

EXIM = shutil.which("exim4") or "/usr/sbin/exim4"

CONFIG = """
primary_hostname = mail.test
exim_user = {user}
exim_group = {group}
never_users =
spool_directory = {dir}/spool
log_file_path = {dir}/log/%slog
pid_file_path = {dir}/exim.pid
notifier_socket =
keep_environment =
local_interfaces = 127.0.0.1
daemon_smtp_ports = {port}
host_lookup =
rfc1413_hosts =
smtp_accept_max = 500
smtp_accept_max_per_connection = 0
smtp_accept_queue_per_connection = 0
smtp_accept_queue = 0
smtp_accept_max_nonmail = 1000
message_size_limit = {size}
deliver_drop_privilege = true
received_header_text =
return_path_remove = false
envelope_to_remove = false
delivery_date_remove = false
bounce_return_message = false
tls_advertise_hosts = {tls_hosts}
{tls}
acl_smtp_rcpt = check_rcpt
acl_smtp_data = note_recipients

begin acl
check_rcpt:
{auth_acl}
  accept
note_recipients:
  warn set acl_m_recipients = $recipients
  accept

begin routers
everybody:
  driver = accept
  transport = keep

begin transports
keep:
  driver = appendfile
  directory = {dir}/mail
  maildir_format
  create_directory
  batch_max = 10000
  message_prefix = "$sender_address\\n$acl_m_recipients\\n"
  message_suffix = ""
  use_crlf

begin retry
* * F,1h,1s

begin authenticators
{auth}
"""

TLS = """
tls_certificate = {certificate}
tls_privatekey = {key}
"""

AUTH = """
plain:
  driver = plaintext
  public_name = PLAIN
  server_prompts = :
  server_condition = ${{if and{{{{eq{{$auth2}}{{{user}}}}}{{eq{{$auth3}}{{{password}}}}}}}}}
  server_set_id = $auth2
login:
  driver = plaintext
  public_name = LOGIN
  server_prompts = <| Username: | Password:
  server_condition = ${{if and{{{{eq{{$auth1}}{{{user}}}}}{{eq{{$auth2}}{{{password}}}}}}}}}
  server_set_id = $auth1
"""


class MailServer:
    def __init__(self, user=None, password=None, certificate=None, key=None,
                 size_limit="64M"):
        self.user, self.password = user, password
        self.certificate, self.key = certificate, key
        self.size_limit = size_limit
        self.port = None
        self._process = None

    @staticmethod
    def is_installed():
        return os.access(EXIM, os.X_OK)

    def start(self, directory):
        """`directory` is made if need be; the account of the server must be
        able to pass through the ones above it."""
        self.dir = os.path.abspath(directory)
        self.port = self.port or free_port()
        os.makedirs(self.dir, exist_ok=True)
        os.chmod(self.dir, 0o755)
        account = self._account()
        for name in ("spool", "log", "mail"):
            path = os.path.join(self.dir, name)
            os.makedirs(path, exist_ok=True)
            if os.geteuid() == 0:
                os.chown(path, account.pw_uid, account.pw_gid)
        conf = os.path.join(self.dir, "exim.conf")
        with open(conf, "w") as f:
            f.write(self._config(account))
        os.chmod(conf, 0o644)
        with open(os.path.join(self.dir, "output"), "ab") as out:
            self._process = subprocess.Popen(
                [EXIM, "-C", conf, "-bdf", "-oX", str(self.port)],
                stdin=subprocess.DEVNULL, stdout=out, stderr=out,
                start_new_session=True)
        self._wait_until_it_answers()
        return self

    def stop(self):
        if self._process and self._process.poll() is None:
            self._process.terminate()
            try:
                self._process.wait(10)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()
        self._process = None

    def messages(self, settle=30):
        """All mails, oldest first; those accepted and not yet in their file
        are waited for, up to `settle` seconds."""
        end = time.monotonic() + settle
        while self._spooled() and time.monotonic() < end:
            time.sleep(0.02)
        found = []
        for name in self._files():
            with open(os.path.join(self.dir, "mail", "new", name), "rb") as f:
                sender, recipients, data = f.read().split(b"\n", 2)
            found.append((sender.decode(), recipients.decode().split(", "),
                          data))
        return found

    def wait(self, n, timeout=30):
        """messages(), as soon as there are `n`, or when the time is over."""
        end = time.monotonic() + timeout
        while len(self._files()) < n and time.monotonic() < end:
            time.sleep(0.02)
        return self.messages()

    def count(self):
        return len(self._files())

    def clear(self):
        self.messages()
        for name in self._files():
            os.unlink(os.path.join(self.dir, "mail", "new", name))

    def log(self):
        """What the server said; for a test that failed."""
        text = []
        for name in ("output", "log/mainlog", "log/paniclog"):
            try:
                with open(os.path.join(self.dir, name),
                          errors="replace") as f:
                    text.append(f.read())
            except OSError:
                pass
        return "".join(text)

    def __enter__(self):
        return self

    def __exit__(self, *exc):
        self.stop()

    # ---- inside ---------------------------------------------------------

    @staticmethod
    def _account():
        if os.geteuid() == 0:
            return pwd.getpwnam("Debian-exim")
        return pwd.getpwuid(os.geteuid())

    def _config(self, account):
        auth = auth_acl = tls = ""
        if self.user:
            auth = AUTH.format(user=self.user, password=self.password)
            auth_acl = "  deny !authenticated = *\n"
        if self.certificate:
            tls = TLS.format(certificate=self.certificate, key=self.key)
        return CONFIG.format(
            dir=self.dir, port=self.port, user=account.pw_uid,
            group=account.pw_gid, size=self.size_limit, auth=auth,
            auth_acl=auth_acl, tls=tls,
            tls_hosts="*" if self.certificate else "")

    def _wait_until_it_answers(self):
        end = time.monotonic() + 60
        while time.monotonic() < end and self._process.poll() is None:
            try:
                with socket.create_connection(("127.0.0.1", self.port),
                                              5) as s:
                    if s.recv(100).startswith(b"220"):
                        s.sendall(b"QUIT\r\n")
                        return
            except OSError:
                pass
            time.sleep(0.05)
        self.stop()
        raise RuntimeError("exim4 does not answer:\n" + self.log())

    def _spooled(self):
        path = os.path.join(self.dir, "spool", "input")
        try:
            return any(n.endswith("-H") for n in os.listdir(path))
        except FileNotFoundError:
            return False

    def _files(self):
        """By the time in the name: seconds, then M and microseconds."""
        path = os.path.join(self.dir, "mail", "new")

        def when(name):
            digits = name.split(".")[1].lstrip("HM")
            return (int(name.split(".")[0]),
                    int(digits.split("P")[0]), name)
        try:
            return sorted(os.listdir(path), key=when)
        except FileNotFoundError:
            return []
