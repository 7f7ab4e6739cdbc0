/* A provider's account: its budgets, connections and tokens over all nodes. */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include <openssl/evp.h>

#include "base/buf.h"
#include "base/log.h"
#include "engine/contact_internal.h"
#include "engine/site_prepare.h"
#include "sql/buckets.h"
#include "sql/leases.h"

#define SLOT_RETRY_MS 1000
/* Of a budget at most so much is taken at once. */
#define SLICE_PERCENT 5
#define TOKENS_LEASE_MS 60000
/* Others hold the tokens: a refresh is one request. */
#define TOKENS_TRIES 50
#define TOKENS_WAIT_MS 200
#define WAIT_MAX_MS 1000
/* A provider that names no time: a wrong key is put right by somebody. */
#define CONFIG_REST_S 300
#define THROTTLE_REST_S 60

bool
contact_account_is_php(const struct contact_account *a)
{
	return strcmp(a->integration->provider, "php") == 0;
}

/* ---- budgets ------------------------------------------------------------ */

static void
budget_name(
    const struct contact_account *a, enum esp_budget which, char out[64])
{
	static const char *const words[] = {
		[ESP_BUDGET_CALL] = "call",
		[ESP_BUDGET_BULK] = "bulk",
		[ESP_BUDGET_DAILY] = "daily",
	};

	(void)snprintf(out, 64, "%s/%s", a->name, words[which]);
}

static enum rc
budget_refill(struct contact_account *a, enum esp_budget which, mono_ms now,
    struct err *err)
{
	const struct work_env *env = a->run->env;
	uint32_t count = a->budget[which].count;
	uint32_t per_s = a->budget[which].per_s;
	uint32_t second = count / per_s, want = count * SLICE_PERCENT / 100;
	uint32_t got = 0;
	char name[64];
	enum rc rc;

	if (want < second)
		want = second;
	/* What is left of a second's share is not carried into the next. */
	if (want == 0 || per_s == 1)
		want = 1;
	budget_name(a, which, name);
	rc = bucket_take(
	    env->db, &env->scope, name, count, per_s, want, &got, err);
	if (rc != RC_OK)
		return rc;
	a->budget[which].left = got;
	/* The window's end by the server's clock is at most this far. */
	a->budget[which].until = now + (mono_ms)per_s * 1000;
	return got > 0 ? RC_OK : RC_NONE;
}

static enum rc
budget_take(struct contact_account *a, enum esp_budget which, int64_t *wait_ms)
{
	mono_ms now = clock_mono(a->run->env->clock);
	struct err err = ERR_INIT;
	enum rc rc = RC_OK;

	if (a->budget[which].count == 0)
		return RC_OK;
	/* Two windows' shares together would be over the provider's. */
	*wait_ms = a->budget[which].next_at - now;
	if (*wait_ms > 0)
		return RC_RETRY;
	if (now >= a->budget[which].until)
		a->budget[which].left = 0;
	if (a->budget[which].left == 0)
		rc = budget_refill(a, which, now, &err);
	if (rc == RC_OK) {
		a->budget[which].left--;
		if (a->budget[which].per_s == 1)
			a->budget[which].next_at =
			    now + 1000 / a->budget[which].count;
		return RC_OK;
	}
	if (rc != RC_NONE) {
		a->run->lost = true;
		return RC_NONE;
	}
	if (which == ESP_BUDGET_DAILY) {
		a->rests = true;
		a->rest_s = 3600;
		(void)snprintf(a->why, sizeof a->why,
		    "today's share of the provider's calls is used up");
		return RC_NONE;
	}
	*wait_ms = (int64_t)a->budget[which].per_s * 1000 / 10;
	if (*wait_ms > WAIT_MAX_MS)
		*wait_ms = WAIT_MAX_MS;
	if (*wait_ms < 20)
		*wait_ms = 20;
	return RC_RETRY;
}

static void
budgets_give_back(struct contact_account *a)
{
	const struct work_env *env = a->run->env;
	mono_ms now = clock_mono(env->clock);
	struct err err = ERR_INIT;
	enum rc rc = RC_OK;

	for (int k = 0; k < ESP_NBUDGETS && rc == RC_OK; k++) {
		char name[64];

		if (a->budget[k].left == 0 || now >= a->budget[k].until)
			continue;
		budget_name(a, (enum esp_budget)k, name);
		rc = bucket_give(env->db, &env->scope, name, a->budget[k].per_s,
		    a->budget[k].left, &err);
		a->budget[k].left = 0;
	}
}

/* ---- connections -------------------------------------------------------- */

/* How many all runs together may have open. */
static uint32_t
slots_share(const struct contact_account *a)
{
	const struct config_integration *c = a->integration->config;
	uint32_t share = a->esp->ops->limits.connections * c->share / 100;

	if (share > CONTACT_SLOTS_MAX)
		share = CONTACT_SLOTS_MAX;
	return share > 0 ? share : 1;
}

static void
slots_take(struct contact_account *a, uint32_t most, mono_ms now)
{
	const struct work_env *env = a->run->env;
	uint32_t share = slots_share(a);
	/* A batch leaves one to single readers. */
	uint32_t mine_at_most = a->run->batch && share > 1 ? share - 1 : share;
	struct err err = ERR_INIT;

	if (most > mine_at_most)
		most = mine_at_most;
	if (a->nslots >= most || now < a->slots_at)
		return;
	a->slots_at = now + SLOT_RETRY_MS;
	for (uint32_t k = 0; k < share && a->nslots < most; k++) {
		char name[56];
		uint64_t token;
		bool mine = false;
		enum rc rc;

		(void)snprintf(name, sizeof name, "%s/%" PRIu32, a->name, k);
		for (size_t i = 0; i < a->nslots; i++)
			mine = mine || strcmp(a->slots[i].name, name) == 0;
		if (mine)
			continue;
		rc = lease_take(env->db, &env->scope, name, a->holder,
		    contact_term_ms(a->run), &token, &err);
		if (rc == RC_OK) {
			memcpy(a->slots[a->nslots].name, name, sizeof name);
			a->slots[a->nslots++].token = token;
		} else if (rc != RC_NONE) {
			a->run->lost = true;
			return;
		}
	}
}

void
contact_account_renew(struct contact_account *a, uint32_t term_ms)
{
	const struct work_env *env = a->run->env;
	struct err err = ERR_INIT;

	for (size_t i = 0; i < a->nslots;) {
		if (lease_extend(env->db, &env->scope, a->slots[i].name,
			a->slots[i].token, term_ms, &err) == RC_OK)
			i++;
		else
			a->slots[i] = a->slots[--a->nslots];
	}
}

static void
slots_give_back(struct contact_account *a)
{
	const struct work_env *env = a->run->env;
	struct err err = ERR_INIT;

	for (size_t i = 0; i < a->nslots && !a->run->lost; i++)
		if (lease_give(env->db, &env->scope, a->slots[i].name,
			a->slots[i].token, &err) == RC_RETRY)
			a->run->lost = true;
	a->nslots = 0;
}

/* ---- what a provider asks (struct esp_host) ----------------------------- */

static enum rc
host_take(void *arg, enum esp_budget which, int64_t *wait_ms)
{
	struct contact_account *a = arg;

	*wait_ms = 0;
	if (a->rests || contact_run_over(a->run))
		return RC_NONE;
	if (a->nslots == 0) {
		slots_take(a, 1, clock_mono(a->run->env->clock));
		*wait_ms = SLOT_RETRY_MS / 4;
		if (a->nslots == 0)
			return a->run->lost ? RC_NONE : RC_RETRY;
	}
	return budget_take(a, which, wait_ms);
}

static uint32_t
host_connections(void *arg, uint32_t most)
{
	struct contact_account *a = arg;

	slots_take(a, most, clock_mono(a->run->env->clock));
	return a->nslots > 0 ? (uint32_t)a->nslots : 1;
}

static void
rest_name(const struct contact_account *a, char out[64])
{
	(void)snprintf(out, 64, "%s/rest", a->name);
}

static void
host_rest(void *arg, bool config, int64_t after_s, const char *why)
{
	struct contact_account *a = arg;
	const struct work_env *env = a->run->env;
	struct err err = ERR_INIT;
	uint64_t token;
	char name[64];

	if (a->rests)
		return;
	a->rests = true;
	(void)snprintf(a->why, sizeof a->why, "%s", why);
	if (after_s < 0)
		after_s = config ? CONFIG_REST_S : THROTTLE_REST_S;
	if (after_s < 1)
		after_s = 1;
	if (after_s > 86400)
		after_s = 86400;
	a->rest_s = after_s;
	rest_name(a, name);
	if (lease_take(env->db, &env->scope, name, a->holder,
		(uint32_t)after_s * 1000, &token, &err) == RC_RETRY)
		a->run->lost = true;
	log_event(config ? LOG_ERR : LOG_WARN, "contacts.rest",
	    LOG_S("site", env->site->name), LOG_U("blog", env->blog_id),
	    LOG_S("integration", a->integration->id),
	    LOG_S("provider", a->integration->provider),
	    LOG_I("seconds", after_s), LOG_S("why", why));
}

static enum rc
host_on_batch(void *arg, struct slice token, const size_t *members, size_t n,
    int64_t after_s, struct err *err)
{
	struct contact_account *a = arg;
	const struct work_env *env = a->run->env;
	struct contact_page *p = a->page;
	struct contact_batch b = { .integration = slice_str(a->integration->id),
		.provider = slice_str(a->integration->provider),
		.token = token,
		.submitted_at = clock_unix(env->clock) };
	enum rc rc;

	if (!p)
		return err_set(err, RC_REJECT, "no page is under way");
	b.ask_at = b.submitted_at + (after_s > 0 ? after_s : 1);
	b.members = arena_array(p->arena, n, sizeof *b.members);
	if (!b.members)
		return err_set(err, RC_REJECT, "a page is too large");
	for (; b.n < n; b.n++) {
		const struct contact_sync *item =
		    a->items[a->handed + members[b.n]];
		struct contact_member *m = &b.members[b.n];

		m->user_id = item->user_id;
		m->retry = item->retry;
		memcpy(m->payload, item->payload, sizeof m->payload);
		memcpy(m->address, item->address, sizeof m->address);
		if (!p->flags_at_once || item->nflags == 0)
			continue;
		m->flags =
		    arena_array(p->arena, item->nflags, sizeof *m->flags);
		if (!m->flags)
			return err_set(err, RC_REJECT, "a page is too large");
		memcpy(m->flags, item->flags, item->nflags * sizeof *m->flags);
		m->nflags = item->nflags;
	}
	rc = contact_batch_store(env->db, &env->scope, env->blog_id, &b, err);
	if (rc == RC_OK && a->run->report &&
	    b.ask_at < a->run->report->again_at)
		a->run->report->again_at = b.ask_at;
	if (rc == RC_OK)
		log_event(LOG_INFO, "contacts.handed_over",
		    LOG_S("site", env->site->name), LOG_U("blog", env->blog_id),
		    LOG_S("integration", a->integration->id),
		    LOG_U("batch", b.batch_id), LOG_U("readers", n));
	return rc;
}

/* ---- tokens that PHP shares --------------------------------------------- */

static enum rc
host_tokens_read(void *arg, struct arena *arena, const char **access,
    const char **refresh, struct err *err)
{
	struct contact_account *a = arg;
	const struct work_env *env = a->run->env;
	struct db_rows *rows = NULL;
	char name[64];
	enum rc rc = RC_NONE;

	(void)snprintf(name, sizeof name, "%s/tokens", a->name);
	for (int i = 0; i < TOKENS_TRIES && rc == RC_NONE; i++) {
		if (i > 0)
			usleep(TOKENS_WAIT_MS * 1000);
		rc = lease_take(env->db, &env->scope, name, a->holder,
		    TOKENS_LEASE_MS, &a->tokens_lease, err);
	}
	*access = a->account.access_token;
	*refresh = a->account.refresh_token;
	if (rc != RC_OK || !a->integration->own_tokens)
		return rc;
	rc = db_select(env->db, &env->scope, SQL_NEWSPACK_TOKENS_READ,
	    SQL_NO_ARGS, &rows, err);
	while (rc == RC_OK && db_rows_next(rows)) {
		const char *text = arena_strdup(arena, db_text(rows, 1));
		struct slice option = db_text(rows, 0);

		if (slice_eq_str(option,
			"newspack_newsletters_constant_contact_api_"
			"access_token"))
			*access = text;
		else
			*refresh = text;
	}
	db_rows_free(rows);
	return rc;
}

static enum rc
tokens_by_php(struct contact_account *a, const char *access,
    const char *refresh, struct err *err)
{
	const struct php_option options[] = {
		{ SLICE_LIT("newspack_newsletters_constant_contact_api_"
			    "access_token"),
		    slice_str(access) },
		{ SLICE_LIT("newspack_newsletters_constant_contact_api_"
			    "refresh_token"),
		    slice_str(refresh) },
	};
	struct php_executor_opts opts;
	enum rc rc;

	rc = contact_php_enter(a->run, 10000, &opts, err);
	if (rc != RC_OK)
		return rc;
	rc = php_contacts_options(&opts, options, NELEMS(options), 30000, err);
	contact_php_leave(a->run);
	return rc;
}

/* The old refresh token is void from now on: kept first where a crash cannot
 * reach it, then told to the cache. */
static enum rc
host_tokens_write(
    void *arg, const char *access, const char *refresh, struct err *err)
{
	struct contact_account *a = arg;
	const struct work_env *env = a->run->env;
	struct err why = ERR_INIT;
	enum rc rc;

	if (!a->integration->own_tokens) {
		log_event(LOG_WARN, "contacts.tokens",
		    LOG_S("site", env->site->name),
		    LOG_S("integration", a->integration->id),
		    LOG_S("why", "tokens of the configuration cannot be "
				 "written back: use a long-lived refresh "
				 "token, or Newspack's"));
		return RC_OK;
	}
	rc = db_exec(env->db, &env->scope, SQL_NEWSPACK_TOKENS_WRITE,
	    SQL_ARGS(V_STR(access), V_STR(refresh)), NULL, err);
	if (rc == RC_OK && env->facts->object_cache &&
	    tokens_by_php(a, access, refresh, &why) != RC_OK)
		log_event(LOG_ERR, "contacts.tokens",
		    LOG_S("site", env->site->name),
		    LOG_S("integration", a->integration->id),
		    LOG_S("why", why.text),
		    LOG_S("do", "flush the object cache: it has the old "
				"tokens of Constant Contact"));
	return rc;
}

static void
host_tokens_release(void *arg)
{
	struct contact_account *a = arg;
	const struct work_env *env = a->run->env;
	struct err err = ERR_INIT;
	char name[64];

	(void)snprintf(name, sizeof name, "%s/tokens", a->name);
	if (a->tokens_lease && lease_give(env->db, &env->scope, name,
				   a->tokens_lease, &err) == RC_RETRY)
		a->run->lost = true;
	a->tokens_lease = 0;
}

/* ---- open and close ----------------------------------------------------- */

/* One account has one name on all nodes, and says nothing of its key. */
static void
name_account(struct contact_account *a)
{
	const struct newspack_integration *i = a->integration;
	unsigned char md[EVP_MAX_MD_SIZE];
	struct buf text = BUF_INIT(8192), hex = BUF_INIT(65);
	unsigned len = 0;

	buf_printf(&text, "%s|%s|%s", i->provider, i->api ? i->api : "",
	    i->key ? i->key : i->id);
	if (text.failed ||
	    !EVP_Digest(text.p, text.n, md, &len, EVP_sha256(), NULL))
		memset(md, 0, sizeof md);
	buf_put_hex(&hex, md, 12);
	(void)snprintf(a->name, sizeof a->name, "esp/%s", buf_str(&hex));
	buf_clear(&text);
	buf_clear(&hex);
}

static void
set_budgets(struct contact_account *a)
{
	const struct esp_limits *l = &a->esp->ops->limits;
	const struct config_integration *c = a->integration->config;

	for (int k = 0; k < ESP_NBUDGETS; k++) {
		uint64_t count = (uint64_t)l->budget[k].count * c->share / 100;

		if (l->budget[k].count > 0 && count == 0)
			count = 1;
		a->budget[k].count = (uint32_t)count;
		a->budget[k].per_s =
		    l->budget[k].per_s ? l->budget[k].per_s : 1;
	}
}

static void
copy_account(struct contact_account *a)
{
	const struct newspack_integration *i = a->integration;
	const struct config_integration *c = i->config;

	a->account = (struct esp_account){
		.api = i->api,
		.key = i->key,
		.secret = i->secret,
		.access_token = i->access_token,
		.refresh_token = i->refresh_token,
		.list = i->list,
		.status_if_new = i->status_if_new,
		.prefix = i->prefix,
		.create_fields = true,
		.loopback = c->private_address,
		.ca_file = c->ca_file,
	};
}

static enum rc
check_rest(struct contact_account *a, struct err *err)
{
	const struct work_env *env = a->run->env;
	int64_t ms = 0;
	char name[64];
	enum rc rc;

	rest_name(a, name);
	rc = lease_left(env->db, &env->scope, name, &ms, err);
	if (rc == RC_OK && ms > 0) {
		a->rests = true;
		a->rest_s = ms / 1000 + 1;
		(void)snprintf(a->why, sizeof a->why,
		    "the provider asked to wait %" PRId64 " s more",
		    ms / 1000 + 1);
	}
	return rc == RC_RETRY ? rc : RC_OK;
}

enum rc
contact_account_open(struct contact_account *a, struct contact_run *run,
    const struct newspack_integration *i, struct err *err)
{
	struct err why = ERR_INIT;
	struct esp_host host = { .clock = run->env->clock,
		.memories = run->env->memories,
		.arg = a,
		.take = host_take,
		.connections = host_connections,
		.rest = host_rest,
		.on_batch = host_on_batch,
		.tokens_read = host_tokens_read,
		.tokens_write = host_tokens_write,
		.tokens_release = host_tokens_release };
	esp_new_fn *make;

	*a = (struct contact_account){ .run = run, .integration = i };
	if (!i->set_up) {
		(void)snprintf(a->why, sizeof a->why, "%s", i->why);
		return RC_NONE;
	}
	if (contact_account_is_php(a))
		return RC_OK;
	if (getentropy(&a->holder, sizeof a->holder) != 0)
		a->holder = run->env->node_id;
	a->holder >>= 1;
	copy_account(a);
	make = esp_provider(i->provider);
	if (!make || make(&a->account, &host, &a->esp, &why) != RC_OK) {
		(void)snprintf(a->why, sizeof a->why, "%s",
		    make ? why.text : "there is no such provider");
		return RC_NONE;
	}
	name_account(a);
	set_budgets(a);
	return check_rest(a, err);
}

void
contact_account_close(struct contact_account *a)
{
	if (!a->esp)
		return;
	if (!a->run->lost)
		budgets_give_back(a);
	slots_give_back(a);
	a->esp->ops->free(a->esp);
	a->esp = NULL;
}
