/* Finding the functions of host steps in libdlvk-host. */
#define _GNU_SOURCE /* dladdr */
#include "dlvk/host.h"
#include "runtime/error.h"
#include <dlfcn.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define LIBRARY "libdlvk-host.so.0"

/* The library, opened: as DLVK_HOST_LIBRARY says, beside this code's own file, or where the loader looks. It is never closed: its
 * functions stay in use as long as any model does, and opening it again gives the same one. */
static void *open_library(void)
{
    const char *given = getenv("DLVK_HOST_LIBRARY");
    if (given && *given) return dlopen(given, RTLD_NOW | RTLD_LOCAL);
    Dl_info self;
    char path[PATH_MAX];
    const char *slash = dladdr((void *)(uintptr_t)dlvk_host_op_find, &self) ? strrchr(self.dli_fname, '/') : NULL;
    void *lib = NULL;
    if (slash &&
        (size_t)snprintf(path, sizeof path, "%.*s/" LIBRARY, (int)(slash - self.dli_fname), self.dli_fname) < sizeof path)
        lib = dlopen(path, RTLD_NOW | RTLD_LOCAL);
    return lib ? lib : dlopen(LIBRARY, RTLD_NOW | RTLD_LOCAL);
}

const dlvk_host_op *dlvk_host_op_find(const char *name, dlvk_error *err)
{
    void *lib = open_library();
    const dlvk_host_op *(*list)(int *n) = NULL;
    if (lib) *(void **)&list = dlsym(lib, "dlvk_host_ops");
    if (!list) {
        const char *why = dlerror();
        rt_error(err, DLVK_UNSUPPORTED, "libdlvk-host cannot be opened: %s", why ? why : "");
        return NULL;
    }
    int n = 0;
    const dlvk_host_op *op = list(&n);
    for (int i = 0; i < n; i++)
        if (strcmp(op[i].name, name) == 0) return &op[i];
    rt_error(err, DLVK_UNSUPPORTED, "libdlvk-host has no function '%s'", name);
    return NULL;
}
