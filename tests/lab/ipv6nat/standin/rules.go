package main

import (
	"net/netip"
	"slices"
	"sort"
	"strconv"
	"strings"
)

// rule is one line for ip6tables. With first, it goes to the head of its chain; the others follow
// in their order.
type rule struct {
	table, chain string
	first        bool
	spec         string
}

// network and container have the used parts of Docker's answers.
type network struct {
	ID         string `json:"Id"`
	Driver     string
	EnableIPv6 bool
	IPAM       struct{ Config []struct{ Subnet string } }
	Options    map[string]string
}

type container struct {
	HostConfig struct {
		PortBindings map[string][]struct{ HostIp, HostPort string } //nolint:revive // the API's name
	}
	NetworkSettings struct {
		Networks map[string]struct{ NetworkID, GlobalIPv6Address string }
	}
}

// chains are emptied at the start; the kernel's chains jump to them.
var chains = [][2]string{
	{"filter", "DOCKER"},
	{"filter", "DOCKER-ISOLATION-STAGE-1"},
	{"filter", "DOCKER-ISOLATION-STAGE-2"},
	{"nat", "DOCKER"},
}

// Rules with first are inserted in reverse, so DOCKER-USER comes before isolation.
var base = []rule{
	{"filter", "FORWARD", true, "-j DOCKER-USER"},
	{"filter", "FORWARD", true, "-j DOCKER-ISOLATION-STAGE-1"},
	{"filter", "DOCKER-ISOLATION-STAGE-1", false, "-j RETURN"},
	{"filter", "DOCKER-ISOLATION-STAGE-2", false, "-j RETURN"},
	{"nat", "PREROUTING", false, "-m addrtype --dst-type LOCAL -j DOCKER"},
	{"nat", "OUTPUT", false, "! -d ::1 -m addrtype --dst-type LOCAL -j DOCKER"},
}

// insertion is a rule and its position in its chain, 1 for the head.
type insertion struct {
	rule
	position int
}

// insertions returns the insertions, in order, of rules that had lacks. Of each group, rules
// without first are put behind all existing ones; then those with first are inserted at the head in
// reverse.
func insertions(had []rule, groups [][]rule) []insertion {
	active := map[[2]string]int{}
	for _, each := range had {
		active[[2]string{each.table, each.chain}]++
	}
	var found []insertion
	for _, group := range groups {
		reversed := slices.Clone(group)
		slices.Reverse(reversed)
		for _, first := range []bool{false, true} {
			rules := group
			if first {
				rules = reversed
			}
			for _, each := range rules {
				if each.first != first || slices.Contains(had, each) {
					continue
				}
				at := [2]string{each.table, each.chain}
				active[at]++
				position := active[at]
				if first {
					position = 1
				}
				found = append(found, insertion{each, position})
			}
		}
	}
	return found
}

// wanted returns the rules for Docker's present networks and containers, after its base rules.
func wanted(networks []network, containers []container) [][]rule {
	found := [][]rule{base}
	bridges := map[string]string{}
	for _, each := range networks {
		subnet := localSubnet(each)
		if subnet == "" || each.Driver != "bridge" || !each.EnableIPv6 {
			continue
		}
		bridge := each.Options["com.docker.network.bridge.name"]
		if bridge == "" {
			bridge = "br-" + each.ID[:12]
		}
		bridges[each.ID] = bridge
		found = append(found, ofNetwork(bridge, subnet, each.Options))
	}
	for _, each := range containers {
		found = append(found, ofContainer(each, bridges))
	}
	return found
}

// localSubnet returns the first subnet within fc00::/7; others are ignored.
func localSubnet(each network) string {
	local := netip.MustParsePrefix("fc00::/7")
	for _, config := range each.IPAM.Config {
		subnet, err := netip.ParsePrefix(config.Subnet)
		if err == nil && local.Contains(subnet.Addr()) {
			return subnet.Masked().String()
		}
	}
	return ""
}

func ofNetwork(bridge, subnet string, options map[string]string) []rule {
	b := func(spec string) string { return strings.ReplaceAll(spec, "BRIDGE", bridge) }
	found := []rule{
		{"filter", "DOCKER-ISOLATION-STAGE-1", true, b("-i BRIDGE ! -o BRIDGE -j DOCKER-ISOLATION-STAGE-2")},
		{"filter", "DOCKER-ISOLATION-STAGE-2", true, b("-o BRIDGE -j DROP")},
		{"filter", "FORWARD", false, b("-o BRIDGE -j DOCKER")},
		{"filter", "FORWARD", false, b("-o BRIDGE -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT")},
		{"filter", "FORWARD", false, b("-i BRIDGE ! -o BRIDGE -j ACCEPT")},
		{"filter", "FORWARD", false, b("-i BRIDGE -o BRIDGE -j ACCEPT")},
		{"nat", "POSTROUTING", true, b("-o BRIDGE -m addrtype --dst-type LOCAL -j MASQUERADE")},
	}
	if options["com.docker.network.bridge.enable_ip_masquerade"] != "false" {
		found = append(found, rule{"nat", "POSTROUTING", true, "-s " + subnet + " ! -o " + bridge + " -j MASQUERADE"})
	}
	return append(found, rule{"nat", "DOCKER", true, b("-i BRIDGE -j RETURN")})
}

func ofContainer(each container, bridges map[string]string) []rule {
	var found []rule
	for _, end := range each.NetworkSettings.Networks {
		bridge, known := bridges[end.NetworkID]
		if !known || end.GlobalIPv6Address == "" {
			continue
		}
		address := end.GlobalIPv6Address
		for _, key := range sortedKeys(each.HostConfig.PortBindings) {
			port, protocol, _ := strings.Cut(key, "/")
			for _, binding := range each.HostConfig.PortBindings[key] {
				host, err := netip.ParseAddr(binding.HostIp)
				if err != nil || host.Is4() {
					continue
				}
				if _, err := strconv.ParseUint(binding.HostPort, 10, 16); err != nil {
					continue
				}
				of := " -p " + protocol + " -m " + protocol + " --dport "
				found = append(found,
					rule{"filter", "DOCKER", false, "-d " + address + " ! -i " + bridge + " -o " + bridge + of + port + " -j ACCEPT"},
					rule{"nat", "POSTROUTING", false, "-s " + address + " -d " + address + of + port + " -j MASQUERADE"},
					rule{"nat", "DOCKER", false, "-d " + host.String() + " ! -i " + bridge + of + binding.HostPort +
						" -j DNAT --to-destination [" + address + "]:" + port})
			}
		}
		return found
	}
	return found
}

func sortedKeys[V any](from map[string]V) []string {
	keys := make([]string, 0, len(from))
	for key := range from {
		keys = append(keys, key)
	}
	sort.Strings(keys)
	return keys
}
