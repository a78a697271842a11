package store

import (
	"slices"
	"testing"
)

func TestBuildQueue(t *testing.T) {
	type added struct {
		name string
		c    change
	}
	for _, tc := range []struct {
		what string
		add  []added
		want []added
	}{
		{"who waits longest comes first", []added{{"a", 0}, {"b", 0}, {"a", 0}}, []added{{"a", 0}, {"b", 0}}},
		{"what is urgent goes ahead", []added{{"a", 0}, {"b", urgent}, {"c", urgent}}, []added{{"b", urgent}, {"c", urgent}, {"a", 0}}},
		{"what becomes urgent moves up", []added{{"a", 0}, {"b", 0}, {"b", edited | urgent}}, []added{{"b", edited | urgent}, {"a", 0}}},
		{"what was urgent is so once", []added{{"a", urgent}, {"b", urgent}, {"a", urgent}, {"a", 0}}, []added{{"a", urgent}, {"b", urgent}}},
		{"an edit is kept", []added{{"a", edited}, {"a", 0}}, []added{{"a", edited}}},
	} {
		q := newBuildQueue()
		for range 2 { // what is left over of the first time does not show
			for _, a := range tc.add {
				q.add(a.name, a.c)
			}
			var got []added
			for q.len() > 0 {
				name, c := q.take()
				got = append(got, added{name, c})
			}
			if !slices.Equal(got, tc.want) {
				t.Errorf("%s: expected %v, got %v", tc.what, tc.want, got)
			}
		}
	}
}

func TestUrgentReports(t *testing.T) {
	r := newReplica()
	for i, tc := range []struct {
		what, report string
		want         change
	}{
		{"the first", `"utilization":0.5`, urgent},
		{"about the same", `"utilization":0.7`, 0},
		{"a leap up", `"utilization":1.0`, urgent},
		{"a leap down", `"utilization":0.6`, urgent},
		{"health", `"utilization":0.6,"health":"down"`, urgent},
		{"the same health", `"utilization":0.6,"health":"down"`, 0},
		{"utilisation not known any more", `"rps":6,"health":"down"`, urgent},
	} {
		clear(r.dirty)
		rec := record{kindReport, benchName(0), "a", `{` + tc.report + `,"lease":15,"agent":"x","seq":` + string(rune('1'+i)) + `,"at":` + string(rune('1'+i)) + `}`}
		if err := r.set(r.shards[Shard(rec.svc)], rec, moment{now: 1, life: lifeStart + 1, redis: 1}); err != nil {
			t.Fatal(err)
		}
		if got := r.dirty[rec.svc] & urgent; got != tc.want {
			t.Errorf("%s: expected urgent %v, got %v", tc.what, tc.want != 0, got != 0)
		}
	}
}
