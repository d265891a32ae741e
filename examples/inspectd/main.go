// Inspectd is a server that inspects parts: bundles in, verdicts over HTTP out.
//
//	inspectd pack -data FOLDER -weights FILE -out gear.gotab    fit, calibrate, write a bundle
//	inspectd -bundle gear.gotab                                 serve it
//
// SIGHUP reads the bundles again; a broken one leaves the one before in force. SIGTERM
// answers what goes on and ends. README.md has flags and deployment.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"syscall"

	"github.com/gotab/gotab/inspect/server"
)

func main() {
	if len(os.Args) > 1 && os.Args[1] == "pack" {
		ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
		err := pack(ctx, os.Args[2:], os.Stdout, os.Stderr)
		stop()
		if err != nil && !errors.Is(err, flag.ErrHelp) {
			fmt.Fprintln(os.Stderr, "inspectd pack:", err)
			os.Exit(1)
		}
		return
	}
	os.Exit(server.Main(os.Args[1:], server.Extra{}))
}
