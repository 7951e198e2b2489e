# --- counters for Prometheus -------------------------------------------------------------------------
#
# What `wanbound status` reads, in the text format of Prometheus, for the textfile collector of
# node_exporter. wanbound-metrics.timer runs it. Names of networks and bridges need no escaping: they
# are letters, digits, dots, dashes and underscores.

metrics() { # metrics FILE
    [ -e "$etc/current" ] || return 0
    work_folder
    {
        echo '== names'
        cat "$etc/current/wanbound-metrics.networks"
        echo '== repaired'
        cat "$run/repaired" 2>/dev/null
        echo '== switched'
        stat -c %Y "$etc/current"
        status_generation
        status_counters 0
    } >"$work/status" && prometheus "$work/status" >"$work/metrics" || fail 15 "cannot write to $run"
    # The folder may belong to another user: write to no file, link or device that is already there.
    # `set -C` is not enough for that, because a shell opens what is no regular file.
    { rm -f "$1.next" && dd if="$work/metrics" of="$1.next" conv=excl status=none && mv -T "$1.next" "$1"; } ||
        fail 15 "cannot write $1; the folder must exist (key metrics of this host)"
}

prometheus() { # prometheus FILE
    awk '
        function metric(name, type, help, samples) {
            if (samples != "")
                printf "# HELP wanbound_%s %s\n# TYPE wanbound_%s %s\n%s", name, help, name, type, samples
        }
        function sample(name, labels, value) { return "wanbound_" name labels " " value "\n" }
        function labels_of(bridge, more) {
            return "{network=\"" network[bridge] "\",bridge=\"" bridge "\"," more "}"
        }
        BEGIN { pending = repaired = loaded = differs = 0 }
        $1 == "==" { section = $2; next }
        section == "names" { network[$1] = $2 }
        section == "repaired" { repaired = $1 }
        section == "switched" { switched = $1 }
        section == "generation" && $1 == "loaded" { loaded = 1 }
        section == "generation" && $1 == "differs" { differs = 1 }
        section == "pending" { pending = 1 }
        section == "networks" && $2 == "out" {
            outward = labels_of($1, "direction=\"out\"")
            inward = labels_of($1, "direction=\"in\"")
            packets = packets sample("network_packets_total", outward, $3) \
                sample("network_packets_total", inward, $6)
            bytes = bytes sample("network_bytes_total", outward, $4) \
                sample("network_bytes_total", inward, $7)
        }
        section == "drops" && NF > 3 {
            if (!($1 in drops)) chains[++count] = $1
            drops[$1] += $2
            dropped[$1] += $3
        }
        END {
            for (n = 1; n <= count; n++) {
                chain = bridge = chains[n]
                reason = chain
                sub(/-.*/, "", reason)
                # Those of all networks have no bridge in their name.
                if (!sub(/^[^-]*-/, "", bridge)) bridge = ""
                labels = labels_of(bridge, "reason=\"" reason "\"")
                lost = lost sample("dropped_packets_total", labels, sprintf("%.0f", drops[chain]))
                lost_bytes = lost_bytes sample("dropped_bytes_total", labels, sprintf("%.0f", dropped[chain]))
            }
            metric("network_packets_total", "counter", "Packets of the containers of a network since its bridge was created.", packets)
            metric("network_bytes_total", "counter", "Bytes of the containers of a network since its bridge was created.", bytes)
            metric("dropped_packets_total", "counter", "Packets that the guard dropped since the rules were loaded.", lost)
            metric("dropped_bytes_total", "counter", "Bytes that the guard dropped since the rules were loaded.", lost_bytes)
            metric("last_change_timestamp_seconds", "gauge", "When the rules were last changed.", sample("last_change_timestamp_seconds", "", switched))
            metric("confirmation_pending", "gauge", "Whether a change waits for its confirmation.", sample("confirmation_pending", "", pending))
            metric("repairs_total", "counter", "Repairs since the last boot.", sample("repairs_total", "", repaired))
            metric("rules_in_force", "gauge", "Whether everything is in force as it was loaded.", sample("rules_in_force", "", loaded && !differs))
        }' "$1"
}
