# --- saved rules -----------------------------------------------------------------------------------
#
# With `option persist iptables-files` a copy of our lines stands in the files that the Debian package
# iptables-persistent loads at boot. What others have in them stays as it is, byte for byte: each line
# of ours is known by itself, so that a file that somebody has edited or saved anew loses ours alone.

classic=/etc/iptables

save_classic() { # brings the files to what the fragments say, or back to what they were without us
    persist=
    if [ -e "$etc/_host.rules" ]; then
        while read -r kind key value; do
            [ "$kind $key $value" != "option persist iptables-files" ] || persist=yes
        done <"$etc/_host.rules"
    fi
    [ -n "$persist" ] || [ -e "$etc/_saved" ] || return 0
    # $etc/_saved says that there may be lines of ours, and names the folder if we have made it.
    if [ ! -e "$etc/_saved" ]; then
        { [ -d "$classic" ] || echo "$classic"; } >"$etc/_saved"
    fi
    [ -z "$persist" ] || [ -d "$classic" ] || mkdir -p "$classic" 2>/dev/null
    unsaved=
    save_file ipv4 "$classic/rules.v4" && save_file ipv6 "$classic/rules.v6" || unsaved=yes
    if [ -n "$unsaved" ]; then
        note "cannot write to $classic: the saved rules there are not those of now"
    elif [ -z "$persist" ]; then
        [ ! -s "$etc/_saved" ] || rmdir "$classic" 2>/dev/null
        rm -f "$etc/_saved"
    fi
    return 0
}

save_file() { # save_file FAMILY FILE: with $persist our lines are in it, without it they are not
    # Somebody may keep it elsewhere.
    file=$(readlink -f "$2") || { [ -z "$persist" ]; return; }
    next=$file.wanbound-next
    old=/dev/null made=yes unended=
    if [ -e "$file" ]; then
        old=$file made=
        [ -z "$(tail -c 1 "$file")" ] || unended=yes
        # With its mode and owner.
        cp -p "$file" "$next" || return 1
    else
        # The mode that the package gives.
        (umask 027 && : >"$next") || return 1
    fi
    set -- "$1" "$old"
    if [ -n "$persist" ]; then
        for fragment in "$etc"/*.rules; do
            set -- "$@" "$fragment"
        done
    fi
    family=$1
    shift
    compose_saved "$family" "$@" >"$next" || { rm -f "$next"; return 1; }
    if cmp -s "$next" "$old"; then
        rm -f "$next"
    elif [ ! -s "$next" ] && grep -qx '# wanbound: made this file' "$old"; then
        rm -f "$next" "$file"
    else
        sync "$next" && mv "$next" "$file"
    fi
}

compose_saved() { # compose_saved FAMILY FILE [FRAGMENT]…: FILE with the lines of these and no others
    compose_family=$1 compose_file=$2
    shift 2
    awk -v family="$compose_family" -v made="$made" -v unended="$unended" '
        function keep(text) { other[++others] = text }
        function emit(text) { if (held_back++) print last; last = text }
        function wants(chain,    i) { # whether the chain has lines; both of nat are there together
            for (i = 1; i <= count[table]; i++)
                if (table == "nat" || index(ours[table, i], "-A " chain " ") == 1) return 1
            return 0
        }
        function chain(name) { if (wants(name)) emit(":" name " - [0:0]") }
        function jump(hook, name) { if (wants(name)) emit("-A " hook " -j " name) }
        function top(    i) { # what comes before all rules of others
            emit("# wanbound: begin (from /etc/wanbound, by which it is written anew)")
            if (table == "nat") {
                chain("WANBOUND-DNAT"); chain("WANBOUND-SNAT")
                jump("PREROUTING", "WANBOUND-DNAT"); jump("OUTPUT", "WANBOUND-DNAT")
                jump("POSTROUTING", "WANBOUND-SNAT")
            } else {
                chain("WANBOUND-FORWARD"); chain("WANBOUND-INPUT")
                # At boot Docker has not made DOCKER-USER yet.
                jump("FORWARD", "WANBOUND-FORWARD")
            }
            for (i = 1; i <= count[table]; i++) emit(ours[table, i])
            emit("# wanbound: end")
        }
        function bottom() { # and what comes behind them
            if (table == "nat" || !wants("WANBOUND-INPUT")) return
            emit("# wanbound: begin")
            jump("INPUT", "WANBOUND-INPUT")
            emit("# wanbound: end")
        }
        kind == "file" && $0 == "# wanbound: made this file" { made = "yes"; next }
        kind == "file" && $0 == "# wanbound: no newline was at the end" { unended = "yes"; next }
        kind == "file" && $0 == "# wanbound: made this table" { ours_next = 1; next }
        kind == "file" && /^# wanbound: / { next }
        kind == "file" && /^:WANBOUND-/ { next }
        kind == "file" && /^(\[[0-9]+:[0-9]+\] )?-A (WANBOUND-[A-Z]+ |[^ ]+ -j WANBOUND-[A-Z]+$)/ { next }
        kind == "file" {
            # A table that we have made goes with us, unless somebody else has put a line into it.
            if (opened != "" && $0 == "COMMIT") { opened = ""; next }
            if (opened != "") keep(opened)
            opened = ""
            if (ours_next) opened = $0
            else keep($0)
            ours_next = 0
        }
        kind == "fragment" && $1 == family && ($2 == "nat" || $2 == "filter") {
            ours[$2, ++count[$2]] = substr($0, length($1 $2) + 3)
            total++
        }
        END {
            if (opened != "") keep(opened)
            # Where a table comes twice it is flushed in between: ours go to the last.
            for (i = 1; i <= others; i++) {
                if (other[i] ~ /^\*/) { table = substr(other[i], 2); sub(/ *$/, "", table); ruled = 0 }
                if (table == "" || !count[table]) continue
                if (!ruled && other[i] ~ /^[-[]|^COMMIT$/) { ruled = 1; top_at[table] = i }
                if (other[i] == "COMMIT") { bottom_at[table] = i; table = "" }
            }
            if (made && total) emit("# wanbound: made this file")
            for (i = 1; i <= others; i++) {
                for (n = split("nat filter", name, " "); n; n--) {
                    table = name[n]
                    if (top_at[table] == i) top()
                    if (bottom_at[table] == i) bottom()
                }
                emit(other[i])
            }
            for (n = split("filter nat", name, " "); n; n--) {
                table = name[n]
                if (!count[table] || bottom_at[table]) continue
                emit("# wanbound: made this table")
                emit("*" table)
                top()
                bottom()
                emit("COMMIT")
            }
            if (total && unended) emit("# wanbound: no newline was at the end")
            if (held_back && (total || !unended)) print last
            else if (held_back) printf "%s", last
        }' kind=file "$compose_file" kind=fragment "$@"
}
