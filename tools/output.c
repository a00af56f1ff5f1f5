/* What commands write: outputs of models, and files that are there whole or not at all. */
#include "tools/dlvkc.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

dlvk_status output_read(dlvk_session *s, int i, dlvk_host_tensor *t, dlvk_error *err)
{
    dlvk_tensor_info info;
    size_t bytes;
    *t = (dlvk_host_tensor){0};
    dlvk_status status = dlvk_session_output_info(s, i, &info, &bytes, err);
    if (status) return status;
    t->name = text_format("%s", info.name);
    t->dtype = info.dtype;
    t->rank = info.rank;
    memcpy(t->dim, info.dim, sizeof t->dim);
    t->bytes = bytes;
    t->data = must_alloc(bytes, 1);
    return dlvk_session_get_output(s, info.name, t->data, bytes, err);
}

bool output_write(const char *dir, const char *name, const dlvk_host_tensor *t)
{
    dlvk_error err;
    char *path = text_format("%s/%s.npy", dir, name);
    for (char *p = path + strlen(dir) + 1; *p; p++)
        if (*p == '/') *p = '_';
    bool ok = !dlvk_host_tensor_write_npy(path, t, &err);
    if (!ok) error_say("%s", err.text);
    free(path);
    return ok;
}

bool dir_make(const char *dir)
{
    if (!mkdir(dir, 0777) || errno == EEXIST) return true;
    error_say("%s: %s", dir, strerror(errno));
    return false;
}

bool file_write(const char *path, const void *data, size_t size)
{
    dlvk_error err;
    bool ok = !dlvk_file_write(path, data, size, &err);
    if (!ok) error_say("%s", err.text);
    return ok;
}

char *json_text(yyjson_mut_doc *doc)
{
    const yyjson_write_flag any_bytes = YYJSON_WRITE_ALLOW_INVALID_UNICODE | YYJSON_WRITE_ESCAPE_UNICODE;
    yyjson_write_err why;
    char *text = yyjson_mut_write_opts(doc, YYJSON_WRITE_PRETTY, NULL, NULL, &why);
    if (!text) text = yyjson_mut_write_opts(doc, YYJSON_WRITE_PRETTY | any_bytes, NULL, NULL, &why);
    if (!text) error_say("JSON: %s", why.msg);
    yyjson_mut_doc_free(doc);
    return text;
}

bool json_write(const char *path, yyjson_mut_doc *doc)
{
    char *text = json_text(doc);
    bool ok = text && file_write(path, text, strlen(text));
    free(text);
    return ok;
}
