#include "wire/public_address.h"

#include "base/macros.h"

#include <netinet/in.h>
#include <stdint.h>
#include <string.h>
#include <sys/socket.h>

/* Of no Internet address; what these leave is one. */
static const struct {
	uint32_t net;
	unsigned bits;
} reserved4[] = {
	{ 0x00000000, 8 },  /* 0.0.0.0/8 this network */
	{ 0x0A000000, 8 },  /* 10.0.0.0/8 private */
	{ 0x64400000, 10 }, /* 100.64.0.0/10 shared by carriers */
	{ 0x7F000000, 8 },  /* 127.0.0.0/8 loopback */
	{ 0xA9FE0000, 16 }, /* 169.254.0.0/16 link-local, metadata */
	{ 0xAC100000, 12 }, /* 172.16.0.0/12 private */
	{ 0xC0000000, 24 }, /* 192.0.0.0/24 protocol assignments */
	{ 0xC0000200, 24 }, /* 192.0.2.0/24 documentation */
	{ 0xC0586300, 24 }, /* 192.88.99.0/24 6to4 relays */
	{ 0xC0A80000, 16 }, /* 192.168.0.0/16 private */
	{ 0xC6120000, 15 }, /* 198.18.0.0/15 benchmarks */
	{ 0xC6336400, 24 }, /* 198.51.100.0/24 documentation */
	{ 0xCB007100, 24 }, /* 203.0.113.0/24 documentation */
	{ 0xE0000000, 3 },  /* 224.0.0.0/3 multicast, reserved, broadcast */
};

/* Only 2000::/3 is given out; of it not these. */
static const struct {
	unsigned char net[6];
	unsigned bits;
} reserved6[] = {
	{ { 0x20, 0x01, 0x00, 0x00 }, 23 }, /* 2001::/23 Teredo and others */
	{ { 0x20, 0x01, 0x0d, 0xb8 }, 32 }, /* 2001:db8::/32 documentation */
	{ { 0x3f, 0xff, 0x00, 0x00 }, 20 }, /* 3fff::/20 documentation */
};

static bool
public4(uint32_t a)
{
	for (size_t i = 0; i < NELEMS(reserved4); i++)
		if ((a ^ reserved4[i].net) >> (32 - reserved4[i].bits) == 0)
			return false;
	return true;
}

static uint32_t
get32(const unsigned char *p)
{
	return (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 |
	       (uint32_t)p[2] << 8 | p[3];
}

static bool
public6(const unsigned char a[16])
{
	/* ::ffff:0:0/96 mapped, 64:ff9b::/96 translated, 2002::/16 6to4 */
	static const unsigned char mapped[12] = { [10] = 0xff, [11] = 0xff };
	static const unsigned char nat64[12] = { 0x00, 0x64, 0xff, 0x9b };

	if (memcmp(a, mapped, 12) == 0 || memcmp(a, nat64, 12) == 0)
		return public4(get32(a + 12));
	if (a[0] == 0x20 && a[1] == 0x02)
		return public4(get32(a + 2));
	if (a[0] >> 5 != 1)
		return false;
	for (size_t i = 0; i < NELEMS(reserved6); i++)
		if ((get32(a) ^ get32(reserved6[i].net)) >>
			(32 - reserved6[i].bits) ==
		    0)
			return false;
	return true;
}

bool
public_address(const struct sockaddr *addr)
{
	struct sockaddr_in in;
	struct sockaddr_in6 in6;

	if (addr->sa_family == AF_INET) {
		memcpy(&in, addr, sizeof in);
		return public4(ntohl(in.sin_addr.s_addr));
	}
	if (addr->sa_family == AF_INET6) {
		memcpy(&in6, addr, sizeof in6);
		return public6(in6.sin6_addr.s6_addr);
	}
	return false;
}
