package suggest

import (
	"regexp"
	"strings"
)

// Shown is a word as an error or a log may repeat it. A URL, and whatever has an @, may hold a password.
func Shown(word string) string {
	if strings.Contains(word, "://") || strings.Contains(word, "@") {
		return "(a URL)"
	}
	return word
}

var quoted = regexp.MustCompile(`"(?:[^"\\]|\\.)*"`)

// ShownQuotes is the text of an error whose quoted words are shown as Shown has them.
func ShownQuotes(text string) string {
	return quoted.ReplaceAllStringFunc(text, func(q string) string {
		if shown := Shown(q); shown != q {
			return `"` + shown + `"`
		}
		return q
	})
}
