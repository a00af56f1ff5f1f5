/* Dimension expressions: identities that must hold as pointers, and random expressions against plain arithmetic. */
#include "ir/dim.h"

#include <criterion/criterion.h>
#include <string.h>

static Pool pool;
static DimTable table;
static DimTable *t = &table;

static void setup(void)
{
    dim_table_init(t, &pool);
}
static void teardown(void)
{
    pool_free(&pool);
}
TestSuite(dim, .init = setup, .fini = teardown);

static const Dim *parse(const char *text)
{
    const char *s = text;
    const Dim *d = dim_parse(t, &s);
    cr_assert(d && *s == '\0', "'%s' does not parse (stopped at '%s')", text, s);
    return d;
}

/* Both sides of "x == y" are one pointer, and print as one text. */
static void same(const char *x, const char *y)
{
    const Dim *a = parse(x), *b = parse(y);
    cr_expect(a == b, "%s is %s, %s is %s", x, dim_to_string(&pool, a), y, dim_to_string(&pool, b));
}

Test(dim, sums_and_products)
{
    same("(a+b)-b", "a");
    same("2*a-a", "a");
    same("a-a", "0");
    same("b+a+3+a-1", "2*a+b+2");
    same("(a+b)*(a-b)", "a*a-b*b");
    same("(a+1)*b-b", "a*b");
    same("a*b*c", "c*(b*a)");
    same("-(-a)", "a");
    same("0*a", "0");
    same("a*(b+c)", "c*a+b*a");
    cr_expect_str_eq(dim_to_string(&pool, parse("1+seq*2")), "2*seq+1");
    cr_expect_str_eq(dim_to_string(&pool, parse("b*a-c-7")), "a*b-c-7");
    cr_expect_str_eq(dim_to_string(&pool, parse("0-2*(a%3)")), "-2*(a%3)");
}

Test(dim, quotients)
{
    same("a*12*64/64", "a*12");
    same("a*b/b", "a");
    same("(a*b+b)/b", "a+1");
    same("(a*a+2*a+1)/(a+1)", "a+1");
    same("(4*a+6)/4", "a+1+0*a");
    same("(4*a+3)/4", "a");
    same("(6*a+4)/4", "a+(2*a+4)/4");
    same("(2*a+2*b)/4", "(a+b)/2");
    same("a*b*3/(a*c)", "3*b/c");
    same("(a*b+c)/a", "b+c/a");
    same("a/2/3", "a/6");
    same("((h-1)/2+1-1)/2", "(h-1)/4");
    same("((h+3)/2+5)/2", "(h+13)/4");
    same("0-(-a)/4", "(a+3)/4"); /* the two ways to round up */
    same("a/(-2)", "(-a)/2");
    same("7/2", "3");
    same("(-7)/2", "-4");
    same("7/(-2)", "-4");
    cr_expect(dim_ceildiv(t, parse("a"), parse("4")) == parse("(a+3)/4"));
    cr_expect(parse("(x+1)/2")->kind == DIM_FLOORDIV);
    cr_expect(parse("5/0")->kind == DIM_FLOORDIV);
}

Test(dim, remainders)
{
    same("a%1", "0");
    same("(4*a+6)%4", "2");
    same("(a*b)%b", "0");
    same("(a*b+c)%b", "c%b");
    same("(2*a)%4", "2*(a%2)");
    same("(6*a+7)%4", "2*((a+1)%2)+1");
    same("(-7)%3", "2");
    same("7%(-3)", "-2");
    cr_expect(parse("5%0")->kind == DIM_MOD);
}

Test(dim, bounds_decide)
{
    dim_symbol(t, "n")->sym->lo = 1;
    dim_symbol(t, "n")->sym->hi = 8;
    same("n/9", "0");
    same("n%9", "n");
    same("min(n,8)", "n");
    same("max(n,1)", "n");
    same("max(n-9,0)", "0");
    same("min(a,a+n)", "a");
    same("(a*9+n)/9", "a+n/9");
    same("min(min(a,b),b)", "min(b,a)");
    same("max(min(a,b),a)", "a");
    cr_expect(parse("min(n,4)")->kind == DIM_MIN);
}

Test(dim, range_is_tight_where_it_matters)
{
    int64_t lo, hi;
    dim_symbol(t, "a")->sym->lo = 1;
    dim_range(parse("a*b-b"), &lo, &hi); /* b*(a-1) */
    cr_expect(lo == 0);
    dim_range(parse("(a+1)/2"), &lo, &hi);
    cr_expect(lo == 1 && hi == 1 << 30);
    dim_range(parse("a*b*c*d"), &lo, &hi);
    cr_expect(lo == 0 && hi == INT64_MAX);
    const Dim *n = dim_fresh(t, "n", parse("min(b,100)"), true);
    dim_range(n, &lo, &hi);
    cr_expect(lo == 0 && hi == 100);
    cr_expect(dim_has_data_symbol(dim_add(t, n, parse("a"))) && !dim_has_data_symbol(parse("a*b")));
}

Test(dim, symbols)
{
    cr_expect(dim_symbol(t, "batch") == dim_symbol(t, "batch"));
    const Dim *x = dim_fresh(t, "batch", NULL, false), *y = dim_fresh(t, "batch", NULL, false);
    cr_expect(x != y && x != dim_symbol(t, "batch") && strncmp(x->sym->name, "batch", 5) == 0);
    const Dim *odd = dim_symbol(t, "a \"b\"\\n\n(1+2)*3"), *min = dim_symbol(t, "min");
    same(dim_to_string(&pool, dim_add(t, odd, min)), dim_to_string(&pool, dim_add(t, min, odd)));
    cr_expect(parse(dim_to_string(&pool, odd)) == odd && parse(dim_to_string(&pool, min)) == min);
}

Test(dim, substitution)
{
    const Dim *map[8] = {0}, *d = parse("(h+2*p-3)/2+1");
    map[dim_symbol(t, "p")->sym->index] = dim_const(t, 1);
    cr_expect(dim_subst(t, d, map) == parse("(h-1)/2+1"));
    map[dim_symbol(t, "h")->sym->index] = dim_const(t, 224);
    cr_expect(dim_is(dim_subst(t, d, map), 112));
}

Test(dim, syntax_errors)
{
    for (const char *const *bad =
             (const char *const[]){"", "+", "a+", "(a", "min(a)", "max(a,b", "$\"a", "9223372036854775808", "a*", ")", 0};
         *bad; bad++) {
        const char *s = *bad;
        cr_expect(dim_parse(t, &s) == NULL, "'%s' parses", *bad);
    }
    char deep[2001];
    memset(deep, '(', 2000);
    deep[2000] = '\0';
    const char *s = deep;
    cr_expect(dim_parse(t, &s) == NULL);
}

/* Folding that would overflow leaves an expression; nothing traps, and text still round-trips. */
Test(dim, overflow)
{
    const Dim *big = dim_const(t, INT64_MAX), *low = dim_const(t, INT64_MIN), *a = dim_symbol(t, "a"), *b = dim_symbol(t, "b");
    const Dim *leaf[] = {
        big, low, dim_const(t, -1), dim_const(t, 3), a, dim_mul(t, big, a), dim_mul(t, low, b), dim_add(t, a, low)};
    enum { N = sizeof leaf / sizeof *leaf };
    const Dim *(*const fn[])(DimTable *, const Dim *, const Dim *) = {dim_add,     dim_sub, dim_mul, dim_floordiv,
                                                                      dim_ceildiv, dim_mod, dim_min, dim_max};
    for (unsigned f = 0; f < sizeof fn / sizeof *fn; f++) {
        for (int i = 0; i < N; i++) {
            for (int j = 0; j < N; j++) {
                const Dim *d = fn[f](t, leaf[i], leaf[j]), *e = dim_mul(t, dim_sub(t, d, leaf[(i + j) % N]), d);
                cr_expect(parse(dim_to_string(&pool, d)) == d, "%s", dim_to_string(&pool, d));
                cr_expect(parse(dim_to_string(&pool, e)) == e, "%s", dim_to_string(&pool, e));
            }
        }
    }
}

/* ---- random expressions --------------------------------------------------------------------------------------------- */

static uint64_t state;
static int pick(int n)
{
    state = state * 6364136223846793005u + 1442695040888963407u;
    return (int)((state >> 33) % (uint64_t)n);
}

enum { N_SYM = 4, N_VALUES = 6 };
static const char *const sym_name[N_SYM] = {"batch", "seq", "h", "w"};

/* The same expression through the API and in plain arithmetic for N_VALUES choices of the symbols. */
typedef struct Pair {
    const Dim *d;
    bool ok[N_VALUES]; /* false: divides by zero, or grew too large to be of interest */
    int64_t v[N_VALUES];
} Pair;

static int64_t floor_div(int64_t a, int64_t b)
{
    return a / b - (a % b != 0 && (a < 0) != (b < 0));
}

static Pair random_pair(int depth, int64_t values[N_VALUES][N_SYM])
{
    Pair r;
    if (depth == 0 || pick(8) == 0) {
        int c = pick(25) - 8, s = pick(N_SYM);
        bool is_const = pick(5) < 2;
        r.d = is_const ? dim_const(t, c) : dim_symbol(t, sym_name[s]);
        for (int i = 0; i < N_VALUES; i++) {
            r.ok[i] = true;
            r.v[i] = is_const ? c : values[i][s];
        }
        return r;
    }
    int op = pick(12);
    Pair a = random_pair(depth - 1, values), b = random_pair(depth - 1, values);
    r.d = op < 3    ? dim_add(t, a.d, b.d)
          : op < 5  ? dim_sub(t, a.d, b.d)
          : op < 7  ? dim_mul(t, a.d, b.d)
          : op < 8  ? dim_floordiv(t, a.d, b.d)
          : op < 9  ? dim_ceildiv(t, a.d, b.d)
          : op < 10 ? dim_mod(t, a.d, b.d)
          : op < 11 ? dim_min(t, a.d, b.d)
                    : dim_max(t, a.d, b.d);
    for (int i = 0; i < N_VALUES; i++) {
        int64_t x = a.v[i], y = b.v[i];
        r.ok[i] = a.ok[i] && b.ok[i] && llabs(x) < 1 << 24 && llabs(y) < 1 << 24 && !(op >= 7 && op < 10 && y == 0);
        if (!r.ok[i]) continue;
        r.v[i] = op < 3    ? x + y
                 : op < 5  ? x - y
                 : op < 7  ? x * y
                 : op < 8  ? floor_div(x, y)
                 : op < 9  ? -floor_div(-x, y)
                 : op < 10 ? x - y * floor_div(x, y)
                 : op < 11 ? (x < y ? x : y)
                           : (x > y ? x : y);
    }
    return r;
}

Test(dim, random_expressions)
{
    DimTable fresh;
    int checked = 0;
    for (uint64_t seed = 1; seed <= 6000; seed++) {
        state = seed * 0x9e3779b97f4a7c15u;
        int64_t values[N_VALUES][N_SYM];
        for (int i = 0; i < N_VALUES; i++)
            for (int s = 0; s < N_SYM; s++) values[i][s] = i == 0 ? 1 : pick(i == 1 ? 4 : 50);
        for (int s = 0; s < N_SYM; s++) dim_symbol(t, sym_name[s]);
        Pair p = random_pair(1 + (int)(seed % 5), values);
        const char *text = dim_to_string(&pool, p.d);
        const char *at = text;
        const Dim *again = dim_parse(t, &at);
        cr_assert(again == p.d && *at == '\0', "seed %d: %s became %s", (int)seed, text,
                  again ? dim_to_string(&pool, again) : "an error");
        dim_table_init(&fresh, &pool); /* text means the same, and prints the same, where nothing is known of the history */
        at = text;
        cr_assert_str_eq(dim_to_string(&pool, dim_parse(&fresh, &at)), text, "seed %d", (int)seed);
        int64_t lo, hi;
        dim_range(p.d, &lo, &hi);
        for (int i = 0; i < N_VALUES; i++) {
            if (!p.ok[i]) continue;
            int64_t got = 0;
            cr_assert(dim_eval(p.d, values[i], &got) && got == p.v[i], "seed %d: %s at (%d,%d,%d,%d) is %lld, not %lld",
                      (int)seed, text, (int)values[i][0], (int)values[i][1], (int)values[i][2], (int)values[i][3],
                      (long long)p.v[i], (long long)got);
            cr_assert(lo <= got && got <= hi, "seed %d: %s is %lld, outside [%lld, %lld]", (int)seed, text, (long long)got,
                      (long long)lo, (long long)hi);
            checked++;
        }
    }
    cr_expect(checked > 20000);
}
