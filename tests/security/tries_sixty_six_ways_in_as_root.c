// SPDX-License-Identifier: Apache-2.0
// attack: the same as root of the sandbox, which may become itself and read its own files
// outside: setpriv --reuid=65534 --regid=65534 --clear-groups
// control: 66 tried, [234]\d reachable: .*io_uring_setup.*
// inside: 66 tried, 7 reachable: AF_UNIX, setuid\(0\), r /etc/shadow, connect 127.0.0.1, RWX mmap, /dev/shm, lock on image file
#include "tries_sixty_six_ways_in.c"
