package dataset

import (
	"runtime"
	"testing"

	"github.com/stretchr/testify/require"
)

// segment is one of a JPEG file: a marker, the length that it claims, and what follows.
func segment(marker byte, n int, data string) string {
	return string([]byte{0xff, marker, byte(n >> 8), byte(n)}) + data
}

// What follows the beginning of the scan is data, whatever it looks like, and so is what follows a segment that
// cannot be.
func TestOrientationIsReadFromSegmentsAlone(t *testing.T) {
	exif := "Exif\x00\x00MM\x00*\x00\x00\x00\x08\x00\x01\x01\x12\x00\x03\x00\x00\x00\x01\x00\x06\x00\x00\x00\x00\x00\x00"
	app1 := segment(0xe1, len(exif)+2, exif)
	for name, c := range map[string]struct {
		file string
		want int
	}{
		"first":                    {"\xff\xd8" + app1, 6},
		"after another":            {"\xff\xd8" + segment(0xe0, 4, "ab") + app1, 6},
		"after a fill byte":        {"\xff\xd8\xff" + app1, 6},
		"after the scan began":     {"\xff\xd8" + segment(0xda, 4, "ab") + app1, 1},
		"after a length of 0":      {"\xff\xd8" + string([]byte{0xff, 0xe0}) + "\x00\x00" + app1, 1},
		"after a length of 1":      {"\xff\xd8" + segment(0xe0, 1, "") + app1, 1},
		"after one beyond the end": {"\xff\xd8" + segment(0xe0, 60000, "ab") + app1, 1},
		"cut":                      {("\xff\xd8" + app1)[:len(app1)-9], 1},
		"no marker":                {"\xff\xd8ab" + app1, 1},
	} {
		t.Run(name, func(t *testing.T) {
			require.Equal(t, c.want, jpegOrientation([]byte(c.file)))
		})
	}
}

// Asking for defaults changes nothing in the process.
func TestDefaultsLeaveTheProcessAlone(t *testing.T) {
	before := runtime.GOMAXPROCS(3)
	defer runtime.GOMAXPROCS(before)
	require.Equal(t, 3, DefaultCheck().Workers)
	DefaultLoader()
	require.Equal(t, 3, runtime.GOMAXPROCS(0))
}
