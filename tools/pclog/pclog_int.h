/* pclog_int.h: the program but for main. */
#ifndef PC_PCLOG_INT_H
#define PC_PCLOG_INT_H

#include <stdio.h>

#include "pcache/fs.h"

/* Exit statuses, shared with pcadmin where they mean the same. */
enum {
    PCLOG_GOOD = 0,
    PCLOG_NO = 1,
    PCLOG_USAGE = 2,
    PCLOG_LOCAL_IO = 6,
    PCLOG_DAMAGED = 8,
};

/* Runs the command line, prints to the two files; returns the exit status. */
int pc_pclog_run(const struct pc_fs *fs, int argc, char **argv, FILE *out, FILE *err_out);

#endif
