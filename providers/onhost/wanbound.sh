#!/bin/sh
# wanbound: gives each Docker network of this host its own public addresses.
#
#   wanbound apply           load what /etc/wanbound says (idempotent; mends whatever was flushed)
#   wanbound mend            the same, but touch only what differs
#   wanbound watch           mend as soon as anything is flushed or lost (wanbound-watch.service)
#   wanbound state           print what is in force, for `pulumi refresh`
#   wanbound change FOLDER TOKEN SECONDS
#                            put and remove networks as FOLDER/bundle says, and undo it all unless
#   wanbound confirm TOKEN   comes within SECONDS, over a new SSH connection
#   wanbound undo TOKEN      what the timer runs: everything as it was before that change
#   wanbound renew NETWORK LABEL
#                            remove a Docker network that was made by hand in place of ours
#   wanbound engine state    print what Docker is and what its daemon.json says
#   wanbound engine install PACKAGE…
#                            install Docker, and what rules need, from the distribution
#   wanbound engine put FOLDER DIGEST HOW
#                            daemon.json becomes FOLDER's, if it still has that digest
#
# /etc/wanbound/NETWORK.rules holds all that one network wants, a line each, in both families:
#
#   claim KIND VALUE         what no second network may have (bridge, address, subnet)
#   address DEV ADDR/LEN     a public address and the interface it stands on; with `nodad` behind it
#                            it is not looked for on the link first
#   ipv4 nat LINE            a line of iptables-restore; likewise ipv4 filter, ipv6 nat, ipv6 filter.
#                            `-s @LINK` stands for the subnet that the link has
#   guard LINE               a command of nft
#
# /etc/wanbound/_host.rules holds what the host itself wants, lines as above and:
#
#   link DEV up              a link that is to be up
#   route ipv4 LINE          a default route as `ip route` prints it; likewise route ipv6
#   sysctl KEY VALUE         a kernel parameter, by its name in sysctl(8)
#   option persist iptables-files   keep a copy of our lines in /etc/iptables/rules.v4 and rules.v6
#
# The order of a change, under one lock:
#   1. Compose what the kernel needs to hear; test both families. Nothing is touched yet.
#   2. Write the new files beside their places, keep the old ones in .old, and arm the undo: a timer
#      that puts the old ones back. What cuts the operator off cuts off the confirmation, too.
#   3. Rename the new files into their places.
#   4. Load: the guard first, then link, addresses and routes, then IPv4 and IPv6; what goes, goes
#      in the reverse order, so that at no moment a packet may leave with another source.
#   5. If the kernel refuses any of it: put the old files back and load them.
# A run that was killed between 2 and 5 is undone by the timer, by the next run or at the next boot,
# whichever comes first.
#
# Exit codes (providers/host.py tells the operator what each means for the host):
#   0 done · 10 something is missing on this host · 11 refused when tested · 12 refused when loaded,
#   old state restored · 13 refused when loaded, old state NOT restored · 14 lock not had in time
#   15 cannot write · 16 claimed by another network · 17 was undone: no confirmation came in time
#   18 a Docker network that was made by hand is in use · 19 daemon.json was changed meanwhile
#   20 Docker did not take daemon.json, the old one is back · 21 and does not run with that either
#   22 Docker refuses daemon.json when asked · 23 apt-get failed
#   On 10, 11, 14, 15, 16, 18, 19 and 22 nothing has changed.

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
lock_seconds=60

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

iptables_of() { # iptables_of FAMILY: sets $tool to the stem of the family's commands
    tool=iptables
    [ "$1" = ipv4 ] || tool=ip6tables
}

@lock.sh@

@compose.sh@

@load.sh@

@host.sh@

@units.sh@

@disk.sh@

@undo.sh@

@saved.sh@

@byhand.sh@

@docker.sh@

@engine.sh@

@change.sh@

@watch.sh@

@state.sh@

case ${1-} in
change) change "$2" "$3" "$4" ;;
confirm) confirm "$2" ;;
undo) undo "$2" ;;
renew) renew "$2" "$3" ;;
engine)
    act=$2
    shift 2
    "engine_$act" "$@"
    ;;
apply) apply whole ;;
mend) apply '' ;;
watch) watch ;;
state) state ;;
*)
    echo 'usage: wanbound apply | mend | state' >&2
    exit 64
    ;;
esac
