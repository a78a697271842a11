package main

import (
	"fmt"
	"math"
	"slices"
)

// figure is the median of what was measured several times, with the least and the most of it.
type figure struct {
	Median float64 `json:"median"`
	Least  float64 `json:"least"`
	Most   float64 `json:"most"`
}

// figureOf returns the figure of at least one value.
func figureOf(values []float64) figure {
	v := slices.Sorted(slices.Values(values))
	n := len(v)
	return figure{(v[(n-1)/2] + v[n/2]) / 2, v[0], v[n-1]}
}

// text is the figure with its spread, in so many digits after the point.
func (f figure) text(digits int) string {
	if f.Least == f.Most {
		return fmt.Sprintf("%.*f", digits, f.Median)
	}
	return fmt.Sprintf("%.*f (%.*f-%.*f)", digits, f.Median, digits, f.Least, digits, f.Most)
}

// quantile is what a part q of some sorted values stay at or under.
func quantile(sorted []float64, q float64) float64 {
	return sorted[min(max(int(math.Ceil(q*float64(len(sorted)))), 1), len(sorted))-1]
}
