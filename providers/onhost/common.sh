# --- the beginning of every program on a host -------------------------------------------------------

# `a && b || fail` is intended: if either fails, the program ends.
# shellcheck disable=SC2015
set -u
umask 022
LC_ALL=C
PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin
export LC_ALL PATH

etc=/etc/wanbound
run=/run/wanbound
var=/var/lib/wanbound
work=''

say() { printf 'wanbound: %s\n' "$*" >&2; }
note() { printf 'note %s\n' "$*" >&2; } # for the operator, at once, even if the run fails
fail() {
    code=$1
    shift
    say "$*"
    exit "$code"
}

matching() { grep "$@" || [ $? = 1 ]; } # grep, but it is no failure that no line matches

need() { # need PROGRAM PACKAGE: fails when the program is not on this host
    command -v "$1" >/dev/null 2>&1 || fail 10 "$1 is not installed here (Debian package $2)"
}
