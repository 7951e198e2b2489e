# --- rules loaded at boot ------------------------------------------------------------------------
# providers/host/classic.py composes rules.v4 and rules.v6 of iptables-persistent.
# $etc/_saved names their folder if wanbound created it.
classic=/etc/iptables

classic_facts() { # `== file PATH` and the content in base64, for each file with rules
    for folder in "$classic" "${classic%/*}"; do
        for name in rules.v4 rules.v6 iptables.rules ip6tables.rules; do
            boot=$folder/$name
            if [ -f "$boot" ] && [ -r "$boot" ]; then echo "== file $boot" && base64 <"$boot"; fi
        done
    done
}

# put_classic FOLDER: FOLDER/NAME becomes the file's content, NAME.gone removes the file.
# NAME.unended: without the newline at its end.
put_classic() (
    for name in rules.v4 rules.v6; do
        [ -e "$1/$name" ] || [ -e "$1/$name.gone" ] || continue
        put_saved "$1/$name" "$classic/$name" ||
            note "cannot write $classic/$name: it does not contain the current rules"
    done
    [ ! -s "$etc/_saved" ] || ! rmdir "$classic" 2>/dev/null || rm -f "$etc/_saved"
    exit 0
)

put_saved() { # put_saved NEW FILE: NEW.was has the SHA-256 of what NEW was made from, or `none`
    [ ! -e "$1.unended" ] || { text=$(cat "$1") && printf %s "$text" >"$1"; } || return 1
    if [ -e "$1" ] && [ ! -d "$classic" ]; then
        echo "$classic" >"$etc/_saved" || return 1
        mkdir "$classic" || { rm -f "$etc/_saved"; return 1; }
    fi
    file=$(readlink -f "$2") || file=$2 # FILE may be a symlink, which stays
    if [ -e "$1" ]; then cmp -s "$1" "$file" && return; else [ -e "$file" ] || return 0; fi
    digest=none next=$file.wanbound-next
    [ ! -e "$file" ] || digest=$(sha256sum <"$file") || return 1
    [ "${digest%% *}" = "$(cat "$1.was")" ] || { note "$2 has just changed: not written"; return; }
    [ -e "$1" ] || { rm -f "$file"; return; }
    rm -f "$next"
    if [ -e "$file" ]; then cp -p "$file" "$next"; else (umask 027 && : >"$next"); fi &&
        cat "$1" >"$next" && sync "$next" && mv "$next" "$file" && return
    rm -f "$next"
    return 1
}
