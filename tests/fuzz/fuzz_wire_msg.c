/* Messages between nodes: what decodes, encodes to the same bytes. */
#include "fuzz/kit/fuzz.h"

#include "pcache/wire.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct fuzz_in in = fuzz_in_of(data, size);
    struct pc_msg msg;
    if (pc_wire_decode_msg(pc_slice_of(in.at, size), 7, 9, &msg) != PC_OK) {
        return 0;
    }
    FUZZ_CHECK("the connection says from and to", msg.from == 7 && msg.to == 9);
    struct pc_buf again = {0};
    pc_wire_encode_msg(&msg, &again);
    FUZZ_CHECK("one encoding per message",
        pc_slice_equal(pc_slice_of(again.data, again.len), pc_slice_of(data, size)));
    pc_buf_destroy(&again);
    pc_msg_clear(&msg);
    return 0;
}
