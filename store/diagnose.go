package store

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"syscall"

	"github.com/redis/go-redis/v9"
)

// leastRedis is the oldest major version of Redis whose scripts can do what ours do.
const leastRedis = 7

// checkServer asks a new connection what it leads to, and refuses what cannot work: halfway, it would be found out late.
func (t *Target) checkServer(ctx context.Context, cn *redis.Conn) error {
	reply, err := cn.Do(ctx, "HELLO").Result()
	if err != nil {
		return nil // It is no Redis, or none of 6.0 or later; the embedded store is among these.
	}
	is := helloFields(reply)
	return t.checkHello(is["server"], is["version"], is["mode"])
}

// helloFields reads the reply to HELLO: a map, or with RESP2 a list of names and values.
func helloFields(reply any) map[string]string {
	fields := make(map[string]string)
	switch r := reply.(type) {
	case map[any]any:
		for name, value := range r {
			fields[fmt.Sprint(name)] = fmt.Sprint(value)
		}
	case []any:
		for i := 0; i+1 < len(r); i += 2 {
			fields[fmt.Sprint(r[i])] = fmt.Sprint(r[i+1])
		}
	}
	return fields
}

// checkHello says what is wrong with a server of this kind, version and mode.
func (t *Target) checkHello(server, version, mode string) error {
	behindSentinel, cluster := t.opts.MasterName != "", t.opts.IsClusterMode
	major, _, _ := strings.Cut(version, ".")
	n, err := strconv.Atoi(major)
	switch {
	case mode == "sentinel" && behindSentinel:
		return nil
	case mode == "sentinel":
		return errors.New("this is a Sentinel: expected the URL redis+sentinel://HOST:PORT/MASTER")
	case server == "redis" && err == nil && n < leastRedis:
		return fmt.Errorf("this is Redis %s: expected %d.0 or later, or Valkey 8.0 or later", clip(version), leastRedis)
	case mode == "cluster" && !cluster && !behindSentinel:
		return errors.New("this is a node of a Cluster: expected ?cluster=true in its URL, or the URLs of several nodes")
	case mode == "standalone" && cluster:
		return errors.New("this is no Cluster: expected one URL, without cluster=true")
	}
	return nil
}

// explain adds to an error what to do about it, where the error does not say so itself. Nothing is guessed: each hint goes by
// what only this cause leaves behind.
func (t *Target) explain(err error) error {
	if err == nil {
		return nil
	}
	if hint := t.hint(err); hint != "" {
		return fmt.Errorf("%w; %s", err, hint)
	}
	return err
}

func (t *Target) hint(err error) string {
	text := err.Error()
	has := func(part string) bool { return strings.Contains(text, part) }
	switch {
	case errors.Is(err, syscall.ECONNREFUSED):
		return "is it running there?"
	case has("NOAUTH"):
		return "its URL needs a user or a password: redis://USER:PASSWORD@HOST"
	case has("WRONGPASS"):
		return "the user or the password in its URL is not right; " + encodeHint
	case has("cluster support disabled"):
		return "it is no Cluster: expected one URL, without cluster=true"
	case has("MOVED "), has("CROSSSLOT"):
		return "it is a node of a Cluster: expected ?cluster=true in its URL"
	case t.opts.MasterName != "" && has("unknown command"):
		return "this is no Sentinel: expected the URL redis://HOST:PORT, or the port of a Sentinel (26379)"
	case t.opts.MasterName != "" && has("sentinels") && has("redis: nil"):
		return "the Sentinels answer, and none knows a master of the name in the URL (SENTINEL MASTERS lists them)"
	case has("x509:"), has("certificate"):
		return "the URL's options ca=FILE and server_name=NAME say which certificate is expected"
	case t.tls.on && (has("first record does not look like a TLS handshake") || errors.Is(err, context.DeadlineExceeded) || has("i/o timeout")):
		return "if it speaks no TLS there, its URL begins with redis://, not rediss://"
	case !t.tls.on && (errors.Is(err, syscall.ECONNRESET) || has("EOF")):
		return "if it speaks TLS there, its URL begins with rediss://"
	}
	return ""
}
