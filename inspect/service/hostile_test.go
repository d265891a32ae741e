package service_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/gotab/gotab/inspect"
	"github.com/gotab/gotab/inspect/service"
	"github.com/gotab/gotab/internal/hostile"
)

// No argument of anything that this package exports makes it panic, hang or take memory
// without bound.
func TestHostileArguments(t *testing.T) {
	h := handler(t, nil)
	r := hostile.Registry{
		Funcs: []any{service.DefaultConfig, service.New, service.Observers},
		Types: []any{
			new(service.Answer), new(service.Config), new(service.Decision), new(service.Defect), new(service.Drift), new(service.Event),
			new(service.Handler), new(service.Information), new(service.Map), new(service.Opinion), new(service.Problem), new(service.ProblemError),
			new(service.Product), new(service.Recorded), new(service.Stage), new(service.State), new(service.Timing),
		},
		Values: []any{service.DefaultConfig(), h, &fake{name: "gear"}, inspect.Info{Product: "gear"}},
		Skip:   map[string]string{"Handler.ServeHTTP": "net/http gives it a request and a writer; FuzzRequest changes what is in them"},
	}
	missing, err := r.Missing(".")
	require.NoError(t, err)
	require.Empty(t, missing)
	r.Run(t, 100)
}
