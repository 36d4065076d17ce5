/* SPDX-License-Identifier: Apache-2.0 */
#include "base/err.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

static void __attribute__((format(printf, 3, 0)))
put(struct err *e, int code, const char *fmt, va_list ap)
{
    e->code = code;
    (void)vsnprintf(e->text, sizeof e->text, fmt, ap); /* a long text is cut */
}

int err_say(struct err *e, int code, const char *fmt, ...)
{
    va_list ap;

    va_start(ap, fmt);
    put(e, code, fmt, ap);
    va_end(ap);
    return -code;
}

int err_set(struct err *e, int code, const char *fmt, ...)
{
    va_list ap;
    char why[80];

    va_start(ap, fmt);
    put(e, code, fmt, ap);
    va_end(ap);
    /* GNU strerror_r: thread-safe, and returns the text wherever it is. */
    const char *reason = strerror_r(code, why, sizeof why);
    size_t n = strlen(e->text), need = strlen(reason) + sizeof ": ";
    if (n + need > sizeof e->text)
        n = sizeof e->text - need; /* a long text is cut, the reason is not */
    (void)snprintf(e->text + n, sizeof e->text - n, ": %s", reason);
    return -code;
}

int err_wrap(struct err *e, const char *fmt, ...)
{
    struct err old = *e;
    va_list ap;

    va_start(ap, fmt);
    put(e, old.code, fmt, ap);
    va_end(ap);
    size_t n = strlen(e->text);
    (void)snprintf(e->text + n, sizeof e->text - n, ": %s", old.text);
    return -e->code;
}
