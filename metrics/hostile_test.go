package metrics_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/gotab/gotab/internal/hostile"
	"github.com/gotab/gotab/metrics"
)

// No argument of anything that this package exports makes it panic, hang or take
// memory without bound.
func TestHostileArguments(t *testing.T) {
	tally, err := metrics.NewTally([]string{"a", "b"}, []string{"x"})
	require.NoError(t, err)
	require.NoError(t, tally.Add(0, 1, []bool{true}, []bool{false}))
	figures, err := tally.Figures()
	require.NoError(t, err)
	r := hostile.Registry{
		Funcs: []any{
			metrics.AUPROPerImage, metrics.AUROC, metrics.AveragePrecision, metrics.F1Max,
			metrics.OverkillThreshold, metrics.NewAUPRO, metrics.DefaultBootstrap, metrics.DeLongTest,
			metrics.NewConfusion, metrics.CutAt, metrics.CutForEscape, metrics.CutForOverkill,
			metrics.NewFigure, metrics.Bootstrap, metrics.DeLong, metrics.Resample, metrics.ResampleGroups, metrics.Wilson,
			metrics.NewMultiLabel, metrics.NewPixelAUROC, metrics.NewPixelBootstrap, metrics.ROC,
			metrics.OverSeeds, metrics.ClopperPearson, metrics.ConformalThreshold, metrics.ConformalP, metrics.FitTail,
			metrics.Overkill, metrics.Conformal, metrics.TailOverkill, metrics.Escape, metrics.Youden, metrics.BestF1, metrics.ParseRule, metrics.ParseRuleKind,
			metrics.Trustworthiness, metrics.Silhouette, metrics.NeighbourAccuracy, metrics.NewTally, metrics.McNemar,
		},
		Types: []any{
			new(metrics.AUPRO), new(metrics.AUPROResult), new(metrics.BootstrapConfig),
			new(metrics.Comparison), new(metrics.Confusion), new(metrics.Counts), new(metrics.Cut),
			new(metrics.Figure), new(metrics.Interval), new(metrics.MultiLabel), new(metrics.PixelAP),
			new(metrics.PixelAUROC), new(metrics.PixelBootstrap), new(metrics.PixelIntervals),
			new(metrics.PixelResult), new(metrics.Protocol), new(metrics.ROCPoint), new(metrics.Rates),
			new(metrics.Spread), new(metrics.Rule), new(metrics.RuleKind), new(metrics.OperatingPoint), new(metrics.Tail),
			new(metrics.PairedShares), new(metrics.Tally), new(metrics.TallyFigures), new(metrics.ConfusionTable), new(metrics.Share), new(metrics.MacroRates), new(metrics.NamedCounts),
		},
		Values: []any{
			metrics.BootstrapConfig{Resamples: 20, Level: 0.9}, metrics.NewAUPRO(1 << 20), metrics.NewPixelAUROC(1 << 20),
			metrics.NewPixelBootstrap(1 << 20), metrics.Overkill(0.5), metrics.Conformal(0.5), metrics.Youden(), metrics.BestF1(),
			tally, figures, figures.Confusion, metrics.Tail{Share: 0.1, Used: 20, Scale: 1},
		},
	}
	missing, err := r.Missing(".")
	require.NoError(t, err)
	require.Empty(t, missing)
	r.Run(t, 400)
}
