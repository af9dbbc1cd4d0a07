/* pcached: one node of the cluster. See pcached(8). */
#define _GNU_SOURCE
#include <signal.h>
#include <sodium.h>
#include <stdio.h>
#include <sys/resource.h>

#include "disk_advice.h"
#include "reactor.h"

extern char **environ;

static int exit_status_of(pc_err err)
{
    switch (err) {
    case PC_E_LOCKED:
        return PC_EXIT_TEMPFAIL;
    case PC_E_CORRUPT:
    case PC_E_VERSION:
        return PC_EXIT_DATA;
    default:
        return PC_EXIT_IO;
    }
}

/* Connections are bounded by [limits]; the descriptors must be there for them. */
static void raise_descriptor_limit(void)
{
    struct rlimit limit;
    if (getrlimit(RLIMIT_NOFILE, &limit) == 0 && limit.rlim_cur < limit.rlim_max) {
        limit.rlim_cur = limit.rlim_max < 65536 ? limit.rlim_max : 65536;
        (void)setrlimit(RLIMIT_NOFILE, &limit); /* what is there is there */
    }
}

int main(int argc, char **argv)
{
    struct pc_config config;
    int status = 0;
    if (!pc_cli_start(argc, argv, environ, &config, &status)) {
        return status;
    }
    if (sodium_init() < 0) {
        fprintf(stderr, "pcached: libsodium cannot be set up\n");
        pc_config_destroy(&config);
        return PC_EXIT_SOFTWARE;
    }
    (void)signal(SIGPIPE, SIG_IGN); /* a client that hangs up is no reason to die */
    raise_descriptor_limit();
    pc_log_setup(config.log.level, config.log.format, config.node.name);
    struct identity identity;
    struct pc_error error;
    pc_err err = identity_open(config.node.data_dir, &identity, &error);
    if (err != PC_OK) {
        pc_log(PC_LOG_ERROR, "cannot start", "reason", error.text, NULL);
        disk_advice_log(config.node.data_dir, err);
        status = exit_status_of(err);
    } else {
        status = reactor_run(&config, &identity);
        identity_close(&identity);
    }
    pc_config_destroy(&config);
    return status;
}
