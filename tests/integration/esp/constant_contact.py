"""Constant Contact, API v3 with its token endpoint, as documented.

A PUT nulls the top-level properties it leaves out. Refresh tokens rotate: the
old one dies with the answer. Consent: sign_up_form, a permission for a known
contact other than its own "unsubscribed", and a list for a known contact who
is not on it are violations; an import cannot add who unsubscribed.

    with ConstantContact() as esp:
        esp.put("a@example.org", lists=[LIST], permission="unsubscribed")
        ... esp.account(), esp.host() for the driver
"""

import base64
import collections
import datetime
import json
import re
import time
import urllib.parse

from .base import Refusal, StandIn

CLIENT, SECRET = "client-id", "client-secret"
LIST = "11111111-aaaa-11ee-0000-fa163e000001"
TOP = ("first_name", "last_name", "job_title", "company_name",
       "birthday_month", "birthday_day", "anniversary")


def token(expires_in, number):
    def part(value):
        text = json.dumps(value, separators=(",", ":")).encode()
        return base64.urlsafe_b64encode(text).rstrip(b"=").decode()
    return ".".join((part({"alg": "RS256"}), part({
        "exp": int(time.time()) + expires_in, "scp": ["contact_data"],
        "n": number}), "c2lnbmF0dXJl"))


class Contact:
    def __init__(self, number, email, lists=(), permission="implicit",
                 deleted=False, custom=None, **top):
        self.id = "c0000000-0000-0000-0000-%012d" % number
        self.email = email
        self.lists = list(lists)
        self.permission = permission
        self.deleted = deleted
        self.custom = dict(custom or {})  # field id: value
        self.top = {k: top.get(k) for k in TOP}
        self.taggings = ["tag-1"]
        self.new = False
        self.touch()

    def touch(self):
        self.updated = datetime.datetime.now(datetime.timezone.utc)


class ConstantContact(StandIn):
    per_s = 4
    max_body = 4 * 1024 * 1024

    def __init__(self, rates=False, **knobs):
        self.contacts = {}
        self.fields = {}  # id: {label, name, type}
        self.activities = {}
        self.polls = 2
        self.state = "completed"
        self.errors = 0         # error_count of activities
        self.refuse = {}        # address: words
        self.page = 500
        self.page_limit = 500
        self.lifetime = 86400
        self.rates = rates
        self.next = collections.Counter()
        self.stamps = []
        self.refresh_token = "refresh-0"
        self.access = {token(86400, 0)}
        self.rotates = True
        super().__init__(**knobs)

    # ---- for tests ------------------------------------------------------

    def account(self, **more):
        return dict({"api": self.url, "key": CLIENT, "secret": SECRET,
                     "access_token": next(iter(self.access), None),
                     "refresh_token": self.refresh_token, "list": LIST,
                     "prefix": "NP_", "create_fields": True}, **more)

    def host(self, **more):
        account = self.account()
        return dict({"tokens": {"access": account["access_token"],
                                "refresh": account["refresh_token"]}}, **more)

    def put(self, email, **more):
        self.next["contact"] += 1
        c = Contact(self.next["contact"], email, **more)
        self.contacts[email.lower()] = c
        return c

    def field(self, label, kind="string"):
        self.next["field"] += 1
        number = "f0000000-0000-0000-0000-%012d" % self.next["field"]
        self.fields[number] = {
            "label": label, "type": kind,
            "name": re.sub(r"[^A-Za-z0-9_]+", "_", label)}
        return number

    def value(self, email, label):
        c = self.contacts[email.lower()]
        for number, f in self.fields.items():
            if f["label"] == label:
                return c.custom.get(number)
        return None

    def unsubscribe(self, email):
        c = self.contacts[email.lower()]
        c.permission, c.lists = "unsubscribed", []
        c.touch()

    def revoke(self):
        """No access token is good any more."""
        self.access = set()

    # ---- requests -------------------------------------------------------

    def error_body(self, status, text):
        return [{"error_key": "contacts.api.validation.error",
                 "error_message": text}]

    def wrong(self, status, text, key="contacts.api.stand_in"):
        return Refusal(status, [{"error_key": key, "error_message": text}])

    def handle(self, call):
        if call.path == "/oauth2/default/v1/token":
            return self.exchange(call)
        kind, _, given = call.headers.get("authorization", "").partition(" ")
        if kind != "Bearer" or given not in self.access:
            return 401, {"error_key": "unauthorized",
                         "error_message": "Unauthorized"}
        self.rate(call)
        parts = call.parts
        if parts[:1] != ["v3"]:
            raise self.violation(call, "not under /v3", 404)
        if parts[-1] == "sign_up_form":
            raise self.violation(call, "a consent by sign_up_form")
        name = call.method + " " + "/".join(parts[1:])
        for pattern, do in self.routes:
            found = re.fullmatch(pattern, name)
            if found:
                return do(self, call, *found.groups())
        raise self.violation(call, "no such request", 404)

    def rate(self, call):
        now = time.monotonic()
        self.stamps.append(now)
        del self.stamps[:-self.per_s - 1]
        if self.rates and len(self.stamps) > self.per_s and \
                now - self.stamps[-self.per_s - 1] < 1.0:
            raise self.violation(call, "more than %d a second" % self.per_s,
                                 429)

    def query(self, call, *allowed):
        for key in call.query:
            if key not in allowed:
                raise self.violation(call, "parameter %r" % key)

    # ---- tokens ---------------------------------------------------------

    def exchange(self, call):
        want = base64.b64encode(
            ("%s:%s" % (CLIENT, SECRET)).encode()).decode()
        if call.method != "POST":
            raise self.violation(call, "not a POST", 405)
        if call.headers.get("content-type") != \
                "application/x-www-form-urlencoded":
            raise self.violation(call, "no form", 415)
        if call.headers.get("authorization") != "Basic " + want:
            return 401, {"error": "invalid_client"}
        form = dict(urllib.parse.parse_qsl(call.body.decode()))
        if set(form) != {"grant_type", "refresh_token"} or \
                form["grant_type"] != "refresh_token":
            raise self.violation(call, "the form %r" % sorted(form))
        if form["refresh_token"] != self.refresh_token:
            return 400, {"error": "invalid_grant",
                         "error_description": "unknown or used"}
        self.next["token"] += 1
        access = token(self.lifetime, self.next["token"])
        self.access.add(access)
        answer = {"token_type": "Bearer", "expires_in": self.lifetime,
                  "access_token": access, "scope": "contact_data"}
        if self.rotates:
            self.refresh_token = "refresh+%d/=" % self.next["token"]
            answer["refresh_token"] = self.refresh_token
        return 200, answer

    # ---- fields and lists -----------------------------------------------

    def get_fields(self, call):
        self.query(call, "limit", "cursor")
        if int(call.query.get("limit", 50)) > 100:
            raise self.violation(call, "limit")
        return 200, {"custom_fields": [
            {"custom_field_id": k, **v} for k, v in self.fields.items()]}

    def post_field(self, call):
        body = self.require_json(call, {"label": (str, True),
                                        "type": (str, True)})
        if len(body["label"]) > 50 or body["type"] not in ("string", "date"):
            raise self.violation(call, "a field %r" % body)
        if any(f["label"] == body["label"] for f in self.fields.values()):
            raise self.violation(call, "the field exists", 409)
        if len(self.fields) >= 100:
            raise self.violation(call, "more than a hundred fields")
        number = self.field(body["label"], body["type"])
        return 201, {"custom_field_id": number, **self.fields[number]}

    def get_list(self, call, number):
        if number != LIST:
            raise self.wrong(404, "no such list")
        return 200, {"list_id": LIST, "name": "Readers"}

    # ---- contacts -------------------------------------------------------

    def contact_json(self, c, include):
        out = {"contact_id": c.id, "email_address": {
            "address": c.email, "permission_to_send": c.permission,
            "opt_in_source": "Account"}, "update_source": "Contact",
            "updated_at": c.updated.strftime("%Y-%m-%dT%H:%M:%SZ")}
        out.update({k: v for k, v in c.top.items() if v is not None})
        if c.deleted:
            out["deleted_at"] = "2026-01-01T00:00:00Z"
        if "custom_fields" in include:
            out["custom_fields"] = [
                {"custom_field_id": k, "value": v}
                for k, v in c.custom.items()]
        if "list_memberships" in include:
            out["list_memberships"] = list(c.lists)
        return out

    def get_contacts(self, call):
        self.query(call, "email", "status", "include", "limit",
                   "updated_after", "cursor")
        query = call.query
        if "cursor" in query:
            query = json.loads(base64.urlsafe_b64decode(query["cursor"]))
        if query.get("status") != "all":
            raise self.violation(call, "not all states")
        if not 1 <= int(query.get("limit", 50)) <= 500:
            raise self.violation(call, "limit")
        include = query.get("include", "").split(",")
        for name in include:
            if name not in ("custom_fields", "list_memberships", "taggings",
                            "phone_numbers", "street_addresses", "notes", ""):
                raise self.violation(call, "include %r" % name)
        rows = list(self.contacts.values())
        if "email" in query:
            if " " in query["email"]:
                raise self.violation(call, "+ is not encoded")
            rows = [c for c in rows
                    if c.email.lower() == query["email"].lower()]
        if "updated_after" in query:
            at = datetime.datetime.strptime(
                query["updated_after"], "%Y-%m-%dT%H:%M:%SZ").replace(
                    tzinfo=datetime.timezone.utc)
            rows = [c for c in rows if c.updated >= at]
        first = int(query.get("from", 0))
        size = min(self.page, int(query.get("limit", 50)))
        answer = {"contacts": [self.contact_json(c, include)
                               for c in rows[first:first + size]]}
        if first + size < len(rows):
            cursor = base64.urlsafe_b64encode(json.dumps(
                dict(query, **{"from": first + size})).encode()).decode()
            answer["_links"] = {"next": {
                "href": "/v3/contacts?cursor=" + cursor}}
        return 200, answer

    def custom_of(self, call, rows):
        out = {}
        for row in rows:
            self.check(call, row, {"custom_field_id": (str, True),
                                   "value": (str, True)}, "custom_fields[]")
            self.check_value(call, row["custom_field_id"], row["value"])
            if row["custom_field_id"] in out:
                raise self.violation(call, "a field twice")
            out[row["custom_field_id"]] = row["value"]
        if len(out) > 50:
            raise self.violation(call, "%d custom fields" % len(out))
        return out

    def check_value(self, call, number, value):
        field = self.fields.get(number)
        if not field:
            raise self.violation(call, "no field %r" % number)
        if not 1 <= len(value) <= 255:
            raise self.violation(call, "a value of %d" % len(value))
        if field["type"] == "date" and not re.fullmatch(
                r"\d{4}-\d\d-\d\d", value):
            raise self.violation(call, "a date %r" % value)

    def refused(self, email):
        if email.lower() in self.refuse:
            raise self.wrong(400, self.refuse[email.lower()])

    WRITE = dict({k: (str, int) for k in TOP}, email_address=(dict, True),
                 custom_fields=list, list_memberships=list, taggings=list,
                 phone_numbers=list, street_addresses=list, notes=list)

    def put_contact(self, call, number):
        body = self.require_json(
            call, dict(self.WRITE, update_source=(str, True)))
        email = body["email_address"]
        self.check(call, email, {"address": (str, True),
                                 "permission_to_send": str}, "email_address")
        if body["update_source"] != "Account":
            raise self.violation(call, "an update by the contact")
        for name in ("list_memberships", "taggings"):
            if name in body:
                raise self.violation(call, "%s for a known one" % name)
        c = next((x for x in self.contacts.values() if x.id == number), None)
        if not c:
            raise self.wrong(404, "no such contact")
        if c.deleted:
            raise self.violation(call, "a deleted contact is revived")
        permission = email.get("permission_to_send", c.permission)
        if permission != c.permission:
            raise self.violation(call, "permission %r" % permission)
        self.refused(email["address"])
        other = self.contacts.get(email["address"].lower())
        if other and other is not c:
            raise self.wrong(409, "the address exists", "contacts.api.conflict")
        custom = self.custom_of(call, body.get("custom_fields", ()))
        del self.contacts[c.email.lower()]
        c.email = email["address"]
        self.contacts[c.email.lower()] = c
        c.top = {k: body.get(k) for k in TOP}
        if "custom_fields" in body:
            c.custom = custom
        c.touch()
        return 200, self.contact_json(c, ("custom_fields",))

    def post_contact(self, call):
        body = self.require_json(
            call, dict(self.WRITE, create_source=(str, True)))
        email = body["email_address"]
        self.check(call, email, {"address": (str, True),
                                 "permission_to_send": (str, True)},
                   "email_address")
        if body["create_source"] not in ("Account", "Contact"):
            raise self.violation(call, "create_source")
        if email["permission_to_send"] not in ("implicit", "unsubscribed"):
            raise self.violation(
                call, "permission %r" % email["permission_to_send"])
        if email["address"].lower() in self.contacts:
            raise self.wrong(409, "exists", "contacts.api.conflict")
        self.refused(email["address"])
        lists = body.get("list_memberships", [])
        if any(x != LIST for x in lists):
            raise self.violation(call, "a list %r" % lists)
        c = self.put(email["address"], lists=lists,
                     permission=email["permission_to_send"],
                     custom=self.custom_of(
                         call, body.get("custom_fields", ())),
                     **{k: body.get(k) for k in TOP})
        c.new = True
        return 201, self.contact_json(c, ("custom_fields",))

    # ---- many -----------------------------------------------------------

    def row_of(self, call, row, lists):
        if not isinstance(row.get("email"), str):
            raise self.violation(call, "a row without an address")
        names = {f["name"]: k for k, f in self.fields.items()}
        custom = {}
        for key, value in row.items():
            if key in ("email", "first_name", "last_name"):
                continue
            if not key.startswith("cf:") or key[3:] not in names:
                raise self.violation(call, "a column %r" % key)
            self.check_value(call, names[key[3:]], value)
            custom[names[key[3:]]] = value
        if len(custom) > 25:
            raise self.violation(call, "%d custom fields" % len(custom))
        c = self.contacts.get(row["email"].lower())
        if c and not set(lists) <= set(c.lists) and \
                c.permission != "unsubscribed":
            raise self.violation(call, "a list for a known contact")
        if c and c.deleted:
            raise self.violation(call, "a deleted contact is revived")
        return custom

    def post_import(self, call):
        body = self.require_json(call, {"import_data": (list, True),
                                        "list_ids": (list, True)})
        rows = body["import_data"]
        if not 1 <= len(rows) <= 40000 or body["list_ids"] != [LIST]:
            raise self.violation(call, "%d rows for %r" % (
                len(rows), body["list_ids"]))
        if len(call.body) > 3500000:
            raise self.violation(call, "a body of %d bytes" % len(call.body))
        emails = [r["email"].lower() for r in rows]
        if len(set(emails)) != len(emails):
            raise self.violation(call, "an address twice")
        parsed = [self.row_of(call, r, body["list_ids"]) for r in rows]
        for e in emails:
            self.refused(e)
        self.next["activity"] += 1
        number = "a0000000-%d" % self.next["activity"]
        self.activities[number] = {"polls": self.polls,
                                   "work": (rows, parsed, body["list_ids"])}
        return 201, {"activity_id": number, "state": "initialized",
                     "_links": {"self": {"href": "/v3/activities/" + number}}}

    def work(self, activity):
        rows, parsed, lists = activity.pop("work", ((), (), ()))
        activity.setdefault("left_out", 0)
        for row, custom in zip(rows, parsed):
            c = self.contacts.get(row["email"].lower())
            if not c:
                c = self.put(row["email"], lists=lists)
                c.new = True
            elif c.permission == "unsubscribed":
                activity["left_out"] += 1
            else:
                c.lists += [x for x in lists if x not in c.lists]
            for name in ("first_name", "last_name"):
                if name in row:
                    c.top[name] = row[name]
            c.custom.update(custom)
            c.touch()

    def get_activity(self, call, number):
        activity = self.activities.get(number)
        if not activity:
            raise self.wrong(404, "no such activity")
        state = "processing"
        if activity["polls"] > 0:
            activity["polls"] -= 1
        else:
            state = self.state
        if state == "completed":
            self.work(activity)
        return 200, {
            "activity_id": number, "state": state, "activity_errors": [],
            "status": {"items_total_count": 0, "person_count": 0,
                       "error_count": self.errors,
                       "correctable_count": 0,
                       "cannot_add_to_list_count":
                       activity.get("left_out", 0)}}

    routes = [
        ("GET contact_custom_fields", get_fields),
        ("POST contact_custom_fields", post_field),
        ("GET contact_lists/([^/]+)", get_list),
        ("GET contacts", get_contacts), ("POST contacts", post_contact),
        ("PUT contacts/([^/]+)", put_contact),
        ("POST activities/contacts_json_import", post_import),
        ("GET activities/([^/]+)", get_activity)]


__all__ = ["ConstantContact", "CLIENT", "SECRET", "LIST", "token"]
