package main

import (
	"crypto/sha1"
	"encoding/base64"
	"net/http"
	"sync"
)

const shortestToken = 900 // octets; the real ones have about 1,000

// ending is closed to end every channel that is open, and then made anew.
type ending struct {
	sync.Mutex
	now chan struct{}
}

func (e *ending) current() <-chan struct{} {
	e.Lock()
	defer e.Unlock()
	return e.now
}

// serveChannels is an API of channels that say one thing and then nothing. It wants a bearer token.
//
// `/end` ends all of them: a proxy may not notice that the client of a silent stream has gone.
func serveChannels(port string) error {
	end := &ending{now: make(chan struct{})}
	http.HandleFunc("/end", func(w http.ResponseWriter, r *http.Request) {
		end.Lock()
		defer end.Unlock()
		close(end.now)
		end.now = make(chan struct{})
	})
	http.HandleFunc("/sse", authorized(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "text/event-stream")
		w.Header().Set("Cache-Control", "no-store")
		_, _ = w.Write([]byte("data: hello\n\n"))
		w.(http.Flusher).Flush()
		select {
		case <-r.Context().Done():
		case <-end.current():
		}
	}))
	http.HandleFunc("/ws", authorized(func(w http.ResponseWriter, r *http.Request) {
		key := r.Header.Get("Sec-WebSocket-Key")
		if key == "" {
			http.Error(w, "no WebSocket", http.StatusUpgradeRequired)
			return
		}
		digest := sha1.Sum([]byte(key + "258EAFA5-E914-47DA-95CA-C5AB0DC85B11")) // RFC 6455 section 4.2.2
		connection, stream, err := w.(http.Hijacker).Hijack()
		if err != nil {
			return
		}
		defer connection.Close()
		_, _ = stream.WriteString("HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n" +
			"Sec-WebSocket-Accept: " + base64.StdEncoding.EncodeToString(digest[:]) + "\r\n\r\n")
		_ = stream.Flush()
		go func() {
			<-end.current()
			connection.Close()
		}()
		one := make([]byte, 512)
		for {
			if _, err := connection.Read(one); err != nil {
				return
			}
		}
	}))
	return http.ListenAndServe("127.0.0.1:"+port, nil)
}

func authorized(handler http.HandlerFunc) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		if !hasToken(r.Header.Get("Authorization")) {
			http.Error(w, "no token", http.StatusUnauthorized)
			return
		}
		handler(w, r)
	}
}
