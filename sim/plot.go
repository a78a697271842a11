package main

import (
	"bytes"
	"fmt"
	"image/color"
	"math"
	"os"
	"path/filepath"
	"slices"

	"gonum.org/v1/plot"
	"gonum.org/v1/plot/font"
	"gonum.org/v1/plot/plotter"
	"gonum.org/v1/plot/vg"
	"gonum.org/v1/plot/vg/draw"
	"gonum.org/v1/plot/vg/vgsvg"

	"github.com/coredns-farm/farm/measured"
	"github.com/coredns-farm/farm/sim/world"
)

// A picture has a panel for each of a few policies: the mean of the farm, the band that all of its servers are in, and
// the most utilised of them. It is a white card, so that it can be read on any page.
const (
	panelWidth  = 250
	panelHeight = 170
	legendStrip = 22
	maxPanels   = 4
	ceiling     = 2.0 // utilisation that the panels end at
	maxPoints   = 110 // of a line; of what falls together, the extremes are drawn
)

var (
	ink      = color.NRGBA{0x24, 0x29, 0x2f, 0xff}
	faint    = color.NRGBA{0xe1, 0xe4, 0xe8, 0xff}
	eventInk = color.NRGBA{0xf3, 0xee, 0xe3, 0xff}
	bandInk  = color.NRGBA{0xb6, 0xd4, 0xf2, 0xff}
	meanInk  = color.NRGBA{0x0b, 0x4f, 0x9c, 0xff}
	mostInk  = color.NRGBA{0xc2, 0x41, 0x0c, 0xff}
	fullInk  = color.NRGBA{0x8b, 0x94, 0x9e, 0xff}
)

// drawn are the policies whose panels are drawn when there are more than a picture has room for.
var drawn = []string{"weighted", "headroom", "predict"}

// writePlots draws a picture of each scenario into a directory, which it makes if need be.
func writePlots(dir string, rows []row) error {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return fmt.Errorf("cannot draw: %w", err)
	}
	for _, some := range byScenario(rows) {
		svg, err := picture(some)
		if err != nil {
			return fmt.Errorf("cannot draw scenario %s: %w", some[0].scenario.Name, err)
		}
		if err := measured.Replace(filepath.Join(dir, plotName(some[0].scenario)), svg); err != nil {
			return err
		}
	}
	return nil
}

func plotName(s *world.Scenario) string { return s.Name + ".svg" }

// picture draws what the policies of one scenario made of it.
func picture(rows []row) ([]byte, error) {
	rows = panels(rows)
	width := vg.Length(panelWidth * len(rows))
	svg := vgsvg.NewWith(vgsvg.UseWH(width, panelHeight+legendStrip))
	all := draw.New(svg)
	all.FillPolygon(color.White, []vg.Point{all.Min, {X: all.Max.X, Y: all.Min.Y}, all.Max, {X: all.Min.X, Y: all.Max.Y}})
	grid := make([][]*plot.Plot, 1)
	for i := range rows {
		p, err := panel(&rows[i])
		if err != nil {
			return nil, err
		}
		grid[0] = append(grid[0], p)
	}
	upper := draw.Crop(all, 0, 0, legendStrip, 0)
	tiles := draw.Tiles{Rows: 1, Cols: len(rows), PadX: 14, PadLeft: 8, PadRight: 12, PadTop: 6}
	for i, c := range plot.Align(grid, tiles, upper)[0] {
		grid[0][i].Draw(c)
	}
	drawLegend(draw.Crop(all, 0, 0, 0, -panelHeight))
	var b bytes.Buffer
	if _, err := svg.WriteTo(&b); err != nil {
		return nil, err
	}
	return tidy(b.Bytes()), nil
}

// tidy names fonts that a browser has, of about the same width, and leaves out what is the default.
func tidy(svg []byte) []byte {
	return bytes.ReplaceAll(svg, []byte("font-family:Liberation Sans;font-variant:normal;font-weight:normal;font-style:normal"),
		[]byte("font-family:Liberation Sans,Arial,Helvetica,sans-serif"))
}

// panels picks the rows that are drawn: all, if there is room.
func panels(rows []row) []row {
	if len(rows) <= maxPanels {
		return rows
	}
	some := slices.DeleteFunc(slices.Clone(rows), func(r row) bool { return !slices.Contains(drawn, r.policy) })
	if len(some) == 0 {
		return rows[:maxPanels]
	}
	return some
}

func panel(r *row) (*plot.Plot, error) {
	p := plot.New()
	p.Title.Text = fmt.Sprintf("%s: %s", r.scenario.Name, r.policy)
	p.X.Label.Text = "minutes"
	p.X.Min, p.X.Max = 0, r.scenario.Duration/60
	p.Y.Min, p.Y.Max = 0, ceiling
	p.X.Tick.Marker, p.Y.Tick.Marker = minutes{}, plot.ConstantTicks(percents())
	for _, style := range []*draw.TextStyle{&p.Title.TextStyle, &p.X.Label.TextStyle, &p.X.Tick.Label, &p.Y.Tick.Label} {
		style.Font.Typeface, style.Font.Variant, style.Color = "Liberation", "Sans", ink
		style.Font.Size = font.Length(8.5)
	}
	p.Title.TextStyle.Font.Size = font.Length(11)
	p.Title.Padding = 4
	for _, axis := range []*plot.Axis{&p.X, &p.Y} {
		axis.LineStyle.Color, axis.Tick.LineStyle.Color, axis.Padding = fullInk, fullInk, 0
		axis.Tick.Length = 3
	}
	p.BackgroundColor = nil
	return p, fill(p, r)
}

// fill draws, from the back to the front.
func fill(p *plot.Plot, r *row) error {
	b := bandOf(r.series)
	events, err := eventsOf(r.scenario)
	if err != nil {
		return err
	}
	p.Add(events...)
	grid := plotter.NewGrid()
	grid.Vertical.Width, grid.Horizontal.Color, grid.Horizontal.Width = 0, faint, .5
	p.Add(grid)
	if len(b.mean) == 0 {
		return nil
	}
	area, err := areaOf(append(slices.Clone(b.most), reversed(b.least)...), bandInk)
	if err != nil {
		return err
	}
	p.Add(area, level(1, r.scenario.Duration))
	for _, l := range []struct {
		points plotter.XYs
		ink    color.Color
	}{{b.mean, meanInk}, {b.most, mostInk}} {
		line, err := plotter.NewLine(l.points)
		if err != nil {
			return err
		}
		line.Color, line.Width = l.ink, 1.1
		p.Add(line)
	}
	return nil
}

func level(y, seconds float64) *plotter.Line {
	return &plotter.Line{
		XYs:       plotter.XYs{{X: 0, Y: y}, {X: seconds / 60, Y: y}},
		LineStyle: draw.LineStyle{Color: fullInk, Width: .8, Dashes: []vg.Length{3, 2}},
	}
}

func areaOf(points plotter.XYs, ink color.Color) (*plotter.Polygon, error) {
	area, err := plotter.NewPolygon(points)
	if err != nil {
		return nil, err
	}
	area.Color, area.LineStyle.Width = ink, 0
	return area, nil
}

// eventsOf shades when something was the matter, and what is not measured.
func eventsOf(s *world.Scenario) ([]plot.Plotter, error) {
	var all []plot.Plotter
	for _, e := range s.Events {
		until := e.Until
		if until == 0 {
			until = s.Duration
		}
		if e.Kind == world.Restart {
			until = e.At + s.Duration/200
		}
		a, b := min(e.At, s.Duration)/60, min(until, s.Duration)/60
		area, err := areaOf(plotter.XYs{{X: a, Y: 0}, {X: b, Y: 0}, {X: b, Y: ceiling}, {X: a, Y: ceiling}}, eventInk)
		if err != nil {
			return nil, err
		}
		all = append(all, area)
	}
	if s.From > 0 {
		all = append(all, &plotter.Line{
			XYs:       plotter.XYs{{X: s.From / 60, Y: 0}, {X: s.From / 60, Y: ceiling}},
			LineStyle: draw.LineStyle{Color: fullInk, Width: .8, Dashes: []vg.Length{1, 2}},
		})
	}
	return all, nil
}

// band is what all servers were between, over minutes.
type band struct{ least, mean, most plotter.XYs }

func bandOf(series []world.Sample) band {
	var b band
	stride := (len(series) + maxPoints - 1) / maxPoints
	for i := 0; i < len(series); i += stride {
		least, most, mean, n := math.Inf(1), 0.0, 0.0, 0.0
		for _, s := range series[i:min(i+stride, len(series))] {
			top := slices.Max(s.Utilization)
			if s.Ratio <= 0 || top < 0 {
				continue
			}
			for _, u := range s.Utilization {
				if u >= 0 { // a server that was not there has none
					least = min(least, u)
				}
			}
			most = max(most, top)
			mean += top / s.Ratio
			n++
		}
		if n == 0 {
			continue
		}
		at := series[i].At / 60
		b.least = append(b.least, plotter.XY{X: at, Y: min(least, ceiling)})
		b.mean = append(b.mean, plotter.XY{X: at, Y: min(mean/n, ceiling)})
		b.most = append(b.most, plotter.XY{X: at, Y: min(most, ceiling)})
	}
	return b
}

func reversed(points plotter.XYs) plotter.XYs {
	points = slices.Clone(points)
	slices.Reverse(points)
	return points
}

func percents() []plot.Tick {
	var ticks []plot.Tick
	for y := 0.0; y <= ceiling; y += .5 {
		ticks = append(ticks, plot.Tick{Value: y, Label: fmt.Sprintf("%.0f %%", y*100)})
	}
	return ticks
}

// minutes are ticks at round numbers, about seven of them.
type minutes struct{}

// Ticks implements [plot.Ticker].
func (minutes) Ticks(_, most float64) []plot.Tick {
	step := 1.0
	for _, factor := range []float64{2, 2.5, 2, 2, 2.5, 2, 2, 2.5, 2} {
		if most/step <= 8 {
			break
		}
		step *= factor
	}
	var ticks []plot.Tick
	for x := 0.0; x <= most; x += step {
		ticks = append(ticks, plot.Tick{Value: x, Label: fmt.Sprintf("%g", x)})
	}
	return ticks
}

// drawLegend explains the lines, below the panels, as far as there is room.
func drawLegend(c draw.Canvas) {
	entries := []struct {
		text string
		ink  color.Color
		bold vg.Length
	}{{"the most utilised server", mostInk, 2}, {"mean of the farm", meanInk, 2}, {"all servers", bandInk, 8}, {"events", eventInk, 8}, {"100 %; measured from the dotted line on", fullInk, 1}}
	style := plot.New().Legend.TextStyle
	style.Font.Typeface, style.Font.Variant, style.Font.Size, style.Color = "Liberation", "Sans", font.Length(9), ink
	x, y := c.Min.X+42, c.Min.Y+9
	for _, e := range entries {
		if end := x + 20 + style.Width(e.text); end > c.Max.X {
			return
		}
		c.StrokeLine2(draw.LineStyle{Color: e.ink, Width: e.bold}, x, y, x+16, y)
		c.FillText(style, vg.Point{X: x + 20, Y: y - 3}, e.text)
		x += 20 + style.Width(e.text)*1.05 + 14
	}
}
