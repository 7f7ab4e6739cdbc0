#include "formats/php_serialize.h"

/* ZEND_HANDLE_NUMERIC; INT64_MIN stays a string there. */
bool
php_serialize_index(struct slice s, int64_t *out)
{
	struct slice digits = s.n && s.p[0] == '-' ? slice_from(s, 1) : s;
	int64_t index;

	if (digits.n == 0 || digits.p[0] < '0' || digits.p[0] > '9' ||
	    (digits.p[0] == '0' && s.n > 1) || !slice_i64(s, &index) ||
	    index == INT64_MIN)
		return false;
	*out = index;
	return true;
}

const struct php_serialize_member *
php_serialize_find_int(const struct php_serialize_value *v, int64_t index)
{
	for (size_t i = v->nmembers; i-- > 0;)
		if (v->members[i].int_key && v->members[i].index == index)
			return &v->members[i];
	return NULL;
}

const struct php_serialize_member *
php_serialize_find(const struct php_serialize_value *v, struct slice key)
{
	int64_t index;

	if (v->type == PHP_SERIALIZE_ARRAY && php_serialize_index(key, &index))
		return php_serialize_find_int(v, index);
	for (size_t i = v->nmembers; i-- > 0;)
		if (!v->members[i].int_key && slice_eq(v->members[i].key, key))
			return &v->members[i];
	return NULL;
}

const struct php_serialize_value *
php_serialize_at(const struct php_serialize_value *v, const char *key)
{
	const struct php_serialize_member *m =
	    php_serialize_find(v, slice_str(key));
	const struct php_serialize_value *of =
	    m ? php_serialize_deref(&m->value) : NULL;

	return of && of->type != PHP_SERIALIZE_NULL ? of : NULL;
}

/* "\0scope\0name"; a key without a leading NUL is public, scope empty. */
static bool
unmangle(struct slice key, struct slice *scope, struct slice *name)
{
	size_t end;

	*scope = SLICE_NONE;
	*name = key;
	if (key.n == 0 || key.p[0] != '\0')
		return true;
	key = slice_from(key, 1);
	end = slice_find(key, '\0');
	if (end == 0 || end == key.n)
		return false;
	*scope = slice_mem(key.p, end);
	*name = slice_from(key, end + 1);
	return true;
}

const struct php_serialize_value *
php_serialize_property(
    const struct php_serialize_value *object, struct slice name)
{
	if (object->type != PHP_SERIALIZE_OBJECT)
		return NULL;
	for (size_t i = object->nmembers; i-- > 0;) {
		const struct php_serialize_member *m = &object->members[i];
		struct slice scope, found;

		if (m->int_key || !unmangle(m->key, &scope, &found) ||
		    !slice_eq(found, name))
			continue;
		if (scope.n == 0 || slice_eq_str(scope, "*") ||
		    slice_eq_nocase(scope, object->class_name))
			return &m->value;
	}
	return NULL;
}

const struct php_serialize_value *
php_serialize_deref(const struct php_serialize_value *v)
{
	/* A target has a lower number than what names it, so this ends. */
	while (v->target)
		v = v->target;
	return v;
}

void
php_serialize_put_int(struct buf *out, int64_t v)
{
	buf_put_str(out, "i:");
	buf_put_i64(out, v);
	buf_put_char(out, ';');
}

static void
put_quoted(struct buf *out, char type, struct slice s)
{
	buf_put_char(out, type);
	buf_put_char(out, ':');
	buf_put_u64(out, s.n);
	buf_put_str(out, ":\"");
	buf_put_slice(out, s);
	buf_put_char(out, '"');
}

void
php_serialize_put_string(struct buf *out, struct slice s)
{
	put_quoted(out, 's', s);
	buf_put_char(out, ';');
}

static void
put_number(struct buf *out, char type, int64_t number)
{
	buf_put_char(out, type);
	buf_put_char(out, ':');
	buf_put_i64(out, number);
	buf_put_char(out, ';');
}

static void
put_members(struct buf *out, const struct php_serialize_value *v)
{
	buf_put_char(out, ':');
	buf_put_u64(out, v->nmembers);
	buf_put_str(out, ":{");
	for (size_t i = 0; i < v->nmembers; i++) {
		const struct php_serialize_member *m = &v->members[i];

		if (m->int_key)
			php_serialize_put_int(out, m->index);
		else
			php_serialize_put_string(out, m->key);
		php_serialize_write(&m->value, out);
	}
	buf_put_char(out, '}');
}

void
php_serialize_write(const struct php_serialize_value *v, struct buf *out)
{
	switch (v->type) {
	case PHP_SERIALIZE_NULL:
		buf_put_str(out, "N;");
		break;
	case PHP_SERIALIZE_BOOL:
		buf_put_str(out, v->boolean ? "b:1;" : "b:0;");
		break;
	case PHP_SERIALIZE_INT:
		php_serialize_put_int(out, v->integer);
		break;
	case PHP_SERIALIZE_FLOAT:
		buf_put_str(out, "d:");
		buf_put_slice(out, v->text);
		buf_put_char(out, ';');
		break;
	case PHP_SERIALIZE_STRING:
		php_serialize_put_string(out, v->text);
		break;
	case PHP_SERIALIZE_ARRAY:
		buf_put_char(out, 'a');
		put_members(out, v);
		break;
	case PHP_SERIALIZE_OBJECT:
		put_quoted(out, 'O', v->class_name);
		put_members(out, v);
		break;
	case PHP_SERIALIZE_CUSTOM:
		put_quoted(out, 'C', v->class_name);
		buf_put_char(out, ':');
		buf_put_u64(out, v->text.n);
		buf_put_str(out, ":{");
		buf_put_slice(out, v->text);
		buf_put_char(out, '}');
		break;
	case PHP_SERIALIZE_ENUM:
		put_quoted(out, 'E', v->text);
		buf_put_char(out, ';');
		break;
	case PHP_SERIALIZE_OBJECT_AGAIN:
		put_number(out, 'r', v->integer);
		break;
	case PHP_SERIALIZE_REFERENCE:
		put_number(out, 'R', v->integer);
		break;
	}
}
