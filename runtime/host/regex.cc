// Regular expressions, in RE2's syntax, by RE2: matching takes time linear in the text, whatever the pattern.
#include "runtime/host/host.h"
#include <new>
#include <re2/re2.h>
#include <string>

static dlvk_status match(dlvk_host_call *c)
{
    const dlvk_string *pattern = host_strings(&c->in[1]), *x = host_strings(&c->in[0]);
    RE2::Options options;
    options.set_log_errors(false);
    RE2 re(std::string(pattern->at ? pattern->at : "", pattern->len), options);
    if (!re.ok()) return host_fail(c, DLVK_INVALID_ARGUMENT, "the pattern '%s': %s", re.pattern().c_str(), re.error().c_str());
    int64_t n = host_count(&c->in[0]);
    uint8_t *y = static_cast<uint8_t *>(host_result(c, 0, &c->in[0], 1));
    if (!y) return host_no_memory(c);
    for (int64_t i = 0; i < n; i++) y[i] = RE2::FullMatch(re2::StringPiece(x[i].at, x[i].len), re);
    return DLVK_OK;
}

// in: strings; the pattern, one string.
dlvk_status host_regex_full_match(dlvk_host_call *c)
{
    const dlvk_dtype in[] = {DLVK_STRING, DLVK_STRING}, out[] = {DLVK_BOOL};
    if (!host_signature(c, 2, in, 1, out)) return DLVK_BAD_FILE;
    if (host_count(&c->in[1]) != 1) return host_fail(c, DLVK_INVALID_ARGUMENT, "one pattern is needed");
    try {
        return match(c);
    } catch (const std::bad_alloc &) {
        return host_no_memory(c);
    }
}
