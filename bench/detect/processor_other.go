//go:build !unix

package main

// processor is the processor time that the process has had, in seconds.
func processor() float64 { return 0 }
