/* Log lines of several threads at once: each is whole, none is lost without being counted. */
#define _GNU_SOURCE
#include "support/test.h"

#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "pcache/os.h"

#define THREADS 4
#define LINES 500
#define BUCKET 3

static pthread_barrier_t begin;

static void *write_lines(void *arg)
{
    const uint64_t *thread = arg;
    (void)pthread_barrier_wait(&begin);
    for (uint64_t i = 0; i < LINES; i++) {
        pc_log(PC_LOG_INFO, "line", "thread", pc_log_u64(*thread), "i", pc_log_u64(i), "id",
            pc_log_id(*thread), NULL);
    }
    return NULL;
}

static void *write_limited_lines(void *arg)
{
    const uint64_t *thread = arg;
    (void)pthread_barrier_wait(&begin);
    for (uint64_t i = 0; i < LINES; i++) {
        pc_log_limited(BUCKET, PC_LOG_INFO, "limited", "thread", pc_log_u64(*thread), NULL);
    }
    return NULL;
}

/* What the threads wrote to standard error; to be freed. */
static char *text_of_threads(void *(*run)(void *))
{
    pthread_t threads[THREADS];
    uint64_t numbers[THREADS];
    (void)fflush(stderr);
    int saved = dup(STDERR_FILENO);
    int file = memfd_create("log", MFD_CLOEXEC);
    assert_true(saved >= 0 && file >= 0 && dup2(file, STDERR_FILENO) >= 0);
    /* Threads share the position in a memory file without a lock, other than in a file on disk. */
    assert_int_equal(fcntl(file, F_SETFL, O_APPEND), 0);
    assert_int_equal(pthread_barrier_init(&begin, NULL, THREADS), 0);
    for (uint64_t i = 0; i < THREADS; i++) {
        numbers[i] = i;
        assert_int_equal(pthread_create(&threads[i], NULL, run, &numbers[i]), 0);
    }
    for (size_t i = 0; i < THREADS; i++) {
        assert_int_equal(pthread_join(threads[i], NULL), 0);
    }
    assert_int_equal(pthread_barrier_destroy(&begin), 0);
    assert_true(dup2(saved, STDERR_FILENO) >= 0);
    (void)close(saved);
    off_t len = lseek(file, 0, SEEK_END);
    char *text = calloc(1, (size_t)len + 1);
    assert_non_null(text);
    assert_int_equal(pread(file, text, (size_t)len, 0), len);
    (void)close(file);
    return text;
}

static void log__lines_of_threads__are_whole_and_in_order(void **state)
{
    (void)state;
    pc_log_setup(PC_LOG_INFO, PC_LOG_LOGFMT, "n");
    char *text = text_of_threads(write_lines);
    unsigned next[THREADS] = {0};
    char *rest = NULL;
    for (char *line = strtok_r(text, "\n", &rest); line; line = strtok_r(NULL, "\n", &rest)) {
        unsigned thread = 0, i = 0, id = 0;
        int end = 0;
        const char *fields = strstr(line, "msg=");
        assert_non_null(fields);
        assert_int_equal(
            sscanf(fields, "msg=\"line\" thread=%u i=%u id=%x%n", &thread, &i, &id, &end), 3);
        assert_int_equal(fields[end], '\0');
        assert_true(strncmp(line, "ts=", 3) == 0 && thread < THREADS && id == thread);
        assert_int_equal(i, next[thread]++);
    }
    for (size_t i = 0; i < THREADS; i++) {
        assert_int_equal(next[i], LINES);
    }
    free(text);
}

static size_t count_of(const char *text, const char *part)
{
    size_t n = 0;
    while ((text = strstr(text, part)) != NULL) {
        text += strlen(part);
        n++;
    }
    return n;
}

/* One bucket for all threads: ten lines for each second that the threads took, not ten of each. */
static void log_limited__by_threads__shares_one_allowance(void **state)
{
    (void)state;
    pc_log_setup(PC_LOG_INFO, PC_LOG_LOGFMT, "n");
    struct pc_instant began = pc_clock_now();
    char *text = text_of_threads(write_limited_lines);
    size_t seconds = (size_t)pc_instant_ms_between(began, pc_clock_now()) / 1000 + 1;
    size_t lines = count_of(text, "msg=limited") + count_of(text, "msg=\"limited\"");
    assert_in_range(lines, 10, 10 * (seconds + 1));
    free(text);
}

static const struct CMUnitTest tests[] = {
    PC_TEST(log__lines_of_threads__are_whole_and_in_order),
    PC_TEST(log_limited__by_threads__shares_one_allowance),
};

PC_TEST_MAIN("log_threads", tests)
