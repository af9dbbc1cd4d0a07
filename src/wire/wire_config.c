/* The body of a CONFIG entry:
 *
 *     [ history bin 16, [ [ id, name str ], ... ] ]        members ascending by name */
#include <string.h>

#include "pcache/assert.h"
#include "pcache/mpack.h"
#include "pcache/wire.h"

void pc_wire_encode_config(const struct pc_cluster_config *config, struct pc_buf *out)
{
    PC_ASSERT(config->members_n >= 1 && config->members_n <= PC_VOTERS_MAX);
    struct pc_mpack_writer w = pc_mpack_writer_of(out);
    pc_mpack_write_array(&w, 2);
    pc_mpack_write_bin(&w, pc_slice_of(config->history, sizeof config->history));
    pc_mpack_write_array(&w, (uint32_t)config->members_n);
    for (size_t i = 0; i < config->members_n; i++) {
        pc_mpack_write_array(&w, 2);
        pc_mpack_write_uint(&w, config->members[i].id);
        pc_mpack_write_str(&w, pc_slice_str(config->members[i].name));
    }
}

/* Ids are distinct and not zero, names ascend (hence are distinct too). */
static bool config_makes_sense(const struct pc_cluster_config *config)
{
    for (size_t i = 0; i < config->members_n; i++) {
        const struct pc_cluster_member *member = &config->members[i];
        if (member->id == 0 || member->name[0] == '\0') {
            return false;
        }
        for (size_t j = 0; j < i; j++) {
            if (config->members[j].id == member->id ||
                strcmp(config->members[j].name, member->name) >= 0) {
                return false;
            }
        }
    }
    return config->members_n >= 1;
}

pc_err pc_wire_decode_config(struct pc_slice bytes, struct pc_cluster_config *out)
{
    struct pc_mpack_reader r = pc_mpack_reader_of(bytes);
    struct pc_cluster_config config = {0};
    if (pc_mpack_read_array(&r) != 2) {
        return PC_E_MALFORMED;
    }
    struct pc_slice history = pc_mpack_read_bin(&r, sizeof config.history);
    size_t members_n = pc_mpack_read_array(&r);
    if (r.failed || history.len != sizeof config.history || members_n > PC_VOTERS_MAX) {
        return PC_E_MALFORMED;
    }
    memcpy(config.history, history.data, sizeof config.history);
    config.members_n = members_n;
    for (size_t i = 0; i < members_n; i++) {
        if (pc_mpack_read_array(&r) != 2) {
            return PC_E_MALFORMED;
        }
        config.members[i].id = pc_mpack_read_uint(&r, UINT64_MAX);
        struct pc_slice name = pc_mpack_read_str(&r, PC_NAME_BYTES_MAX);
        if (name.len > 0 && memchr(name.data, '\0', name.len) == NULL) {
            memcpy(config.members[i].name, name.data, name.len);
        }
    }
    pc_err err = pc_mpack_finish(&r);
    if (err == PC_OK && !config_makes_sense(&config)) {
        err = PC_E_MALFORMED;
    }
    if (err == PC_OK) {
        *out = config;
    }
    return err;
}
