/* Seeds are independent of each other, so that processes can share them out; threads could not, for
 * a run that dies takes its process with it.
 *
 * Each process takes the next seed when it has done one. So when one fails, every seed before it
 * has been taken by somebody, and ends, unless a smaller one fails in it: the seed reported is the
 * smallest that fails, as with one process. What a process prints goes to a file of its own, for
 * only that of the failing seed is to be read. */
#define _GNU_SOURCE
#include "sim/sim_jobs.h"

#include <inttypes.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

struct job {
    pid_t pid;
    uint64_t seed; /* which it runs, or ran last */
    int status;    /* of that seed */
    struct pc_sim_stats stats;
};

/* Shared by all processes. Seeds count from `from`. */
struct board {
    _Atomic uint64_t next;
    _Atomic uint64_t end; /* none from here on: the smallest that failed, and before that all */
    struct job job[SIM_JOBS_MAX];
};

static bool take(const struct sim_jobs *jobs, struct board *board, uint64_t *out)
{
    if (jobs->is_over(jobs->arg)) {
        return false;
    }
    *out = atomic_fetch_add(&board->next, 1);
    return *out < atomic_load(&board->end);
}

static void lower_end(struct board *board, uint64_t to)
{
    uint64_t end = atomic_load(&board->end);
    while (to < end && !atomic_compare_exchange_weak(&board->end, &end, to)) {
    }
}

/* Runs seeds until there are no more, or one fails. */
static void work(const struct sim_jobs *jobs, struct board *board, struct job *job)
{
    uint64_t at;
    while (job->status == 0 && take(jobs, board, &at)) {
        job->seed = at;
        job->status = jobs->run(jobs->arg, jobs->from + at, &job->stats);
    }
    if (job->status != 0) {
        lower_end(board, job->seed);
    }
}

static void start(const struct sim_jobs *jobs, struct board *board, struct job *job, FILE *output)
{
    pid_t parent = getpid();
    (void)fflush(stdout);
    pid_t pid = fork();
    if (pid != 0) {
        job->pid = pid; /* by the parent alone: the child shares it */
        return;
    }
    (void)prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (getppid() != parent || dup2(fileno(output), STDOUT_FILENO) < 0) {
        _exit(1);
    }
    work(jobs, board, job);
    (void)fflush(stdout);
    _exit(0);
}

/* A process that died in a seed, or could not be started, counts as that seed's failure. */
static void await(struct board *board, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        struct job *job = &board->job[i];
        int how = 0;
        if (job->pid < 0 || waitpid(job->pid, &how, 0) != job->pid || how != 0) {
            job->status = job->status != 0 ? job->status : 1;
            lower_end(board, job->seed);
        }
    }
}

static void copy_out(FILE *from)
{
    char part[4096];
    size_t n;
    rewind(from);
    while ((n = fread(part, 1, sizeof part, from)) > 0) {
        (void)fwrite(part, 1, n, stdout);
    }
}

static struct board *board_new(const struct sim_jobs *jobs)
{
    struct board *board =
        mmap(NULL, sizeof *board, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (board == MAP_FAILED) {
        perror("pcsim");
        exit(1);
    }
    atomic_store(&board->end, jobs->count);
    return board;
}

static FILE *output_new(void)
{
    FILE *file = tmpfile();
    if (file == NULL) {
        perror("pcsim");
        exit(1);
    }
    return file;
}

static int sum_up(const struct sim_jobs *jobs, struct board *board, FILE **output,
    struct pc_sim_stats *total, uint64_t *done)
{
    int status = 0;
    uint64_t taken = atomic_load(&board->next), end = atomic_load(&board->end);
    *done = 0;
    for (size_t i = 0; i < jobs->processes; i++) {
        struct job *job = &board->job[i];
        pc_sim_stats_add(total, &job->stats);
        if (job->status != 0 && job->seed == end && status == 0) {
            status = job->status;
            *done = end + 1;
            copy_out(output[i]);
        }
    }
    if (status == 0) {
        *done = taken < end ? taken : end;
    }
    return status;
}

int sim_jobs_run(const struct sim_jobs *jobs, struct pc_sim_stats *total, uint64_t *done)
{
    FILE *output[SIM_JOBS_MAX];
    struct board *board = board_new(jobs);
    if (jobs->processes == 1) {
        output[0] = output_new();
        work(jobs, board, &board->job[0]);
    } else {
        for (size_t i = 0; i < jobs->processes; i++) {
            output[i] = output_new();
            start(jobs, board, &board->job[i], output[i]);
        }
        await(board, jobs->processes);
    }
    int status = sum_up(jobs, board, output, total, done);
    for (size_t i = 0; i < jobs->processes; i++) {
        (void)fclose(output[i]);
    }
    (void)munmap(board, sizeof *board);
    return status;
}
