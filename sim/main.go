// Command sim simulates farms that are steered by DNS, and measures how evenly each policy loads them.
package main

import "os"

func main() {
	os.Exit(run(os.Args[1:], os.Stdout, os.Stderr))
}
