title="kill -9 of the leader, again and again"
trouble() {
    local node
    until over; do
        node=$(leader)
        node_kill "$node"
        pause 500 2500
        node_start "$node"
        await_ready "$node"
        sleep 1
    done
}
after() { limit "write gap" "$(figure write_gap_ms)" 15000; }
