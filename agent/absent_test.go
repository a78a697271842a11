package agent

import (
	"path/filepath"
	"testing"

	"github.com/coredns-farm/farm/store"
	"github.com/coredns-farm/farm/store/storetest"
)

// A number that cannot be meant is named in the reason of each report, and once in the log; the others are reported.
func TestAgentNamesWhatIsAbsent(t *testing.T) {
	db := storetest.Start(t)
	file := filepath.Join(t.TempDir(), "words")
	write(t, file, "utilization=4218.7 rps=5")
	cfg := rapid(db)
	cfg.Collect = []Collect{{Command: &Command{Run: []string{"cat", file}}, Timeout: cfg.Interval}}
	r := start(t, db, cfg)
	const reason = "collect[0].command: utilization: is 4218.7, expected 0 to 1000"
	r.awaitReport("web-1", "a report that names the absent number", func(rep *store.Report) bool {
		return rep.Reason == reason && rep.Utilization == nil && *rep.RPS == 5 && rep.Seq > 3
	})
	write(t, file, "utilization=0.5 rps=5")
	r.awaitReport("web-1", "a report with the number", func(rep *store.Report) bool {
		return rep.Reason == "" && rep.Utilization != nil && *rep.Utilization == 0.5
	})
	r.log.await(t, "in the report again")
	if n := r.log.count("absent from the report"); n != 1 {
		t.Errorf("the log names the absent number %d times, want once", n)
	}
	r.stop()
	wantError(t, r.end(), "")
}
