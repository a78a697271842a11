package store

import (
	"context"
	"crypto/rand"
	"fmt"
	"slices"
	"strconv"

	"github.com/redis/go-redis/v9"

	"github.com/coredns-farm/farm/qos"
)

// Request asks for a grant. Of Grant it needs Service, Client, Server, Asked and Offer; Lower, if a lower level will do; and
// what elements have to know: addresses, ports, Phone. The store chooses the ID if there is none, and sets the rest.
type Request struct {
	qos.Grant
	Release bool // give the client's live grant of the service back instead
}

// anyGrant has whichever grant the client has replaced by the one that is asked for.
const anyGrant = "*"

// newGrantID returns random octets.
func newGrantID() (id qos.GrantID) {
	_, _ = rand.Read(id[:]) // never fails
	return id
}

// Ask asks for a grant, or releases one, and returns it as it stands then. Times are Redis's. While the client has a live
// grant of that level at that server, that one is returned, and extended if more than half of its time is over; one of
// another level, or at another server, ends in the same act. When nothing that was offered has room, what is returned is in
// state Refused, for the reason Full, and nothing was written.
func (c *Client) Ask(ctx context.Context, r Request) (qos.Grant, error) {
	args, err := r.args(anyGrant)
	if err != nil {
		return qos.Grant{}, fmt.Errorf("grant of %s: %w", clip(r.Service), err)
	}
	got, err := c.runOn(ctx, scriptGrant, GrantKeys(c.prefix, r.Service), r.Service, args...)
	if err != nil {
		return qos.Grant{}, err
	}
	g, err := r.outcome(got)
	return g, c.wrap(r.Service, err)
}

// args returns what the script takes after the service. seen is the live grant that the asker knew the client to have.
func (r *Request) args(seen string) ([]any, error) {
	if r.Release {
		who := r.Client.String()
		if r.ID != (qos.GrantID{}) {
			who = r.ID.String()
		}
		return []any{"end", who, qos.Released.String()}, checkNames(r.Service)
	}
	if r.ID == (qos.GrantID{}) {
		r.ID = newGrantID()
	}
	if err := CheckGrant(&r.Grant); err != nil {
		return nil, err
	}
	data, err := encodeRequest(&r.Grant)
	return []any{"ask", data, seen}, err
}

// outcome returns the grant as it stands after the script.
func (r *Request) outcome(got reply) (qos.Grant, error) {
	switch got.status {
	case "OK", "HELD", "RENEWED":
		return grantOf(r.Service, got)
	case "NONE":
		return qos.Grant{Service: r.Service, Client: r.Client, State: qos.NoGrant}, nil
	}
	g := r.Grant
	g.State, g.Reason = qos.Refused, qos.Full
	if got.status == "MANY" {
		g.Detail = "too many requests"
	}
	return g, nil
}

// grantOf reads the record that a script returned.
func grantOf(service string, got reply) (qos.Grant, error) {
	var id struct {
		ID string `json:"id"`
	}
	if err := decode(got.detail, &id); err != nil {
		return qos.Grant{}, err
	}
	rec, err := decodeGrant(service, id.ID, got.detail)
	if err != nil {
		return qos.Grant{}, err
	}
	return rec.Grant, nil
}

// Release ends a grant because its client gives it back. It says whether it was live.
func (c *Client) Release(ctx context.Context, service string, id qos.GrantID) (bool, error) {
	return c.end(ctx, service, id, qos.Released)
}

// Revoke ends a grant because an operator wants it. It says whether it was live.
func (c *Client) Revoke(ctx context.Context, service string, id qos.GrantID) (bool, error) {
	return c.end(ctx, service, id, qos.Revoked)
}

func (c *Client) end(ctx context.Context, service string, id qos.GrantID, why qos.Reason) (bool, error) {
	if err := checkNames(service); err != nil {
		return false, err
	}
	got, err := c.runOn(ctx, scriptGrant, GrantKeys(c.prefix, service), service, "end", id.String(), why.String())
	return got.status == "OK", err
}

// Drain ends the live grants of a server, or of all of a service when server is empty, and returns how many. Clients are
// granted anew elsewhere when they next ask.
func (c *Client) Drain(ctx context.Context, service, server string) (ended int, err error) {
	all, err := c.Grants(ctx, service)
	for _, g := range all {
		if !g.State.Live() || server != "" && g.Server != server {
			continue
		}
		live, err := c.end(ctx, service, g.ID, qos.Drained)
		if err != nil {
			return ended, err
		}
		if live {
			ended++
		}
	}
	return ended, err
}

// Grants returns the grants of some services, or of all if none is named: the live ones, and those that are not yet
// forgotten, in no order. Times are Redis's. Records that cannot be read are left out.
func (c *Client) Grants(ctx context.Context, services ...string) (all []qos.Grant, err error) {
	ctx, cancel := deadline(ctx, readTime)
	defer cancel()
	if len(services) == 0 {
		if services, err = c.granting(ctx, "+inf"); err != nil {
			return nil, c.wrap("grants", err)
		}
	}
	for _, name := range services {
		if err := CheckServiceName(name); err != nil {
			return nil, err
		}
		pairs, err := scanHash(ctx, c.db, GrantKeys(c.prefix, name)[6], maxGrants)
		if err != nil {
			return nil, c.wrap(name, err)
		}
		seen := make(map[string]bool, len(pairs)/2) // HSCAN may name one twice
		for i := 0; i+1 < len(pairs); i += 2 {
			if rec, err := decodeGrant(name, pairs[i], pairs[i+1]); err == nil && !seen[pairs[i]] {
				seen[pairs[i]] = true
				all = append(all, rec.Grant)
			}
		}
	}
	return all, nil
}

// Grant returns one grant; false if there is none (any more). Times are Redis's.
func (c *Client) Grant(ctx context.Context, service string, id qos.GrantID) (qos.Grant, bool, error) {
	if err := checkNames(service); err != nil {
		return qos.Grant{}, false, err
	}
	ctx, cancel := deadline(ctx, 2*ioTimeout)
	defer cancel()
	data, err := c.db.HGet(ctx, GrantKeys(c.prefix, service)[6], id.String()).Result()
	if err == redis.Nil {
		return qos.Grant{}, false, nil
	}
	if err != nil {
		return qos.Grant{}, false, c.wrap(service, err)
	}
	rec, err := decodeGrant(service, id.String(), data)
	if err != nil {
		return qos.Grant{}, false, c.wrap(service, err)
	}
	return rec.Grant, true, nil
}

// granting lists the services that have grants and in which something is due by a time, on Redis's clock.
func (c *Client) granting(ctx context.Context, by string) (services []string, err error) {
	for i := range Shards {
		names, err := c.db.ZRangeByScore(ctx, dueKey(c.prefix, i), &redis.ZRangeBy{Min: "-inf", Max: by, Count: 2 * maxServices}).Result()
		if err != nil {
			return nil, fmt.Errorf("shard %02d: services with grants: %w", i, err)
		}
		services = append(services, slices.DeleteFunc(names, func(name string) bool {
			return CheckServiceName(name) != nil || Shard(name) != i
		})...)
	}
	return services, nil
}

// SweepGrants has grants end whose time is over, and forgets those that ended long ago, and returns how many it looked at.
// Whoever asks for a grant sweeps its service, too.
func (c *Client) SweepGrants(ctx context.Context) (swept int, err error) {
	ctx, cancel := deadline(ctx, readTime)
	defer cancel()
	now, err := timeOf(ctx, c.db, dueKey(c.prefix, 0))
	if err != nil {
		return 0, c.wrap("sweep", err)
	}
	services, err := c.granting(ctx, strconv.FormatInt(now, 10))
	if err != nil {
		return 0, c.wrap("sweep", err)
	}
	for _, name := range services {
		got, err := c.runOn(ctx, scriptGrant, GrantKeys(c.prefix, name), name, "sweep")
		if err != nil {
			return swept, err
		}
		n, _ := strconv.Atoi(got.detail)
		swept += n
	}
	return swept, nil
}
