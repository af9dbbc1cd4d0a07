/* Messages about members:
 *
 *     [ MEMBER, nonce, op, want, again, name str ]
 *     [ MEMBER_RESULT, nonce, result, text str ]
 *     [ INVITE, history bin 16, name str ] */
#include <string.h>

#include "pcache/assert.h"
#include "wire_int.h"

void wire_member_encode(const struct pc_msg *msg, struct pc_mpack_writer *w)
{
    const struct pc_member_msg *member = msg->member;
    PC_ASSERT(member != NULL);
    pc_mpack_write_array(w, wire_member_arity(msg->type));
    pc_mpack_write_uint(w, msg->type);
    if (msg->type == PC_MSG_INVITE) {
        pc_mpack_write_bin(w, pc_slice_of(member->history, sizeof member->history));
        pc_mpack_write_str(w, pc_slice_str(member->name));
        return;
    }
    pc_mpack_write_uint(w, member->nonce);
    if (msg->type == PC_MSG_MEMBER_RESULT) {
        pc_mpack_write_uint(w, member->result);
        pc_mpack_write_str(w, pc_slice_str(member->text));
        return;
    }
    pc_mpack_write_uint(w, member->op);
    pc_mpack_write_uint(w, member->want);
    pc_mpack_write_uint(w, member->again ? 1 : 0);
    pc_mpack_write_str(w, pc_slice_str(member->name));
}

/* Copies a text that has room in out[max + 1], and no zero byte. */
static void text_decode(struct pc_mpack_reader *r, char *out, uint32_t max)
{
    struct pc_slice text = pc_mpack_read_str(r, max);
    if (r->failed || (text.len > 0 && memchr(text.data, '\0', text.len) != NULL)) {
        pc_mpack_fail(r);
    } else if (text.len > 0) {
        memcpy(out, text.data, text.len);
    }
}

static void result_decode(struct pc_mpack_reader *r, struct pc_member_msg *member)
{
    member->nonce = pc_mpack_read_uint(r, UINT64_MAX);
    member->result = (enum pc_member_result)pc_mpack_read_uint(r, PC_MEMBER_REMOVED);
    if (member->result < PC_MEMBER_DONE) {
        pc_mpack_fail(r);
    }
    text_decode(r, member->text, PC_MEMBER_TEXT_BYTES_MAX);
}

static void ask_decode(struct pc_mpack_reader *r, struct pc_member_msg *member)
{
    member->nonce = pc_mpack_read_uint(r, UINT64_MAX);
    member->op = (enum pc_member_op)pc_mpack_read_uint(r, PC_MEMBER_YIELD);
    if (member->op < PC_MEMBER_ADD) {
        pc_mpack_fail(r);
    }
    member->want = (enum pc_member_want)pc_mpack_read_uint(r, PC_WANT_SPARE);
    member->again = pc_mpack_read_uint(r, 1) == 1;
    text_decode(r, member->name, PC_NAME_BYTES_MAX);
}

void wire_member_decode(struct pc_mpack_reader *r, struct pc_msg *msg)
{
    struct pc_member_msg *member = msg->member = pc_xalloc(sizeof *member);
    if (msg->type == PC_MSG_INVITE) {
        struct pc_slice history = pc_mpack_read_bin(r, sizeof member->history);
        if (r->failed || history.len != sizeof member->history) {
            pc_mpack_fail(r);
        } else {
            memcpy(member->history, history.data, history.len);
        }
        text_decode(r, member->name, PC_NAME_BYTES_MAX);
    } else if (msg->type == PC_MSG_MEMBER_RESULT) {
        result_decode(r, member);
    } else {
        ask_decode(r, member);
    }
}

uint32_t wire_member_arity(enum pc_msg_type type)
{
    return type == PC_MSG_MEMBER ? 6 : type == PC_MSG_MEMBER_RESULT ? 4 : 3;
}
