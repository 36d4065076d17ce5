/* SPDX-License-Identifier: Apache-2.0 */
#include "auth/name.h"

static bool is_alnum(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
}

bool auth_name_ok(struct str s, size_t max)
{
    if (s.n == 0 || s.n > max || !is_alnum(s.p[0]))
        return false;
    for (size_t i = 0; i < s.n; i++)
        if (!is_alnum(s.p[i]) && s.p[i] != '.' && s.p[i] != '_' && s.p[i] != ':' &&
            s.p[i] != '-')
            return false;
    return true;
}
