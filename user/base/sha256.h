/* SPDX-License-Identifier: Apache-2.0 */
/* SHA-256 (FIPS 180-4) of bytes in memory: names the one script that a page may run. */
#ifndef BASE_SHA256_H
#define BASE_SHA256_H

#include "base/types.h"

#define SHA256_BYTES 32

void sha256(const void *p, size_t n, u8 ret[SHA256_BYTES]);

#endif
