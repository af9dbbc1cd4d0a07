/* The body of a CONFIG entry:
 *
 *     [ history bin 16, [ member, ... ] ]                 members ascending by (name, id)
 *     member: [ id, name str ]                            is wanted as a voter, and votes
 *           | [ id, name str, want, votes ]               every other
 *
 * Each member has one form only, so equal members have equal bytes, and a cluster that has never
 * changed its members has those of the first version of this format. */
#include <string.h>

#include "pcache/assert.h"
#include "pcache/mpack.h"
#include "pcache/protocol.h"
#include "wire_int.h"

static bool member_is_plain(const struct pc_cluster_member *member)
{
    return member->want == PC_WANT_VOTER && member->votes;
}

static int member_order(const struct pc_cluster_member *a, const struct pc_cluster_member *b)
{
    int by_name = strcmp(a->name, b->name);
    return by_name != 0 ? by_name : a->id < b->id ? -1 : a->id > b->id ? 1 : 0;
}

/* On its way out: another identity takes its place. */
static bool member_is_leaving(const struct pc_cluster_member *member)
{
    return member->votes && member->want == PC_WANT_REPLICA;
}

/* Two of one name, ascending by id: invited beside old, or old and new in any order. */
static bool pair_makes_sense(const struct pc_cluster_member *a, const struct pc_cluster_member *b)
{
    if (a->votes && b->votes) {
        return member_is_leaving(a) != member_is_leaving(b);
    }
    return a->votes || b->votes;
}

static bool member_makes_sense(const struct pc_cluster_config *config, size_t at)
{
    const struct pc_cluster_member *member = &config->members[at];
    if (member->name[0] == '\0' || (member->votes && member->id == 0)) {
        return false;
    }
    for (size_t i = 0; i < at; i++) {
        if (member->id != 0 && config->members[i].id == member->id) {
            return false;
        }
    }
    if (at == 0) {
        return true;
    }
    const struct pc_cluster_member *before = &config->members[at - 1];
    if (member_order(before, member) >= 0) {
        return false;
    }
    if (strcmp(before->name, member->name) != 0) {
        return true;
    }
    bool is_third = at >= 2 && strcmp(config->members[at - 2].name, member->name) == 0;
    return !is_third && pair_makes_sense(before, member);
}

bool pc_wire_config_is_valid(const struct pc_cluster_config *config)
{
    size_t voters_n = 0;
    if (config->members_n > PC_CLUSTER_MEMBERS_MAX) {
        return false;
    }
    for (size_t i = 0; i < config->members_n; i++) {
        if (!member_makes_sense(config, i)) {
            return false;
        }
        voters_n += config->members[i].votes ? 1 : 0;
    }
    return voters_n >= 1 && voters_n <= PC_VOTERS_MAX;
}

void pc_wire_encode_config(const struct pc_cluster_config *config, struct pc_buf *out)
{
    PC_ASSERT(pc_wire_config_is_valid(config));
    struct pc_mpack_writer w = pc_mpack_writer_of(out);
    pc_mpack_write_array(&w, 2);
    pc_mpack_write_bin(&w, pc_slice_of(config->history, sizeof config->history));
    pc_mpack_write_array(&w, (uint32_t)config->members_n);
    for (size_t i = 0; i < config->members_n; i++) {
        const struct pc_cluster_member *member = &config->members[i];
        bool is_plain = member_is_plain(member);
        pc_mpack_write_array(&w, is_plain ? 2 : 4);
        pc_mpack_write_uint(&w, member->id);
        pc_mpack_write_str(&w, pc_slice_str(member->name));
        if (!is_plain) {
            pc_mpack_write_uint(&w, member->want);
            pc_mpack_write_uint(&w, member->votes ? 1 : 0);
        }
    }
}

static void member_decode(struct pc_mpack_reader *r, struct pc_cluster_member *out)
{
    uint32_t n = pc_mpack_read_array(r);
    out->id = pc_mpack_read_uint(r, UINT64_MAX);
    struct pc_slice name = pc_mpack_read_str(r, PC_NAME_BYTES_MAX);
    if (name.len > 0 && memchr(name.data, '\0', name.len) == NULL) {
        memcpy(out->name, name.data, name.len);
    }
    out->want = PC_WANT_VOTER;
    out->votes = true;
    if (n == 4) {
        out->want = (enum pc_member_want)pc_mpack_read_uint(r, PC_WANT_SPARE);
        out->votes = pc_mpack_read_uint(r, 1) == 1;
    }
    if (n != (member_is_plain(out) ? 2U : 4U)) {
        pc_mpack_fail(r);
    }
}

pc_err pc_wire_decode_config(struct pc_slice bytes, struct pc_cluster_config *out)
{
    struct pc_mpack_reader r = pc_mpack_reader_of(bytes);
    struct pc_cluster_config config = {0};
    if (wire_later_protocol(bytes) != 0) {
        return PC_E_VERSION;
    }
    if (pc_mpack_read_array(&r) != 2) {
        return PC_E_MALFORMED;
    }
    struct pc_slice history = pc_mpack_read_bin(&r, sizeof config.history);
    size_t members_n = pc_mpack_read_array(&r);
    if (r.failed || history.len != sizeof config.history || members_n > PC_CLUSTER_MEMBERS_MAX) {
        return PC_E_MALFORMED;
    }
    memcpy(config.history, history.data, sizeof config.history);
    config.members_n = members_n;
    for (size_t i = 0; i < members_n && !r.failed; i++) {
        member_decode(&r, &config.members[i]);
    }
    pc_err err = pc_mpack_finish(&r);
    if (err == PC_OK && !pc_wire_config_is_valid(&config)) {
        err = PC_E_MALFORMED;
    }
    if (err == PC_OK) {
        *out = config;
    }
    return err;
}

uint8_t pc_wire_config_protocol(struct pc_slice body)
{
    struct pc_cluster_config config;
    uint8_t later = wire_later_protocol(body);
    if (later != 0 || pc_wire_decode_config(body, &config) != PC_OK) {
        return later != 0 ? later : PC_PROTOCOL_FIRST;
    }
    for (size_t i = 0; i < config.members_n; i++) {
        if (!member_is_plain(&config.members[i])) {
            return PC_PROTOCOL_MEMBERS;
        }
    }
    return PC_PROTOCOL_FIRST;
}

bool pc_wire_raft_config(struct pc_slice body, struct pc_raft_config *out)
{
    struct pc_cluster_config config;
    if (pc_wire_decode_config(body, &config) != PC_OK) {
        return false;
    }
    struct pc_raft_config raft = {.index = out->index};
    for (size_t i = 0; i < config.members_n; i++) {
        if (config.members[i].votes) {
            raft.voters[raft.voters_n++] = config.members[i].id;
        } else if (config.members[i].id != 0) {
            raft.learners[raft.learners_n++] = config.members[i].id;
        }
    }
    *out = raft;
    return true;
}
