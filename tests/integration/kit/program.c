#define _GNU_SOURCE
#include "integration/kit/program.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "integration/kit/suite.h"

#define RUN_MS_MAX 20000

static void program_path(const char *name, char *out, size_t max)
{
    const char *bin = getenv("PCACHE_BIN");
    int used = strchr(name, '/') != NULL
                   ? snprintf(out, max, "%s", name)
                   : snprintf(out, max, "%s/%s", bin != NULL ? bin : "build", name);
    assert_true(used > 0 && (size_t)used < max);
}

bool it_program_exists(const char *name)
{
    char path[512];
    program_path(name, path, sizeof path);
    return access(path, X_OK) == 0;
}

/* Between fork and exec: only what may be done there. */
static void child_run(const char *path, const char *const *argv, char *const *env, int out, int err)
{
    /* With the parent gone already, nobody would ever end this process. */
    if (prctl(PR_SET_PDEATHSIG, SIGKILL) != 0 || getppid() == 1 || dup2(out, 1) < 0 ||
        dup2(err, 2) < 0) {
        _exit(126);
    }
    execve(path, (char *const *)(uintptr_t)argv, env);
    _exit(127);
}

static void environment_make(const char *const *extra, const char **out, size_t max)
{
    static const char *const kept[] = {"PATH", "ASAN_OPTIONS", "UBSAN_OPTIONS", "TSAN_OPTIONS"};
    static char texts[4][1024];
    size_t n = 0;
    for (size_t i = 0; i < 4; i++) {
        const char *value = getenv(kept[i]);
        if (value != NULL) {
            (void)snprintf(texts[i], sizeof texts[i], "%s=%s", kept[i], value);
            out[n++] = texts[i];
        }
    }
    for (; extra != NULL && *extra != NULL && n < max - 1; extra++) {
        out[n++] = *extra;
    }
    out[n] = NULL;
}

pid_t it_program_start(
    const char *const *argv, const char *const *env, const char *out_path, const char *err_path)
{
    char path[512];
    const char *environment[32];
    program_path(argv[0], path, sizeof path);
    environment_make(env, environment, 32);
    int out = open(out_path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
    int err = open(err_path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
    assert_true(out >= 0 && err >= 0);
    pid_t pid = fork();
    if (pid == 0) {
        child_run(path, argv, (char *const *)(uintptr_t)environment, out, err);
    }
    close(out);
    close(err);
    assert_true(pid > 0);
    return pid;
}

int it_program_poll(pid_t pid)
{
    int status = 0;
    pid_t ended = waitpid(pid, &status, WNOHANG);
    if (ended != pid) {
        return IT_STILL_RUNNING;
    }
    return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

void it_file_read_end(const char *path, char *out, size_t max)
{
    out[0] = '\0';
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    struct stat status;
    if (fd < 0) {
        return;
    }
    if (fstat(fd, &status) == 0) {
        off_t from = status.st_size > (off_t)(max - 1) ? status.st_size - (off_t)(max - 1) : 0;
        ssize_t got = pread(fd, out, max - 1, from);
        out[got > 0 ? got : 0] = '\0';
    }
    close(fd);
}

void it_program_run(const char *const *argv, const char *const *env, struct it_output *out)
{
    char dir[128], out_path[160], err_path[160];
    pc_test_dir_make(dir);
    (void)snprintf(out_path, sizeof out_path, "%s/out", dir);
    (void)snprintf(err_path, sizeof err_path, "%s/err", dir);
    pid_t pid = it_program_start(argv, env, out_path, err_path);
    uint64_t until = it_now_ms() + RUN_MS_MAX;
    while ((out->status = it_program_poll(pid)) == IT_STILL_RUNNING && it_now_ms() < until) {
        it_pause();
    }
    bool hangs = out->status == IT_STILL_RUNNING;
    if (hangs) {
        (void)kill(pid, SIGKILL);
        (void)waitpid(pid, NULL, 0);
    }
    it_file_read_end(out_path, out->out, sizeof out->out);
    it_file_read_end(err_path, out->err, sizeof out->err);
    pc_test_dir_remove(dir);
    if (hangs) {
        fail_msg("%s has not ended:\n%s%s", argv[0], out->out, out->err);
    }
}
