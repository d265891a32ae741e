package session

import (
	"fmt"
	"io"

	"github.com/gotab/gotab/evaluate"
)

// Write writes the table of the records, with details every figure with its interval and its protocol before it, and the
// differences after it. Without records it writes nothing.
func (r Result) Write(w io.Writer, details bool) error {
	if len(r.Records) == 0 {
		return nil
	}
	if details {
		if err := evaluate.WriteDetails(w, r.Records); err != nil {
			return err
		}
	}
	if err := evaluate.WriteTable(w, r.Records); err != nil {
		return err
	}
	for i, line := range r.Differences {
		if i == 0 {
			line = "\n" + line
		}
		if _, err := fmt.Fprintln(w, line); err != nil {
			return err
		}
	}
	return nil
}
