// Package identity tells collaborators apart by their type and by what they say of
// themselves.
package identity

import "reflect"

// Unset is the fingerprint of what has no settings that could differ.
const Unset = "no settings"

// Type returns the name of v's type with its import path; a pointer has that of
// what it points to.
func Type(v any) string {
	t := reflect.TypeOf(v)
	if t == nil {
		return "none"
	}
	for t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	if t.PkgPath() == "" {
		return t.String()
	}
	return t.PkgPath() + "." + t.Name()
}

// Fingerprint returns what v's method Fingerprint() string returns, [Unset] for nil
// and for a struct without fields, and "" where nothing tells v's settings.
func Fingerprint(v any) string {
	if f, ok := v.(interface{ Fingerprint() string }); ok {
		return f.Fingerprint()
	}
	if t := reflect.TypeOf(v); t == nil || t.Kind() == reflect.Struct && t.NumField() == 0 {
		return Unset
	}
	return ""
}
