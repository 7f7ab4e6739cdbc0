"""A mail relay that misbehaves on request and remembers everything.

    with SmtpStandIn() as relay:                 # 127.0.0.1:relay.port
        relay.fail("rcpt", 450, where="b@example.org")
        relay.drop("end")                        # after the final dot
        ...
        assert not relay.violations, relay.violations
        relay.mails[0].sender, .recipients, .data, .connection, .user, .tls

Stages: connect, greeting, ehlo, starttls, auth, mail, rcpt, data (the
command), body (while the mail comes in), end (after the final dot), quit.

Knobs (times=None: always; where: an address, or k for the k-th recipient of a
mail, or a function of the Session; None: any):
    relay.fail(stage, code, words="...", times=1, where=None, close=False)
    relay.drop(stage, times=1, where=None, stored=False)
                          cut the connection in place of the reply; stored:
                          at "end", the mail has been taken all the same
    relay.stall(stage, seconds, times=1, where=None)   then go on
    relay.decide = lambda session: (code, words) or None    at "end"
Options of SmtpStandIn(): user, password (AUTH is demanded), mechanisms,
auth_after_tls (AUTH is offered only inside TLS), starttls, implicit_tls (with
certificate and key), size (SIZE says and enforces it), utf8 (SMTPUTF8),
ehlo (False: 502), idle_s (close connections idle for so long after a mail),
max_mails (421 on the next MAIL), max_connections (more at a time is a
violation and 421), port.
"""

import base64
import collections
import os
import shutil
import socket
import ssl
import subprocess
import threading
import time

# An authority, a server's certificate for localhost and 127.0.0.1, and another
# authority, by PHP's OpenSSL.
MAKE_CERTIFICATES = r"""
    $dir = $argv[1];
    file_put_contents( "$dir/openssl.cnf", "[req]\ndistinguished_name=dn\n" .
        "[dn]\n[ca]\nbasicConstraints=critical,CA:TRUE\n" .
        "subjectKeyIdentifier=hash\n" .
        "[server]\nsubjectAltName=DNS:localhost,IP:127.0.0.1\n" );
    $make = static function ( $name, $kind, $ca, $ca_key ) use ( $dir ) {
        $o = array( 'private_key_bits' => 2048, 'digest_alg' => 'sha256',
            'config' => "$dir/openssl.cnf", 'x509_extensions' => $kind );
        $key = openssl_pkey_new( $o );
        $csr = openssl_csr_new( array( 'commonName' => $name ), $key, $o );
        $cert = openssl_csr_sign( $csr, $ca, $ca_key ?: $key, 2, $o,
            random_int( 1, 1 << 30 ) );
        openssl_x509_export_to_file( $cert, "$dir/$name.pem" );
        openssl_pkey_export_to_file( $key, "$dir/$name.key", null, $o );
        return array( $cert, $key );
    };
    list( $ca, $key ) = $make( 'ca', 'ca', null, null );
    $make( 'server', 'server', $ca, $key );
    $make( 'other', 'ca', null, null );
"""

MAX_LINE = 1000  # RFC 5321 4.5.3.1.6, with its CRLF
COMMAND_LINE = 512 + 128


def make_certificates(directory):
    """ca.pem, server.pem, server.key and other.pem in `directory`, readable
    by everybody."""
    php = shutil.which("php8.2") or "php"
    subprocess.run([php, "-n", "-r", MAKE_CERTIFICATES, directory],
                   check=True, stderr=subprocess.PIPE)
    for name in os.listdir(directory):
        os.chmod(os.path.join(directory, name), 0o644)


class Mail:
    def __init__(self, session):
        self.sender = session.sender
        self.recipients = list(session.recipients)  # those accepted
        self.asked = list(session.asked)            # those named
        self.parameters = session.parameters        # of MAIL, upper case
        self.connection = session.number
        self.user = session.user
        self.tls = session.tls
        self.ehlo = session.ehlo
        self.data = bytes(session.data)             # dots taken out
        self.at = time.monotonic()

    def header(self, name):
        """The value of the first such header, unfolded; None: there is
        none."""
        head = self.data.split(b"\r\n\r\n", 1)[0].replace(b"\r\n ", b" ")
        head = head.replace(b"\r\n\t", b"\t")
        for line in head.split(b"\r\n"):
            key, _, value = line.partition(b":")
            if key.lower() == name.lower().encode():
                return value.strip().decode("utf-8", "replace")
        return None


class Fault:
    def __init__(self, stage, times, where, **what):
        self.stage, self.times, self.where = stage, times, where
        self.code = what.get("code")
        self.words = what.get("words")
        self.close = what.get("close", False)
        self.dropped = what.get("dropped", False)
        self.stored = what.get("stored", False)
        self.seconds = what.get("seconds", 0)

    def matches(self, session):
        if self.where is None:
            return True
        if callable(self.where):
            return bool(self.where(session))
        if isinstance(self.where, int):
            return len(session.asked) == self.where
        if self.stage == "rcpt":
            return session.asked[-1] == self.where
        return self.where in [session.sender] + session.asked


class Gone(Exception):
    """The connection is over."""


class SmtpStandIn:
    def __init__(self, user=None, password=None,
                 mechanisms=("PLAIN", "LOGIN"), auth_after_tls=False,
                 starttls=False, implicit_tls=False, certificate=None,
                 key=None, size=None, utf8=False, ehlo=True, idle_s=None,
                 max_mails=None, max_connections=None, port=0):
        self.user, self.password = user, password
        self.mechanisms, self.auth_after_tls = mechanisms, auth_after_tls
        self.starttls, self.implicit_tls = starttls, implicit_tls
        self.size, self.utf8, self.ehlo = size, utf8, ehlo
        self.idle_s, self.max_mails = idle_s, max_mails
        self.max_connections = max_connections
        self.tls = None
        if certificate:
            self.tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            self.tls.load_cert_chain(certificate, key)
        self.lock = threading.RLock()
        self.faults = []
        self.decide = None
        self.violations = []
        self.mails = []         # taken, each time it was
        self.lost = []          # came in whole, and were refused or dropped
        self.commands = []      # (connection, line)
        self.connections = self.open = self.peak = 0
        self._sockets = set()
        self._closing = False
        self._listener = socket.create_server(("127.0.0.1", port),
                                              backlog=200)
        self.port = self._listener.getsockname()[1]
        self._thread = threading.Thread(target=self._accept, daemon=True)
        self._thread.start()

    # ---- for tests ------------------------------------------------------

    def fail(self, stage, code, words=None, times=1, where=None,
             close=False):
        self._add(Fault(stage, times, where, code=code, words=words,
                        close=close))

    def drop(self, stage, times=1, where=None, stored=False):
        self._add(Fault(stage, times, where, dropped=True, stored=stored))

    def stall(self, stage, seconds, times=1, where=None):
        self._add(Fault(stage, times, where, seconds=seconds))

    def heal(self):
        """No more faults."""
        with self.lock:
            self.faults = []
            self.decide = None

    def forget(self):
        """Start the records anew; violations and knobs stay."""
        with self.lock:
            self.mails, self.lost, self.commands = [], [], []
            self.connections, self.peak = 0, self.open

    def verbs(self):
        """The first words of all commands, in order."""
        with self.lock:
            return [line.split(" ")[0].split(":")[0].upper()
                    for _, line in self.commands]

    def wait(self, n, timeout=30):
        """self.mails, as soon as there are `n`, or when the time is over."""
        end = time.monotonic() + timeout
        while time.monotonic() < end:
            with self.lock:
                if len(self.mails) >= n:
                    break
            time.sleep(0.01)
        with self.lock:
            return list(self.mails)

    def close_idle(self):
        """Close every connection that waits between two mails."""
        with self.lock:
            for s in list(self._sockets):
                if s.between:
                    s.cut()

    def close(self):
        self._closing = True
        # A thread in accept() is not woken by close() alone.
        try:
            self._listener.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass
        self._listener.close()
        with self.lock:
            for s in list(self._sockets):
                s.cut()
        self._thread.join(5)

    def __enter__(self):
        return self

    def __exit__(self, *exc):
        self.close()

    # ---- inside ---------------------------------------------------------

    def _add(self, fault):
        with self.lock:
            self.faults.append(fault)

    def violation(self, words):
        with self.lock:
            self.violations.append(words)

    def fault(self, stage, session):
        with self.lock:
            for f in self.faults:
                if f.stage != stage or not f.matches(session):
                    continue
                if f.times is not None:
                    f.times -= 1
                    if f.times <= 0:
                        self.faults.remove(f)
                return f
        return None

    def _accept(self):
        while not self._closing:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            with self.lock:
                self.connections += 1
                session = Session(self, connection, self.connections)
                self._sockets.add(session)
                self._count()
                self.peak = max(self.peak, self.open)
            threading.Thread(target=session.run, daemon=True).start()

    def _ended(self, session):
        with self.lock:
            self._sockets.discard(session)
            self._count()

    def _count(self):
        self.open = sum(not s.has_left() for s in self._sockets)


class Session:
    def __init__(self, relay, connection, number):
        self.relay, self.socket, self.number = relay, connection, number
        self.buffer = b""
        self.tls = False
        self.user = self.ehlo = None
        self.nmails = 0
        self.between = False
        self.reset()

    def reset(self):
        self.sender = None
        self.recipients, self.asked = [], []
        self.parameters = []
        self.data = bytearray()

    # ---- bytes ----------------------------------------------------------

    def has_left(self):
        """Whether the client has hung up, or says that it does: a thread of
        ours may be late to hear of it."""
        try:
            if self.relay.tls or self.socket.gettimeout() is not None:
                return False
            head = self.socket.recv(4, socket.MSG_PEEK | socket.MSG_DONTWAIT)
        except BlockingIOError:
            return False
        except OSError:
            return True
        return head in (b"", b"QUIT")

    def cut(self):
        try:
            self.socket.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass

    def reply(self, code, *lines):
        lines = lines or ("ok",)
        text = "".join("%d%s%s\r\n" % (code, "-" if i + 1 < len(lines)
                                       else " ", line)
                       for i, line in enumerate(lines))
        try:
            self.socket.sendall(text.encode())
        except OSError:
            raise Gone

    def fill(self):
        try:
            more = self.socket.recv(65536)
        except (OSError, ValueError):
            raise Gone
        if not more:
            raise Gone
        self.buffer += more

    def line(self):
        while b"\n" not in self.buffer:
            self.fill()
        line, _, self.buffer = self.buffer.partition(b"\n")
        if not line.endswith(b"\r"):
            self.relay.violation("a command ends in a bare LF: %r" % line)
        line = line.rstrip(b"\r")
        if b"\r" in line or b"\0" in line:
            self.relay.violation("a control in a command: %r" % line)
        if len(line) + 2 > COMMAND_LINE and not line.startswith(b"AUTH"):
            self.relay.violation("a command of %d bytes" % len(line))
        return line.decode("utf-8", "surrogateescape")

    def wrap(self):
        try:
            self.socket = self.relay.tls.wrap_socket(self.socket,
                                                     server_side=True)
        except (OSError, ssl.SSLError):
            raise Gone
        self.tls = True

    def meddle(self, stage):
        """Do as the knobs say; True: a reply was given."""
        fault = self.relay.fault(stage, self)
        if not fault:
            return False
        if fault.seconds:
            time.sleep(fault.seconds)
            return self.meddle(stage)
        if fault.dropped:
            raise Gone
        self.reply(fault.code, fault.words or "as told, at %s" % stage)
        if fault.close or fault.code == 421:
            raise Gone
        return True

    # ---- the dialogue ---------------------------------------------------

    def run(self):
        try:
            self.greet()
            while self.command():
                pass
        except Gone:
            pass
        finally:
            self.cut()
            self.socket.close()
            self.relay._ended(self)

    def greet(self):
        relay = self.relay
        if self.meddle("connect"):
            raise Gone
        if relay.implicit_tls:
            self.wrap()
        with relay.lock:
            over = (relay.max_connections and
                    relay.open > relay.max_connections)
        if over:
            relay.violation("%d connections at a time" % relay.open)
            self.reply(421, "too many connections")
            raise Gone
        if self.meddle("greeting"):
            raise Gone
        self.reply(220, "stand-in ESMTP")

    def command(self):
        relay = self.relay
        self.between = self.sender is None
        try:
            if self.between and relay.idle_s and self.nmails:
                self.socket.settimeout(relay.idle_s)
            line = self.line()
        finally:
            self.between = False
        self.socket.settimeout(None)
        with relay.lock:
            relay.commands.append((self.number, line))
        verb = line.split(" ")[0].split(":")[0].upper()
        handler = getattr(self, "on_" + verb.lower(), None)
        if not handler:
            relay.violation("not a command: %r" % line)
            self.reply(500, "what?")
            return True
        return handler(line) is not False

    def on_ehlo(self, line):
        self.reset()
        self.ehlo = line.partition(" ")[2]
        if not self.ehlo:
            self.relay.violation("EHLO without a name")
        if self.meddle("ehlo"):
            return
        if not self.relay.ehlo:
            self.reply(502, "not implemented")
            return
        said = ["stand-in"]
        if self.relay.starttls and not self.tls:
            said.append("STARTTLS")
        if self.offers_auth():
            said.append("AUTH " + " ".join(self.relay.mechanisms))
        if self.relay.size:
            said.append("SIZE %d" % self.relay.size)
        if self.relay.utf8:
            said.append("SMTPUTF8")
        self.reply(250, *said)

    def offers_auth(self):
        return self.relay.user and (self.tls or not self.relay.auth_after_tls)

    def on_helo(self, line):
        self.reset()
        self.ehlo = line.partition(" ")[2]
        self.reply(250, "stand-in")

    def on_starttls(self, _):
        if self.meddle("starttls"):
            return
        if not self.relay.starttls or self.tls:
            self.relay.violation("STARTTLS that was not offered")
            self.reply(502, "no")
            return
        self.reply(220, "go on")
        if self.buffer:
            self.relay.violation("bytes behind STARTTLS")
        self.wrap()

    def on_auth(self, line):
        words = line.split(" ")
        if self.meddle("auth"):
            return
        if not self.offers_auth():
            self.relay.violation("AUTH that was not offered")
            self.reply(503, "no")
            return
        mechanism = words[1].upper()
        if mechanism not in self.relay.mechanisms:
            self.relay.violation("AUTH %s was not offered" % mechanism)
            self.reply(504, "no")
            return
        first = words[2] if len(words) > 2 else None
        user, password = self.credentials(mechanism, first)
        if (user, password) != (self.relay.user, self.relay.password):
            self.reply(535, "5.7.8 Authentication credentials invalid")
            return
        self.user = user
        self.reply(235, "2.7.0 welcome")

    def credentials(self, mechanism, first):
        if mechanism == "PLAIN":
            _, user, password = self.ask(first, "").split("\0")
        elif mechanism == "LOGIN":
            user = self.ask(first, "Username:")
            password = self.ask(None, "Password:")
        else:  # XOAUTH2: user=NAME^Aauth=Bearer TOKEN^A^A
            parts = self.ask(first, "").split("\1")
            user = parts[0].partition("=")[2]
            password = parts[1].partition(" ")[2]
        return user, password

    def ask(self, given, prompt):
        if given is None:
            self.reply(334, base64.b64encode(prompt.encode()).decode())
            given = self.line()
        return base64.b64decode(given).decode()

    def address(self, line, verb):
        """The address and what follows it."""
        rest = line[len(verb):]
        if not rest.startswith("<") or ">" not in rest:
            self.relay.violation("not an address: %r" % line)
            return "", []
        address, _, more = rest[1:].partition(">")
        if not address.isascii() and "SMTPUTF8" not in line.upper() and \
                "SMTPUTF8" not in self.parameters:
            self.relay.violation("not ASCII without SMTPUTF8: %r" % line)
        if any(c in address for c in " <>,\t"):
            self.relay.violation("not an address: %r" % line)
        return address, more.upper().split()

    def on_mail(self, line):
        relay = self.relay
        if self.sender is not None:
            relay.violation("MAIL within a mail")
        if relay.user and not self.user:
            self.reply(530, "5.7.0 Authentication required")
            return
        self.sender, self.parameters = self.address(line, "MAIL FROM:")
        refused = self.meddle("mail")
        if not refused and relay.max_mails is not None and \
                self.nmails >= relay.max_mails:
            self.reply(421, "4.7.0 too many mails on this connection")
            raise Gone
        size = [int(p[5:]) for p in self.parameters if p.startswith("SIZE=")]
        if not refused and relay.size and size and size[0] > relay.size:
            self.reply(552, "5.3.4 Message size exceeds fixed limit")
            refused = True
        if refused:
            self.reset()
            return
        self.reply(250, "2.1.0 sender ok")

    def on_rcpt(self, line):
        if self.sender is None:
            self.relay.violation("RCPT without MAIL")
        address, _ = self.address(line, "RCPT TO:")
        self.asked.append(address)
        if self.meddle("rcpt"):
            return
        self.recipients.append(address)
        self.reply(250, "2.1.5 recipient ok")

    def on_data(self, _):
        if not self.recipients:
            self.relay.violation("DATA without a recipient")
            self.reply(503, "5.5.1 no recipient")
            return
        if self.meddle("data"):
            self.reset()
            return
        self.reply(354, "go on")
        self.body()
        self.nmails += 1
        self.end()

    def body(self):
        fault = self.relay.fault("body", self)
        if fault and fault.seconds:
            time.sleep(fault.seconds)
        elif fault:
            self.fill()
            raise Gone
        pieces, last = [self.buffer], self.buffer
        tail = b"\r\n" + self.buffer
        self.buffer = b""
        while b"\r\n.\r\n" not in tail:
            self.fill()
            last, self.buffer = self.buffer, b""
            tail = tail[-5:] + last
            pieces.append(last)
        whole = b"\r\n" + b"".join(pieces)
        raw, _, self.buffer = whole.partition(b"\r\n.\r\n")
        raw = raw[2:] + b"\r\n"
        if self.buffer:
            self.relay.violation("bytes behind the final dot: %r"
                                 % self.buffer[:80])
        self.check(raw)
        lines = raw.split(b"\r\n")
        self.data = b"\r\n".join(l[1:] if l.startswith(b".") else l
                                 for l in lines)

    def check(self, raw):
        rest = raw.replace(b"\r\n", b"")
        if b"\n" in rest:
            self.relay.violation("a bare LF in a mail")
        if b"\r" in rest:
            self.relay.violation("a bare CR in a mail")
        if b"\0" in rest:
            self.relay.violation("a NUL in a mail")
        longest = max(map(len, raw.split(b"\r\n"))) + 2
        if longest > MAX_LINE + 1:  # a doubled dot does not count
            self.relay.violation("a line of %d bytes" % longest)

    def end(self):
        relay = self.relay
        mail = Mail(self)
        fault = relay.fault("end", self)
        if fault and fault.seconds:
            time.sleep(fault.seconds)
            after = relay.fault("end", self)
            fault = after if after is not fault else None
        said = relay.decide(self) if not fault and relay.decide else None
        taken = not (fault and not fault.stored) and \
            not (said and said[0] >= 400)
        with relay.lock:
            (relay.mails if taken else relay.lost).append(mail)
        self.reset()
        if fault and fault.dropped:
            raise Gone
        if fault:
            self.reply(fault.code, fault.words or "as told, at end")
            if fault.close or fault.code == 421:
                raise Gone
        elif said:
            self.reply(*said)
        else:
            self.reply(250, "2.0.0 ok, queued as %d.%d"
                       % (self.number, self.nmails))

    def on_rset(self, _):
        self.reset()
        self.reply(250, "ok")

    def on_noop(self, _):
        self.reply(250, "ok")

    def on_quit(self, _):
        try:
            self.meddle("quit")
            self.reply(221, "bye")
        except Gone:
            pass
        return False


def doubles(mails):
    """Message-IDs that came more than once, with how often."""
    counts = collections.Counter(m.header("Message-ID") for m in mails)
    return {k: n for k, n in counts.items() if n > 1}
