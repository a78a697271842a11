#!/bin/sh
# Proves the compilation that the README describes: a stock CoreDNS of the version in go.mod, with this checkout's farm
# put before file in its plugin.cfg, is built and answers a question from a service of its Corefile. Its signed zones then
# prove what those of our own build do.
set -eu

farm=$(cd "$(dirname "$0")/.." && pwd)
port=${PORT:-10053}
work=$(mktemp -d)
pid=
cleanup() {
	[ -z "$pid" ] || kill "$pid" 2>/dev/null || true
	rm -rf "$work"
}
trap cleanup EXIT INT TERM

cd "$farm"
go mod download github.com/coredns/coredns
cp -r "$(go list -m -f '{{.Dir}}' github.com/coredns/coredns)" "$work/coredns"
chmod -R u+w "$work/coredns"
cd "$work/coredns"

sed -i 's|^file:file$|farm:github.com/coredns-farm/farm\nfile:file|' plugin.cfg
go mod edit -require github.com/coredns-farm/farm@v0.0.0 -replace "github.com/coredns-farm/farm=$farm"
go generate coredns.go
go mod tidy 2>/dev/null
go build -o coredns .
./coredns -plugins | grep -qx farm
coredns=$work/coredns/coredns

cat >Corefile <<-EOF
	example.org:$port {
	    bind 127.0.0.1
	    farm {
	        embedded 127.0.0.1:0
	        service www.example.org {
	            server web1 192.0.2.1
	        }
	    }
	}
EOF
./coredns -conf Corefile >log 2>&1 &
pid=$!
for _ in $(seq 100); do
	answer=$(dig +short +time=1 +tries=1 @127.0.0.1 -p "$port" www.example.org A 2>/dev/null || true)
	[ "$answer" = 192.0.2.1 ] && break
	kill -0 "$pid" 2>/dev/null || break
	sleep 0.1
done
if [ "$answer" != 192.0.2.1 ]; then
	echo "expected 192.0.2.1 from the stock CoreDNS with farm, got: $answer" >&2
	cat log >&2
	exit 1
fi
echo "stock CoreDNS $(./coredns -version | head -n 1 | sed 's/CoreDNS-//') with farm answered $answer"

cd "$farm"
go test -count=1 -run '^(TestDNSSEC|TestUnsigned.*|TestEveryTypeStaysFound|TestProofs)$' ./test -coredns "$coredns"
