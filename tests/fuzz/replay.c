/* SPDX-License-Identifier: Apache-2.0 */
/* replay: feeds a target every file of the directories given, so that the corpus is a test for any
 * compiler. A directory that is not there has no files. */
#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>

#include "fuzz.h"

#define INPUT_MAX (1u << 20)

static int feed(const char *path)
{
    FILE *f = fopen(path, "rb");
    uint8_t *bytes = malloc(INPUT_MAX);

    if (!f || !bytes)
        return -1;
    size_t n = fread(bytes, 1, INPUT_MAX, f);
    (void)fclose(f);
    uint8_t *exact = malloc(n ? n : 1); /* so that a sanitizer sees a read past the end */
    if (!exact)
        return -1;
    for (size_t i = 0; i < n; i++)
        exact[i] = bytes[i];
    free(bytes);
    (void)LLVMFuzzerTestOneInput(exact, n);
    free(exact);
    return 0;
}

static int feed_all(const char *dir, unsigned *fed)
{
    DIR *d = opendir(dir);
    char path[4096];

    if (!d)
        return 0;
    for (struct dirent *e = readdir(d); e; e = readdir(d)) {
        if (e->d_name[0] == '.')
            continue;
        (void)snprintf(path, sizeof path, "%s/%s", dir, e->d_name);
        if (feed(path) < 0)
            return -1;
        ++*fed;
    }
    return closedir(d);
}

int main(int argc, char **argv)
{
    unsigned fed = 0;

    for (int i = 1; i < argc; i++)
        if (feed_all(argv[i], &fed) < 0)
            return 1;
    (void)printf("%u inputs\n", fed);
    return fed == 0; /* a corpus that is gone is not a test that passed */
}
