/* What the programs in this folder have in common: a model is built, compiled, and written to a file. */
#ifndef MODELS_PROGRAM_H
#define MODELS_PROGRAM_H

#include "dlvk/graph.h"
#include <stdio.h>

/* Compiles g into `path`, frees g, and reports. An exit status: 0, or 1 and a message. */
static inline int write_bundle(dlvk_graph *g, const char *path)
{
    dlvk_error err = {.text = "out of memory"};
    void *bundle = NULL;
    size_t size = 0;
    dlvk_status s = g ? dlvk_compile_graph(g, &bundle, &size, NULL, &err) : DLVK_OUT_OF_MEMORY;
    dlvk_graph_free(g);
    if (s != DLVK_OK) {
        fprintf(stderr, "%s: %s\n", dlvk_status_name(s), err.text);
        return 1;
    }
    FILE *f = fopen(path, "wb");
    bool ok = f && fwrite(bundle, 1, size, f) == size;
    if (f && fclose(f) != 0) ok = false;
    dlvk_free(bundle);
    if (!ok)
        perror(path);
    else
        printf("%s: %zu bytes\n", path, size);
    return ok ? 0 : 1;
}

#endif
