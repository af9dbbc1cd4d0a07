title="two of five cut off, the leader now with them, now not"
size=5
gap_ms=5000
elections=1
trouble() {
    local few many node turn=0
    excuse "${nodes[@]}" # either side rightly takes the other one for dead
    until over; do
        node=$(leader)
        # shellcheck disable=SC2046 # names are words
        shuffle $(others_than "$node")
        if [ $((turn++ % 2)) -eq 0 ]; then
            few="$node ${picked[0]}"
        else
            few="${picked[0]} ${picked[1]}"
        fi
        # shellcheck disable=SC2086 # names are words
        many=$(others_than $few)
        sever_sides "$few" "$many"
        pause 5500 7000
        net_heal
        pause 500 2000
    done
}
after() {
    least "packets lost" $dropped 10
}
