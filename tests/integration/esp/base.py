"""What all stand-ins share: an HTTP server on loopback that checks what it is
asked, misbehaves on request and remembers every call.

    class Stand(StandIn):
        limit = 10                       # requests at once; more is a violation

        def handle(self, call):          # called with self.lock held
            return 200, {"ok": True}     # or (status, body, headers)

    with Stand(delay=0.05) as esp:
        ...
        assert not esp.violations, esp.violations

A body is a dict or list (sent as JSON), str, bytes or None. What the
documentation forbids is `raise self.violation(...)`: it is recorded and
answered with an error, so that nothing passes unseen.

Knobs, all by calls that match (`where`: a function of the call, or a part of
"METHOD path"; None: all):
    esp.delay = 0.05                     seconds before every answer
    esp.fail(503, times=2, headers={"Retry-After": "1"}, where="POST /batches")
    esp.cut(times=1, where=...)          read it, then cut the connection;
                                         handled=True: after it was done
    esp.before = lambda call: ...        called before each call is handled
"""

import gzip
import http.server
import json
import socket
import threading
import time
import urllib.parse


class Call:
    """One request, and what it was answered."""

    def __init__(self, method, target, headers, body):
        path, _, query = target.partition("?")
        self.method = method
        self.path = path  # as sent, percent-encoded
        self.query = dict(urllib.parse.parse_qsl(
            query, keep_blank_values=True))
        self.raw_query = query
        self.headers = headers  # names in lower case
        self.body = body
        self.status = None
        self.at = time.monotonic()

    @property
    def parts(self):
        """The decoded segments of the path."""
        return [urllib.parse.unquote(p) for p in self.path.split("/") if p]

    @property
    def json(self):
        return json.loads(self.body.decode())

    def __repr__(self):
        return "%s %s -> %s" % (self.method, self.path, self.status)


class Refusal(Exception):
    """Raised by a handler: the answer."""

    def __init__(self, status, body=None, headers=None):
        super().__init__(str(status))
        self.answer = (status, body, headers or {})


class Fault:
    def __init__(self, where, times, status=None, body=None, headers=None,
                 cut=False, handled=False):
        self.where, self.times = where, times
        self.status, self.body, self.headers = status, body, headers or {}
        self.is_cut, self.handled = cut, handled

    def matches(self, call):
        if self.times <= 0:
            return False
        if self.where is None:
            return True
        if callable(self.where):
            return self.where(call)
        return self.where in "%s %s" % (call.method, call.path)


class StandIn:
    limit = None        # requests at once
    limit_status = 429
    max_body = None     # bytes of a request

    def __init__(self, delay=0.0):
        self.delay = delay
        self.lock = threading.RLock()
        self.calls = []
        self.violations = []
        self.faults = []
        self.before = None
        self.busy = self.peak = 0
        self.connections = 0
        self._open = set()
        self._server = _Server(("127.0.0.1", 0), _handler(self))
        self._thread = threading.Thread(
            target=self._server.serve_forever, args=(0.05,), daemon=True)
        self._thread.start()

    # ---- for tests ------------------------------------------------------

    @property
    def port(self):
        return self._server.server_address[1]

    @property
    def url(self):
        return "http://127.0.0.1:%d" % self.port

    def close(self):
        self._server.shutdown()
        self._server.server_close()
        with self.lock:
            for s in list(self._open):
                try:
                    s.shutdown(socket.SHUT_RDWR)
                except OSError:
                    pass
        self._thread.join()

    def __enter__(self):
        return self

    def __exit__(self, *exc):
        self.close()

    def fail(self, status, times=1, headers=None, body=None, where=None):
        with self.lock:
            self.faults.append(Fault(where, times, status, body, headers))

    def cut(self, times=1, where=None, handled=False):
        with self.lock:
            self.faults.append(Fault(where, times, cut=True,
                                     handled=handled))

    def forget(self):
        """Start the log of calls anew; members and violations stay."""
        with self.lock:
            self.calls = []
            self.peak = self.busy

    def count(self, where=None):
        """How many calls match."""
        probe = Fault(where, 1)
        with self.lock:
            return sum(probe.matches(c) for c in self.calls)

    # ---- for providers --------------------------------------------------

    def handle(self, call):
        raise NotImplementedError

    def error_body(self, status, text):
        """How this provider words an error."""
        return {"status": status, "title": "Stand-in", "detail": text}

    def violation(self, call, text, status=400):
        """Raise this: recorded, and an error."""
        line = "%s %s: %s" % (call.method, call.path, text)
        self.violations.append(line)
        return Refusal(status, self.error_body(status, line))

    def refuse(self, status, text, headers=None):
        """Raise this: an error that is no fault of the caller's protocol."""
        return Refusal(status, self.error_body(status, text), headers)

    def require_json(self, call, schema):
        """The body, an object whose members are those of `schema`: name to a
        type, or to (type, True) when it must be there."""
        kind = call.headers.get("content-type", "")
        if not kind.startswith("application/json"):
            raise self.violation(call, "Content-Type is %r" % kind, 415)
        try:
            body = call.json
        except ValueError as e:
            raise self.violation(call, "not JSON: %s" % e)
        self.check(call, body, schema, "body")
        return body

    def check(self, call, value, schema, where):
        if not isinstance(value, dict):
            raise self.violation(call, "%s is no object" % where)
        for name in value:
            if name not in schema:
                raise self.violation(call, "%s has %r" % (where, name))
        for name, rule in schema.items():
            kind, needed = rule if isinstance(rule, tuple) and \
                isinstance(rule[-1], bool) else (rule, False)
            if name not in value:
                if needed:
                    raise self.violation(call, "%s lacks %r" % (where, name))
            elif not isinstance(value[name], kind) or (
                    isinstance(value[name], bool) and kind is int):
                raise self.violation(call, "%s.%s is a %s" % (
                    where, name, type(value[name]).__name__))

    # ---- one request ----------------------------------------------------

    def _fault(self, call):
        for f in self.faults:
            if f.matches(call):
                f.times -= 1
                return f
        return None

    def answer(self, call):
        """(status, body, headers), or None to cut the connection."""
        with self.lock:
            self.calls.append(call)
            self.busy += 1
            self.peak = max(self.peak, self.busy)
            crowded = self.limit is not None and self.busy > self.limit
            fault = self._fault(call)
        try:
            if self.delay:
                time.sleep(self.delay)
            if self.before:
                self.before(call)
            if fault and fault.is_cut and not fault.handled:
                return None
            if fault and not fault.is_cut:
                body = fault.body
                if body is None:
                    body = self.error_body(fault.status, "made to fail")
                return fault.status, body, fault.headers
            with self.lock:
                reply = self._handled(call, crowded)
            return None if fault else reply
        finally:
            with self.lock:
                self.busy -= 1

    def _handled(self, call, crowded):
        try:
            if crowded:
                raise self.violation(
                    call, "more than %d requests at once" % self.limit,
                    self.limit_status)
            if self.max_body is not None and len(call.body) > self.max_body:
                raise self.violation(
                    call, "a body of %d bytes" % len(call.body), 413)
            if call.method in ("GET", "DELETE") and call.body:
                raise self.violation(call, "a body")
            reply = self.handle(call)
        except Refusal as e:
            reply = e.answer
        except Exception as e:  # a bug in the stand-in must fail the test
            self.violations.append("stand-in: %r for %r" % (e, call))
            reply = (599, self.error_body(599, repr(e)))
        return reply if len(reply) == 3 else (reply[0], reply[1], {})


class _Server(http.server.ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 256
    allow_reuse_address = True

    def handle_error(self, request, client_address):
        pass  # cut connections are what tests are about


def _handler(stand):
    class Handler(http.server.BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        disable_nagle_algorithm = True

        def setup(self):
            super().setup()
            with stand.lock:
                stand.connections += 1
                stand._open.add(self.connection)

        def finish(self):
            with stand.lock:
                stand._open.discard(self.connection)
            super().finish()

        def serve(self):
            size = int(self.headers.get("Content-Length") or 0)
            body = self.rfile.read(size) if size else b""
            call = Call(self.command, self.path, {
                k.lower(): v for k, v in self.headers.items()}, body)
            reply = stand.answer(call)
            if reply is None:
                self.close_connection = True
                self.connection.shutdown(socket.SHUT_RDWR)
                return
            self.put(call, *reply)

        def put(self, call, status, body, headers):
            kind = "application/json; charset=utf-8"
            call.status = status
            if isinstance(body, str):
                body, kind = body.encode(), "text/html; charset=utf-8"
            elif isinstance(body, (dict, list)):
                body = json.dumps(body).encode()
                if len(body) > 200 and "gzip" in call.headers.get(
                        "accept-encoding", ""):
                    body = gzip.compress(body, 1)
                    headers = dict(headers, **{"Content-Encoding": "gzip"})
            elif isinstance(body, bytes):
                kind = "application/octet-stream"
            else:
                body = b""
            head = {"Content-Type": kind, "Content-Length": str(len(body))}
            head.update(headers)
            text = "HTTP/1.1 %d Answer\r\n" % status
            text += "".join("%s: %s\r\n" % x for x in head.items())
            # In one write: two would wait for each other's acknowledgement.
            self.wfile.write(text.encode() + b"\r\n" + (
                b"" if status == 204 else body))

        do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = serve

        def log_message(self, *_args):
            pass

    return Handler
