package dist

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"net"
	"strconv"
	"strings"
	"time"
)

// Config says who a process is among the others.
type Config struct {
	// Rank is this process's number, 0 to Size-1. Size is the number of processes, at
	// most 65536.
	Rank, Size int
	// LocalRank is its number on this machine, of LocalSize: the CUDA device to take.
	// LocalSize may be 0 where it is not known.
	LocalRank, LocalSize int
	// Host and Port are where the store is: of rank 0, which serves it, unless Served.
	Host string
	Port int
	// Served says that somebody else serves the store, as torchrun's agent may.
	Served bool
	// Attempt counts the restarts, as what has started this process counts them. Ranks of
	// several agents of torchrun may differ: an agent that starts its processes again
	// because another one did, or came, does not count that.
	Attempt int
	// Agent names what has started this process and starts it again: the same for all
	// attempts of a job, another one in another job. "" where it is not known.
	Agent string
	// Timeout bounds every call, the meeting included, 1 s to 24 h; DefaultTimeout.
	Timeout time.Duration
	// Interface is the network interface that this rank is reached by; "" takes the
	// one that leads to Host.
	Interface string
}

// DefaultTimeout is longer than a probe or a slow disk makes others wait, and shorter
// than a night.
const DefaultTimeout = 10 * time.Minute

const (
	maxSize = 1 << 16
	defPort = 29500 // PyTorch's
)

// Validate checks the ranges.
func (c Config) Validate() error {
	bad := func(field string, v any, want string) error {
		return fmt.Errorf("dist: Config.%s is %v: %w: want %s", field, v, ErrConfig, want)
	}
	switch {
	case c.Size < 1 || c.Size > maxSize:
		return bad("Size", c.Size, fmt.Sprintf("1 to %d", maxSize))
	case c.Rank < 0 || c.Rank >= c.Size:
		return bad("Rank", c.Rank, fmt.Sprintf("0 to Size-1 = %d", c.Size-1))
	case c.LocalRank < 0 || c.LocalRank >= maxSize:
		return bad("LocalRank", c.LocalRank, fmt.Sprintf("0 to %d", maxSize-1))
	case c.LocalSize < 0 || c.LocalSize > maxSize:
		return bad("LocalSize", c.LocalSize, fmt.Sprintf("0 to %d", maxSize))
	case c.Attempt < 0:
		return bad("Attempt", c.Attempt, "0 or more")
	case c.Timeout < time.Second || c.Timeout > 24*time.Hour:
		return bad("Timeout", c.Timeout, "1s to 24h")
	case c.Size > 1 && c.Host == "":
		return bad("Host", `""`, "the machine of rank 0")
	case c.Size > 1 && (c.Port < 1 || c.Port > 65535):
		return bad("Port", c.Port, "1 to 65535")
	}
	return nil
}

// FromEnv reads the variables that torchrun sets: RANK, WORLD_SIZE, LOCAL_RANK,
// LOCAL_WORLD_SIZE, MASTER_ADDR, MASTER_PORT (29500), and TORCHELASTIC_USE_AGENT_STORE,
// TORCHELASTIC_RESTART_COUNT, TORCHELASTIC_ERROR_FILE (for Agent); and gloo's
// GLOO_SOCKET_IFNAME. found is false where
// neither RANK nor WORLD_SIZE is set: this is then a program by itself.
func FromEnv(getenv func(string) string) (c Config, found bool, err error) {
	c = Config{Size: 1, Port: defPort, Timeout: DefaultTimeout}
	if getenv == nil {
		return c, false, fmt.Errorf("dist: environment: %w: getenv is nil; pass os.Getenv", ErrConfig)
	}
	if getenv("RANK") == "" && getenv("WORLD_SIZE") == "" {
		return c, false, nil
	}
	number := func(name string, into *int, required bool) {
		v := getenv(name)
		if v == "" && !required || err != nil {
			return
		}
		n, e := strconv.Atoi(v)
		if e != nil {
			err = fmt.Errorf("dist: environment: %w: %s is %q, want a number; torchrun sets it, and in a script of your own every process needs RANK, WORLD_SIZE, MASTER_ADDR and MASTER_PORT", ErrConfig, name, v)
			return
		}
		*into = n
	}
	number("RANK", &c.Rank, true)
	number("WORLD_SIZE", &c.Size, true)
	number("LOCAL_RANK", &c.LocalRank, false)
	number("LOCAL_WORLD_SIZE", &c.LocalSize, false)
	number("MASTER_PORT", &c.Port, false)
	number("TORCHELASTIC_RESTART_COUNT", &c.Attempt, false)
	if err != nil {
		return c, true, err
	}
	c.Host = getenv("MASTER_ADDR")
	c.Served = getenv("TORCHELASTIC_USE_AGENT_STORE") == "True"
	c.Agent = agent(getenv("TORCHELASTIC_ERROR_FILE"))
	c.Interface = getenv("GLOO_SOCKET_IFNAME")
	if err := c.Validate(); err != nil {
		return c, true, fmt.Errorf("dist: environment (RANK, WORLD_SIZE, LOCAL_RANK, MASTER_ADDR, MASTER_PORT): %w", err)
	}
	return c, true, nil
}

// agent names the agent of torchrun by the folder that it makes for its logs, whose name
// is drawn once in its life: file is FOLDER/attempt_N/RANK/error.json. It is "" where
// the agent keeps no logs.
func agent(file string) string {
	i := strings.LastIndex(file, "/attempt_")
	if i <= 0 {
		return ""
	}
	h := sha256.Sum256([]byte(file[:i]))
	return hex.EncodeToString(h[:16])
}

// address is this machine's as the others reach it: that of the way to Host, on which
// nothing is sent.
func (c Config) address() (string, error) {
	conn, err := net.Dial("udp", net.JoinHostPort(c.Host, strconv.Itoa(c.Port)))
	if err != nil {
		return "", fmt.Errorf("no way to %s: %w", c.Host, err)
	}
	at, ok := conn.LocalAddr().(*net.UDPAddr)
	if err := conn.Close(); err != nil {
		return "", err
	}
	if !ok {
		return "", fmt.Errorf("no way to %s: it has no address", c.Host)
	}
	return at.IP.String(), nil
}
