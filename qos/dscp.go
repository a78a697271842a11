package qos

import (
	"fmt"
	"slices"
	"strings"
)

// codePoints are the names of code points: default forwarding and the class selectors (RFC 2474), assured forwarding (RFC
// 2597), expedited forwarding (RFC 3246), voice admit (RFC 5865), lower effort (RFC 8622).
var codePoints = func() (names [64]string) {
	for class := range 8 {
		names[class<<3] = fmt.Sprintf("CS%d", class)
	}
	for class := 1; class <= 4; class++ {
		for drop := 1; drop <= 3; drop++ {
			names[class<<3|drop<<1] = fmt.Sprintf("AF%d%d", class, drop)
		}
	}
	names[1], names[44], names[46] = "LE", "VA", "EF"
	return names
}()

// CodePoint returns the DSCP of a name such as EF, AF41 or CS5, in any letter case.
func CodePoint(name string) (dscp uint8, ok bool) {
	i := slices.Index(codePoints[:], strings.ToUpper(name))
	return uint8(max(i, 0)), name != "" && i >= 0
}

// CodePointName returns the name of a DSCP, empty if it has none.
func CodePointName(dscp uint8) string { return codePoints[dscp&63] }
