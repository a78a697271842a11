package main

import (
	"bytes"
	"fmt"
	"image/color"
	"math"

	"gonum.org/v1/plot"
	"gonum.org/v1/plot/font"
	"gonum.org/v1/plot/plotter"
	"gonum.org/v1/plot/vg"
	"gonum.org/v1/plot/vg/draw"
	"gonum.org/v1/plot/vg/vgsvg"
)

// The picture has a line for each name server: a dot where its median is, a bar from the least to the most. It is a white
// card, so that it can be read on any page.
const (
	plotWidth  = 620
	lineHeight = 21
	plotEdge   = 62 // above and below the lines
)

var (
	ink     = color.NRGBA{0x24, 0x29, 0x2f, 0xff}
	faint   = color.NRGBA{0xe1, 0xe4, 0xe8, 0xff}
	axisInk = color.NRGBA{0x8b, 0x94, 0x9e, 0xff}
	farmInk = color.NRGBA{0xc2, 0x41, 0x0c, 0xff}
	peerInk = color.NRGBA{0x0b, 0x4f, 0x9c, 0xff}
)

// picture draws the ratios of the results, on a logarithmic scale: from gdnsd to PowerDNS it is a factor of a hundred.
func picture(results []result) ([]byte, error) {
	shown := present(results)
	p := plot.New()
	p.Title.Text = "processor time a query, over that of CoreDNS with whoami"
	p.X.Scale, p.X.Tick.Marker = plot.LogScale{}, factors{}
	p.X.Min, p.X.Max = span(shown)
	p.Y.Min, p.Y.Max = -.7, float64(len(shown))-.3
	names := make([]plot.Tick, len(shown))
	for i, r := range shown {
		names[len(shown)-1-i] = plot.Tick{Value: float64(len(shown) - 1 - i), Label: r.row.name}
	}
	p.Y.Tick.Marker = plot.ConstantTicks(names)
	dress(p)
	if err := fill(p, shown); err != nil {
		return nil, err
	}
	svg := vgsvg.NewWith(vgsvg.UseWH(plotWidth, vg.Length(lineHeight*len(shown)+plotEdge)))
	all := draw.New(svg)
	all.FillPolygon(color.White, []vg.Point{all.Min, {X: all.Max.X, Y: all.Min.Y}, all.Max, {X: all.Min.X, Y: all.Max.Y}})
	p.Draw(draw.Crop(all, 8, -16, 6, -6))
	var b bytes.Buffer
	if _, err := svg.WriteTo(&b); err != nil {
		return nil, err
	}
	// A browser has no such font, but one of about the same width.
	return bytes.ReplaceAll(b.Bytes(), []byte("font-family:Liberation Sans;font-variant:normal;font-weight:normal;font-style:normal"),
		[]byte("font-family:Liberation Sans,Arial,Helvetica,sans-serif")), nil
}

// present leaves out what could not be measured.
func present(results []result) (shown []result) {
	for _, r := range results {
		if r.absent == "" {
			shown = append(shown, r)
		}
	}
	return shown
}

// span is what the axis covers: the results, and a little more, for the numbers beside the dots.
func span(shown []result) (least, most float64) {
	least, most = .8, 1.5
	for _, r := range shown {
		least, most = min(least, r.ratio.Least), max(most, r.ratio.Most)
	}
	return least / 1.3, most * 2
}

func dress(p *plot.Plot) {
	for _, style := range []*draw.TextStyle{&p.Title.TextStyle, &p.X.Tick.Label, &p.Y.Tick.Label} {
		style.Font.Typeface, style.Font.Variant, style.Color = "Liberation", "Sans", ink
		style.Font.Size = font.Length(9)
	}
	p.Title.TextStyle.Font.Size, p.Title.Padding = font.Length(11), 6
	for _, axis := range []*plot.Axis{&p.X, &p.Y} {
		axis.LineStyle.Color, axis.Tick.LineStyle.Color, axis.Padding = axisInk, axisInk, 0
		axis.Tick.Length = 3
	}
	p.Y.LineStyle.Width, p.Y.Tick.Length = 0, 0
	p.BackgroundColor = nil
}

// fill draws, from the back to the front.
func fill(p *plot.Plot, shown []result) error {
	grid := plotter.NewGrid()
	grid.Horizontal.Width, grid.Vertical.Color, grid.Vertical.Width = 0, faint, .5
	p.Add(grid, &plotter.Line{
		XYs:       plotter.XYs{{X: 1, Y: p.Y.Min}, {X: 1, Y: p.Y.Max}},
		LineStyle: draw.LineStyle{Color: axisInk, Width: .8, Dashes: []vg.Length{3, 2}},
	})
	for i, r := range shown {
		y, tint := float64(len(shown)-1-i), color.Color(peerInk)
		if len(r.row.name) > 4 && r.row.name[:4] == "farm" {
			tint = farmInk
		}
		dot, err := plotter.NewScatter(plotter.XYs{{X: r.ratio.Median, Y: y}})
		if err != nil {
			return err
		}
		dot.GlyphStyle = draw.GlyphStyle{Color: tint, Radius: 3.2, Shape: draw.CircleGlyph{}}
		label, err := plotter.NewLabels(plotter.XYLabels{
			XYs: plotter.XYs{{X: r.ratio.Most, Y: y}}, Labels: []string{fmt.Sprintf("%.2f", r.ratio.Median)},
		})
		if err != nil {
			return err
		}
		label.Offset = vg.Point{X: 7, Y: -3}
		label.TextStyle[0].Font.Typeface, label.TextStyle[0].Font.Variant = "Liberation", "Sans"
		label.TextStyle[0].Font.Size, label.TextStyle[0].Color = font.Length(9), ink
		p.Add(&plotter.Line{
			XYs:       plotter.XYs{{X: r.ratio.Least, Y: y}, {X: r.ratio.Most, Y: y}},
			LineStyle: draw.LineStyle{Color: tint, Width: 2},
		}, dot, label)
	}
	return nil
}

// factors are ticks at 1, 2 and 5 of each power of ten.
type factors struct{}

// Ticks implements [plot.Ticker].
func (factors) Ticks(least, most float64) (ticks []plot.Tick) {
	for e := math.Floor(math.Log10(least)); e <= math.Log10(most); e++ {
		for _, x := range []float64{1, 2, 5} {
			if x *= math.Pow(10, e); x >= least && x <= most {
				ticks = append(ticks, plot.Tick{Value: x, Label: fmt.Sprintf("%.4g", x)})
			}
		}
	}
	return ticks
}
