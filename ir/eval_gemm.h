/* Template: a blocked matrix product on wide elements. The includer defines T (the element) and GEMM (the name).
 *
 * c[i][j] += sum over l of rows[i][at + l] * b[l*b_row + j*b_col], for i < m, j < n, l < k. A row that is NULL counts as
 * zeros: so convolution is this product, with rows that point into its operand or, in the padding, nowhere. b_row = b_col = 0
 * repeats a splat. `pack` has room for GEMM_PACK elements. */
static void GEMM(int64_t m, int64_t n, int64_t k, const T *const *rows, int64_t at, const T *b, int64_t b_row, int64_t b_col,
                 T *c, int64_t c_row, T *pack)
{
    enum { KC = 256, NC = 64, NR = 4, MR = 4 };
    _Static_assert((KC * NC) <= GEMM_PACK, "room for a block of b");
    static const T zeros[KC];
    for (int64_t l0 = 0; l0 < k; l0 += KC)
        for (int64_t j0 = 0; j0 < n; j0 += NC) {
            int64_t kc = k - l0 < KC ? k - l0 : KC, nc = n - j0 < NC ? n - j0 : NC, panels = (nc + NR - 1) / NR;
            for (int64_t p = 0; p < panels; p++) /* panels of NR columns, zero beyond the last */
                for (int64_t l = 0; l < kc; l++)
                    for (int64_t j = 0; j < NR; j++) {
                        int64_t column = p * NR + j;
                        pack[(p * kc + l) * NR + j] = column < nc ? b[(l0 + l) * b_row + (j0 + column) * b_col] : 0;
                    }
            for (int64_t i0 = 0; i0 < m; i0 += MR) {
                const T *a[MR];
                bool any = false;
                for (int64_t i = 0; i < MR; i++) {
                    const T *row = i0 + i < m ? rows[i0 + i] : NULL;
                    a[i] = row ? row + at + l0 : zeros;
                    any = any || row;
                }
                if (!any) continue;
                for (int64_t p = 0; p < panels; p++) {
                    T acc[MR][NR] = {{0}};
                    const T *q = pack + p * kc * NR;
                    for (int64_t l = 0; l < kc; l++, q += NR)
                        for (int64_t i = 0; i < MR; i++)
                            for (int64_t j = 0; j < NR; j++) acc[i][j] += a[i][l] * q[j];
                    for (int64_t i = 0; i < MR && i0 + i < m; i++)
                        for (int64_t j = 0; j < NR && p * NR + j < nc; j++) c[(i0 + i) * c_row + j0 + p * NR + j] += acc[i][j];
                }
            }
        }
}
#undef T
#undef GEMM
