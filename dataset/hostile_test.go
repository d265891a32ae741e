package dataset_test

import (
	"image"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/gotab/gotab/dataset"
	"github.com/gotab/gotab/internal/hostile"
)

// No argument of anything that this package exports makes it panic, hang or take
// memory without bound.
func TestHostileArguments(t *testing.T) {
	images, err := dataset.NewImages("c", image.NewRGBA(image.Rect(0, 0, 20, 16)), image.NewGray(image.Rect(0, 0, 9, 33)))
	require.NoError(t, err)
	order, err := dataset.NewPermutation(100, 1)
	require.NoError(t, err)
	_, shards := shardsOf(t, images, nil)
	window, err := shards.Window(dataset.DefaultWindow())
	require.NoError(t, err)
	r := hostile.Registry{
		Funcs: []any{
			dataset.OpenRoot, dataset.ToRGBA, dataset.WaferLabels, dataset.WriteManifest, dataset.NewCached,
			dataset.DefaultConfig, dataset.Apply, dataset.Concat, dataset.Filter, dataset.NewRegion,
			dataset.Subset, dataset.DefaultDecoder, dataset.NewBTAD, dataset.NewFolders, dataset.NewGoodBad,
			dataset.NewKSDD2, dataset.NewMPDD, dataset.NewMVTecAD, dataset.NewMVTecAD2, dataset.NewManifest,
			dataset.NewVisA, dataset.OpenFolders, dataset.OpenMVTecAD, dataset.DefaultFolders,
			dataset.DefaultGoodBad, dataset.Items, dataset.ReadManifest, dataset.Support, dataset.Layouts,
			dataset.NewLayout, dataset.NewLoader, dataset.DefaultLoader, dataset.DefaultMVTecAD,
			dataset.NewImages, dataset.NewMemory, dataset.NewMixedWM38, dataset.OpenMixedWM38,
			dataset.CLIPNorm, dataset.ImageNet, dataset.RandomTurn, dataset.DefaultSplit, dataset.PaDiM224,
			dataset.Square, dataset.ImageFile, dataset.Check, dataset.Decode, dataset.DefaultCheck, dataset.LabelOf, dataset.ParseLabel,
			dataset.Open, dataset.FindLayout, dataset.RequireGood, dataset.RequireLabels, dataset.TransformOf, dataset.DefaultTiles, dataset.NewTiled, dataset.OpenFile, dataset.Only, dataset.NewList, dataset.WriteMVTecAD,
			dataset.NewPermutation, dataset.NewLongManifest, dataset.NewShards, dataset.DefaultShards, dataset.DefaultWindow,
			dataset.ParseView, dataset.DefaultReading, dataset.OpenLayout, dataset.ReadManifestFile, dataset.ParseParts, dataset.GroupByName,
		},
		Types: []any{
			new(dataset.Batch), new(dataset.Cached), new(dataset.Config), new(dataset.Decoder),
			new(dataset.Files), new(dataset.FoldersConfig), new(dataset.GoodBadConfig), new(dataset.Issue),
			new(dataset.Item), new(dataset.Kernel), new(dataset.Layout), new(dataset.Loader),
			new(dataset.LoaderConfig), new(dataset.MVTecADConfig), new(dataset.Memory),
			new(dataset.MixedWM38), new(dataset.Normalize), new(dataset.Part), new(dataset.Rect),
			new(dataset.CheckConfig), new(dataset.Label), new(dataset.Report),
			new(dataset.RegionConfig), new(dataset.Sample), new(dataset.SplitConfig), new(dataset.Transform),
			new(dataset.Tiled), new(dataset.Tiles), new(dataset.Written), new(dataset.Permutation), new(dataset.Manifest),
			new(dataset.Shards), new(dataset.ShardArchive), new(dataset.ShardsConfig), new(dataset.Window), new(dataset.WindowConfig), new(dataset.WindowPosition),
			new(dataset.View), new(dataset.Reading), new(dataset.Seen),
		},
		Values: []any{
			dataset.DefaultConfig(), dataset.DefaultDecoder(), dataset.DefaultFolders(),
			dataset.DefaultGoodBad(), dataset.DefaultLoader(), dataset.DefaultMVTecAD(),
			dataset.DefaultSplit(), dataset.ImageNet(), dataset.PaDiM224(), dataset.Square(16), dataset.DefaultTiles(), images,
			dataset.DefaultShards(), dataset.DefaultWindow(), dataset.DefaultReading(), order, shards, window,
		},
	}
	r.Skip = map[string]string{"WriteShards": "makes folders of any name and syncs them; TestWriteShardsRefuses calls it"}
	missing, err := r.Missing(".")
	require.NoError(t, err)
	require.Empty(t, missing)
	t.Chdir(t.TempDir()) // for the folders that are written
	r.Run(t, 400)
}
