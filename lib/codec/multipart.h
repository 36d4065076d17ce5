/* SPDX-License-Identifier: Apache-2.0 */
/* multipart: multipart/form-data (RFC 7578) as a push parser. Pure: it is fed bytes and returns
 * events; the bytes it borrows stay the caller's. Its state is a plain value with fixed
 * buffers: nothing grows with the input.
 *
 * Refused: a boundary line with anything behind it, bare CR or LF, folded lines and control
 * characters in part heads, a part without exactly one form-data Content-Disposition with
 * exactly one name, a transfer encoding that changes bytes (quoted-printable, base64), a NUL in
 * a file name. */
#pragma once
#include <stdbool.h>
#include <stddef.h>

#include "base/str.h"

#define MULTIPART_BOUNDARY_MAX  70u /* RFC 2046 §5.1.1 */
#define MULTIPART_PART_HEAD_MAX 8192u
#define MULTIPART_NAME_MAX      256u
#define MULTIPART_FILENAME_MAX  4096u

enum multipart_event {
    MULTIPART_NEED_MORE, /* everything given was consumed (or held back) */
    MULTIPART_PART,      /* a part begins: name, filename, has_filename are set in the parser */
    MULTIPART_DATA,      /* *data is a run of the current part's bytes, never empty */
    MULTIPART_PART_END,
    MULTIPART_END, /* the closing boundary, told once; the epilogue is consumed and ignored */
    MULTIPART_BAD /* not multipart, or over a limit: `bad` says which. So is every later call */
};

struct multipart {
    char boundary[MULTIPART_BOUNDARY_MAX + 8]; /* private: CRLF "--" boundary */
    size_t boundary_n;
    unsigned state;
    size_t matched; /* private: bytes of `boundary` that the last bytes fed are equal to, held
                       back */
    char head[MULTIPART_PART_HEAD_MAX];
    size_t head_n;
    char name[MULTIPART_NAME_MAX];         /* of the current part, NUL-terminated */
    char filename[MULTIPART_FILENAME_MAX]; /* decoded (\" \\ %22 %0D %0A, or filename*),
                                              directories kept, NUL-terminated */
    bool has_filename;
    const char *bad; /* a sentence, after MULTIPART_BAD */
};

/* Takes the value of Content-Type. 0, or -EINVAL if it is not multipart/form-data with a legal
 * boundary. */
int multipart_init(struct multipart *m, struct str content_type);
/* Consumes from the front of *in (advancing it) and returns the next event. Call until
 * MULTIPART_NEED_MORE, then feed more; the body is complete if and only if MULTIPART_END was
 * among the events. *data borrows from *in or from *m until the next call. */
enum multipart_event multipart_next(struct multipart *m, struct str *in, struct str *data);
