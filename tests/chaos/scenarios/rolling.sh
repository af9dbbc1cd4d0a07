title="SIGTERM each in turn"
elections=1
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
