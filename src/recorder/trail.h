/* SPDX-License-Identifier: Apache-2.0 */
/* recorder/trail: the files of the record. Lines are added, then committed together: after trail_commit each stream says whether what was
 * added to it is on the disk for good, or was taken back as if it had never come. One thread. */
#pragma once
#include <stdbool.h>
#include <stdint.h>

#include "audit/head.h"
#include "audit/segment.h"
#include "base/buf.h"
#include "base/err.h"
#include "ipc/recorder_proto.h"

#define TRAIL_SEGMENT_MAX (64u << 20) /* bytes after which a day gets another file */
#define TRAIL_RESERVE                                                                          \
    (512u << 10) /* bytes set aside ahead in the two streams that everything needs */
#define TRAIL_PENDING_MAX (8u << 20) /* bytes of one commit and stream */
#define TRAIL_SEEN        8192u      /* request ids remembered for those that are sent again */
#define TRAIL_REQUEST_ID  sizeof(((struct audit_fields *)0)->request_id)

struct trail_stream {
    int dir_fd; /* -1: nothing was ever recorded here */
    int fd;     /* of the segment; -1: the next line makes one */
    struct segment segment;
    uint64_t bytes;    /* of it that are durable */
    uint64_t reserved; /* bytes of it that the disk has room for, whatever else fills it */
    bool is_stuck;     /* what was written and not committed could not be taken back yet */
    bool dir_changed;  /* a file was made since the last commit */
    uint64_t seq;      /* durable */
    struct sha256 hash;
    uint64_t first_seq; /* of the oldest file; 0: none */
    struct sha256 first_prev;

    struct segment cut; /* what recovery took off the end: of which file, how much */
    uint64_t cut_bytes, cut_records;

    struct buf pending; /* lines that are not committed */
    uint64_t pending_seq;
    struct sha256 pending_hash;
    int rc; /* of the last commit that had something of this stream: 0 or -errno */
};

struct trail {
    int dir_fd; /* STATE/audit */
    uint8_t seed[ED25519_SEED];
    struct trail_stream stream[AUDIT_STREAMS];
    bool ready;          /* room is set aside */
    bool heads_are_old;  /* something was committed since the last head */
    uint64_t head_ns;    /* real time of the last head */
    uint32_t purged_day; /* when files whose time was over were looked for last */
    uint64_t records;    /* committed since the start */
    int heads_fd;        /* DIR/heads */
    struct segment heads;
    char seen[TRAIL_SEEN][TRAIL_REQUEST_ID]; /* a ring; of what is committed or pending */
    unsigned next_seen;
};

/* Takes dir_fd. Makes what is missing, reads where each stream stands, and cuts off a torn end, which goes to a file cut-* beside it;
 * each cut is the first new record of its stream's job. -errno with *e. */
int trail_open(struct trail *t, int dir_fd, uint64_t real_ns, struct err *e);
/* Commits, signs a head, gives the reserve back. */
void trail_close(struct trail *t, uint64_t real_ns);

/* Adds a record to the next commit. Returns its stream's number; -EINVAL if it is none; -EALREADY if its request_id is known; or -errno if no
 * file could be had for it. */
int trail_add(struct trail *t, const struct audit_fields *f, uint64_t real_ns);
bool trail_has_seen(const struct trail *t, const char *request_id);
/* Is there so much to be committed that no more should be added? */
bool trail_is_full(const struct trail *t);
/* Writes and syncs what was added; see trail_stream.rc. */
void trail_commit(struct trail *t);

/* Each second: tries to set room aside, removes what is over, signs a head when one is due (every `head_every_ns`, and after a purge). */
void trail_tick(struct trail *t, uint64_t real_ns, uint64_t head_every_ns);

/* --- sign.c --- */
/* Reads DIR/key, or makes it, and DIR/key.pub for whoever verifies. */
int sign_open(struct trail *t, struct err *e);
/* Appends a head of what is durable. 0 or -errno. */
int sign_head(struct trail *t, uint64_t real_ns);

/* Of a segment's bytes: the lines of a chain at its start. */
struct trail_scan {
    uint64_t lines, bytes; /* how many are good, and where they end */
    uint64_t first_seq, seq;
    struct sha256 first_prev, hash;
    uint64_t whole_after; /* lines after them that are records all the same */
};
/* Pure. `seen` is called with the request id of each good line, if there is one; may be NULL. */
void trail_scan(struct str bytes, struct trail_scan *out,
                void (*seen)(void *arg, const char *request_id), void *arg);
