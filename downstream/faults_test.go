package downstream_test

import (
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/gotab/gotab/downstream"
	"github.com/gotab/gotab/downstream/classify"
	"github.com/gotab/gotab/internal/faulttest"
)

// fileWriters are the files of all detectors and of the classifier, fitted on one
// set of images and on another, moments of them, and the checkpoint of RegAD's training.
func fileWriters(t *testing.T) []faulttest.Writer {
	type saver interface{ Save(path string) error }
	fe := &fake{scale: 1}
	var savers [2]map[string]saver
	var regads [2]*downstream.RegAD
	for v := range savers {
		good := textures(3, 90+uint64(v), fakeSide)
		regads[v] = trainedTiny(t, regadConfig(), good[:2])
		cfg := frozenConfig(classify.MultiLabel)
		cfg.Epochs = 2
		c := newClassifier(t, &pooler{scale: 1}, cfg)
		require.NoError(t, c.Fit(t.Context(), bits(t, 32, uint64(v))))
		savers[v] = map[string]saver{
			"padim": fitted(t, fe, fakeConfig(), good), "patchcore": fittedPatchCore(t, fe, patchConfig(), good), "rd4ad": fittedRD4AD(t, rd4adConfig(), good),
			"simplenet": fittedSimpleNet(t, fe, simpleConfig(), good), "regad": regads[v], "classifier": c, "moments": momentsOf(t, fe, fakeConfig(), good),
		}
	}
	out := []faulttest.Writer{{Name: "checkpoint", Write: func(dir string, version int) error {
		return regads[version].WriteCheckpoint(filepath.Join(dir, "regad.ckpt"), 1+version)
	}}}
	for _, name := range []string{"padim", "patchcore", "rd4ad", "simplenet", "regad", "classifier", "moments"} {
		out = append(out, faulttest.Writer{Name: name, Points: 9, Write: func(dir string, version int) error {
			return savers[version][name].Save(filepath.Join(dir, name))
		}})
	}
	return out
}

func TestFilesAreWholeOrNotThere(t *testing.T) {
	noLeak(t)
	faulttest.Check(t, fileWriters(t)...)
}

func TestFilesSurviveKills(t *testing.T) {
	faulttest.Kill(t, "TestFilesSurviveKills", 8, 5, fileWriters(t)...)
}
