/* What needs no node: key gen, help, version. And the table of commands. */
#include "pcadmin_int.h"

#include <sodium.h>

#include "pcache/os.h"
#include "pclog/pclog_int.h"

const struct command commands[] = {
    {"status", NULL, "", 0, 0, NULL, "the members and how far they are", run_status},
    {"members", NULL, "", 0, 0, NULL, "the members as one node sees them", run_members},
    {"member", "list", "", 0, 0, NULL, "the same", run_members},
    {"member", "add", "NAME", 1, 1, "role", "invite a node, by the name that it will come under",
        run_member_add},
    {"member", "remove", "NAME", 1, 1, NULL, "take a member out of the cluster", run_member_remove},
    {"member", "promote", "NAME", 1, 1, NULL, "let a replica or spare become a voter",
        run_member_promote},
    {"member", "demote", "NAME", 1, 1, NULL, "let a voter become a replica", run_member_demote},
    {"member", "replace", "NAME", 1, 1, NULL,
        "let a node with an empty disk take its place, dead or alive", run_member_replace},
    {"health", NULL, "", 0, 0, NULL, "whether each endpoint is ready", run_health},
    {"leader", NULL, "", 0, 0, NULL, "who leads", run_leader_show},
    {"leader", "show", "", 0, 0, NULL, "the same", run_leader_show},
    {"leader", "transfer", "[TARGET]", 0, 1, NULL,
        "hand leadership to the named member, or to the best one", run_leader_transfer},
    {"cluster", "recover", "", 0, 0, "config set accept-data-loss",
        "offline, last resort: make this node the only voter of a new history",
        run_cluster_recover},
    {"get", NULL, "KEY", 1, 1, "local", "write the value to standard output", run_get},
    {"put", NULL, "KEY [VALUE]", 1, 2, "ttl if-version if-absent",
        "store a value; - or none: from standard input", run_put},
    {"del", NULL, "KEY", 1, 1, "if-version", "delete a key", run_del},
    {"snapshot", "save", "FILE", 1, 1, "newest",
        "make a snapshot on one node, and keep a checked copy of it", run_snapshot_save},
    {"snapshot", "inspect", "FILE", 1, 1, NULL, "check a snapshot and say what it is of",
        run_snapshot_inspect},
    {"snapshot", "restore", "FILE", 1, 1, "data-dir name members",
        "make the data directory of the first node of a new cluster", run_snapshot_restore},
    {"log", "dump", "DIR", 1, 1, "from",
        "print the committed entries of a log on this machine, each as a line of JSON",
        run_log_dump},
    {"log", "tail", "", 0, 0, "from follow",
        "print the committed entries of the cluster's log in the same way", run_log_tail},
    {"rollback", "list", "", 0, 0, NULL, "what nodes have written alone, and then closed",
        run_rollback_list},
    {"rollback", "show", "NAME|FILE", 1, 1, NULL, "the records of one", run_rollback_show},
    {"rollback", "replay", "NAME|FILE", 1, 1, "if-unchanged force again dry-run",
        "write to the cluster what became of each key in it", run_rollback_replay},
    {"rollback", "remove", "NAME", 1, 1, NULL, "remove one from its node", run_rollback_remove},
    {"key", "gen", "", 0, 0, NULL, "make a cluster key: 64 hex digits", run_key_gen},
    {"help", NULL, "", 0, 0, NULL, "print this", run_help},
    {"version", NULL, "", 0, 0, NULL, "print the version of pcadmin", run_version},
    {NULL, NULL, NULL, 0, 0, NULL, NULL, NULL},
};

static int flush_output(void)
{
    if (fflush(stdout) == 0 && !ferror(stdout)) {
        return EXIT_YES;
    }
    fprintf(stderr, "pcadmin: the output cannot be written\n");
    return EXIT_LOCAL_IO;
}

int run_key_gen(const struct args *args)
{
    (void)args;
    uint8_t key[32];
    char text[65];
    pc_entropy(key, sizeof key);
    pc_hex_encode(key, sizeof key, text);
    printf("%s\n", text);
    sodium_memzero(key, sizeof key);
    sodium_memzero(text, sizeof text);
    return flush_output();
}

int run_log_dump(const struct args *args)
{
    struct pc_error error = {0};
    pc_err err = pclog_dump_json(pc_fs_posix(), args->positionals[0], args->from, stdout, &error);
    int status = flush_output();
    if (err != PC_OK) {
        fprintf(stderr, "pcadmin: %s\n", error.text);
        status = err == PC_E_NOT_FOUND ? EXIT_NO : exit_of_error(err);
    }
    return status;
}

int run_help(const struct args *args)
{
    (void)args;
    args_print_help(stdout, commands, NULL);
    return flush_output();
}

int run_version(const struct args *args)
{
    (void)args;
    printf("pcadmin %s\n", PC_VERSION);
    return flush_output();
}
