title="one wall clock is 1 h or 2 years off, at its start"
shim=yes
gap_ms=5000
# A node looks at the wall clock when it starts. Then the leader goes, half of the time in favour of
# the node that is wrong; and the clock steps back under it.
trouble() {
    local node ms hour=3600000 years=63072000000
    until over; do
        for ms in $hour -$hour $years -$years; do
            over && break
            shuffle "${nodes[@]}"
            node=${picked[0]}
            node_stop "$node"
            orders "$node" clock_ms=$ms
            node_start "$node"
            await_done "$node" clock_ms
            await_ready "$node" || return
            node_restart_leader "$node" || return
            orders "$node"
            sleep 0.5
        done
    done
}
# The leader, unless it is that node.
node_restart_leader() { # NODE
    local leader
    leader=$(leader)
    [ "$leader" != "$1" ] || return 0
    node_stop "$leader"
    node_start "$leader"
    await_ready "$leader"
}
