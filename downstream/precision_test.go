package downstream_test

import (
	"bytes"
	"io"
	"math/rand/v2"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/gotab/gotab/backbone"
	"github.com/gotab/gotab/downstream"
	"github.com/gotab/gotab/downstream/classify"
	"github.com/gotab/gotab/tensor"
)

// claims is a network that says that it computes in some precision, on every processor.
type claims struct {
	*backbone.ResNet
	precision backbone.Precision
}

func (c *claims) Precision() backbone.Precision { return c.precision }

// A file remembers the precision of its fit, and a network that computes in another is refused.
func TestFilesKeepToThePrecisionOfTheFit(t *testing.T) {
	noLeak(t)
	const side = 64
	own, err := backbone.New(backbone.ArchResNet18, tensor.CPU, rand.New(rand.NewPCG(1, 1)))
	require.NoError(t, err)
	defer own.Close()
	single, half := &claims{own, backbone.Float32}, &claims{own, backbone.BFloat16}
	good := textures(4, 51, side)

	reads := map[string]func(fe downstream.Extractor, file []byte) (io.Closer, error){
		"padim": func(fe downstream.Extractor, file []byte) (io.Closer, error) {
			return downstream.ReadPaDiM(t.Context(), bytes.NewReader(file), fe)
		},
		"patchcore": func(fe downstream.Extractor, file []byte) (io.Closer, error) {
			return downstream.ReadPatchCore(t.Context(), bytes.NewReader(file), fe)
		},
		"rd4ad": func(fe downstream.Extractor, file []byte) (io.Closer, error) {
			return downstream.ReadRD4AD(t.Context(), bytes.NewReader(file), fe)
		},
		"simplenet": func(fe downstream.Extractor, file []byte) (io.Closer, error) {
			return downstream.ReadSimpleNet(t.Context(), bytes.NewReader(file), fe)
		},
		"classifier": func(fe downstream.Extractor, file []byte) (io.Closer, error) {
			return classify.Read(t.Context(), bytes.NewReader(file), fe)
		},
	}
	write := func(fe downstream.Extractor) map[string][]byte {
		files := map[string][]byte{}
		for name, d := range detectorsOver(t, own, fe, side) {
			defer d.Close()
			if _, ok := reads[name]; !ok {
				continue // RegAD has a network of its own
			}
			require.NoError(t, d.Fit(t.Context(), memory(t, good)), name)
			files[name] = written(t, d)
		}
		c, _ := classifierOn(t, fe, side)
		defer c.Close()
		files["classifier"] = written(t, c)
		require.Len(t, files, len(reads))
		return files
	}
	for fe, others := range map[*claims]*claims{single: half, half: single} {
		for name, file := range write(fe) {
			d, err := reads[name](fe, file)
			require.NoError(t, err, name)
			require.NoError(t, d.Close())
			_, err = reads[name](others, file)
			require.ErrorIs(t, err, downstream.ErrExtractor, name)
			require.ErrorContains(t, err, "it computes in "+others.precision.String()+", and the fit was made in "+fe.precision.String(), name)
			if fe == single {
				require.NotContains(t, string(file), "precision", "%s: files in float32 are what they were", name)
				d, err = reads[name](own, file) // the network itself says float32
				require.NoError(t, err)
				require.NoError(t, d.Close())
			}
		}
	}
}
