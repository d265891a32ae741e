// Package otel makes traces of inspections through OpenTelemetry's API. It is a module of
// its own, so that a program without it does not depend on that API. Where the program
// sets a provider up, traces go there; where it does not, they cost next to nothing.
//
//	traces, err := otel.New(provider, propagation.TraceContext{})
//	cfg.Observer = traces // of a service.Config; service.Observers takes several
package otel

import (
	"context"
	"errors"
	"fmt"
	"net/http"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/propagation"
	"go.opentelemetry.io/otel/trace"

	"github.com/gotab/gotab/inspect/service"
)

// ErrProvider reports a provider of traces that is not there.
var ErrProvider = errors.New("there is no provider of traces")

// scope is the name of what makes the spans.
const scope = "github.com/gotab/gotab/inspect/otel"

// Traces is a service.Observer that makes a span of each request and one below it of each
// stage. The request's span is a child of the caller's where its headers name one, and an
// Inspector finds it in its context. It is safe for concurrent use.
//
// The request's span has the attributes http.request.method, http.route and
// http.response.status_code of OpenTelemetry's conventions, and gotab.request_id,
// gotab.product, gotab.code, gotab.bytes, gotab.pixels, gotab.reject, gotab.score. Its
// status is Error from status 500 on.
type Traces struct {
	tracer     trace.Tracer
	propagator propagation.TextMapPropagator
}

var _ service.Observer = (*Traces)(nil)

// New returns Traces that go to a provider. A nil propagator takes no caller's span from
// headers. It returns ErrProvider if the provider is nil.
func New(provider trace.TracerProvider, propagator propagation.TextMapPropagator) (*Traces, error) {
	if provider == nil {
		return nil, fmt.Errorf("otel: %w", ErrProvider)
	}
	return &Traces{provider.Tracer(scope), propagator}, nil
}

// Begin starts the span of a request. It is for a service.Handler.
func (t *Traces) Begin(ctx context.Context, r *http.Request) (context.Context, func(service.Event)) {
	if t.propagator != nil {
		ctx = t.propagator.Extract(ctx, propagation.HeaderCarrier(r.Header))
	}
	ctx, span := t.tracer.Start(ctx, "inspection", trace.WithSpanKind(trace.SpanKindServer))
	return ctx, func(e service.Event) {
		defer span.End()
		if !span.IsRecording() {
			return
		}
		for _, s := range e.Stages {
			_, stage := t.tracer.Start(ctx, s.Name, trace.WithTimestamp(s.Start))
			stage.End(trace.WithTimestamp(s.Start.Add(s.Took)))
		}
		name := e.Method
		if e.Route != "" {
			name += " " + e.Route
			span.SetAttributes(attribute.String("http.route", e.Route))
		}
		span.SetName(name)
		span.SetAttributes(attribute.String("http.request.method", e.Method), attribute.Int("http.response.status_code", e.Status), attribute.String("gotab.request_id", e.ID))
		if e.Product != "" {
			span.SetAttributes(attribute.String("gotab.product", e.Product))
		}
		if e.Code != "" {
			span.SetAttributes(attribute.String("gotab.code", e.Code))
		}
		if e.Pixels > 0 {
			span.SetAttributes(attribute.Int64("gotab.bytes", e.Bytes), attribute.Int("gotab.pixels", e.Pixels))
		}
		if e.Judged {
			span.SetAttributes(attribute.Bool("gotab.reject", e.Reject), attribute.Float64("gotab.score", e.Score))
		}
		if e.Status >= http.StatusInternalServerError {
			span.SetStatus(codes.Error, e.Code)
		}
	}
}
