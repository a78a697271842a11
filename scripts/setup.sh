#!/bin/sh
# Installs what the tests need and this machine lacks: from Debian's packages when root, else it says what to install.
set -eu

# command:package
needs='curl:curl redis-server:redis-server redis-cli:redis-tools dig:bind9-dnsutils delv:bind9-dnsutils gcc:gcc make:make openssl:openssl ip:iproute2 nft:nftables iperf3:iperf3 ping:iputils-ping dnsperf:dnsperf unbound:unbound named:bind9 haproxy:haproxy musl-gcc:musl-tools promtool:prometheus prometheus-node-exporter:prometheus-node-exporter'

missing=
for need in $needs; do
	command -v "${need%%:*}" >/dev/null 2>&1 || missing="$missing ${need##*:}"
done
[ -n "$missing" ] || exit 0

if [ "$(id -u)" != 0 ] || ! command -v apt-get >/dev/null 2>&1; then
	echo "the tests need these Debian packages:$missing" >&2
	echo "install them, for example: sudo apt-get install$missing" >&2
	exit 1
fi
export DEBIAN_FRONTEND=noninteractive
# A package's own service must not start: the tests start servers of their own, on ports of their own.
policy=/usr/sbin/policy-rc.d
if [ ! -e $policy ]; then
	printf '#!/bin/sh\nexit 101\n' >$policy
	chmod +x $policy
	trap 'rm -f $policy' EXIT
fi
apt-get update -q
# shellcheck disable=SC2086 # the names are words
apt-get install -q -y --no-install-recommends $missing
