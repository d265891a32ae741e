//go:build race

package downstream_test

const raceDetector = true
