/* SPDX-License-Identifier: Apache-2.0 */
/* sudo_proto: what the `sudo` command and envd say to each other over RUN/sudo.sock, a Unix stream.
 *
 *   command -> envd  sudo_request with the descriptors 0, 1, 2 and the working directory, then `bytes` bytes: n_args + n_vars + n_env
 *                    strings, each followed by a NUL
 *   envd -> command  SUDO_ERROR with `value` bytes of text following, then the end; or SUDO_TERMINAL with the master descriptor
 *                    (if SUDO_WANT_TERMINAL), and at last SUDO_STATUS
 *   command -> envd  SUDO_SIGNAL, any number. Its going away ends what it started. */
#pragma once
#include <stdint.h>

#define SUDO_SOCKET      "sudo.sock"
#define SUDO_RUN_DIR     "/run/e2b"
#define SUDO_VERSION     1u
#define SUDO_BYTES_MAX   (1u << 20)
#define SUDO_STRINGS_MAX 65536u
#define SUDO_TEXT_MAX    1024
#define SUDO_USER_MAX    256
#define SUDO_FDS         4

enum sudo_flag {
    SUDO_KEEP_ENV = 1, /* -E */
    SUDO_LOGIN = 2,    /* -i */
    SUDO_SHELL = 4,    /* -s */
    SUDO_SET_HOME = 8, /* -H */
    SUDO_WANT_TERMINAL =
        16 /* the command's stdin and stdout are a terminal: run it on a new one */
};

struct sudo_request {
    uint32_t version, flags;
    uint32_t n_args, n_vars, n_env;
    uint32_t bytes;
    uint16_t cols, rows;
    char user[SUDO_USER_MAX]; /* target; NUL-terminated */
};
_Static_assert(sizeof(struct sudo_request) == 28 + SUDO_USER_MAX, "it crosses a socket");

enum sudo_type { SUDO_ERROR = 1, SUDO_TERMINAL, SUDO_STATUS, SUDO_SIGNAL };

struct sudo_frame {
    uint32_t type; /* enum sudo_type */
    int32_t value; /* length of a text, wait status, signal number */
};
