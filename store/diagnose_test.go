package store_test

import (
	"bufio"
	"context"
	"net"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/coredns-farm/farm/store/storetest"
)

// Each way to name a wrong Redis gives the cause and what to do.
func TestWrongRedis(t *testing.T) {
	plain, tls := storetest.Start(t), storetest.StartTLS(t)
	locked := storetest.Start(t)
	locked.Do("CONFIG", "SET", "requirepass", "open-sesame")
	sentinel, cluster := storetest.StartSentinel(t), storetest.StartCluster(t)
	for _, tc := range []struct{ name, url, want string }{
		{"nobody listens", "redis://127.0.0.1:" + storetest.FreePort(t), "connection refused; is it running there?"},
		{"no password", locked.URL, "NOAUTH Authentication required.; its URL needs a user or a password"},
		{"a wrong password", "redis://:wrong@" + locked.Addr, "the user or the password in its URL is not right"},
		{"plain to a TLS port", "redis://" + tls.Addr, "if it speaks TLS there, its URL begins with rediss://"},
		{"TLS to a plain port", "rediss://" + plain.Addr, "if it speaks no TLS there, its URL begins with redis://, not rediss://"},
		{"an unknown authority", "rediss://" + tls.Addr, "the URL's options ca=FILE and server_name=NAME say"},
		{"one node of a Cluster", cluster.URLs[0], "this is a node of a Cluster: expected ?cluster=true"},
		{"a Cluster that is none", plain.URL + "?cluster=true", "no Cluster: expected one URL, without cluster=true"},
		{"a Sentinel as a server", "redis://" + sentinel.Sentinel.Addr, "this is a Sentinel: expected the URL redis+sentinel://HOST:PORT/MASTER"},
		{"a server as a Sentinel", "redis+sentinel://" + plain.Addr + "/farm", "this is no Sentinel: expected the URL redis://HOST:PORT"},
		{"a wrong master", "redis+sentinel://" + sentinel.Sentinel.Addr + "/farn", "none knows a master of the name in the URL"},
		{"Redis 6, a fake of it", "redis://" + fakeRedis(t, "6.0.20"), "this is Redis 6.0.20: expected 7.0 or later, or Valkey 8.0 or later"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			c := dial(t, tc.url)
			ctx, cancel := context.WithTimeout(context.Background(), 3*time.Second)
			defer cancel()
			_, err := c.Read(ctx)
			if err == nil || !strings.Contains(err.Error(), tc.want) {
				t.Errorf("got  %v\nwant %s", err, tc.want)
			}
			if err != nil && strings.Contains(err.Error(), "is it running there?") && tc.name != "nobody listens" {
				t.Errorf("It runs: %v", err)
			}
		})
	}
	for name, urls := range map[string][]string{"plain": {plain.URL}, "TLS": {tls.URL}, "Sentinel": {sentinel.URL}, "Cluster": cluster.URLs} {
		if err := dial(t, urls...).Ping(t.Context()); err != nil {
			t.Errorf("The right URL of %s: %v", name, err)
		}
	}
}

// fakeRedis is no Redis: it says that it is one of a version, and answers everything else with OK.
func fakeRedis(t *testing.T, version string) string {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go answerAs(c, version)
		}
	}()
	return l.Addr().String()
}

func answerAs(c net.Conn, version string) {
	defer c.Close()
	r := bufio.NewReader(c)
	for {
		words, err := readCommand(r)
		if err != nil {
			return
		}
		reply := "+OK\r\n"
		if strings.EqualFold(words[0], "hello") {
			reply = "*6\r\n+server\r\n+redis\r\n+version\r\n+" + version + "\r\n+mode\r\n+standalone\r\n"
		}
		if _, err := c.Write([]byte(reply)); err != nil {
			return
		}
	}
}

// readCommand reads a command of the Redis protocol: *N, then $LENGTH and a word N times.
func readCommand(r *bufio.Reader) ([]string, error) {
	line, err := r.ReadString('\n')
	if err != nil {
		return nil, err
	}
	n, err := strconv.Atoi(strings.TrimSpace(strings.TrimPrefix(line, "*")))
	words := make([]string, max(n, 1))
	for i := 0; i < n && err == nil; i++ {
		if _, err = r.ReadString('\n'); err == nil {
			words[i], err = r.ReadString('\n')
			words[i] = strings.TrimSpace(words[i])
		}
	}
	return words, err
}
