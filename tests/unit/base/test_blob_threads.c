/* References of one blob taken and given up by several threads at once, as the engine and the log
 * thread do. What a run cannot see (the order of memory) the thread sanitizer judges: `make tsan`.
 */
#include "support/test.h"

#include <pthread.h>
#include <string.h>

#include "pcache/blob.h"

#define THREADS 4
#define ROUNDS 50000

/* A thread that uses the blob and gives its own reference up at the end. */
static void *use_blob(void *arg)
{
    struct pc_blob *blob = arg;
    size_t seen = 0;
    for (int i = 0; i < ROUNDS; i++) {
        struct pc_blob *mine = pc_blob_ref(blob);
        seen += pc_blob_slice(mine).len;
        pc_blob_unref(mine);
    }
    bool good = seen == (size_t)ROUNDS * blob->len;
    pc_blob_unref(blob);
    return good ? arg : NULL;
}

static void start_all(pthread_t *threads, struct pc_blob *blob)
{
    for (int i = 0; i < THREADS; i++) {
        assert_int_equal(pthread_create(&threads[i], NULL, use_blob, pc_blob_ref(blob)), 0);
    }
}

static void join_all(const pthread_t *threads)
{
    for (int i = 0; i < THREADS; i++) {
        void *result = NULL;
        assert_int_equal(pthread_join(threads[i], &result), 0);
        assert_non_null(result);
    }
}

static void blob__shared_by_threads__keeps_its_count(void **state)
{
    (void)state;
    struct pc_blob *blob = NULL;
    pthread_t threads[THREADS];
    assert_ok(pc_blob_new(pc_slice_str("shared by all"), &blob));
    start_all(threads, blob);
    join_all(threads);
    assert_int_equal(__atomic_load_n(&blob->refs, __ATOMIC_RELAXED), 1);
    pc_blob_unref(blob);
}

/* Whoever is last frees; nobody frees twice, and nobody reads what is freed. */
static void blob__given_up_by_its_owner_first__lives_until_the_last(void **state)
{
    (void)state;
    struct pc_blob *blob = NULL;
    pthread_t threads[THREADS];
    assert_ok(pc_blob_new(pc_slice_str("left behind"), &blob));
    start_all(threads, blob);
    pc_blob_unref(blob);
    join_all(threads);
}

static const struct CMUnitTest tests[] = {
    PC_TEST(blob__shared_by_threads__keeps_its_count),
    PC_TEST(blob__given_up_by_its_owner_first__lives_until_the_last),
};

PC_TEST_MAIN("blob_threads", tests)
