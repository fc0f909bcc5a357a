"""Names and addresses of this host, from the kernel's tables."""

from ipaddress import ip_address
from pathlib import Path

from edge.tls.host import MOST_ADDRESSES, host_addresses, host_names, is_host_name

FIB = """Main:
  +-- 0.0.0.0/0 3 0 5
     |-- 0.0.0.0
        /0 universe UNICAST
     |-- 192.168.178.20
        /32 host LOCAL
     |-- 192.168.178.255
        /32 link BROADCAST
Local:
     |-- 127.0.0.1
        /32 host LOCAL
     |-- 192.168.178.20
        /32 host LOCAL
"""
IF6 = """fe80000000000000021122fffe334455 02 40 20 80 eth0
fe80000000000000021122fffe334466 03 40 20 80 veth1
20010db8000000000000000000000001 02 40 00 00 eth0
20010db8000000000000000000000002 02 40 00 01 eth0
20010db8000000000000000000000003 02 40 00 20 eth0
00000000000000000000000000000001 01 80 10 80 lo
"""


def tables(folder: Path, fib: str = FIB, if6: str = IF6) -> tuple[Path, Path]:
    (folder / "fib_trie").write_text(fib)
    (folder / "if_inet6").write_text(if6)
    (folder / "eth0" / "device").mkdir(parents=True, exist_ok=True)
    return folder, folder


def test_lasting_addresses_are_found_and_passing_ones_left_out(tmp_path: Path) -> None:
    assert [str(each) for each in host_addresses(*tables(tmp_path))] == [
        "127.0.0.1", "::1", "192.168.178.20", "2001:db8::1", "fe80::211:22ff:fe33:4455",
    ]  # fmt: skip


def test_a_host_of_many_containers_stays_bounded(tmp_path: Path) -> None:
    many = "".join(f"     |-- 10.1.{i // 250}.{i % 250}\n        /32 host LOCAL\n" for i in range(1000))
    assert len(host_addresses(*tables(tmp_path, fib=many))) == 2 + MOST_ADDRESSES


def test_without_the_kernels_tables_loopback_remains(tmp_path: Path) -> None:
    found = host_addresses(tmp_path / "none", tmp_path)
    assert found[:2] == (ip_address("127.0.0.1"), ip_address("::1"))


def test_this_very_host_has_addresses_and_a_name() -> None:
    assert ip_address("127.0.0.1") in host_addresses()
    assert "localhost" in host_names()


def test_names_are_the_hosts_own_mdns_and_search_domains(tmp_path: Path) -> None:
    resolv = tmp_path / "resolv.conf"
    resolv.write_text("nameserver 192.168.178.1\nsearch fritz.box Lan.\n")
    assert host_names(resolv, "Box") == ("box", "box.local", "box.fritz.box", "box.lan", "localhost")
    assert host_names(tmp_path / "none", "box.home.arpa") == ("box.home.arpa", "box", "box.local", "localhost")


def test_a_name_that_fits_no_certificate_is_left_out(tmp_path: Path) -> None:
    assert host_names(tmp_path / "none", "bad name!") == ("localhost",)
    assert not is_host_name("")
    assert not is_host_name("a..b")
    assert not is_host_name("a" * 64)
    assert is_host_name("my_box-1.lan")
