# make test     installs what is missing, checks the code, tries make stock, then runs every test with the race detector
# make lint     go vet, gofmt, staticcheck, govulncheck
# make fuzz     runs each fuzzer for FUZZTIME
# make stock    builds farm into a stock CoreDNS and asks it a question
# make bench    measures farm beside its peers and writes docs/performance.md, docs/scale.md and the README's summary: a quarter of an hour
# make soak     keeps a server under load, churn and reloads for SOAK
# make sbom     builds both and writes what is in them: coredns.cdx.json, farm.cdx.json (CycloneDX)
# make build    builds ./coredns and ./farm

FUZZTIME ?= 10s
SOAK ?= 1h
STATICCHECK = honnef.co/go/tools/cmd/staticcheck@v0.8.2
GOVULNCHECK = golang.org/x/vuln/cmd/govulncheck@v1.9.0
SYFT = github.com/anchore/syft/cmd/syft@v1.18.1

.PHONY: test setup lint fuzz stock bench soak sbom build

test: setup lint stock
	go test -run "Alloc|Stack" . ./qos
	go test -run NoHarm ./sim/world
	go test -race -timeout 20m ./...

setup:
	@sh scripts/setup.sh

lint:
	@unformatted=$$(gofmt -l .); test -z "$$unformatted" || { echo "gofmt would change: $$unformatted" >&2; exit 1; }
	go vet ./...
	go run $(STATICCHECK) ./...
	@sh scripts/govulncheck.sh $(GOVULNCHECK)

fuzz:
	@sh scripts/fuzz.sh $(FUZZTIME)

stock: setup
	@sh scripts/stock.sh

bench:
	@sh scripts/bench-setup.sh
	go run ./bench -docs

soak: setup
	go test -race -count 1 -timeout 0 -v -run '^TestSoak$$' ./test -soak $(SOAK)

# Licences are read from the module cache; nothing is asked for over the network.
sbom: build
	@for binary in coredns farm; do \
		SYFT_CHECK_FOR_APP_UPDATE=false SYFT_GOLANG_SEARCH_LOCAL_MOD_CACHE_LICENSES=true \
			go run $(SYFT) scan -q file:$$binary -o cyclonedx-json=$$binary.cdx.json || exit 1; \
	done

build:
	go build -o coredns ./cmd/coredns
	go build -o farm ./cmd/farm
