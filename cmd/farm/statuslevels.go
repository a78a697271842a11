package main

import (
	"cmp"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/coredns-farm/farm/qos"
	"github.com/coredns-farm/farm/steer"
)

// levelStatus is what of a level is granted.
type levelStatus struct {
	Name      string        `json:"level"`
	Rank      uint8         `json:"rank,omitempty"` // absent if the service has no such level any more
	Granted   int           `json:"granted"`
	Requested int           `json:"requested"`
	Share     float64       `json:"share,omitempty"` // part of a server that its grants may take; absent if they take none
	Reserved  []reservation `json:"reserved"`        // the largest first
}

// reservation is what the grants of a level have reserved of a server.
type reservation struct {
	Server string  `json:"server"`
	Part   float64 `json:"part"`
}

// addGrants counts the grants of the service, of whatever services they are.
func (s *serviceStatus) addGrants(f *steer.Farm, grants []qos.Grant) {
	for _, name := range levelNames(f.Service.Levels) {
		o := qos.OfferOf(f.Service.Level(name))
		s.Levels = append(s.Levels, levelStatus{
			Name: name, Rank: f.Service.Level(name).Rank, Share: partOf(o.Share), Reserved: []reservation{},
		})
	}
	for i := range grants {
		if g := &grants[i]; g.Service == s.Name && g.State.Live() {
			s.add(g)
		}
	}
	for i := range s.Levels {
		slices.SortFunc(s.Levels[i].Reserved, func(a, b reservation) int {
			return cmp.Or(cmp.Compare(b.Part, a.Part), strings.Compare(a.Server, b.Server))
		})
	}
}

func (s *serviceStatus) add(g *qos.Grant) {
	i := slices.IndexFunc(s.Levels, func(l levelStatus) bool { return l.Name == g.Level })
	if i < 0 {
		i = len(s.Levels)
		s.Levels = append(s.Levels, levelStatus{Name: g.Level, Reserved: []reservation{}})
	}
	l := &s.Levels[i]
	if g.State.Given() {
		l.Granted++
	} else {
		l.Requested++
	}
	if g.Holds() > 0 {
		l.reserve(g.Server, g.Holds())
	}
	if i := slices.IndexFunc(s.Servers, func(v serverStatus) bool { return v.ID == g.Server }); i >= 0 {
		addPart(&s.Servers[i].Reserved, g.Holds())
	}
}

func (l *levelStatus) reserve(server string, millionths int64) {
	i := slices.IndexFunc(l.Reserved, func(r reservation) bool { return r.Server == server })
	if i < 0 {
		i = len(l.Reserved)
		l.Reserved = append(l.Reserved, reservation{Server: server})
	}
	addPart(&l.Reserved[i].Part, millionths)
}

func (s *statusOf) levelTable(wide bool) *table {
	t := newTable("SERVICE", "LEVEL", "RANK", "GRANTED", "REQUESTED", "SHARE", "RESERVED")
	for _, sv := range s.Services {
		for _, l := range sv.Levels {
			t.add(sv.Name, l.Name, numberOr(int(l.Rank)), strconv.Itoa(l.Granted), strconv.Itoa(l.Requested),
				said(l.Share, exactPercent), l.reservedText(wide))
		}
	}
	return t
}

// maxReserved bounds the servers that a table names.
const maxReserved = 3

func (l *levelStatus) reservedText(wide bool) string {
	var words []string
	for i, r := range l.Reserved {
		if i == maxReserved && !wide {
			words = append(words, fmt.Sprintf("and %d more", len(l.Reserved)-i))
			break
		}
		words = append(words, r.Server+" "+exactPercent(r.Part))
	}
	return strings.Join(words, ", ")
}
