title="one node after the other killed, its disk wiped"
elections=1
# Nobody tells the cluster: the newcomer takes the place of the one that had its name.
trouble() {
    local node turn=0
    until over; do
        # shellcheck disable=SC2046 # names are words
        shuffle $(others_than "$(leader)")
        node=${picked[0]}
        [ $((turn++ % 2)) -eq 0 ] && node=$(leader)
        node_kill "$node"
        wipe "$node"
        pause 0 1500
        node_start "$node"
        await_ready "$node" && await_voters 3 "${nodes[@]}" || return
    done
}
