package main

import (
	"bytes"
	"fmt"
	"os"
	"strings"
	"syscall"
)

// The API of the benchmark: as little work as an HTTP server can do, so that it is never what is
// measured. Every path wants a bearer token of the expected shape:
//
//	/orders   the small JSON document (the file `orders.json`), with the request's number, if it has
//	          one in a field or behind a slash, in a field
//	/token    the token that came, so that the benchmark can look at it
//	/body/N   the file `N`, by sendfile
type api struct {
	epoll  int
	listen int
	small  []byte // a whole answer
	orders []byte // its body
	files  map[string]file
	open   map[int32]*inbound
	buffer []byte
}

type file struct {
	fd   int
	size int64
	head []byte
}

// inbound is a connection of one of the systems.
type inbound struct {
	fd      int
	partial []byte // of a request that came in pieces
	rest    []byte // of an answer the socket had no room for
	file    int    // to be sent after `rest`, or -1
	offset  int64
	end     int64
	writing bool
	closes  bool
}

func serveAPI(port int, folder string) error {
	a := &api{open: map[int32]*inbound{}, files: map[string]file{}, buffer: make([]byte, 65536)}
	if err := a.load(folder); err != nil {
		return err
	}
	var err error
	if a.listen, err = syscall.Socket(syscall.AF_INET, syscall.SOCK_STREAM|syscall.SOCK_NONBLOCK, 0); err != nil {
		return err
	}
	_ = syscall.SetsockoptInt(a.listen, syscall.SOL_SOCKET, syscall.SO_REUSEADDR, 1)
	if err := syscall.Bind(a.listen, &syscall.SockaddrInet4{Port: port, Addr: [4]byte{127, 0, 0, 1}}); err != nil {
		return err
	}
	if err := syscall.Listen(a.listen, 4096); err != nil {
		return err
	}
	if a.epoll, err = syscall.EpollCreate1(0); err != nil {
		return err
	}
	if err := watch(a.epoll, a.listen); err != nil {
		return err
	}
	return a.loop()
}

func (a *api) load(folder string) error {
	names, err := os.ReadDir(folder)
	if err != nil {
		return err
	}
	for _, name := range names {
		// Not os.Open: its files are closed when the collector finds only their number in use.
		fd, err := syscall.Open(folder+"/"+name.Name(), syscall.O_RDONLY|syscall.O_CLOEXEC, 0)
		if err != nil {
			return err
		}
		about, err := name.Info()
		if err != nil {
			return err
		}
		head := answerHead("application/octet-stream", int(about.Size()))
		a.files["/body/"+name.Name()] = file{fd, about.Size(), head}
	}
	document, err := os.ReadFile(folder + "/orders.json")
	a.orders = document
	a.small = append(answerHead("application/json", len(document)), document...)
	return err
}

func answerHead(kind string, size int) []byte {
	return []byte(fmt.Sprintf("HTTP/1.1 200 OK\r\nContent-Type: %s\r\nContent-Length: %d\r\n\r\n", kind, size))
}

func (a *api) loop() error {
	ready := make([]syscall.EpollEvent, events)
	for {
		n, err := syscall.EpollWait(a.epoll, ready, -1)
		if err == syscall.EINTR {
			continue
		}
		if err != nil {
			return err
		}
		for _, event := range ready[:n] {
			if int(event.Fd) == a.listen {
				a.accept()
				continue
			}
			c := a.open[event.Fd]
			if c == nil {
				continue
			}
			alive := true
			if event.Events&syscall.EPOLLOUT != 0 {
				alive = a.flush(c)
			} else {
				alive = a.read(c)
			}
			if !alive {
				delete(a.open, event.Fd)
				syscall.Close(c.fd)
			}
		}
	}
}

func (a *api) accept() {
	for {
		fd, _, err := syscall.Accept4(a.listen, syscall.SOCK_NONBLOCK)
		if err != nil {
			return
		}
		_ = syscall.SetsockoptInt(fd, syscall.IPPROTO_TCP, syscall.TCP_NODELAY, 1)
		a.open[int32(fd)] = &inbound{fd: fd, file: -1}
		_ = watch(a.epoll, fd)
	}
}

// read answers one request; false when the connection is over.
func (a *api) read(c *inbound) bool {
	n, err := syscall.Read(c.fd, a.buffer)
	if err == syscall.EAGAIN || err == syscall.EINTR {
		return true
	}
	if err != nil || n == 0 {
		return false
	}
	data := a.buffer[:n]
	if len(c.partial) > 0 {
		c.partial = append(c.partial, data...)
		data = c.partial
	}
	end := bytes.Index(data, endOfHead)
	if end < 0 {
		if len(c.partial) == 0 {
			c.partial = append(c.partial, data...)
		}
		return len(c.partial) < 65536
	}
	c.partial = c.partial[:0]
	return a.answer(c, data[:end+2])
}

func (a *api) answer(c *inbound, head []byte) bool {
	line, fields, _ := bytes.Cut(head, []byte("\r\n"))
	target, found := bytes.CutPrefix(line, []byte("GET "))
	if space := bytes.IndexByte(target, ' '); found && space > 0 {
		target = target[:space]
	}
	var token, numbered []byte
	for len(fields) > 0 {
		end := bytes.IndexByte(fields, '\n')
		field := fields[:end-1]
		fields = fields[end+1:]
		if is(field, "authorization: bearer ") {
			token = field[22:]
		} else if is(field, "x-number: ") {
			numbered = field[10:]
		} else if is(field, "connection: close") {
			c.closes = true
		}
	}
	if number, found := bytes.CutPrefix(target, []byte("/orders/")); found {
		target, numbered = []byte("/orders"), number
	}
	switch {
	case !isToken(token):
		return a.write(c, []byte("HTTP/1.1 401 Unauthorized\r\nContent-Length: 0\r\n\r\n"))
	case string(target) == "/orders" && numbered != nil:
		return a.write(c, a.numbered(numbered))
	case string(target) == "/orders":
		return a.write(c, a.small)
	case string(target) == "/token":
		return a.write(c, append(answerHead("text/plain", len(token)), token...))
	}
	f, found := a.files[string(target)]
	if !found {
		return a.write(c, []byte("HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n"))
	}
	c.file, c.offset, c.end = f.fd, 0, f.size
	return a.write(c, f.head)
}

// numbered is the small answer with a head nobody has seen before.
func (a *api) numbered(number []byte) []byte {
	head := answerHead("application/json", len(a.orders))
	head = append(head[:len(head)-2], "X-Number: "...)
	head = append(append(head, number...), "\r\n\r\n"...)
	return append(head, a.orders...)
}

// isToken: a JWT (header, payload, signature) of the expected length.
func isToken(token []byte) bool {
	return len(token) >= shortestToken && bytes.HasPrefix(token, []byte("eyJ")) && bytes.Count(token, []byte(".")) == 2
}

func (a *api) write(c *inbound, octets []byte) bool {
	c.rest = octets
	return a.flush(c)
}

// flush sends what there is, and comes back when the socket has room again.
func (a *api) flush(c *inbound) bool {
	for len(c.rest) > 0 {
		n, err := syscall.Write(c.fd, c.rest)
		if err == syscall.EAGAIN {
			return a.await(c, syscall.EPOLLOUT)
		}
		if err != nil {
			return false
		}
		c.rest = c.rest[n:]
	}
	for c.file >= 0 && c.offset < c.end {
		_, err := syscall.Sendfile(c.fd, c.file, &c.offset, int(c.end-c.offset))
		if err == syscall.EAGAIN {
			return a.await(c, syscall.EPOLLOUT)
		}
		if err != nil {
			return false
		}
	}
	c.file = -1
	if c.closes {
		return false
	}
	return !c.writing || a.await(c, syscall.EPOLLIN)
}

func (a *api) await(c *inbound, what uint32) bool {
	c.writing = what == syscall.EPOLLOUT
	event := syscall.EpollEvent{Events: what, Fd: int32(c.fd)}
	return syscall.EpollCtl(a.epoll, syscall.EPOLL_CTL_MOD, c.fd, &event) == nil
}

func hasToken(authorization string) bool {
	token, found := strings.CutPrefix(authorization, "Bearer ")
	return found && isToken([]byte(token))
}
