//go:build !linux

package wheels

import (
	"errors"
	"os"
)

// errPlatform never reaches a user: the command refuses other systems with a sentence before it comes here. The file
// exists so that it builds there and can say so.
var errPlatform = errors.New("wheels: only linux/amd64 is supported")

// FreeSpace returns the bytes that this user may still write in the file system that holds dir.
func FreeSpace(string) (int64, error) { return 0, errPlatform }

func tryLock(*os.File) (bool, error) { return false, errPlatform }
