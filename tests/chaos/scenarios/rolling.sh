title="SIGTERM each in turn"
trouble() {
    local node
    until over; do
        for node in "${nodes[@]}"; do
            node_stop "$node"
            node_start "$node"
            await_ready "$node" || return
        done
    done
}
after() { limit "write gap" "$(figure write_gap_ms)" 10000; }
