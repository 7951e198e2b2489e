package main

import (
	"encoding/json"
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
	for _, each := range wanted(n, c) {
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
