title="every write of all nodes is short"
shim=yes
trouble() {
    local node
    for node in "${nodes[@]}"; do
        orders "$node" write=short
    done
    sleep "$seconds"
    for node in "${nodes[@]}"; do
        await_done "$node" write=short
    done
}
after() { limit elections $(($(term) - term_begun)) 3; }
