/* A parallel for: the little threading that loading needs. */
#ifndef DLVK_RUNTIME_PARALLEL_H
#define DLVK_RUNTIME_PARALLEL_H

/* Calls f(user, i) once for every i < n on up to `threads` threads (0: all cores), the caller's among them; returns when
 * all calls have. Where no thread can be had, the caller does all the work. */
void rt_parallel(int threads, int n, void (*f)(void *user, int i), void *user);

#endif
