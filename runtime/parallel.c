#include "runtime/parallel.h"
#include <pthread.h>
#include <stdatomic.h>
#include <unistd.h>

typedef struct Job {
    atomic_int next;
    int n;
    void (*f)(void *, int);
    void *user;
} Job;

static void *work(void *arg)
{
    Job *j = arg;
    for (int i; (i = atomic_fetch_add(&j->next, 1)) < j->n;) j->f(j->user, i);
    return NULL;
}

void rt_parallel(int threads, int n, void (*f)(void *, int), void *user)
{
    enum { MAX_THREADS = 64 };
    pthread_t thread[MAX_THREADS];
    Job job = {.n = n, .f = f, .user = user};
    if (threads <= 0) threads = (int)sysconf(_SC_NPROCESSORS_ONLN);
    if (threads > n) threads = n;
    if (threads > MAX_THREADS) threads = MAX_THREADS;
    int started = 0;
    while (started < threads - 1 && pthread_create(&thread[started], NULL, work, &job) == 0) started++;
    work(&job);
    for (int i = 0; i < started; i++) pthread_join(thread[i], NULL);
}
