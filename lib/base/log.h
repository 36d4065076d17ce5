/* SPDX-License-Identifier: Apache-2.0 */
/* log: one line per event on stderr, in logfmt:
 *
 *   ts=2026-01-02T03:04:05.678Z level=info proc=warden event=sandbox_started sandbox=i4k ms=12
 *
 * Event names are stable, in snake_case, and listed in docs/ops/events.md. Programs log,
 * libraries do not. `fields` is a printf format of further key=value pairs; put a value that
 * may hold a blank or came from outside through log_quote. Control bytes of the finished line
 * become '?', so no value can forge a line. A line is at most 1 KiB, cut with "..."; it is
 * written with one write(2). Threads: safe. Allocates nothing. */
#pragma once
#include <stddef.h>

#include "base/str.h"

enum log_level { LOG_LEVEL_ERROR, LOG_LEVEL_WARN, LOG_LEVEL_INFO, LOG_LEVEL_DEBUG };

/* Once, in main: the process name (kept by reference) and the most talkative level printed. */
void log_init(const char *proc, enum log_level level);
void log_event(enum log_level level, const char *event, const char *fields, ...)
    __attribute__((format(printf, 3, 4)));

#define log_error(...) log_event(LOG_LEVEL_ERROR, __VA_ARGS__)
#define log_warn(...)  log_event(LOG_LEVEL_WARN, __VA_ARGS__)
#define log_info(...)  log_event(LOG_LEVEL_INFO, __VA_ARGS__)
#define log_debug(...) log_event(LOG_LEVEL_DEBUG, __VA_ARGS__)

#define LOG_QUOTE_MAX 160
/* Writes s between double quotes, with \" \\ \n \xHH escapes, cut to fit, into out, and returns
 * out. */
const char *log_quote(struct str s, char out[LOG_QUOTE_MAX]);
