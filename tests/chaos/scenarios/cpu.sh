title="one node of five has 5 % of a processor"
size=5
# It is slow, and no more dead than the others are.
trouble() {
    cpu_starve "$(others_than "$(leader)" | head -n 1)" 5
    sleep "$seconds"
    least "times without processor time" "$(cpu_throttled)" 10
}
after() { limit "false deaths" "$(false_deaths)" 0; }
