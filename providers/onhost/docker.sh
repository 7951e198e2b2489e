# --- Docker networks made by hand ------------------------------------------------------------------

renew() { # renew NETWORK LABEL: make room where somebody made a network of this name by hand
    # Only for a network that Pulumi had made and that a refresh has found to be another one now.
    need docker docker.io
    take_lock
    found=$(docker network inspect -f '{{index .Labels "wanbound"}}' "$1" 2>/dev/null) || return 0
    [ "$found" != "$2" ] || return 0
    strangers=
    attached=$(docker network inspect -f '{{range $id, $_ := .Containers}}{{$id}} {{end}}' "$1") || attached=
    for id in $attached; do
        label=$(docker inspect -f '{{index .Config.Labels "wanbound"}}' "$id")
        # Ours are made anew with their network; nobody else's is cut off.
        [ "$label" = "$2" ] || strangers="$strangers $(docker inspect -f '{{.Name}}' "$id" | tr -d /)"
    done
    [ -z "$strangers" ] ||
        fail 18 "the Docker network $1 was made by hand, and containers of others are in it:$strangers"
    for id in $attached; do
        docker network disconnect -f "$1" "$id" >/dev/null || fail 18 "Docker does not let go of $id"
    done
    docker network rm "$1" >/dev/null || fail 18 "Docker does not remove the network $1"
    say "removed the Docker network $1, which was made by hand"
}
