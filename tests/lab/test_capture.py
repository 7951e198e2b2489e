"""Packets are parsed from the bytes that tcpdump writes."""

import ipaddress
import struct
from pathlib import Path

from lab.capture import Capture, Packet, parse

HEADER = struct.pack("=IHHiIII", 0xA1B2C3D4, 2, 4, 0, 0, 160, 1)


def record(frame: bytes, *, cut: int = 0) -> bytes:
    """Return one record of a pcap file, with `cut` bytes missing at its end."""
    head = struct.pack("=IIII", 1700000000, 250000, len(frame), len(frame))
    return head + frame[: len(frame) - cut]


def ipv4(src: str, dst: str, proto: int, payload: bytes, fragment: int = 0) -> bytes:
    """Return an Ethernet frame with an IPv4 packet that has one word of options."""
    head = struct.pack("!BBHHHBBH", 0x46, 0, 24 + len(payload), 1, fragment, 64, proto, 0)
    addresses = ipaddress.IPv4Address(src).packed + ipaddress.IPv4Address(dst).packed
    return bytes(12) + b"\x08\x00" + head + addresses + bytes(4) + payload


def ipv6(src: str, dst: str, following: int, payload: bytes) -> bytes:
    """Return an Ethernet frame with an IPv6 packet."""
    head = struct.pack("!IHBB", 0x60000000, len(payload), following, 64)
    addresses = ipaddress.IPv6Address(src).packed + ipaddress.IPv6Address(dst).packed
    return bytes(12) + b"\x86\xdd" + head + addresses + payload


def tcp(sport: int, dport: int, flags: int) -> bytes:
    """Return a TCP header."""
    return struct.pack("!HHIIBBHHH", sport, dport, 0, 0, 5 << 4, flags, 0, 0, 0)


def test_tcp_of_both_families() -> None:
    """Addresses, ports and flags of each are read, in order."""
    first = ipv4("203.0.113.20", "198.51.100.1", 6, tcp(40000, 80, 0x02))
    second = ipv6("2001:db8::20", "2001:db8:ffff::1", 6, tcp(80, 40000, 0x12))
    assert parse(HEADER + record(first) + record(second)) == [
        Packet(1700000000.25, 4, "203.0.113.20", "198.51.100.1", "tcp", 40000, 80, "S", 44),
        Packet(1700000000.25, 6, "2001:db8::20", "2001:db8:ffff::1", "tcp", 80, 40000, "SA", 60),
    ]


def test_ports_stand_behind_extension_headers() -> None:
    """Ports are found behind a hop-by-hop header and in a first fragment."""
    datagram = struct.pack("!HHHH", 5353, 3478, 8, 0)
    payload = bytes([44, 0, 0, 0, 0, 0, 0, 0]) + bytes([17, 0, 0, 1, 0, 0, 0, 0]) + datagram
    (packet,) = parse(HEADER + record(ipv6("fe80::2", "fe80::1", 0, payload)))
    assert (packet.proto, packet.sport, packet.dport) == ("udp", 5353, 3478)


def test_later_fragments_have_no_ports() -> None:
    """The bytes in the place of ports are data."""
    (packet,) = parse(HEADER + record(ipv4("192.0.2.1", "192.0.2.2", 17, bytes(range(16)), 5)))
    assert (packet.proto, packet.sport, packet.dport) == ("udp", 0, 0)


def test_other_frames_and_a_half_written_end_are_left_out() -> None:
    """ARP is no IP packet; a partly written record is read the next time."""
    arp = record(bytes(12) + b"\x08\x06" + bytes(28))
    icmp = ipv4("192.0.2.1", "192.0.2.2", 1, bytes(8))
    packets = parse(HEADER + arp + record(icmp) + record(icmp, cut=3))
    assert [packet.proto for packet in packets] == ["icmp"]
    assert parse(b"") == []


def test_a_capture_reads_on_where_it_was(tmp_path: Path) -> None:
    """A partial record is read once it is complete, and no record is read twice."""
    datagram = struct.pack("!HHHH", 1, 2, 8, 0)
    whole = record(ipv4("203.0.113.1", "198.51.100.1", 17, datagram))
    file = tmp_path / "some.pcap"
    file.write_bytes(HEADER + whole + whole[:20])
    capture = Capture(file)
    assert len(capture.packets) == 1
    with file.open("ab") as out:
        out.write(whole[20:])
    assert len(capture.packets) == 2
