package steer

import "strings"

// Names are lower-case FQDNs in presentation form, as they come off the wire: a dot or a backslash inside a label has a
// backslash before it, and other octets may be written \DDD. So not every dot ends a label (RFC 1035 section 5.1).

// CutLabel returns the first label of a name and the name above it, which is empty at the top.
func CutLabel(name string) (label, above string) {
	for i := 0; i < len(name); i++ {
		switch name[i] {
		case '\\':
			i++ // what follows belongs to the label
		case '.':
			return name[:i], name[i+1:]
		}
	}
	return name, ""
}

// parent returns the name one label above, empty at the top.
func parent(name string) string {
	_, above := CutLabel(name)
	return above
}

// IsBelow reports whether a name stands below another one.
func IsBelow(name, top string) bool {
	if top == "." {
		return name != "."
	}
	head, ok := strings.CutSuffix(name, top)
	return ok && endsLabel(head)
}

// endsLabel reports whether s ends with a dot that ends a label: one with an even number of backslashes before it.
func endsLabel(s string) bool {
	head, ok := strings.CutSuffix(s, ".")
	return ok && (len(head)-len(strings.TrimRight(head, `\`)))%2 == 0
}

// ChildOf returns the name one label below top on the way to a name below it.
func ChildOf(top, name string) string {
	for {
		above := parent(name)
		if above == top || above == "" {
			return name
		}
		name = above
	}
}
