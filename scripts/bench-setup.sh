#!/bin/sh
# Installs what the benchmarks need and this machine lacks: from Debian's packages when root, else it says what to install.
# Without the peers (gdnsd, PowerDNS) the benchmarks run all the same, and say that they are absent.
set -eu

export PATH="$PATH:/usr/sbin"
# command:package
needs='redis-server:redis-server redis-cli:redis-tools dnsperf:dnsperf'
peers='gdnsd:gdnsd pdns_server:pdns-server'

lacking() {
	for need in $1; do
		command -v "${need%%:*}" >/dev/null 2>&1 || printf ' %s' "${need##*:}"
	done
}
missing=$(lacking "$needs")
wanted=$(lacking "$peers")
# A package of its own, without a command: PowerDNS reads zone files through it.
if [ -z "$(ls /usr/lib/*/pdns/libbindbackend.so 2>/dev/null)" ]; then
	wanted="$wanted pdns-backend-bind"
fi
[ -n "$missing$wanted" ] || exit 0

if [ "$(id -u)" != 0 ] || ! command -v apt-get >/dev/null 2>&1; then
	[ -z "$wanted" ] || echo "rows will be absent without these Debian packages:$wanted" >&2
	[ -n "$missing" ] || exit 0
	echo "the benchmarks need these Debian packages:$missing" >&2
	echo "install them, for example: sudo apt-get install$missing$wanted" >&2
	exit 1
fi
export DEBIAN_FRONTEND=noninteractive
# A package's own service must not start: the benchmarks start servers of their own, on ports of their own.
policy=/usr/sbin/policy-rc.d
if [ ! -e $policy ]; then
	printf '#!/bin/sh\nexit 101\n' >$policy
	chmod +x $policy
	trap 'rm -f $policy' EXIT
fi
apt-get update -q
# shellcheck disable=SC2086 # the names are words
if [ -n "$missing" ]; then
	apt-get install -q -y --no-install-recommends $missing
fi
for package in $wanted; do
	apt-get install -q -y --no-install-recommends "$package" || echo "no $package: its row will be absent" >&2
done
