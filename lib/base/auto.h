/* SPDX-License-Identifier: Apache-2.0 */
/* auto: ownership that ends with the scope. A local that owns something is declared with one of
 * these and initialised at once (NULL or -1 counts); ownership leaves by ptr_steal or fd_steal.
 */
#pragma once
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define ARRAY_LEN(a) (sizeof(a) / sizeof((a)[0]))

static inline void auto_free_(void *p)
{
    free(*(void **)p);
}
static inline void auto_close_(const int *fd)
{
    int saved = errno; /* a destructor never disturbs the error being returned */
    if (*fd >= 0)
        (void)close(*fd); /* the fd is gone whatever close says (Linux) */
    errno = saved;
}
static inline void auto_fclose_(FILE **f)
{
    if (*f)
        (void)fclose(*f); /* for reading, or after an explicit fflush */
}
#define AUTO_FREE   __attribute__((cleanup(auto_free_)))
#define AUTO_CLOSE  __attribute__((cleanup(auto_close_)))
#define AUTO_FCLOSE __attribute__((cleanup(auto_fclose_)))

/* Returns *fd and sets it to -1: the caller now owns it. */
static inline int fd_steal(int *fd)
{
    int v = *fd;
    *fd = -1;
    return v;
}
/* Returns *(T **)p and sets it to NULL. Use as ptr_steal(&p). */
#define ptr_steal(pp)                                                                          \
    __extension__({                                                                            \
        __typeof__(pp) pp_ = (pp);                                                             \
        __typeof__(*pp_) v_ = *pp_;                                                            \
        *pp_ = NULL;                                                                           \
        v_;                                                                                    \
    })
