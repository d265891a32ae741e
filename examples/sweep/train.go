package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"syscall"
	"time"

	"github.com/gotab/gotab/backbone"
	"github.com/gotab/gotab/dataset"
	"github.com/gotab/gotab/internal/atomicfile"
	"github.com/gotab/gotab/tab"
	"github.com/gotab/gotab/tensor"
)

// variants lists the networks of a plan with all their seeds and shares.
func (p plan) variants(out string) []variant {
	var vs []variant
	for _, n := range p.Networks {
		shares := n.Shares
		if len(shares) == 0 {
			shares = []float64{1}
		}
		if n.File != "" {
			for _, a := range shares {
				vs = append(vs, variant{n.Name, 0, a, n.File})
			}
			continue
		}
		for _, s := range n.Seeds {
			file := filepath.Join(out, "weights", fmt.Sprintf("%s-%d.safetensors", n.Name, s))
			for _, a := range shares {
				vs = append(vs, variant{n.Name, s, a, file})
			}
		}
	}
	return vs
}

// train runs the program pretrain for a network and seed, unless its weights are
// there; one that was stopped goes on from its checkpoint.
func (s *sweep) train(ctx context.Context, n network, sd uint64, file string) error {
	if _, err := os.Stat(file); err == nil {
		return nil
	} else if !errors.Is(err, os.ErrNotExist) {
		return err
	}
	if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
		return err
	}
	roots := n.Data
	if len(roots) == 0 {
		roots = s.plan.Data
	}
	folders, err := s.folders(ctx, n, roots)
	if err != nil {
		return err
	}
	args := append([]string{}, s.plan.Pretrain...)
	args = append(args, n.Pretrain...)
	for _, d := range folders {
		args = append(args, "-data", d)
	}
	args = append(args, "-init", s.plan.Start, "-seed", fmt.Sprint(sd), "-out", file, "-log", file+".jsonl")
	if _, err := os.Stat(file + ".ckpt"); err == nil {
		args = append(args, "-resume")
	}
	log, err := os.OpenFile(file+".log", os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
	if err != nil {
		return err
	}
	defer log.Close()
	fmt.Fprintf(s.stderr, "%s seed %d: %s %v\n", n.Name, sd, filepath.Base(s.pretrain), args)
	cmd := exec.CommandContext(ctx, s.pretrain, args...)
	cmd.Stdout, cmd.Stderr = log, log
	cmd.Cancel = func() error { return cmd.Process.Signal(syscall.SIGINT) } // it keeps a checkpoint
	cmd.WaitDelay = time.Minute
	begin := time.Now()
	if err := cmd.Run(); err != nil {
		return fmt.Errorf("%s seed %d: pretrain: %w; see %s", n.Name, sd, err, file+".log")
	}
	fmt.Fprintf(s.stderr, "%s seed %d: trained in %s\n", n.Name, sd, time.Since(begin).Round(time.Second))
	return nil
}

// folders are what a training reads: the roots as they are, or, where classes are left
// out or good images are kept apart, a folder with copies of the images that remain.
func (s *sweep) folders(ctx context.Context, n network, roots []string) ([]string, error) {
	if len(n.Without) == 0 && s.plan.Synthetic == nil {
		return roots, nil
	}
	dir := filepath.Join(s.out, "data", n.Name)
	if err := os.RemoveAll(dir); err != nil {
		return nil, err
	}
	left := 0
	for _, root := range roots {
		all, err := dataset.OpenMVTecAD(root, "", dataset.Train)
		if err != nil {
			return nil, err
		}
		for _, class := range all.Classes() {
			if slices.Contains(n.Without, class) {
				left++
				continue
			}
			good, err := dataset.OpenMVTecAD(root, class, dataset.Train)
			if err != nil {
				return nil, err
			}
			index := make([]int, good.Len())
			for i := range index {
				index[i] = i
			}
			if s.plan.Synthetic != nil {
				index, _ = s.plan.Synthetic.kept(good, class)
			}
			for _, i := range index {
				name := good.Item(i).Name
				to := filepath.Join(dir, class, "train", "good", filepath.Base(name))
				if err := os.MkdirAll(filepath.Dir(to), 0o755); err != nil {
					return nil, err
				}
				if err := copyImage(filepath.Join(root, class), root, name, to); err != nil {
					return nil, err
				}
			}
		}
	}
	if left < len(n.Without) {
		return nil, fmt.Errorf("%w: network %q: \"without\" names a class that is not there", errPlan, n.Name)
	}
	return []string{dir}, ctx.Err()
}

// copyImage copies a picture: names are relative to the class or to the root.
func copyImage(class, root, name, to string) error {
	for _, base := range []string{class, root} {
		from, err := os.Open(filepath.Join(base, name))
		if errors.Is(err, os.ErrNotExist) {
			continue
		}
		if err != nil {
			return err
		}
		defer from.Close()
		return atomicfile.Write(to, func(w io.Writer) error {
			_, err := io.Copy(w, from)
			return err
		})
	}
	return fmt.Errorf("%s: %w", name, os.ErrNotExist)
}

// open reads the network of a variant, with its share of the start's weights.
func (s *sweep) open(ctx context.Context, v variant) (net *backbone.ResNet, err error) {
	dev, err := tensor.ParseDevice(s.device)
	if err != nil {
		return nil, err
	}
	if net, err = backbone.Open(v.file, dev); err != nil || v.Share == 1 {
		return net, err
	}
	start, err := backbone.Open(s.plan.Start, dev)
	if err != nil {
		return nil, errors.Join(err, net.Close())
	}
	defer func() { err = errors.Join(err, start.Close()) }()
	if err := tab.Interpolate(ctx, net.Params(), start.Params(), net.Params(), v.Share); err != nil {
		return nil, errors.Join(err, net.Close())
	}
	return net, nil
}
