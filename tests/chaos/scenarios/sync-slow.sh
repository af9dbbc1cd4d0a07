title="each sync of the leader takes 300 or 500 ms longer"
shim=yes
gap_ms=5000
await_other_leader() { # NODE
    local deadline=$((SECONDS + 20))
    until [ "$(leader)" != "$1" ]; do
        [ $SECONDS -lt $deadline ] || { fault "$1 leads on with its slow disk" && return; }
        sleep 0.2
    done
}
await_said() { # NODE LINES: it said so before
    local deadline=$((SECONDS + 20))
    until [ "$(grep -c 'msg="\?disk"\? state="disk \(slow\|hangs\)' "$dir/$1.log")" -gt "$2" ]; do
        [ $SECONDS -lt $deadline ] || { fault "$1 does not say that its disk is slow" && return; }
        sleep 0.2
    done
}
# It says so, and hands over to a node whose disk is not slow.
trouble() {
    local node said turn=0
    until over; do
        node=$(leader)
        said=$(grep -c 'msg="\?disk"\? state="disk \(slow\|hangs\)' "$dir/$node.log")
        orders "$node" sync_ms=$((turn++ % 2 == 0 ? 300 : 500))
        await_done "$node" sync_ms
        await_other_leader "$node"
        await_said "$node" "$said"
        orders "$node"
        sleep 4
    done
}
