package main

import (
	"fmt"
	"syscall"
	"time"
)

// Connection is one keep-alive connection with at most one request under way.
type Connection struct {
	fd     int
	answer Answer
	busy   bool
	since  time.Time // from when its request counts: sent, or due
}

func dial(port int) (int, error) {
	fd, err := syscall.Socket(syscall.AF_INET, syscall.SOCK_STREAM, 0)
	if err != nil {
		return 0, err
	}
	address := &syscall.SockaddrInet4{Port: port, Addr: [4]byte{127, 0, 0, 1}}
	if err := syscall.Connect(fd, address); err != nil {
		syscall.Close(fd)
		return 0, fmt.Errorf("cannot connect to 127.0.0.1:%d: %w", port, err)
	}
	_ = syscall.SetsockoptInt(fd, syscall.IPPROTO_TCP, syscall.TCP_NODELAY, 1)
	return fd, syscall.SetNonblock(fd, true)
}

func watch(epoll, fd int) error {
	event := syscall.EpollEvent{Events: syscall.EPOLLIN, Fd: int32(fd)}
	return syscall.EpollCtl(epoll, syscall.EPOLL_CTL_ADD, fd, &event)
}

// send writes a whole request; requests are far smaller than a socket's buffer.
func (c *Connection) send(request []byte, since time.Time) error {
	c.answer.reset()
	c.busy, c.since = true, since
	n, err := syscall.Write(c.fd, request)
	if err == nil && n != len(request) {
		return syscall.EMSGSIZE
	}
	return err
}
