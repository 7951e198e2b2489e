#!/bin/sh
# wanbound: gives each Docker network of this host its own public addresses.
#
#   wanbound apply           load the current generation, all of it (boot, after Docker's start)
#   wanbound mend            load it if what is in force differs from what was loaded
#   wanbound watch           mend whenever the kernel reports a change (wanbound-watch.service)
#   wanbound facts           print what is on this host, for `pulumi up` and `pulumi refresh`
#   wanbound change FOLDER TOKEN SECONDS EXPECTED
#                            load FOLDER/new if EXPECTED is the current generation, and undo it
#                            unless, over a new SSH connection and within SECONDS, comes
#   wanbound confirm TOKEN FOLDER
#   wanbound undo TOKEN      what the timer runs: back to the confirmed generation
#
# providers/onhost/README.md describes the files in /etc/wanbound, the order of a load and the exit
# codes. On 10, 11, 14, 15, 16, 18, 19 and 24 nothing has changed.

@common.sh@

self=/usr/local/sbin/wanbound
units=/etc/systemd/system
newline='
'
tab=$(printf '\t')

@lock.sh@
@live.sh@
@load.sh@
@host.sh@
@units.sh@
@change.sh@
@undo.sh@
@classic.sh@
@docker.sh@
@watch.sh@
@facts.sh@

command=${1-}
case $command in
change | confirm | undo | apply | mend | watch | facts) ;;
*)
    echo 'usage: wanbound apply | mend | facts' >&2
    exit 64
    ;;
esac
shift
run_folder
"$command" "$@"
