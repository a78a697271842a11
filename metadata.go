package farm

import (
	"strconv"
	"strings"

	"github.com/coredns-farm/farm/steer"

	"github.com/coredns/coredns/plugin/metadata"
)

// describe tells other plugins (log, view, dnstap) what was decided, if metadata is on in the server block.
func (f *Farm) describe(q *query, farm *steer.Farm, p *steer.Pick) {
	if metadata.ValueFuncs(q.ctx) == nil {
		return
	}
	// Copies: what closures hold would otherwise cost every query an allocation.
	ctx, pick, region := q.ctx, *p, q.client.region
	set := func(name string, value metadata.Func) { metadata.SetValueFunc(ctx, pluginName+"/"+name, value) }
	set("service", func() string { return farm.Service.Name })
	set("server", func() string { return serverIDs(farm, pick.Servers[:min(pick.N, 1)]) })
	set("servers", func() string { return serverIDs(farm, pick.Servers[:pick.N]) })
	set("policy", func() string { return string(farm.Service.Policy) })
	set("region", func() string {
		if region == 0 {
			return ""
		}
		return f.regions.Name(region)
	})
	if q.outcome == outcomeRewritten {
		return // the rest is of a decision of our own
	}
	set("reason", func() string { return pick.Rung.String() })
	set("method", func() string { return pick.By.String() })
	set("tier", func() string { return strconv.Itoa(pick.Tier + 1) })
	if q.level != nil {
		level, shown, client, by := q.level.Name, q.shown, q.right.client, q.right.origin
		set("level", func() string { return level })
		set("client", client.String)
		set("origin", func() string { return originNames[by] })
		set("grant", func() string { return shown.State.String() })
		set("grant-level", func() string { return shown.Level })
		set("grant-id", shown.Grant.String)
	}
	set("chance", func() string { return strconv.FormatUint(pick.Chance, 10) })
}

// serverIDs is the ids of servers, with commas.
func serverIDs(farm *steer.Farm, servers []int32) string {
	ids := make([]string, len(servers))
	for i, s := range servers {
		ids[i] = farm.Servers[s].ID
	}
	return strings.Join(ids, ",")
}
