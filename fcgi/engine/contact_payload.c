/* Native payloads, and what tells one payload from another. */
#include <stdlib.h>
#include <string.h>

#include <openssl/evp.h>
#include <openssl/hmac.h>

#include "base/buf.h"
#include "base/ceilings.h"
#include "engine/contact_internal.h"
#include "formats/php_serialize.h"
#include "formats/timezone.h"

#define PAYLOAD_BYTES ((size_t)1024 * 1024)

/* ---- the field map ------------------------------------------------------ */

static bool
has_prefix(const char *source, const char *prefix, struct slice *rest)
{
	struct slice s = slice_str(source);
	struct slice p = slice_str(prefix);

	*rest = slice_from(s, p.n);
	return slice_starts(s, p);
}

enum rc
contact_source_read(struct db *db, const struct sql_scope *scope,
    const struct config_integration *c, const uint64_t *ids, size_t n,
    struct arena *a, struct contact_source *out, struct err *err)
{
	struct contact_user *users = NULL;
	struct contact_meta *meta = NULL;
	struct slice *keys = arena_array(a, c->nfields + 1, sizeof *keys);
	size_t nkeys = 0;
	enum rc rc;

	*out = (struct contact_source){ 0 };
	if (!keys)
		return err_set(err, RC_REJECT, "the field map is too large");
	for (size_t i = 0; i < c->nfields; i++)
		if (has_prefix(c->fields[i].source, "meta:", &keys[nkeys]))
			nkeys++;
	rc =
	    contact_users_read(db, scope, ids, n, a, &users, &out->nusers, err);
	if (rc == RC_OK && nkeys > 0)
		rc = contact_meta_read(
		    db, scope, ids, n, keys, nkeys, a, &meta, &out->nmeta, err);
	out->users = users;
	out->meta = meta;
	return rc;
}

static int
user_cmp(const void *key, const void *row)
{
	uint64_t id = *(const uint64_t *)key;
	uint64_t other = ((const struct contact_user *)row)->id;

	return id < other ? -1 : id > other;
}

const struct contact_user *
contact_source_user(const struct contact_source *s, uint64_t id)
{
	if (s->nusers == 0)
		return NULL;
	return bsearch(&id, s->users, s->nusers, sizeof *s->users, user_cmp);
}

static struct slice
meta_of(const struct contact_source *s, uint64_t user_id, struct slice key)
{
	size_t lo = 0, hi = s->nmeta;

	while (lo < hi) {
		size_t mid = lo + (hi - lo) / 2;

		if (s->meta[mid].user_id < user_id)
			lo = mid + 1;
		else
			hi = mid;
	}
	for (; lo < s->nmeta && s->meta[lo].user_id == user_id; lo++)
		if (slice_eq(s->meta[lo].key, key))
			return s->meta[lo].value;
	return SLICE_NONE;
}

/* Y-m-d H:i:s, as the plugin writes dates. */
static struct slice
date_text(int64_t when, struct arena *a)
{
	char text[DATETIME_LEN + 1];

	if (when == INT64_MIN)
		return SLICE_LIT("");
	datetime_render(when, text);
	return arena_slice(a, slice_str(text));
}

static struct slice
number_text(uint64_t n, struct arena *a)
{
	struct buf text = BUF_INIT(24);
	struct slice s;

	buf_put_u64(&text, n);
	s = arena_slice(a, buf_slice(&text));
	buf_clear(&text);
	return s;
}

/* The first role, as the plugin's User_Role has it. */
static struct slice
first_role(struct slice capabilities, struct arena *a)
{
	struct php_serialize_value v;
	struct err err = ERR_INIT;

	if (capabilities.n == 0 ||
	    php_serialize_parse(
		capabilities, &PHP_SERIALIZE_LIMITS, a, &v, &err) != RC_OK ||
	    v.type != PHP_SERIALIZE_ARRAY)
		return SLICE_LIT("");
	for (size_t i = 0; i < v.nmembers; i++)
		if (!v.members[i].int_key)
			return v.members[i].key;
	return SLICE_LIT("");
}

static struct slice
value_of(const char *source, const struct contact_source *s,
    const struct contact_user *u, struct arena *a)
{
	struct slice rest;

	if (has_prefix(source, "meta:", &rest))
		return meta_of(s, u->id, rest);
	if (has_prefix(source, "text:", &rest))
		return rest;
	if (strcmp(source, "user:id") == 0)
		return number_text(u->id, a);
	if (strcmp(source, "user:email") == 0)
		return u->email;
	if (strcmp(source, "user:login") == 0)
		return u->login;
	if (strcmp(source, "user:name") == 0)
		return u->display_name;
	if (strcmp(source, "user:url") == 0)
		return u->url;
	if (strcmp(source, "user:registered") == 0)
		return date_text(u->registered, a);
	return first_role(u->capabilities, a);
}

static bool
is_listed(const struct config_list *list, struct slice label)
{
	for (size_t i = 0; i < list->n; i++)
		if (slice_glob(label, slice_str(list->items[i])))
			return true;
	return false;
}

bool
contact_native(const struct config_integration *c,
    const struct contact_source *s, uint64_t user_id, struct arena *a,
    struct esp_contact *out)
{
	const struct contact_user *u = contact_source_user(s, user_id);
	struct esp_field *fields;

	if (!u || u->email.n == 0)
		return false;
	fields = arena_array(a, c->nfields + 1, sizeof *fields);
	if (!fields)
		return false;
	*out = (struct esp_contact){ .user_id = user_id,
		.email = u->email,
		.name = u->display_name,
		.fields = fields,
		.retry_after_s = -1 };
	for (size_t i = 0; i < c->nfields; i++) {
		struct slice label = slice_str(c->fields[i].label);
		struct slice value;

		if (c->outgoing.n > 0 && !is_listed(&c->outgoing, label))
			continue;
		value = value_of(c->fields[i].source, s, u, a);
		if (!value.p)
			value = SLICE_LIT("");
		fields[out->nfields++] =
		    (struct esp_field){ .name = label, .value = value };
	}
	return true;
}

/* ---- fingerprints ------------------------------------------------------- */

/* Length first, so that no two payloads have one text. */
static void
put(struct buf *out, struct slice s)
{
	buf_put_u64(out, s.n);
	buf_put_char(out, ':');
	buf_put_slice(out, s);
}

static void
put_lower(struct buf *out, struct slice s)
{
	buf_put_u64(out, s.n);
	buf_put_char(out, ':');
	for (size_t i = 0; i < s.n; i++) {
		if (s.p[i] >= 'A' && s.p[i] <= 'Z')
			buf_put_char(
			    out, "abcdefghijklmnopqrstuvwxyz"[s.p[i] - 'A']);
		else
			buf_put_char(out, s.p[i]);
	}
}

static void
put_destination(struct buf *out, const struct newspack_integration *i)
{
	put(out, slice_str(i->id));
	put(out, slice_str(i->provider));
	put(out, slice_str(i->api));
	put(out, slice_str(i->list));
	put(out, slice_str(i->prefix));
	put(out, i->outgoing);
}

void
contact_map_digest(const struct newspack *n,
    const struct newspack_integration *i, char out[65])
{
	const struct config_integration *c = i->config;
	struct buf text = BUF_INIT(PAYLOAD_BYTES), hex = BUF_INIT(65);
	unsigned char md[EVP_MAX_MD_SIZE] = { 0 };
	unsigned len = 0;

	buf_put_char(&text, n->woocommerce ? 'w' : '-');
	buf_put_char(&text, n->legacy_schema ? 'l' : '1');
	put_destination(&text, i);
	for (size_t k = 0; k < c->nfields; k++) {
		put(&text, slice_str(c->fields[k].label));
		put(&text, slice_str(c->fields[k].source));
	}
	for (size_t k = 0; k < c->outgoing.n; k++)
		put(&text, slice_str(c->outgoing.items[k]));
	if (!text.failed)
		(void)EVP_Digest(text.p, text.n, md, &len, EVP_sha256(), NULL);
	buf_put_hex(&hex, md, 32);
	memcpy(out, buf_str(&hex), 65);
	buf_clear(&text);
	buf_clear(&hex);
}

static void
keyed_digest(const struct contact_run *run, const struct buf *text,
    unsigned char out[CONTACT_FINGERPRINT_LEN])
{
	unsigned char md[EVP_MAX_MD_SIZE] = { 0 };
	unsigned len = 0;

	/* What does not fit has the digest of nothing: it is always sent. */
	if (run->keyed && !text->failed)
		(void)HMAC(EVP_sha256(), run->key, sizeof run->key,
		    (const unsigned char *)text->p, text->n, md, &len);
	memcpy(out, md, CONTACT_FINGERPRINT_LEN);
}

void
contact_fingerprint(const struct contact_run *run,
    const struct newspack_integration *i, const struct esp_contact *c,
    unsigned char payload[CONTACT_FINGERPRINT_LEN],
    unsigned char address[CONTACT_FINGERPRINT_LEN])
{
	struct buf text = BUF_INIT(PAYLOAD_BYTES);

	put(&text, SLICE_LIT("address"));
	put_lower(&text, c->email);
	keyed_digest(run, &text, address);
	buf_reset(&text);
	put(&text, SLICE_LIT("payload"));
	put_destination(&text, i);
	put_lower(&text, c->email);
	put(&text, c->name);
	for (size_t k = 0; k < c->nfields; k++) {
		if (is_listed(&i->config->volatile_fields, c->fields[k].name))
			continue;
		put(&text, c->fields[k].name);
		put(&text, c->fields[k].value);
	}
	keyed_digest(run, &text, payload);
	buf_clear(&text);
}
