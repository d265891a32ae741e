package tab

import (
	"context"
	"encoding/json"
	"fmt"
	"io"

	"github.com/gotab/gotab/backbone"
	"github.com/gotab/gotab/dataset"
	"github.com/gotab/gotab/synth"
)

// ScaleTable is what was done to the channels of a network, as JSON beside its weights.
type ScaleTable struct {
	Twins     float64         `json:"twins"` // of ScaleConfig; Deviation, Limit and Ridge likewise
	Deviation float64         `json:"deviation"`
	Limit     float64         `json:"limit"`
	Ridge     float64         `json:"ridge"`
	Seed      uint64          `json:"seed"`  // of the twins
	Draws     int             `json:"draws"` // twins of each kind and product
	Products  []ScaledProduct `json:"products"`
	Stages    []ScaledStage   `json:"stages"`
}

// ScaledProduct says what a product was measured on.
type ScaledProduct struct {
	Class  string     `json:"class"`
	Images int        `json:"images"` // good ones
	Twins  TwinCounts `json:"twins"`
}

// ScaledStage is a [StageScale] with the name of its layer.
type ScaledStage struct {
	Layer     string    `json:"layer"`
	Scale     []float32 `json:"scale"`
	Ratio     []float64 `json:"ratio"`
	Deviation []float64 `json:"deviation"`
}

// ScaleByTwins measures what the twins of each class's mixture do to the channels of a network
// ([MeasureChannelsByClass]) and multiplies its stages by the factors that follow ([ChannelScales],
// [backbone.ResNet.ScaleChannels]), so that later stages compute what they did. It returns [ErrConfig] if the
// network is nil, the errors of these three, and ctx's; a network that an error leaves may be scaled in part.
func ScaleByTwins(ctx context.Context, net *backbone.ResNet, good dataset.Dataset, own map[string]synth.Mixture, m TwinConfig, cfg ScaleConfig) (*ScaleTable, error) {
	if net == nil {
		return nil, fmt.Errorf("tab: scale by twins: %w: the network is nil", ErrConfig)
	}
	products, err := MeasureChannelsByClass(ctx, net, good, own, m)
	if err != nil {
		return nil, err
	}
	stages, err := ChannelScales(products, cfg)
	if err != nil {
		return nil, err
	}
	t := &ScaleTable{Twins: cfg.Twins, Deviation: cfg.Deviation, Limit: cfg.Limit, Ridge: cfg.Ridge, Seed: m.Seed, Draws: m.Draws}
	for _, p := range products {
		t.Products = append(t.Products, ScaledProduct{p.Class, p.Images, p.Counts})
	}
	for _, s := range stages {
		if err := net.ScaleChannels(ctx, s.Layer, s.Scale); err != nil {
			return nil, err
		}
		t.Stages = append(t.Stages, ScaledStage{s.Layer.String(), s.Scale, s.Ratio, s.Deviation})
	}
	return t, nil
}

// WriteTo writes the table as JSON.
func (t *ScaleTable) WriteTo(w io.Writer) (int64, error) {
	b, err := json.MarshalIndent(t, "", " ")
	if err != nil {
		return 0, fmt.Errorf("tab: write scales: %w", err)
	}
	n, err := w.Write(append(b, '\n'))
	if err != nil {
		return int64(n), fmt.Errorf("tab: write scales: %w", err)
	}
	return int64(n), nil
}
