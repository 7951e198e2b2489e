// Command docker-ipv6nat is a stand-in for the program of that name, which this machine's tests
// cannot have: Go's module proxy does not serve github.com/robbertkl/docker-ipv6nat. It makes the
// rules of 0.4.4 in the same places: it empties its chains at the start, puts its jumps at the head
// of FORWARD, DOCKER-USER before isolation, and updates the rules of networks and containers at
// each event of Docker's.
package main

import (
	"context"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"time"
)

const socket = "/var/run/docker.sock"

var client = http.Client{Transport: &http.Transport{
	DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return (&net.Dialer{}).DialContext(ctx, "unix", socket)
	},
}}

func main() {
	if err := run(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func run() error {
	for _, each := range chains {
		// An existing chain is emptied.
		_ = ip6tables("-t", each[0], "-N", each[1])
		if err := ip6tables("-t", each[0], "-F", each[1]); err != nil {
			return err
		}
	}
	_ = ip6tables("-N", "DOCKER-USER")
	events, err := client.Get("http://docker/events")
	if err != nil {
		return err
	}
	defer events.Body.Close()
	var had []rule
	decoder := json.NewDecoder(events.Body)
	for {
		if had, err = sync(had); err != nil {
			return err
		}
		var event struct{ Type, Action string }
		for {
			if err := decoder.Decode(&event); err != nil {
				return fmt.Errorf("docker has ended: %w", err)
			}
			if event.Type == "network" || event.Type == "container" {
				break
			}
		}
		// An announced network or container may not exist at once.
		time.Sleep(100 * time.Millisecond)
	}
}

// sync adds missing rules and removes those of had that are no longer wanted.
func sync(had []rule) ([]rule, error) {
	networks, containers, err := look()
	if err != nil {
		return had, err
	}
	groups := wanted(networks, containers)
	for _, each := range insertions(had, groups) {
		if check(each.rule) == nil {
			continue
		}
		words := []string{"-t", each.table, "-I", each.chain, strconv.Itoa(each.position)}
		if err := ip6tables(append(words, strings.Fields(each.spec)...)...); err != nil {
			return had, err
		}
	}
	rules := slices.Concat(groups...)
	for _, each := range had {
		if !slices.Contains(rules, each) && check(each) == nil {
			words := []string{"-t", each.table, "-D", each.chain}
			if err := ip6tables(append(words, strings.Fields(each.spec)...)...); err != nil {
				return had, err
			}
		}
	}
	return rules, nil
}

func check(each rule) error {
	words := []string{"-t", each.table, "-C", each.chain}
	return ip6tables(append(words, strings.Fields(each.spec)...)...)
}

func ip6tables(words ...string) error {
	said, err := exec.Command("/usr/sbin/ip6tables", append([]string{"-w"}, words...)...).CombinedOutput()
	if err != nil {
		return fmt.Errorf("ip6tables %s: %w: %s", strings.Join(words, " "), err, said)
	}
	return nil
}

func look() ([]network, []container, error) {
	var networks []network
	if err := get("/networks", &networks); err != nil {
		return nil, nil, err
	}
	var running []struct {
		ID string `json:"Id"`
	}
	if err := get("/containers/json", &running); err != nil {
		return nil, nil, err
	}
	var containers []container
	for _, each := range running {
		var found container
		// It may have ended meanwhile.
		if get("/containers/"+each.ID+"/json", &found) == nil {
			containers = append(containers, found)
		}
	}
	return networks, containers, nil
}

func get(path string, into any) error {
	answer, err := client.Get("http://docker" + path)
	if err != nil {
		return err
	}
	defer answer.Body.Close()
	if answer.StatusCode != http.StatusOK {
		return fmt.Errorf("docker answers %s to %s", answer.Status, path)
	}
	return json.NewDecoder(answer.Body).Decode(into)
}
