title="SIGSTOP of the leader for 0.2 to 5 s"
trouble() {
    local node
    until over; do
        node=$(leader)
        node_signal STOP "$node"
        pause 200 5000
        node_signal CONT "$node"
        pause 200 2000
    done
}
after() { limit "write gap" "$(figure write_gap_ms)" 20000; }
