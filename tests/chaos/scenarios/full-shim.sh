title="the leader's files may not grow any more"
shim=yes
segment=64KiB
gap_ms=5000
trouble() {
    local node
    until over; do
        node=$(leader)
        orders "$node" space=20000
        await_done "$node" space
        sleep 3
        orders "$node"
        sleep 2
    done
}
