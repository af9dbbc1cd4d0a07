title="a sync or a write of the leader fails with EIO"
shim=yes
elections=1
# After a failed sync nobody knows what the disk has: the process ends, and recovers.
trouble() {
    local node order turn=0
    until over; do
        order=$([ $((turn++ % 2)) -eq 0 ] && echo sync=eio || echo write=eio)
        node=$(leader)
        expect_end "$node" 74
        orders "$node" "$order"
        await_done "$node" "$order"
        node_await_end "$node" || return
        [ "$ended" -eq 74 ] || fault "$node ended with status $ended after $order"
        orders "$node"
        node_start "$node"
        await_ready "$node" || return
        sleep 1
    done
}
