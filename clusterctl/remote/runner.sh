# Asks the questions one after another on a node without Python.  POSIX sh: dash, busybox ash.
# It arrives over stdin behind a line that sets nonce, mark, node_s and nice, and is followed by
# main(), which holds the questions as calls of `ask`; see transport/wire.py.  Writes no file.
#
# Who is who, in the environment, where also a process that left its group keeps it:
#   CLUSTERCTL_TALK   tools              CLUSTERCTL_HELP   what carries their output
#   CLUSTERCTL_WATCH  what waits for deadlines and for the end of stdin, the lifeline

PATH=$PATH:/usr/sbin:/sbin:/usr/local/sbin:/usr/local/bin:/usr/bin:/bin:/usr/local/cuda/bin
PATH=$PATH:/opt/rocm/bin:/usr/local/Ascend/driver/tools:/usr/local/corex/bin:/opt/mxdriver/bin
PATH=$PATH:/opt/hyhal/bin
LC_ALL=C LANG=C COLUMNS=200 TERM=dumb
export PATH LC_ALL LANG COLUMNS TERM
leash=
command -v setsid >/dev/null 2>&1 && leash=setsid # a tool may signal its whole group
command -v nice >/dev/null 2>&1 && leash="nice -n $nice $leash"
dog= stray=

# What runs a tool.  A shell of its own, because only what was executed can be found by its mark.
# $0 is the secret that marks the exit code; descriptor 3 takes stderr and 9 the code.
run='
if command -v "$3" >/dev/null 2>&1; then
    talk=$1 leash=$2
    shift 2
    CLUSTERCTL_TALK=$talk $leash "$@" </dev/null 2>&3 3>&- 5>&- 8<&- 9>&-
    code=$?
elif [ -f "$3" ]; then echo "not executable: $3" >&3; code=126
else echo "not found: $3" >&3; code=127
fi
echo "=$0=$code=" >&9'

kill_marked() { # SIGNAL VARIABLE
    for environ in $(grep -ls "CLUSTERCTL_$2=$nonce" /proc/[0-9]*/environ 2>/dev/null); do
        environ=${environ%/environ}
        kill "-$1" "${environ#/proc/}"
    done 2>/dev/null
}

nap() { # SECONDS; ends early, with the shell, at SIGTERM
    CLUSTERCTL_WATCH=$nonce sleep "$1" &
    waits=$!
    wait "$waits"
}

watch() { # SECONDS: ends the running tool then.  Exits 1 if it had to.
    late=0
    trap 'kill "$waits" 2>/dev/null; exit $late' TERM
    nap "$1"
    late=1
    kill_marked TERM TALK
    nap 1
    kill_marked KILL TALK
    nap 1
    kill_marked KILL HELP # the tool does not die: let go of it
    exit 1
}

leave_all() { # SIGNAL for the main shell
    trap '' TERM # the main shell, leaving, says goodbye to us too
    kill_marked TERM TALK
    nap 1
    kill "-$1" $$ # before its tool is killed: it would go on as if the tool had just ended
    kill_marked KILL TALK
    kill_marked KILL HELP
    nap 1
    kill -KILL $$
    kill_marked KILL WATCH
}

listen() {
    trap 'kill "$waits" 2>/dev/null; exit' TERM
    CLUSTERCTL_WATCH=$nonce cat <&8 >/dev/null &
    waits=$!
    wait "$waits"
    leave_all TERM
}

expire() {
    trap 'kill "$waits" 2>/dev/null; exit' TERM
    nap "$node_s"
    leave_all USR1
}

bye() { # EXIT
    kill $dog $ear $clock 2>/dev/null
    exit "$1"
}

moment() { # sets now, in hundredths of a second; no fork
    read -r now rest </proc/uptime
    now=${now%.*}${now#*.}
}

ask() { # INDEX SECONDS BYTES COMMAND...
    index=$1 limit_s=$2 cap=$3
    shift 3
    moment
    began=$now
    watch "$limit_s" >/dev/null 2>&1 5>&- 8<&- &
    dog=$!
    # Its stdout is cut to size, marked and sent at once; its stderr and exit code are kept.
    # NUL becomes "?": busybox sed takes it for the end of a line.
    said=$(
        export CLUSTERCTL_HELP="$nonce"
        {
            {
                sh -c "$run" "$mark" "$nonce" "$leash" "$@" |
                    { head -c "$cap"; echo; } | tr '\000' '?' | sed 's/^/o/' >&5
            } 3>&1 >/dev/null | { head -c 65536; cat >/dev/null; }
        } 9>&1
    )
    kill "$dog" 2>/dev/null
    wait "$dog"
    late=$?
    dog=
    code=${said#*="$mark"=}
    code=${code%%=*}
    case $code in
    '' | *[!0-9]*) code=- ;;
    *) [ "$code" -gt 128 ] && [ "$code" -le 192 ] && code=$((128 - code)) ;;
    esac
    [ "$late" = 0 ] || code=- stray=1
    before=${said%%="$mark"=*}
    after=${said#*="$mark"=*=}
    [ "$after" = "$said" ] && after=
    moment
    # A filter that was killed may have left a line open: hence the empty one.
    {
        echo
        [ -z "$before$after" ] || printf '%s\n' "$before${after#?}" | sed 's/^/e/'
        echo "=$nonce answer $index $code $(((now - began) * 10))"
    } >&5
}

finish() { # COUNT
    [ -z "$stray" ] || kill_marked KILL TALK
    echo "=$nonce end $1" >&5
    bye 0
}

prepare() {
    exec 8<&0 5>&1
    listen >/dev/null 2>&1 5>&- &
    ear=$!
    expire >/dev/null 2>&1 5>&- 8<&- &
    clock=$!
    trap 'bye 125' TERM HUP INT
    trap 'bye 124' USR1
}
