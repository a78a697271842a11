package store

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"regexp"
	"strings"
	"sync"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/coredns-farm/farm/steer"
)

// Node is what a replica (a CoreDNS with this plugin) says of itself in the database. It expires with the replica.
type Node struct {
	Name     string             `json:"name"` // HOST-PID
	Version  string             `json:"version,omitempty"`
	Since    int64              `json:"since"` // ms since 1970; when it started
	Shards   [Shards]ShardState `json:"shards"`
	Services int                `json:"services"`
	Servers  int                `json:"servers"`
	Orphans  int                `json:"orphans,omitempty"`  // servers that the database has lost, and that are still served
	Rejected map[string]uint64  `json:"rejected,omitempty"` // by reason
	Rejects  []Reject           `json:"rejects,omitempty"`  // the last ones
	Static   *Static            `json:"static,omitempty"`   // left out when it is too large
	Lost     []stateLine        `json:"lost,omitempty"`     // admin states and reports that the database has lost; at most maxLost
	Served   []string           `json:"served,omitempty"`   // some of the orphans, as SERVICE SERVER
}

// Static is what stands in a replica's Corefile.
type Static struct {
	Default  map[string]steer.Service           `json:"default"`  // by zone
	Services map[string]steer.Service           `json:"services"` // by name
	Servers  map[string]map[string]steer.Server `json:"servers"`  // by service, by id
	Blocks   []Block                            `json:"blocks,omitempty"`
}

// Block describes how a block of the Corefile answers in its zones, where that is not by default.
type Block struct {
	Zones   []string           `json:"zones"` // none is every zone
	NS      []steer.NameServer `json:"ns,omitempty"`
	Next    []string           `json:"next,omitempty"`    // below these names the next plugin is asked for what it has
	Rewrite bool               `json:"rewrite,omitempty"` // whether the next plugin answers, and farm chooses among its addresses
}

func (b *Block) isDefault() bool { return len(b.NS) == 0 && len(b.Next) == 0 && !b.Rewrite }

// Times and bounds of node records.
const (
	nodeEvery  = 10 * time.Second
	nodeGather = 50 * time.Millisecond // in which changes are gathered into one record
	nodeExpiry = 30 * time.Second
	maxStatic  = 256 << 10
	maxNode    = 512 << 10
	maxNodes   = 10_000
)

var notInNames = regexp.MustCompile(`[^A-Za-z0-9._-]+`)

func nodeName() string {
	host, err := os.Hostname()
	if err != nil {
		host = "unknown"
	}
	return fmt.Sprintf("%.100s-%d", notInNames.ReplaceAllString(host, "-"), os.Getpid())
}

// announceNode has the node record written soon. The commands know the services of a Corefile by it alone, so it has to be
// there when CoreDNS has started. It does not block.
func (s *Store) announceNode() {
	select {
	case s.nodeChanged <- struct{}{}:
	default:
	}
}

// awaitNode waits until the node record is due, and returns whether to go on.
func (s *Store) awaitNode(ctx context.Context) bool {
	due := time.NewTimer(nodeEvery)
	defer due.Stop()
	select {
	case <-due.C:
		return true
	case <-s.nodeChanged:
		return pause(ctx, nodeGather)
	case <-ctx.Done():
		return false
	}
}

// nodeLoop writes the node record when it has changed, and now and then. A refusal may end: a user is given the right, a
// replica becomes a master.
func (s *Store) nodeLoop(ctx context.Context) {
	name := nodeName()
	told := false
	for s.awaitNode(ctx) {
		err := s.writeNode(ctx, name)
		refused := isRefused(err)
		if refused && !told {
			s.cfg.Logger.info("store %s: cannot write %s: farm status does not show this replica: %s",
				s.client, nodeKey(s.cfg.Prefix, name), clip(err.Error()))
		}
		told = refused || told && err != nil
	}
}

func (s *Store) writeNode(ctx context.Context, name string) error {
	data, err := json.Marshal(s.node(name))
	if err != nil {
		return fmt.Errorf("node record: %w", err)
	}
	ctx, cancel := context.WithTimeout(ctx, ioTimeout)
	defer cancel()
	return s.client.db.Set(ctx, nodeKey(s.cfg.Prefix, name), data, nodeExpiry).Err()
}

func (s *Store) node(name string) *Node {
	st := s.Status()
	n := &Node{
		Name: name, Version: s.cfg.Version, Since: s.start.UnixMilli(), Shards: st.Shards,
		Services: st.Services, Servers: st.Servers, Orphans: st.Orphans,
		Rejected: st.Rejected, Rejects: st.Rejects, Static: s.static(), Lost: s.lostLines(), Served: st.orphans,
	}
	if size, err := json.Marshal(n.Static); err != nil || len(size) > maxStatic {
		n.Static = nil
	}
	return n
}

// static gathers the Corefile's services from the views.
func (s *Store) static() *Static {
	s.publishing.Lock()
	defer s.publishing.Unlock()
	out := &Static{Default: make(map[string]steer.Service), Services: make(map[string]steer.Service), Servers: make(map[string]map[string]steer.Server)}
	for v := range s.views {
		zones := v.board.Zones
		if len(zones) == 0 {
			zones = []string{"."}
		}
		for _, zone := range zones {
			out.Default[zone] = v.board.Default
		}
		if b := v.board.Block; !b.isDefault() {
			b.Zones = zones
			out.Blocks = append(out.Blocks, b)
		}
		for name, spec := range v.board.specs {
			merged := *spec
			fill(&merged, &v.board.Default)
			out.Services[name] = merged
		}
		for name, servers := range v.board.servers {
			byID := make(map[string]steer.Server, len(servers))
			for id, rec := range servers {
				byID[id] = *rec
			}
			out.Servers[name] = byID
		}
	}
	return out
}

// Nodes returns the replicas that are alive. It scans the key space, and is for people, not for loops. Records that
// cannot be read are left out.
func (c *Client) Nodes(ctx context.Context) ([]Node, error) {
	ctx, cancel := deadline(ctx, readTime)
	defer cancel()
	keys, err := c.nodeKeys(ctx)
	if err != nil {
		return nil, c.wrap("nodes", err)
	}
	nodes := make([]Node, 0, len(keys))
	for _, key := range keys {
		data, err := c.db.Get(ctx, key).Result()
		if errors.Is(err, redis.Nil) || isWrongType(err) {
			continue
		}
		if err != nil {
			return nil, c.wrap("nodes", err)
		}
		var n Node
		if len(data) > maxNode || json.Unmarshal([]byte(data), &n) != nil {
			continue
		}
		n.Name = strings.TrimPrefix(key, nodeKey(c.prefix, ""))
		nodes = append(nodes, n)
	}
	return nodes, nil
}

func (c *Client) nodeKeys(ctx context.Context) ([]string, error) {
	pattern := nodeKey(c.prefix, "") + "*"
	cluster, ok := c.db.(*redis.ClusterClient)
	if !ok {
		return scanKeys(ctx, c.db, pattern)
	}
	var mu sync.Mutex // masters are asked side by side
	var all []string
	err := cluster.ForEachMaster(ctx, func(ctx context.Context, node *redis.Client) error {
		keys, err := scanKeys(ctx, node, pattern)
		mu.Lock()
		defer mu.Unlock()
		all = append(all, keys...)
		return err
	})
	return all, err
}

func scanKeys(ctx context.Context, db redis.Cmdable, pattern string) ([]string, error) {
	var keys []string
	it := db.Scan(ctx, 0, pattern, scanPage).Iterator()
	for it.Next(ctx) {
		if len(keys) == maxNodes {
			return nil, bad("count", "more than %d nodes", maxNodes)
		}
		keys = append(keys, it.Val())
	}
	return keys, it.Err()
}
