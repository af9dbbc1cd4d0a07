# tidy-c.awk: checks C files line by line. Expects the house's layout (clang-format): a function's
# opening and closing brace stand in column 1, and no other brace opens a line there.

function offence(line, rule) {
    printf "%s:%d: %s\n", FILENAME, line, rule
    offences++
}

function ban(names, where, instead,   list, n, i) {
    n = split(names, list, " ")
    for (i = 1; i <= n; i++) {
        banned[list[i]] = instead
        banned_where[list[i]] = where
    }
}

BEGIN {
    LINE_MAX = 100
    FUNCTION_MAX = 70
    FILE_MAX = 600
    CORE = "^src/(base|core|wire|node)/"
    SRC = "^src/"
    ANY = "."
    ban("sprintf vsprintf", ANY, "snprintf, and look at its result")
    ban("strcpy stpcpy strncpy strcat strncat", ANY, \
        "memcpy with a checked length, or struct pc_buf")
    ban("gets", ANY, "fgets")
    ban("atoi atol atoll atof", ANY, "a parser that can fail (strtoull with end and errno checked)")
    ban("strtok", ANY, "strcspn")
    ban("rand srand random drand48", ANY, "struct pc_prng (core) or pc_entropy (edge)")
    ban("alloca", ANY, "a bounded array or the heap")
    ban("evhttp_send_error", ANY, "the problem+json answer of edge/http: never HTML")
    ban("usleep sleep", ANY, "a timer, or waiting on a condition with a deadline")
    ban("system popen", ANY, "fork and exec with an argument vector")
    ban("signal", ANY, "sigaction")
    harmless["signal"] = "SIG_(IGN|DFL)"
    ban("gethostbyname inet_ntoa inet_addr", ANY, "getaddrinfo, pc_addr_format, pc_addr_parse")
    ban("localtime gmtime ctime asctime", ANY, "localtime_r, gmtime_r")
    ban("assert", SRC, "PC_ASSERT, which stays on")
    ban("msgpack_unpack msgpack_unpack_next msgpack_unpacker_next", SRC, \
        "the bounded cursor of mpack.h: msgpack-c reserves gigabytes for five bytes")
    ban("printf puts putchar perror", "^src/(base|core|wire|node|edge)/", "pc_log, or an effect")
    ban("fprintf fputs", CORE, "an effect or a pc_error")
    ban("nanosleep", "^(src|include|tests/unit|tests/sim)", "a condition with a deadline")
    ban("malloc calloc realloc", "^src/core/raft/", "pc_xalloc, pc_xrealloc, struct pc_blob")
    exempt["fprintf"] = "^src/base/assert.c$" # the last words of a process that ends
}

# The line without comments and without what stands between quotes; sets has_comment.
function strip(line,   out, at, rest, close_at, quote) {
    out = ""
    has_comment = 0
    while (line != "") {
        if (in_comment) {
            has_comment = 1
            close_at = index(line, "*/")
            if (close_at == 0) {
                return out
            }
            line = substr(line, close_at + 2)
            in_comment = 0
            continue
        }
        if (!match(line, /\/\*|\/\/|"|'/)) {
            return out line
        }
        at = RSTART
        rest = substr(line, at, 2)
        if (rest == "/*") {
            out = out substr(line, 1, at - 1)
            line = substr(line, at + 2)
            in_comment = 1
            has_comment = 1
        } else if (rest == "//") {
            has_comment = 1
            return out substr(line, 1, at - 1)
        } else {
            quote = substr(line, at, 1)
            out = out substr(line, 1, at)
            line = substr(line, at + 1)
            while (line != "" && substr(line, 1, 1) != quote) {
                line = substr(line, substr(line, 1, 1) == "\\" ? 3 : 2)
            }
            out = out quote
            line = substr(line, 2)
        }
    }
    return out
}

function check_calls(code,   rest, name, before) {
    rest = code
    before = ""
    while (match(rest, /[A-Za-z_][A-Za-z0-9_]*[ \t]*\(/)) {
        name = substr(rest, RSTART, RLENGTH - 1)
        sub(/[ \t]+$/, "", name)
        before = RSTART > 1 ? substr(rest, RSTART - 1, 1) : ""
        # A member of that name (ops.signal) is somebody else's function.
        if (name in banned && FILENAME ~ banned_where[name] && before !~ /[.>]/ &&
            !(name in exempt && FILENAME ~ exempt[name]) &&
            !(name in harmless && code ~ harmless[name])) {
            offence(FNR, "banned call " name "(): use " banned[name])
        }
        rest = substr(rest, RSTART + RLENGTH)
    }
}

function check_preprocessor(code) {
    if (code ~ /^[ \t]*#[ \t]*if[ \t]+0/) {
        offence(FNR, "#if 0: delete it")
    } else if (FILENAME ~ /^src\// && FILENAME !~ /^src\/edge\/os\// &&
               code ~ /^[ \t]*#[ \t]*(if|ifdef|elif)([ \t]|$)/) {
        offence(FNR, "conditional compilation outside src/edge/os")
    } else if (FILENAME ~ /\.c$/ && FILENAME ~ /^src\// && FILENAME !~ /^src\/edge\/os\// &&
               code ~ /^[ \t]*#[ \t]*ifndef/) {
        offence(FNR, "conditional compilation outside src/edge/os")
    }
}

# ---- functions: from the first line of the signature to the closing brace
function check_function(code) {
    if (code ~ /^{/) {
        body_open = 1
        return
    }
    if (code ~ /^}/) {
        if (body_open && FNR - signature + 1 > FUNCTION_MAX) {
            offence(signature, "function of " (FNR - signature + 1) " lines (at most " \
                FUNCTION_MAX ")")
        }
        body_open = 0
        signature = 0
        return
    }
    if (body_open) {
        return
    }
    if (code ~ /^[ \t]*$/ || code ~ /^#/ || code ~ /;[ \t]*$/) {
        signature = 0
    } else if (signature == 0) {
        signature = FNR
    }
}

# ---- headers of include/: a block of declarations (no blank line between) carries a comment, above
# it or at its side, or stands directly below a comment that introduces the group
function end_block() {
    if (block_line && !block_comment && !above_comment) {
        offence(block_line, "public declaration without a comment above or at its side")
    }
    if (block_line || block_comment) {
        above_comment = block_comment && !block_line
    }
    block_line = 0
    block_comment = 0
}

function check_declaration(code, raw,   opens, closes) {
    if (raw ~ /^[ \t]*$/ && depth == 0) {
        end_block()
        return
    }
    if (has_comment && FNR > 1 && !file_comment_open) {
        block_comment = 1
    }
    if (macro_open || code ~ /^[ \t]*#/) {
        macro_open = raw ~ /\\$/
        return
    }
    if (depth == 0 && code ~ /^[A-Za-z]/ && !block_line && code !~ /^struct [a-z_0-9]+;/ &&
        code !~ /^(PC_STATIC_ASSERT|extern "C")/ && code !~ /^[A-Z]/) {
        block_line = FNR
    }
    opens = gsub(/{/, "{", code)
    closes = gsub(/}/, "}", code)
    depth += opens - closes
}

function end_file() {
    if (previous_file == "") {
        return
    }
    if (file_lines > FILE_MAX) {
        printf "%s:%d: file of %d lines (at most %d): split it by noun\n", previous_file, \
            FILE_MAX + 1, file_lines, FILE_MAX
        offences++
    }
}

FNR == 1 {
    end_file()
    previous_file = FILENAME
    in_comment = body_open = signature = 0
    block_line = block_comment = above_comment = depth = macro_open = 0
    file_comment_open = FILENAME ~ /^include\// && /^\/\*/
}

{
    file_lines = FNR
    if (length($0) > LINE_MAX) {
        offence(FNR, "line of " length($0) " columns (at most " LINE_MAX ")")
    }
    if (/\t/) {
        offence(FNR, "tab: indent with 4 spaces")
    }
    if (/[ \t\r]$/) {
        offence(FNR, "blank at the end of the line")
    }
    if (/(^|[^A-Za-z0-9_])(TODO|FIXME|XXX|HACK)([^A-Za-z0-9_]|$)/) {
        offence(FNR, "leftover marker: do it, or write it into the tracker")
    }
    code = strip($0)
    check_calls(code)
    check_preprocessor(code)
    check_function(code)
    if (FILENAME ~ /^include\/.*\.h$/) {
        check_declaration(code, $0)
        if (file_comment_open && !in_comment) {
            file_comment_open = 0
        }
    }
    if (FILENAME ~ /^src\/(core|node)\// &&
        code ~ /(^|[^A-Za-z0-9_])(double|float)([^A-Za-z0-9_]|$)/) {
        offence(FNR, "floating point in the core: integers of a named unit")
    }
    if (code !~ /^#/ && code ~ /PC_TEST\([a-z_0-9]+\)/ &&
        code !~ /PC_TEST\([a-z0-9_]+__[a-z0-9_]+__[a-z0-9_]+\)/) {
        offence(FNR, "test not named <subject>__<situation>__<outcome>")
    }
}

END {
    end_file()
    exit offences > 0
}
