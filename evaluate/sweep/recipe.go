package sweep

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"

	"github.com/gotab/gotab/evaluate/study"
	"github.com/gotab/gotab/internal/atomicfile"
	"github.com/gotab/gotab/tab/card"
)

// recipe is what decides the weights of a training. It lies beside them, so that neither weights nor a checkpoint of an
// older plan pass for those of the plan as it is now.
type recipe struct {
	Start     string     `json:"start_sha256"`
	Flags     []string   `json:"flags"`
	Data      []string   `json:"data"` // last parts of the paths: a folder of data may move
	Without   []string   `json:"without,omitempty"`
	Synthetic *Synthetic `json:"synthetic,omitempty"` // what is kept out of the training
}

// errRecipe reports weights that were trained by another recipe than the plan's.
var errRecipe = errors.New("was trained otherwise than the plan says now")

// recipeFile is where the recipe of a training lies.
func recipeFile(v study.Variant) string { return v.File + ".recipe.json" }

// recipeOf is the plan's for a network that is trained.
func (s *sweep) recipeOf(n Network) (recipe, error) {
	if s.start == "" {
		f, err := card.FileAt(s.runner.Start)
		if err != nil {
			return recipe{}, err
		}
		s.start = f.SHA256
	}
	r := recipe{Start: s.start, Flags: slices.Concat(s.plan.Pretrain, n.Pretrain), Without: n.Without}
	for _, root := range s.roots(n) {
		r.Data = append(r.Data, filepath.Base(root))
	}
	if p := s.plan.Synthetic; p != nil {
		r.Synthetic = &Synthetic{Share: p.Share, Seed: p.Seed}
	}
	return r, nil
}

// roots are what a network's training reads.
func (s *sweep) roots(n Network) []string {
	if len(n.Data) > 0 {
		return n.Data
	}
	return s.plan.Data
}

// sameRecipe returns errRecipe for weights or a checkpoint of another recipe. What was made before recipes were noted, or
// put there by hand, has none and is taken as it is.
func (s *sweep) sameRecipe(n Network, v study.Variant) error {
	if !n.trained() || v.Name == startName {
		return nil
	}
	f, err := os.Open(recipeFile(v))
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	defer f.Close()
	var was recipe
	b, err := io.ReadAll(io.LimitReader(f, 2*maxPlan))
	if err == nil {
		err = json.Unmarshal(b, &was)
	}
	if err != nil {
		return fmt.Errorf("%s: %w", recipeFile(v), err)
	}
	if !exists(v.File) && !exists(v.File+".ckpt") { // nothing has come of it
		return nil
	}
	now, err := s.recipeOf(n)
	if err != nil {
		return err
	}
	var other []string
	for _, part := range []struct {
		name     string
		was, now any
	}{{"the weights of the start", was.Start, now.Start}, {"the flags of pretrain", fmt.Sprintf("%q", was.Flags), fmt.Sprintf("%q", now.Flags)},
		{"data", fmt.Sprintf("%q", was.Data), fmt.Sprintf("%q", now.Data)}, {"without", fmt.Sprintf("%q", was.Without), fmt.Sprintf("%q", now.Without)},
		{"synthetic", was.Synthetic, now.Synthetic}} {
		if !reflect.DeepEqual(part.was, part.now) {
			other = append(other, part.name)
		}
	}
	if len(other) == 0 {
		return nil
	}
	return fmt.Errorf("%s %w: other are %s; give the network another name, or remove %s and what begins with its name to train it anew, or %s alone to take it as it is",
		v, errRecipe, strings.Join(other, ", "), v.File, recipeFile(v))
}

// noteRecipe writes the recipe before a training begins, and leaves that of a checkpoint.
func (s *sweep) noteRecipe(n Network, v study.Variant) error {
	if exists(v.File + ".ckpt") {
		return nil
	}
	now, err := s.recipeOf(n)
	if err != nil {
		return err
	}
	b, err := json.MarshalIndent(now, "", " ")
	if err != nil {
		return err
	}
	if err := os.MkdirAll(filepath.Dir(v.File), 0o755); err != nil {
		return err
	}
	return atomicfile.Write(recipeFile(v), func(w io.Writer) error {
		_, err := w.Write(append(b, '\n'))
		return err
	})
}

func exists(file string) bool {
	_, err := os.Stat(file)
	return err == nil
}
