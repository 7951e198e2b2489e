#!/bin/sh
# wanbound: gives each Docker network of this host its own public addresses.
#
#   wanbound apply           load the current generation, all of it (boot, after Docker's start)
#   wanbound mend            compare what is in force with what was loaded; load what differs
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
# /etc/wanbound holds generations, each a folder named by the change that brought it:
#
#   ID/ipv4.rules ipv6.rules   for iptables-restore --noflush; "# jumps TABLE" is where the jumps
#                              from the built-in chains go; `-s @LINK` is the subnet of that link
#   ID/guard.nft               for nft -f, the whole table
#   ID/addresses               DEV and then the line of `ip addr show`, or a line with `nodad` behind
#   ID/routes                  ipv4|ipv6 and then a default route as `ip route` prints it
#   ID/links, ID/sysctls       DEV up; KEY = VALUE, as sysctl(8) has it
#   ID/bridges                 the bridges of its networks
#   ID/moved                   public addresses that belong to another network than before it
#   ID/leaving, ID-then        bridges of networks that have left the configuration, and the
#                              generation without them, for when Docker has removed these bridges
#   ID/absent                  bridges that may not exist when it is loaded (destroy)
#   ID/owner, ID/plan.json     the stack it belongs to, and what it was composed from
#   ID/was, ID/before, ID/added   what the host had before us, before this change, and not yet
#   current → ID               what is loaded
#   confirmed → ID             what an undo returns to
#   armed                      there from before `current` moves until the confirmation
#
# The order of a load: the guard first, then links, addresses, sysctls and routes, then IPv4 and
# IPv6 rules; what is no longer wanted goes last. At no moment may a packet leave with another
# source. A kill at any point leaves a state that the timer, the next run or the next boot finishes.
#
# Exit codes (providers/ssh/remote.py tells the operator what each means for the host):
#   0 done · 10 something is missing on this host · 11 refused when tested · 12 refused when loaded,
#   old state restored · 13 refused when loaded, old state NOT restored · 14 lock not had in time
#   15 cannot write · 16 belongs to another stack · 17 was undone: no confirmation came in time
#   18 a Docker network that was made by hand, or a bridge of ours, is in use · 19 changed meanwhile
#   20 to 23: see engine.sh
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

iptables_of() { # iptables_of FAMILY: sets $tool to the stem of the family's commands
    tool=iptables
    [ "$1" = ipv4 ] || tool=ip6tables
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

case ${1-} in
change) change "$2" "$3" "$4" "$5" ;;
confirm) confirm "$2" "$3" ;;
undo) undo "$2" ;;
renew) renew "$2" "$3" ;;
engine)
    act=$2
    shift 2
    "engine_$act" "$@"
    ;;
apply) apply ;;
mend) mend ;;
watch) watch ;;
units) put_units ;;
facts) facts ;;
*)
    echo 'usage: wanbound apply | mend | facts' >&2
    exit 64
    ;;
esac
