package main

import (
	"context"
	"encoding/binary"
	"flag"
	"fmt"
	"io"
	"net"
	"net/netip"
	"syscall"
	"time"
)

const (
	protoTCP, protoUDP = 6, 17
	// For experiments and testing (RFC 3692): conntrack reads only its addresses.
	protoOther = 253
	synFlag    = 0x02
	ackFlag    = 0x10
)

// A forgery is a kind of packet for spoof: the protocol, and its payload for two ends.
var forgeries = map[string]struct {
	proto   byte
	payload func(from, to netip.AddrPort) []byte
}{
	"udp":    {protoUDP, udpPayload},
	"syn":    {protoTCP, func(from, to netip.AddrPort) []byte { return tcpPayload(from, to, synFlag) }},
	"stray":  {protoTCP, func(from, to netip.AddrPort) []byte { return tcpPayload(from, to, ackFlag) }},
	"broken": {protoUDP, brokenPayload},
	"other":  {protoOther, func(_, _ netip.AddrPort) []byte { return []byte("spoofed!") }},
}

// spoof sends whole IP packets with the given source. This takes CAP_NET_RAW, which Docker gives to
// every container.
func spoof(ctx context.Context, flags *flag.FlagSet, args []string, out io.Writer) error {
	source := flags.String("from", "", "")
	kind := flags.String("kind", "udp", "")
	count := flags.Int("count", 20, "")
	interval := flags.Duration("interval", 20*time.Millisecond, "")
	words, err := operands(flags, args, 1, 1)
	if err != nil {
		return err
	}
	from, err := netip.ParseAddr(*source)
	if err != nil {
		return fmt.Errorf("%w: -from: %v", errUsage, err)
	}
	to, err := netip.ParseAddrPort(words[0])
	if err != nil || to.Addr().Is4() != from.Is4() {
		return fmt.Errorf("%w: %s is no address and port of the family of -from", errUsage, words[0])
	}
	forgery, known := forgeries[*kind]
	if !known || *count < 1 || *interval <= 0 {
		return fmt.Errorf("%w: no such -kind, -count or -interval", errUsage)
	}
	send, err := rawSender(to.Addr())
	if err != nil {
		return err
	}
	defer send.close()
	for sent := 0; sent < *count; sent++ {
		// Another port for each packet, so that each is a new flow for conntrack.
		ends := netip.AddrPortFrom(from, uint16(20000+sent))
		packet := ipPacket(from, to.Addr(), forgery.proto, forgery.payload(ends, to))
		if err := send.packet(packet); err != nil {
			return err
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(*interval):
		}
	}
	return printJSON(out, map[string]any{"sent": *count})
}

// advertise announces this machine on the link as the router for the IPv6 internet (RFC 4861, 4.2):
// a host that accepts it sends its own traffic here.
func advertise(ctx context.Context, flags *flag.FlagSet, args []string, out io.Writer) error {
	words, err := operands(flags, args, 1, 1)
	if err != nil {
		return err
	}
	link, err := net.InterfaceByName(words[0])
	if err != nil {
		return err
	}
	// The kernel fills in the checksum of ICMPv6 (RFC 3542, 3.1).
	fd, err := syscall.Socket(syscall.AF_INET6, syscall.SOCK_RAW, syscall.IPPROTO_ICMPV6)
	if err != nil {
		return err
	}
	defer syscall.Close(fd)
	if err := syscall.SetsockoptInt(fd, syscall.IPPROTO_IPV6, syscall.IPV6_MULTICAST_HOPS, 255); err != nil {
		return err
	}
	everybody := &syscall.SockaddrInet6{
		Addr: netip.MustParseAddr("ff02::1").As16(), ZoneId: uint32(link.Index),
	}
	// Type 134, hop limit 64, router for 1800 s with the highest preference (RFC 4191).
	message := []byte{134, 0, 0, 0, 64, 0x08, 0x07, 0x08, 0, 0, 0, 0, 0, 0, 0, 0}
	const count = 5
	for sent := 0; sent < count; sent++ {
		if err := syscall.Sendto(fd, message, 0, everybody); err != nil {
			return err
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(50 * time.Millisecond):
		}
	}
	return printJSON(out, map[string]any{"sent": count})
}

type sender struct {
	fd int
	to syscall.Sockaddr
}

// rawSender opens a socket whose packets have their own IP header (raw(7), IPPROTO_RAW).
func rawSender(to netip.Addr) (*sender, error) {
	family, address := syscall.AF_INET6, syscall.Sockaddr(&syscall.SockaddrInet6{Addr: to.As16()})
	if to.Is4() {
		family, address = syscall.AF_INET, &syscall.SockaddrInet4{Addr: to.As4()}
	}
	fd, err := syscall.Socket(family, syscall.SOCK_RAW, syscall.IPPROTO_RAW)
	return &sender{fd, address}, err
}

func (s *sender) packet(packet []byte) error { return syscall.Sendto(s.fd, packet, 0, s.to) }

func (s *sender) close() { _ = syscall.Close(s.fd) }

// ipPacket puts a header before the payload (RFC 791, RFC 8200).
func ipPacket(from, to netip.Addr, proto byte, payload []byte) []byte {
	if from.Is4() {
		header := make([]byte, 20, 20+len(payload))
		header[0], header[8], header[9] = 0x45, 64, proto
		binary.BigEndian.PutUint16(header[2:], uint16(20+len(payload)))
		copy(header[12:], from.AsSlice())
		copy(header[16:], to.AsSlice())
		binary.BigEndian.PutUint16(header[10:], checksum(header))
		return append(header, payload...)
	}
	header := make([]byte, 40, 40+len(payload))
	header[0], header[6], header[7] = 0x60, proto, 64
	binary.BigEndian.PutUint16(header[4:], uint16(len(payload)))
	copy(header[8:], from.AsSlice())
	copy(header[24:], to.AsSlice())
	return append(header, payload...)
}

func udpPayload(from, to netip.AddrPort) []byte {
	segment := make([]byte, 8, 16)
	binary.BigEndian.PutUint16(segment, from.Port())
	binary.BigEndian.PutUint16(segment[2:], to.Port())
	segment = append(segment, "spoofed!"...)
	binary.BigEndian.PutUint16(segment[4:], uint16(len(segment)))
	binary.BigEndian.PutUint16(segment[6:], checksum(pseudoHeader(from, to, protoUDP, segment)))
	return segment
}

// brokenPayload has a wrong checksum: conntrack classifies such a packet as invalid, and does not
// translate it.
func brokenPayload(from, to netip.AddrPort) []byte {
	segment := udpPayload(from, to)
	segment[6] ^= 0x55
	return segment
}

func tcpPayload(from, to netip.AddrPort, flags byte) []byte {
	segment := make([]byte, 20)
	binary.BigEndian.PutUint16(segment, from.Port())
	binary.BigEndian.PutUint16(segment[2:], to.Port())
	binary.BigEndian.PutUint32(segment[4:], 1)
	segment[12], segment[13] = 5<<4, flags
	binary.BigEndian.PutUint16(segment[14:], 1024)
	binary.BigEndian.PutUint16(segment[16:], checksum(pseudoHeader(from, to, protoTCP, segment)))
	return segment
}

// pseudoHeader is what the checksums of TCP and UDP cover (RFC 9293, 3.1; RFC 8200, 8.1).
func pseudoHeader(from, to netip.AddrPort, proto byte, segment []byte) []byte {
	covered := append(from.Addr().AsSlice(), to.Addr().AsSlice()...)
	covered = binary.BigEndian.AppendUint32(covered, uint32(len(segment)))
	return append(append(covered, 0, 0, 0, proto), segment...)
}

// checksum is the internet checksum (RFC 1071).
func checksum(data []byte) uint16 {
	var sum uint32
	for at := 0; at+1 < len(data); at += 2 {
		sum += uint32(binary.BigEndian.Uint16(data[at:]))
	}
	if len(data)%2 == 1 {
		sum += uint32(data[len(data)-1]) << 8
	}
	for sum > 0xffff {
		sum = sum>>16 + sum&0xffff
	}
	return ^uint16(sum)
}
