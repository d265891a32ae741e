// Inspectd is examples/inspectd with /metrics for Prometheus. It takes the same flags; it
// has no pack.
package main

import (
	"net/http"
	"os"

	client "github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"github.com/gotab/gotab/inspect/prometheus"
	"github.com/gotab/gotab/inspect/server"
	"github.com/gotab/gotab/inspect/service"
)

func main() {
	os.Exit(serve(os.Args[1:], nil))
}

// serve runs the server. open is for tests; nil opens bundles.
func serve(args []string, open server.Opener) int {
	reg := client.NewRegistry()
	reg.MustRegister(collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	metrics, err := prometheus.New(reg)
	if err != nil { // nobody else registers there
		panic(err)
	}
	return server.Main(args, server.Extra{Observer: metrics, Open: open, Mount: func(mux *http.ServeMux, products []service.Inspector) error {
		if err := metrics.Watch(products...); err != nil {
			return err
		}
		mux.Handle("GET /metrics", promhttp.HandlerFor(reg, promhttp.HandlerOpts{ErrorHandling: promhttp.HTTPErrorOnError}))
		return nil
	}})
}
