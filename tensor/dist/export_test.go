package dist

import "time"

// SetBeat changes the time between signs of life of groups that are made from now on.
func SetBeat(d time.Duration) { beat = d }
