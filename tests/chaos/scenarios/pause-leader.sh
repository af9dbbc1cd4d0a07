title="SIGSTOP of the leader for 0.2 to 7 s"
gap_ms=5000
elections=1
# The first time for long: then somebody else must lead. After that also for less.
trouble() {
    local node low=$((gap_ms + 500))
    until over; do
        node=$(leader)
        node_signal STOP "$node"
        pause $low 7000
        node_signal CONT "$node"
        pause 200 2000
        low=200
    done
}
