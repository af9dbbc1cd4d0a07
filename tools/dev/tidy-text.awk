# tidy-text.awk: checks scripts, the Makefile and templates.

function offence(rule) {
    printf "%s:%d: %s\n", FILENAME, FNR, rule
    offences++
}

length($0) > 100 && FILENAME != "Makefile" {
    offence("line of " length($0) " columns (at most 100)")
}
/[ \t\r]$/ {
    offence("blank at the end of the line")
}
/\t/ && FILENAME != "Makefile" {
    offence("tab: indent with 4 spaces")
}
# The checkers themselves have to name what they look for.
FILENAME !~ /^tools\/dev\/tidy/ && /(^|[^A-Za-z0-9_])(TODO|FIXME|XXX|HACK)([^A-Za-z0-9_]|$)/ {
    offence("leftover marker: do it, or write it into the tracker")
}
FILENAME ~ /^tests\/(integration|unit|sim)\/test_/ && /(^|[;&|({ \t])u?sleep[ \t]/ && !/^[ \t]*#/ {
    offence("a test sleeps: wait on a condition with a deadline (a helper of the library does)")
}
FNR == 601 {
    offence("file of more than 600 lines: split it by noun")
}

END {
    exit offences > 0
}
