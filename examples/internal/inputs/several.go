package inputs

import (
	"errors"
	"strings"
)

// List is a flag whose value is a list with commas, or that is given several times.
type List []string

// String has commas between the names.
func (l *List) String() string { return strings.Join(*l, ",") }

// Set adds the names of a list, none of which is empty.
func (l *List) Set(text string) error {
	for _, t := range strings.Split(text, ",") {
		if t = strings.TrimSpace(t); t == "" {
			return errors.New("a name is empty")
		}
		*l = append(*l, t)
	}
	return nil
}

// Several is a flag that is given several times, for what may hold commas, such as paths.
type Several []string

// String has all of them, for people.
func (s *Several) String() string { return strings.Join(*s, ", ") }

// Set adds one, which is not empty.
func (s *Several) Set(text string) error {
	if text == "" {
		return errors.New("it is empty")
	}
	*s = append(*s, text)
	return nil
}
