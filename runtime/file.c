#include "runtime/file.h"
#include "runtime/error.h"
#include <errno.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static bool write_at(int fd, uint64_t at, const void *data, uint64_t n)
{
    for (const uint8_t *p = data; n;) {
        ssize_t w = pwrite(fd, p, n < 1u << 30 ? n : 1u << 30, (off_t)at);
        if (w < 0 && errno == EINTR) continue;
        if (w <= 0) return false;
        p += w, at += (uint64_t)w, n -= (uint64_t)w;
    }
    return true;
}

dlvk_status rt_file_write(const char *path, const FilePiece *pieces, size_t n, uint64_t size, dlvk_error *err)
{
    static atomic_uint counter; /* makes names distinct within the process; the process id does it between processes */
    size_t room = strlen(path) + 40;
    char *temp = malloc(room);
    if (!temp) return rt_error(err, DLVK_OUT_OF_MEMORY, "%s: out of memory", path);
    snprintf(temp, room, "%s.tmp%ld.%u", path, (long)getpid(), atomic_fetch_add(&counter, 1));
    int fd = open(temp, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
    bool ok = fd >= 0 && ftruncate(fd, (off_t)size) == 0;
    for (size_t i = 0; ok && i < n; i++) ok = write_at(fd, pieces[i].offset, pieces[i].data, pieces[i].length);
    int reason = errno;
    if (fd >= 0 && close(fd) != 0 && ok) ok = false, reason = errno;
    if (ok && rename(temp, path) != 0) ok = false, reason = errno;
    if (!ok && fd >= 0) unlink(temp);
    free(temp);
    return ok ? DLVK_OK : rt_error(err, DLVK_IO_ERROR, "%s: %s", path, strerror(reason));
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
