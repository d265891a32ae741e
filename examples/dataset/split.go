package main

import (
	"context"
	"fmt"
	"io"
	"math/rand/v2"
	"regexp"
	"strconv"
	"strings"

	"github.com/gotab/gotab/dataset"
	"github.com/gotab/gotab/internal/atomicfile"
)

// split divides a data set, or draws a support set, and writes a manifest.
func split(ctx context.Context, s *set, o options, stdout, stderr io.Writer) error {
	items := dataset.Items(s.ds)
	rng := rand.New(rand.NewPCG(o.seed, 0))
	from := strings.Split(o.from, ",")
	if o.shots > 0 {
		chosen, err := dataset.Support(items, o.shots, from, rng)
		if err != nil {
			return err
		}
		return save(o.out, chosen, stdout)
	}
	cfg := dataset.DefaultSplit()
	cfg.From, cfg.Defects, cfg.Parts = from, o.defects, nil
	for _, p := range strings.Split(o.parts, ",") {
		name, fraction, _ := strings.Cut(p, "=")
		v, err := strconv.ParseFloat(fraction, 64)
		if err != nil {
			return fmt.Errorf("%w: -parts has %q, want a name and a fraction such as train=0.8", errUsage, p)
		}
		cfg.Parts = append(cfg.Parts, dataset.Part{Name: name, Fraction: v})
	}
	if o.group != "" {
		re, err := regexp.Compile(o.group)
		if err != nil || re.NumSubexp() < 1 {
			return fmt.Errorf("%w: -group %q is no expression with a bracket", errUsage, o.group)
		}
		for i := range items { // written to the manifest, so that check sees it
			if m := re.FindStringSubmatch(items[i].Name); m != nil {
				items[i].Group = m[1]
			}
		}
	}
	if o.together {
		all, err := survey(ctx, s)
		if err != nil {
			return err
		}
		for _, f := range all {
			if f.err != nil {
				fmt.Fprintf(stderr, "note: %v\n", f.err)
			}
		}
		if n := joinDuplicates(items, all); n > 0 {
			fmt.Fprintf(stderr, "note: %d pictures have the pixels of another one; each such group stays on one side\n", n)
		}
	}
	divided, err := cfg.Assign(items, rng)
	if err != nil {
		return err
	}
	return save(o.out, divided, stdout)
}

// joinDuplicates puts pictures of one class with the same pixels into one group,
// together with the groups that they are in already. It returns how many
// pictures repeat another one.
func joinDuplicates(items []dataset.Item, all []facts) int {
	root := make([]int, len(items)) // of each item's set; a root is the first of its set
	for i := range root {
		root[i] = i
	}
	find := func(i int) int {
		for root[i] != i {
			root[i] = root[root[i]]
			i = root[i]
		}
		return i
	}
	first := make(map[string]int)
	join := func(key string, i int) bool {
		j, seen := first[key]
		if !seen {
			first[key] = i
			return false
		}
		a, b := find(i), find(j)
		root[max(a, b)] = min(a, b)
		return true
	}
	repeats := 0
	for i, it := range items {
		if it.Group != "" {
			join("group\x00"+it.Class+"\x00"+it.Group, i)
		}
		if all[i].err == nil && join("pixels\x00"+it.Class+"\x00"+string(all[i].hash[:]), i) {
			repeats++
		}
	}
	size := make(map[int]int)
	for i := range items {
		size[find(i)]++
	}
	for i := range items {
		r := find(i)
		switch {
		case size[r] == 1:
		case items[r].Group == "" && i == r:
			items[i].Group = "same as " + items[r].Name
		default:
			items[i].Group = items[r].Group // the first one's, which has been set by now
		}
	}
	return repeats
}

// save writes a manifest and prints what is in it.
func save(name string, items []dataset.Item, stdout io.Writer) error {
	if err := atomicfile.Write(name, func(w io.Writer) error { return dataset.WriteManifest(w, items) }); err != nil {
		return err
	}
	type count struct{ normal, defects, unlabelled int }
	var order []string
	counts := make(map[string]count)
	for _, it := range items {
		w := where(it)
		c, ok := counts[w]
		if !ok {
			order = append(order, w)
		}
		switch {
		case it.IsGood():
			c.normal++
		case it.IsDefective():
			c.defects++
		default:
			c.unlabelled++
		}
		counts[w] = c
	}
	for _, w := range order {
		text := fmt.Sprintf("%s: %d normal, %d with defects", w, counts[w].normal, counts[w].defects)
		if n := counts[w].unlabelled; n > 0 {
			text += fmt.Sprintf(", %d without a label", n)
		}
		if _, err := fmt.Fprintln(stdout, text); err != nil {
			return err
		}
	}
	_, err := fmt.Fprintf(stdout, "manifest: %s\n", name)
	return err
}
