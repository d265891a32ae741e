package metrics

import (
	"errors"
	"fmt"
)

var (
	// ErrOneClass says that all labels are equal, or that there are none: nothing
	// can be told apart and no value exists.
	ErrOneClass = errors.New("positives and negatives are both needed")
	// ErrNaN says that a score is not a number.
	ErrNaN = errors.New("score is NaN")
	// ErrLength says that scores and labels differ in number.
	ErrLength = errors.New("scores and labels differ in number")
	// ErrSize says that a map of scores is of another size than its mask. It is an
	// ErrLength too.
	ErrSize = fmt.Errorf("map and mask differ in size: %w", ErrLength)
	// ErrRange says that an argument (a limit, a rate, a level, a label) lies
	// outside of what it can be; the message names it.
	ErrRange = errors.New("out of range")
	// ErrEmpty says that there is nothing to compute a value from.
	ErrEmpty = errors.New("nothing was given")
	// ErrUnreachable says that no threshold has the wanted rate.
	ErrUnreachable = errors.New("no threshold reaches this rate")
	// ErrTooFew says that there are too few scores for what is to be said of them.
	ErrTooFew = errors.New("too few scores")
	// ErrTail says that the highest scores have no tail that can be described.
	ErrTail = errors.New("the highest scores have no usable tail")
	// ErrNoRand says that a function that draws was given no generator.
	ErrNoRand = errors.New("generator of random numbers is nil")
	// ErrProtocol says that a field of a Protocol is not stated.
	ErrProtocol = errors.New("protocol is not complete")
)
