package store_test

import (
	"fmt"
	"strings"
	"sync"
	"testing"

	"github.com/coredns-farm/farm/store"
	"github.com/coredns-farm/farm/store/storetest"
)

// A conflict of names is logged once, when it comes up, and again only when it has come up again.
func TestHostConflictsAreLogged(t *testing.T) {
	r := storetest.Start(t)
	var mu sync.Mutex
	var lines []string
	s, err := store.Open(store.Config{URLs: []string{r.URL}, Logger: store.Logger{Warnf: func(format string, args ...any) {
		mu.Lock()
		defer mu.Unlock()
		if line := fmt.Sprintf(format, args...); strings.Contains(line, "is answered with the addresses of") {
			lines = append(lines, line)
		}
	}}})
	must(t, err)
	t.Cleanup(s.Close)
	s.View(store.Base{})
	logged := func(n int) func() bool {
		return func() bool { mu.Lock(); defer mu.Unlock(); return len(lines) == n }
	}
	c := dial(t, r.URL)
	put(t, c, "_grpc._tcp.api.example.org.", server("m", "192.0.2.7"))
	put(t, c, "api.example.org.", server("m", "192.0.2.6"))
	storetest.Eventually(t, "the conflict is logged", logged(1))
	mu.Lock()
	const want = "server m of api.example.org.: m.api.example.org. is answered with the addresses of _grpc._tcp.api.example.org., so SRV leaves the server out: give it another id"
	if lines[0] != want {
		t.Errorf("Got %q, want %q", lines[0], want)
	}
	mu.Unlock()
	put(t, c, "other.example.org.", server("a", "192.0.2.1"))
	put(t, c, "_x._tcp.other.example.org.", server("a", "192.0.2.2"))
	storetest.Eventually(t, "the next one is logged, and it alone", logged(2))
}
