//go:build !unix

package evaluate

import "os"

// lockFile takes no lock: there is none that all other systems have.
func lockFile(*os.File) error { return errNoLocks }
