title="leader and a follower see only the third node"
gap_ms=5000
trouble() {
    local node
    until over; do
        node=$(leader)
        # shellcheck disable=SC2046 # names are words
        shuffle $(others_than "$node")
        sever "$node" "${picked[0]}"
        pause 5500 7000
        net_heal
        pause 500 1500
    done
}
after() {
    least "packets lost" $dropped 10
}
