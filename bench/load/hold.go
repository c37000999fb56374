package main

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"os"
	"strings"
	"time"
)

// hold opens Connections idle channels, one request each, and keeps them until its input ends.
func hold(spec Spec) error {
	requests := spec.requests()
	address := fmt.Sprintf("127.0.0.1:%d", spec.Port)
	for i := 0; i < spec.Connections; i++ {
		connection, err := net.DialTimeout("tcp", address, patience)
		if err != nil {
			return err
		}
		defer connection.Close()
		_ = connection.SetDeadline(time.Now().Add(patience))
		if _, err := connection.Write(requests[i%len(requests)].octets); err != nil {
			return err
		}
		stream := bufio.NewReader(connection)
		line, err := stream.ReadString('\n')
		if err != nil {
			return fmt.Errorf("channel %d: %w", i+1, err)
		}
		if !strings.HasPrefix(line, fmt.Sprintf("HTTP/1.1 %d", spec.Status)) {
			return fmt.Errorf("channel %d was answered %s", i+1, strings.TrimSpace(line))
		}
		// What a stream has said so far has to come through at once, not when it ends.
		for spec.Block != "" && !strings.Contains(line, spec.Block) {
			if line, err = stream.ReadString('\n'); err != nil {
				return fmt.Errorf("channel %d never said %q: %w", i+1, spec.Block, err)
			}
		}
	}
	fmt.Printf("holding %d\n", spec.Connections)
	// The spec was read from the same input; whoever started us closes it when it is done.
	_, err := io.Copy(io.Discard, os.Stdin)
	return err
}
