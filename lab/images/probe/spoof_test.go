package main

import (
	"net/netip"
	"strings"
	"testing"
)

func TestChecksumsOfForgeriesAreRight(t *testing.T) {
	for _, ends := range [][2]string{
		{"172.16.0.2:20000", "198.51.100.9:7"}, {"[fd00::2]:20000", "[2001:db8:ffff::9]:7"},
	} {
		from, to := netip.MustParseAddrPort(ends[0]), netip.MustParseAddrPort(ends[1])
		for kind, forgery := range forgeries {
			payload := forgery.payload(from, to)
			packet := ipPacket(from.Addr(), to.Addr(), forgery.proto, payload)
			if from.Addr().Is4() && checksum(packet[:20]) != 0 {
				t.Errorf("%s: the header's checksum is wrong", kind)
			}
			if kind == "other" {
				continue
			}
			// The checksum of data with its own correct checksum is zero (RFC 1071).
			right := checksum(pseudoHeader(from, to, forgery.proto, payload)) == 0
			if right != (kind != "broken") {
				t.Errorf("%s to %s: checksum right: %v", kind, to, right)
			}
		}
	}
}

func TestSpoofRefusesWhatItCannotSend(t *testing.T) {
	for _, args := range [][]string{
		{"spoof", "192.0.2.1:7"},
		{"spoof", "-from", "nobody", "192.0.2.1:7"},
		{"spoof", "-from", "2001:db8::1", "192.0.2.1:7"},
		{"spoof", "-from", "192.0.2.9", "-kind", "letter", "192.0.2.1:7"},
		{"spoof", "-from", "192.0.2.9", "-count", "0", "192.0.2.1:7"},
		{"advertise"},
	} {
		if status, _, stderr := probe(t.Context(), args...); status != 2 || !strings.Contains(stderr, "usage") {
			t.Errorf("%v: status %d, %s", args, status, stderr)
		}
	}
}
