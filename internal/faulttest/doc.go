// Package faulttest lets writers of files fail at every system call, and kills
// them, for tests: afterwards every file is the old one or the new one, whole.
package faulttest
