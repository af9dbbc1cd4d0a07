/* The list of initial members: "node1=host:port, node2=host:port". Each name and each address once;
 * in ascending order of names, whatever the order in the text, so that every node sees one list. */
#include "config_int.h"

#include <stdlib.h>
#include <string.h>

static struct pc_slice trim(struct pc_slice text)
{
    while (text.len > 0 && (text.data[0] == ' ' || text.data[0] == '\t')) {
        text.data++;
        text.len--;
    }
    while (text.len > 0 && (text.data[text.len - 1] == ' ' || text.data[text.len - 1] == '\t')) {
        text.len--;
    }
    return text;
}

static pc_err member_error(struct pc_slice item, const char *what, struct pc_error *error)
{
    return pc_error_set(error, PC_E_INVALID, "member \"%.*s\": %s",
        (int)(item.len < 80 ? item.len : 80), (const char *)item.data, what);
}

static pc_err member_parse(
    struct pc_slice item, struct pc_config_member *out, struct pc_error *error)
{
    const uint8_t *equals = item.len == 0 ? NULL : memchr(item.data, '=', item.len);
    if (equals == NULL) {
        return member_error(item, "is not name=host:port", error);
    }
    size_t name_len = (size_t)(equals - item.data);
    struct pc_slice name = trim(pc_slice_of(item.data, name_len));
    struct pc_slice address = trim(pc_slice_of(equals + 1, item.len - name_len - 1));
    if (!config_name_is_valid(name)) {
        return member_error(item, "a name is 1 to 63 of A-Z a-z 0-9 . _ -", error);
    }
    if (address.len > PC_ADDRESS_BYTES_MAX) {
        return member_error(item, "the address is too long", error);
    }
    memset(out, 0, sizeof *out);
    memcpy(out->name, name.data, name.len);
    memcpy(out->address, address.data, address.len);
    char host[PC_ADDRESS_BYTES_MAX + 1];
    uint16_t port;
    if (pc_os_split_address(out->address, host, sizeof host, &port) != PC_OK || port == 0) {
        return member_error(item, "the address is not host:port", error);
    }
    return PC_OK;
}

static pc_err check_unique(const struct pc_config_member *members, size_t n,
    const struct pc_config_member *added, struct pc_error *error)
{
    for (size_t i = 0; i < n; i++) {
        if (strcmp(members[i].name, added->name) == 0) {
            return pc_error_set(
                error, PC_E_INVALID, "the member name \"%s\" stands twice", added->name);
        }
        if (strcmp(members[i].address, added->address) == 0) {
            return pc_error_set(error, PC_E_INVALID, "%s and %s have the same address %.80s",
                members[i].name, added->name, added->address);
        }
    }
    return PC_OK;
}

static int compare_names(const void *a, const void *b)
{
    return strcmp(
        ((const struct pc_config_member *)a)->name, ((const struct pc_config_member *)b)->name);
}

pc_err config_members_parse(const char *text, struct pc_config_member out[PC_VOTERS_MAX],
    size_t *out_n, struct pc_error *error)
{
    size_t n = 0;
    const char *at = text;
    bool more = trim(pc_slice_str(text)).len > 0;
    while (more) {
        size_t len = strcspn(at, ",");
        struct pc_slice item = trim(pc_slice_of(at, len));
        more = at[len] == ',';
        at += len + (more ? 1 : 0);
        if (!more && item.len == 0) {
            break; /* a comma at the end: lists are written one member to a line */
        }
        if (n == PC_VOTERS_MAX) {
            return pc_error_set(error, PC_E_INVALID, "more than %d members", PC_VOTERS_MAX);
        }
        struct pc_config_member member;
        pc_err err = member_parse(item, &member, error);
        if (err == PC_OK) {
            err = check_unique(out, n, &member, error);
        }
        if (err != PC_OK) {
            return err;
        }
        out[n++] = member;
    }
    qsort(out, n, sizeof out[0], compare_names);
    *out_n = n;
    return PC_OK;
}
