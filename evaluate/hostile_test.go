package evaluate_test

import (
	"context"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/gotab/gotab/evaluate"
	"github.com/gotab/gotab/internal/hostile"
	"github.com/gotab/gotab/metrics"
)

// No argument of anything that this package exports makes it panic, hang or take
// memory without bound.
func TestHostileArguments(t *testing.T) {
	train, test := plates()
	protocol := evaluate.DefaultProtocol()
	protocol.Bootstrap.Resamples, protocol.PixelBytes = 20, 1<<20
	trial := evaluate.Trial{Train: train, Test: test, Data: "plant",
		Method: evaluate.Method{Name: "darkest", Protocol: protocol, New: func(evaluate.Seed) (evaluate.Detector, error) { return darkest{}, nil }}}
	out, err := evaluate.Run(context.Background(), trial)
	require.NoError(t, err)
	store, err := evaluate.OpenStore("", false)
	require.NoError(t, err)
	require.NoError(t, store.Add(out.Record))
	r := hostile.Registry{
		Funcs: []any{
			evaluate.CheckTest, evaluate.Compare, evaluate.DefaultProtocol, evaluate.FigureKeys, evaluate.MainFigures, evaluate.MeaningOfAUPRO,
			evaluate.Meanings, evaluate.MeaningOfCut, evaluate.NewCrossFit, evaluate.OpenStore, evaluate.OpenRoot, evaluate.ParseSeed, evaluate.ParseSeeds, evaluate.ReadRecords,
			evaluate.Run, evaluate.ScoreSet, evaluate.Seeds, evaluate.OverSupports, evaluate.Settings, evaluate.Summarize, evaluate.SupportSets, evaluate.WithDetector,
			evaluate.MeanOf, evaluate.MergeFiles, evaluate.MergeRecords, evaluate.ReadRecordFiles, evaluate.NewPair, evaluate.ParsePart, evaluate.WithoutPixels, evaluate.WithPeakMemory, evaluate.WithScores, evaluate.WithProgress, evaluate.WithScored, evaluate.WriteDetails, evaluate.WriteMarkdown, evaluate.WriteTable,
		},
		Types: []any{
			new(evaluate.Cell), new(evaluate.CrossFit), new(evaluate.Difference), new(evaluate.FigureKey), new(evaluate.Images), new(evaluate.Interval), new(evaluate.Key),
			new(evaluate.Learnt), new(evaluate.Map), new(evaluate.Material), new(evaluate.Method), new(evaluate.Option), new(evaluate.Origin),
			new(evaluate.Outcome), new(evaluate.Pair), new(evaluate.Part), new(evaluate.Progress), new(evaluate.Protocol), new(evaluate.Record),
			new(evaluate.Result), new(evaluate.Root), new(evaluate.Scored), new(evaluate.Seed), new(evaluate.Setting),
			new(evaluate.Stage), new(evaluate.Store), new(evaluate.Summary), new(evaluate.Training), new(evaluate.Trial),
		},
		Values: []any{
			protocol, trial.Method, trial, out, out.Record, store, train, metrics.Escape(0.1),
			evaluate.Pair{A: []*evaluate.Outcome{out}, B: []*evaluate.Outcome{out}}, evaluate.Summary{Records: []evaluate.Record{out.Record}},
			evaluate.Settings(evaluate.Summarize([]evaluate.Record{out.Record}))[0],
		},
	}
	missing, err := r.Missing(".")
	require.NoError(t, err)
	require.Empty(t, missing)
	t.Chdir(t.TempDir()) // for the files that a store makes
	r.Run(t, 60)
}
