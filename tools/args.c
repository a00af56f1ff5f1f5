/* Option parsing from a table, and the help text made from the same table. */
#include "tools/dlvkc.h"

#include <ctype.h>
#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>

void list_add(StrList *l, const char *s)
{
    if (l->n == l->cap) {
        int cap = l->cap ? 2 * l->cap : 8;
        const char **at = must_alloc((size_t)cap, sizeof *at);
        if (l->n) memcpy(at, l->at, (size_t)l->n * sizeof *at);
        free(l->at);
        l->at = at;
        l->cap = cap;
    }
    l->at[l->n++] = s;
}

void list_free(StrList *l)
{
    free(l->at);
    *l = (StrList){0};
}

int edit_distance(const char *a, const char *b)
{
    enum { MAX = 64 };
    size_t na = strlen(a), nb = strlen(b);
    if (na > MAX || nb > MAX) return INT_MAX;
    int row[MAX + 1];
    for (size_t j = 0; j <= nb; j++) row[j] = (int)j;
    for (size_t i = 1; i <= na; i++) {
        int diagonal = row[0];
        row[0] = (int)i;
        for (size_t j = 1; j <= nb; j++) {
            int best = diagonal + (a[i - 1] != b[j - 1]);
            diagonal = row[j];
            if (row[j] + 1 < best) best = row[j] + 1;
            if (row[j - 1] + 1 < best) best = row[j - 1] + 1;
            row[j] = best;
        }
    }
    return row[nb];
}

static void help_print(const Command *c, const Opt *opts)
{
    printf("%sdlvkc %s%s %s\n\n%s", colour(stdout, BOLD), c->name, colour(stdout, PLAIN), c->args, c->text);
    if (opts->name) printf("\nOptions:\n");
    for (const Opt *o = opts; o->name; o++) {
        char left[64];
        snprintf(left, sizeof left, "%s%s%s%s", o->name[1] ? "--" : "-", o->name, o->metavar ? " " : "",
                 o->metavar ? o->metavar : "");
        printf("  %-24s ", left);
        for (const char *p = o->help; *p; p++) {
            putchar(*p);
            if (*p == '\n') printf("%27s", "");
        }
        putchar('\n');
    }
    printf("  %-24s this text\n\nExit code: 0 success, 1 a comparison failed, 2 bad input or a model that is not supported.\n",
           "--help");
}

static const Opt *opt_find(const Opt *opts, const char *name, size_t len)
{
    for (; opts->name; opts++)
        if (strlen(opts->name) == len && !memcmp(opts->name, name, len)) return opts;
    return NULL;
}

static void opt_unknown(const Command *c, const Opt *opts, const char *arg)
{
    const char *best = NULL;
    int distance = 3;
    char name[72];
    snprintf(name, sizeof name, "%s", arg + strspn(arg, "-"));
    name[strcspn(name, "=")] = 0;
    for (; opts->name; opts++) {
        int d = edit_distance(name, opts->name);
        if (d < distance) distance = d, best = opts->name;
    }
    if (best)
        error_say("unknown option %s; did you mean %s%s?", arg, best[1] ? "--" : "-", best);
    else
        error_say("unknown option %s; `dlvkc %s --help` lists them", arg, c->name);
}

/* "4096", "512K", "1.5G": powers of 1024; a B or iB may follow the letter. */
static bool parse_bytes(const char *text, uint64_t *bytes)
{
    static const char units[] = "KMGT";
    char *end;
    errno = 0;
    double v = strtod(text, &end);
    if (end == text || errno || !(v > 0)) return false;
    const char *unit = *end ? strchr(units, toupper((unsigned char)*end)) : NULL;
    if (unit) {
        v *= (double)(1ull << (10 * (unit - units + 1)));
        end++;
        if (*end == 'i' && toupper((unsigned char)end[1]) == 'B') end++;
    }
    if (toupper((unsigned char)*end) == 'B') end++;
    if (*end || v >= 0x1p62 || v < 1) return false;
    *bytes = (uint64_t)v;
    return true;
}

static bool opt_store(const Opt *o, const char *text)
{
    char *end;
    errno = 0;
    if (o->kind == OPT_STR) {
        *(const char **)o->to = text;
    } else if (o->kind == OPT_LIST) {
        list_add(o->to, text);
    } else if (o->kind == OPT_INT) {
        long v = strtol(text, &end, 10);
        if (end == text || *end || errno || v < 0 || v > INT_MAX) {
            error_say("--%s takes a whole number, not '%s'", o->name, text);
            return false;
        }
        *(int *)o->to = (int)v;
    } else if (o->kind == OPT_BYTES) {
        if (!parse_bytes(text, o->to)) {
            error_say("--%s takes a size such as 300M, 512K or 2G, not '%s'", o->name, text);
            return false;
        }
    } else {
        double v = strtod(text, &end);
        if (end == text || *end || errno || !(v >= 0)) {
            error_say("--%s takes a number that is not negative, not '%s'", o->name, text);
            return false;
        }
        *(double *)o->to = v;
    }
    return true;
}

bool args_parse(const Command *c, const Opt *opts, int argc, char **argv, StrList *words, int *exit_code)
{
    bool options = true;
    *exit_code = EXIT_BAD;
    for (int i = 0; i < argc; i++) {
        const char *arg = argv[i];
        if (!options || arg[0] != '-' || !arg[1]) {
            list_add(words, arg);
            continue;
        }
        if (!strcmp(arg, "--")) {
            options = false;
            continue;
        }
        if (!strcmp(arg, "--help") || !strcmp(arg, "-h")) {
            help_print(c, opts);
            *exit_code = EXIT_OK;
            return false;
        }
        const char *name = arg + (arg[1] == '-' ? 2 : 1), *equals = strchr(name, '=');
        size_t len = equals ? (size_t)(equals - name) : strlen(name);
        const Opt *o = opt_find(opts, name, len);
        if (!o || (o->name[1] != 0) != (arg[1] == '-')) {
            opt_unknown(c, opts, arg);
            return false;
        }
        if (o->kind == OPT_FLAG) {
            if (equals) {
                error_say("--%s takes no value", o->name);
                return false;
            }
            *(bool *)o->to = true;
            continue;
        }
        if (!equals && i + 1 == argc) {
            error_say("%s needs a value: %s %s", arg, arg, o->metavar);
            return false;
        }
        if (!opt_store(o, equals ? equals + 1 : argv[++i])) return false;
    }
    return true;
}

bool args_words(const Command *c, const StrList *words, int lo, int hi, const char *what)
{
    if (words->n < lo) {
        error_say("%s is missing: dlvkc %s %s (`dlvkc %s --help` says more)", what, c->name, c->args, c->name);
        return false;
    }
    if (hi >= 0 && words->n > hi) {
        error_say("unexpected argument '%s': dlvkc %s %s", words->at[hi], c->name, c->args);
        return false;
    }
    return true;
}
