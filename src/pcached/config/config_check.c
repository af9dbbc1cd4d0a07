/* What holds between keys, checked when all layers are in. */
#include "config_int.h"

#include <string.h>

static pc_err fail(const struct pc_config *config, const char *section, const char *name,
    const char *text, struct pc_error *error)
{
    return pc_error_set(error, PC_E_INVALID, "%.100s: %s.%s: %s",
        config_origin(config, section, name), section, name, text);
}

static pc_err check_required(const struct pc_config *config, struct pc_error *error)
{
    const struct {
        const char *section, *name, *text;
    } required[] = {
        {"node", "data_dir", config->node.data_dir},
        {"cluster", "name", config->cluster.name},
        {"http", "listen", config->http.listen},
        {"bus", "listen", config->bus.listen},
    };
    for (size_t i = 0; i < sizeof required / sizeof required[0]; i++) {
        if (required[i].text[0] == '\0') {
            return fail(config, required[i].section, required[i].name, "must not be empty", error);
        }
    }
    return PC_OK;
}

static bool is_loopback(const char *address)
{
    char host[PC_ADDRESS_BYTES_MAX + 1];
    uint16_t port;
    if (pc_os_split_address(address, host, sizeof host, &port) != PC_OK) {
        return false;
    }
    if (strcmp(host, "localhost") == 0 || strcmp(host, "::1") == 0) {
        return true;
    }
    /* Numeric only: "127.example.org" is a name like any other. */
    return strncmp(host, "127.", 4) == 0 && strspn(host, "0123456789.") == strlen(host);
}

static pc_err check_exposure(const struct pc_config *config, struct pc_error *error)
{
    if (config->http.insecure || is_loopback(config->http.listen)) {
        return PC_OK;
    }
    return fail(config, "http", "listen",
        "not a loopback address, and HTTP has no passwords: add insecure = true to [http] if "
        "everybody who can reach it may read and write",
        error);
}

static pc_err check_timers(const struct pc_config *config, struct pc_error *error)
{
    if (config->raft.election_min_ms < 2 * config->raft.heartbeat_ms) {
        return fail(config, "raft", "election_min", "must be at least twice raft.heartbeat", error);
    }
    if (config->raft.election_max_ms <= config->raft.election_min_ms) {
        return fail(config, "raft", "election_max", "must be more than raft.election_min", error);
    }
    return PC_OK;
}

/* Gives the nameless node the only name that it can have. */
static pc_err name_self(
    struct pc_config *config, const char *name, const char *origin, struct pc_error *error)
{
    size_t k = config_key_find(pc_slice_str("node"), pc_slice_str("name"));
    pc_err err = config_values_set(config->values, k, name, origin, error);
    if (err == PC_OK) {
        config->node.name = config->values->v[k].text;
    }
    return err;
}

/* A cluster of one: the node itself, under the address it has. */
static void add_self(struct pc_config *config)
{
    struct pc_config_member *self = &config->cluster.members[0];
    const char *address =
        config->bus.advertise[0] != '\0' ? config->bus.advertise : config->bus.listen;
    (void)snprintf(self->name, sizeof self->name, "%s", config->node.name);
    (void)snprintf(self->address, sizeof self->address, "%s", address);
    config->cluster.members_n = 1;
}

/* A node that joins has a name of its own, and somebody else to ask. */
static pc_err check_join(const struct pc_config *config, struct pc_error *error)
{
    if (config->node.name[0] == '\0') {
        return pc_error_set(error, PC_E_INVALID,
            "node.name is not set: under which name is this node to join? (--set node.name=...)");
    }
    for (size_t i = 0; i < config->cluster.members_n; i++) {
        if (strcmp(config->cluster.members[i].name, config->node.name) != 0) {
            return PC_OK;
        }
    }
    return fail(config, "cluster", "join",
        "cluster.members names no other node to find the cluster by: give at least one, "
        "name=host:port of its bus",
        error);
}

bool pc_config_is_spare(const struct pc_config *config)
{
    for (size_t i = 0; i < config->cluster.spares_n; i++) {
        if (strcmp(config->cluster.spares[i].name, config->node.name) == 0) {
            return true;
        }
    }
    return false;
}

/* Spares stand beside members of a cluster that is written down. */
static pc_err check_spares(const struct pc_config *config, struct pc_error *error)
{
    if (config->cluster.spares_n > 0 && config->cluster.members_n == 0) {
        return fail(config, "cluster", "spares",
            "cluster.members is not set: whose spares are they? give name=host:port of every "
            "initial member",
            error);
    }
    for (size_t i = 0; i < config->cluster.spares_n; i++) {
        const struct pc_config_member *spare = &config->cluster.spares[i];
        for (size_t j = 0; j < config->cluster.members_n; j++) {
            const struct pc_config_member *member = &config->cluster.members[j];
            bool same_name = strcmp(spare->name, member->name) == 0;
            if (same_name || strcmp(spare->address, member->address) == 0) {
                return pc_error_set(error, PC_E_INVALID,
                    "%.60s: cluster.spares: %s has the %s of a member: give it its own",
                    config_origin(config, "cluster", "spares"), spare->name,
                    same_name ? "name" : "address");
            }
        }
    }
    return PC_OK;
}

static pc_err check_members(struct pc_config *config, struct pc_error *error)
{
    if (config->cluster.join) {
        return check_join(config, error);
    }
    if (pc_config_is_spare(config)) {
        return PC_OK;
    }
    const struct pc_config_member *members = config->cluster.members;
    bool nameless = config->node.name[0] == '\0';
    if (config->cluster.members_n == 0) {
        pc_err err = nameless ? name_self(config, "node1", "a cluster of one", error) : PC_OK;
        if (err == PC_OK) {
            add_self(config);
        }
        return err;
    }
    if (nameless && config->cluster.members_n == 1) {
        return name_self(config, members[0].name, "cluster.members", error);
    }
    char names[160] = "";
    size_t used = 0;
    for (size_t i = 0; i < config->cluster.members_n; i++) {
        if (strcmp(members[i].name, config->node.name) == 0) {
            return PC_OK;
        }
        /* Names beyond the room are left out: the list is a reminder. */
        int len = snprintf(names + used, sizeof names - used, " %s", members[i].name);
        used += len > 0 && (size_t)len < sizeof names - used ? (size_t)len : 0;
        names[used] = '\0';
    }
    if (nameless) {
        return pc_error_set(error, PC_E_INVALID,
            "node.name is not set: which of cluster.members is this node? (--set node.name=...; "
            "members:%s)",
            names);
    }
    return pc_error_set(error, PC_E_INVALID,
        "%.60s: node.name: \"%s\" is not one of cluster.members:%.120s",
        config_origin(config, "node", "name"), config->node.name, names);
}

static pc_err check_key(struct pc_config *config, struct pc_error *error)
{
    size_t k = config_key_find(pc_slice_str("cluster"), pc_slice_str("key"));
    const char *text = config->values->v[k].text;
    bool has_text = text != NULL && *text != '\0', has_file = config->cluster.key_file[0] != '\0';
    if (has_text && has_file) {
        return fail(config, "cluster", "key", "cluster.key_file is set too: give one", error);
    }
    config->cluster.has_key = has_text || has_file;
    if (has_file) {
        pc_err err = config_key_file_read(config->cluster.key_file, config->cluster.key, error);
        return err == PC_OK
                   ? PC_OK
                   : pc_error_wrap(error, "%.60s", config_origin(config, "cluster", "key_file"));
    }
    if (!has_text && config->cluster.join) {
        return fail(config, "cluster", "join",
            "cluster.key_file is not set: give this node the key file of the cluster's nodes",
            error);
    }
    size_t nodes_n = config->cluster.members_n + config->cluster.spares_n;
    if (!has_text && nodes_n > 1) {
        return pc_error_set(error, PC_E_INVALID,
            "cluster.key_file is not set, and there are %zu members: make a key with "
            "(umask 077; pcadmin key gen > cluster.key) and give every node the same file",
            nodes_n);
    }
    return PC_OK;
}

pc_err config_check(struct pc_config *config, struct pc_error *error)
{
    pc_err (*const checks[])(const struct pc_config *, struct pc_error *) = {
        check_required, check_exposure, check_timers, check_spares};
    for (size_t i = 0; i < sizeof checks / sizeof checks[0]; i++) {
        pc_err err = checks[i](config, error);
        if (err != PC_OK) {
            return err;
        }
    }
    pc_err err = check_members(config, error);
    return err == PC_OK ? check_key(config, error) : err;
}
