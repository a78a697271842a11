// Package agent is the metrics agent of farm: it learns how the server beside it fares, and reports it to the services
// database. Collectors say how much the server is used, probes say whether it serves, and the loop merges both into one
// report every interval. An agent may also be a prober: then it reports on the health of servers it does not run on.
//
// The agent is a guest on its machine. It needs no root, reads only what it is told to read, bounds everything it reads,
// and goes on when any of its sources, or the database, is gone.
package agent
