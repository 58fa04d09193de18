/** Hosts, as user code may spell them, that lead to this machine or to private networks: literally. */
export const privateSpellings: readonly string[] = [
  // Loopback: decimal, octal, hexadecimal, short, mixed.
  ...`127.0.0.1 127.0.0.2 127.255.255.254 127.1 127.0.1 127.000.000.001`.split(' '),
  ...`2130706433 017700000001 0x7f000001 0x7f.1 0x7f.0.0.1 0177.0.0.1 0177.1`.split(' '),
  ...`0x7F.0x0.0x0.0x1 127.0x1 0177.0x0.1 0x7f.0.1 00000177.1 127.0.0.1.`.split(' '),
  // "This host" and broadcast.
  ...`0.0.0.0 0 0x0 00 0.1 0.0.0.1 0.255.255.255 255.255.255.255 4294967295`.split(' '),
  // RFC 1918.
  ...`10.0.0.1 10.1 10.255.255.255 167772161 0x0a000001 012.0.0.1 0xa.1`.split(' '),
  ...`172.16.0.1 172.31.255.255 172.16.1 2886729729 0xac100001 0254.16.0.1`.split(' '),
  ...`192.168.0.1 192.168.1 192.168.255.255 3232235521 0xc0a80001 0300.0250.1`.split(' '),
  // Link-local and the metadata services of clouds.
  ...`169.254.169.254 2852039166 0xa9fea9fe 0251.0376.0251.0376 169.254.43518`.split(' '),
  ...`169.254.0.1 169.254.170.2 0xa9.254.169.254 100.100.100.200 192.0.0.192`.split(' '),
  // Carrier-grade NAT, special purposes, documentation, benchmarking, relays.
  ...`100.64.0.1 100.127.255.255 192.0.0.1 192.0.2.1 198.51.100.7 203.0.113.9`.split(' '),
  ...`198.18.0.1 198.19.255.255 192.88.99.1 0x64400001`.split(' '),
  // Multicast and reserved.
  ...`224.0.0.1 239.255.255.250 240.0.0.1 254.1.2.3 0xe0000001`.split(' '),
  // IPv6: loopback and unspecified, long and short.
  ...`[::1] [0:0:0:0:0:0:0:1] [0000:0000:0000:0000:0000:0000:0000:0001] [::0001]`.split(' '),
  ...`[0::1] [::0:1] [::0.0.0.1] [::] [0:0:0:0:0:0:0:0] [::0.0.0.0]`.split(' '),
  // IPv4 in IPv6: mapped, translated, compatible.
  ...`[::ffff:127.0.0.1] [::ffff:7f00:1] [0:0:0:0:0:ffff:127.0.0.1] [::FFFF:7F00:0001]`.split(' '),
  ...`[::ffff:0.0.0.0] [::ffff:0:0] [::ffff:10.0.0.1] [::ffff:a00:1]`.split(' '),
  ...`[::ffff:192.168.0.1] [::ffff:169.254.169.254] [::ffff:a9fe:a9fe]`.split(' '),
  ...`[::ffff:0:127.0.0.1] [::ffff:0:7f00:1] [::127.0.0.1] [::7f00:1] [::a00:1]`.split(' '),
  // NAT64, 6to4, Teredo, ISATAP.
  ...`[64:ff9b::127.0.0.1] [64:ff9b::7f00:1] [64:ff9b::a00:1] [64:ff9b::a9fe:a9fe]`.split(' '),
  ...`[64:ff9b:1::7f00:1] [64:ff9b:1:ffff::7f00:1] [64:ff9b::808:808]`.split(' '),
  ...`[2002:7f00:1::] [2002:7f00:1::1] [2002:a00:1::] [2002:c0a8:1::1]`.split(' '),
  ...`[2001:0:7f00:1::] [2001::1] [2001:0:53aa:64c:0:0:80ff:fffe]`.split(' '),
  ...`[fe80::5efe:127.0.0.1] [fe80::5efe:7f00:1]`.split(' '),
  // Unique local, link-local, site-local, multicast, documentation, special purposes.
  ...`[fd00::1] [fc00::1] [fdff:ffff::1] [fd00:ec2::254] [fe80::1] [febf::1]`.split(' '),
  ...`[fec0::1] [ff02::1] [ff05::2] [2001:db8::1] [3fff::1] [2001:2::1]`.split(' '),
  ...`[2001:10::1] [2001:20::1] [100::1] [5f00::1] [4000::1]`.split(' '),
]

/** Names that do not lead out either: RFC 6761, and what a hosts file has. */
export const privateNames: readonly string[] = [
  'localhost',
  'LOCALHOST',
  'localhost.',
  'a.localhost',
  'a.b.localhost',
]
