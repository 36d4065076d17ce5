/* SPDX-License-Identifier: Apache-2.0 */
/* ipc: fixed-size messages with file descriptors over SOCK_SEQPACKET sockets. libc only. */
#pragma once
#include <stddef.h>
#include <stdint.h>

#define IPC_FDS_MAX 8u

/* Sends one message of exactly n bytes with n_fds (0..IPC_FDS_MAX) descriptors, which stay the
 * caller's. 0, -EAGAIN on a full non-blocking socket, -EPIPE if the peer is gone, or another
 * -errno. */
int ipc_send(int sock, const void *msg, size_t n, const int *fds, size_t n_fds);

/* Receives one message of exactly n bytes. Up to max_fds descriptors are stored in fds
 * (CLOEXEC, owned by the caller), *n_fds says how many; the rest of fds is -1. 0; -ECONNRESET
 * at end of file; -EAGAIN; -EPROTO if the size differs, a control message was cut or more
 * descriptors came (all of them are closed then); msg has as much of it then as
 * fits. */
int ipc_recv(int sock, void *msg, size_t n, int *fds, size_t max_fds, size_t *n_fds);

/* The version that the next message says: the second word of each of our structs, whatever size the peer's build gives them. 0 if
 * no message is there or it is too short. Waits as a receive would and takes nothing. */
uint32_t ipc_peek_version(int sock);
/* Takes one message, with its descriptors, and throws it away. */
void ipc_discard(int sock);

/* Is id 'i' and 19 of [a-z0-9], NUL-padded? */
struct sandbox_id;
#include <stdbool.h>
bool sandbox_id_ok(const struct sandbox_id *id);
