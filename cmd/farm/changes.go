package main

import (
	"fmt"
	"io"
	"strings"
)

// change is one field of a record that changed. An empty From or To is not said.
type change struct {
	Field string `json:"field"`
	From  string `json:"from,omitempty"`
	To    string `json:"to,omitempty"`
}

func (c change) String() string {
	return fmt.Sprintf("%s %s -> %s", c.Field, orNone(c.From), orNone(c.To))
}

// done is what a command that writes says it did, in JSON too.
type done struct {
	Service string   `json:"service"`
	Server  string   `json:"server,omitempty"`
	Level   string   `json:"level,omitempty"`
	Grant   string   `json:"grant,omitempty"`
	Did     string   `json:"did"` // created, changed, unchanged, deleted, ...
	Changes []change `json:"changes,omitempty"`
	Note    string   `json:"note,omitempty"`
}

// write shows it on a line.
func (d *done) write(w io.Writer) error {
	line := d.Service
	for _, what := range []string{d.Server, d.Level, d.Grant} {
		if what != "" {
			line += " " + what
		}
	}
	line += ": " + d.Did
	var said []string
	for _, c := range d.Changes {
		said = append(said, c.String())
	}
	if said != nil {
		line += ": " + strings.Join(said, ", ")
	}
	if d.Note != "" {
		line += "; " + d.Note
	}
	_, err := fmt.Fprintln(w, line)
	return err
}

// printDone prints what was done, a line each, or a JSON list.
func (a *app) printDone(list []done) error {
	return a.print(list, func(w io.Writer) error {
		for i := range list {
			if err := list[i].write(w); err != nil {
				return err
			}
		}
		return nil
	})
}

// did is the word for what setting a record did.
func did(existed bool, changes []change) string {
	switch {
	case !existed:
		return "created"
	case len(changes) == 0:
		return "unchanged"
	}
	return "changed"
}
