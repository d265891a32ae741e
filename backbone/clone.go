package backbone

import (
	"context"
	"fmt"
)

// Clone returns a network of its own with the same weights, on the same device,
// for a training that must leave this one as it is. Batch norms whose statistics
// are frozen are so in the copy too. The caller closes it. It reads the weights,
// so nobody may train this network meanwhile.
func (m *ResNet) Clone(ctx context.Context) (*ResNet, error) {
	arrays, err := m.params.Arrays(ctx)
	if err != nil {
		return nil, fmt.Errorf("backbone: clone: %w", err)
	}
	c, err := build(m.arch, m.last, arrays, m.Device())
	if err != nil {
		return nil, fmt.Errorf("backbone: clone: %w", err)
	}
	c.frozen = m.frozen
	return c, nil
}
