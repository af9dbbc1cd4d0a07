title="UDP: 30 % lost, the rest 20 to 70 ms late"
trouble() {
    local node
    for node in "${nodes[@]}"; do
        disturb "$node" 0.3 20 70 udp
    done
    sleep "$seconds"
}
after() {
    least "packets lost" $dropped 10
}
