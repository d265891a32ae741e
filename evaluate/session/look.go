package session

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"slices"

	"github.com/gotab/gotab/dataset"
	"github.com/gotab/gotab/internal/atomicfile"
)

// tryOutputs finds out before long work whether results can be written.
func (o Config) tryOutputs() error {
	for _, dir := range []string{o.Report, o.Maps, o.Save} {
		if dir != "" {
			if err := atomicfile.TryFolder(dir); err != nil {
				return err
			}
		}
	}
	if o.Records != "" {
		if err := atomicfile.Try(o.Records); err != nil {
			return err
		}
	}
	return o.Curves.Try()
}

// whole leaves out the samples that look found to be broken.
func (s *session) whole(root string, ds dataset.Dataset) dataset.Dataset {
	if len(s.broken) == 0 {
		return ds
	}
	return dataset.Filter(ds, func(it dataset.Item) bool { return !s.broken[root+"\x00"+it.Name] })
}

// lookAtOthers checks the training images of classes that are not evaluated, from
// which some methods learn too.
func (s *session) lookAtOthers(ctx context.Context, classes []place) (faults []error) {
	for _, root := range s.o.Data {
		ds, _, err := s.sources[root].Split("", dataset.Train)
		if err != nil {
			continue // prepare says so
		}
		others := dataset.Filter(ds, func(it dataset.Item) bool { return !slices.Contains(classes, place{root, it.Class}) })
		seen, err := s.o.Reading.Look(ctx, others, s.log)
		if err != nil {
			faults = append(faults, fmt.Errorf("other classes of %s: %w", baseOf(root), err))
			continue
		}
		for _, name := range seen.Skipped {
			s.broken[root+"\x00"+name] = true
		}
	}
	return faults
}

// look checks the files of all classes and lists every fault before anything is
// fitted. A class whose folders are not as they should be fails later, alone.
func (s *session) look(ctx context.Context, classes []place, jobs []job) error {
	s.broken, s.skipped, s.unseen = map[string]bool{}, map[place][]string{}, map[string]float64{}
	said := map[string]bool{}
	var faults []error
	for _, c := range classes {
		for _, split := range []string{dataset.Train, dataset.Test} {
			ds, _, err := s.sources[c.root].Split(c.class, split)
			if err != nil {
				continue
			}
			seen, err := s.o.Reading.Look(ctx, ds, s.log)
			if ctx.Err() != nil {
				return ctx.Err()
			}
			if err != nil {
				faults = append(faults, fmt.Errorf("%s, %s: %w", s.className(c), split, err))
				continue
			}
			s.skipped[c] = append(s.skipped[c], seen.Skipped...)
			for _, name := range seen.Skipped {
				s.broken[c.root+"\x00"+name] = true
			}
			for _, j := range jobs {
				if j.place() != c {
					continue
				}
				t := j.method.Protocol.Transform
				share, _, err := seen.Report.UnseenBy(t)
				if err != nil {
					faults = append(faults, fmt.Errorf("%s, %s: %w", s.className(c), split, err))
					break
				}
				key := c.root + "\x00" + c.class + "\x00" + t.Fingerprint()
				s.unseen[key] = max(s.unseen[key], share)
				note, err := seen.Report.UnseenNote(t)
				if err != nil || note == "" || said[note] {
					continue
				}
				said[note] = true
				fmt.Fprintf(s.log, "note: %s: %s\n", filepath.Join(baseOf(c.root), c.class), note)
			}
		}
	}
	if len(s.o.Classes) > 0 && slices.ContainsFunc(jobs, func(j job) bool { return j.method.Others }) {
		faults = append(faults, s.lookAtOthers(ctx, classes)...)
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	if len(faults) > 0 {
		return fmt.Errorf("nothing was fitted: %w", errors.Join(faults...))
	}
	return nil
}
