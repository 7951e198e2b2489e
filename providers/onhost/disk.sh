# --- disk ----------------------------------------------------------------------------------------

write_next() { # write_next FOLDER: everything new beside its place; a full disk stops it here
    [ ! -e "$etc/.next" ] || rm -rf "$etc/.next" || return 1
    mkdir -p "$etc/.next" "${self%/*}" || return 1
    set -- "$1" "$1"/next/*.rules
    next=$1
    shift
    [ ! -e "$1" ] || cp "$@" "$etc/.next/" || return 1
    [ ! -s "$next/host.was" ] || cp "$next/host.was" "$etc/.next/_host.was" || return 1
    if ! cmp -s "$0" "$self"; then
        cp "$0" "$self.next" && chmod 0755 "$self.next" || return 1
    fi
    if [ -d "$units" ] && ! units_stand; then
        write_units .next || return 1
    fi
    # Data before names: a power cut after the renames must not find empty files.
    sync "$etc"/.next/* "$etc/.next" 2>/dev/null
    return 0
}

keep_old() { # keep_old FOLDER: what is there now, in .old; what is not in it was not there
    rm -rf "$etc/.old" && mkdir -p "$etc/.old/units" || return 1
    cp "$1/changed" "$etc/.old/changed" && cp "$1/added" "$etc/.old/added" || return 1
    [ ! -e "$1/host.now" ] || cp "$1/host.now" "$etc/.old/host.now" || return 1
    while read -r name; do
        [ ! -e "$etc/$name.rules" ] || ln "$etc/$name.rules" "$etc/.old/" || return 1
    done <"$1/changed"
    [ ! -e "$etc/_host.was" ] || ln "$etc/_host.was" "$etc/.old/" || return 1
    [ ! -e "$self" ] || cp -p "$self" "$etc/.old/script" || return 1
    for file in "$units"/wanbound*.service; do
        [ ! -e "$file" ] || cp -p "$file" "$etc/.old/units/" || return 1
    done
    # The one that will undo it: it knows what it wrote.
    cp "$0" "$etc/.old/wanbound"
}

commit() { # commit FOLDER: renames alone, which need no space
    for file in "$etc"/.next/*.rules; do
        [ ! -e "$file" ] || mv "$etc"/.next/*.rules "$etc/" || return 1
        break
    done
    if [ -s "$1/removed" ]; then
        while read -r name; do
            rm -f "$etc/$name.rules" || return 1
        done <"$1/removed"
    fi
    if [ -e "$etc/.next/_host.was" ]; then
        mv "$etc/.next/_host.was" "$etc/" || return 1
    elif [ -e "$1/host.was" ]; then
        rm -f "$etc/_host.was" || return 1
    fi
    [ ! -e "$self.next" ] || mv "$self.next" "$self" || return 1
    if [ -e "$units/wanbound-watch.service.next" ]; then
        for unit in wanbound wanbound-docker wanbound-watch; do
            mv "$units/$unit.service.next" "$units/$unit.service" || return 1
        done
        enable_units || return 1
        reload_units start
    else
        watcher_runs
    fi
    sync "$etc"
}

put_back() { # undoes commit, as far as it went; may itself be cut short and run again
    while read -r name; do
        if [ -e "$etc/.old/$name.rules" ]; then
            ln -f "$etc/.old/$name.rules" "$etc/$name.rules"
        else
            rm -f "$etc/$name.rules"
        fi
    done <"$etc/.old/changed"
    if [ -e "$etc/.old/_host.was" ]; then
        ln -f "$etc/.old/_host.was" "$etc/_host.was"
    else
        rm -f "$etc/_host.was"
    fi
    if [ -e "$etc/.old/script" ] && ! cmp -s "$etc/.old/script" "$self"; then
        cp -p "$etc/.old/script" "$self.next" && mv "$self.next" "$self"
    fi
    for file in "$etc"/.old/units/*; do
        unit=$units/${file##*/}
        if [ -e "$file" ] && ! cmp -s "$file" "$unit"; then
            cp -p "$file" "$unit.next" && mv "$unit.next" "$unit" && changed_units=yes
        fi
    done
    [ -z "${changed_units-}" ] || reload_units start
    sync "$etc"
}

clear_disk() { # leaves no half-written file, and no file at all where no fragment is left
    rm -rf "$etc/.next" "$etc/.old" "$self.next" "$units"/wanbound*.next
    for file in "$etc"/*.rules; do
        [ ! -e "$file" ] || return 0
    done
    rm -rf "$etc" "$self" "$run/guard" "$run/engine"
    [ -e "$units/wanbound.service" ] || return 0
    rm -f "$units"/*.wants/wanbound*.service
    reload_units stop
    rm -f "$units"/wanbound*.service
    rmdir "$units/docker.service.wants" 2>/dev/null
    [ ! -d /run/systemd/system ] || systemctl daemon-reload
}
