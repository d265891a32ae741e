package dataset

import (
	"fmt"
	"io/fs"
)

// btadFolder is the only folder in the root of BTAD's archive.
const btadFolder = "BTech_Dataset_transformed"

// NewBTAD opens BTAD:
//
//	{01,02,03}/train/ok/*, {01,02,03}/test/{ok,ko}/*, {01,02,03}/ground_truth/ko/*
//
// The three products come in different formats (01: images BMP, masks PNG;
// 02: both PNG; 03: both BMP), so a mask belongs to the image with its stem,
// whatever the ending. The folder BTech_Dataset_transformed of the archive may
// be the root, or lie in it; names are below it. Otherwise as [NewMVTecAD].
func NewBTAD(fsys fs.FS, cfg Config) (*Files, error) {
	if _, err := cfg.start(fsys, "BTAD"); err != nil {
		return nil, err
	}
	if info, err := fs.Stat(fsys, btadFolder); err == nil && info.IsDir() {
		if fsys, err = fs.Sub(fsys, btadFolder); err != nil {
			return nil, fmt.Errorf("dataset: open %s: %w: %w", btadFolder, ErrLayout, err)
		}
	}
	return newMVTecAD(fsys, "", cfg.mvtec("ok"))
}

// NewMPDD opens MPDD, which has MVTec AD's layout with the classes
// bracket_black, bracket_brown, bracket_white, connector, metal_plate and tubes.
// Other class folders are read too. Otherwise as [NewMVTecAD].
func NewMPDD(fsys fs.FS, cfg Config) (*Files, error) {
	if _, err := cfg.start(fsys, "MPDD"); err != nil {
		return nil, err
	}
	return newMVTecAD(fsys, "", cfg.mvtec(Good))
}
