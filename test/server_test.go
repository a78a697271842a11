package test

import (
	"fmt"
	"io"
	"net/http"
	"os"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// serveArgument makes the test binary an HTTP server: serve-http ADDR WORKERS SERVICE-TIME.
const serveArgument = "serve-http"

// worker is the server that runs in a process of its own. Its speed is what its workers can do: each is busy for the
// service time with each request, and requests wait for a free one.
type worker struct {
	slots   chan struct{}
	service atomic.Int64 // ns a request
	busy    atomic.Int64 // ns, of all workers together, ever
	served  atomic.Int64
	waiting atomic.Int64 // requests that wait or are worked on

	mu    sync.Mutex
	meter []int64 // busy at the last readings, the oldest first
}

// The utilisation is the mean over the last meterReadings of meterStep.
const (
	meterStep     = 50 * time.Millisecond
	meterReadings = 20
)

func serve(args []string) {
	workers, err1 := strconv.Atoi(args[1])
	service, err2 := time.ParseDuration(args[2])
	if err1 != nil || err2 != nil {
		fmt.Fprintln(os.Stderr, "expected ADDR WORKERS SERVICE-TIME")
		os.Exit(2)
	}
	w := &worker{slots: make(chan struct{}, workers)}
	w.service.Store(int64(service))
	go w.measure()
	http.HandleFunc("/", w.work)
	http.HandleFunc("/health", func(http.ResponseWriter, *http.Request) {})
	http.HandleFunc("/load", w.orca)
	http.HandleFunc("/metrics", w.metrics)
	http.HandleFunc("/speed", w.speed)
	fmt.Fprintln(os.Stderr, http.ListenAndServe(args[0], nil))
	os.Exit(1)
}

func (w *worker) work(http.ResponseWriter, *http.Request) {
	w.waiting.Add(1)
	defer w.waiting.Add(-1)
	w.slots <- struct{}{}
	service := w.service.Load()
	time.Sleep(time.Duration(service))
	<-w.slots
	w.busy.Add(service)
	w.served.Add(1)
}

func (w *worker) measure() {
	for range time.Tick(meterStep) {
		w.mu.Lock()
		w.meter = append(w.meter, w.busy.Load())
		if len(w.meter) > meterReadings {
			w.meter = w.meter[1:]
		}
		w.mu.Unlock()
	}
}

func (w *worker) utilization() float64 {
	w.mu.Lock()
	defer w.mu.Unlock()
	n := len(w.meter) - 1
	if n < 1 {
		return 0
	}
	return float64(w.meter[n]-w.meter[0]) / float64(n) / float64(meterStep) / float64(cap(w.slots))
}

// rate is the requests a second over the same time as the utilisation.
func (w *worker) rate() float64 {
	return w.utilization() * float64(cap(w.slots)) * float64(time.Second) / float64(w.service.Load())
}

func (w *worker) metrics(rw http.ResponseWriter, _ *http.Request) {
	fmt.Fprintf(rw, "# TYPE http_requests_total counter\nhttp_requests_total %d\n", w.served.Load())
	fmt.Fprintf(rw, "# TYPE busy_seconds_total counter\nbusy_seconds_total %g\n", time.Duration(w.busy.Load()).Seconds())
	fmt.Fprintf(rw, "# TYPE http_in_flight gauge\nhttp_in_flight %d\n", w.waiting.Load())
	fmt.Fprintf(rw, "# TYPE workers_busy gauge\nworkers_busy %g\n", w.utilization()*float64(cap(w.slots)))
	fmt.Fprintf(rw, "# TYPE workers gauge\nworkers %d\n", cap(w.slots))
}

func (w *worker) orca(rw http.ResponseWriter, _ *http.Request) {
	rw.Header().Set("endpoint-load-metrics", fmt.Sprintf("TEXT application_utilization=%.4f,rps_fractional=%.2f", w.utilization(), w.rate()))
}

func (w *worker) speed(_ http.ResponseWriter, r *http.Request) {
	if d, err := time.ParseDuration(r.FormValue("service")); err == nil {
		w.service.Store(int64(d))
	}
}

// webServer is such a server as the test sees it.
type webServer struct {
	*process
	addr string // HOST:PORT
}

// startWebServer starts a server and waits until it serves.
func startWebServer(t testing.TB, addr string, workers int, service time.Duration) *webServer {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	s := &webServer{addr: addr}
	s.process = start(t, "web server "+addr, self, serveArgument, addr, strconv.Itoa(workers), service.String())
	await(t, addr+" to serve", func() bool { return s.get("/health") == nil })
	return s
}

func (s *webServer) get(path string) error {
	resp, err := http.Get("http://" + s.addr + path)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	_, err = io.Copy(io.Discard, resp.Body)
	return err
}

// setService changes how long it works on a request.
func (s *webServer) setService(service time.Duration) {
	s.t.Helper()
	if err := s.get("/speed?service=" + service.String()); err != nil {
		s.t.Fatalf("cannot change the speed of %s: %v", s.addr, err)
	}
}
