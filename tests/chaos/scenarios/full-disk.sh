title="all disks full, then not any more"
disk_mb=24
# Nobody can write as long as the disks are full.
gap_ms=$((seconds * 1000 + 8000))
trouble() {
    local node status refused=0
    for node in "${nodes[@]}"; do
        disk_fill "$node"
    done
    # What the clients write is small: large values use up what is left of the segments.
    head -c 200000 /dev/zero >"$dir/large"
    until over; do
        for node in "${nodes[@]}"; do
            status=$(ask "$node" "/v1/kv/large/$RANDOM" -X PUT --data-binary "@$dir/large" \
                -o /dev/null -w '%{http_code}')
            [ "$status" = 507 ] && refused=$((refused + 1))
        done
        sleep 0.1
    done
    [ $refused -gt 0 ] || fault "no write was refused with 507"
}
