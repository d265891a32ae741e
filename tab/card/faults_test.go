package card_test

import (
	"path/filepath"
	"testing"

	"github.com/gotab/gotab/internal/faulttest"
	"github.com/gotab/gotab/tab/card"
)

// A card is whole or not there, whatever fails while it is written.
func TestCardIsWholeOrNotThere(t *testing.T) {
	faulttest.Check(t, faulttest.Writer{Name: "card", Write: func(dir string, version int) error {
		c := whole()
		c.Seed = uint64(version)
		return c.Save(card.Name(filepath.Join(dir, "w")))
	}})
}
