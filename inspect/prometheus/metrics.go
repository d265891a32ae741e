// Package prometheus counts inspections with Prometheus's client library. It is a module
// of its own, so that a program without it does not depend on that library.
//
//	metrics, err := prometheus.New(registry)       // a prometheus.Registerer
//	cfg.Observer = metrics                         // of a service.Config
//	h, err := service.New(cfg, inspectors...)
//	err = metrics.Watch(inspectors...)             // queues, bundles, drift
//	mux.Handle("/metrics", promhttp.HandlerFor(registry, promhttp.HandlerOpts{}))
package prometheus

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strconv"

	client "github.com/prometheus/client_golang/prometheus"

	"github.com/gotab/gotab/inspect/service"
)

// ErrRegister reports metrics that could not be registered, for instance twice.
var ErrRegister = errors.New("metrics cannot be registered")

// Metrics is a service.Observer that counts requests. It is safe for concurrent use.
//
//	gotab_requests_total{route,product,status,code}  counter
//	gotab_request_seconds{route,product}             histogram, of requests with status 200
//	gotab_stage_seconds{stage,product}               histogram: read, decode, inspect, answer
//	gotab_requests_in_flight                         gauge
//	gotab_picture_bytes{product}                     histogram
//	gotab_picture_pixels{product}                    histogram
//
// Labels have few values: a product is one of the handler's, a route one of its patterns.
type Metrics struct {
	reg      client.Registerer
	requests *client.CounterVec
	seconds  *client.HistogramVec
	stages   *client.HistogramVec
	flight   client.Gauge
	bytes    *client.HistogramVec
	pixels   *client.HistogramVec
}

var _ service.Observer = (*Metrics)(nil)

// seconds are the bounds of durations: from a small picture on a fast machine to what a
// service.Config allows by default.
func seconds() []float64 {
	return []float64{0.002, 0.005, 0.01, 0.02, 0.03, 0.05, 0.075, 0.1, 0.2, 0.5, 1, 2, 5, 10, 30}
}

// New returns Metrics that are registered with reg. It returns ErrRegister if one of their
// names is taken, and then none is registered.
func New(reg client.Registerer) (*Metrics, error) {
	if reg == nil {
		return nil, fmt.Errorf("prometheus: %w: the registerer is nil", ErrRegister)
	}
	histogram := func(name, help string, buckets []float64, labels ...string) *client.HistogramVec {
		return client.NewHistogramVec(client.HistogramOpts{Name: name, Help: help, Buckets: buckets}, labels)
	}
	m := &Metrics{
		reg:      reg,
		requests: client.NewCounterVec(client.CounterOpts{Name: "gotab_requests_total", Help: "Requests by what became of them."}, []string{"route", "product", "status", "code"}),
		seconds:  histogram("gotab_request_seconds", "Time of requests that were answered with status 200.", seconds(), "route", "product"),
		stages:   histogram("gotab_stage_seconds", "Time of the stages of an inspection.", seconds(), "stage", "product"),
		flight:   client.NewGauge(client.GaugeOpts{Name: "gotab_requests_in_flight", Help: "Requests that are not answered yet."}),
		bytes:    histogram("gotab_picture_bytes", "Bytes of pictures as they were sent.", client.ExponentialBuckets(1<<12, 4, 8), "product"),
		pixels:   histogram("gotab_picture_pixels", "Pixels of pictures.", client.ExponentialBuckets(1<<12, 4, 8), "product"),
	}
	if err := register(reg, m.requests, m.seconds, m.stages, m.flight, m.bytes, m.pixels); err != nil {
		return nil, err
	}
	return m, nil
}

// register registers all or none.
func register(reg client.Registerer, all ...client.Collector) error {
	for i, c := range all {
		if err := reg.Register(c); err != nil {
			for _, done := range all[:i] {
				reg.Unregister(done)
			}
			return fmt.Errorf("prometheus: %w: %w", ErrRegister, err)
		}
	}
	return nil
}

// Begin counts a request. It is for a service.Handler.
func (m *Metrics) Begin(ctx context.Context, _ *http.Request) (context.Context, func(service.Event)) {
	m.flight.Inc()
	return ctx, func(e service.Event) {
		m.flight.Dec()
		m.requests.WithLabelValues(e.Route, e.Product, strconv.Itoa(e.Status), e.Code).Inc()
		if e.Status == http.StatusOK {
			m.seconds.WithLabelValues(e.Route, e.Product).Observe(e.Took.Seconds())
		}
		for _, s := range e.Stages {
			m.stages.WithLabelValues(s.Name, e.Product).Observe(s.Took.Seconds())
		}
		if e.Pixels > 0 {
			m.bytes.WithLabelValues(e.Product).Observe(float64(e.Bytes))
			m.pixels.WithLabelValues(e.Product).Observe(float64(e.Pixels))
		}
	}
}

// Watch registers a collector that asks Inspectors whenever it is read. Call it once, with all of
// them. It returns ErrRegister if it was called before.
//
//	gotab_parts_total{product,decision}   counter: accepted, rejected
//	gotab_failures_total{product,cause}   counter: failed, busy, expired
//	gotab_bundles_replaced_total{product} counter
//	gotab_bundle_info{product,bundle,detector,library}  gauge, 1
//	gotab_threshold{product}              gauge
//	gotab_pictures{product,state}         gauge: queued, running
//	gotab_drift_alarm{product}            gauge: 1 while the alarm is on
//	gotab_drift_p_value{product}          gauge
func (m *Metrics) Watch(inspectors ...service.Inspector) error {
	w := watch{}
	for i, in := range inspectors {
		if in == nil {
			return fmt.Errorf("prometheus: %w: Inspector %d of %d is nil", ErrRegister, i+1, len(inspectors))
		}
		name := in.Info().Product
		if w[name] != nil {
			return fmt.Errorf("prometheus: %w: two Inspectors are of product %q", ErrRegister, name)
		}
		w[name] = in
	}
	return register(m.reg, w)
}

// watch reads Inspectors by product.
type watch map[string]service.Inspector

func desc(name, help string, labels ...string) *client.Desc {
	return client.NewDesc(name, help, labels, nil)
}

var (
	parts    = desc("gotab_parts_total", "Verdicts.", "product", "decision")
	failures = desc("gotab_failures_total", "Pictures without a verdict.", "product", "cause")
	replaced = desc("gotab_bundles_replaced_total", "Bundles put in force after the first.", "product")
	bundle   = desc("gotab_bundle_info", "The bundle in force.", "product", "bundle", "detector", "library")
	limit    = desc("gotab_threshold", "Score from which on a part is rejected.", "product")
	pictures = desc("gotab_pictures", "Pictures now.", "product", "state")
	alarm    = desc("gotab_drift_alarm", "1 while the scores of accepted parts are not those of the calibration.", "product")
	pValue   = desc("gotab_drift_p_value", "Of the drift monitor's test.", "product")
)

// Describe is for Prometheus.
func (w watch) Describe(ch chan<- *client.Desc) {
	for _, d := range []*client.Desc{parts, failures, replaced, bundle, limit, pictures, alarm, pValue} {
		ch <- d
	}
}

// Collect is for Prometheus.
func (w watch) Collect(ch chan<- client.Metric) {
	for product, in := range w {
		i, s := in.Info(), in.Stats()
		send := func(d *client.Desc, kind client.ValueType, v float64, labels ...string) {
			m, err := client.NewConstMetric(d, kind, v, append([]string{product}, labels...)...)
			if err != nil { // text of a bundle that is no UTF-8, for instance
				m = client.NewInvalidMetric(d, err)
			}
			ch <- m
		}
		send(parts, client.CounterValue, float64(s.Accepted), "accepted")
		send(parts, client.CounterValue, float64(s.Rejected), "rejected")
		send(failures, client.CounterValue, float64(s.Failed), "failed")
		send(failures, client.CounterValue, float64(s.Busy), "busy")
		send(failures, client.CounterValue, float64(s.Expired), "expired")
		send(replaced, client.CounterValue, float64(s.Replaced))
		send(bundle, client.GaugeValue, 1, i.Bundle, i.Detector, i.Library)
		send(limit, client.GaugeValue, i.Threshold)
		send(pictures, client.GaugeValue, float64(s.Queued), "queued")
		send(pictures, client.GaugeValue, float64(s.Running), "running")
		on := 0.0
		if s.Drift.Alarm {
			on = 1
		}
		send(alarm, client.GaugeValue, on)
		send(pValue, client.GaugeValue, s.Drift.PValue)
	}
}
