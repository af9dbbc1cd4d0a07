title="little log kept: one of five away until it is gone"
size=5
segment=64KiB
gap_ms=5000
elections=1 # the leader is among those that restart
log_settings="snapshot_bytes = 64KiB
keep_bytes = 0"
made_by() { grep -c 'msg="\?snapshot"\? .*what="\?made' "$dir/$1.log"; } # NODE
await_made() { # NODE LEAST
    local deadline=$((SECONDS + 30))
    until [ "$(made_by "$1")" -ge "$2" ]; do
        [ $SECONDS -lt $deadline ] || { fault "$1 makes no snapshots" && return 1; }
        sleep 0.1
    done
}
# Those that stay make two snapshots each: then the log behind the first is gone from their disks.
# A node has its newest entries in memory as well, so they restart.
trouble() {
    local node other before
    until over; do
        # shellcheck disable=SC2046 # names are words
        shuffle $(others_than "$(leader)")
        node=${picked[0]}
        node_kill "$node"
        for other in $(others_than "$node"); do
            before=$(made_by "$other")
            await_made "$other" $((before + 2)) || return
        done
        for other in $(others_than "$node"); do
            node_kill "$other"
            node_start "$other"
            await_ready "$other" || return
        done
        # One of those that could give it is killed as well, while it is fetched.
        node_start "$node"
        pause 0 100
        node_kill "$other"
        pause 0 1000
        node_start "$other"
        await_ready "${nodes[@]}" || return
    done
}
after() {
    least "snapshots fetched" \
        "$(cat "$dir"/node?.log | grep -c 'what="\?fetching from a peer')" 1
    # Peers may ask for what is gone. Nobody wants entry 1 of a log that does not begin with it.
    limit "tries to send entry 1" \
        "$(cat "$dir"/node?.log | grep -c 'entries 1\.\.1 are not in the log')" 0
}
