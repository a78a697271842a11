package main

import (
	"cmp"
	"context"
	"encoding/hex"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/coredns-farm/farm/qos"
	"github.com/coredns-farm/farm/store"

	"github.com/spf13/cobra"
)

const handleForms = `HANDLE is a handle in any of its forms: a label, with or without _h-; a whole name with
such a label; hexadecimal digits of the handle, or of the data of the EDNS0 option.`

func (a *app) handleShow(file *string) *cobra.Command {
	return &cobra.Command{
		Use:   "show HANDLE|ID",
		Short: "Say what a handle entitles to, and whether it holds",
		Long: `Say what a handle entitles to, and whether it holds now. Of the id of a handle it is said
what the database knows.

` + handleForms,
		Args: cobra.ExactArgs(1),
		RunE: func(_ *cobra.Command, args []string) error {
			return a.withHandle(args[0], *file, func(_ context.Context, _ *store.Client, h *handleOf, _ *qos.HandleRecord) error {
				return a.print(h, h.write)
			})
		},
	}
}

// withHandle hands over what there is to say of a handle, and what the database knows of it, or would if it did.
func (a *app) withHandle(text, file string, use func(context.Context, *store.Client, *handleOf, *qos.HandleRecord) error) error {
	octets, err := handleIn(text)
	if err != nil {
		return err
	}
	return a.visit(func(ctx context.Context, db *store.Client, w *world) error {
		keys, err := placeOf(file, db).load(ctx)
		if err != nil {
			return err
		}
		ring, err := qos.NewKeyring(keys)
		if err != nil {
			return refusedf("%w", err)
		}
		h, r, err := w.look(ctx, db, octets, ring)
		if err == nil {
			err = use(ctx, db, &h, &r)
		}
		return err
	})
}

// handleIn returns the octets of a handle in any of its forms. The error does not show it.
func handleIn(text string) ([]byte, error) {
	text = strings.ToLower(text)
	var asked qos.Asked
	if octets, err := hex.DecodeString(text); err == nil {
		if len(octets) == qos.LookedUp || len(octets) == qos.Signed {
			return octets, nil
		}
		_ = qos.ParseOption(octets, &asked) // what is no option holds no handle
	} else {
		for _, name := range []string{text, "_h-" + text} {
			if _, _, err := qos.StripLabels(fqdn(name), &asked); err == nil && asked.HandleLen > 0 {
				break
			}
		}
	}
	if asked.HandleLen == 0 {
		return nil, usagef("handle: expected a handle as a label, in a name, or in hexadecimal digits; or its id")
	}
	return asked.Handle[:asked.HandleLen], nil
}

// look finds out what there is to say of a handle, or of what may be the id of one.
func (w *world) look(ctx context.Context, db *store.Client, octets []byte, ring *qos.Keyring) (h handleOf, r qos.HandleRecord, err error) {
	r, id, ok, err := find(ctx, db, octets)
	if err != nil {
		return h, r, err
	}
	if len(octets) == qos.LookedUp {
		if !ok {
			return h, r, notFoundf("no such handle, nor one with that id; farm handle list shows what is known")
		}
		return w.ofRecord(id, &r), r, nil
	}
	c, err := qos.Unverified(octets)
	if err != nil {
		return h, r, refusedf("%w", err)
	}
	h = w.ofClaim(&c)
	if _, err := ring.Verify(octets, time.Now().UnixMilli()); err != nil {
		h.State = whyNot(err)
	} else if r.Revoked {
		h.State = whyNot(qos.ErrRevoked)
	}
	if !ok {
		return h, w.recordOf(&c), nil
	}
	h.Address, h.Phone, h.Note = r.Address, r.Phone, r.Note
	return h, r, nil
}

// find returns what the database knows of a handle. What has the length of an id may be one.
func find(ctx context.Context, db *store.Client, octets []byte) (r qos.HandleRecord, id qos.HandleID, ok bool, err error) {
	id = qos.HandleOf(octets)
	r, ok, err = db.Handle(ctx, id)
	if err == nil && !ok && len(octets) == len(id) {
		id = qos.HandleID(octets)
		r, ok, err = db.Handle(ctx, id)
	}
	return r, id, ok, err
}

// recordOf is the record of a signed handle of which the database knows nothing.
func (w *world) recordOf(c *qos.Claim) qos.HandleRecord {
	return qos.HandleRecord{Client: c.Client, Rank: c.Rank, Service: cmp.Or(w.serviceOfHash(c.Service), qos.AnyService), Expires: c.Expires, Bearer: c.Bearer}
}

// handleDone is what was done to a handle, in JSON too.
type handleDone struct {
	ID   qos.HandleID `json:"handle_id"`
	Did  string       `json:"did"`
	Note string       `json:"note,omitempty"`
}

func (d *handleDone) write(w io.Writer) error {
	line := fmt.Sprintf("%s: %s", d.ID, d.Did)
	if d.Note != "" {
		line += "; " + d.Note
	}
	_, err := fmt.Fprintln(w, line)
	return err
}

func (a *app) handleRevoke(file *string) *cobra.Command {
	return &cobra.Command{
		Use:   "revoke HANDLE|ID",
		Short: "Revoke a handle at once",
		Long: `Revoke a handle: from now on it entitles to nothing. A grant that it has brought stands
until it ends, or is revoked.

` + handleForms,
		Args: cobra.ExactArgs(1),
		RunE: func(_ *cobra.Command, args []string) error {
			return a.withHandle(args[0], *file, a.revoke)
		},
	}
}

// revoke writes that a handle is revoked. Of a signed one that is all that the database need know.
func (a *app) revoke(ctx context.Context, db *store.Client, h *handleOf, r *qos.HandleRecord) error {
	done := handleDone{ID: h.ID, Did: "unchanged, revoked"}
	if !r.Revoked {
		r.Revoked = true
		if err := db.PutHandle(ctx, h.ID, *r); err != nil {
			return err
		}
		done.Did = "revoked"
		if h.State != valid {
			done.Note = "it did not hold before: " + h.State
		}
	}
	return a.print(done, done.write)
}
