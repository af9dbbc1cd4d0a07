/* program.h: programs run to their end, their output and exit status; and child processes. */
#ifndef PC_IT_PROGRAM_H
#define PC_IT_PROGRAM_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

#define IT_ARGS_MAX 64
#define IT_STILL_RUNNING -1

/* Starts `argv` (argv[0] without a slash is looked for in $PCACHE_BIN) with standard output and
 * error appended to the two files; it dies with this process. `env` holds extra variables, NULL for
 * none; nothing else is passed on but PATH and the sanitizers' options. */
pid_t it_program_start(
    const char *const *argv, const char *const *env, const char *out_path, const char *err_path);
/* Exit status, 128 + number when ended by a signal, or IT_STILL_RUNNING. */
int it_program_poll(pid_t pid);

struct it_output {
    int status;
    char out[65536]; /* standard output, cut when longer */
    char err[16384];
};
/* Runs a program to its end; fails the test when that takes longer than 20 s. */
void it_program_run(const char *const *argv, const char *const *env, struct it_output *out);
/* The same with the arguments spelled out: it_run(&out, "pcadmin", "status"). */
#define it_run(output, ...) it_program_run((const char *const[]){__VA_ARGS__, NULL}, NULL, (output))

/* Whether the build directory has this program. */
bool it_program_exists(const char *name);
/* Reads a text file into out, its end when it is longer than max - 1; "" when missing. */
void it_file_read_end(const char *path, char *out, size_t max);

#endif
