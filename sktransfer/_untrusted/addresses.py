"""Rules for the addresses of URLs: a URL in a row may come from anybody."""

import ipaddress
import socket

PRIVATE = "a private address"
# Where clouds tell a machine its own secrets. Most of them answer at 169.254.169.254,
# which is link-local; these look public or private.
METADATA = frozenset(
    map(
        ipaddress.ip_address,
        (
            "100.100.100.200",
            "168.63.129.16",
            "192.0.0.192",
            "fd00:ec2::254",
            "fd20:ce::254",
        ),
    )
)
METADATA_NAMES = ("metadata.google.internal",)
THIS_NETWORK = ipaddress.ip_network("0.0.0.0/8")
NAT64 = ipaddress.ip_network("64:ff9b::/96")


def why_refused(address, *, private):
    """Say why nothing is fetched from an address.

    Parameters
    ----------
    address : str or ipaddress.IPv4Address or ipaddress.IPv6Address
        In the form in which a connection is made to it.
    private : bool
        Allow private addresses, such as 10.0.0.1, and shared ones, such as 100.64.0.1.

    Returns
    -------
    str or None
        None where it is allowed.
    """
    ip = _unwrapped(ipaddress.ip_address(address))
    if ip.is_loopback:
        return "a loopback address"
    if ip in METADATA:
        return "the address of a cloud's metadata"
    if ip.is_link_local:
        return "a link-local address"
    if ip.is_multicast:
        return "a multicast address"
    if ip.is_unspecified or ip.is_reserved or ip.version == 4 and ip in THIS_NETWORK:
        return "a reserved address"
    if ip.is_global or private:
        return None
    return PRIVATE


def why_refused_by_name(host, *, private):
    """Say why a proxy is not asked for a host, as far as the name itself tells.

    Parameters
    ----------
    host : str
        In ASCII and lower case.
    private : bool
        As in `why_refused`.

    Returns
    -------
    str or None
    """
    host = host.rstrip(".")
    if host == "localhost" or host.endswith(".localhost"):
        return "a loopback address"
    if host in METADATA_NAMES:
        return "the address of a cloud's metadata"
    address = _literal(host)
    return None if address is None else why_refused(address, private=private)


def _literal(host):
    """Return the address that a host is, in any form that connections take, or None."""
    try:
        return ipaddress.ip_address(host)
    except ValueError:
        pass
    try:
        return ipaddress.ip_address(socket.inet_aton(host))  # 2130706433, 0177.1, 127.1
    except OSError:
        return None


def _unwrapped(ip):
    """Return the IPv4 address that an IPv6 address leads to, where it does."""
    if ip.version == 4:
        return ip
    if ip in NAT64:
        return ipaddress.IPv4Address(int(ip) & 0xFFFFFFFF)
    teredo = ip.teredo[1] if ip.teredo else None
    return ip.ipv4_mapped or ip.sixtofour or teredo or ip
