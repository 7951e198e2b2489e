#!/bin/sh
# wanbound: gives each Docker network of this host its own public addresses. This script works
# without an operator; an operator's run sends its own script.
#
#   wanbound apply           load the current generation, all of it (boot, after Docker's start)
#   wanbound mend            repair: load it if what is in force differs from what was loaded
#   wanbound status          print networks, counters, repairs, and a change that is pending
#   wanbound metrics FILE    write the same for Prometheus (wanbound-metrics.timer)
#   wanbound watch           repair when the kernel reports a change (wanbound-watch.service)
#   wanbound version         the version that made the last change, and the digest of this script
#   wanbound remove          remove everything of wanbound, where Pulumi's state is lost
#   wanbound undo TOKEN      what the timer of an unconfirmed change runs: back to the confirmed
#                            generation
#
# providers/onhost/README.md describes the files in /etc/wanbound, the order of a load and the exit
# codes.

@onhost/parts.sh@
@onhost/metrics.sh@
@onhost/watch.sh@
@onhost/remove.sh@

version() {
    digest=$(sha256sum "$self") || exit 15
    echo "wanbound $(cat "$etc/current/version" 2>/dev/null || echo unknown), script $(echo "$digest" | cut -c 1-12)"
}

command=${1-}
case $command in
apply | mend | status | metrics | watch | undo | remove) ;;
version)
    version
    exit
    ;;
*)
    echo 'usage: wanbound apply | mend | status | version | remove' >&2
    exit 64
    ;;
esac
shift
run_folder
"$command" "$@"
