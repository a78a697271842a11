package main

import (
	"io"
	"strings"
	"text/tabwriter"
)

// table is rows of cells under a header.
type table struct {
	header []string
	rows   [][]string
}

func newTable(header ...string) *table { return &table{header: header} }

// add appends a row; empty cells are shown as a dash.
func (t *table) add(cells ...string) {
	for i := range cells {
		cells[i] = orNone(cells[i])
	}
	t.rows = append(t.rows, cells)
}

// write aligns the columns. No line ends in blanks.
func (t *table) write(w io.Writer) error {
	tw := tabwriter.NewWriter(w, 0, 8, 2, ' ', 0)
	for _, row := range append([][]string{t.header}, t.rows...) {
		if _, err := io.WriteString(tw, strings.Join(row, "\t")+"\n"); err != nil {
			return err
		}
	}
	return tw.Flush()
}
