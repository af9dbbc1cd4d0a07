title="power cut of all nodes at once"
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
after() { limit "write gap" "$(figure write_gap_ms)" 20000; }
