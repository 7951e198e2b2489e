# Checks which source address an IP-echo service sees of the containers in a Docker network.
#
# components/egress_check.py sends this, followed by a call of `check`.
set -u

check() { # check WHO OPTION…: WHO is what messages call the network, then options of `docker run`: the
    # network and its DNS servers. Standard input has a line FAMILY ADDRESS URL for each family: the
    # address that the service at URL must see. Fails if it sees another one in any family.
    #
    # A container asks, because Docker chooses a container's address, default route and DNS server. The
    # image is made here and is empty: the container runs the host's curl from the host's folders, which
    # it sees read-only.
    who=$1
    shift
    if ! command -v curl >/dev/null; then
        echo "$who: the egress check did not run, because the host has no curl. The rules are in force." >&2
        echo "  Fix: run \`apt-get install curl ca-certificates\` on the host, then \`pulumi up\`" >&2
        exit 1
    fi
    # If the connection to the operator is lost, the check continues and then removes its image.
    trap '' HUP PIPE
    # An empty tar archive is 1024 zero bytes (tar(5)).
    image=$(head -c 1024 /dev/zero | docker import -) || exit 1
    # /lib and /lib64 have the dynamic loader, also where they are links into /usr.
    for path in /usr /lib /lib64 /etc/ld.so.cache /etc/ssl/certs; do
        [ ! -e "$path" ] || set -- "$@" --volume "$path:$path:ro"
    done

    failed=0
    while read -r family wanted url; do
        # No proxy, and a new connection for each question: NAT is decided once per connection. A network
        # that has just started may need a moment, so curl tries again. The last line is the answer, or
        # the last error of curl or Docker, which prints a hint after it.
        answer=$(
            docker run --rm --user 65534:65534 --cap-drop ALL "$@" "$image" \
                curl -q "-${family#ipv}" -g -s -S -L --max-redirs 3 --proto '=http,https' --noproxy '*' \
                --max-time 4 --retry 12 --retry-delay 1 --retry-max-time 12 --retry-all-errors \
                "$url" </dev/null 2>&1 | tail -c 4096 | sed '/^\r*$/d; /docker run --help/d' |
                tail -n 1 | tr -cd '[:print:]' | head -c 200
        )
        # ip4only.me and ip6only.me answer "IPv4,203.0.113.20,…".
        case $answer in IPv[46],*) answer=${answer#*,} answer=${answer%%,*} ;; esac
        case $answer in
            '' | *[!0-9A-Fa-f.:]*)
                failed=1
                echo "$who: wanbound:echo.$family gives its containers no address, so their source" \
                    "address is not known. The rules are in force. The answer is: ${answer:-empty}" >&2
                echo "  Fix: ask the service with \`curl -${family#ipv}\` on the host and from a" \
                    "container of the network, solve what that shows, and run \`pulumi up\`" >&2
                continue
                ;;
            *:*) # in its usual spelling
                spelling=$(getent ahostsv6 "$answer" | sed -n '1s/ .*//p')
                answer=${spelling:-$answer}
                ;;
        esac
        if [ "$answer" = "$wanted" ]; then
            echo "$family: the internet sees $wanted, as declared"
            continue
        fi
        failed=1
        echo "$who: wanbound:echo.$family sees $answer instead of public_$family $wanted." \
            "The rules are in force." >&2
        echo "  Fix: find what translates addresses after wanbound: a router of the provider, a proxy" \
            "in front of the service, or other rules on the host. Then run \`pulumi up\`" >&2
    done
    docker rmi "$image" >/dev/null
    exit "$failed"
}
