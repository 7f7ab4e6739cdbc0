#include "formats/md5.h"

#include <string.h>

/* RFC 1321, 3.4: how far each step of a round turns. */
static const unsigned char turns[4][4] = { { 7, 12, 17, 22 }, { 5, 9, 14, 20 },
	{ 4, 11, 16, 23 }, { 6, 10, 15, 21 } };

/* floor(2^32 * abs(sin(i + 1))) */
static const uint32_t sines[64] = { 0xd76aa478, 0xe8c7b756, 0x242070db,
	0xc1bdceee, 0xf57c0faf, 0x4787c62a, 0xa8304613, 0xfd469501, 0x698098d8,
	0x8b44f7af, 0xffff5bb1, 0x895cd7be, 0x6b901122, 0xfd987193, 0xa679438e,
	0x49b40821, 0xf61e2562, 0xc040b340, 0x265e5a51, 0xe9b6c7aa, 0xd62f105d,
	0x02441453, 0xd8a1e681, 0xe7d3fbc8, 0x21e1cde6, 0xc33707d6, 0xf4d50d87,
	0x455a14ed, 0xa9e3e905, 0xfcefa3f8, 0x676f02d9, 0x8d2a4c8a, 0xfffa3942,
	0x8771f681, 0x6d9d6122, 0xfde5380c, 0xa4beea44, 0x4bdecfa9, 0xf6bb4b60,
	0xbebfbc70, 0x289b7ec6, 0xeaa127fa, 0xd4ef3085, 0x04881d05, 0xd9d4d039,
	0xe6db99e5, 0x1fa27cf8, 0xc4ac5665, 0xf4292244, 0x432aff97, 0xab9423a7,
	0xfc93a039, 0x655b59c3, 0x8f0ccc92, 0xffeff47d, 0x85845dd1, 0x6fa87e4f,
	0xfe2ce6e0, 0xa3014314, 0x4e0811a1, 0xf7537e82, 0xbd3af235, 0x2ad7d2bb,
	0xeb86d391 };

void
md5_init(struct md5 *m)
{
	*m = (struct md5){ .state = { 0x67452301, 0xefcdab89, 0x98badcfe,
			       0x10325476 } };
}

static uint32_t
word_of(const unsigned char *p)
{
	return (uint32_t)p[0] | (uint32_t)p[1] << 8 | (uint32_t)p[2] << 16 |
	       (uint32_t)p[3] << 24;
}

/* F, G, H and I, and which word of the block each step takes. */
static uint32_t
mix(unsigned i, uint32_t b, uint32_t c, uint32_t d, unsigned *word)
{
	switch (i / 16) {
	case 0:
		*word = i;
		return (b & c) | (~b & d);
	case 1:
		*word = (5 * i + 1) % 16;
		return (d & b) | (~d & c);
	case 2:
		*word = (3 * i + 5) % 16;
		return b ^ c ^ d;
	default:
		*word = (7 * i) % 16;
		return c ^ (b | ~d);
	}
}

static void
put_block(uint32_t state[4], const unsigned char *block)
{
	uint32_t a = state[0], b = state[1], c = state[2], d = state[3];

	for (unsigned i = 0; i < 64; i++) {
		unsigned word, turn = turns[i / 16][i % 4];
		uint32_t f = mix(i, b, c, d, &word);

		f += a + sines[i] + word_of(block + (size_t)4 * word);
		a = d;
		d = c;
		c = b;
		b += f << turn | f >> (32 - turn);
	}
	state[0] += a;
	state[1] += b;
	state[2] += c;
	state[3] += d;
}

void
md5_put(struct md5 *m, struct slice s)
{
	while (s.n > 0) {
		size_t at = m->bytes % sizeof m->block;
		size_t n =
		    sizeof m->block - at < s.n ? sizeof m->block - at : s.n;

		memcpy(m->block + at, s.p, n);
		m->bytes += n;
		if (at + n == sizeof m->block)
			put_block(m->state, m->block);
		s = slice_from(s, n);
	}
}

void
md5_end(struct md5 *m, unsigned char out[MD5_LEN])
{
	const uint64_t bits = m->bytes * 8;
	char length[8];

	for (unsigned i = 0; i < 8; i++)
		length[i] = (char)(bits >> 8 * i);
	md5_put(m, SLICE_LIT("\x80"));
	while (m->bytes % sizeof m->block != 56)
		md5_put(m, SLICE_LIT("\0"));
	md5_put(m, slice_mem(length, sizeof length));
	for (unsigned i = 0; i < MD5_LEN; i++)
		out[i] = (unsigned char)(m->state[i / 4] >> 8 * (i % 4));
}

#define HMAC_BLOCK 64

void
md5_hmac(struct slice key, const struct slice *parts, size_t n,
    unsigned char out[MD5_LEN])
{
	unsigned char block[HMAC_BLOCK] = { 0 };
	struct md5 m;

	md5_init(&m);
	if (key.n > sizeof block) {
		md5_put(&m, key);
		md5_end(&m, block);
		md5_init(&m);
	} else if (key.n > 0) {
		memcpy(block, key.p, key.n);
	}
	for (size_t i = 0; i < sizeof block; i++)
		block[i] ^= 0x36;
	md5_put(&m, slice_mem((const char *)block, sizeof block));
	for (size_t i = 0; i < n; i++)
		md5_put(&m, parts[i]);
	md5_end(&m, out);
	for (size_t i = 0; i < sizeof block; i++)
		block[i] ^= 0x36 ^ 0x5c;
	md5_init(&m);
	md5_put(&m, slice_mem((const char *)block, sizeof block));
	md5_put(&m, slice_mem((const char *)out, MD5_LEN));
	md5_end(&m, out);
}
