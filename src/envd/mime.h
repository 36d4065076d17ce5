/* SPDX-License-Identifier: Apache-2.0 */
/* mime: a Content-Type for a download, from the name or else from the first bytes. Pure. */
#pragma once
#include "base/str.h"

#define MIME_SNIFF_BYTES 512u /* more are not looked at */

/* Returns a constant. */
const char *mime_type(struct str name, struct str first_bytes);
