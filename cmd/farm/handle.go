package main

import (
	"cmp"
	"context"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/coredns-farm/farm/qos"
	"github.com/coredns-farm/farm/store"

	"github.com/spf13/cobra"
)

const handleLong = `Issue, show, revoke and list handles: what a client shows in a lookup to be given a
level of service.

A signed handle is verified by every CoreDNS on its own, with the key that signed it
(farm key); a looked-up one is random, and the database says what it entitles to.`

func (a *app) handleCommand() *cobra.Command {
	c := &cobra.Command{Use: "handle", Short: "Issue, show, revoke and list handles", Long: handleLong}
	var file string
	c.PersistentFlags().StringVar(&file, "file", "", keyFileUsage)
	c.AddCommand(a.handleIssue(&file), a.handleShow(&file), a.handleRevoke(&file), a.handleList())
	return c
}

// handleOf is a handle as the commands print it.
type handleOf struct {
	ID      qos.HandleID `json:"handle_id"`
	Kind    string       `json:"kind"`              // signed, looked up
	State   string       `json:"state"`             // valid, or why not
	Service string       `json:"service,omitempty"` // none is one that the database does not know
	Level   string       `json:"level,omitempty"`
	Rank    uint8        `json:"rank"`
	Client  qos.ClientID `json:"client"`
	Shown   string       `json:"shown"` // how, and so by whom
	Expires string       `json:"expires"`
	Key     *uint8       `json:"key,omitempty"` // that signed it
	Address string       `json:"address,omitempty"`
	Phone   string       `json:"phone,omitempty"`
	Note    string       `json:"note,omitempty"`
}

// Kinds and states of handles.
const (
	signed   = "signed"
	lookedUp = "looked up"
	valid    = "valid"
)

// ofClaim shows what a signed handle says.
func (w *world) ofClaim(c *qos.Claim) handleOf {
	h := handleOf{
		ID: c.ID, Kind: signed, State: valid, Service: w.serviceOfHash(c.Service), Rank: c.Rank, Client: c.Client, Shown: shownHow(c),
		Expires: moment(c.Expires), Key: &c.KeyID,
	}
	h.Level = w.levelAt(h.Service, c.Rank)
	return h
}

// serviceOfHash returns the service whose hash a handle holds, empty if there is none such.
func (w *world) serviceOfHash(hash [4]byte) string {
	for _, name := range append([]string{qos.AnyService}, w.snap.Services()...) {
		if qos.ServiceHash(name) == hash {
			return name
		}
	}
	return ""
}

// ofRecord shows what the database says of a handle.
func (w *world) ofRecord(id qos.HandleID, r *qos.HandleRecord) handleOf {
	h := handleOf{
		ID: id, Kind: lookedUp, State: valid, Service: r.Service, Level: w.levelAt(r.Service, r.Rank), Rank: r.Rank, Client: r.Client,
		Expires: moment(r.Expires), Address: r.Address, Phone: r.Phone, Note: r.Note,
	}
	now := time.Now().UnixMilli()
	if _, err := r.Claim(id, now); err != nil {
		h.State = whyNot(err)
	}
	held := *r
	held.Revoked, held.Expires = false, now+1
	if c, err := held.Claim(id, now); err == nil {
		h.Shown = shownHow(&c)
	}
	return h
}

// shownHow says how a handle is to be shown.
func shownHow(c *qos.Claim) string {
	switch {
	case c.Bearer:
		return "by anybody"
	case c.Bound:
		return "from the client's address"
	}
	return "with the client id"
}

// whyNot is the reason in an error about a handle.
func whyNot(err error) string { return strings.TrimPrefix(err.Error(), "handle: ") }

// levelAt names the level that a rank entitles to at a service, if that is known.
func (w *world) levelAt(service string, rank uint8) string {
	if f := w.snap.Farm(service); f != nil {
		if l := f.Service.LevelAt(rank); l != nil {
			return l.Name
		}
	}
	return ""
}

// write shows a handle, a setting a line.
func (h *handleOf) write(w io.Writer) error {
	t := newTable("SETTING", "VALUE")
	t.add("handle id", h.ID.String())
	t.add("kind", h.kind())
	t.add("state", h.State)
	t.add("service", h.Service)
	t.add("level", h.level())
	t.add("client", h.Client.String())
	t.add("shown", h.Shown)
	t.add("expires", h.Expires)
	for _, more := range [][]string{{"address", h.Address}, {"phone", h.Phone}, {"note", h.Note}} {
		if more[1] != "" {
			t.add(more...)
		}
	}
	return t.write(w)
}

func (h *handleOf) kind() string {
	if h.Key == nil {
		return h.Kind
	}
	return fmt.Sprintf("%s by key %d", h.Kind, *h.Key)
}

func (h *handleOf) level() string {
	if h.Level == "" {
		return "rank " + strconv.Itoa(int(h.Rank))
	}
	return fmt.Sprintf("%s, rank %d", h.Level, h.Rank)
}

func (a *app) handleList() *cobra.Command {
	return &cobra.Command{
		Use:   "list",
		Short: "List what the database knows of handles",
		Long: `List the handles that are looked up, and of the signed ones those that the database
knows anything of. It holds no handles, but their ids.`,
		Args: cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			return a.visit(func(ctx context.Context, db *store.Client, w *world) error {
				records, err := db.Handles(ctx)
				if err != nil {
					return err
				}
				list := []handleOf{}
				for id, r := range records {
					list = append(list, w.ofRecord(id, &r))
				}
				slices.SortFunc(list, func(a, b handleOf) int {
					return cmp.Or(cmp.Compare(a.Service, b.Service), cmp.Compare(a.Expires, b.Expires), slices.Compare(a.ID[:], b.ID[:]))
				})
				return a.print(list, handleTable(list).write)
			})
		},
	}
}

func handleTable(list []handleOf) *table {
	t := newTable("HANDLE ID", "SERVICE", "LEVEL", "CLIENT", "SHOWN", "EXPIRES", "STATE", "NOTE")
	for i := range list {
		h := &list[i]
		t.add(h.ID.String(), h.Service, h.level(), h.Client.String(), h.Shown, h.Expires, h.State, h.Note)
	}
	return t
}
