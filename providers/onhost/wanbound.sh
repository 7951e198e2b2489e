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
#   wanbound renew NETWORK LABEL
#                            remove a Docker network that was made by hand in place of ours
#   wanbound engine …        see engine.sh
#
# providers/onhost/README.md describes the files in /etc/wanbound, the order of a load and the exit
# codes. On 10, 11, 14, 15, 16, 18, 19, 22 and 24 nothing has changed.

# `a && b || fail` is meant as it reads: whichever fails, the program ends.
# shellcheck disable=SC2015
set -u
umask 022
LC_ALL=C
PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin
export LC_ALL PATH

etc=/etc/wanbound
run=/run/wanbound
var=/var/lib/wanbound
self=/usr/local/sbin/wanbound
units=/etc/systemd/system
work=''
newline='
'
tab=$(printf '\t')

say() { printf 'wanbound: %s\n' "$*" >&2; }
note() { printf 'note %s\n' "$*" >&2; } # for the operator, at once and whatever becomes of the run
fail() {
    code=$1
    shift
    say "$*"
    exit "$code"
}

need() { # need PROGRAM PACKAGE: fails when the program is not on this host
    command -v "$1" >/dev/null 2>&1 || fail 10 "$1 is not installed here (Debian package $2)"
}

@lock.sh@

@live.sh@

@load.sh@

@host.sh@

@units.sh@

@change.sh@

@undo.sh@

@classic.sh@

@docker.sh@

@engine.sh@

@watch.sh@

@facts.sh@

command=${1-}
case $command in
change | confirm | undo | renew | apply | mend | watch | facts) ;;
engine)
    command=engine_$2
    shift
    ;;
*)
    echo 'usage: wanbound apply | mend | facts' >&2
    exit 64
    ;;
esac
shift
# For root alone: whoever can open the lock, be it to read, can hold it and keep us out.
[ -d "$run" ] || (umask 077 && mkdir -p "$run") || fail 15 "cannot write to $run"
"$command" "$@"
