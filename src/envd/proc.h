/* SPDX-License-Identifier: Apache-2.0 */
/* proc: the table of processes that clients started, their output on its way to subscribers, and their ends.
 *
 * Output is read by the loop's thread and queued once per process; each subscriber has its own place in the queue. A subscriber that
 * lags by PROC_QUEUE_MAX stops the reading of that process (back-pressure to the program); without subscribers output is read and
 * dropped. A process ends when it has been reaped and its pipes are at their end; after a signal of ours, a deadline, or on a
 * terminal, when it has been reaped and what it wrote has been read. Ends are kept for PROC_KEEP_NS for whoever asks late.
 *
 * Threads: one lock inside; every function may be called from any thread. */
#pragma once
#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/buf.h"
#include "base/err.h"
#include "base/str.h"
#include "envd/loop.h"
#include "envd/spawn.h"

#define PROC_MAX        256u  /* running, started by clients */
#define PROC_HIDDEN_MAX 64u   /* running under sudo */
#define PROC_ENDED_MAX  1024u /* ends kept */
#define PROC_KEEP_NS    (30 * UINT64_C(1000000000))
#define PROC_PIPE_CHUNK 32768u /* most bytes of one event */
#define PROC_TTY_CHUNK  16384u
#define PROC_QUEUE_MAX  262144u
#define PROC_TAG_MAX    256u

struct proc_table;
struct proc_ready; /* below */
struct proc;       /* a process; counted references */
struct proc_sub;   /* one listener to one process */

int proc_table_new(struct proc_table **out, struct loop *loop); /* borrows the loop */
void proc_table_free(struct proc_table *t); /* the loop must be at rest; processes live on */
/* Work of the loop's thread between events: deadlines, forgotten ends. Returns when it wants to be called again. */
uint64_t proc_tick(struct proc_table *t, uint64_t now_ns);

enum proc_kind {
    PROC_PIPES,    /* stdout and stderr apart; stdin a pipe or /dev/null */
    PROC_TERMINAL, /* on a new pseudo-terminal */
    PROC_HIDDEN    /* of sudo: given descriptors, not listed, found by no selector */
};

struct proc_spec {
    enum proc_kind kind;
    struct spawn
        run; /* PROC_HIDDEN: with its fds; else fd and terminal are filled in by proc_start */
    bool no_stdin;       /* PROC_PIPES: /dev/null */
    uint16_t cols, rows; /* PROC_TERMINAL */
    const char *tag;     /* copied; NULL: none */
    json_t *config; /* what List shows; a reference is taken on success; NULL if PROC_HIDDEN */
    uint64_t deadline_ns; /* CLOCK_MONOTONIC; 0: none */
    /* PROC_PIPES: a child that waits to become this program, or NULL. If it does not, the program is started afresh. */
    struct proc_ready *ready;
};

/* A child that waits for a request (warm.h). All of it is taken by proc_start. */
struct proc_ready {
    pid_t pid;
    int ctl_fd; /* SEQPACKET: the request; it answers '+' when it can do it, and does it after 'g' */
    int out_fd, err_fd;
    struct buf request;
};

/* Forks a child that is in no list until it is given to proc_start as `ready`; there is one at most. Its pid, or -errno. */
pid_t proc_fork_aside(struct proc_table *t, const struct spawn *run);
/* Kills it, if it is still that child. */
void proc_end_aside(struct proc_table *t, pid_t pid);

/* Starts a process and subscribes to it from its first byte. 0 with *out; -errno with *e, and *step if the child failed before its
 * program ran (else 0). -EAGAIN: too many processes. */
int proc_start(struct proc_table *t, const struct proc_spec *spec, struct proc_sub **out,
               enum spawn_step *step, struct err *e);

struct proc_selector {
    const char *tag; /* or, if NULL: */
    pid_t pid;
};

/* From now on, also to a process whose end is kept. 0, -ENOENT, -ENOMEM or -EMFILE. */
int proc_subscribe(struct proc_table *t, const struct proc_selector *sel,
                   struct proc_sub **out);
void proc_sub_close(struct proc_sub *s); /* NULL is fine; the process lives on */
pid_t proc_sub_pid(const struct proc_sub *s);
int proc_sub_fd(
    const struct proc_sub *s); /* readable when proc_sub_look may have news; an eventfd */

enum proc_stream { PROC_STDOUT, PROC_STDERR, PROC_TTY };

struct proc_chunk { /* of the queue; read only */
    struct proc_chunk *next;
    unsigned refs;
    enum proc_stream stream;
    size_t n;
    unsigned char bytes[];
};

struct proc_news {
    const struct proc_chunk
        *first; /* valid until proc_sub_took; follow `next` n_chunks - 1 times at most */
    size_t n_chunks;
    bool timed_out;  /* the deadline of the process has passed */
    bool ended;      /* after the chunks, nothing comes but the end */
    int wait_status; /* if ended: as of waitpid */
};
/* What came since the last look; resets proc_sub_fd. */
void proc_sub_look(struct proc_sub *s, struct proc_news *out);
void proc_sub_took(struct proc_sub *s, size_t n_chunks);
/* Signals the process group of a process that this subscriber started (sudo). 0 or -errno. */
int proc_sub_kill(struct proc_sub *s, int signal);

/* On running processes; 0, -ENOENT if there is none that fits, or as said. */
int proc_signal(struct proc_table *t, const struct proc_selector *sel, int signal);
int proc_resize(struct proc_table *t, const struct proc_selector *sel, uint16_t cols,
                uint16_t rows); /* -ENOTTY */
int proc_close_stdin(struct proc_table *t,
                     const struct proc_selector *sel); /* -ENOTTY on a terminal */
/* Writes all of data to stdin or, if `tty`, to the terminal; blocks while the program does not read and gone(arg) is false.
 * -ENOTTY (wrong kind of process), -EPIPE (stdin is closed), -ECANCELED (gone). */
int proc_input(struct proc_table *t, const struct proc_selector *sel, bool tty, struct str data,
               bool (*gone)(void *arg), void *arg);

/* [{"config":...,"pid":N,"tag"?:"..."}] of running processes, oldest first; owned by the caller; NULL when out of memory. */
json_t *proc_list(struct proc_table *t);
unsigned proc_count(struct proc_table *t);
