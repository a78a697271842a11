// Command farm runs the agents of the farm plugin for CoreDNS, and shows and changes what stands in its services
// database. `farm help` says how.
package main

import "os"

func main() {
	os.Exit(run(os.Args[1:], os.Stdout, os.Stderr, os.Getenv))
}
