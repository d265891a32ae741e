// Command sentences prints the sentences that the quickstart's text bank is made
// of, as one JSON object: what bank.py encodes and what the library would encode
// come from the same lists.
//
//	go run ./examples/quickstart/internal/sentences
package main

import (
	"encoding/json"
	"fmt"
	"io"
	"os"

	"github.com/gotab/gotab/dataset/drawn"
	"github.com/gotab/gotab/prompt"
)

// listing is what is printed. Normal and Abnormal have a list for each class, in
// the order of Classes.
type listing struct {
	Classes  []string   `json:"classes"`
	Hash     string     `json:"hash"` // prompt.IDPA.Hash
	Normal   [][]string `json:"normal"`
	Abnormal [][]string `json:"abnormal"`
}

func write(w io.Writer) error {
	p := prompt.DefaultIDPA()
	out := listing{Classes: drawn.Classes(), Hash: p.Hash()}
	for _, class := range out.Classes {
		normal, abnormal, err := p.Sentences(class)
		if err != nil {
			return err
		}
		out.Normal = append(out.Normal, normal)
		out.Abnormal = append(out.Abnormal, abnormal)
	}
	return json.NewEncoder(w).Encode(out)
}

func main() {
	if err := write(os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "sentences:", err)
		os.Exit(1)
	}
}
