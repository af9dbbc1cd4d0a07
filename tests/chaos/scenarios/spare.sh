title="any node killed, and when a spare votes for it any other"
size=4
spares=1
cluster_settings="dead_after = 2s"
gap_ms=5000
elections=1
rounds=0
trouble() {
    local first second turn=0
    until over; do
        # shellcheck disable=SC2046 # names are words
        shuffle $(voters)
        first=${picked[0]}
        [ $((turn++ % 2)) -eq 0 ] && first=$(leader)
        node_kill "$first"
        # shellcheck disable=SC2046 # names are words
        await_voters 3 $(others_than "$first") || return
        # shellcheck disable=SC2046 # names are words
        shuffle $(others_than "$first")
        second=${picked[0]}
        node_kill "$second"
        pause $((gap_ms + 500)) $((gap_ms + 1500))
        # shellcheck disable=SC2046 # names are words
        await_writes $(others_than "$first" "$second")
        node_start "$first"
        node_start "$second"
        # shellcheck disable=SC2046 # names are words
        await_ready "${nodes[@]}" && await_voters 3 $(voters) || return
        rounds=$((rounds + 1))
    done
}
# Who ends as the spare is asked for what it has, too: as a voter.
judge() {
    local node
    least "rounds" $rounds 1
    for node in "${nodes[@]}"; do
        is_spare "$node" && member_change promote "$node"
    done
    await_ready "${nodes[@]}" && await_voters 4 "${nodes[@]}"
    load_judge
}
