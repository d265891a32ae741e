// Package dist joins processes, on one machine or several, to one training over
// libtorch's own engine for that, c10d: a TCPStore for meeting and gloo for sums. A
// [Group] is what tab.WithGroup takes.
//
//	cfg, found, err := dist.FromEnv(os.Getenv) // what torchrun, or a script, has set
//	...
//	g, err := dist.Connect(ctx, cfg)
//	...
//	defer g.Close()
//	pre, err := tab.New(parts, settings, tab.WithGroup(g))
//
// The engine is compiled in with the build tag gotab_dist, for which the command
// tensor/libtorch sets up everything (env -dist). Without it Connect returns
// [ErrNotBuilt], except for a group of one, which needs no engine.
//
// # Who is lost
//
// Every rank writes into the store what it is about to do, and once a second that it
// lives. Where a call fails, or has waited for Config.Timeout, a rank reads what the
// others wrote: who has not come to the same call is stuck, whose sign of life is old is
// dead, and the error names them ([LostError]). A dead process is noticed within some
// seconds, because the system closes its connections; a machine that vanishes without
// that, or a process that hangs, within Config.Timeout.
package dist
