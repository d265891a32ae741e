package otel_test

import (
	"bytes"
	"context"
	"errors"
	"image"
	"image/png"
	"net/http/httptest"
	"testing"

	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/propagation"
	"go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"
	api "go.opentelemetry.io/otel/trace"
	"go.opentelemetry.io/otel/trace/noop"

	"github.com/gotab/gotab/inspect"
	"github.com/gotab/gotab/inspect/otel"
	"github.com/gotab/gotab/inspect/service"
)

// fake passes every part, or fails.
type fake struct {
	err  error
	span api.SpanContext // that it found in its context
}

func (f *fake) Inspect(ctx context.Context, _ image.Image) (inspect.Verdict, error) {
	f.span = api.SpanContextFromContext(ctx)
	v := inspect.Verdict{Product: "gear"}
	v.Score, v.Threshold = 1, 2
	return v, f.err
}
func (f *fake) Info() inspect.Info   { return inspect.Info{Product: "gear"} }
func (f *fake) Stats() inspect.Stats { return inspect.Stats{} }

func TestTraces(t *testing.T) {
	spans := tracetest.NewSpanRecorder()
	traces, err := otel.New(trace.NewTracerProvider(trace.WithSpanProcessor(spans)), propagation.TraceContext{})
	require.NoError(t, err)
	cfg := service.DefaultConfig()
	cfg.Observer = traces
	f := &fake{}
	h, err := service.New(cfg, f)
	require.NoError(t, err)
	var pic bytes.Buffer
	require.NoError(t, png.Encode(&pic, image.NewGray(image.Rect(0, 0, 20, 10))))
	post := func() {
		r := httptest.NewRequest("POST", "/inspect", bytes.NewReader(pic.Bytes()))
		r.Header.Set("traceparent", "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01")
		r.Header.Set("X-Request-Id", "r1")
		h.ServeHTTP(httptest.NewRecorder(), r)
	}
	post()
	ended := spans.Ended()
	require.Len(t, ended, 5)
	whole := ended[4]
	require.Equal(t, "POST /inspect", whole.Name())
	require.Equal(t, api.SpanKindServer, whole.SpanKind())
	require.Equal(t, "0af7651916cd43dd8448eb211c80319c", whole.SpanContext().TraceID().String(), "it goes on with the caller's trace")
	require.Equal(t, "b7ad6b7169203331", whole.Parent().SpanID().String())
	require.Equal(t, whole.SpanContext().SpanID(), f.span.SpanID(), "an Inspector can go on with it")
	require.ElementsMatch(t, []attribute.KeyValue{
		attribute.String("http.route", "/inspect"), attribute.String("http.request.method", "POST"), attribute.Int("http.response.status_code", 200),
		attribute.String("gotab.request_id", "r1"), attribute.String("gotab.product", "gear"), attribute.Int64("gotab.bytes", int64(pic.Len())), attribute.Int("gotab.pixels", 200),
		attribute.Bool("gotab.reject", false), attribute.Float64("gotab.score", 1),
	}, whole.Attributes())
	require.Equal(t, codes.Unset, whole.Status().Code)
	for i, name := range []string{"read", "decode", "inspect", "answer"} {
		s := ended[i]
		require.Equal(t, name, s.Name())
		require.Equal(t, whole.SpanContext().SpanID(), s.Parent().SpanID())
		require.False(t, s.StartTime().Before(whole.StartTime()))
		require.False(t, s.EndTime().Before(s.StartTime()))
		require.False(t, s.EndTime().After(whole.EndTime()))
	}

	f.err = errors.New("broken")
	post()
	last := spans.Ended()[len(spans.Ended())-1]
	require.Equal(t, trace.Status{Code: codes.Error, Description: "internal"}, last.Status())

	_, err = otel.New(nil, nil)
	require.ErrorIs(t, err, otel.ErrProvider)
	nothing, err := otel.New(noop.NewTracerProvider(), nil)
	require.NoError(t, err)
	cfg.Observer = nothing
	h, err = service.New(cfg, f)
	require.NoError(t, err)
	post() // records nothing and does not fail
}
