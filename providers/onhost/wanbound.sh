#!/bin/sh
# wanbound: gives each Docker network of this host its own public addresses. This is what the host
# does by itself; what an operator's run does here travels with that run.
#
#   wanbound apply           load the current generation, all of it (boot, after Docker's start)
#   wanbound mend            load it if what is in force differs from what was loaded
#   wanbound watch           mend whenever the kernel reports a change (wanbound-watch.service)
#   wanbound undo TOKEN      what the timer of an unconfirmed change runs: back to the confirmed
#                            generation
#
# providers/onhost/README.md describes the files in /etc/wanbound, the order of a load and the exit
# codes.

@onhost/parts.sh@
@onhost/watch.sh@

command=${1-}
case $command in
apply | mend | watch | undo) ;;
*)
    echo 'usage: wanbound apply | mend' >&2
    exit 64
    ;;
esac
shift
run_folder
"$command" "$@"
