package main

import (
	"runtime"
	"syscall"
	"time"
	"unsafe"
)

const (
	patience      = 5 * time.Second // for answers that are due when the time is over
	events        = 256
	epollPwait2   = 441 // SYS_EPOLL_PWAIT2 of Linux 5.11, on every architecture
	setTimerSlack = 29  // PR_SET_TIMERSLACK
)

// runner carries out one Spec. With a rate, requests fall due at fixed times whether or not answers
// come, and a latency counts from when its request was due, not from when a connection was free:
// a system that stalls cannot slow its own questions down (coordinated omission).
type runner struct {
	spec        Spec
	requests    []request
	connections map[int32]*Connection
	free        []*Connection
	epoll       int
	next        int // request to send
	due         int // open loop: requests that have fallen due
	sent        int
	begun       time.Time
	recordFrom  time.Time
	end         time.Time
	latencies   []time.Duration
	result      Result
}

func run(spec Spec) (Result, error) {
	r := &runner{spec: spec, requests: spec.requests()}
	r.connections = make(map[int32]*Connection, spec.Connections)
	r.result.Errors = map[string]int{}
	r.latencies = make([]time.Duration, 0, 1<<20)
	var err error
	if r.epoll, err = syscall.EpollCreate1(0); err != nil {
		return r.result, err
	}
	for range make([]struct{}, spec.Connections) {
		if err := r.connect(); err != nil {
			return r.result, err
		}
	}
	runtime.LockOSThread()
	_, _, _ = syscall.RawSyscall(syscall.SYS_PRCTL, setTimerSlack, 1, 0)
	r.begun = time.Now()
	r.recordFrom = r.begun.Add(seconds(spec.WarmUp))
	r.end = r.recordFrom.Add(seconds(spec.Seconds))
	r.fill()
	err = r.loop()
	r.result.Elapsed = time.Since(r.begun).Seconds()
	r.result.Requests = len(r.latencies)
	r.result.summarize(r.latencies)
	return r.result, err
}

func seconds(s float64) time.Duration { return time.Duration(s * float64(time.Second)) }

func (r *runner) connect() error {
	fd, err := dial(r.spec.Port)
	if err != nil {
		return err
	}
	c := &Connection{fd: fd}
	if r.spec.Block != "" {
		c.answer.expected = body{[]byte(r.spec.Block), r.spec.BodyBytes}
	}
	r.connections[int32(fd)] = c
	r.free = append(r.free, c)
	return watch(r.epoll, fd)
}

// wait returns the connections that can be read. An open loop wakes up when a request falls due,
// to the microsecond: epoll_pwait2 with a timer slack of next to nothing.
func (r *runner) wait(ready []syscall.EpollEvent, now time.Time) (int, error) {
	until := 100 * time.Millisecond
	if r.open() && now.Before(r.end) && len(r.free) > 0 {
		until = min(until, max(r.dueAt(r.sent).Sub(now), 0))
	}
	limit := syscall.NsecToTimespec(until.Nanoseconds())
	n, _, errno := syscall.Syscall6(epollPwait2, uintptr(r.epoll), uintptr(unsafe.Pointer(&ready[0])),
		uintptr(len(ready)), uintptr(unsafe.Pointer(&limit)), 0, 0)
	if errno == syscall.EINTR {
		return 0, nil
	}
	if errno != 0 {
		return 0, errno
	}
	return int(n), nil
}

func (r *runner) open() bool { return r.spec.Rate > 0 }

// dueAt is when the n-th request of an open loop falls due.
func (r *runner) dueAt(n int) time.Time {
	return r.begun.Add(time.Duration(float64(n+1) * 1e9 / r.spec.Rate))
}

// fill gives every free connection a request that is due.
func (r *runner) fill() {
	now := time.Now()
	if r.open() && now.Before(r.end) {
		r.due = int(now.Sub(r.begun).Seconds() * r.spec.Rate)
	}
	for len(r.free) > 0 {
		since := now
		if r.open() {
			if r.sent >= r.due {
				return
			}
			since = r.dueAt(r.sent)
		} else if !now.Before(r.end) {
			return
		}
		c := r.free[len(r.free)-1]
		r.free = r.free[:len(r.free)-1]
		request := r.requests[r.next]
		r.next = (r.next + 1) % len(r.requests)
		r.sent++
		if err := c.send(request.numbered(r.sent), since); err != nil {
			r.broken(c, "not sent: "+err.Error())
		}
	}
}

func (r *runner) loop() error {
	ready := make([]syscall.EpollEvent, events)
	buffer := make([]byte, 256*1024)
	for {
		now := time.Now()
		outstanding := len(r.connections) - len(r.free)
		over := !now.Before(r.end)
		if over && outstanding == 0 && (!r.open() || r.sent >= r.due) {
			return nil
		}
		if now.After(r.end.Add(patience)) || len(r.connections) == 0 {
			r.result.Unanswered = outstanding + max(r.due-r.sent, 0)
			return nil
		}
		n, err := r.wait(ready, now)
		if err != nil {
			return err
		}
		for _, event := range ready[:n] {
			if c := r.connections[event.Fd]; c != nil {
				r.read(c, buffer)
			}
		}
		r.fill()
	}
}

func (r *runner) read(c *Connection, buffer []byte) {
	n, err := syscall.Read(c.fd, buffer)
	switch {
	case err == syscall.EAGAIN || err == syscall.EINTR:
		return
	case err != nil:
		r.broken(c, "not received: "+err.Error())
		return
	case n == 0 && !c.busy:
		r.again(c) // closed between two requests, as a server may
		return
	case n == 0:
		r.broken(c, "closed before the answer was complete")
		return
	case !c.busy:
		r.broken(c, errMore.Error())
		return
	}
	done, err := c.answer.feed(buffer[:n])
	if err == errBody && c.answer.status != r.spec.Status {
		err = nil // told as its status below; what is left of it is thrown away with the connection
		done = true
		c.answer.closes = true
	}
	if err != nil {
		r.broken(c, err.Error())
		return
	}
	if done {
		r.finish(c)
	}
}

func (r *runner) finish(c *Connection) {
	now := time.Now()
	r.result.Total++
	if c.answer.status != r.spec.Status {
		r.result.Errors["status "+itoa(c.answer.status)]++
	} else if r.counts(c, now) {
		r.latencies = append(r.latencies, now.Sub(c.since))
		r.result.Bytes += int64(c.answer.offset)
	}
	c.busy = false
	if c.answer.closes {
		r.again(c)
		return
	}
	r.free = append(r.free, c)
}

// counts: a closed loop counts what is answered within the time, an open loop what was due in it.
func (r *runner) counts(c *Connection, now time.Time) bool {
	moment := now
	if r.open() {
		moment = c.since
	}
	return !moment.Before(r.recordFrom) && moment.Before(r.end)
}

func (r *runner) broken(c *Connection, why string) {
	r.result.Errors[why]++
	c.busy = false
	r.again(c)
}

// again replaces a connection that is of no more use.
func (r *runner) again(c *Connection) {
	for i, other := range r.free {
		if other == c {
			r.free = append(r.free[:i], r.free[i+1:]...)
			break
		}
	}
	delete(r.connections, int32(c.fd))
	syscall.Close(c.fd)
	r.result.Reconnects++
	if r.result.Reconnects > 100000 {
		r.result.Errors["too many connections"]++
		return
	}
	if err := r.connect(); err != nil {
		r.result.Errors[err.Error()]++
	}
}

func itoa(n int) string {
	return string([]byte{byte('0' + n/100%10), byte('0' + n/10%10), byte('0' + n%10)})
}
