"""ActiveCampaign, API v3, as its documentation has it.

Consent: what would change a list relation of a contact that the account knew
before is a violation, and so are sourceid 4 and a sync that names a list. Who
unsubscribed is not re-subscribed by `subscribe`, as at the provider.

    with ActiveCampaign() as esp:
        esp.put("a@example.org", lists={2: 1})   # a known contact
        ... esp.account() for the driver
    esp.contacts["a@example.org"].lists
"""

import collections
import re
import time

from .base import StandIn

KEY = "key-of-the-account"
LIST = "2"


class Contact:
    def __init__(self, number, email, lists=None, fields=None):
        self.id = number
        self.email = email
        self.first = self.last = ""
        self.lists = dict(lists or {})  # list: status
        self.fields = dict(fields or {})  # field id: value
        self.by_api = False  # created by what is being tested


class ActiveCampaign(StandIn):
    per_s = 5
    bulk_per_min = 100

    def __init__(self, rates=False, **knobs):
        self.contacts = {}
        self.fields = {}  # id: {title, type, perstag, related}
        self.lists = {2: "Readers"}
        self.batches = {}
        self.rates = rates  # more a second than allowed is a violation
        self.polls = 2      # how often an import is "active"
        self.fail_in_import = set()  # addresses
        self.refuse = {}    # address: (code, detail) of a single call
        self.refuse_import = {}  # address: reason; the whole is refused
        self.excluded = set()  # skipped by an import, silently
        self.max_fields = 1000
        self.on_import = None  # called between the import and its poll
        self.next = collections.Counter()
        self.stamps, self.bulk_stamps = [], []
        super().__init__(**knobs)

    # ---- for tests ------------------------------------------------------

    def account(self, **more):
        return dict({"api": self.url, "key": KEY, "list": LIST,
                     "prefix": "NP_", "create_fields": True}, **more)

    def put(self, email, lists=None, fields=None):
        self.next["contact"] += 1
        c = Contact(self.next["contact"], email, lists, fields)
        self.contacts[email.lower()] = c
        return c

    def field(self, title, perstag, kind="text"):
        self.next["field"] += 1
        number = self.next["field"]
        self.fields[number] = {"title": title, "type": kind,
                               "perstag": perstag, "related": True}
        return number

    def field_id(self, perstag):
        for number, f in self.fields.items():
            if f["perstag"] == perstag:
                return number
        return None

    def value(self, email, perstag):
        return self.contacts[email.lower()].fields.get(self.field_id(perstag))

    def unsubscribe(self, email):
        c = self.contacts[email.lower()]
        for number in c.lists:
            c.lists[number] = 2

    # ---- requests -------------------------------------------------------

    def error_body(self, status, text):
        if status == 422:
            return {"errors": [{"title": text, "detail": "", "code": "stand_in",
                                "source": {"pointer": "/data"}}]}
        return {"message": text}

    def handle(self, call):
        if call.headers.get("api-token") != KEY:
            return 403, {"message": "You are not authorized"}
        self.rate(call, self.stamps, self.per_s, 1.0)
        parts = call.parts
        if parts[:2] != ["api", "3"]:
            raise self.violation(call, "not under /api/3", 404)
        name = (call.method + " " + "/".join(parts[2:])).replace(".", "")
        for pattern, do in self.routes:
            found = re.fullmatch(pattern, name)
            if found:
                return do(self, call, *found.groups())
        raise self.violation(call, "no such request", 404)

    def rate(self, call, stamps, most, window):
        now = time.monotonic()
        stamps.append(now)
        del stamps[:-most - 1]
        # One that had to wait for its thread comes nearer to the next.
        if self.rates and len(stamps) > most and \
                now - stamps[-most - 1] < 0.8 * window:
            raise self.violation(call, "more than %d requests in %d s" % (
                most, window), 429)

    def query(self, call, allowed, needed=()):
        for key in call.query:
            if key not in allowed:
                raise self.violation(call, "parameter %r" % key)
        for key in needed:
            if key not in call.query:
                raise self.violation(call, "no parameter %r" % key)

    # ---- fields and lists -----------------------------------------------

    def get_fields(self, call):
        self.query(call, ("limit", "offset"))
        limit = int(call.query.get("limit", 20))
        offset = int(call.query.get("offset", 0))
        if not 1 <= limit <= 100:
            raise self.violation(call, "limit %d" % limit)
        rows = [{"id": str(k), "title": v["title"], "type": v["type"],
                 "perstag": v["perstag"]} for k, v in self.fields.items()]
        return 200, {"fields": rows[offset:offset + limit],
                     "fieldOptions": [], "meta": {"total": str(len(rows))}}

    def post_fields(self, call):
        body = self.require_json(call, {"field": (dict, True)})["field"]
        self.check(call, body, {
            "type": (str, True), "title": (str, True), "perstag": (str, True),
            "visible": int, "descript": str}, "field")
        if body["type"] not in ("text", "date"):
            raise self.violation(call, "a field of type %s" % body["type"])
        if not re.fullmatch("[A-Z0-9_]+", body["perstag"]):
            raise self.violation(call, "perstag %r" % body["perstag"])
        if self.field_id(body["perstag"]):
            raise self.violation(call, "the field exists", 422)
        if len(self.fields) >= self.max_fields:
            raise self.refuse_with(422, "limit", "too many fields")
        number = self.field(body["title"], body["perstag"], body["type"])
        self.fields[number]["related"] = False
        return 201, {"field": {"id": str(number), **body}}

    def post_field_rels(self, call):
        body = self.require_json(call, {"fieldRel": (dict, True)})["fieldRel"]
        self.check(call, body, {"field": ((str, int), True),
                                "relid": (int, True)}, "fieldRel")
        if body["relid"] != 0:
            raise self.violation(call, "relid %r" % body["relid"])
        self.fields[int(body["field"])]["related"] = True
        return 201, {"fieldRel": {"id": "1", **body}}

    def get_list(self, call, number):
        if int(number) not in self.lists:
            return 404, {"message": "No Result found for List"}
        return 200, {"list": {"id": number, "name": self.lists[int(number)]}}

    # ---- one contact ----------------------------------------------------

    def refuse_with(self, status, code, detail):
        from .base import Refusal
        return Refusal(status, {"errors": [{
            "title": "The contact was refused.", "detail": detail,
            "code": code, "error": code,
            "source": {"pointer": "/data/attributes/email"}}]})

    def contact_of(self, call):
        body = self.require_json(call, {"contact": (dict, True)})["contact"]
        self.check(call, body, {
            "email": (str, True), "firstName": str, "lastName": str,
            "phone": str, "fieldValues": list}, "contact")
        values = {}
        for row in body.get("fieldValues", ()):
            self.check(call, row, {"field": (str, True),
                                   "value": (str, True)}, "fieldValues")
            values[self.known_field(call, row["field"], row["value"])] = \
                row["value"]
        if not re.fullmatch(r"[^@\s]+@[^@\s]+\.[^@\s]+", body["email"]):
            raise self.violation(call, "the address is none", 422)
        if body["email"] in self.refuse:
            raise self.refuse_with(422, *self.refuse[body["email"]])
        return body, values

    def known_field(self, call, number, value):
        field = self.fields.get(int(number))
        if not field:
            raise self.violation(call, "no field %r" % number)
        if not field["related"]:
            raise self.violation(call, "field %r has no relation" % number)
        if value and field["type"] == "date" and not re.fullmatch(
                r"\d{4}-\d\d-\d\d", value):
            raise self.violation(call, "a date %r" % value)
        if value and field["type"] == "datetime" and not re.fullmatch(
                r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d[+-]\d\d:\d\d", value):
            raise self.violation(call, "a datetime %r" % value)
        return int(number)

    def change(self, c, body, values, first="firstName", last="lastName"):
        c.fields.update(values)
        c.first = body.get(first, c.first)
        c.last = body.get(last, c.last)

    def contact_json(self, c):
        return {"id": str(c.id), "email": c.email, "firstName": c.first,
                "lastName": c.last, "cdate": "2026-01-01T00:00:00-05:00"}

    def post_sync(self, call):
        body, values = self.contact_of(call)
        c = self.contacts.get(body["email"].lower())
        status = 200
        if not c:
            c = self.put(body["email"])
            c.by_api = True
            status = 201
        self.change(c, body, values)
        return status, {"fieldValues": [], "contact": self.contact_json(c)}

    def put_contact(self, call, number):
        body, values = self.contact_of(call)
        c = self.by_id(number)
        if not c:
            return 404, {"message": "No Result found for Subscriber"}
        other = self.contacts.get(body["email"].lower())
        if other and other is not c:
            raise self.refuse_with(422, "duplicate", "Email address exists")
        del self.contacts[c.email.lower()]
        c.email = body["email"]
        self.contacts[c.email.lower()] = c
        self.change(c, body, values)
        return 200, {"contact": self.contact_json(c)}

    def by_id(self, number):
        for c in self.contacts.values():
            if c.id == int(number):
                return c
        return None

    def get_contact(self, call, number):
        c = self.by_id(number)
        if not c:
            return 404, {"message": "No Result found for Subscriber"}
        return 200, {
            "contact": self.contact_json(c),
            "fieldValues": [{"contact": str(c.id), "field": str(k), "value": v,
                             "id": str(k)} for k, v in c.fields.items()],
            "contactLists": [{"contact": str(c.id), "list": str(k),
                              "status": str(v)} for k, v in c.lists.items()]}

    def get_contacts(self, call):
        if "email" in call.query:
            self.query(call, ("email",))
            if "+" in call.raw_query:
                raise self.violation(call, "+ is not encoded")
            c = self.contacts.get(call.query["email"].lower())
            return 200, {"contacts": [self.contact_json(c)] if c else []}
        self.query(call, ("limit", "orders[id]", "id_greater"),
                   ("orders[id]", "id_greater"))
        rows = sorted((c for c in self.contacts.values()
                       if c.id > int(call.query["id_greater"])),
                      key=lambda c: c.id)
        limit = int(call.query.get("limit", 20))
        if limit > 100:
            raise self.violation(call, "limit %d" % limit)
        return 200, {"contacts": [self.contact_json(c) for c in rows[:limit]]}

    def post_contact_lists(self, call):
        body = self.require_json(
            call, {"contactList": (dict, True)})["contactList"]
        self.check(call, body, {
            "list": ((str, int), True), "contact": ((str, int), True),
            "status": (int, True), "sourceid": int}, "contactList")
        if "sourceid" in body:
            raise self.violation(call, "sourceid: a re-subscription")
        c = self.by_id(body["contact"])
        number = int(body["list"])
        if not c or number not in self.lists:
            raise self.refuse_with(422, "related_missing", "no such")
        if not c.by_api:
            raise self.violation(call, "a list status for a known contact")
        if number in c.lists:
            raise self.violation(call, "a list status for a relation that is")
        c.lists[number] = body["status"]
        return 201, {"contactList": body}

    # ---- many -----------------------------------------------------------

    def row_of(self, call, row):
        self.check(call, row, {
            "email": (str, True), "first_name": str, "last_name": str,
            "phone": str, "tags": list, "fields": list, "subscribe": list,
            "unsubscribe": list}, "contacts[]")
        values = {}
        for f in row.get("fields", ()):
            self.check(call, f, {"id": (int, True), "value": (str, True)},
                       "fields[]")
            values[self.known_field(call, f["id"], f["value"])] = f["value"]
        for verb in ("subscribe", "unsubscribe"):
            for step in row.get(verb, ()):
                self.check(call, step, {"listid": (int, True)}, verb)
                c = self.contacts.get(row["email"].lower())
                if not c or not c.by_api:
                    raise self.violation(
                        call, "%s for a contact it did not make" % verb)
        return values

    def post_import(self, call):
        self.rate(call, self.bulk_stamps, self.bulk_per_min, 60.0)
        if len(call.body) >= 400000:
            raise self.violation(call, "a body of %d bytes" % len(call.body))
        body = self.require_json(call, {
            "contacts": (list, True), "callback": dict,
            "exclude_automations": (bool, True)})
        if not body["exclude_automations"]:
            raise self.violation(call, "automations would run")
        rows = body["contacts"]
        if not 1 <= len(rows) <= 250:
            raise self.violation(call, "%d contacts" % len(rows))
        if len(rows) <= 10:
            raise self.violation(call, "bulk for %d contacts" % len(rows))
        emails = [r["email"].lower() for r in rows]
        if len(set(emails)) != len(emails):
            raise self.violation(call, "an address twice")
        parsed = [self.row_of(call, r) for r in rows]
        reasons = [{"contact": i, "failureReason": self.refuse_import[e]}
                   for i, e in enumerate(emails) if e in self.refuse_import]
        if reasons:
            return 400, {"Success": 0, "message": "refused",
                         "failureReasons": reasons}
        self.next["batch"] += 1
        token = "0000-batch-%d" % self.next["batch"]
        batch = {"polls": self.polls, "success": [], "failure": [],
                 "end": "completed", "work": (rows, parsed)}
        self.batches[token] = batch
        return 200, {"Success": 1, "queued_contacts": len(rows),
                     "batchId": token, "message": "queued"}

    def work(self, batch):
        """The import is done when it is asked for the last time."""
        rows, parsed = batch.pop("work", ((), ()))
        for row, values in zip(rows, parsed):
            email = row["email"].lower()
            if email in self.fail_in_import:
                batch["failure"].append(row["email"])
                continue
            if email in self.excluded:
                continue
            c = self.contacts.get(email)
            if not c:
                c = self.put(row["email"])
                c.by_api = True
                batch["success"].append(str(c.id))
            self.change(c, row, values, "first_name", "last_name")
            for step in row.get("subscribe", ()):
                c.lists.setdefault(step["listid"], 1)
            for step in row.get("unsubscribe", ()):
                c.lists[step["listid"]] = 2

    def get_info(self, call):
        self.query(call, ("batchId",), ("batchId",))
        batch = self.batches.get(call.query["batchId"])
        if not batch:
            return 404, {"message": "no such batch"}
        if batch["polls"] > 0:
            batch["polls"] -= 1
            return 200, {"status": "waiting" if batch["polls"] else "active",
                         "success": [], "failure": []}
        if batch["end"] == "completed":
            self.work(batch)
            if self.on_import:
                self.on_import(batch)
        return 200, {"status": batch["end"], "success": batch["success"],
                     "failure": batch["failure"]}

    routes = [
        ("GET fields", get_fields), ("POST fields", post_fields),
        ("POST fieldRels", post_field_rels),
        (r"GET lists/(\d+)", get_list),
        ("POST contact/sync", post_sync),
        (r"GET contacts/(\d+)", get_contact),
        (r"PUT contacts/(\d+)", put_contact),
        ("GET contacts", get_contacts),
        ("POST contactLists", post_contact_lists),
        ("POST import/bulk_import", post_import),
        ("GET import/info", get_info)]


__all__ = ["ActiveCampaign", "KEY", "LIST"]
