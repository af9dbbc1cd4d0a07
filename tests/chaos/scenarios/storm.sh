. $here/scenarios/kill-leader.sh
gap_ms=5000
title="2000 idle, 200 slow, 20 huge clients; kill -9"
eval "kill_leader() $(declare -f trouble | tail -n +2)"
trouble() {
    crowd_begin -i 2000 -s 200 -b 20
    kill_leader
    crowd_end
    least "idle clients at once" "$(crowd_figure idle_open)" 1500
    least "slow clients cut off" "$(crowd_figure slow_closed)" 10
    least "huge bodies cut off" "$(crowd_figure big_closed)" 10
}
