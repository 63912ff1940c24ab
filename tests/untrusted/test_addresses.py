"""Addresses that a URL may lead to."""

import pytest

from sktransfer._untrusted.addresses import (
    PRIVATE,
    why_refused,
    why_refused_by_name,
)

NEVER = [
    "127.0.0.1",
    "127.8.9.10",
    "0.0.0.0",
    "0.1.2.3",
    "169.254.169.254",
    "169.254.0.1",
    "224.0.0.1",
    "240.0.0.1",
    "255.255.255.255",
    "100.100.100.200",
    "168.63.129.16",
    "192.0.0.192",
    "::",
    "::1",
    "fe80::1",
    "fe80::1%1",
    "ff02::1",
    "fd00:ec2::254",
    "::ffff:127.0.0.1",
    "::ffff:169.254.169.254",
    "::127.0.0.1",
    "64:ff9b::7f00:1",
    "64:ff9b::a9fe:a9fe",
    "2002:7f00:1::",
    "2001:0:4136:e378:8000:63bf:80ff:fffe",  # Teredo of 127.0.0.1
]
INTRANET = [
    "10.0.0.1",
    "172.16.5.4",
    "192.168.1.1",
    "100.64.0.1",
    "fd12:3456::1",
    "::ffff:10.0.0.1",
    "64:ff9b::a00:1",
]
PUBLIC = ["93.184.216.34", "2606:2800:220:1:248:1893:25c8:1946", "::ffff:93.184.216.34"]


@pytest.mark.parametrize("address", NEVER)
def test_some_addresses_are_never_asked(address):
    for private in (False, True):
        assert why_refused(address, private=private) not in (None, PRIVATE)


@pytest.mark.parametrize("address", INTRANET)
def test_private_addresses_are_asked_where_that_is_said(address):
    assert why_refused(address, private=False) == PRIVATE
    assert why_refused(address, private=True) is None


@pytest.mark.parametrize("address", PUBLIC)
def test_public_addresses_are_asked(address):
    assert why_refused(address, private=False) is None


@pytest.mark.parametrize(
    "host",
    [
        "localhost",
        "localhost.",
        "a.localhost",
        "metadata.google.internal",
        "127.0.0.1",
        "127.1",
        "2130706433",
        "0x7f000001",
        "0177.0.0.1",
        "127.0.0.1.",
        "::1",
        "::ffff:127.0.0.1",
    ],
)
def test_a_proxy_is_not_asked_for_what_a_name_tells(host):
    assert why_refused_by_name(host, private=True)


def test_a_proxy_is_asked_for_other_names():
    assert why_refused_by_name("images.example", private=False) is None
    assert why_refused_by_name("93.184.216.34", private=False) is None
    assert why_refused_by_name("0x0a000001", private=False) == PRIVATE
