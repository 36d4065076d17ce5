/* SPDX-License-Identifier: Apache-2.0 */
#include "base/log.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"

#define LINE_MAX_BYTES 1024u

/* The log level is one of the two globals that STYLE allows. */
static struct {
    const char *proc;
    enum log_level level;
} config = { "firebreak", LOG_LEVEL_INFO };

void log_init(const char *proc, enum log_level level)
{
    config.proc = proc;
    config.level = level;
}

static size_t clamp(int n, size_t cap)
{
    return n < 0 ? 0 : (size_t)n < cap ? (size_t)n : cap - 1;
}

/* No byte of a value may end or restyle a line. */
static void neutralise(char *p, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if ((unsigned char)p[i] < 0x20 || p[i] == 0x7f)
            p[i] = '?';
}

void log_event(enum log_level level, const char *event, const char *fields, ...)
{
    static const char *const name[] = { "error", "warn", "info", "debug" };
    char line[LINE_MAX_BYTES];
    char ts[CLOCK_TEXT_MAX];
    va_list ap;

    if (level > config.level)
        return;
    clock_format_rfc3339(clock_real_ns(), 3, ts);
    size_t n = clamp(snprintf(line, sizeof line, "ts=%s level=%s proc=%s event=%s%s", ts,
                              name[level], config.proc, event, *fields ? " " : ""),
                     sizeof line);
    va_start(ap, fields);
    int more = vsnprintf(line + n, sizeof line - n, fields, ap);
    va_end(ap);
    size_t end = n + clamp(more, sizeof line - n);
    if (more > 0 && (size_t)more >= sizeof line - n)
        memset(line + sizeof line - 4, '.', 3);
    neutralise(line, end);
    line[end] = '\n';
    ssize_t w = write(STDERR_FILENO, line, end + 1);
    (void)w; /* nobody can be told that the log is gone */
}

const char *log_quote(struct str s, char out[LOG_QUOTE_MAX])
{
    size_t n = 0;

    out[n++] = '"';
    for (size_t i = 0; i < s.n && n < LOG_QUOTE_MAX - 8; i++) {
        unsigned char c = (unsigned char)s.p[i];
        if (c == '"' || c == '\\') {
            out[n++] = '\\';
            out[n++] = (char)c;
        } else if (c == '\n') {
            out[n++] = '\\';
            out[n++] = 'n';
        } else if (c < 0x20 || c >= 0x7f) {
            n += clamp(snprintf(out + n, 5, "\\x%02X", c), 5);
        } else {
            out[n++] = (char)c;
        }
    }
    out[n++] = '"';
    out[n] = 0;
    return out;
}
