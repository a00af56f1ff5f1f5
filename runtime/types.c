/* dlvk/types.h: names of statuses and element types, and messages. */
#include "runtime/error.h"
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

const char *dlvk_status_name(dlvk_status s)
{
    static const char *const names[] = {
        [DLVK_OK] = "ok",
        [DLVK_INVALID_ARGUMENT] = "invalid argument",
        [DLVK_UNSUPPORTED] = "unsupported",
        [DLVK_BAD_FILE] = "bad file",
        [DLVK_IO_ERROR] = "input/output error",
        [DLVK_OUT_OF_MEMORY] = "out of memory",
        [DLVK_NO_DEVICE] = "no device",
        [DLVK_DEVICE_LOST] = "device lost",
        [DLVK_INTERNAL] = "internal error",
    };
    return (unsigned)s < sizeof names / sizeof *names ? names[s] : "?";
}

static const struct {
    const char *name;
    unsigned bits;
} dtypes[] = {
#define ROW(id, name, bits, cls, onnx) {name, bits},
    DLVK_DTYPES(ROW)
#undef ROW
};

const char *dlvk_dtype_name(dlvk_dtype t)
{
    return (unsigned)t < DLVK_DTYPE_COUNT ? dtypes[t].name : "?";
}

size_t dlvk_dtype_size(dlvk_dtype t, size_t count)
{
    if ((unsigned)t >= DLVK_DTYPE_COUNT) return 0;
    unsigned bits = dtypes[t].bits;
    if (t == DLVK_STRING) return count * sizeof(dlvk_string);
    return bits >= 8 ? count * (bits / 8) : count / 8 * bits + (count % 8 * bits + 7) / 8;
}

static void append(dlvk_error *err, size_t at, const char *fmt, va_list ap)
{
    size_t room = sizeof err->text - at;
    int n = vsnprintf(err->text + at, room, fmt, ap);
    if (n < 0)
        err->text[at] = 0;
    else if ((size_t)n >= room)
        memcpy(err->text + sizeof err->text - 4, "...", 4);
}

dlvk_status rt_error(dlvk_error *err, dlvk_status status, const char *fmt, ...)
{
    if (err) {
        va_list ap;
        va_start(ap, fmt);
        append(err, 0, fmt, ap);
        va_end(ap);
    }
    return status;
}

void rt_error_more(dlvk_error *err, const char *fmt, ...)
{
    if (!err) return;
    size_t at = strnlen(err->text, sizeof err->text);
    if (at + 8 >= sizeof err->text) return;
    if (at) err->text[at++] = '\n';
    va_list ap;
    va_start(ap, fmt);
    append(err, at, fmt, ap);
    va_end(ap);
}
