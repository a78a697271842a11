// Command bench measures farm beside its peers: what an answer costs, how soon answers follow reports, and what large
// farms take. Servers, databases and clients are real processes on loopback; each of them ends with the measurement.
package main

import "os"

func main() {
	os.Exit(run(os.Args[1:], os.Stdout, os.Stderr))
}
