package main

import (
	"context"
	"fmt"
	"io"
	"os"

	"github.com/gotab/gotab/dataset"
)

// shard writes a data set as shards.
func shard(ctx context.Context, s *set, o options, stdout, stderr io.Writer) error {
	for _, i := range s.raw.Issues() {
		fmt.Fprintf(stderr, "note: %s\n", i)
	}
	cfg := dataset.DefaultShards()
	cfg.Archive, cfg.Bytes, cfg.Shuffle, cfg.Seed = dataset.ShardArchive(o.archive), o.size<<20, o.shuffle, o.seed
	total := s.ds.Len()
	cfg.Progress = func(done int) {
		if done%100_000 == 0 {
			fmt.Fprintf(stderr, "%d of %d images\n", done, total)
		}
	}
	if err := dataset.WriteShards(ctx, o.out, s.ds, cfg); err != nil {
		return err
	}
	written, err := dataset.NewShards(ctx, os.DirFS(o.out), dataset.DefaultConfig())
	if err != nil {
		return fmt.Errorf("dataset: shard: what was written cannot be read: %w", err)
	}
	fmt.Fprintf(stdout, "%d images of %d classes in %d shards written to %s\n", written.Len(), len(written.Classes()), written.Shards(), o.out)
	return written.Close()
}
