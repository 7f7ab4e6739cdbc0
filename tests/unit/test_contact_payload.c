#include <check.h>
#include <string.h>

#include "engine/contact_internal.h"

Suite *contact_payload_suite(void);

static struct config *
config_of(const char *integration)
{
	struct buf text = BUF_INIT(8192);
	struct err err = ERR_INIT;
	struct config *c = NULL;

	buf_printf(&text, "[site a]\nroot = /tmp\n[integration a/esp]\n%s",
	    integration);
	ck_assert_msg(
	    config_parse(buf_slice(&text), "f.conf", NULL, &c, &err) == RC_OK,
	    "%s", err.text);
	buf_clear(&text);
	return c;
}

static struct newspack_integration
integration_of(const struct config *c)
{
	return (struct newspack_integration){ .id = "esp",
		.provider = "mailchimp",
		.list = "list1",
		.prefix = "NP_",
		.config = config_integration(c, "a", SLICE_LIT("esp")) };
}

/* ---- fingerprints ------------------------------------------------------- */

struct prints {
	unsigned char payload[CONTACT_FINGERPRINT_LEN];
	unsigned char address[CONTACT_FINGERPRINT_LEN];
};

static struct prints
prints_of(const struct newspack_integration *i, const char *email,
    const char *label, const char *value)
{
	struct contact_run run = { .keyed = true, .key = { 1, 2, 3 } };
	struct esp_field field = { .name = slice_str(label),
		.value = slice_str(value) };
	struct esp_contact c = { .email = slice_str(email),
		.name = SLICE_LIT("A Name"),
		.fields = &field,
		.nfields = 1 };
	struct prints p;

	contact_fingerprint(&run, i, &c, p.payload, p.address);
	return p;
}

#define SAME(a, b, what) (memcmp((a).what, (b).what, sizeof(a).what) == 0)

START_TEST(a_changed_value_changes_the_payload_alone)
{
	struct config *c = config_of("");
	struct newspack_integration i = integration_of(c);
	struct prints a = prints_of(&i, "a@example.org", "NP_Town", "x");
	struct prints b = prints_of(&i, "a@example.org", "NP_Town", "y");

	ck_assert(!SAME(a, b, payload));
	ck_assert(SAME(a, b, address));
	config_unref(c);
}
END_TEST

START_TEST(what_is_volatile_changes_nothing)
{
	struct config *c = config_of("volatile = NP_Visits\n");
	struct newspack_integration i = integration_of(c);
	struct prints a = prints_of(&i, "a@example.org", "NP_Visits", "1");
	struct prints b = prints_of(&i, "a@example.org", "NP_Visits", "2");

	ck_assert(SAME(a, b, payload));
	config_unref(c);
}
END_TEST

START_TEST(last_active_is_volatile_without_a_setting)
{
	struct config *c = config_of("");
	struct newspack_integration i = integration_of(c);

	for (int k = 0; k < 2; k++) {
		const char *label = k ? "NP_Last_Active" : "NP_Last Active";
		struct prints a = prints_of(&i, "a@example.org", label, "1");
		struct prints b = prints_of(&i, "a@example.org", label, "2");

		ck_assert(SAME(a, b, payload));
	}
	config_unref(c);
}
END_TEST

START_TEST(another_destination_or_choice_of_fields_is_another_payload)
{
	struct config *c = config_of("");
	struct newspack_integration i = integration_of(c), j = i, k = i;
	struct prints a = prints_of(&i, "a@example.org", "NP_Town", "x");
	struct prints b, d;

	j.list = "list2";
	k.outgoing = SLICE_LIT("a:0:{}");
	b = prints_of(&j, "a@example.org", "NP_Town", "x");
	d = prints_of(&k, "a@example.org", "NP_Town", "x");
	ck_assert(!SAME(a, b, payload));
	ck_assert(!SAME(a, d, payload));
	ck_assert(!SAME(b, d, payload));
	config_unref(c);
}
END_TEST

START_TEST(the_case_of_an_address_is_no_change)
{
	struct config *c = config_of("");
	struct newspack_integration i = integration_of(c);
	struct prints a = prints_of(&i, "A@Example.org", "NP_Town", "x");
	struct prints b = prints_of(&i, "a@example.org", "NP_Town", "x");
	struct prints d = prints_of(&i, "b@example.org", "NP_Town", "x");

	ck_assert(SAME(a, b, payload) && SAME(a, b, address));
	ck_assert(!SAME(a, d, payload) && !SAME(a, d, address));
	config_unref(c);
}
END_TEST

START_TEST(bytes_that_move_from_label_to_value_are_a_change)
{
	struct config *c = config_of("");
	struct newspack_integration i = integration_of(c);
	struct prints a = prints_of(&i, "a@example.org", "NP_A", "Bx");
	struct prints b = prints_of(&i, "a@example.org", "NP_AB", "x");

	ck_assert(!SAME(a, b, payload));
	config_unref(c);
}
END_TEST

/* ---- native payloads ---------------------------------------------------- */

static const struct contact_user users[] = {
	{ .id = 3,
	    .login = { "ann", 3 },
	    .email = { "ann@example.org", 15 },
	    .display_name = { "Ann Lee", 7 },
	    .registered = 1700000000,
	    .capabilities = { "a:1:{s:10:\"subscriber\";b:1;}", 28 } },
	{ .id = 7, .login = { "bob", 3 } },
};
static const struct contact_meta meta[] = {
	{ 3, { "town", 4 }, { "Oslo", 4 } },
	{ 3, { "town", 4 }, { "Rome", 4 } },
};

START_TEST(a_contact_is_built_by_the_field_map)
{
	static const char *const values[] = { "3", "2023-11-14 22:13:20",
		"Oslo", "subscriber", "web site", "" };
	struct config *c = config_of(
	    "[fields a/esp]\nNP_Account = user:id\n"
	    "NP_Since = user:registered\nNP_Town = meta:town\n"
	    "NP_Role = role\nNP_Source = text:web site\nNP_No = meta:no\n");
	struct newspack_integration i = integration_of(c);
	struct contact_source s = { users, 2, meta, 2 };
	struct arena a = ARENA_INIT(65536);
	struct esp_contact out;

	ck_assert(contact_native(i.config, &s, 3, &a, &out));
	ck_assert(slice_eq_str(out.email, "ann@example.org"));
	ck_assert(slice_eq_str(out.name, "Ann Lee"));
	ck_assert_uint_eq(out.nfields, NELEMS(values));
	for (size_t k = 0; k < NELEMS(values); k++)
		ck_assert_msg(slice_eq_str(out.fields[k].value, values[k]),
		    "%zu: %.*s", k, SLICE_FMT(out.fields[k].value));
	arena_clear(&a);
	config_unref(c);
}
END_TEST

START_TEST(outgoing_chooses_of_the_map)
{
	struct config *c = config_of(
	    "outgoing = *_Town\n[fields a/esp]\nNP_Account = user:id\n"
	    "NP_Town = meta:town\n");
	struct newspack_integration i = integration_of(c);
	struct contact_source s = { users, 2, meta, 2 };
	struct arena a = ARENA_INIT(65536);
	struct esp_contact out;

	ck_assert(contact_native(i.config, &s, 3, &a, &out));
	ck_assert_uint_eq(out.nfields, 1);
	ck_assert(slice_eq_str(out.fields[0].name, "NP_Town"));
	arena_clear(&a);
	config_unref(c);
}
END_TEST

START_TEST(without_a_user_or_an_address_there_is_no_contact)
{
	struct config *c = config_of("[fields a/esp]\nNP_A = user:id\n");
	struct newspack_integration i = integration_of(c);
	struct contact_source s = { users, 2, meta, 2 };
	struct arena a = ARENA_INIT(65536);
	struct esp_contact out;

	ck_assert(!contact_native(i.config, &s, 5, &a, &out));
	ck_assert(!contact_native(i.config, &s, 7, &a, &out));
	arena_clear(&a);
	config_unref(c);
}
END_TEST

START_TEST(a_map_that_changes_has_to_be_compared_again)
{
	struct config *c = config_of("[fields a/esp]\nNP_A = user:id\n");
	struct config *d = config_of("[fields a/esp]\nNP_A = user:login\n");
	struct newspack_integration i = integration_of(c);
	struct newspack_integration j = integration_of(d);
	struct newspack n = { .legacy_schema = true };
	char one[65], same[65], other[65], shop[65];

	contact_map_digest(&n, &i, one);
	contact_map_digest(&n, &i, same);
	contact_map_digest(&n, &j, other);
	n.woocommerce = true;
	contact_map_digest(&n, &i, shop);
	ck_assert_str_ne(one, shop);
	ck_assert_uint_eq(strlen(one), 64);
	ck_assert_str_eq(one, same);
	ck_assert_str_ne(one, other);
	config_unref(c);
	config_unref(d);
}
END_TEST

/* ---- classes of words --------------------------------------------------- */

static const struct {
	const char *words;
	enum contact_class class;
} words_rows[] = {
	{ "a@b.c was permanently deleted and cannot be re-imported",
	    CONTACT_PERMANENT },
	{ "It LOOKS FAKE OR INVALID, please enter a real address",
	    CONTACT_PERMANENT },
	{ "Your merge fields were invalid.", CONTACT_PERMANENT },
	{ "Please provide a valid email address.", CONTACT_PERMANENT },
	{ "Contact email address is not valid.", CONTACT_PERMANENT },
	{ "API access has been disabled", CONTACT_PERMANENT_CONFIG },
	{ "402 Payment Required", CONTACT_PERMANENT_CONFIG },
	{ "Member Exists", CONTACT_BENIGN },
	{ "a@b.c is already a list member", CONTACT_BENIGN },
	{ "timed out; was permanently deleted", CONTACT_PERMANENT },
	{ "cURL error 28: Operation timed out", CONTACT_TRANSIENT },
	{ "", CONTACT_TRANSIENT },
};

START_TEST(words_have_the_class_that_newspack_gives_them)
{
	ck_assert_int_eq(contact_classify(slice_str(words_rows[_i].words)),
	    words_rows[_i].class);
}
END_TEST

Suite *
contact_payload_suite(void)
{
	Suite *s = suite_create("contact_payload");
	TCase *tc = tcase_create("contact_payload");

	tcase_add_test(tc, a_changed_value_changes_the_payload_alone);
	tcase_add_test(tc, what_is_volatile_changes_nothing);
	tcase_add_test(tc, last_active_is_volatile_without_a_setting);
	tcase_add_test(
	    tc, another_destination_or_choice_of_fields_is_another_payload);
	tcase_add_test(tc, the_case_of_an_address_is_no_change);
	tcase_add_test(tc, bytes_that_move_from_label_to_value_are_a_change);
	tcase_add_test(tc, a_contact_is_built_by_the_field_map);
	tcase_add_test(tc, outgoing_chooses_of_the_map);
	tcase_add_test(tc, without_a_user_or_an_address_there_is_no_contact);
	tcase_add_test(tc, a_map_that_changes_has_to_be_compared_again);
	tcase_add_loop_test(tc, words_have_the_class_that_newspack_gives_them,
	    0, NELEMS(words_rows));
	suite_add_tcase(s, tc);
	return s;
}
