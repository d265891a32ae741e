package synth_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/gotab/gotab/internal/hostile"
	"github.com/gotab/gotab/synth"
)

// No argument of anything that this package exports makes it panic, hang or take
// memory without bound.
func TestHostileArguments(t *testing.T) {
	r := hostile.Registry{
		Funcs: []any{
			synth.SeamlessOrigin, synth.DefaultCutPaste, synth.OfficialTABCutPaste, synth.ScarCutPaste,
			synth.ThreeWayCutPaste, synth.DefaultMask, synth.RIADMask, synth.MixOf, synth.ClassNSA,
			synth.CutPasteShapes, synth.DefaultNSA, synth.EllipseShapes, synth.ObjectNSA, synth.OfficialTAB,
			synth.Reference, synth.TextureNSA, synth.DRAEMPerlin, synth.DefaultPerlin,
			synth.OfficialTABPerlin, synth.OpenCVPoisson, synth.AllOutlines, synth.DefaultMixture, synth.DefaultNoise,
			synth.DefaultReseam, synth.DefaultStain, synth.DefaultUnchanged, synth.DefaultWarp, synth.NewMixture,
			synth.ShapeOverlay, synth.SmallDefects, synth.TextureOverlay,
		},
		Types: []any{
			new(synth.AspectLaw), new(synth.Background), new(synth.Blender), new(synth.Box),
			new(synth.Buffers), new(synth.Cut), new(synth.CutPaste), new(synth.DrawnTextures),
			new(synth.Gamma), new(synth.Jitter), new(synth.Kind), new(synth.LabelMode), new(synth.Logistic),
			new(synth.Mask), new(synth.Mix), new(synth.Mode), new(synth.NSA), new(synth.Pair),
			new(synth.Part), new(synth.Perlin), new(synth.Poisson), new(synth.Rate), new(synth.Scale),
			new(synth.ScaleLaw), new(synth.Span), new(synth.Survey), new(synth.TextureImages),
			new(synth.Visible), new(synth.Ingredient), new(synth.Mixture), new(synth.Noise), new(synth.Outline), new(synth.Outlines),
			new(synth.Overlay), new(synth.Reseam), new(synth.Size), new(synth.Stain), new(synth.TextureCrops),
			new(synth.Unchanged), new(synth.Warp), new(synth.Misplaced),
		},
		Values: []any{
			synth.DefaultNSA(), synth.OfficialTAB(), synth.ObjectNSA(), synth.Reference(),
			synth.DefaultCutPaste(), synth.ScarCutPaste(), synth.DefaultPerlin(), synth.DRAEMPerlin(),
			synth.DefaultMask(), synth.RIADMask(), synth.MixOf(synth.DefaultNSA(), synth.DefaultCutPaste()),
			synth.OpenCVPoisson(synth.Normal), synth.DrawnTextures{},
			synth.Misplaced{Generator: synth.DefaultCutPaste()}, synth.Visible{Generator: synth.DefaultCutPaste(), Least: 8, Attempts: 3},
		},
		Skip: map[string]string{"Survey.Run": "makes as many draws as it is asked for, until its context ends"},
	}
	missing, err := r.Missing(".")
	require.NoError(t, err)
	require.Empty(t, missing)
	r.Run(t, 400)
}
