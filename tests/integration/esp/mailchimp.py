"""A stand-in for the Mailchimp Marketing API 3.0."""

import base64
import datetime
import hashlib
import io
import json
import tarfile
import threading
import time

from .base import Refusal, StandIn

STATUSES = ("subscribed", "unsubscribed", "cleaned", "pending",
            "transactional", "archived")
NEW_STATUSES = STATUSES[:5]
TYPES = ("text", "number", "address", "phone", "date", "url", "imageurl",
         "radio", "dropdown", "birthday", "zip")
NAME = "Everything's Chimpy!"


def md5(email):
    return hashlib.md5(email.lower().encode()).hexdigest()


def stamp(when):
    return datetime.datetime.fromtimestamp(
        when, datetime.timezone.utc).strftime("%Y-%m-%dT%H:%M:%S+00:00")


class Mailchimp(StandIn):
    """
    key, list: what requests must carry. members: address in lower case to
    {"email_address", "status", "merge_fields"}; put() adds one.

    batch_s: how long a batch takes, None: for ever (finish() ends it).
    link_lives: downloads a link to results is good for after it was made;
    further ones are refused until the batch is asked for again.
    archive: "good", "broken" (no archive), "short" (cut), "none" (404).
    max_fields: how many merge fields the plan has.
    """

    limit = 10
    max_body = 10 * 1024 * 1024
    pending_batches = 500

    def __init__(self, key="0123456789abcdef0123456789abcdef-us21",
                 audience="a1b2c3d4e5", **more):
        self.key, self.list = key, audience
        self.members = {}
        self.hashes = {}  # of all addresses that ever were members
        self.fields = [
            {"merge_id": 1, "tag": "FNAME", "name": "First Name",
             "type": "text", "required": False},
            {"merge_id": 2, "tag": "LNAME", "name": "Last Name",
             "type": "text", "required": False}]
        self.max_fields = 80
        self.batches = {}
        self.batch_s = 0.0
        self.link_lives = 1000
        self.archive = "good"
        self.refused = {}     # address: (status, title, detail[, errors])
        self.on_operation = None  # called with (email, n) within a batch
        super().__init__(**more)

    # ---- for tests ------------------------------------------------------

    @property
    def account(self):
        return {"api": self.url, "key": self.key, "list": self.list,
                "create_fields": True}

    def put(self, email, status="subscribed", **merge_fields):
        self.members[email.lower()] = {
            "email_address": email, "status": status,
            "merge_fields": merge_fields}
        self.hashes[md5(email)] = email.lower()

    def status(self, email):
        m = self.members.get(email.lower())
        return m and m["status"]

    def tag(self, name):
        return next(f["tag"] for f in self.fields if f["name"] == name)

    def values(self, email):
        """Merge fields by name."""
        names = {f["tag"]: f["name"] for f in self.fields}
        return {names[t]: v for t, v in
                self.members[email.lower()]["merge_fields"].items()}

    def add_field(self, name, kind="text", tag=None, merge_id=None):
        merge_id = merge_id or 1 + max(f["merge_id"] for f in self.fields)
        self.fields.append({
            "merge_id": merge_id, "tag": tag or "MMERGE%d" % merge_id,
            "name": name, "type": kind, "required": False})

    def finish(self):
        """End all batches now."""
        with self.lock:
            for b in self.batches.values():
                b["ends"] = 0

    # ---- requests -------------------------------------------------------

    def error_body(self, status, text, title=None, errors=None):
        titles = {401: "API Key Invalid", 403: "Forbidden",
                  404: "Resource Not Found", 429: "Too Many Requests",
                  400: "Invalid Resource"}
        body = {"type": "https://mailchimp.com/developer/marketing/docs/"
                        "errors/", "title": title or titles.get(
                            status, "Internal Server Error"),
                "status": status, "detail": text,
                "instance": "995c5cb0-3280-4a6e-808b-3b096d0bb219"}
        if errors:
            body["errors"] = errors
        return body

    def problem(self, status, title, detail, errors=None):
        return Refusal(status, self.error_body(status, detail, title, errors),
                       {"Content-Type": "application/problem+json"})

    def authorised(self, call):
        kind, _, coded = call.headers.get("authorization", "").partition(" ")
        try:
            plain = base64.b64decode(coded, validate=True).decode()
        except ValueError:
            plain = ""
        if kind != "Basic" or ":" not in plain:
            raise self.violation(call, "no Basic authorization", 401)
        if plain.split(":", 1)[1] != self.key:
            raise self.problem(401, "API Key Invalid",
                               "Your API key may be invalid.")

    def handle(self, call):
        agent = call.headers.get("user-agent", "")
        if not agent.startswith("wp-cron-fcgi/"):
            raise self.violation(call, "User-Agent is %r" % agent)
        parts = call.parts
        if parts[:1] == ["results"] and call.method == "GET":
            return self.results(call, parts[1])
        if "application/json" not in call.headers.get("accept", ""):
            raise self.violation(call, "Accept is missing")
        if parts[:1] != ["3.0"]:
            raise self.violation(call, "no such path", 404)
        self.authorised(call)
        return self.route(call, call.method, parts[1:], call.query,
                          call.body)

    def route(self, call, method, parts, query, body):
        if parts == ["batches"] and method == "POST":
            return self.post_batch(call)
        if len(parts) == 2 and parts[0] == "batches" and method == "GET":
            return 200, self.batch(call, parts[1])
        if parts[:1] != ["lists"] or len(parts) < 2:
            raise self.violation(call, "no such path", 404)
        if parts[1] != self.list:
            raise self.problem(404, "Resource Not Found", "The requested "
                               "resource could not be found.")
        if len(parts) == 2 and method == "GET":
            return 200, {"id": self.list, "name": NAME, "stats": {
                "member_count": len(self.members)}}
        if len(parts) == 2 and method == "POST":
            return self.post_members(call)
        if parts[2:] == ["merge-fields"]:
            return self.merge_fields(call, method, query)
        if len(parts) == 4 and parts[2] == "members":
            return self.member(call, method, parts[3], query, body)
        raise self.violation(call, "no such path or method", 405)

    # ---- merge fields ---------------------------------------------------

    def merge_fields(self, call, method, query):
        if method == "GET":
            count = int(query.get("count", 10))
            if not 1 <= count <= 1000:
                raise self.violation(call, "count is %d" % count)
            return 200, {"merge_fields": self.fields[:count],
                         "list_id": self.list,
                         "total_items": len(self.fields)}
        if method != "POST":
            raise self.violation(call, "no such method", 405)
        body = self.require_json(call, {
            "name": (str, True), "type": (str, True), "tag": str,
            "public": bool, "required": bool})
        if body["type"] not in TYPES:
            raise self.violation(call, "type is %r" % body["type"])
        if any(f["name"] == body["name"] for f in self.fields):
            raise self.violation(call, "a second field %r" % body["name"])
        if len(body["name"]) > 50:
            raise self.problem(400, "Invalid Resource", "The name is too long",
                               [{"field": "name", "message": "too long"}])
        if len(self.fields) >= self.max_fields:
            raise self.problem(400, "Invalid Resource", "You have reached the "
                               "maximum number of merge fields")
        self.add_field(body["name"], body["type"], body.get("tag"))
        return 200, self.fields[-1]

    # ---- members --------------------------------------------------------

    def shown(self, member):
        tags = {f["tag"]: "" for f in self.fields}
        tags.update(member["merge_fields"])
        return {"id": md5(member["email_address"]),
                "email_address": member["email_address"],
                "status": member["status"], "merge_fields": tags,
                "list_id": self.list, "last_changed": stamp(time.time())}

    def find(self, call, name):
        if "@" not in name and (len(name) != 32 or
                                name != name.lower()):
            raise self.violation(call, "bad subscriber hash %r" % name, 404)
        return self.members.get(self.hashes.get(name, name))

    def member(self, call, method, name, query, body):
        known = self.find(call, name)
        if method == "GET":
            if "fields" not in query:
                raise self.violation(call, "asks for all fields")
            if not known:
                raise self.problem(404, "Resource Not Found", "The requested "
                                   "resource could not be found.")
            shown = self.shown(known)
            wanted = {f.split(".")[0] for f in query["fields"].split(",")}
            return 200, {k: v for k, v in shown.items() if k in wanted}
        if method != "PUT":
            raise self.violation(call, "no such method", 405)
        if query.get("skip_merge_validation") != "true":
            raise self.violation(call, "skip_merge_validation is missing")
        try:
            body = json.loads(body if isinstance(body, str)
                              else body.decode())
        except ValueError:
            raise self.violation(call, "JSON Parse Error")
        self.check(call, body, {
            "email_address": (str, True), "status_if_new": (str, True),
            "merge_fields": dict}, "member")
        return 200, self.put_member(call, known, name, body)

    def put_member(self, call, known, name, body):
        email = body["email_address"]
        if "status" in body:
            raise self.violation(call, "sends a status")
        if body["status_if_new"] not in NEW_STATUSES:
            raise self.violation(call, "status_if_new is %r" %
                                 body["status_if_new"])
        if not known and name not in (md5(email), email.lower()):
            raise self.violation(call, "the hash is of another address")
        other = self.members.get(email.lower())
        if known and other and other is not known:
            raise self.problem(400, "Member Exists", "%s is already a list "
                               "member." % email)
        self.refusal(email)
        self.values_ok(call, body.get("merge_fields", {}))
        if known:
            del self.members[known["email_address"].lower()]
            known["email_address"] = email
        else:
            known = {"email_address": email, "merge_fields": {},
                     "status": body["status_if_new"]}
        known["merge_fields"].update(body.get("merge_fields", {}))
        self.members[email.lower()] = known
        self.hashes[md5(email)] = email.lower()
        return self.shown(known)

    def refusal(self, email):
        why = self.refused.get(email.lower())
        if why:
            raise self.problem(*why)

    def values_ok(self, call, values):
        kinds = {f["tag"]: f["type"] for f in self.fields}
        bad = []
        for tag, v in values.items():
            if tag not in kinds:
                raise self.violation(call, "no merge field %r" % tag)
            if isinstance(v, bool) or not isinstance(v, (str, int, float)):
                raise self.violation(call, "%s is a %s" % (
                    tag, type(v).__name__))
            if isinstance(v, str) and len(v.encode()) > 255:
                raise self.violation(call, "%s has %d bytes" % (
                    tag, len(v.encode())))
            if not self.value_ok(kinds[tag], v):
                bad.append({"field": tag, "message":
                            "Please enter a valid %s" % kinds[tag]})
        if bad:
            raise self.problem(400, "Invalid Resource",
                               "Your merge fields were invalid.", bad)

    @staticmethod
    def value_ok(kind, v):
        if kind == "number":
            try:
                float(v)
            except ValueError:
                return False
        if kind == "date" and v != "":
            try:
                datetime.datetime.strptime(v, "%Y-%m-%d")
            except (ValueError, TypeError):
                return False
        return True

    def post_members(self, call):
        body = self.require_json(call, {
            "members": (list, True), "update_existing": (bool, True),
            "sync_tags": bool})
        if body["update_existing"]:
            raise self.violation(call, "update_existing is true")
        if len(body["members"]) > 500:
            raise self.violation(call, "%d members" % len(body["members"]))
        raise self.violation(call, "not simulated")

    # ---- batches --------------------------------------------------------

    def post_batch(self, call):
        body = self.require_json(call, {"operations": (list, True)})
        pending = sum(1 for b in self.batches.values()
                      if self.state(b) != "finished")
        if pending >= self.pending_batches:
            raise self.violation(call, "over %d batches pending" % pending,
                                 429)
        if not body["operations"]:
            raise self.violation(call, "no operations")
        for op in body["operations"]:
            self.check(call, op, {
                "method": (str, True), "path": (str, True), "params": dict,
                "operation_id": str, "body": str}, "operation")
            if op["method"] not in ("GET", "POST", "PUT", "PATCH", "DELETE"):
                raise self.violation(call, "method %r" % op["method"])
            if not op["path"].startswith("/lists/") or "?" in op["path"]:
                raise self.violation(call, "path %r" % op["path"])
        token = "batch%04d" % (len(self.batches) + 1)
        b = {"id": token, "operations": body["operations"],
             "at": time.time(), "results": None, "links": 0, "lives": 0,
             "ends": float("inf") if self.batch_s is None
             else time.time() + self.batch_s}
        self.batches[token] = b
        return 200, self.shown_batch(b)

    @staticmethod
    def state(b):
        if time.time() >= b["ends"]:
            return "finished"
        return "pending" if time.time() - b["at"] < 0.2 else "started"

    def batch(self, call, token):
        if token not in self.batches:
            raise self.problem(404, "Resource Not Found", "The requested "
                               "resource could not be found.")
        b = self.batches[token]
        if self.state(b) == "finished" and b["results"] is None:
            self.execute(call, b)
        return self.shown_batch(b)

    def shown_batch(self, b):
        done = b["results"] is not None
        shown = {"id": b["id"], "status": self.state(b) if done else
                 "pending" if self.state(b) == "pending" else "started",
                 "total_operations": len(b["operations"]),
                 "finished_operations": len(b["results"]) if done else 0,
                 "errored_operations": sum(
                     r["status_code"] >= 300 for r in b["results"])
                 if done else 0,
                 "submitted_at": stamp(b["at"]),
                 "completed_at": stamp(time.time()) if done else "",
                 "response_body_url": ""}
        if done:
            b["links"] += 1
            b["lives"] = self.link_lives
            shown["response_body_url"] = "%s/results/%s.%d?X-Signature=x" % (
                self.url, b["id"], b["links"])
        return shown

    def execute(self, call, b):
        b["results"] = []
        for n, op in enumerate(b["operations"]):
            if self.on_operation:
                self.on_operation(json.loads(op["body"])["email_address"], n)
            try:
                status, answer = self.route(
                    call, op["method"],
                    [p for p in op["path"].split("/") if p],
                    {k: str(v).lower() for k, v in
                     op.get("params", {}).items()}, op.get("body", ""))
            except Refusal as e:
                status, answer, _ = e.answer
            b["results"].append({
                "status_code": status, "operation_id": op.get("operation_id"),
                "response": json.dumps(answer)})

    def results(self, call, name):
        if call.headers.get("authorization"):
            raise self.violation(call, "sends the key to the results' host")
        token, _, link = name.partition(".")
        b = self.batches.get(token)
        if not b or b["results"] is None or self.archive == "none":
            return 404, "<Error><Code>NoSuchKey</Code></Error>"
        if int(link) != b["links"] or b["lives"] <= 0:
            return 403, "<Error><Message>Request has expired</Message></Error>"
        b["lives"] -= 1
        if self.archive == "broken":
            return 200, b"this is no archive at all"
        made = self.make_archive(b)
        if self.archive == "short":
            made = made[:len(made) // 2]
        return 200, made, {"Content-Type": "application/gzip"}

    @staticmethod
    def make_archive(b, per_file=250):
        out = io.BytesIO()
        with tarfile.open(fileobj=out, mode="w:gz") as tar:
            folder = tarfile.TarInfo("./")
            folder.type = tarfile.DIRTYPE
            folder.mode = 0o755
            tar.addfile(folder)
            # Mailchimp's files are in no order.
            for at in reversed(range(0, len(b["results"]), per_file)):
                text = json.dumps(b["results"][at:at + per_file]).encode()
                entry = tarfile.TarInfo("./%s-%d.json" % (b["id"], at))
                entry.size = len(text)
                tar.addfile(entry, io.BytesIO(text))
        return out.getvalue()


def unsubscribe_later(esp, email, seconds):
    """The member unsubscribes by themselves, in mid-run."""
    def do():
        with esp.lock:
            esp.put(email, "unsubscribed",
                    **esp.members.get(email.lower(), {}).get(
                        "merge_fields", {}))
    t = threading.Timer(seconds, do)
    t.daemon = True
    t.start()
    return t
