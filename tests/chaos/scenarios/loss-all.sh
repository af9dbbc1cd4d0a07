title="all packets: 30 % lost, the rest 20 to 70 ms late"
gap_ms=12000
trouble() {
    local node
    for node in "${nodes[@]}"; do
        disturb "$node" 0.3 20 70
    done
    sleep $((seconds > 15 ? seconds : 15)) # longer than gap_ms
}
after() { least "packets lost" $dropped 10; }
