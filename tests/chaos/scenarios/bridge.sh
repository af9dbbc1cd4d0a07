title="leader and a follower see only the third node"
trouble() {
    local node
    until over; do
        node=$(leader)
        # shellcheck disable=SC2046 # names are words
        shuffle $(others_than "$node")
        sever "$node" "${picked[0]}"
        pause 3000 6000
        net_heal
        pause 500 1500
    done
}
after() {
    least "packets lost" $dropped 10
    limit "write gap" "$(figure write_gap_ms)" 20000
}
