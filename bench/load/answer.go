package main

import (
	"bytes"
	"errors"
	"strconv"
)

var (
	errBody    = errors.New("another body than expected")
	errFraming = errors.New("an answer that cannot be framed")
	errMore    = errors.New("more octets than the answer has")
)

var endOfHead = []byte("\r\n\r\n")

// Answer reads one HTTP/1.1 answer, in whatever pieces it comes, and compares its body.
type Answer struct {
	expected body
	head     []byte // of an answer whose head came in pieces
	status   int
	closes   bool
	inBody   bool
	chunked  bool
	left     int // octets of the body, or of its current chunk; with `chunked`, -1: a size is due
	offset   int // of the body, so far
}

type body struct {
	block []byte
	size  int
}

// matches compares octets at an offset of the body; bodies of other statuses than the expected one
// are not asked about.
func (b body) matches(offset int, piece []byte) bool {
	if offset+len(piece) > b.size {
		return false
	}
	for len(piece) > 0 {
		rest := b.block[offset%len(b.block):]
		n := min(len(rest), len(piece))
		if !bytes.Equal(rest[:n], piece[:n]) {
			return false
		}
		piece, offset = piece[n:], offset+n
	}
	return true
}

func (a *Answer) reset() {
	a.head, a.status, a.closes = a.head[:0], 0, false
	a.inBody, a.chunked, a.left, a.offset = false, false, 0, 0
}

// feed takes octets as they come; true when the answer is complete.
func (a *Answer) feed(data []byte) (bool, error) {
	if !a.inBody {
		if len(a.head) > 0 {
			a.head = append(a.head, data...)
			data = a.head
		}
		end := bytes.Index(data, endOfHead)
		if end < 0 {
			if len(a.head) == 0 {
				a.head = append(a.head, data...)
			}
			if len(a.head) > 65536 {
				return false, errFraming
			}
			return false, nil
		}
		if err := a.readHead(data[:end+2]); err != nil {
			return false, err
		}
		data = data[end+4:]
	}
	if a.chunked {
		return a.feedChunks(data)
	}
	if len(data) > a.left {
		return false, errMore
	}
	if err := a.take(data); err != nil {
		return false, err
	}
	a.left -= len(data)
	return a.left == 0, a.complete(a.left == 0)
}

func (a *Answer) take(piece []byte) error {
	if a.expected.block != nil && !a.expected.matches(a.offset, piece) {
		return errBody
	}
	a.offset += len(piece)
	return nil
}

func (a *Answer) complete(ended bool) error {
	if ended && a.expected.block != nil && a.offset != a.expected.size {
		return errBody
	}
	return nil
}

// readHead takes the status line and the fields, each with its line end.
func (a *Answer) readHead(head []byte) error {
	if len(head) < 15 || string(head[:9]) != "HTTP/1.1 " {
		return errFraming
	}
	status, err := strconv.Atoi(string(head[9:12]))
	if err != nil {
		return errFraming
	}
	a.status, a.left = status, -1
	for len(head) > 0 {
		end := bytes.IndexByte(head, '\n')
		line := head[:end-1]
		head = head[end+1:]
		switch {
		case is(line, "content-length:"):
			if a.left, err = strconv.Atoi(string(bytes.TrimSpace(line[15:]))); err != nil {
				return errFraming
			}
		case is(line, "transfer-encoding:"):
			a.chunked = true
		case is(line, "connection:"):
			a.closes = bytes.EqualFold(bytes.TrimSpace(line[11:]), []byte("close"))
		}
	}
	if a.left < 0 && !a.chunked {
		return errFraming // the end of the connection as the end of a body: nobody here needs it
	}
	if a.chunked {
		a.left = -1
	}
	a.inBody = true
	a.head = a.head[:0]
	return nil
}

func is(line []byte, name string) bool {
	return len(line) >= len(name) && (line[0]|0x20) == name[0] && bytes.EqualFold(line[:len(name)], []byte(name))
}

// feedChunks keeps a size line that came in pieces in `head`, which the body does not need.
func (a *Answer) feedChunks(data []byte) (bool, error) {
	for {
		if a.left < 0 {
			if len(a.head) > 0 {
				data = append(a.head, data...)
				a.head = nil
			}
			// The line end of the chunk before belongs to this line.
			line := data
			if a.offset > 0 {
				if len(line) < 2 {
					a.head = append([]byte(nil), data...)
					return false, nil
				}
				line = line[2:]
			}
			end := bytes.IndexByte(line, '\n')
			if end < 0 {
				a.head = append([]byte(nil), data...)
				return false, nil
			}
			size, err := strconv.ParseUint(string(bytes.TrimSpace(bytes.SplitN(line[:end], []byte{';'}, 2)[0])), 16, 31)
			if err != nil {
				return false, errFraming
			}
			if size == 0 {
				return a.lastChunk(data, line[end+1:])
			}
			a.left, data = int(size), line[end+1:]
		}
		n := min(a.left, len(data))
		if err := a.take(data[:n]); err != nil {
			return false, err
		}
		a.left, data = a.left-n, data[n:]
		if a.left > 0 {
			return false, nil
		}
		a.left = -1
		if len(data) == 0 {
			return false, nil
		}
	}
}

// lastChunk expects the end of a body without trailers.
func (a *Answer) lastChunk(data, after []byte) (bool, error) {
	if len(after) < 2 {
		a.head = append([]byte(nil), data...)
		return false, nil
	}
	if len(after) > 2 || after[0] != '\r' {
		return false, errMore
	}
	return true, a.complete(true)
}
