/* Golden scripts: tests/sim/scripts/<name>.sim, histories that a reviewer can read.
 *
 *     # comment                  commands first,
 *     nodes 3
 *     elect 1                    then a line of dashes,
 *     ----
 *     > elect 1                  then what must come out: each command, and what the nodes did
 *     1: follower -> precandidate, term 1
 *
 * With REWRITE=1 in the environment the part behind the dashes is written anew instead of compared;
 * SCRIPT=name picks one script. The language is described in docs/TESTING.md. */
#include <dirent.h>
#include <stdio.h>

#include "unit/raft/raft_net.h"

#define SCRIPTS_DIR "tests/sim/scripts"
#define SCRIPT_BYTES_MAX 65536

struct script {
    const char *name;
    struct net *net;
    char out[SCRIPT_BYTES_MAX];
    size_t out_n;
    struct pc_raft_status seen[NET_NODES_MAX + 1];
    bool seen_up[NET_NODES_MAX + 1];
    struct pc_raft_msg held[8];
    size_t held_n;
};

static void say(struct script *s, const char *format, ...) __attribute__((format(printf, 2, 3)));

static void say(struct script *s, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    int n = vsnprintf(s->out + s->out_n, sizeof s->out - s->out_n, format, args);
    va_end(args);
    assert_true(n >= 0 && s->out_n + (size_t)n < sizeof s->out);
    s->out_n += (size_t)n;
}

/* ---- what the nodes do, as text */

static unsigned long long num(uint64_t v)
{
    return (unsigned long long)v;
}

static const char *role_text(enum pc_raft_role role)
{
    static const char *const names[] = {"?", "follower", "precandidate", "candidate", "leader"};
    return names[role];
}

static void say_append(struct script *s, const struct pc_raft_msg *m)
{
    say(s, "append after %llu/%llu", num(m->u.append.prev_index), num(m->u.append.prev_term));
    for (size_t i = 0; i < m->entries.n; i++) {
        const struct pc_entry *entry = &m->entries.v[i];
        struct pc_slice body = pc_blob_slice(entry->body);
        say(s, " [%llu/%llu %.*s]", num(entry->index), num(entry->term),
            body.len > 0 ? (int)body.len : 4, body.len > 0 ? (const char *)body.data : "noop");
    }
    say(s, " commit %llu round %llu", num(m->u.append.commit), num(m->u.append.round));
}

static void say_append_resp(struct script *s, const struct pc_raft_msg *m)
{
    if (m->u.append_resp.accepted) {
        say(s, "accepted to %llu", num(m->u.append_resp.match));
    } else {
        say(s, "refused after %llu, try %llu/%llu", num(m->u.append_resp.match),
            num(m->u.append_resp.hint), num(m->u.append_resp.hint_term));
    }
    say(s, " round %llu", num(m->u.append_resp.round));
    if (m->u.append_resp.fetching > 0) {
        say(s, " fetching to %llu", num(m->u.append_resp.fetching));
    }
}

static void say_msg(struct script *s, const struct pc_raft_msg *m)
{
    say(s, "%llu -> %llu  term %llu ", num(m->from), num(m->to), num(m->term));
    switch (m->type) {
    case PC_RAFT_MSG_VOTE:
        say(s, "%s%s, log ends %llu/%llu", m->u.vote.pre ? "prevote?" : "vote?",
            m->u.vote.transfer ? " by order" : "", num(m->u.vote.last_index),
            num(m->u.vote.last_term));
        break;
    case PC_RAFT_MSG_VOTE_RESP:
        say(s, "%s %s", m->u.vote_resp.pre ? "prevote" : "vote",
            m->u.vote_resp.granted ? "granted" : "refused");
        break;
    case PC_RAFT_MSG_APPEND:
        say_append(s, m);
        break;
    case PC_RAFT_MSG_APPEND_RESP:
        say_append_resp(s, m);
        break;
    case PC_RAFT_MSG_READ:
        say(s, "read? %llu", num(m->u.read.ctx));
        break;
    case PC_RAFT_MSG_READ_RESP:
        say(s, "read %llu index %llu", num(m->u.read.ctx), num(m->u.read.index));
        break;
    case PC_RAFT_MSG_TIMEOUT_NOW:
        say(s, "campaign now");
        break;
    case PC_RAFT_MSG_SNAPSHOT:
        say(s, "snapshot before %llu, commit %llu round %llu", num(m->u.snapshot.first),
            num(m->u.snapshot.commit), num(m->u.snapshot.round));
        break;
    }
    say(s, "\n");
}

static void say_change(struct script *s, pc_node_id id)
{
    struct pc_raft_status now = net_status(s->net, id), *was = &s->seen[id];
    if (!s->seen_up[id]) {
        say(s, "%llu: starts, term %llu vote %llu, log ends %llu, commit %llu\n", num(id),
            num(now.term), num(now.vote), num(now.last), num(now.commit));
        s->seen_up[id] = true;
    } else {
        if (now.role == was->role && now.term != was->term) {
            say(s, "%llu: term %llu\n", num(id), num(now.term));
        } else if (now.role != was->role) {
            say(s, "%llu: %s -> %s, term %llu\n", num(id), role_text(was->role),
                role_text(now.role), num(now.term));
        }
        if (now.leader != was->leader && now.leader != id) {
            say(s, "%llu: leader %llu\n", num(id), num(now.leader));
        }
        if (now.commit != was->commit) {
            say(s, "%llu: commit %llu\n", num(id), num(now.commit));
        }
        if (now.divergence != was->divergence) {
            say(s, "%llu: DIVERGENCE\n", num(id));
        }
    }
    *was = now;
}

static void say_write(struct script *s, pc_node_id id, const struct pc_raft_write *w)
{
    say(s, "%llu: writes", num(id));
    if (w->has_vote) {
        say(s, " term %llu vote %llu", num(w->term), num(w->vote));
    }
    if (w->truncate_from > 0) {
        say(s, " truncate %llu", num(w->truncate_from));
    }
    if (w->entries.n > 0) {
        say(s, " entries %llu..%llu", num(w->entries.v[0].index),
            num(w->entries.v[w->entries.n - 1].index));
    }
    say(s, "\n");
}

static void script_watch(struct net *net, pc_node_id id, const struct pc_raft_effects *fx)
{
    struct script *s = net->watch_context;
    say_change(s, id);
    for (size_t i = 0; i < fx->writes_n; i++) {
        say_write(s, id, &fx->writes[i]);
    }
    for (size_t i = 0; i < fx->msgs_n; i++) {
        say_msg(s, &fx->msgs[i]);
    }
    for (size_t i = 0; i < fx->reads_n; i++) {
        say(s, "%llu: read %llu %s %llu\n", num(id), num(fx->reads[i].ctx),
            fx->reads[i].index != 0 ? "at" : "refused", num(fx->reads[i].index));
    }
}

/* ---- the commands */

struct args {
    size_t n;
    char v[10][32];
};

static pc_node_id arg_node(const struct script *s, const struct args *args, size_t i)
{
    pc_node_id id = i < args->n ? strtoull(args->v[i], NULL, 10) : 0;
    if (s->net == NULL || id < 1 || id > s->net->n) {
        fail_msg("%s: %s: argument %zu is not a node", s->name, args->v[0], i);
    }
    return id;
}

static const char *arg_text(const struct script *s, const struct args *args, size_t i)
{
    if (i >= args->n) {
        fail_msg("%s: %s: argument %zu is missing", s->name, args->v[0], i);
    }
    return args->v[i];
}

static uint64_t arg_number(const struct script *s, const struct args *args, size_t i)
{
    return strtoull(arg_text(s, args, i), NULL, 10);
}

static void cmd_nodes(struct script *s, const struct args *args)
{
    size_t n = arg_number(s, args, 1);
    assert_true(n >= 1 && n <= NET_NODES_MAX && s->net == NULL);
    s->net = net_new(n);
    s->net->watch = script_watch;
    s->net->watch_context = s;
    for (pc_node_id id = 1; id <= n; id++) {
        s->seen[id] = net_status(s->net, id);
        s->seen_up[id] = true;
    }
}

/* log 2 1 1 3: node 2 restarts with entries of these terms behind the CONFIG entry, all durable */
static void cmd_log(struct script *s, const struct args *args)
{
    pc_node_id id = arg_node(s, args, 1);
    net_crash(s->net, id);
    for (size_t i = 2; i < args->n; i++) {
        net_disk_add(s->net, id, arg_number(s, args, i), "x");
    }
    net_start(s->net, id);
    s->seen[id] = net_status(s->net, id);
}

static void cmd_timeout(struct script *s, const struct args *args)
{
    net_time_out(s->net, arg_node(s, args, 1));
}

static void cmd_elect(struct script *s, const struct args *args)
{
    net_elect(s->net, arg_node(s, args, 1));
}

static void cmd_propose(struct script *s, const struct args *args)
{
    pc_node_id id = arg_node(s, args, 1);
    if (!pc_raft_can_propose(s->net->nodes[id].raft)) {
        say(s, "%llu: takes no proposals\n", num(id));
        return;
    }
    net_propose(s->net, id, arg_text(s, args, 2));
}

static void cmd_read(struct script *s, const struct args *args)
{
    net_read(s->net, arg_node(s, args, 1), arg_number(s, args, 2));
}

static void cmd_transfer(struct script *s, const struct args *args)
{
    net_transfer(s->net, arg_node(s, args, 1), arg_node(s, args, 2));
}

static void cmd_lost(struct script *s, const struct args *args)
{
    net_leader_lost(s->net, arg_node(s, args, 1), arg_node(s, args, 2));
}

static void cmd_sync(struct script *s, const struct args *args)
{
    if (!net_sync(s->net, arg_node(s, args, 1))) {
        say(s, "nothing to sync\n");
    }
}

static void cmd_crash(struct script *s, const struct args *args)
{
    pc_node_id id = arg_node(s, args, 1);
    net_crash(s->net, id);
    s->seen_up[id] = false;
    say(s, "%llu: down\n", num(id));
}

static void cmd_restart(struct script *s, const struct args *args)
{
    pc_node_id id = arg_node(s, args, 1);
    net_start(s->net, id);
    say_change(s, id);
}

/* deliver [from [to]]: all that is on its way now, not what comes of it; 0 = anybody */
static void cmd_deliver(struct script *s, const struct args *args)
{
    pc_node_id from = args->n > 1 ? arg_number(s, args, 1) : 0;
    pc_node_id to = args->n > 2 ? arg_number(s, args, 2) : 0;
    size_t left = s->net->msgs_n, kept = 0;
    for (; left > 0; left--) {
        const struct pc_raft_msg *m = &s->net->msgs[kept];
        if ((from == 0 || m->from == from) && (to == 0 || m->to == to)) {
            net_deliver_at(s->net, kept);
        } else {
            kept++;
        }
    }
}

static void cmd_drop(struct script *s, const struct args *args)
{
    net_drop(s->net, 0, args->n > 1 ? arg_number(s, args, 1) : 0,
        args->n > 2 ? arg_number(s, args, 2) : 0);
}

static void cmd_cut(struct script *s, const struct args *args)
{
    s->net->cut[arg_node(s, args, 1)][arg_node(s, args, 2)] = true;
}

static void cmd_isolate(struct script *s, const struct args *args)
{
    pc_node_id id = arg_node(s, args, 1);
    for (pc_node_id other = 1; other <= s->net->n; other++) {
        s->net->cut[id][other] = s->net->cut[other][id] = other != id;
    }
}

static void cmd_heal(struct script *s, const struct args *args)
{
    (void)args;
    memset(s->net->cut, 0, sizeof s->net->cut);
}

static void cmd_settle(struct script *s, const struct args *args)
{
    (void)args;
    net_settle(s->net);
}

static void cmd_run(struct script *s, const struct args *args)
{
    net_run(s->net, arg_number(s, args, 1));
}

/* tick 500: time passes, nobody wakes */
static void cmd_tick(struct script *s, const struct args *args)
{
    net_sleep(s->net, arg_number(s, args, 1));
}

static void cmd_hold(struct script *s, const struct args *args)
{
    assert_true(s->held_n < 8);
    s->held[s->held_n++] = net_hold(s->net, 0, arg_node(s, args, 1), arg_node(s, args, 2));
}

/* late: the message held first arrives now */
static void cmd_late(struct script *s, const struct args *args)
{
    (void)args;
    assert_true(s->held_n > 0);
    struct pc_raft_msg m = s->held[0];
    s->held_n--;
    memmove(s->held, s->held + 1, s->held_n * sizeof s->held[0]);
    net_recv(s->net, &m);
    pc_raft_msg_clear(&m);
}

static void cmd_state(struct script *s, const struct args *args)
{
    (void)args;
    for (pc_node_id id = 1; id <= s->net->n; id++) {
        if (!net_is_up(s->net, id)) {
            say(s, "%llu: down\n", num(id));
            continue;
        }
        struct pc_raft_status status = net_status(s->net, id);
        say(s, "%llu: %s, term %llu, leader %llu, log", num(id), role_text(status.role),
            num(status.term), num(status.leader));
        for (pc_index i = status.first_in_memory; i <= status.last; i++) {
            say(s, " %llu", num(pc_raft_term_at(s->net->nodes[id].raft, i)));
        }
        say(s, ", durable %llu, commit %llu\n", num(status.durable), num(status.commit));
    }
}

struct command {
    const char *name;
    void (*run)(struct script *s, const struct args *args);
    bool quiet; /* what the nodes do meanwhile is not printed */
};

static const struct command commands[] = {
    {"nodes", cmd_nodes, false},
    {"log", cmd_log, false},
    {"timeout", cmd_timeout, false},
    {"elect", cmd_elect, true},
    {"propose", cmd_propose, false},
    {"read", cmd_read, false},
    {"transfer", cmd_transfer, false},
    {"lost", cmd_lost, false},
    {"sync", cmd_sync, false},
    {"crash", cmd_crash, false},
    {"restart", cmd_restart, false},
    {"deliver", cmd_deliver, false},
    {"drop", cmd_drop, false},
    {"cut", cmd_cut, false},
    {"isolate", cmd_isolate, false},
    {"heal", cmd_heal, false},
    {"settle", cmd_settle, false},
    {"run", cmd_run, true},
    {"tick", cmd_tick, false},
    {"hold", cmd_hold, false},
    {"late", cmd_late, false},
    {"state", cmd_state, false},
};

static void script_forget_changes(struct script *s)
{
    for (pc_node_id id = 1; s->net != NULL && id <= s->net->n; id++) {
        if (net_is_up(s->net, id)) {
            s->seen[id] = net_status(s->net, id);
        }
    }
}

/* Changes of state that a quiet command made, once, without the messages. */
static void script_say_changes(struct script *s)
{
    for (pc_node_id id = 1; s->net != NULL && id <= s->net->n; id++) {
        if (net_is_up(s->net, id)) {
            say_change(s, id);
        }
    }
}

static void script_line(struct script *s, char *line)
{
    line[strcspn(line, "#")] = '\0';
    struct args args = {0};
    for (char *at = line; *(at += strspn(at, " \t")) != '\0';) {
        size_t len = strcspn(at, " \t");
        assert_true(args.n < 10 && len < sizeof args.v[0]);
        memcpy(args.v[args.n++], at, len);
        at += len;
    }
    if (args.n == 0) {
        return;
    }
    say(s, ">");
    for (size_t i = 0; i < args.n; i++) {
        say(s, " %s", args.v[i]);
    }
    say(s, "\n");
    for (size_t i = 0; i < sizeof commands / sizeof commands[0]; i++) {
        if (strcmp(commands[i].name, args.v[0]) == 0) {
            if (commands[i].quiet) {
                s->net->watch = NULL;
            }
            commands[i].run(s, &args);
            s->net->watch = script_watch;
            script_say_changes(s);
            script_forget_changes(s);
            return;
        }
    }
    fail_msg("%s: unknown command \"%s\"", s->name, args.v[0]);
}

/* ---- files */

static size_t file_read(const char *path, char *out)
{
    FILE *file = fopen(path, "r");
    if (file == NULL) {
        fail_msg("cannot open %s", path);
    }
    size_t n = fread(out, 1, SCRIPT_BYTES_MAX - 1, file);
    assert_true(n < SCRIPT_BYTES_MAX - 1 && fclose(file) == 0);
    out[n] = '\0';
    return n;
}

static void file_rewrite(const char *path, const char *head, size_t head_n, const char *tail)
{
    FILE *file = fopen(path, "w");
    assert_non_null(file);
    assert_true(fwrite(head, 1, head_n, file) == head_n);
    assert_true(fprintf(file, "----\n%s", tail) > 0);
    assert_int_equal(fclose(file), 0);
}

/* The first line that differs, for people. */
static void fail_at_difference(const char *path, const char *want, const char *got)
{
    size_t line = 1;
    while (*want != '\0' && *want == *got) {
        line += *want == '\n' ? 1 : 0;
        want++;
        got++;
    }
    fail_msg("%s: output line %zu differs:\n  expected ...%.*s\n  got      ...%.*s\n"
             "(make sim-scripts REWRITE=1 writes it anew; read the difference)",
        path, line, (int)strcspn(want, "\n"), want, (int)strcspn(got, "\n"), got);
}

static void script_run(const char *name)
{
    char path[512], text[SCRIPT_BYTES_MAX];
    (void)snprintf(path, sizeof path, "%s/%s", SCRIPTS_DIR, name);
    (void)file_read(path, text);
    char *dashes = strstr(text, "----\n");
    assert_true(dashes == NULL || dashes == text || dashes[-1] == '\n');
    size_t head_n = dashes != NULL ? (size_t)(dashes - text) : strlen(text);
    char *commands_text = pc_xalloc(head_n + 1);
    memcpy(commands_text, text, head_n);
    struct script *s = pc_xalloc(sizeof *s);
    s->name = name;
    for (char *line = commands_text; *line != '\0';) {
        size_t len = strcspn(line, "\n");
        bool is_last = line[len] == '\0';
        line[len] = '\0';
        script_line(s, line);
        line += is_last ? len : len + 1;
    }
    if (getenv("REWRITE") != NULL && strcmp(getenv("REWRITE"), "1") == 0) {
        file_rewrite(path, text, head_n, s->out);
    } else if (dashes == NULL || strcmp(dashes + 5, s->out) != 0) {
        fail_at_difference(path, dashes != NULL ? dashes + 5 : "", s->out);
    }
    for (size_t i = 0; i < s->held_n; i++) {
        pc_raft_msg_clear(&s->held[i]);
    }
    net_delete(s->net);
    free(s);
    free(commands_text);
}

static void scripts__all_of_them__give_what_they_say(void **state)
{
    (void)state;
    DIR *dir = opendir(SCRIPTS_DIR);
    if (dir == NULL) {
        fail_msg("no %s: run this from the top of the repository", SCRIPTS_DIR);
    }
    const char *only = getenv("SCRIPT");
    size_t ran = 0;
    for (struct dirent *entry; (entry = readdir(dir)) != NULL;) {
        size_t len = strlen(entry->d_name);
        bool is_script = len > 4 && strcmp(entry->d_name + len - 4, ".sim") == 0;
        bool is_picked = only == NULL || only[0] == '\0' ||
                         (strlen(only) == len - 4 && strncmp(only, entry->d_name, len - 4) == 0);
        if (is_script && is_picked) {
            script_run(entry->d_name);
            ran++;
        }
    }
    (void)closedir(dir);
    assert_true(ran > 0);
}

static const struct CMUnitTest tests[] = {
    PC_TEST(scripts__all_of_them__give_what_they_say),
};

PC_TEST_MAIN("raft_scripts", tests)
