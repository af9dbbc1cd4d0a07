title="kill -9 of two random nodes of five"
size=5
trouble() {
    local victims
    until over; do
        shuffle "${nodes[@]}"
        victims=("${picked[@]:0:2}")
        node_kill "${victims[0]}"
        pause 0 500
        node_kill "${victims[1]}"
        pause 500 3000
        node_start "${victims[0]}"
        node_start "${victims[1]}"
        await_ready "${victims[@]}"
    done
}
after() { limit "write gap" "$(figure write_gap_ms)" 15000; }
