title="kill -9 of two of five, the leader among them or not"
size=5
elections=1
trouble() {
    local victims node turn=0
    until over; do
        node=$(leader)
        # shellcheck disable=SC2046 # names are words
        shuffle $(others_than "$node")
        victims=("${picked[@]:0:2}")
        [ $((turn++ % 2)) -eq 0 ] && victims[RANDOM % 2]=$node
        node_kill "${victims[0]}"
        pause 0 500
        node_kill "${victims[1]}"
        pause $((gap_ms + 500)) $((gap_ms + 1500))
        node_start "${victims[0]}"
        node_start "${victims[1]}"
        await_ready "${victims[@]}"
    done
}
