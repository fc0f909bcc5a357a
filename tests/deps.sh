#!/bin/bash
# Installs the servers and clients that the tests use, from Debian's own packages. Nothing that was not running is left running.
set -e

packages=(python3-venv curl openssl nginx-light caddy haproxy redis-server prometheus fail2ban)

missing=()
for package in "${packages[@]}"; do
    # Whoever has the full nginx has the light one.
    [ "$package" = nginx-light ] && command -v nginx >/dev/null && continue
    [ -x "/usr/sbin/nginx" ] && [ "$package" = nginx-light ] && continue
    dpkg-query -W -f '${Status}' "$package" 2>/dev/null | grep -q 'ok installed' || missing+=("$package")
done
[ ${#missing[@]} = 0 ] && exit 0

if ! command -v apt-get >/dev/null; then
    echo "this is no Debian; install with your system's own tool: ${missing[*]}" >&2
    exit 1
fi
if [ "$(id -u)" != 0 ]; then
    echo "root installs packages: sudo make test-deps   (missing: ${missing[*]})" >&2
    exit 1
fi

echo "installing ${missing[*]}"
# 101 from this file is how Debian is told to start no service while packages are installed.
policy=/usr/sbin/policy-rc.d
if [ ! -e $policy ]; then
    trap 'rm -f $policy' EXIT
    printf '#!/bin/sh\nexit 101\n' >$policy
    chmod +x $policy
fi
export DEBIAN_FRONTEND=noninteractive
apt-get -qq update
apt-get -qq -y --no-install-recommends install "${missing[@]}" >/dev/null

# Nor may they start with the machine: they are here for tests only.
if [ -d /run/systemd/system ]; then
    for package in "${missing[@]}"; do
        units=$(dpkg-query -L "$package" | grep -E '^(/usr)?/lib/systemd/system/[^@]+\.(service|timer)$' | xargs -rn1 basename)
        [ -z "$units" ] || systemctl --quiet disable $units 2>/dev/null || true
    done
fi
