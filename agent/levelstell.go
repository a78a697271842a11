package agent

import (
	"cmp"
	"encoding/json"
	"net/http"
	"net/netip"
	"slices"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"github.com/coredns-farm/farm/qos"
	"github.com/coredns-farm/farm/steer"
)

// The forms below are what GET /levels answers. They are an interface: fields are added, never changed. Parts are of the
// server, 1 is all of it; rates are in kbit/s.

type levelsOf struct {
	Server   string          `json:"server"`
	Age      float64         `json:"age"` // seconds since the database was read
	Services []serviceLevels `json:"services"`
}

type serviceLevels struct {
	Service string     `json:"service"`
	Levels  []levelUse `json:"levels"` // the highest first
}

// levelUse is what a level uses of the server, and what it may.
type levelUse struct {
	Level     string    `json:"level"`
	Rank      uint8     `json:"rank"`     // 0 if the service has no such level any more
	Unit      float64   `json:"unit"`     // part that one grant reserves
	Share     float64   `json:"share"`    // part that all of its grants may take together
	Reserved  float64   `json:"reserved"` // part that they have taken
	Grants    int       `json:"grants"`
	Requested int       `json:"requested"` // open requests
	Clients   []granted `json:"clients"`   // who has the grants
}

type granted struct {
	Grant   qos.GrantID  `json:"grant"`
	Client  qos.ClientID `json:"client"`
	Address netip.Addr   `json:"address,omitzero"`
	Port    uint16       `json:"port,omitempty"`
	Up      uint32       `json:"up,omitempty"`
	Down    uint32       `json:"down,omitempty"`
	DSCP    uint8        `json:"dscp,omitempty"`
	Left    float64      `json:"left"` // seconds
}

// tell says what of the picture holds at a later time.
func (p *picture) tell(server string, services []string, at time.Time) *levelsOf {
	since := at.Sub(p.at)
	out := &levelsOf{Server: server, Age: since.Seconds(), Services: []serviceLevels{}}
	for _, name := range services {
		s := serviceLevels{Service: name, Levels: []levelUse{}}
		for i := range p.levels[name] {
			l := &p.levels[name][i]
			o := qos.OfferOf(l)
			s.Levels = append(s.Levels, levelUse{
				Level: l.Name, Rank: l.Rank, Unit: part(o.Unit), Share: part(o.Share), Clients: []granted{},
			})
		}
		for i := range p.grants {
			if g := &p.grants[i]; g.Service == name && p.left(g, since) > 0 {
				s.add(g, p.left(g, since))
			}
		}
		slices.SortFunc(s.Levels, func(a, b levelUse) int {
			return cmp.Or(cmp.Compare(b.Rank, a.Rank), cmp.Compare(a.Level, b.Level))
		})
		out.Services = append(out.Services, s)
	}
	return out
}

// left is how many seconds a grant goes on, so long after the picture.
func (p *picture) left(g *qos.Grant, since time.Duration) float64 {
	return float64(g.End-p.now)/1000 - since.Seconds()
}

// maxLevels bounds the levels of a service, those included that it had when their grants were made.
const maxLevels = 2 * steer.MaxLevels

// add counts a live grant. What it says of its level stands in for a level that is not known.
func (s *serviceLevels) add(g *qos.Grant, left float64) {
	i := slices.IndexFunc(s.Levels, func(l levelUse) bool { return l.Level == g.Level })
	if i < 0 && len(s.Levels) == maxLevels {
		return
	}
	if i < 0 {
		i = len(s.Levels)
		s.Levels = append(s.Levels, levelUse{Level: g.Level, Unit: part(g.Unit), Share: part(g.Share), Clients: []granted{}})
	}
	l := &s.Levels[i]
	l.Reserved = part(millionths(l.Reserved) + g.Holds())
	if !g.State.Given() {
		l.Requested++
		return
	}
	l.Grants++
	l.Clients = append(l.Clients, granted{
		Grant: g.ID, Client: g.Client, Address: g.ClientAddr, Port: g.ClientPort, Up: g.Up, Down: g.Down, DSCP: g.DSCP, Left: left,
	})
}

func part(millionths int64) float64 { return float64(millionths) / qos.Million }

// millionths is the inverse of part.
func millionths(part float64) int64 { return int64(part*qos.Million + 0.5) }

func (l *levels) handler() http.Handler {
	registry := prometheus.NewRegistry()
	registry.MustRegister(l)
	mux := http.NewServeMux()
	mux.HandleFunc("GET /levels", l.serveLevels)
	mux.Handle("GET /metrics", promhttp.HandlerFor(registry, promhttp.HandlerOpts{}))
	return mux
}

func (l *levels) serveLevels(w http.ResponseWriter, _ *http.Request) {
	p := l.last.Load()
	if p == nil {
		http.Error(w, "the database has not been read yet", http.StatusServiceUnavailable)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "no-store")
	if err := json.NewEncoder(w).Encode(p.tell(l.server, l.services, time.Now())); err != nil {
		l.log.Debug("levels were not told", "error", err)
	}
}

var (
	levelLabels = []string{"service", "level"}

	unitDesc      = levelDesc("unit", "Part of the server that one grant of the level reserves.")
	shareDesc     = levelDesc("share", "Part of the server that the level's grants may take together.")
	reservedDesc  = levelDesc("reserved", "Part of the server that the level's grants have taken.")
	grantsDesc    = levelDesc("grants", "Grants of the level that stand at the server.")
	requestedDesc = levelDesc("requested", "Open requests for the level at the server.")
	ageDesc       = prometheus.NewDesc("farm_agent_levels_age_seconds", "How long ago the database was read for this.", nil, nil)
)

func levelDesc(name, help string) *prometheus.Desc {
	return prometheus.NewDesc("farm_agent_level_"+name, help, levelLabels, nil)
}

// Describe implements prometheus.Collector.
func (l *levels) Describe(ch chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{unitDesc, shareDesc, reservedDesc, grantsDesc, requestedDesc, ageDesc} {
		ch <- d
	}
}

// Collect implements prometheus.Collector. Before the database was read there is nothing to tell.
func (l *levels) Collect(ch chan<- prometheus.Metric) {
	p := l.last.Load()
	if p == nil {
		return
	}
	told := p.tell(l.server, l.services, time.Now())
	ch <- prometheus.MustNewConstMetric(ageDesc, prometheus.GaugeValue, told.Age)
	for _, s := range told.Services {
		for _, u := range s.Levels {
			gauge := func(d *prometheus.Desc, x float64) {
				ch <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, x, s.Service, u.Level)
			}
			gauge(unitDesc, u.Unit)
			gauge(shareDesc, u.Share)
			gauge(reservedDesc, u.Reserved)
			gauge(grantsDesc, float64(u.Grants))
			gauge(requestedDesc, float64(u.Requested))
		}
	}
}
