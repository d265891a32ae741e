package prometheus_test

import (
	"bytes"
	"context"
	"image"
	"image/png"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	client "github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"
	"github.com/prometheus/client_golang/prometheus/testutil"
	"github.com/stretchr/testify/require"

	"github.com/gotab/gotab/inspect"
	"github.com/gotab/gotab/inspect/prometheus"
	"github.com/gotab/gotab/inspect/service"
)

// fake passes every part.
type fake struct {
	name  string
	stats inspect.Stats
}

func (f *fake) Inspect(context.Context, image.Image) (inspect.Verdict, error) {
	v := inspect.Verdict{Product: f.name}
	v.Score, v.Threshold = 1, 2
	return v, nil
}

func (f *fake) Info() inspect.Info {
	return inspect.Info{Product: f.name, Bundle: "0123456789ab", Detector: "fake", Library: "v0", Threshold: 2}
}

func (f *fake) Stats() inspect.Stats { return f.stats }

func TestMetrics(t *testing.T) {
	reg := client.NewPedanticRegistry()
	m, err := prometheus.New(reg)
	require.NoError(t, err)
	gear := &fake{name: "gear", stats: inspect.Stats{Accepted: 5, Rejected: 2, Failed: 1, Busy: 7, Expired: 3, Replaced: 4, Queued: 6, Running: 8,
		Drift: inspect.Drift{PValue: 0.25, Alarm: true}}}
	cfg := service.DefaultConfig()
	cfg.Observer = m
	h, err := service.New(cfg, gear)
	require.NoError(t, err)
	require.NoError(t, m.Watch(gear))

	var pic bytes.Buffer
	require.NoError(t, png.Encode(&pic, image.NewGray(image.Rect(0, 0, 20, 10))))
	post := func(path string, body []byte) {
		h.ServeHTTP(httptest.NewRecorder(), httptest.NewRequest("POST", path, bytes.NewReader(body)))
	}
	post("/inspect", pic.Bytes())
	post("/inspect", pic.Bytes())
	post("/inspect/gear", []byte("no picture"))
	post("/inspect/made-up", pic.Bytes())
	post("/nowhere", nil)

	require.NoError(t, testutil.GatherAndCompare(reg, strings.NewReader(`
# HELP gotab_requests_total Requests by what became of them.
# TYPE gotab_requests_total counter
gotab_requests_total{code="",product="gear",route="/inspect",status="200"} 2
gotab_requests_total{code="not_a_picture",product="gear",route="/inspect/{product}",status="422"} 1
gotab_requests_total{code="unknown_product",product="",route="/inspect/{product}",status="404"} 1
gotab_requests_total{code="not_found",product="",route="",status="404"} 1
# HELP gotab_requests_in_flight Requests that are not answered yet.
# TYPE gotab_requests_in_flight gauge
gotab_requests_in_flight 0
# HELP gotab_parts_total Verdicts.
# TYPE gotab_parts_total counter
gotab_parts_total{decision="accepted",product="gear"} 5
gotab_parts_total{decision="rejected",product="gear"} 2
# HELP gotab_failures_total Pictures without a verdict.
# TYPE gotab_failures_total counter
gotab_failures_total{cause="busy",product="gear"} 7
gotab_failures_total{cause="expired",product="gear"} 3
gotab_failures_total{cause="failed",product="gear"} 1
# HELP gotab_bundles_replaced_total Bundles put in force after the first.
# TYPE gotab_bundles_replaced_total counter
gotab_bundles_replaced_total{product="gear"} 4
# HELP gotab_bundle_info The bundle in force.
# TYPE gotab_bundle_info gauge
gotab_bundle_info{bundle="0123456789ab",detector="fake",library="v0",product="gear"} 1
# HELP gotab_threshold Score from which on a part is rejected.
# TYPE gotab_threshold gauge
gotab_threshold{product="gear"} 2
# HELP gotab_pictures Pictures now.
# TYPE gotab_pictures gauge
gotab_pictures{product="gear",state="queued"} 6
gotab_pictures{product="gear",state="running"} 8
# HELP gotab_drift_alarm 1 while the scores of accepted parts are not those of the calibration.
# TYPE gotab_drift_alarm gauge
gotab_drift_alarm{product="gear"} 1
# HELP gotab_drift_p_value Of the drift monitor's test.
# TYPE gotab_drift_p_value gauge
gotab_drift_p_value{product="gear"} 0.25
`), "gotab_requests_total", "gotab_requests_in_flight", "gotab_parts_total", "gotab_failures_total", "gotab_bundles_replaced_total", "gotab_bundle_info",
		"gotab_threshold", "gotab_pictures", "gotab_drift_alarm", "gotab_drift_p_value"))

	w := httptest.NewRecorder()
	promhttp.HandlerFor(reg, promhttp.HandlerOpts{ErrorHandling: promhttp.HTTPErrorOnError}).ServeHTTP(w, httptest.NewRequest("GET", "/metrics", nil))
	require.Equal(t, http.StatusOK, w.Code, w.Body.String())
	for _, line := range []string{
		`gotab_request_seconds_count{product="gear",route="/inspect"} 2`,
		`gotab_stage_seconds_count{product="gear",stage="inspect"} 2`,
		`gotab_stage_seconds_count{product="gear",stage="read"} 3`,
		`gotab_picture_pixels_sum{product="gear"} 400`,
		`gotab_picture_bytes_count{product="gear"} 2`,
	} {
		require.Contains(t, w.Body.String(), line+"\n")
	}
	problems, err := testutil.GatherAndLint(reg)
	require.NoError(t, err)
	require.Empty(t, problems)
}

func TestNamesThatAreTaken(t *testing.T) {
	reg := client.NewRegistry()
	m, err := prometheus.New(reg)
	require.NoError(t, err)
	_, err = prometheus.New(reg)
	require.ErrorIs(t, err, prometheus.ErrRegister)
	require.NoError(t, m.Watch(&fake{name: "gear"}))
	require.ErrorIs(t, m.Watch(&fake{name: "bolt"}), prometheus.ErrRegister)
	require.ErrorIs(t, m.Watch(nil), prometheus.ErrRegister)
	require.ErrorIs(t, m.Watch(&fake{name: "a"}, &fake{name: "a"}), prometheus.ErrRegister)
	_, err = prometheus.New(nil)
	require.ErrorIs(t, err, prometheus.ErrRegister)

	// None of them stays where one is refused.
	reg = client.NewRegistry()
	require.NoError(t, reg.Register(client.NewGauge(client.GaugeOpts{Name: "gotab_requests_in_flight", Help: "Another's."})))
	_, err = prometheus.New(reg)
	require.ErrorIs(t, err, prometheus.ErrRegister)
	all, err := reg.Gather()
	require.NoError(t, err)
	require.Len(t, all, 1)
}
