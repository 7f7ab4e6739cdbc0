#include "base/ceilings.h"
#include "formats/cron_array_private.h"

/* Counts are bounded by the bytes, and nothing is stored for a member. */
const struct php_serialize_limits cron_limits = { CEILING_SERIALIZED_BYTES,
	CEILING_SERIALIZED_BYTES, CEILING_SERIALIZED_DEPTH };

struct renumbering {
	struct php_serialize_walk walk;
	struct buf *out;
	size_t copied; /* of the value */
	uint32_t from, to;
};

static void
renumber_one(void *ctx, size_t from, size_t to, uint64_t number)
{
	struct renumbering *r = ctx;

	buf_put(r->out, r->walk.in.p + r->copied, from - r->copied);
	buf_put_u64(r->out, number - r->from + r->to);
	r->copied = to;
}

enum rc
cron_renumber(struct slice value, uint32_t from, uint32_t to, struct buf *out,
    struct err *err)
{
	struct arena scratch = ARENA_INIT(CEILING_SERIALIZED_BYTES);
	struct renumbering r = { .out = out, .from = from, .to = to };
	struct php_serialize_value v;
	enum rc rc;

	php_serialize_walk_init(&r.walk, value, &cron_limits, &scratch, err);
	r.walk.nslots = from - 1;
	r.walk.on_reference = renumber_one;
	r.walk.ctx = &r;
	rc = php_serialize_walk_value(&r.walk, &v);
	arena_clear(&scratch);
	if (rc == RC_OK && r.walk.pos != value.n)
		rc = err_set(err, RC_REJECT, "bytes follow the value");
	if (rc != RC_OK)
		return rc;
	if (r.walk.lowest_reference < from)
		return RC_NONE;
	buf_put_slice(out, slice_from(value, r.copied));
	return RC_OK;
}

/* A copy of `*value`, which has the number `number` where it stands, that is
 * numbered from 1. */
static enum rc
detach(struct slice *value, uint32_t number, struct arena *a, struct err *err)
{
	struct buf out = BUF_INIT(CEILING_SERIALIZED_BYTES);
	char *copy = NULL;
	enum rc rc = cron_renumber(*value, number, 1, &out, err);

	if (rc == RC_OK) {
		copy = out.failed ? NULL : arena_strdup(a, buf_slice(&out));
		if (!copy)
			rc = err_set(err, RC_RETRY,
			    "no memory for an event of %zu bytes", value->n);
		*value = slice_mem(copy, out.n);
	}
	buf_clear(&out);
	return rc;
}

/* INF and NAN are true. */
static bool
is_true_float(struct slice digits)
{
	for (size_t i = 0; i < digits.n; i++) {
		char c = digits.p[i];

		if (c == 'e' || c == 'E')
			break;
		if ((c >= '1' && c <= '9') || c == 'I' || c == 'N')
			return true;
	}
	return false;
}

/* Whether PHP takes it for true. */
static bool
is_true(const struct php_serialize_value *v)
{
	switch (v->type) {
	case PHP_SERIALIZE_NULL:
		return false;
	case PHP_SERIALIZE_BOOL:
		return v->boolean;
	case PHP_SERIALIZE_INT:
		return v->integer != 0;
	case PHP_SERIALIZE_FLOAT:
		return is_true_float(v->text);
	case PHP_SERIALIZE_STRING:
		return v->text.n > 0 && !slice_eq_str(v->text, "0");
	case PHP_SERIALIZE_ARRAY:
		return !slice_starts(v->span, SLICE_LIT("a:0:"));
	case PHP_SERIALIZE_OBJECT:
	case PHP_SERIALIZE_CUSTOM:
	case PHP_SERIALIZE_ENUM:
	case PHP_SERIALIZE_OBJECT_AGAIN:
	case PHP_SERIALIZE_REFERENCE:
		break;
	}
	return true;
}

static int64_t
interval_of(const struct php_serialize_value *v)
{
	int64_t seconds = 0;

	if (v->type == PHP_SERIALIZE_INT)
		seconds = v->integer;
	else if ((v->type != PHP_SERIALIZE_STRING &&
		     v->type != PHP_SERIALIZE_FLOAT) ||
		 !cron_numeric(v->text, &seconds))
		return 0;
	return seconds > 0 ? seconds : 0;
}

/* What of an event is being read. */
struct reading {
	struct php_serialize_walk walk;
	uint32_t args_number;
	bool args_refs;
	struct cron_event *out;
};

static enum rc
read_member(struct reading *r)
{
	const size_t references = r->walk.nreferences;
	const size_t number = r->walk.nslots + 1;
	struct php_serialize_member m;
	struct php_serialize_value v;
	enum rc rc = php_serialize_walk_key(&r->walk, &m);

	if (rc == RC_OK)
		rc = php_serialize_walk_value(&r->walk, &v);
	if (rc != RC_OK)
		return rc;
	if (slice_eq_str(m.key, "schedule")) {
		r->out->recurrence = !is_true(&v) ? SLICE_NONE
				     : v.type == PHP_SERIALIZE_STRING ? v.text
								      : v.span;
	} else if (slice_eq_str(m.key, "args")) {
		r->out->args =
		    v.type == PHP_SERIALIZE_ARRAY ? v.span : SLICE_NONE;
		r->args_number = (uint32_t)number;
		r->args_refs = r->walk.nreferences > references;
	} else if (slice_eq_str(m.key, "interval")) {
		r->out->interval = interval_of(&v);
	}
	return RC_OK;
}

enum rc
cron_event_read(struct slice event, uint32_t number, struct arena *a,
    struct cron_event *out, struct err *err)
{
	struct reading r = { .out = out };
	uint64_t count;
	enum rc rc;

	php_serialize_walk_init(&r.walk, event, &cron_limits, a, err);
	r.walk.nslots = number - 1;
	out->span = event;
	out->args = SLICE_NONE;
	out->recurrence = SLICE_NONE;
	out->interval = 0;
	rc = php_serialize_walk_enter(&r.walk, &count);
	while (rc == RC_OK && count-- > 0)
		rc = read_member(&r);
	if (rc == RC_OK)
		rc = php_serialize_walk_leave(&r.walk);
	if (rc == RC_OK && r.walk.pos != event.n)
		rc = err_set(err, RC_REJECT, "bytes follow the event");
	if (rc == RC_OK && r.args_refs)
		rc = detach(&out->args, r.args_number, a, err);
	if (rc == RC_OK && r.walk.nreferences > 0)
		rc = detach(&out->span, number, a, err);
	return rc;
}

enum rc
cron_event_parse(struct slice event, struct arena *a, struct cron_event *out,
    struct err *err)
{
	enum rc rc;

	if (event.n > CEILING_SERIALIZED_BYTES)
		return err_set(err, RC_REJECT,
		    "an event of %zu bytes is over the limit of %zu", event.n,
		    CEILING_SERIALIZED_BYTES);
	rc = cron_event_read(event, 1, a, out, err);
	if (rc == RC_NONE)
		rc = err_set(err, RC_REJECT,
		    "a reference leads out of the event's arguments");
	return rc;
}

void
cron_event_render(struct buf *out, struct slice recurrence, struct slice args,
    int64_t interval)
{
	buf_put_str(out, recurrence.n ? "a:3:{" : "a:2:{");
	buf_put_str(out, "s:8:\"schedule\";");
	if (recurrence.n)
		php_serialize_put_string(out, recurrence);
	else
		buf_put_str(out, "b:0;");
	buf_put_str(out, "s:4:\"args\";");
	/* After the event and its schedule, the arguments are the third. */
	if (cron_renumber(args, 1, 3, out, NULL) != RC_OK)
		out->failed = true;
	if (recurrence.n) {
		buf_put_str(out, "s:8:\"interval\";");
		php_serialize_put_int(out, interval);
	}
	buf_put_char(out, '}');
}

int64_t
cron_next_run(int64_t timestamp, int64_t interval, int64_t now)
{
	const uint64_t step = (uint64_t)interval;
	uint64_t wait = step;

	if (timestamp < now)
		wait -= ((uint64_t)now - (uint64_t)timestamp) % step;
	return now > 0 && wait > (uint64_t)INT64_MAX - (uint64_t)now
		   ? INT64_MAX
		   : (int64_t)((uint64_t)now + wait);
}
