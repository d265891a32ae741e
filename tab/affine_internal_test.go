package tab

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/gotab/gotab/backbone"
)

func TestAffineOnlyTrainsScalesAndShifts(t *testing.T) {
	c := Recommended()
	c.Stages[backbone.Layer4].Rate = 1
	whole := c
	c.AffineOnly(backbone.Layer3)
	require.NoError(t, c.Validate())
	for name, want := range map[string]float64{
		"layer1.0.conv1.weight":        0,
		"layer1.0.bn1.weight":          0.3,
		"layer1.1.bn2.bias":            0.3,
		"layer2.0.downsample.0.weight": 0,
		"layer2.0.downsample.1.weight": 0.6,
		"layer2.0.downsample.1.bias":   0.6,
		"layer3.1.bn3.weight":          1,
		"layer3.1.conv2.weight":        0,
		"layer4.0.conv1.weight":        1, // beyond the last stage that is named
		"layer4.0.bn1.weight":          1,
	} {
		require.Equal(t, want, c.rate(name, 0), name)
		if want != 0 {
			require.Equal(t, want, whole.rate(name, 0), name)
		} else {
			require.NotZero(t, whole.rate(name, 0), name)
		}
	}
	for _, name := range []string{"bn1", "weight", "bn1.running_mean", "abn1.weight", "bn.weight", "bnx.bias", "downsample.10.weight", ""} {
		require.False(t, isAffine(name), name)
	}
	require.True(t, isAffine("bn1.weight"))
}
