package dataset

import (
	"context"
	"fmt"
	"io/fs"
	"path"
	"slices"
)

// Config says what to read of a published data set.
type Config struct {
	// Classes are the classes to read; nil reads all.
	Classes []string
	// Split is the split to read, by the value of [Item.Split]. Empty reads all
	// that have labels.
	Split string
	// Setup is the list that decides the splits, for a data set that has
	// several. Default "1cls", VisA's list of one class at a time.
	Setup string
	// TrainDefects keeps images with defects in the training split, for data
	// sets that have them there (KolektorSDD2). Default false, one-class use:
	// they are left out and counted in an issue.
	TrainDefects bool
	// RootClass is the name of the class where the root has no folders of classes:
	// it is a class folder itself, or holds images, or good and bad ones. Default
	// "product"; programs give it the name of the root.
	RootClass string
	// Decoder reads the files.
	Decoder Decoder
}

// DefaultConfig returns the defaults that the fields name.
func DefaultConfig() Config {
	return Config{Setup: "1cls", RootClass: rootClass, Decoder: DefaultDecoder()}
}

// rootClass is the class of a root that has no class folders.
const rootClass = "product"

// Validate reports settings that make no sense; the error wraps [ErrConfig].
func (c Config) Validate() error {
	if c.Classes != nil && len(c.Classes) == 0 {
		return fmt.Errorf("dataset: %w: Classes is empty, want names or nil for all", ErrConfig)
	}
	if c.Setup == "" || path.Base(c.Setup) != c.Setup {
		return fmt.Errorf("dataset: %w: Setup is %q, want the name of a split list such as 1cls", ErrConfig, c.Setup)
	}
	return c.Decoder.Validate()
}

// start validates and makes an empty Files.
func (c Config) start(fsys fs.FS, what string) (*Files, error) {
	if err := c.Validate(); err != nil {
		return nil, err
	}
	if fsys == nil {
		return nil, fmt.Errorf("dataset: %s: %w: the file system is nil", what, ErrConfig)
	}
	return &Files{fsys: fsys, dec: c.Decoder}, nil
}

// mvtec are the settings of the reader of MVTec AD's layout.
func (c Config) mvtec(normal string) MVTecADConfig {
	return MVTecADConfig{Classes: c.Classes, Split: c.Split, RootClass: c.RootClass, Normal: append([]string{normal}, goodNames()...),
		Masks: maskNames(), Decoder: c.Decoder}
}

// Layout is a way in which a data set lies on a disk.
type Layout string

// The layouts that [NewLayout] opens.
const (
	LayoutMVTecAD  Layout = "mvtec"     // [NewMVTecAD]
	LayoutMVTecAD2 Layout = "mvtec2"    // [NewMVTecAD2]
	LayoutBTAD     Layout = "btad"      // [NewBTAD]
	LayoutKSDD2    Layout = "ksdd2"     // [NewKSDD2]
	LayoutVisA     Layout = "visa"      // [NewVisA]
	LayoutMPDD     Layout = "mpdd"      // [NewMPDD]
	LayoutFolders  Layout = "folders"   // [NewFolders]: a folder a class, only good
	LayoutGoodBad  Layout = "goodbad"   // [NewGoodBad]
	LayoutManifest Layout = "manifest"  // [NewManifest], manifest.jsonl in the root
	LayoutMixedWM  Layout = "mixedwm38" // [NewMixedWM38], the npz file in the root
	LayoutShards   Layout = "shards"    // [NewShards]
)

// Layouts lists all of them.
func Layouts() []Layout {
	return []Layout{LayoutMVTecAD, LayoutMVTecAD2, LayoutBTAD, LayoutKSDD2, LayoutVisA, LayoutMPDD,
		LayoutFolders, LayoutGoodBad, LayoutManifest, LayoutMixedWM, LayoutShards}
}

// Listed is a data set that lists what it passed over.
type Listed interface {
	Dataset
	// Issues are sorted by name; the caller may change the slice.
	Issues() []Issue
}

// ManifestFile is the name under which [NewLayout] looks for a manifest.
const ManifestFile = "manifest.jsonl"

// NewLayout opens a data set in the layout of that name. fsys may be a folder,
// a zip file (see [OpenRoot]) or anything else. A result that is an [io.Closer] is to be
// closed by the caller. A manifest of 64 MiB or more is opened by [NewLongManifest].
func NewLayout(ctx context.Context, fsys fs.FS, l Layout, cfg Config) (Listed, error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	if fsys == nil {
		return nil, fmt.Errorf("dataset: open: %w: the file system is nil", ErrConfig)
	}
	var f *Files
	var err error
	switch l {
	case LayoutMVTecAD:
		f, err = NewMVTecAD(fsys, cfg.mvtec(Good))
	case LayoutMVTecAD2:
		f, err = NewMVTecAD2(fsys, cfg)
	case LayoutBTAD:
		f, err = NewBTAD(fsys, cfg)
	case LayoutKSDD2:
		f, err = NewKSDD2(ctx, fsys, cfg)
	case LayoutVisA:
		f, err = NewVisA(fsys, cfg)
	case LayoutMPDD:
		f, err = NewMPDD(fsys, cfg)
	case LayoutFolders:
		c := DefaultFolders()
		c.Classes, c.RootClass, c.Decoder = cfg.Classes, cfg.RootClass, cfg.Decoder
		if f, err = NewFolders(fsys, c); err == nil {
			err = f.keep(cfg.Split)
		}
	case LayoutGoodBad:
		c := DefaultGoodBad()
		if c.Decoder = cfg.Decoder; cfg.RootClass != "" {
			c.Class = cfg.RootClass
		}
		if f, err = NewGoodBad(fsys, c); err == nil {
			if _, err = f.wanted(f.classes, cfg.Classes); err == nil {
				err = f.keep(cfg.Split)
			}
		}
	case LayoutManifest:
		if isLong(fsys, ManifestFile) {
			m, err := NewLongManifest(ctx, fsys, ManifestFile, cfg)
			if err != nil {
				return nil, err
			}
			return m, nil
		}
		f, err = NewManifest(fsys, ManifestFile, cfg)
	case LayoutMixedWM:
		w, err := cfg.wafers(func() (*MixedWM38, error) { return openMixedWM38(fsys) })
		if err != nil {
			return nil, err
		}
		return w, nil
	case LayoutShards:
		s, err := NewShards(ctx, fsys, cfg)
		if err != nil {
			return nil, err
		}
		return s, nil
	default:
		return nil, fmt.Errorf("dataset: open: %w: there is no layout %q, want one of %v", ErrConfig, l, Layouts())
	}
	if err != nil {
		return nil, err
	}
	return f, nil
}

// wafers opens MixedWM38 unless the settings ask for what it does not have.
func (c Config) wafers(open func() (*MixedWM38, error)) (*MixedWM38, error) {
	if c.Split != "" || c.Classes != nil && !slices.Equal(c.Classes, []string{WaferClass}) {
		return nil, fmt.Errorf("dataset: open MixedWM38: %w: it has no split %q, and only the class %q", ErrLayout, c.Split, WaferClass)
	}
	return open()
}

// keep removes the items of other splits; an empty split keeps all.
func (f *Files) keep(split string) error {
	if split == "" {
		return nil
	}
	var had []string
	f.items = slices.DeleteFunc(f.items, func(it Item) bool {
		if !slices.Contains(had, it.Split) {
			had = append(had, it.Split)
		}
		return it.Split != split
	})
	if len(f.items) == 0 {
		slices.Sort(had)
		return f.layoutError(".", "there is no image of split %q; found splits %s", split, nameList(had))
	}
	return nil
}
