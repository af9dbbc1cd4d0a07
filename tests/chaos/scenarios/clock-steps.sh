title="one wall clock steps 1 h and 2 years, to and fro"
shim=yes
trouble() {
    local node ms hour=3600000 years=63072000000
    until over; do
        for ms in $hour -$hour $years -$years 0; do
            over && break
            shuffle "${nodes[@]}"
        node=${picked[0]}
            [ $((RANDOM % 2)) -eq 0 ] && node=$(leader)
            orders "$node" clock_ms=$ms
            sleep 1
            orders "$node"
        done
    done
}
after() { limit elections $(($(term) - term_begun)) 3; }
