title="each sync of the leader takes 500 ms longer"
shim=yes
gap_ms=5000
trouble() {
    local node
    until over; do
        node=$(leader)
        orders "$node" sync_ms=500
        await_done "$node" sync_ms
        sleep 4
        orders "$node"
        sleep 1
    done
}
