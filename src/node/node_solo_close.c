/* The records of a branch on their way to the file, and the end of a branch: what is out becomes
 * durable and is answered, marked; then the file is closed; then the branch is forgotten. */
#include <stdlib.h>
#include <string.h>

#include "node_int.h"

/* ---- what is out */

struct node_solo_record *node_solo_record_add(struct pc_node *n)
{
    struct node_solo *s = &n->solo;
    if (s->records_at + s->records_n == s->records_cap) {
        if (s->records_at > s->records_n) {
            memmove(s->records, s->records + s->records_at, s->records_n * sizeof *s->records);
            s->records_at = 0;
        } else {
            s->records_cap = s->records_cap == 0 ? 16 : s->records_cap * 2;
            s->records = pc_xrealloc(s->records, s->records_cap * sizeof *s->records);
        }
    }
    PC_ASSERT(s->records_at + s->records_n < s->records_cap);
    return &s->records[s->records_at + s->records_n++];
}

static void record_pop(struct node_solo *s)
{
    PC_ASSERT(s->records_n > 0);
    struct node_solo_record *record = &s->records[s->records_at];
    PC_ASSERT(s->records_bytes >= record->command->len);
    s->records_bytes -= record->command->len;
    pc_blob_unref(record->command);
    s->records_n--;
    s->records_at = s->records_n == 0 ? 0 : s->records_at + 1;
}

void node_solo_records_clear(struct pc_node *n)
{
    while (n->solo.records_n > 0) {
        record_pop(&n->solo);
    }
}

struct pc_node_branch *node_solo_effect(struct pc_node *n, enum pc_node_branch_type type)
{
    struct pc_node_branch *branch = node_branch_add(n, type);
    memcpy(branch->id, n->solo.id, sizeof branch->id);
    return branch;
}

void node_solo_note(struct pc_node *n, uint64_t what, const char *text)
{
    node_note_add(n, PC_NOTE_BRANCH, 0, what, n->solo.last_number - n->solo.records_n, text);
}

void node_solo_mark(const struct pc_node *n, struct pc_reply *reply)
{
    PC_ASSERT(n->solo.serves);
    reply->has_branch = true;
    memcpy(reply->branch, n->solo.id, sizeof reply->branch);
}

/* The oldest record is durable. */
static void solo_apply(struct pc_node *n)
{
    struct node_solo *s = &n->solo;
    const struct node_solo_record *record = &s->records[s->records_at];
    struct pc_command command;
    struct pc_outcome outcome;
    pc_err err = pc_wire_decode_command(pc_blob_slice(record->command), &command);
    PC_ASSERT(err == PC_OK); /* encoded here, or judged when it was found */
    node_overlay_apply(s->overlay, n->store, record->number, record->stamp_ms, &command, &outcome);
    struct node_write *w = record->seq != 0 ? node_write_find(n, record->seq) : NULL;
    if (w != NULL) { /* else answered as unknown meanwhile */
        PC_ASSERT(w->state == NODE_WRITE_BRANCH);
        struct pc_reply *reply = node_reply_add(n, w->tag, PC_REPLY_OK);
        reply->outcome = outcome;
        reply->index = record->number;
        reply->stamp_ms = record->stamp_ms;
        node_solo_mark(n, reply);
        node_write_remove(n, w);
    }
    record_pop(s);
}

void node_solo_written(struct pc_node *n, uint64_t number)
{
    struct node_solo *s = &n->solo;
    PC_ASSERT(number <= s->last_number);
    while (s->records_n > 0 && s->records[s->records_at].number <= number) {
        solo_apply(n);
    }
    if (s->state == NODE_SOLO_CLOSING && s->records_n == 0) {
        node_solo_end(n);
    }
}

/* ---- the end */

void node_solo_end(struct pc_node *n)
{
    PC_ASSERT(n->solo.records_n == 0 && n->branched.first == NULL);
    (void)node_solo_effect(n, PC_NODE_BRANCH_END);
    n->solo.is_alone = false;
    n->solo.state = NODE_SOLO_ENDING;
}

void node_solo_close(struct pc_node *n, const char *why)
{
    PC_ASSERT(n->solo.state == NODE_SOLO_OPEN && why != NULL);
    n->solo.state = NODE_SOLO_CLOSING;
    node_solo_note(n, 2, why);
    if (n->solo.records_n == 0) {
        node_solo_end(n);
    }
}

/* What is out is lost, or may be: without it in the file the branch would go on with what a crash
 * forgets. */
void node_solo_failed(struct pc_node *n, pc_err err, const char *text)
{
    struct node_solo *s = &n->solo;
    while (n->branched.first != NULL) {
        node_write_answer(
            n, n->branched.first, err == PC_E_NO_SPACE ? PC_REPLY_LOG_FULL : PC_REPLY_UNKNOWN);
    }
    s->last_number -= s->records_n;
    node_solo_records_clear(n);
    node_solo_note(n, 4, text);
    node_solo_end(n);
}
