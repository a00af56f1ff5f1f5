#include "runtime/file.h"
#include "dlvk/runtime.h"
#include "runtime/error.h"
#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

bool rt_file_begin(FileOut *f, const char *path)
{
    static atomic_uint counter; /* makes names distinct within the process; the process id does it between processes */
    struct stat sb;
    *f = (FileOut){.fd = -1};
    bool there = stat(path, &sb) == 0;
    if (there && !S_ISREG(sb.st_mode)) {
        f->fd = open(path, O_WRONLY | O_CLOEXEC);
        return f->fd >= 0;
    }
    f->path = there ? realpath(path, NULL) : strdup(path);
    size_t room = f->path ? strlen(f->path) + 40 : 0;
    f->temp = f->path ? malloc(room) : NULL;
    if (f->temp) {
        snprintf(f->temp, room, "%s.tmp%ld.%u", f->path, (long)getpid(), atomic_fetch_add(&counter, 1));
        f->fd = open(f->temp, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
    }
    return f->fd >= 0 || rt_file_end(f, false);
}

bool rt_file_end(FileOut *f, bool ok)
{
    int reason = errno;
    if (f->fd >= 0 && close(f->fd) != 0 && ok) ok = false, reason = errno;
    if (ok && f->temp && rename(f->temp, f->path) != 0) ok = false, reason = errno;
    if (!ok && f->fd >= 0 && f->temp) unlink(f->temp);
    free(f->temp);
    free(f->path);
    *f = (FileOut){.fd = -1};
    errno = reason;
    return ok;
}

/* data NULL: zeros */
static bool write_all(int fd, const uint8_t *data, uint64_t n)
{
    static const uint8_t zeros[4096];
    while (n) {
        uint64_t most = data ? 1u << 30 : sizeof zeros;
        ssize_t w = write(fd, data ? data : zeros, n < most ? n : most);
        if (w < 0 && errno == EINTR) continue;
        if (w <= 0) return false;
        if (data) data += w;
        n -= (uint64_t)w;
    }
    return true;
}

dlvk_status rt_file_write(const char *path, const FilePiece *pieces, size_t n, uint64_t size, dlvk_error *err)
{
    FileOut f;
    uint64_t at = 0;
    bool begun = rt_file_begin(&f, path), ok = begun;
    for (size_t i = 0; ok && i < n; i++) {
        assert(pieces[i].offset >= at);
        ok = write_all(f.fd, NULL, pieces[i].offset - at) && write_all(f.fd, pieces[i].data, pieces[i].length);
        at = pieces[i].offset + pieces[i].length;
    }
    ok = ok && write_all(f.fd, NULL, size - at);
    if (begun) ok = rt_file_end(&f, ok);
    return ok ? DLVK_OK : rt_error(err, DLVK_IO_ERROR, "%s: %s", path, strerror(errno));
}

dlvk_status dlvk_file_write(const char *path, const void *data, size_t size, dlvk_error *err)
{
    if (!path || (!data && size)) return rt_error(err, DLVK_INVALID_ARGUMENT, "dlvk_file_write: a NULL argument");
    return rt_file_write(path, &(FilePiece){0, data, size}, 1, size, err);
}

dlvk_status rt_file_read(const char *path, void **data, size_t *size, dlvk_error *err)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    struct stat sb;
    uint8_t *buf = NULL;
    bool ok = fd >= 0 && fstat(fd, &sb) == 0;
    if (ok) ok = (buf = malloc((size_t)sb.st_size + 1)) != NULL;
    size_t n = 0;
    while (ok && n < (size_t)sb.st_size) {
        ssize_t r = read(fd, buf + n, (size_t)sb.st_size - n);
        if (r < 0 && errno == EINTR) continue;
        if (r <= 0) {
            if (r == 0) errno = EIO; /* it became shorter */
            ok = false;
        } else {
            n += (size_t)r;
        }
    }
    dlvk_status st = ok ? DLVK_OK : rt_error(err, DLVK_IO_ERROR, "%s: %s", path, strerror(errno));
    if (fd >= 0) close(fd);
    if (!ok) {
        free(buf);
        return st;
    }
    *data = buf;
    *size = n;
    return DLVK_OK;
}
