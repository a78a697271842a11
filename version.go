package farm

import "runtime/debug"

// Version names the version and revision of farm that a program is built with.
func Version() string {
	const path = "github.com/coredns-farm/farm"
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return "farm, version unknown"
	}
	for _, m := range info.Deps {
		if m.Path == path {
			return "farm " + m.Version
		}
	}
	version := "farm " + info.Main.Version
	for _, s := range info.Settings {
		if s.Key == "vcs.revision" {
			version += " (" + s.Value + ")"
		}
	}
	return version
}
