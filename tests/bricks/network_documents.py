"""Network configuration in the three forms that the metadata brick knows, for two interfaces."""

from __future__ import annotations

__all__ = ["COMPOSED", "MACS", "OPENSTACK", "VERSION_1", "VERSION_2"]

MACS = ["02:00:00:00:00:01", "02:00:00:00:00:02"]

VERSION_2 = f"""
network:
  version: 2
  ethernets:
    id0:
      match: {{macaddress: "{MACS[0].upper()}"}}
      set-name: lan0
      addresses: [10.1.0.2/24, "2001:db8::2/64"]
      gateway4: 10.1.0.1
      mtu: 1400
      routes:
      - {{to: 10.9.1.7/16, via: 10.1.0.254, metric: 50}}
      - to: "2001:db8:9::/48"
        via: 2001:db8::1
      - {{to: default, via: 192.0.2.1, metric: 9, on-link: true}}
      nameservers:
        addresses: [10.1.0.53, "2001:db8::53"]
        search: [example.org, lan]
    two:
      dhcp4: true
      optional: true
      wakeonlan: true
  bridges:
    br0:
      interfaces: [two]
      addresses: [10.2.0.1/30]
      parameters: {{stp: false}}
"""

VERSION_1 = f"""
version: 1
config:
- type: loopback
  name: lo
- type: physical
  name: two
  mac_address: '{MACS[0]}'
  mtu: 1300
  subnets:
  - type: static
    address: 10.1.0.2
    netmask: 255.255.255.0
    gateway: 10.1.0.1
    dns_nameservers: [10.1.0.53]
    dns_search: example.org
    routes:
    - network: 10.9.0.0
      netmask: 255.255.0.0
      gateway: 10.1.0.254
  - type: static6
    address: 2001:db8::2/64
    gateway: 2001:db8::1
- type: physical
  name: one
  mac_address: {MACS[1]}
  subnets: [{{type: dhcp4}}, {{type: ipv6_slaac}}]
- type: bridge
  name: br0
  bridge_interfaces: [one]
  params: {{bridge_stp: 'off', bridge_fd: 250}}
- type: nameserver
  address: [10.1.0.54, 10.1.0.53]
- type: route
  destination: 10.8.0.0/16
  gateway: 10.1.0.3
- type: infiniband
"""

OPENSTACK = {
    "links": [
        {"id": "tap1", "type": "ovs", "ethernet_mac_address": MACS[0], "mtu": 1450},
        {"id": "tap2", "type": "phy", "ethernet_mac_address": MACS[1], "mtu": None},
    ],
    "networks": [
        {
            "id": "network0",
            "link": "tap1",
            "type": "ipv4",
            "ip_address": "10.1.0.2",
            "netmask": "255.255.255.0",
            "routes": [{"network": "0.0.0.0", "netmask": "0.0.0.0", "gateway": "10.1.0.1"}],
            "services": [{"type": "dns", "address": "10.1.0.53"}],
        },
        {
            "id": "network1",
            "link": "tap1",
            "type": "ipv6",
            "ip_address": "2001:db8::2",
            "netmask": "ffff:ffff:ffff:ffff::",
            "routes": [{"network": "::", "netmask": "::", "gateway": "2001:db8::1"}],
        },
        {"id": "network2", "link": "tap2", "type": "ipv4_dhcp"},
        {"id": "network3", "link": "nowhere", "type": "ipv4"},
    ],
    "services": [{"type": "dns", "address": "10.1.0.54"}],
}


COMPOSED = {
    "version 1": """
version: 1
config:
- {type: physical, name: one}
- {type: physical, name: two}
- type: bond
  name: bond0
  bond_interfaces: [one, two]
  params: {bond-mode: 802.3ad, bond_miimon: 100, bond-lacp-rate: fast}
- {type: vlan, name: bond0.7, vlan_link: bond0, vlan_id: 7}
""",
    "version 2": """
version: 2
ethernets: {one: {}, two: {}}
bonds:
  bond0:
    interfaces: [one, two]
    parameters: {mode: 802.3ad, mii-monitor-interval: 100, lacp-rate: fast}
vlans:
  bond0.7: {link: bond0, id: 7}
""",
    "OpenStack": """
{"links": [
 {"id": "one", "type": "phy", "ethernet_mac_address": "02:00:00:00:00:01"},
 {"id": "two", "type": "phy", "ethernet_mac_address": "02:00:00:00:00:02"},
 {"id": "bond", "type": "bond", "bond_links": ["one", "two"], "bond_mode": "802.3ad",
  "bond_miimon": 100, "ethernet_mac_address": "02:00:00:00:00:03"},
 {"id": "lan", "type": "vlan", "vlan_link": "bond", "vlan_id": 7}]}
""",
}
"""A bond of two interfaces, and a VLAN on it."""
