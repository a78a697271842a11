package store_test

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"

	"github.com/redis/go-redis/v9"

	"github.com/coredns-farm/farm/qos"
	"github.com/coredns-farm/farm/steer"
	"github.com/coredns-farm/farm/store"
	"github.com/coredns-farm/farm/store/storetest"
)

// fence returns the first block of a language in docs/redis.md.
func fence(t testing.TB, language string) string {
	t.Helper()
	doc, err := os.ReadFile("../docs/redis.md")
	must(t, err)
	_, rest, ok := strings.Cut(string(doc), "```"+language+"\n")
	block, _, ok2 := strings.Cut(rest, "```")
	if !ok || !ok2 {
		t.Fatalf("docs/redis.md has no %s block", language)
	}
	return block
}

// The agent of the documentation runs as it stands there.
func TestDocumentedShellAgent(t *testing.T) {
	r := storetest.Start(t)
	s := open(t, store.Config{URLs: []string{r.URL}})
	v := s.View(store.Base{})
	path := filepath.Join(t.TempDir(), "agent.sh")
	must(t, os.WriteFile(path, []byte(fence(t, "sh")), 0o600))
	agent := exec.Command("sh", path, www, "web1", "192.0.2.1")
	agent.Dir = ".." // the scripts are named from the repository's root
	agent.Env = append(os.Environ(), "FARM_REDIS="+r.URL)
	agent.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	must(t, agent.Start())
	defer func() { _ = agent.Process.Kill() }()
	known := func() bool {
		f := v.Load().Farm(www)
		return f != nil && len(f.Servers) == 1 && f.Servers[0].ID == "web1" && f.State[0].Known
	}
	storetest.Eventually(t, "the agent reports", known)
	r.Do("FLUSHALL")
	storetest.Eventually(t, "it registers again", func() bool {
		return r.Do("HEXISTS", tag("srvs:"+www), "web1") == "1" && known()
	})
	must(t, agent.Process.Signal(syscall.SIGTERM))
	_ = agent.Wait()
	storetest.Eventually(t, "it has left", func() bool { return r.Do("HLEN", tag("srvs:"+www)) == "0" })
}

// users returns the users of the documentation, with one password for all.
func users(t testing.TB) []string {
	t.Helper()
	lines := strings.Split(strings.TrimSpace(fence(t, "acl")), "\n")
	if len(lines) != 5 {
		t.Fatalf("%d users, want 5", len(lines))
	}
	return lines
}

func TestDocumentedUsers(t *testing.T) {
	r := storetest.StartWithUsers(t, users(t)...)
	checkUsers(t, func(user string) []string { return []string{r.As(user, "secret")} })
	if log := r.Do("ACL", "LOG"); log != "" {
		t.Errorf("Redis has refused:\n%s", log)
	}
	denied := []struct {
		user string
		args []string
	}{
		{"reader", []string{"HSET", tag("svcs"), "x", "y"}},
		{"reader", []string{"GET", "farm:node:x"}},
		{"reader", []string{"SET", tag("chg"), "y"}},
		{"reader", []string{"SET", learnedKey, "y"}},
		{"reader", []string{"HSET", tag("reps:" + www), "a", "y"}},
		{"reader", []string{"PEXPIRE", tag("rev"), "1"}},
		{"reader", []string{"HDEL", tag("srvs:" + www), "a"}},
		{"reader", []string{"EVAL", "return 1", "0"}},
		{"reader", []string{"FLUSHALL"}},
		{"reader", []string{"EVAL", "return 1", "1", tag("grts:" + www)}},
		{"granter", []string{"HSET", "farm:{qos}:hdls", "x", "y"}},
		{"granter", []string{"SET", tag("chg"), "y"}},
		{"granter", []string{"FLUSHALL"}},
		{"broker", []string{"HGET", "farm:{qos}:keys", "1"}},
		{"broker", []string{"HSCAN", "farm:{qos}:hdls", "0"}},
		{"broker", []string{"DEL", tag("req")}},
		{"broker", []string{"FLUSHALL"}},
		{"agent", []string{"HGET", "farm:{qos}:keys", "1"}},
		{"agent", []string{"EVAL", "return redis.call('HGET', 'farm:{qos}:keys', '1')", "0"}},
		{"agent", []string{"XREADGROUP", "GROUP", "broker", "x", "STREAMS", tag("req"), ">"}},
		{"agent", []string{"FLUSHALL"}},
		{"agent", []string{"DEL", tag("chg")}},
		{"agent", []string{"HSET", "elsewhere", "x", "y"}},
		{"agent", []string{"HSET", "farm:node:x", "x", "y"}},
		{"agent", []string{"CLIENT", "KILL", "TYPE", "normal"}},
		{"operator", []string{"FLUSHALL"}},
		{"operator", []string{"CONFIG", "GET", "*"}},
		{"operator", []string{"HSET", "elsewhere", "x", "y"}},
	}
	for _, tt := range denied {
		args := append([]string{"--user", tt.user, "--pass", "secret", "--no-auth-warning"}, tt.args...)
		if out := r.Do(args...); !strings.Contains(out, "NOPERM") && !strings.Contains(out, "can't access") {
			t.Errorf("%s may %q: %s", tt.user, tt.args, out)
		}
	}
	// An agent that is held to its service.
	r.Do("ACL", "SETUSER", "agent", "resetkeys", "~"+tag("rev"), "~"+tag("chg"), "~"+tag("svcs"), "~"+tag("*:"+www))
	c := dial(t, r.As("agent", "secret"))
	put(t, c, www, server("b", "192.0.2.2"))
	if _, err := c.PutServer(context.Background(), other, server("b", "192.0.2.2"), store.ByAgent); err == nil {
		t.Error("the agent of one service has registered a server of another")
	}
}

// other is a service of the same shard as www.
var other = func() string {
	for i := 'a'; ; i++ {
		if name := "www-" + string(i) + ".example.org."; store.Shard(name) == store.Shard(www) {
			return name
		}
	}
}()

// checkUsers has each user do all of its work. as returns the URLs for a user.
func checkUsers(t *testing.T, as func(user string) []string) {
	t.Helper()
	ctx := context.Background()
	agent, operator := as("agent"), as("operator")
	s := open(t, store.Config{URLs: as("reader")})
	v := s.View(store.Base{})
	c := dial(t, agent...)
	put(t, c, www, server("a", "192.0.2.1"))
	_, err := c.Report(ctx, store.Report{Service: www, ID: "a", Lease: 60, Utilization: ptr(0.5)})
	must(t, err)
	_, err = c.SetAdmin(ctx, www, "a", steer.Drain, store.ByAgent)
	must(t, err)
	_, err = c.SetAdmin(ctx, www, "a", steer.Ready, store.ByAgent)
	must(t, err)
	storetest.Eventually(t, "the reader follows the agent", func() bool {
		f := v.Load().Farm(www)
		return f != nil && len(f.State) == 1 && f.State[0].Known
	})
	v.Exchange([]store.Shared{{Service: www, Loads: []byte("x"), At: v.Now()}, {Service: www, Answers: []byte("x"), At: v.Now()}})
	storetest.Eventually(t, "the reader has told its answers", func() bool { return exists(t, operator, answersKey) })
	o := dial(t, operator...)
	storetest.Eventually(t, "the operator sees what the reader has learned", func() bool {
		db, err := o.Read(ctx)
		must(t, err)
		return len(db.Learned) == 1
	})
	must(t, o.Ping(ctx))
	must(t, o.PutService(ctx, steer.Service{Name: www, Policy: steer.First}))
	storetest.Eventually(t, "the operator sees the reader's node", func() bool {
		db, err := o.Read(ctx)
		must(t, err)
		return len(db.Nodes) == 1 && len(db.Services) == 1
	})
	checkGranting(t, as, o)
	if reply, err := c.Leave(ctx, www, "a", "", 0); err != nil || reply.Outcome != store.Accepted {
		t.Errorf("leave: %+v, %v", reply, err)
	}
	for _, state := range []steer.AdminState{steer.Maint, steer.Ready, steer.Ready} {
		_, err = o.SetAdmin(ctx, www, "a", state, store.ByOperator)
		must(t, err)
	}
	_, err = c.DeleteServer(ctx, www, "a")
	must(t, err)
	_, err = o.DeleteService(ctx, www)
	must(t, err)
	storetest.Eventually(t, "the reader follows the operator", func() bool { return v.Load().Farm(www) == nil })
}

// checkGranting has those who take part in granting do their work; o is the operator.
func checkGranting(t *testing.T, as func(user string) []string, o *store.Client) {
	t.Helper()
	ctx := context.Background()
	s := open(t, store.Config{URLs: as("granter")})
	v := s.View(store.Base{})
	id, rec := handle("one")
	must(t, o.PutKey(ctx, key(1, "k")))
	must(t, o.PutHandle(ctx, id, rec))
	_, err := o.RevokeHandle(ctx, id)
	must(t, err)
	storetest.Eventually(t, "the granter knows", func() bool {
		_, revoked := rank(s, id)
		return revoked && verifies(t, s, key(1, "k"))
	})
	v.Exchange([]store.Shared{{Service: www, Loads: []byte("x"), At: v.Now()}})
	b := dial(t, as("broker")...)
	q := queue(t, b, "broker-1")
	if !s.Ask(request(alice, "a", network)) {
		t.Fatal("there is no room to ask")
	}
	w := take(t, q, 1)[0]
	w.Grant.State = qos.Granted
	if ok, err := q.Answer(ctx, www, w.Grant); !ok || err != nil {
		t.Errorf("the broker's answer: %v, %v", ok, err)
	}
	must(t, q.Ack(ctx, w))
	_, err = q.Sweep(ctx)
	must(t, err)
	if all, err := b.Grants(ctx); err != nil || len(all) != 1 {
		t.Errorf("the broker sees %v, %v", all, err)
	}
	awaitGrant(t, v, alice, qos.Granted)
	s.Ask(store.Request{Release: true, Grant: qos.Grant{Service: www, Client: alice}})
	awaitGrant(t, v, alice, qos.Ended)
	if keys, err := o.Keys(ctx); err != nil || len(keys) != 1 {
		t.Errorf("the operator sees %v, %v", keys, err)
	}
	_, err = o.DeleteKey(ctx, 1)
	must(t, err)
}

// exists says whether a key is there.
func exists(t *testing.T, urls []string, key string) bool {
	t.Helper()
	o := new(redis.UniversalOptions)
	for _, u := range urls {
		one, err := redis.ParseURL(u)
		must(t, err)
		o.Addrs, o.Username, o.Password = append(o.Addrs, one.Addr), one.Username, one.Password
	}
	c := redis.NewUniversalClient(o)
	defer c.Close()
	n, err := c.Exists(t.Context(), key).Result()
	must(t, err)
	return n == 1
}

func TestDocumentedUsersOnCluster(t *testing.T) {
	cluster := storetest.StartCluster(t)
	urls := make(map[string][]string)
	for _, n := range cluster.Nodes {
		for _, line := range users(t) {
			args := strings.Fields(strings.TrimPrefix(line, "user "))
			if i := strings.Index(line, "("); i >= 0 { // each selector is one argument
				args = strings.Fields(strings.TrimPrefix(line[:i], "user "))
				args = append(args, regexp.MustCompile(`\(.*?\)`).FindAllString(line[i:], -1)...)
			}
			n.Do(append([]string{"ACL", "SETUSER"}, args...)...)
			urls[args[0]] = append(urls[args[0]], n.As(args[0], "secret"))
		}
	}
	checkUsers(t, func(user string) []string { return urls[user] })
	for _, n := range cluster.Nodes {
		if log := n.Do("ACL", "LOG"); log != "" {
			t.Errorf("%s has refused:\n%s", n.Addr, log)
		}
	}
}

// Every field that the code reads is documented, and every script.
func TestDocumentedNames(t *testing.T) {
	doc, err := os.ReadFile("../docs/redis.md")
	must(t, err)
	sources, err := filepath.Glob("../steer/service.go")
	must(t, err)
	for _, path := range append(sources, "report.go", "record.go", "learned.go", "grant.go", "../qos/grant.go", "../qos/record.go", "../qos/keyring.go", "../steer/level.go") {
		src, err := os.ReadFile(path)
		must(t, err)
		for _, m := range regexp.MustCompile("`json:\"([a-z_]+)").FindAllStringSubmatch(string(src), -1) {
			if !strings.Contains(string(doc), "`"+m[1]+"`") && !strings.Contains(string(doc), `"`+m[1]+`"`) {
				t.Errorf("%s: field %s is not in docs/redis.md", path, m[1])
			}
		}
	}
	for _, name := range store.Scripts() {
		if !strings.Contains(string(doc), "`"+name+".lua`") {
			t.Errorf("script %s is not in docs/redis.md", name)
		}
	}
}
