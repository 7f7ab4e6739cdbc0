#ifndef WIRE_PUBLIC_ADDRESS_H
#define WIRE_PUBLIC_ADDRESS_H

#include <stdbool.h>

/*
 * Is this an address of the Internet? False for this machine (loopback,
 * unspecified), private networks, link-local ones (where cloud machines ask
 * for their secrets), carriers' shared ones, multicast, reserved and
 * documentation ranges, IPv6 addresses that carry such an IPv4 one, and
 * anything that is not IP. IANA's special-purpose registries.
 */
struct sockaddr;
bool public_address(const struct sockaddr *addr);

#endif
