package broker

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// metrics are what a broker counts. Labels are the names of elements, which the configuration bounds, and fixed words.
type metrics struct {
	registry  *prometheus.Registry
	calls     *prometheus.CounterVec
	duration  *prometheus.HistogramVec
	outcomes  *prometheus.CounterVec
	held      *prometheus.GaugeVec
	givenUp   prometheus.Counter
	elsewhere prometheus.Counter
	database  prometheus.Gauge
}

func newMetrics() *metrics {
	m := &metrics{
		registry: prometheus.NewRegistry(),
		calls: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "farm_broker_calls_total", Help: "Calls to elements, by what was asked (ask, extend, release, reconcile) and whether there was an answer."},
			[]string{"element", "call", "result"}),
		duration: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name: "farm_broker_call_duration_seconds", Help: "How long calls to elements take.", Buckets: prometheus.ExponentialBuckets(0.001, 4, 8)},
			[]string{"element", "call"}),
		outcomes: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "farm_broker_answers_total", Help: "Answers that were written to the database, by the state of the grant and the reason."},
			[]string{"element", "state", "reason"}),
		held: prometheus.NewGaugeVec(prometheus.GaugeOpts{
			Name: "farm_broker_grants", Help: "Live grants of an element when the database was last listed."},
			[]string{"element"}),
		givenUp: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "farm_broker_given_up_total", Help: "Grants for which an element could not be asked in time."}),
		elsewhere: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "farm_broker_elsewhere_total", Help: "Work for elements that this broker does not have."}),
		database: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "farm_broker_database_up", Help: "Whether the services database could be read the last time."}),
	}
	m.registry.MustRegister(m.calls, m.duration, m.outcomes, m.held, m.givenUp, m.elsewhere, m.database)
	return m
}

func (m *metrics) called(element, call string, begin time.Time, err error) {
	result := "answered"
	if err != nil {
		result = "failed"
	}
	m.calls.WithLabelValues(element, call, result).Inc()
	m.duration.WithLabelValues(element, call).Observe(time.Since(begin).Seconds())
}
