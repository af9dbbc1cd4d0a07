title="power cut of all nodes at once"
gap_ms=8000
elections=1
trouble() {
    local node
    until over; do
        pause 500 3000
        power_cut
        for node in "${nodes[@]}"; do
            node_start "$node"
        done
        await_ready "${nodes[@]}" || return
    done
}
