/* SPDX-License-Identifier: Apache-2.0 */
#include "envd/mime.h"

#include "base/auto.h"

static const struct {
    const char *suffix, *type;
} BY_NAME[] = {
    { ".avif", "image/avif" },
    { ".css", "text/css; charset=utf-8" },
    { ".csv", "text/csv; charset=utf-8" },
    { ".gif", "image/gif" },
    { ".gz", "application/gzip" },
    { ".htm", "text/html; charset=utf-8" },
    { ".html", "text/html; charset=utf-8" },
    { ".ico", "image/vnd.microsoft.icon" },
    { ".jpeg", "image/jpeg" },
    { ".jpg", "image/jpeg" },
    { ".js", "text/javascript; charset=utf-8" },
    { ".json", "application/json" },
    { ".md", "text/markdown; charset=utf-8" },
    { ".mjs", "text/javascript; charset=utf-8" },
    { ".mp3", "audio/mpeg" },
    { ".mp4", "video/mp4" },
    { ".pdf", "application/pdf" },
    { ".png", "image/png" },
    { ".svg", "image/svg+xml" },
    { ".tar", "application/x-tar" },
    { ".txt", "text/plain; charset=utf-8" },
    { ".wasm", "application/wasm" },
    { ".wav", "audio/x-wav" },
    { ".webm", "video/webm" },
    { ".webp", "image/webp" },
    { ".xml", "text/xml; charset=utf-8" },
    { ".zip", "application/zip" },
};

static const struct {
    struct str magic;
    const char *type;
} BY_CONTENT[] = {
    { { "\x89PNG\r\n\x1a\n", 8 }, "image/png" },
    { { "\xff\xd8\xff", 3 }, "image/jpeg" },
    { { "GIF87a", 6 }, "image/gif" },
    { { "GIF89a", 6 }, "image/gif" },
    { { "%PDF-", 5 }, "application/pdf" },
    { { "\x1f\x8b\x08", 3 }, "application/x-gzip" },
    { { "PK\x03\x04", 4 }, "application/zip" },
    { { "\0asm", 4 }, "application/wasm" },
};

/* The bytes that the WHATWG rules of sniffing call binary. */
static bool is_binary(unsigned char c)
{
    return c <= 0x08 || c == 0x0b || (c >= 0x0e && c <= 0x1a) || (c >= 0x1c && c <= 0x1f);
}

const char *mime_type(struct str name, struct str first_bytes)
{
    for (size_t i = 0; i < ARRAY_LEN(BY_NAME); i++) {
        struct str suffix = str_from(BY_NAME[i].suffix);
        if (name.n >= suffix.n &&
            str_eq_nocase(str_sub(name, name.n - suffix.n, suffix.n), suffix))
            return BY_NAME[i].type;
    }
    for (size_t i = 0; i < ARRAY_LEN(BY_CONTENT); i++)
        if (str_starts(first_bytes, BY_CONTENT[i].magic))
            return BY_CONTENT[i].type;
    for (size_t i = 0; i < first_bytes.n && i < MIME_SNIFF_BYTES; i++)
        if (is_binary((unsigned char)first_bytes.p[i]))
            return "application/octet-stream";
    return "text/plain; charset=utf-8";
}
