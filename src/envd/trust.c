/* SPDX-License-Identifier: Apache-2.0 */
#include "envd/trust.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/auto.h"
#include "base/buf.h"

#define BUNDLE     "/etc/ssl/certs/ca-certificates.crt"
#define OWN        "/usr/local/share/ca-certificates/firebreak-egress.crt"
#define BUNDLE_MAX (8u << 20)

static int make_dirs(const char *path)
{
    char dir[128];

    for (size_t i = 1; path[i]; i++) {
        if (path[i] != '/' || i >= sizeof dir)
            continue;
        memcpy(dir, path, i);
        dir[i] = '\0';
        if (mkdir(dir, 0755) < 0 && errno != EEXIST)
            return -errno;
    }
    return 0;
}

static int read_all(int fd, struct buf *out)
{
    for (;;) {
        char bytes[16384];
        ssize_t n = read(fd, bytes, sizeof bytes);
        if (n < 0)
            return -errno;
        if (n == 0)
            return buf_ok(out) ? 0 : -out->failed;
        buf_add(out, bytes, (size_t)n);
    }
}

static int write_all(int fd, struct str s)
{
    while (s.n > 0) {
        ssize_t n = write(fd, s.p, s.n);
        if (n < 0)
            return -errno;
        s = str_sub(s, (size_t)n, s.n);
    }
    return 0;
}

static int write_own(struct str pem)
{
    int rc = make_dirs(OWN);
    AUTO_CLOSE int fd =
        rc < 0 ? -1 : open(OWN, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0644);

    if (rc == 0 && fd < 0)
        rc = -errno;
    return rc == 0 ? write_all(fd, pem) : rc;
}

static int add_to_bundle(struct str pem)
{
    AUTO_BUF struct buf old = BUF_INIT(BUNDLE_MAX);
    int rc = make_dirs(BUNDLE);
    AUTO_CLOSE int fd =
        rc < 0 ? -1 : open(BUNDLE, O_RDWR | O_CREAT | O_APPEND | O_CLOEXEC, 0644);

    if (rc == 0 && fd < 0)
        rc = -errno;
    if (rc == 0)
        rc = read_all(fd, &old);
    if (rc < 0 || (old.n > 0 && memmem(old.p, old.n, pem.p, pem.n)))
        return rc;
    if (old.n > 0 && old.p[old.n - 1] != '\n')
        rc = write_all(fd, STR("\n"));
    return rc == 0 ? write_all(fd, pem) : rc;
}

static int link_by_hash(uint32_t hash)
{
    char path[64];

    (void)snprintf(path, sizeof path, "/etc/ssl/certs/%08x.0", hash);
    return symlink(OWN, path) < 0 && errno != EEXIST ? -errno : 0;
}

int trust_add(struct str pem, uint32_t hash, struct err *e)
{
    int rc = write_own(pem);

    if (rc == 0)
        rc = add_to_bundle(pem);
    if (rc == 0)
        rc = link_by_hash(hash);
    return rc < 0 ? err_set(e, -rc, "add a certificate to those that are trusted") : 0;
}

json_t *trust_env(void)
{
    return json_pack("{s:s, s:s, s:s, s:s, s:s, s:s, s:s}", "SSL_CERT_FILE", BUNDLE,
                     "REQUESTS_CA_BUNDLE", BUNDLE, "CURL_CA_BUNDLE", BUNDLE, "PIP_CERT", BUNDLE,
                     "AWS_CA_BUNDLE", BUNDLE, "NODE_EXTRA_CA_CERTS", OWN, "DENO_CERT", OWN);
}
