/* Messages, colour, progress, and small text helpers. Colour and progress appear on terminals only. */
#include "tools/dlvkc.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

const char *colour(FILE *f, Colour c)
{
    static const char *const code[] = {"\033[0m", "\033[31m", "\033[32m", "\033[33m", "\033[1m", "\033[2m"};
    const char *term = getenv("TERM");
    bool on = isatty(fileno(f)) && !getenv("NO_COLOR") && !(term && !strcmp(term, "dumb"));
    return on ? code[c] : "";
}

static void say(Colour c, const char *what, const char *fmt, va_list ap)
{
    progress_end();
    flockfile(stderr);
    fprintf(stderr, "dlvkc: %s%s:%s ", colour(stderr, c), what, colour(stderr, PLAIN));
    vfprintf(stderr, fmt, ap);
    fputc('\n', stderr);
    funlockfile(stderr);
}

void error_say(const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    say(RED, "error", fmt, ap);
    va_end(ap);
}

void note_say(const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    say(DIM, "note", fmt, ap);
    va_end(ap);
}

double now_ms(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec * 1e3 + (double)t.tv_nsec * 1e-6;
}

static _Atomic double progress_from; /* when the first call came; 0: not under way */
static atomic_bool progress_line;    /* a status line stands on the terminal */

void progress_show(void *user, const char *stage, int done, int total)
{
    (void)user;
    if (!isatty(STDERR_FILENO)) return;
    double now = now_ms(), none = 0;
    atomic_compare_exchange_strong(&progress_from, &none, now);
    if (now - atomic_load(&progress_from) < 2000) return;
    atomic_store(&progress_line, true);
    if (total > 1)
        fprintf(stderr, "\r\033[K%s %d of %d", stage, done, total);
    else
        fprintf(stderr, "\r\033[K%s", stage);
}

void progress_end(void)
{
    if (atomic_exchange(&progress_line, false)) fprintf(stderr, "\r\033[K");
    atomic_store(&progress_from, 0);
}

void *must_alloc(size_t count, size_t size)
{
    void *p = calloc(count ? count : 1, size ? size : 1);
    if (!p) {
        fprintf(stderr, "dlvkc: error: out of memory (%zu elements of %zu bytes)\n", count, size);
        exit(EXIT_BAD);
    }
    return p;
}

char *text_format(const char *fmt, ...)
{
    va_list ap, again;
    va_start(ap, fmt);
    va_copy(again, ap);
    int n = vsnprintf(NULL, 0, fmt, ap);
    va_end(ap);
    char *s = must_alloc((size_t)(n < 0 ? 0 : n) + 1, 1);
    vsnprintf(s, (size_t)(n < 0 ? 0 : n) + 1, fmt, again);
    va_end(again);
    return s;
}

const char *size_text(double bytes, char buf[32])
{
    static const char *const unit[] = {"B", "KiB", "MiB", "GiB", "TiB"};
    int u = 0;
    for (; bytes >= 1024 && u < 4; u++) bytes /= 1024;
    snprintf(buf, 32, u ? "%.1f %s" : "%.0f %s", bytes, unit[u]);
    return buf;
}

const char *type_text(dlvk_dtype t, int rank, const int64_t *dim, const char *const *symbol, char *buf, size_t size)
{
    size_t at = 0;
    at += (size_t)snprintf(buf, size, "%s[", dlvk_dtype_name(t));
    for (int i = 0; i < rank && at < size; i++) {
        if (dim[i] < 0 && symbol && symbol[i])
            at += (size_t)snprintf(buf + at, size - at, "%s%s", i ? "," : "", symbol[i]);
        else
            at += (size_t)snprintf(buf + at, size - at, "%s%" PRId64, i ? "," : "", dim[i]);
    }
    if (at < size) snprintf(buf + at, size - at, "]");
    return buf;
}
