# SPDX-License-Identifier: Apache-2.0
# Wine, for programs that are compiled for Windows. The scripts of tests/ read this file with `.`.

PATH=$PATH:/usr/lib/wine # where Debian has wine64

# What runs a program. wine needs one page at a fixed address, and now and then the system has put its
# heap there, so that the program does not start. Without address randomisation the heap is elsewhere.
# shellcheck disable=SC2034
wine='setarch;-R;wine64'

# start_wine DIR: from now on wine keeps a user's settings in DIR, and a server of its own runs. Of two
# programs at the same time, neither may be the first that this wine runs, and neither may find the
# server ending.
start_wine() {
    command -v wine64 >/dev/null || {
        echo "$0: no wine64: install the Debian package of that name" >&2
        exit 2
    }
    # Of its messages, only errors are wanted.
    started_wine=yes WINEPREFIX=$1 WINEDEBUG=fixme-all
    export WINEPREFIX WINEDEBUG
    mkdir -p "$1"
    wineserver64 -p && setarch -R wine64 wineboot --init >"$1/log" 2>&1 || {
        cat "$1/log" >&2
        echo "$0: wine does not start" >&2
        exit 1
    }
}

# Ends the server, if start_wine has started one.
stop_wine() {
    [ -z "${started_wine:-}" ] || wineserver64 -k 2>/dev/null || :
}
