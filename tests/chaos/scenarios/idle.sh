title="more idle clients than one node takes"
trouble() {
    crowd_nodes=(node1)
    crowd_begin -i 3000
    sleep "$seconds"
    crowd_end
    crowd_nodes=()
    least "idle clients at once" "$(crowd_figure idle_open)" 1000
}
after() { limit elections $(($(term) - term_begun)) 3; }
