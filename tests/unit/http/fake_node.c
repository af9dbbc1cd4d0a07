#include "fake_node.h"

#include <stdio.h>
#include <string.h>

#include "pcache/os.h"
#include "support/test.h"

struct fake_node *fake_node_now;

static struct fake_item *item_find(struct fake_node *node, struct pc_slice key)
{
    for (size_t i = 0; i < FAKE_ITEMS_MAX; i++) {
        struct fake_item *item = &node->items[i];
        if (item->there && pc_slice_equal(pc_slice_of(item->key, item->key_len), key)) {
            return item;
        }
    }
    return NULL;
}

static void item_clear(struct fake_item *item)
{
    pc_blob_unref(item->value);
    *item = (struct fake_item){0};
}

static struct fake_item *item_make(struct fake_node *node, struct pc_slice key)
{
    struct fake_item *item = node->items;
    while (item->there) {
        item++;
        assert_true(item < node->items + FAKE_ITEMS_MAX);
    }
    item->there = true;
    memcpy(item->key, key.data, key.len);
    item->key_len = key.len;
    return item;
}

static void apply_set(
    struct fake_node *node, struct fake_item *item, const struct pc_command *command)
{
    if (item == NULL) {
        item = item_make(node, command->key);
    }
    pc_blob_unref(item->value);
    assert_ok(pc_blob_new(command->value, &item->value));
    assert_true(command->content_type.len <= PC_CONTENT_TYPE_BYTES_MAX);
    memset(item->content_type, 0, sizeof item->content_type);
    if (command->content_type.len > 0) {
        memcpy(item->content_type, command->content_type.data, command->content_type.len);
    }
    item->version = node->applied;
    item->deadline_ms = command->has_ttl ? node->stamp_ms + command->ttl_ms : 0;
}

static void apply(struct fake_node *node, const struct pc_command *command, struct pc_reply *reply)
{
    struct fake_item *item = item_find(node, command->key);
    node->applied++;
    reply->outcome.existed = item != NULL;
    if (!pc_condition_holds(command, item != NULL ? item->version : 0)) {
        reply->outcome.unmet = true;
    } else if (command->op == PC_OP_SET) {
        apply_set(node, item, command);
    } else if (item != NULL && command->op == PC_OP_DELETE) {
        item_clear(item);
    } else if (item != NULL) {
        item->version = node->applied;
        item->deadline_ms = command->op == PC_OP_EXPIRE ? node->stamp_ms + command->ttl_ms : 0;
    }
    item = item_find(node, command->key);
    if (item != NULL && item->deadline_ms == node->stamp_ms) {
        item_clear(item); /* ttl 0: now */
        item = NULL;
    }
    reply->outcome.version = item != NULL ? item->version : 0;
    reply->outcome.deadline_ms = item != NULL ? item->deadline_ms : 0;
}

static void read_item(struct fake_node *node, struct pc_slice key, struct pc_reply *reply)
{
    const struct fake_item *item = item_find(node, key);
    if (item == NULL) {
        reply->status = PC_REPLY_NOT_FOUND;
        return;
    }
    reply->value = pc_blob_ref(item->value);
    reply->version = item->version;
    reply->expires = item->deadline_ms > 0;
    reply->ttl_ms = item->deadline_ms > 0 ? item->deadline_ms - node->stamp_ms : 0;
    memcpy(reply->content_type, item->content_type, sizeof item->content_type);
}

static void fake_submit(void *context, const struct pc_request *request)
{
    struct fake_node *node = context;
    assert_true(node->replies_n < FAKE_HELD_MAX);
    struct pc_reply *reply = &node->replies[node->replies_n++];
    *reply = (struct pc_reply){.tag = request->tag, .status = node->force};
    node->submitted++;
    node->last_consistency = request->consistency;
    if (request->type == PC_REQUEST_SNAPSHOT) {
        reply->snapshot =
            (struct pc_node_snapshot_info){.index = 43, .term = 3, .items = 11, .bytes = 2222};
        reply->took_ms = 5;
        (void)snprintf(reply->text, sizeof reply->text, "the disk is too slow");
    } else if (request->type == PC_REQUEST_MEMBER) {
        node->last_change = request->member;
        if (node->force == PC_REPLY_REFUSED) {
            (void)snprintf(reply->text, sizeof reply->text, "node2 does not answer: \"no\"");
        }
    } else if (node->force == PC_REPLY_REFUSED) {
        (void)snprintf(reply->text, sizeof reply->text, "node3 speaks protocol 1");
    } else if (node->force == PC_REPLY_OK && request->type == PC_REQUEST_WRITE) {
        apply(node, &request->command, reply);
    } else if (node->force == PC_REPLY_OK) {
        read_item(node, request->key, reply);
    }
    pc_node_quorum(NULL, (struct pc_instant){0}, &reply->quorum);
    reply->index = node->applied;
    reply->stamp_ms = node->stamp_ms;
    if (!node->hold) {
        event_active(node->deliver, EV_TIMEOUT, 0);
    }
}

void fake_node_release(struct fake_node *node)
{
    for (size_t i = 0; i < node->replies_n; i++) {
        node->replies[i].has_branch = node->solo;
        memset(node->replies[i].branch, 0xab, sizeof node->replies[i].branch);
        pc_http_reply(node->http, &node->replies[i]);
        pc_blob_unref(node->replies[i].value);
    }
    node->replies_n = 0;
}

static void fake_deliver(evutil_socket_t fd, short what, void *context)
{
    (void)fd;
    (void)what;
    struct fake_node *node = context;
    if (!node->hold) {
        fake_node_release(node);
    }
    if (node->piece_tag != 0 && !node->snapshot_held) {
        fake_node_piece(node);
    }
}

static void fake_transfer(void *context, pc_node_id target)
{
    struct fake_node *node = context;
    node->transferred = target;
    node->transfers++;
}

void fake_node_piece(struct fake_node *node)
{
    struct pc_buf bytes = {0};
    bool is_there = node->snapshot.len > 0;
    size_t left = node->snapshot.len - (size_t)node->piece_offset;
    pc_err err = node->snapshot_err != PC_OK ? node->snapshot_err
                 : is_there                  ? PC_OK
                                             : PC_E_NOT_FOUND;
    struct pc_http_piece piece = {.tag = node->piece_tag,
        .err = err,
        .text = err != PC_OK ? "what the disk says" : NULL,
        .index = 42,
        .term = 3,
        .file_bytes = node->snapshot.len,
        .file_name = "snap-000000000000002a.snp",
        .bytes = &bytes};
    assert_int_not_equal(node->piece_tag, 0);
    node->piece_tag = 0;
    if (err == PC_OK) {
        pc_buf_append(&bytes, node->snapshot.data + node->piece_offset,
            left < node->piece_max ? left : node->piece_max);
    }
    pc_http_snapshot_piece(node->http, &piece);
    pc_buf_destroy(&bytes);
}

static bool fake_snapshot_read(
    void *context, uint64_t tag, pc_index index, uint64_t offset, size_t max)
{
    struct fake_node *node = context;
    assert_int_equal(tag >> 63, 1);
    assert_int_equal(index, offset == 0 ? 0 : 42);
    assert_true(offset <= node->snapshot.len);
    node->snapshot_reads++;
    node->piece_tag = tag;
    node->piece_offset = offset;
    node->piece_max = max;
    event_active(node->deliver, EV_TIMEOUT, 0);
    return true;
}

static bool fake_rollback_ask(void *context, uint64_t tag, enum pc_http_rollback_ask what,
    const char *name, const struct pc_http_place *place)
{
    struct fake_node *node = context;
    assert_int_equal(tag >> 63, 1);
    node->rollback_tag = tag;
    node->rollback_what = what;
    (void)snprintf(node->rollback_name, sizeof node->rollback_name, "%s", name);
    node->rollback_place = *place;
    return true;
}

static void fake_log_read(void *context, uint64_t tag, pc_index first, pc_index last)
{
    struct fake_node *node = context;
    assert_int_equal(node->log_tag, 0);
    assert_true(tag != 0 && first >= node->log_oldest && first <= last && last <= node->log_last);
    node->log_tag = tag;
    node->log_first = first;
    node->log_upto = last;
    node->log_reads++;
}

static uint64_t fake_rollbacks_pending(void *context)
{
    const struct fake_node *node = context;
    return node->rollbacks;
}

static void fake_metrics(void *context, struct pc_buf *out)
{
    (void)context;
    pc_buf_append(out, "pcached_fake 1\n", 15);
}

static struct pc_instant fake_now(void *context)
{
    const struct fake_node *node = context;
    bool goes_on = pc_instant_is_due(node->clock_at, (struct pc_instant){0});
    return pc_instant_add_ms(goes_on ? pc_clock_now() : node->clock_at, node->clock_skip_ms);
}

void fake_node_open(struct fake_node *node, struct event_base *base)
{
    *node = (struct fake_node){
        .stamp_ms = 1000000, .leading = true, .ready = true, .up_n = 3, .log_oldest = 1};
    node->deliver = event_new(base, -1, 0, fake_deliver, node);
    assert_non_null(node->deliver);
    fake_node_now = node;
}

void fake_node_close(struct fake_node *node)
{
    for (size_t i = 0; i < node->replies_n; i++) {
        pc_blob_unref(node->replies[i].value);
    }
    for (size_t i = 0; i < FAKE_ITEMS_MAX; i++) {
        item_clear(&node->items[i]);
    }
    pc_buf_destroy(&node->snapshot);
    event_free(node->deliver);
    fake_node_now = NULL;
}

struct pc_http_ops fake_node_ops(struct fake_node *node)
{
    return (struct pc_http_ops){.context = node,
        .submit = fake_submit,
        .transfer = fake_transfer,
        .snapshot_read = fake_snapshot_read,
        .log_read = fake_log_read,
        .rollback_ask = fake_rollback_ask,
        .rollbacks_pending = fake_rollbacks_pending,
        .metrics = fake_metrics,
        .now = fake_now};
}

/* ---- what the server asks of the node, raft and the store */
void pc_raft_status(const struct pc_raft *raft, struct pc_raft_status *status)
{
    (void)raft;
    const struct fake_node *node = fake_node_now;
    *status = (struct pc_raft_status){.term = 7,
        .role = node->leading ? PC_RAFT_LEADER : PC_RAFT_FOLLOWER,
        .leader = node->no_leader ? 0
                  : node->leading ? 0xa1
                                  : 0xb2,
        .commit = node->applied,
        .last = node->applied,
        .durable = node->applied,
        .elections_started = 3,
        .elections_won = 2};
}

void pc_node_log_span(const struct pc_node *node, struct pc_node_log_span *out)
{
    (void)node;
    const struct fake_node *fake = fake_node_now;
    *out = (struct pc_node_log_span){.oldest = fake->log_oldest,
        .last = fake->log_last,
        .applied = fake->applied,
        .has_branch = fake->solo};
    memset(out->branch, 0xab, sizeof out->branch);
}

void pc_node_status(const struct pc_node *node, struct pc_instant now, struct pc_node_status *out)
{
    (void)node;
    (void)now;
    const struct fake_node *fake = fake_node_now;
    *out = (struct pc_node_status){.id = 0xa1,
        .name = "node1",
        .leader_name = fake->no_leader ? ""
                       : fake->leading ? "node1"
                                       : "node2",
        .role = fake->leading ? "leader" : "voter",
        .applied = fake->applied,
        .stamp_ms = fake->stamp_ms,
        .formed = true,
        .ready = fake->ready,
        .snapshot_is_damaged = fake->snapshot_damaged,
        .solo = {.state = fake->solo ? "open" : "off", .base = fake->solo ? 41 : 0},
        .checks_n = 3};
    memset(out->solo.id, fake->solo ? 0xab : 0, sizeof out->solo.id);
    pc_raft_status(NULL, &out->raft);
    out->checks[0] = (struct pc_ready_check){.name = "log", .ok = true};
    out->checks[1] = (struct pc_ready_check){.name = "leader", .ok = true, .text = "none 0.4s"};
    out->checks[2] = (struct pc_ready_check){.name = "catchup", .ok = fake->ready};
    if (!fake->ready) {
        (void)snprintf(out->checks[2].text, sizeof out->checks[2].text, "81%% eta 3s");
    }
}

void pc_node_full_disks(const struct pc_node *node, struct pc_instant now, char *out, size_t max)
{
    (void)node;
    (void)now;
    (void)snprintf(out, max, "node2, node3");
}

size_t pc_node_members(
    const struct pc_node *node, struct pc_instant now, struct pc_node_member *out, size_t max)
{
    (void)node;
    (void)now;
    assert_true(max >= 3);
    out[0] = (struct pc_node_member){.id = 0xa1,
        .name = "node1",
        .state = PC_MEMBER_ALIVE,
        .role = "leader",
        .is_member = true,
        .votes = true,
        .addr = {.ip = {[10] = 0xff, [11] = 0xff, [12] = 127, [15] = 1}, .port = 7946}};
    out[1] = (struct pc_node_member){.id = 0xb2,
        .name = "node2",
        .state = PC_MEMBER_SUSPECT,
        .role = "voter",
        .is_member = true,
        .votes = true,
        .has_match = true,
        .match = 5,
        .caught_up_percent = 100,
        .silent_ms = 40};
    out[2] = (struct pc_node_member){.name = "node3",
        .state = PC_MEMBER_DEAD,
        .role = "voter",
        .is_member = true,
        .votes = true};
    if (!fake_node_now->growing) {
        return 3;
    }
    assert_true(max >= 6);
    out[3] = (struct pc_node_member){.id = 0xd4,
        .name = "node4",
        .state = PC_MEMBER_ALIVE,
        .role = "learner",
        .is_member = true,
        .has_match = true,
        .match = 81,
        .caught_up_percent = 81,
        .has_eta = true,
        .eta_ms = 2900};
    out[4] = (struct pc_node_member){.name = "node5",
        .state = PC_MEMBER_DEAD,
        .role = "invited",
        .is_member = true,
        .want = PC_WANT_REPLICA};
    out[5] = (struct pc_node_member){
        .id = 0xe6, .name = "node6", .state = PC_MEMBER_ALIVE, .role = "member"};
    return 6;
}

void pc_node_redundancy(const struct pc_node *node, struct pc_node_redundancy *out)
{
    (void)node;
    const struct fake_node *fake = fake_node_now;
    *out = (struct pc_node_redundancy){.voters_n = 3,
        .up_n = fake->up_n,
        .quorum = 2,
        .has_quorum = fake->up_n >= 2,
        .may_fail = fake->up_n == 3 ? 1 : 0,
        .missing_n = 3 - fake->up_n,
        .missing = {fake->up_n == 2 ? "node3" : "node2", "node3"}};
    if (fake->up_n == 2) {
        out->must_survive_n = 2;
        out->must_survive[0] = "node1";
        out->must_survive[1] = "node2";
    }
}

void pc_node_quorum(const struct pc_node *node, struct pc_instant now, struct pc_node_quorum *out)
{
    (void)node;
    (void)now;
    const struct fake_node *fake = fake_node_now;
    *out = (struct pc_node_quorum){
        .lost = fake->up_n<2, .has_age = fake->applied> 0, .age_ms = fake->age_ms};
}

void pc_node_quorum_text(const struct pc_node *node, char *out, size_t max)
{
    (void)node;
    (void)snprintf(out, max, "%s",
        fake_node_now->up_n < 2 ? "1 of 3 voters answers; missing: node2, node3" : "");
}

const struct pc_store *pc_node_store(const struct pc_node *node)
{
    (void)node;
    return NULL;
}

const struct pc_raft *pc_node_raft(const struct pc_node *node)
{
    (void)node;
    return NULL;
}

void pc_store_stats(const struct pc_store *store, struct pc_store_stats *stats)
{
    (void)store;
    *stats = (struct pc_store_stats){.items = 11, .data_bytes = 2222};
}
