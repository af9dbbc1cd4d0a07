title="members removed, others cut off, members added"
size=5
gap_ms=5000
trouble() {
    local node turn=0
    excuse "${nodes[@]}" # those that are cut off are rightly taken for dead
    until over; do
        # shellcheck disable=SC2046 # names are words
        shuffle $(others_than "$(leader)")
        node=${picked[0]}
        [ $((turn++ % 2)) -eq 0 ] && node=$(leader)
        member_change remove "$node" || return
        node_kill "$node"
        wipe "$node"
        # shellcheck disable=SC2046 # names are words
        shuffle $(others_than "$node")
        # shellcheck disable=SC2046 # names are words
        sever_sides "${picked[0]}" "$(echo $(others_than "$node" "${picked[0]}"))"
        pause 500 3000
        joins[$node]=yes
        member_change add "$node" || return
        node_start "$node"
        net_heal
        await_ready "${nodes[@]}" && await_voters 5 "${nodes[@]}" || return
    done
}
after() {
    least "packets lost" $dropped 1
    await_voters 5 "${nodes[@]}"
}
