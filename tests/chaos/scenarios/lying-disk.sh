title="control: syncs lie, then the power fails"
shim=yes
control=yes
# Whatever the nodes do, they must lose what they acknowledged. If that goes unnoticed here, the
# results of the other scenarios say nothing.
trouble() {
    local node
    for node in "${nodes[@]}"; do
        orders "$node" sync=lie
        await_done "$node" sync=lie
    done
    sleep 3
    power_cut
}
judge() {
    load_check
    [ "$(figure lost)" -gt 0 ] || fault "what was lost went unnoticed: $(tail -n 1 "$dir/verdict")"
    good="ok: noticed"
}
