#include "mails.h"

#include <inttypes.h>
#include <string.h>

#include "formats/mail_address.h"
#include "formats/seal.h"
#include "php_file.h"

#define ADDRESSES_MAX ((size_t)4 << 20)

/* ---- recipients --------------------------------------------------------- */

json_t *
mail_recipients(struct slice json)
{
	json_t *list = json_loadb(json.p ? json.p : "", json.n, 0, NULL);

	if (json_is_array(list))
		return list;
	json_decref(list);
	return json_array();
}

static const char *
member(const json_t *o, const char *name)
{
	const char *text = json_string_value(json_object_get(o, name));

	return text ? text : "";
}

bool
mail_same_address(const char *a, struct slice b)
{
	return slice_eq_nocase(slice_str(a), b);
}

static void
put_address(struct buf *out, struct slice address, bool plain)
{
	if (plain)
		buf_put_slice(out, address);
	else
		mail_address_put_masked(out, address);
}

static void
row_address(json_t *row, const char *name, struct slice address, bool plain)
{
	struct buf text = BUF_INIT(ADDRESSES_MAX);

	put_address(&text, address, plain);
	row_slice(row, name, slice_mem(buf_str(&text), text.n));
	buf_clear(&text);
}

/* A line for the table, a list for a program, and how many are where. */
static void
put_recipients(json_t *row, json_t *list, bool plain)
{
	struct buf line = BUF_INIT(ADDRESSES_MAX);
	json_t *shown = json_array(), *r;
	int64_t sent = 0, refused = 0;
	size_t i;

	json_array_foreach(list, i, r)
	{
		struct slice to = slice_str(member(r, "to"));
		json_t *one = json_object();

		if (i > 0)
			buf_put_str(&line, ", ");
		put_address(&line, to, plain);
		row_address(one, "to", to, plain);
		row_text(one, "state", member(r, "state"));
		row_int(one, "code",
		    json_integer_value(json_object_get(r, "code")));
		row_text(one, "words", member(r, "words"));
		(void)json_array_append_new(shown, one);
		sent += strcmp(member(r, "state"), "sent") == 0;
		refused += strcmp(member(r, "state"), "dead") == 0;
	}
	row_slice(row, "to", slice_mem(buf_str(&line), line.n));
	(void)json_object_set_new(row, "recipients", shown);
	row_int(row, "accepted", sent);
	row_int(row, "refused", refused);
	buf_clear(&line);
}

/* ---- a row -------------------------------------------------------------- */

static const char *
priority_name(uint64_t priority)
{
	return priority <= OUTBOX_HIGH     ? "high"
	       : priority <= OUTBOX_MEDIUM ? "medium"
					   : "low";
}

json_t *
mail_row(const struct db_rows *rows, bool plain)
{
	json_t *row = json_object();
	json_t *recipients = mail_recipients(db_text(rows, MAIL_RECIPIENTS));

	row_int(row, "id", db_i64(rows, MAIL_ID));
	row_slice(row, "state", db_text(rows, MAIL_STATE));
	row_text(row, "priority", priority_name(db_u64(rows, MAIL_PRIORITY)));
	row_time(row, "created", db_time(rows, MAIL_CREATED));
	put_recipients(row, recipients, plain);
	row_slice(row, "subject", db_text(rows, MAIL_SUBJECT));
	row_slice(row, "job", db_text(rows, MAIL_JOB));
	row_int(row, "ordinal", db_i64(rows, MAIL_ORDINAL));
	row_int(row, "tries", db_i64(rows, MAIL_TRIES));
	row_int(row, "unknown", db_i64(rows, MAIL_UNKNOWN));
	row_slice(row, "reply", db_text(rows, MAIL_REPLY));
	row_int(row, "blog_id", db_i64(rows, MAIL_BLOG));
	row_address(row, "sender", db_text(rows, MAIL_SENDER), plain);
	row_time(row, "not_before", db_time(rows, MAIL_NOT_BEFORE));
	row_time(row, "ended", db_time(rows, MAIL_ENDED));
	row_int(row, "size", db_i64(rows, MAIL_SIZE));
	row_bool(row, "sealed", db_u64(rows, MAIL_SEALED) != 0);
	row_slice(row, "message_id", db_text(rows, MAIL_MESSAGE_ID));
	/* Its bytes may have left more than once. */
	row_bool(row, "maybe_twice", db_u64(rows, MAIL_UNKNOWN) > 0);
	json_decref(recipients);
	return row;
}

/* ---- its bytes ---------------------------------------------------------- */

static enum rc
read_key(
    const struct place *p, unsigned char key[SEAL_KEY_LEN], struct err *err)
{
	const char *path = p->site->config->outbox_key_file;
	struct buf text = BUF_INIT(4096);
	enum rc rc;

	if (!path)
		return err_set(err, RC_REJECT,
		    "the mail is sealed, and outbox_key_file is not set");
	rc = php_file_bytes(path, &text, err);
	if (rc == RC_OK)
		rc = seal_key_read(buf_slice(&text), key, err);
	buf_clear(&text);
	return rc;
}

static enum rc
count_chunks(const struct place *p, const struct outbox_mail *m, uint64_t *n,
    struct err *err)
{
	struct db_rows *rows = NULL;
	enum rc rc = db_select(p->db, &p->scope, SQL_OUTBOX_CTL_CHUNK_COUNT,
	    SQL_ARGS(V_U64(m->blog_id), V_U64(m->mail_id)), &rows, err);

	*n = rc == RC_OK && db_rows_next(rows) ? db_u64(rows, 0) : 0;
	db_rows_free(rows);
	if (rc == RC_OK && *n == 0)
		return err_set(err, RC_NONE, "its bytes are gone");
	return rc;
}

enum rc
mail_body(const struct place *p, const struct db_rows *rows, struct buf *out,
    struct err *err)
{
	const struct outbox_mail m = {
		.blog_id = (uint32_t)db_u64(rows, MAIL_BLOG),
		.mail_id = db_u64(rows, MAIL_ID),
		.job = db_text(rows, MAIL_JOB),
		.ordinal = (unsigned)db_u64(rows, MAIL_ORDINAL),
		.size = db_u64(rows, MAIL_SIZE),
		.sealed = db_u64(rows, MAIL_SEALED) != 0,
	};
	unsigned char key[SEAL_KEY_LEN] = { 0 };
	uint64_t n = 0;
	enum rc rc = RC_OK;

	if (m.sealed)
		rc = read_key(p, key, err);
	if (rc == RC_OK)
		rc = count_chunks(p, &m, &n, err);
	for (uint64_t i = 0; i < n && rc == RC_OK; i++) {
		struct buf chunk = BUF_INIT(2 * OUTBOX_CHUNK);

		rc = outbox_chunk(p->db, &p->scope, &m, (uint32_t)i,
		    m.sealed ? key : NULL, &chunk, err);
		buf_put_slice(out, buf_slice(&chunk));
		buf_clear(&chunk);
	}
	explicit_bzero(key, sizeof key);
	if (rc == RC_OK && out->failed)
		return err_set(err, RC_REJECT, "the mail is too large");
	return rc;
}

/* ---- sending again, forgetting ------------------------------------------ */

struct change {
	struct place *place;
	uint32_t blog_id;
	uint64_t mail_id;
	bool of_message;
	struct slice address; /* forget */
	bool whole;
};

/* The locked row's state and recipients. */
static enum rc
lock_mail(struct db *db, const struct change *ch, char state[16], bool *claimed,
    json_t **recipients, struct err *err)
{
	struct db_rows *rows = NULL;
	enum rc rc = db_select(db, &ch->place->scope, SQL_OUTBOX_CTL_LOCK,
	    SQL_ARGS(V_U64(ch->blog_id), V_U64(ch->mail_id)), &rows, err);

	*recipients = NULL;
	if (rc == RC_OK && !db_rows_next(rows))
		rc = err_set(
		    err, RC_NONE, "there is no mail %" PRIu64, ch->mail_id);
	if (rc == RC_OK) {
		(void)snprintf(state, 16, "%.*s", SLICE_FMT(db_text(rows, 0)));
		*claimed = strcmp(state, "sending") == 0 || db_u64(rows, 2) > 0;
		*recipients = mail_recipients(db_text(rows, 3));
	}
	db_rows_free(rows);
	return rc;
}

/* Those who were refused are asked for again; how many that leaves. */
static size_t
reopen(json_t *recipients)
{
	size_t i, open = 0;
	json_t *r;

	json_array_foreach(recipients, i, r)
	{
		if (strcmp(member(r, "state"), "sent") == 0)
			continue;
		row_text(r, "state", "open");
		row_int(r, "code", 0);
		row_text(r, "words", "");
		open++;
	}
	return open;
}

static enum rc
write_recipients(struct db *db, const struct change *ch, enum sql_id statement,
    const json_t *recipients, struct err *err)
{
	char *text = json_dumps(recipients, JSON_COMPACT);
	enum rc rc;

	if (!text)
		return err_set(err, RC_RETRY, "no memory");
	rc = db_exec(db, &ch->place->scope, statement,
	    SQL_ARGS(V_BYTES(slice_str(text)), V_U64(ch->blog_id),
		V_U64(ch->mail_id)),
	    NULL, err);
	free(text);
	return rc;
}

static enum rc
revive_body(struct db *db, void *arg, struct err *err)
{
	const struct change *ch = arg;
	const struct outbox_mail m = { .blog_id = ch->blog_id,
		.mail_id = ch->mail_id };
	json_t *recipients = NULL;
	char state[16];
	uint64_t chunks;
	bool claimed;
	enum rc rc = lock_mail(db, ch, state, &claimed, &recipients, err);

	if (rc == RC_OK && strcmp(state, "dead") != 0 &&
	    strcmp(state, "held") != 0)
		rc = err_set(err, RC_NONE,
		    "mail %" PRIu64 " is %s; only a dead or held one is sent "
		    "again",
		    ch->mail_id, state);
	if (rc == RC_OK && ch->of_message && strcmp(state, "dead") == 0)
		rc = err_set(err, RC_NONE,
		    "it is a message's, which has failed with it: retry the "
		    "letter of the message");
	if (rc == RC_OK)
		rc = count_chunks(ch->place, &m, &chunks, err);
	if (rc == RC_OK && reopen(recipients) == 0)
		rc = err_set(err, RC_NONE, "every recipient has it");
	if (rc == RC_OK)
		rc = write_recipients(
		    db, ch, SQL_OUTBOX_CTL_REVIVE, recipients, err);
	json_decref(recipients);
	return rc;
}

enum rc
mail_revive(struct place *p, uint32_t blog_id, uint64_t mail_id,
    bool of_message, struct err *err)
{
	struct change ch = { .place = p,
		.blog_id = blog_id,
		.mail_id = mail_id,
		.of_message = of_message };

	return db_transact(p->db, revive_body, &ch, err);
}

static enum rc
delete_mail(struct db *db, const struct change *ch, struct err *err)
{
	static const enum sql_id parts[] = { SQL_OUTBOX_CTL_DELETE_CHUNKS,
		SQL_OUTBOX_CTL_DELETE_LETTER, SQL_OUTBOX_CTL_DELETE };
	enum rc rc = RC_OK;

	for (size_t i = 0; i < NELEMS(parts) && rc == RC_OK; i++)
		rc = db_exec(db, &ch->place->scope, parts[i],
		    SQL_ARGS(V_U64(ch->blog_id), V_U64(ch->mail_id)), NULL,
		    err);
	return rc;
}

/* Takes the person out of the list; how many others wait still. */
static size_t
leave_out(json_t *recipients, struct slice address)
{
	size_t i = 0, open = 0;

	while (i < json_array_size(recipients)) {
		const json_t *r = json_array_get(recipients, i);

		if (mail_same_address(member(r, "to"), address)) {
			(void)json_array_remove(recipients, i);
			continue;
		}
		open += strcmp(member(r, "state"), "open") == 0;
		i++;
	}
	return open;
}

static enum rc
forget_body(struct db *db, void *arg, struct err *err)
{
	struct change *ch = arg;
	json_t *recipients = NULL;
	char state[16];
	bool claimed;
	enum rc rc = lock_mail(db, ch, state, &claimed, &recipients, err);

	if (rc == RC_OK && claimed)
		rc = err_set(err, RC_NONE,
		    "mail %" PRIu64 " is being sent now; ask again",
		    ch->mail_id);
	if (rc != RC_OK)
		goto out;
	ch->whole =
	    leave_out(recipients, ch->address) == 0 ||
	    (strcmp(state, "ready") != 0 && strcmp(state, "later") != 0 &&
		strcmp(state, "held") != 0);
	rc = ch->whole ? delete_mail(db, ch, err)
		       : write_recipients(db, ch, SQL_OUTBOX_CTL_SET_RECIPIENTS,
			     recipients, err);
out:
	json_decref(recipients);
	return rc;
}

enum rc
mail_forget(struct place *p, uint32_t blog_id, uint64_t mail_id,
    struct slice address, bool *whole, struct err *err)
{
	struct change ch = { .place = p,
		.blog_id = blog_id,
		.mail_id = mail_id,
		.address = address };
	enum rc rc = db_transact(p->db, forget_body, &ch, err);

	*whole = ch.whole;
	return rc;
}
