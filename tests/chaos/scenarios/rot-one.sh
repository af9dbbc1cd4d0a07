title="bits flipped in the log of one node"
gap_ms=5000
trouble() {
    local node
    until over; do
        shuffle "${nodes[@]}"
        node=${picked[0]}
        node_stop "$node"
        rot "$node" 1 1
        node_start "$node"
        rot_await "$node" || return
        sleep 1
    done
}
