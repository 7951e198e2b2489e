package main

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"
)

const networks = `[
 {"Id": "0123456789abcdef", "Driver": "bridge", "EnableIPv6": true,
  "IPAM": {"Config": [{"Subnet": "10.0.0.0/24"}, {"Subnet": "fd14::/64"}]},
  "Options": {"com.docker.network.bridge.name": "posted",
              "com.docker.network.bridge.enable_ip_masquerade": "false"}},
 {"Id": "fedcba9876543210", "Driver": "bridge", "EnableIPv6": true,
  "IPAM": {"Config": [{"Subnet": "fd15::/64"}]}, "Options": {}},
 {"Id": "1111111111111111", "Driver": "bridge", "EnableIPv6": true,
  "IPAM": {"Config": [{"Subnet": "2001:db8::/64"}]}, "Options": {}},
 {"Id": "2222222222222222", "Driver": "bridge", "EnableIPv6": false,
  "IPAM": {"Config": [{"Subnet": "fd16::/64"}]}, "Options": {}}]`

const containers = `[
 {"HostConfig": {"PortBindings": {
   "80/tcp": [{"HostIp": "203.0.113.1", "HostPort": "80"}, {"HostIp": "2001:db8::1", "HostPort": "8080"}]}},
  "NetworkSettings": {"Networks": {"posted": {"NetworkID": "0123456789abcdef", "GlobalIPv6Address": "fd14::5"}}}}]`

func lines(t *testing.T) string {
	t.Helper()
	var n []network
	var c []container
	if err := json.Unmarshal([]byte(networks), &n); err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal([]byte(containers), &c); err != nil {
		t.Fatal(err)
	}
	var found []string
	for _, each := range slices.Concat(wanted(n, c)...) {
		found = append(found, each.table+" "+each.chain+" "+each.spec)
	}
	return strings.Join(found, "\n")
}

func TestPublishedPortsAreTranslated(t *testing.T) {
	found := lines(t)
	for _, line := range []string{
		"nat DOCKER -d 2001:db8::1 ! -i posted -p tcp -m tcp --dport 8080 -j DNAT --to-destination [fd14::5]:80",
		"filter DOCKER -d fd14::5 ! -i posted -o posted -p tcp -m tcp --dport 80 -j ACCEPT",
	} {
		if !strings.Contains(found, line) {
			t.Errorf("lacks %q:\n%s", line, found)
		}
	}
	if strings.Contains(found, "203.0.113.1") {
		t.Error("an IPv4 binding is none of its business")
	}
}

func TestOnlyMasqueradingNetworksAreMasqueraded(t *testing.T) {
	found := lines(t)
	if !strings.Contains(found, "-s fd15::/64 ! -o br-fedcba987654 -j MASQUERADE") {
		t.Error(found)
	}
	if strings.Contains(found, "-s fd14::/64") {
		t.Error("masquerading is off there")
	}
}

func TestOnlyLocalSubnetsOfIPv6Networks(t *testing.T) {
	found := lines(t)
	for _, bridge := range []string{"br-111111111111", "br-222222222222"} {
		if strings.Contains(found, bridge) {
			t.Errorf("%s has rules", bridge)
		}
	}
}

func masqueraded(id string) network {
	n := network{ID: id, Driver: "bridge", EnableIPv6: true}
	n.IPAM.Config = []struct{ Subnet string }{{"fd15::/64"}}
	n.Options = map[string]string{"com.docker.network.bridge.name": id}
	return n
}

func inserted(had []rule, groups [][]rule) string {
	var found []string
	for _, each := range insertions(had, groups) {
		found = append(found, fmt.Sprint(each.table, " ", each.chain, " ", each.position, " ", each.spec))
	}
	return strings.Join(found, "\n")
}

// The rules that 0.4.4 made on Docker 20.10, in their order.
func TestRulesGoWhereTheRealOnePutsThem(t *testing.T) {
	const want = `filter DOCKER-ISOLATION-STAGE-1 1 -j RETURN
filter DOCKER-ISOLATION-STAGE-2 1 -j RETURN
nat PREROUTING 1 -m addrtype --dst-type LOCAL -j DOCKER
nat OUTPUT 1 ! -d ::1 -m addrtype --dst-type LOCAL -j DOCKER
filter FORWARD 1 -j DOCKER-ISOLATION-STAGE-1
filter FORWARD 1 -j DOCKER-USER
filter FORWARD 3 -o b0 -j DOCKER
filter FORWARD 4 -o b0 -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT
filter FORWARD 5 -i b0 ! -o b0 -j ACCEPT
filter FORWARD 6 -i b0 -o b0 -j ACCEPT
nat DOCKER 1 -i b0 -j RETURN
nat POSTROUTING 1 -s fd15::/64 ! -o b0 -j MASQUERADE
nat POSTROUTING 1 -o b0 -m addrtype --dst-type LOCAL -j MASQUERADE
filter DOCKER-ISOLATION-STAGE-2 1 -o b0 -j DROP
filter DOCKER-ISOLATION-STAGE-1 1 -i b0 ! -o b0 -j DOCKER-ISOLATION-STAGE-2`
	if found := inserted(nil, wanted([]network{masqueraded("b0")}, nil)); found != want {
		t.Errorf("got:\n%s\nwant:\n%s", found, want)
	}
}

func TestALaterNetworkGoesBehindWhatIsThere(t *testing.T) {
	one, two := masqueraded("b0"), masqueraded("b1")
	had := slices.Concat(wanted([]network{one}, nil)...)
	found := inserted(had, wanted([]network{one, two}, nil))
	if !strings.HasPrefix(found, "filter FORWARD 7 -o b1 -j DOCKER\n") || strings.Contains(found, "b0") {
		t.Error(found)
	}
	if again := inserted(had, wanted([]network{one}, nil)); again != "" {
		t.Errorf("what is there is put again:\n%s", again)
	}
}
