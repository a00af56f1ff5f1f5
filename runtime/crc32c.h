/* CRC-32C (Castagnoli, RFC 3720 appendix B.4), the checksum of bundles: most CPUs have an instruction for it. */
#ifndef DLVK_RUNTIME_CRC32C_H
#define DLVK_RUNTIME_CRC32C_H

#include <stddef.h>
#include <stdint.h>

/* Continues `crc` (0 to begin) over n bytes. */
uint32_t rt_crc32c(uint32_t crc, const void *data, size_t n);

#endif
