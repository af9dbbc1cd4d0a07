title="bits flipped in all logs, in different entries"
gap_ms=12000
elections=1 # all nodes are ended
trouble() {
    local node i
    pause $((seconds * 400)) $((seconds * 600))
    for node in "${nodes[@]}"; do
        node_stop "$node"
    done
    for i in "${!nodes[@]}"; do
        rot "${nodes[i]}" $((i + 1)) ${#nodes[@]}
    done
    for node in "${nodes[@]}"; do
        node_start "$node"
    done
    rot_await "${nodes[@]}"
}
