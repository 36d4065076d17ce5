/* SPDX-License-Identifier: Apache-2.0 */
/* auth/name: what identifies people and programs: user ids, owners, kids, jtis. */
#pragma once
#include <stdbool.h>

#include "base/str.h"

#define OWNER_MAX     128u /* bytes of a user id (R44) */
#define OWNER_DEFAULT "default"

/* One to `max` bytes of [A-Za-z0-9._:-], the first a letter or a digit. No blank and no @: an id is no name and no mail address
 * (R132), and needs no quoting in a log line. */
bool auth_name_ok(struct str s, size_t max);
