package scalars

import (
	"encoding/binary"
	"hash/crc32"
	"math"
	"time"
)

// fileVersion is what the first record of an event file says. Readers take files
// without it, but look then for restarts in another way.
const fileVersion = "brain.Event:2"

// Numbers of fields in TensorFlow's event.proto and summary.proto.
const (
	eventWallTime, eventStep, eventFileVersion, eventSummary, eventSessionLog = 1, 2, 3, 5, 7

	summaryValue, valueTag, valueSimple = 1, 1, 2
	sessionStatus, statusStart          = 1, 1
)

// Types of fields on the wire of protocol buffers.
const (
	wireVarint, wireFixed64, wireBytes, wireFixed32 = 0, 1, 2, 5
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// masked is the checksum of TFRecord: CRC-32C, turned and moved so that a checksum of
// data that hold checksums stays a good one.
func masked(b []byte) uint32 {
	c := crc32.Checksum(b, castagnoli)
	return (c>>15 | c<<17) + 0xa282ead8
}

// record frames an event: its length in eight bytes, the checksum of those, the event,
// its checksum; all little-endian.
func record(event []byte) []byte {
	out := binary.LittleEndian.AppendUint64(nil, uint64(len(event)))
	out = binary.LittleEndian.AppendUint32(out, masked(out))
	out = append(out, event...)
	return binary.LittleEndian.AppendUint32(out, masked(event))
}

func key(field, wire uint64) []byte { return binary.AppendUvarint(nil, field<<3|wire) }

func appendVarint(b []byte, field, v uint64) []byte {
	return binary.AppendUvarint(append(b, key(field, wireVarint)...), v)
}

func appendBytes[T string | []byte](b []byte, field uint64, v T) []byte {
	return append(binary.AppendUvarint(append(b, key(field, wireBytes)...), uint64(len(v))), v...)
}

// at begins an event with its time, in seconds since 1970, and its step.
func at(wall time.Time, step int64) []byte {
	seconds := float64(wall.Unix()) + float64(wall.Nanosecond())/1e9 // nanoseconds in one number would lose the last
	b := binary.LittleEndian.AppendUint64(key(eventWallTime, wireFixed64), math.Float64bits(seconds))
	if step != 0 { // zero is what is not written
		b = appendVarint(b, eventStep, uint64(step))
	}
	return b
}

func versionEvent(wall time.Time) []byte {
	return appendBytes(at(wall, 0), eventFileVersion, fileVersion)
}

// startEvent tells readers that a run goes on with a step: they drop what they have of
// it and of later ones.
func startEvent(wall time.Time, step int64) []byte {
	return appendBytes(at(wall, step), eventSessionLog, appendVarint(nil, sessionStatus, statusStart))
}

// scalarsEvent holds the values of a step, as float32.
func scalarsEvent(wall time.Time, step int64, values []scalar) []byte {
	var summary []byte
	for _, s := range values {
		v := appendBytes(nil, valueTag, s.name)
		v = binary.LittleEndian.AppendUint32(append(v, key(valueSimple, wireFixed32)...), math.Float32bits(float32(s.value)))
		summary = appendBytes(summary, summaryValue, v)
	}
	return appendBytes(at(wall, step), eventSummary, summary)
}
