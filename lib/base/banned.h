/* SPDX-License-Identifier: Apache-2.0 */
/* banned: included before everything else (-include). Functions without a bound, with a hidden
 * state or with a silent failure do not compile. Include the standard headers first, since they
 * mention the names. */
#pragma once
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>
#ifdef BANNED_AFTER_OPENSSL /* a library's own flag: these headers have parameters called rand */
#include <openssl/evp.h>
#include <openssl/hmac.h>
#endif

/* It has parameters of these names. */
#ifdef BANNED_AFTER_OPENSSL
#include <openssl/ssl.h>
#endif

#undef strcpy
#undef strcat
#undef strncat
#undef strncpy
#undef strdupa
#undef strndupa
#undef alloca
#undef sprintf
#undef vsprintf
#undef stpcpy
#pragma GCC poison strcpy strcat strncpy strncat stpcpy sprintf vsprintf gets strtok
#pragma GCC poison atoi atol atoll atof
#pragma GCC poison rand srand random srandom alloca strdupa strndupa
#pragma GCC poison tmpnam tempnam mktemp system popen
#pragma GCC poison gmtime localtime ctime asctime
