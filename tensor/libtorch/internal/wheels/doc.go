// Package wheels brings libtorch and the CUDA libraries that it needs onto this machine: it lets pip download the
// pinned wheels, verifies their SHA-256, unpacks what is needed of them and puts the result in place by one rename.
// An interrupted run leaves nothing that a later one would take for whole; wheels that were finished are not fetched
// again. Runs at the same time wait for each other.
package wheels

import "errors"

var (
	// ErrCache is returned where the cache folder cannot be written.
	ErrCache = errors.New("the cache folder cannot be written")
	// ErrSpace is returned where the disk has too little room.
	ErrSpace = errors.New("not enough free disk space")
	// ErrPip is returned where no usable pip is on the PATH.
	ErrPip = errors.New("no usable pip")
	// ErrDownload is returned where pip could not download a wheel.
	ErrDownload = errors.New("download failed")
	// ErrHash is returned for a wheel whose SHA-256 is not the pinned one.
	ErrHash = errors.New("SHA-256 differs from the pinned one")
	// ErrArchive is returned for a wheel that cannot be unpacked safely.
	ErrArchive = errors.New("unusable wheel")
)
