package store

import (
	"fmt"
	"strings"

	"github.com/coredns-farm/farm/suggest"
)

// Shards is the number of parts that the services are spread over. Every key of a service carries the hash tag of its
// shard, so that one act is one atomic script on Redis Cluster, and a reader follows this many streams and no more.
const Shards = 16

// DefaultPrefix is what the names of all keys begin with when nobody says otherwise.
const DefaultPrefix = "farm"

// Shard returns the shard of a service, 0 to Shards-1: FNV-1a (32 bits) of its lower-case FQDN, modulo Shards.
func Shard(service string) int {
	h := uint32(2166136261)
	for i := range len(service) {
		h = (h ^ uint32(service[i])) * 16777619
	}
	return int(h % Shards)
}

// Keys returns the names of the keys of a service, in the order in which every script takes them: revision, stream,
// services, servers, admin states, reports.
func Keys(prefix, service string) []string {
	tag := tagOf(prefix, Shard(service))
	return []string{tag + "rev", tag + "chg", tag + "svcs", tag + "srvs:" + service, tag + "adms:" + service, tag + "reps:" + service}
}

// GrantKeys returns the names of the keys that grant.lua takes: those of Keys, then grants, what is reserved, live grants by
// client, when each grant is due; and of the shard the requests for elements, and when each service is due.
func GrantKeys(prefix, service string) []string {
	tag := tagOf(prefix, Shard(service))
	return append(Keys(prefix, service), tag+"grts:"+service, tag+"used:"+service, tag+"gidx:"+service, tag+"gend:"+service,
		tag+"req", tag+"gdue")
}

// EntitleKeys returns the names of the keys that entitle.lua takes: revision, stream, keys, handles.
func EntitleKeys(prefix string) []string {
	tag := prefix + ":{qos}:"
	return []string{tag + "rev", tag + "chg", tag + "keys", tag + "hdls"}
}

func tagOf(prefix string, shard int) string { return fmt.Sprintf("%s:{%02d}:", prefix, shard) }

func revKey(prefix string, shard int) string      { return tagOf(prefix, shard) + "rev" }
func streamKey(prefix string, shard int) string   { return tagOf(prefix, shard) + "chg" }
func servicesKey(prefix string, shard int) string { return tagOf(prefix, shard) + "svcs" }
func requestsKey(prefix string, shard int) string { return tagOf(prefix, shard) + "req" }
func dueKey(prefix string, shard int) string      { return tagOf(prefix, shard) + "gdue" }
func nodeKey(prefix, name string) string          { return prefix + ":node:" + name }

// CheckPrefix says whether the names of all keys may begin with prefix: it keeps the hash tag the only one in a key.
func CheckPrefix(prefix string) error {
	bad := func(r rune) bool { return !strings.ContainsRune(prefixRunes, r) }
	if prefix == "" || len(prefix) > 64 || strings.ContainsFunc(prefix, bad) {
		return fmt.Errorf("prefix %q: expected 1 to 64 letters, digits and .:_-", clip(suggest.Shown(prefix)))
	}
	return nil
}

const prefixRunes = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789.:_-"

// clip shortens foreign text for messages.
func clip(s string) string { return clipTo(s, 80) }

// clipLong is clip for errors that say what to do.
func clipLong(s string) string { return clipTo(s, 400) }

func clipTo(s string, most int) string {
	if len(s) <= most {
		return s
	}
	return strings.ToValidUTF8(s[:most], "") + "..."
}
