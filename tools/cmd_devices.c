/* dlvkc devices: the Vulkan devices, and what DLVK uses of them. */
#include "tools/commands.h"

#include <stdlib.h>
#include <string.h>

static int run(const Command *self, int argc, char **argv)
{
    const Opt opts[] = {OPT_END};
    StrList words = {0};
    int code;
    bool ok = args_parse(self, opts, argc, argv, &words, &code);
    if (ok && !args_words(self, &words, 0, 0, "")) ok = false, code = EXIT_BAD;
    list_free(&words);
    if (!ok) return code;

    dlvk_device_info *list = NULL;
    int n = 0;
    dlvk_error err;
    if (dlvk_devices(&list, &n, &err)) {
        error_say("%s", err.text);
        return EXIT_BAD;
    }
    for (int i = 0; i < n; i++) {
        const dlvk_device_info *d = &list[i];
        char memory[32], shared[32], alloc[32], features[256];
        printf("%s%d: %s%s (%s)\n", colour(stdout, BOLD), i, d->name, colour(stdout, PLAIN), d->type);
        printf("   driver      %s %s, Vulkan %u.%u.%u\n", d->driver, d->driver_version, d->api_version >> 22 & 0x7f,
               d->api_version >> 12 & 0x3ff, d->api_version & 0xfff);
        if (!d->usable) {
            printf("   %snot usable%s  %s\n", colour(stdout, RED), colour(stdout, PLAIN), d->why);
            continue;
        }
        printf("   memory      %s, allocations up to %s\n", size_text((double)d->memory_bytes, memory),
               size_text((double)d->max_allocation_bytes, alloc));
        printf("   workgroups  up to %u invocations in subgroups of %u, %s shared, %u bytes of push constants\n",
               d->max_workgroup_size, d->subgroup_size, size_text(d->shared_memory_bytes, shared), d->push_constant_bytes);
        printf("   features    %s\n", dlvk_feature_names(d->features, " ", features, sizeof features));
    }
    free(list);
    return EXIT_OK;
}

const Command command_devices = {
    "devices", "", "list the Vulkan devices and the features DLVK uses", run,
    "Lists every Vulkan device, the best first, with its driver and the features DLVK uses. The number\n"
    "or part of the name is what --device of the other commands takes; DLVK_DISABLE=float16,coopmat,...\n"
    "in the environment does without features.\n\n"
    "  dlvkc devices\n"
    "  VK_DRIVER_FILES=/usr/share/vulkan/icd.d/lvp_icd.json dlvkc devices     # lavapipe alone\n"};
