package service

import (
	_ "embed"
	"encoding/json"
	"fmt"
)

//go:embed openapi.json
var openapiText []byte

// describe is openapi.json without what a Handler does not have.
func describe(h *Handler) ([]byte, error) {
	var doc map[string]any
	if err := json.Unmarshal(openapiText, &doc); err != nil {
		return nil, fmt.Errorf("service: description: %w", err)
	}
	paths, _ := doc["paths"].(map[string]any)
	have := map[string]bool{}
	for _, rt := range h.routes() {
		have[rt.pattern] = true
	}
	for path, item := range paths {
		if !have[path] {
			delete(paths, path)
			continue
		}
		if len(h.tokens) > 0 {
			continue
		}
		for _, op := range item.(map[string]any) { // nothing asks for a token
			op := op.(map[string]any)
			delete(op, "security")
			delete(op["responses"].(map[string]any), "401")
		}
	}
	components := doc["components"].(map[string]any)
	if len(h.tokens) == 0 {
		delete(components, "securitySchemes")
	}
	if len(h.cfg.Journals) == 0 {
		for _, name := range []string{"Opinion", "Recorded"} {
			delete(components["schemas"].(map[string]any), name)
		}
	}
	out, err := json.MarshalIndent(doc, "", "  ")
	if err != nil {
		return nil, fmt.Errorf("service: description: %w", err)
	}
	return append(out, '\n'), nil
}
