package store

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/coredns-farm/farm/suggest"

	"github.com/redis/go-redis/v9"
	"github.com/redis/go-redis/v9/maintnotifications"
)

// Target is a Redis that URLs name: a single server, a master behind Sentinels, or a Cluster.
type Target struct {
	opts redis.UniversalOptions
	tls  tlsFiles
	text string
}

// String names the target for logs, without user names, passwords and options.
func (t *Target) String() string { return t.text }

// ParseURLs reads the URLs of one database:
//
//	redis://[USER:PASSWORD@]HOST[:PORT][/DB]      one server; rediss:// with TLS
//	unix://[USER:PASSWORD@]/PATH[?db=DB]          one server on a socket
//	redis+sentinel://[USER:PASSWORD@]HOST[:PORT][,HOST[:PORT]...]/MASTER[?db=DB&sentinel_username=&sentinel_password=]
//
// Several redis:// or rediss:// URLs, or one with ?cluster=true, are a Cluster. rediss:// and rediss+sentinel:// take ca=FILE,
// cert=FILE, key=FILE and server_name=NAME. It reads no file and opens nothing. Errors repeat nothing of a URL: what cannot be
// read may be part of a password.
func ParseURLs(urls []string) (*Target, error) {
	if len(urls) == 0 {
		return nil, errors.New("redis: expected a URL")
	}
	first, err := parseURL(urls[0])
	if err != nil {
		return nil, fmt.Errorf("redis URL: %w", err)
	}
	for i, raw := range urls[1:] {
		next, err := parseURL(raw)
		if err == nil {
			err = first.join(next)
		}
		if err != nil {
			return nil, fmt.Errorf("redis URL %d: %w", i+2, err)
		}
	}
	if first.opts.IsClusterMode && first.opts.DB != 0 {
		return nil, fmt.Errorf("redis URL: database %d: expected 0, a Cluster has no other", first.opts.DB)
	}
	return first, nil
}

// join makes a Cluster of two targets.
func (t *Target) join(next *Target) error {
	a, b := &t.opts, &next.opts
	if a.MasterName != "" || b.MasterName != "" {
		return errors.New("expected all Sentinels in one redis+sentinel:// URL")
	}
	if strings.HasPrefix(a.Addrs[0], "/") || strings.HasPrefix(b.Addrs[0], "/") {
		return errors.New("expected redis:// or rediss://, a Cluster has no sockets")
	}
	if a.Username != b.Username || a.Password != b.Password || a.DB != b.DB || t.tls != next.tls {
		return errors.New("expected the same user, TLS and options as in the first, a Cluster has one of each")
	}
	a.IsClusterMode = true
	a.Addrs = append(a.Addrs, b.Addrs...)
	t.text += "," + next.opts.Addrs[0]
	return nil
}

func parseURL(raw string) (*Target, error) {
	u, hosts, err := splitURL(raw)
	if err != nil {
		return nil, err
	}
	t := &Target{opts: defaults()}
	t.opts.Username = u.User.Username()
	t.opts.Password, _ = u.User.Password()
	q := u.Query()
	switch u.Scheme {
	case "redis", "rediss":
		err = t.single(hosts, u.Path, q)
	case "redis+sentinel", "rediss+sentinel":
		err = t.sentinel(hosts, u.Path, q)
	case "unix":
		err = t.socket(hosts, u.Path, q)
	default:
		err = errors.New("expected redis://, rediss://, unix:// or redis+sentinel://")
	}
	if err != nil {
		return nil, err
	}
	if strings.HasPrefix(u.Scheme, "rediss") {
		err = t.tls.take(q)
	}
	t.text = u.Scheme + "://" + strings.Join(t.opts.Addrs, ",")
	if t.opts.MasterName != "" {
		t.text += "/" + t.opts.MasterName
	}
	return t, cmp.Or(err, leftOver(u.Scheme, q))
}

// splitURL takes the host list out before net/url sees it: a list of HOST:PORT is no valid authority. net/url's errors
// repeat the URL, so they are not passed on.
func splitURL(raw string) (*url.URL, []string, error) {
	scheme, rest, ok := strings.Cut(raw, "://")
	if !ok || len(raw) > 4096 {
		return nil, nil, errors.New("expected SCHEME://HOST:PORT")
	}
	end := strings.IndexAny(rest, "/?#")
	if end < 0 {
		end = len(rest)
	}
	authority, tail := rest[:end], rest[end:]
	user, list := "", authority
	if at := strings.LastIndexByte(authority, '@'); at >= 0 {
		user, list = authority[:at+1], authority[at+1:]
	}
	if strings.Contains(tail, "@") && (scheme != "unix" || authority != "") {
		return nil, nil, errCutPassword
	}
	u, err := url.Parse(scheme + "://" + user + "x" + tail)
	if err != nil || u.Fragment != "" {
		return nil, nil, errors.New("expected SCHEME://[USER:PASSWORD@]HOST[:PORT][/PATH][?OPTIONS]; " + encodeHint)
	}
	if _, err := url.ParseQuery(u.RawQuery); err != nil {
		return nil, nil, errors.New("options: expected NAME=VALUE; " + encodeHint)
	}
	var hosts []string
	if list != "" {
		hosts = strings.Split(list, ",")
	}
	return u, hosts, nil
}

// encodeHint says how a password is written that would end its part of the URL.
const encodeHint = "in user names, passwords and options write / as %2F, ? as %3F, # as %23, @ as %40 and % as %25"

// errCutPassword is for an @ behind the hosts: what stands before it is most likely a password that holds a /, ? or #.
var errCutPassword = errors.New("an @ stands behind a /, ? or #, as after a password that holds one; " + encodeHint)

func (t *Target) single(hosts []string, path string, q url.Values) error {
	if len(hosts) != 1 {
		return errors.New("expected one HOST[:PORT]; several URLs are a Cluster")
	}
	if err := t.addrs(hosts, "6379"); err != nil {
		return err
	}
	if cluster := take(q, "cluster"); cluster != "" {
		on, err := strconv.ParseBool(cluster)
		if err != nil {
			return errors.New("option cluster: expected true or false")
		}
		t.opts.IsClusterMode = on
	}
	db := strings.TrimPrefix(path, "/")
	if db == "" {
		db = take(q, "db")
	}
	return t.database(db)
}

func (t *Target) sentinel(hosts []string, path string, q url.Values) error {
	if err := t.addrs(hosts, "26379"); err != nil {
		return err
	}
	t.opts.MasterName = strings.TrimPrefix(path, "/")
	if t.opts.MasterName == "" || strings.Contains(t.opts.MasterName, "/") {
		return errors.New("expected the name of the master after the Sentinels: redis+sentinel://HOST:PORT/MASTER")
	}
	t.opts.SentinelUsername = take(q, "sentinel_username")
	t.opts.SentinelPassword = take(q, "sentinel_password")
	return t.database(take(q, "db"))
}

func (t *Target) socket(hosts []string, path string, q url.Values) error {
	if len(hosts) != 0 || !strings.HasPrefix(path, "/") || path == "/" {
		return errors.New("expected unix:///PATH/OF/SOCKET")
	}
	t.opts.Addrs = []string{path}
	return t.database(take(q, "db"))
}

// maxHosts bounds the list of Sentinels.
const maxHosts = 32

func (t *Target) addrs(hosts []string, port string) error {
	if len(hosts) == 0 || len(hosts) > maxHosts {
		return fmt.Errorf("%d hosts: expected 1 to %d", len(hosts), maxHosts)
	}
	for i, h := range hosts {
		u, err := url.Parse("x://" + h)
		if err != nil || u.Hostname() == "" || u.User != nil || !goodPort(u.Port()) || mistypedAddress(u.Hostname()) {
			return fmt.Errorf("host %d: expected HOST[:PORT], an address with all its parts, IPv6 in brackets; %s", i+1, encodeHint)
		}
		p := u.Port()
		if p == "" {
			p = port
		}
		t.opts.Addrs = append(t.opts.Addrs, net.JoinHostPort(u.Hostname(), p))
	}
	return nil
}

// mistypedAddress reports whether a host looks like an address and is none.
func mistypedAddress(host string) bool {
	return net.ParseIP(host) == nil && strings.Contains(host, ".") && endsInNumber(strings.TrimSuffix(host, "."))
}

func goodPort(p string) bool {
	n, err := strconv.ParseUint(p, 10, 16)
	return p == "" || err == nil && n > 0
}

func (t *Target) database(db string) error {
	if db == "" {
		return nil
	}
	n, err := strconv.ParseUint(db, 10, 16)
	if err != nil {
		return errors.New("database: expected a number, as in redis://HOST/2; " + encodeHint)
	}
	t.opts.DB = int(n)
	return nil
}

// take takes an option out of q, so that what is left over is unknown.
func take(q url.Values, name string) string {
	v := q.Get(name)
	delete(q, name)
	return v
}

// options are those that a scheme knows.
var options = map[string][]string{
	"redis":           {"cluster", "db"},
	"rediss":          {"cluster", "db", "ca", "cert", "key", "server_name"},
	"unix":            {"db"},
	"redis+sentinel":  {"db", "sentinel_username", "sentinel_password"},
	"rediss+sentinel": {"db", "sentinel_username", "sentinel_password", "ca", "cert", "key", "server_name"},
}

// leftOver returns an error if there are options that are not known. It does not repeat them: what follows a ? may be the rest of
// a password.
func leftOver(scheme string, q url.Values) error {
	if len(q) == 0 {
		return nil
	}
	var guesses []string
	for name := range q {
		guesses = append(guesses, suggest.Words(name, options[scheme])...)
	}
	slices.Sort(guesses)
	return fmt.Errorf("an option is not known: expected %s%s; %s", strings.Join(options[scheme], ", "),
		suggest.DidYouMean(slices.Compact(guesses)), encodeHint)
}

// Times after which a silent Redis counts as lost. Slow is not lost: replies may take ioTimeout.
const (
	dialTimeout = 2 * time.Second
	ioTimeout   = 5 * time.Second
)

func defaults() redis.UniversalOptions {
	return redis.UniversalOptions{
		DialTimeout:   dialTimeout,
		DialerRetries: 1, // who calls us knows better when to try again
		ReadTimeout:   ioTimeout,
		WriteTimeout:  ioTimeout,
		// Deadlines of contexts hold for sockets too.
		ContextTimeoutEnabled: true,
		PipelinePoolSize:      -1,
		DisableIdentity:       true, // Redis 7.0 does not know CLIENT SETINFO
		MaintNotificationsConfig: &maintnotifications.Config{
			Mode: maintnotifications.ModeDisabled,
		},
	}
}

// open makes a client, which connects when it is first used. It reads the TLS files.
func (t *Target) open(tune func(*redis.UniversalOptions)) (redis.UniversalClient, error) {
	opts := t.opts
	opts.Addrs = slices.Clone(opts.Addrs)
	conf, err := t.tls.config()
	if err != nil {
		return nil, err
	}
	opts.TLSConfig = conf
	opts.OnConnect = t.checkServer
	quiet.Do(func() { redis.SetLogger(silent{}) })
	if tune != nil {
		tune(&opts)
	}
	if opts.IsClusterMode {
		cluster := opts.Cluster()
		cluster.ClusterStateReloadInterval = clusterReload
		return redis.NewClusterClient(cluster), nil
	}
	return redis.NewUniversalClient(&opts), nil
}

// clusterReload is how old the map of a Cluster may be when it is used. A dead master does not say who stands in for it:
// go-redis asks it again and again until the map is read anew, by default after a minute.
const clusterReload = 2 * time.Second

// quiet silences go-redis, which otherwise writes a line to standard error for every attempt. Errors come back to us
// anyway, and the store logs changes.
var quiet sync.Once

type silent struct{}

func (silent) Printf(context.Context, string, ...any) {}
