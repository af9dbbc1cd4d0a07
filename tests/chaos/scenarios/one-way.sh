title="one direction cut between leader and follower"
gap_ms=5000
trouble() {
    local node follower turn=0
    until over; do
        node=$(leader)
        # shellcheck disable=SC2046 # names are words
        shuffle $(others_than "$node")
        follower=${picked[0]}
        if [ $((turn++ % 2)) -eq 0 ]; then
            deafen "$follower" "$node"
        else
            deafen "$node" "$follower"
        fi
        pause 5500 7000
        net_heal
        pause 500 1500
    done
}
after() {
    least "packets lost" $dropped 10
}
