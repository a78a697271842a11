package agent

import (
	"crypto/rand"
	"fmt"
	"os"
	"strings"

	"github.com/coredns-farm/farm/store"
)

// newInstance names this run of the agent. The database tells two agents for one server apart by it.
func newInstance() string { return rand.Text()[:16] }

// hostID makes a server id of the host name.
func hostID() (string, error) {
	name, err := os.Hostname()
	if err != nil {
		return "", fmt.Errorf("server: %w", err)
	}
	id, _, _ := strings.Cut(strings.ToLower(name), ".")
	if err := store.CheckID(id); err != nil {
		return "", fmt.Errorf("server: the host name makes no id, expected one in the configuration: %w", err)
	}
	return id, nil
}
