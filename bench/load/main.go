// Command load makes the traffic of the benchmark, and is the API it goes to.
//
//	load run < spec.json > result.json   requests over keep-alive connections, every answer checked
//	load hold < spec.json                opens idle channels, says `holding N`, waits for its input to end
//	load api PORT FOLDER                 an API that answers small and large bodies
//	load channels PORT                   an API of event streams and WebSockets that stay silent
//
// One thread and epoll: a generator of goroutines costs as much per request as what it measures. It
// talks to loopback only.
package main

import (
	"encoding/json"
	"fmt"
	"os"
	"runtime/debug"
	"strconv"
)

func main() {
	if len(os.Args) < 2 {
		fail("usage: load run|hold|api|channels")
	}
	switch os.Args[1] {
	case "run":
		debug.SetGCPercent(-1) // a run is short; a pause of the collector would be measured as theirs
		spec := readSpec()
		result, err := run(spec)
		if err != nil {
			fail(err.Error())
		}
		_ = json.NewEncoder(os.Stdout).Encode(result)
	case "hold":
		if err := hold(readSpec()); err != nil {
			fail(err.Error())
		}
	case "api":
		if len(os.Args) != 4 {
			fail("usage: load api PORT FOLDER")
		}
		port, _ := strconv.Atoi(os.Args[2])
		fail(serveAPI(port, os.Args[3]).Error())
	case "channels":
		if len(os.Args) != 3 {
			fail("usage: load channels PORT")
		}
		fail(serveChannels(os.Args[2]).Error())
	default:
		fail("unknown command " + os.Args[1])
	}
}

func fail(message string) {
	fmt.Fprintln(os.Stderr, "load: "+message)
	os.Exit(1)
}
