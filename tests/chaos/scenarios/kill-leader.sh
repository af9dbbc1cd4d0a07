title="kill -9 of the leader, again and again"
elections=1
trouble() {
    local node
    until over; do
        node=$(leader)
        node_kill "$node"
        pause $((gap_ms + 500)) $((gap_ms + 1500))
        node_start "$node"
        await_ready "$node"
        sleep 1
    done
}
# Whoever finds no death here would find no false one either.
after() { least "deaths announced" "$(deaths | wc -l)" 1; }
