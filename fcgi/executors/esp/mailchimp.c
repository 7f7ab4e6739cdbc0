/*
 * Mailchimp Marketing API 3.0.
 *
 * Contacts go by PUT of one member, singly or as the operations of a batch:
 * the only calls that tell a new contact's status (status_if_new) from a known
 * one's, which stays as it is. The call that takes 500 members of a list at
 * once is not used: it wants a status for each, and writes it to known members
 * too, or (update_existing=false) leaves them out, which is nearly everybody
 * in a sync.
 */
#include "executors/esp/mailchimp_private.h"

#include <ctype.h>
#include <string.h>

#include "base/xalloc.h"
#include "formats/md5.h"

#define BODY_MAX ((size_t)256 * 1024)

static struct mailchimp *
of(struct esp *esp)
{
	return (struct mailchimp *)(void *)esp;
}

/* ---- requests --------------------------------------------------------- */

struct esp_call
mailchimp_call(const struct mailchimp *m, const char *method, const char *url)
{
	return (struct esp_call){
		.method = method,
		.url = url,
		.headers = m->headers,
		.nheaders = strcmp(method, "GET") == 0 ? 1 : 2,
	};
}

void
mailchimp_config(struct mailchimp *m, const struct esp_call *call,
    struct slice why, struct arena *a)
{
	if (!m->stopped_by_config && !(call && call->class == ESP_CLASS_CONFIG))
		esp_http_rest(
		    m->http, true, -1, esp_printf(a, "%.*s", SLICE_FMT(why)));
	m->stopped_by_config = true;
}

enum rc
mailchimp_failed(struct mailchimp *m, const struct esp_call *call,
    struct arena *a, const char *what, struct err *err)
{
	struct mailchimp_verdict v;

	mailchimp_judge_call(m, call, a, &v);
	if (call->status == 404)
		v.words =
		    slice_str(esp_printf(a, "there is no audience %s: %.*s",
			m->list, SLICE_FMT(v.words)));
	if (v.config)
		mailchimp_config(m, call, v.words, a);
	return err_set(err,
	    v.config || call->class == ESP_CLASS_PERMANENT ? RC_REJECT
							   : RC_RETRY,
	    "Mailchimp, %s: %.*s", what, SLICE_FMT(v.words));
}

void
mailchimp_hash(struct slice email, char out[MAILCHIMP_HASH_LEN + 1])
{
	struct buf hex = BUF_INIT(MAILCHIMP_HASH_LEN);
	unsigned char digest[MD5_LEN];
	struct md5 m;

	md5_init(&m);
	for (size_t i = 0; i < email.n; i++) {
		char c = email.p[i];

		if (c >= 'A' && c <= 'Z')
			c = (char)(c - 'A' + 'a');
		md5_put(&m, slice_mem(&c, 1));
	}
	md5_end(&m, digest);
	buf_put_hex(&hex, digest, sizeof digest);
	(void)snprintf(out, MAILCHIMP_HASH_LEN + 1, "%s", buf_str(&hex));
	buf_clear(&hex);
}

static const char *
member_url(const struct mailchimp *m, struct slice email, const char *query,
    struct arena *a)
{
	char hash[MAILCHIMP_HASH_LEN + 1];

	mailchimp_hash(email, hash);
	return esp_printf(
	    a, "%s/lists/%s/members/%s?%s", m->base, m->list, hash, query);
}

/* ---- single members --------------------------------------------------- */

/* One contact's way through push. */
struct put {
	struct esp_contact *contact;
	bool under_previous; /* the member of its previous address */
	bool again;          /* once more, after what was changed */
	struct mailchimp_without without;
	struct buf body;
};

static bool
address_changed(const struct esp_contact *c)
{
	return c->previous_email.n > 0 &&
	       !slice_eq_nocase(c->previous_email, c->email);
}

/* What an answer that is none of a member's business means for it. */
static void
settle_failed(struct mailchimp *m, struct esp_contact *c,
    const struct esp_call *call, const struct mailchimp_verdict *v,
    struct arena *a)
{
	esp_http_settle(c, call, v->words, a);
	if (!v->config)
		return;
	c->outcome = ESP_OPEN;
	mailchimp_config(m, call, v->words, a);
}

static void
settle_put(struct mailchimp *m, struct put *p, const struct esp_call *call,
    struct arena *a)
{
	struct esp_contact *c = p->contact;
	struct mailchimp_verdict v;
	json_t *answer;

	p->again = false;
	if (call->class == ESP_CLASS_OK) {
		answer = esp_values_json(call->answer);
		c->outcome = answer ? ESP_DONE : ESP_RETRY;
		if (!answer)
			c->message = SLICE_LIT("the answer is not JSON");
		json_decref(answer);
		return;
	}
	mailchimp_judge_call(m, call, a, &v);
	if (call->class != ESP_CLASS_PERMANENT || v.config) {
		settle_failed(m, c, call, &v, a);
		return;
	}
	c->outcome = v.outcome;
	c->message = v.words;
	c->retry_after_s = v.retry_after_s;
	if (p->under_previous && v.known_already) {
		p->under_previous = false;
		p->again = true;
	} else if (v.refused.n > 0 && p->without.n == 0) {
		p->without = v.refused;
		p->again = true;
	}
}

static void
run_puts(struct mailchimp *m, struct put *puts, size_t n, struct arena *a)
{
	struct esp_call *calls = arena_array(a, n + 1, sizeof(struct esp_call));

	if (!calls)
		return;
	for (size_t i = 0; i < n; i++) {
		struct put *p = &puts[i];

		p->body = (struct buf)BUF_INIT(BODY_MAX);
		mailchimp_put_member(m, p->contact, &p->without, &p->body);
		calls[i] = mailchimp_call(m, "PUT",
		    member_url(m,
			p->under_previous ? p->contact->previous_email
					  : p->contact->email,
			"skip_merge_validation=true", a));
		calls[i].body = buf_slice(&p->body);
	}
	esp_http_run(m->http, calls, n, a);
	for (size_t i = 0; i < n; i++) {
		settle_put(m, &puts[i], &calls[i], a);
		buf_clear(&puts[i].body);
	}
}

/*
 * Whose address changed is looked for under the old one: a member is moved,
 * with the status it has; making a second one would subscribe somebody anew
 * who had unsubscribed. Those that cannot be looked for now are settled.
 */
static void
find_previous(struct mailchimp *m, struct put *puts, size_t n, struct arena *a)
{
	for (size_t i = 0; i < n; i++) {
		struct esp_contact *c = puts[i].contact;
		struct mailchimp_verdict v;
		struct esp_call call;

		if (!address_changed(c))
			continue;
		call = mailchimp_call(m, "GET",
		    member_url(m, c->previous_email, "fields=id,status", a));
		esp_http_one(m->http, &call, a);
		puts[i].under_previous = call.class == ESP_CLASS_OK;
		if (call.class == ESP_CLASS_OK || call.status == 404)
			continue;
		mailchimp_judge_call(m, &call, a, &v);
		settle_failed(m, c, &call, &v, a);
		puts[i].contact = NULL;
	}
}

/* Keep those that go on; how many. */
static size_t
keep(struct put *puts, size_t n, bool all)
{
	size_t kept = 0;

	for (size_t i = 0; i < n; i++)
		if (puts[i].contact && (all || puts[i].again))
			puts[kept++] = puts[i];
	return kept;
}

static void
push_singly(struct mailchimp *m, struct esp_contact *contacts,
    const size_t *members, size_t n, struct arena *a)
{
	struct put *puts = arena_array(a, n + 1, sizeof(struct put));

	if (!puts)
		return;
	for (size_t i = 0; i < n; i++)
		puts[i].contact = &contacts[members[i]];
	find_previous(m, puts, n, a);
	n = keep(puts, n, true);
	run_puts(m, puts, n, a);
	/* Twice at most: for the other address, and without a field. */
	for (int round = 0; round < 2 && n > 0; round++) {
		n = keep(puts, n, false);
		run_puts(m, puts, n, a);
	}
}

/* ---- push ------------------------------------------------------------- */

/* Whoever is open was not reached: why. */
static enum rc
push_end(const struct mailchimp *m, const struct esp_contact *contacts,
    size_t n, struct err *err)
{
	for (size_t i = 0; i < n; i++) {
		struct slice why = contacts[i].message;

		if (contacts[i].outcome != ESP_OPEN)
			continue;
		if (why.n == 0)
			why = SLICE_LIT("the account rests");
		return err_set(err, m->stopped_by_config ? RC_REJECT : RC_RETRY,
		    "Mailchimp: %.*s", SLICE_FMT(why));
	}
	return RC_OK;
}

static enum rc
push(struct esp *esp, struct esp_contact *contacts, size_t n, struct arena *a,
    struct err *err)
{
	struct mailchimp *m = of(esp);
	size_t *members = arena_array(a, n + 1, sizeof(size_t));
	size_t *moved = arena_array(a, n + 1, sizeof(size_t));
	size_t nmembers = 0, nmoved = 0;
	enum rc rc;

	m->stopped_by_config = false;
	esp_contacts_begin(contacts, n);
	if (!members || !moved)
		return err_set(err, RC_RETRY, "no room for %zu contacts", n);
	for (size_t i = 0; i < n; i++) {
		if (contacts[i].outcome != ESP_OPEN)
			continue;
		if (address_changed(&contacts[i]))
			moved[nmoved++] = i;
		else
			members[nmembers++] = i;
	}
	if (nmembers + nmoved == 0)
		return RC_OK;
	rc = mailchimp_fields_ensure(m, contacts, n, a, err);
	if (rc != RC_OK)
		return rc;
	if (nmembers < MAILCHIMP_BATCH_FROM)
		push_singly(m, contacts, members, nmembers, a);
	else
		mailchimp_batch_push(m, contacts, members, nmembers, a);
	push_singly(m, contacts, moved, nmoved, a);
	return push_end(m, contacts, n, err);
}

/* ---- pull ------------------------------------------------------------- */

static void
take_pulled(struct esp_contact *c, const json_t *member,
    const struct slice *keys, size_t nkeys, struct arena *a)
{
	const json_t *fields = json_object_get(member, "merge_fields");

	c->pulled = arena_array(a, nkeys + 1, sizeof(struct esp_field));
	for (size_t i = 0; c->pulled && i < nkeys; i++) {
		const json_t *v =
		    json_object_getn(fields, keys[i].p, keys[i].n);
		struct slice value = SLICE_NONE;

		if (v)
			value = esp_values_dump(v, a);
		if (!value.p)
			continue;
		c->pulled[c->npulled++] =
		    (struct esp_field){ .name = keys[i], .value = value };
	}
}

static void
settle_pull(struct mailchimp *m, struct esp_contact *c,
    const struct esp_call *call, const struct slice *keys, size_t nkeys,
    struct arena *a)
{
	struct mailchimp_verdict v;
	json_t *answer;

	if (call->status == 404) {
		c->outcome = ESP_DONE;
		c->strange = true;
		return;
	}
	if (call->class == ESP_CLASS_OK) {
		answer = esp_values_json(call->answer);
		c->outcome = answer ? ESP_DONE : ESP_RETRY;
		if (answer)
			take_pulled(c, answer, keys, nkeys, a);
		else
			c->message = SLICE_LIT("the answer is not JSON");
		json_decref(answer);
		return;
	}
	mailchimp_judge_call(m, call, a, &v);
	settle_failed(m, c, call, &v, a);
}

static enum rc
pull(struct esp *esp, struct esp_contact *contacts, size_t n,
    const struct slice *keys, size_t nkeys, struct arena *a, struct err *err)
{
	struct mailchimp *m = of(esp);
	struct esp_call *calls = arena_array(a, n + 1, sizeof(struct esp_call));
	size_t *members = arena_array(a, n + 1, sizeof(size_t));
	size_t ncalls = 0;

	m->stopped_by_config = false;
	esp_contacts_begin(contacts, n);
	if (!calls || !members)
		return err_set(err, RC_RETRY, "no room for %zu contacts", n);
	for (size_t i = 0; i < n; i++) {
		if (contacts[i].outcome != ESP_OPEN)
			continue;
		members[ncalls] = i;
		calls[ncalls++] = mailchimp_call(m, "GET",
		    member_url(m, contacts[i].email,
			"fields=id,status,merge_fields", a));
	}
	esp_http_run(m->http, calls, ncalls, a);
	for (size_t i = 0; i < ncalls; i++)
		settle_pull(
		    m, &contacts[members[i]], &calls[i], keys, nkeys, a);
	return push_end(m, contacts, n, err);
}

/* ---- what is there ---------------------------------------------------- */

static enum rc
test(struct esp *esp, struct arena *a, struct slice *words, struct err *err)
{
	struct mailchimp *m = of(esp);
	struct esp_call call = mailchimp_call(m, "GET",
	    esp_printf(a,
		"%s/lists/%s?fields=id,name,stats.member_count,"
		"stats.merge_field_count",
		m->base, m->list));
	const json_t *stats;
	json_t *answer;

	m->stopped_by_config = false;
	esp_http_one(m->http, &call, a);
	if (call.class != ESP_CLASS_OK)
		return mailchimp_failed(m, &call, a, "the audience", err);
	answer = esp_values_json(call.answer);
	stats = json_object_get(answer, "stats");
	*words = slice_str(esp_printf(a, "audience \"%.*s\", %lld members",
	    SLICE_FMT(esp_values_text(answer, "name")),
	    (long long)json_integer_value(
		json_object_get(stats, "member_count"))));
	json_decref(answer);
	return RC_OK;
}

static enum rc
fields(struct esp *esp, struct arena *a, struct esp_field **out, size_t *n,
    struct err *err)
{
	struct mailchimp *m = of(esp);
	enum rc rc;

	m->stopped_by_config = false;
	*n = 0;
	rc = mailchimp_fields_read(m, a, err);
	if (rc != RC_OK)
		return rc;
	*out = arena_array(a, m->fields.n + 1, sizeof(struct esp_field));
	if (!*out)
		return err_set(err, RC_RETRY, "no room for the fields");
	for (size_t i = 0; i < m->fields.n; i++) {
		const struct esp_fields_row *row = &m->fields.rows[i];
		const char *name, *tag;

		if (!row->id[0])
			continue;
		name = arena_strdup(a, slice_str(row->name));
		tag = arena_strdup(a, slice_str(row->id));
		(*out)[(*n)++] = (struct esp_field){ .name = slice_str(name),
			.value = slice_str(tag) };
	}
	return RC_OK;
}

/* ---- life ------------------------------------------------------------- */

static void
mailchimp_free(struct esp *esp)
{
	struct mailchimp *m = of(esp);

	if (!m)
		return;
	esp_http_free(m->http);
	esp_fields_clear(&m->fields);
	free(m->base);
	free(m->auth);
	free(m->list);
	free(m);
}

static const struct esp_ops mailchimp_ops = {
	.name = "mailchimp",
	.limits = { .connections = 10 },
	.push = push,
	.pull = pull,
	.poll = mailchimp_poll,
	.test = test,
	.fields = fields,
	.free = mailchimp_free,
};

bool
mailchimp_is_status(struct slice status)
{
	static const char *const all[] = { "subscribed", "unsubscribed",
		"cleaned", "pending", "transactional" };

	for (size_t i = 0; i < NELEMS(all); i++)
		if (slice_eq_str(status, all[i]))
			return true;
	return false;
}

/* "us21" of "0123456789abcdef-us21": it becomes part of a host name. */
static struct slice
data_centre(const char *key)
{
	const char *dash = strrchr(key, '-');
	struct slice dc = slice_str(dash ? dash + 1 : NULL);

	for (size_t i = 0; i < dc.n; i++)
		if (!isalnum((unsigned char)dc.p[i]))
			return SLICE_LIT("");
	return dc.n <= 20 ? dc : SLICE_LIT("");
}

static char *
make_base(const struct esp_account *account)
{
	static const char version[] = "/3.0";
	struct buf url = BUF_INIT(2048);
	struct slice api = slice_str(account->api);

	if (api.n == 0) {
		buf_printf(&url, "https://%.*s.api.mailchimp.com",
		    SLICE_FMT(data_centre(account->key)));
		api = buf_slice(&url);
	} else {
		while (api.n > 0 && api.p[api.n - 1] == '/')
			api.n--;
		buf_put_slice(&url, api);
	}
	if (api.n < 4 || !slice_eq_str(slice_from(api, api.n - 4), version))
		buf_put_str(&url, version);
	return buf_take(&url);
}

static enum rc
check_account(const struct esp_account *account, struct err *err)
{
	if (!account->key || !account->key[0])
		return err_set(err, RC_REJECT, "key is not set");
	if (!account->api && data_centre(account->key).n == 0)
		return err_set(err, RC_REJECT,
		    "key does not end in its data centre (\"-us21\")");
	if (!account->list || !account->list[0])
		return err_set(err, RC_REJECT, "list is not set");
	if (account->status_if_new &&
	    !mailchimp_is_status(slice_str(account->status_if_new)))
		return err_set(err, RC_REJECT,
		    "status_if_new is \"%s\"; Mailchimp knows subscribed, "
		    "unsubscribed, cleaned, pending and transactional",
		    account->status_if_new);
	return RC_OK;
}

enum rc
esp_mailchimp_new(const struct esp_account *account,
    const struct esp_host *host, struct esp **out, struct err *err)
{
	struct arena a = ARENA_INIT((size_t)4096);
	struct mailchimp *m;
	enum rc rc = check_account(account, err);

	if (rc != RC_OK)
		return rc;
	m = xcalloc(1, sizeof(struct mailchimp));
	m->esp.ops = &mailchimp_ops;
	m->account = *account;
	m->host = *host;
	if (!m->host.clock)
		m->host.clock = &clock_system;
	/* On the list, but sent nothing that must be asked for. */
	if (!m->account.status_if_new)
		m->account.status_if_new = "transactional";
	m->base = make_base(account);
	m->auth = esp_basic_auth("wp-cron-fcgi", account->key);
	m->list = xstrndup(esp_urlencode(slice_str(account->list), &a));
	m->headers[0] = m->auth;
	m->headers[1] = "Content-Type: application/json";
	arena_clear(&a);
	rc = esp_http_new(
	    &(struct esp_http_opts){
		.host = &m->host,
		.limits = &mailchimp_ops.limits,
		.ca_file = account->ca_file,
	    },
	    &m->http, err);
	if (rc != RC_OK) {
		mailchimp_free(&m->esp);
		return rc;
	}
	*out = &m->esp;
	return RC_OK;
}
